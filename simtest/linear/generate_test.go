package linear

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// This file plays clients of a correct lock table (table_test.go), with clocks that
// drift and messages that are late or lost, and writes down what they are told.

// shape is what a generated history is like.
type shape struct {
	calls, clients int
	ttl, pace      time.Duration // pace: mean time between two calls of a client
	delay          time.Duration // mean of one way
	loss           float64       // of one message
	crash          float64       // of a client, per call
	modes          []Mode        // what calls ask for; none: exclusive
	changes        float64       // per hold
	looks          float64       // per call
	closes         float64       // calls with a Delay
	evicts         float64       // per call
	lost           float64       // configurations, per call
}

var bench = shape{calls: 300, clients: 10, ttl: 3 * time.Second, pace: 9 * time.Second, delay: 60 * time.Millisecond, loss: 0.1, crash: 0.01}

const drift = 0.01

// Modes of readers and writers, and of a semaphore.
var (
	readers   = []Mode{Shared, Shared, Shared, ForUpdate, Exclusive}
	semaphore = []Mode{{1, 4}, {1, 4}, {2, 4}, {3, 4}, {4, 4}}
	mixed     = []Mode{Shared, Shared, ForUpdate, Exclusive, {1, 3}, {3, 3}}
)

type game struct {
	shape
	*clock
	table
	ops   []*Op
	calls int
	sets  int
	seen  []uint64 // tokens that clients were told or saw
	truth []moment
}

// played is a history and what really happened.
type played struct {
	History
	truth []moment
}

// moment is the key from one time to another.
type moment struct {
	from, to time.Duration
	holders  []Holder
	calls    []int // of the holders
	value    Value
	line     bool // somebody waits
	down     bool
}

// note writes the truth down.
func (g *game) note() {
	m := moment{from: g.now, to: Forever, value: g.value, line: len(g.line) > 0 || g.upgrader() != nil, down: g.down}
	for _, h := range g.holders {
		m.holders = append(m.holders, Holder{Token: h.token, Mode: h.mode, Lost: h.lost})
		m.calls = append(m.calls, h.r.call.id)
	}
	if n := len(g.truth); n > 0 {
		last := &g.truth[n-1]
		if slices.Equal(last.holders, m.holders) && last.value == m.value && last.line == m.line && last.down == m.down {
			return
		}
		last.to = m.from
	}
	g.truth = append(g.truth, m)
}

// caller is the client's side of a call.
type caller struct {
	id, client int
	crashed    *bool
	lock       *Op
	unlock     *Op
	req        *request
	state      int
	deadline   time.Duration
	rate       float64 // of its clock
	releases   int
	mode       Mode // what it believes to have
	number     int  // of the last change
	pending    *Op
}

const (
	asking = iota
	holds
	releasing
	closed
)

type timer struct {
	at    time.Duration
	order int
	do    func()
}
type timers []timer

func (q timers) Len() int { return len(q) }
func (q timers) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].order < q[j].order
}
func (q timers) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *timers) Push(x any)   { *q = append(*q, x.(timer)) }
func (q *timers) Pop() any {
	o := *q
	x := o[len(o)-1]
	*q = o[:len(o)-1]
	return x
}

func (c *clock) after(d time.Duration, do func()) {
	c.order++
	heap.Push(&c.queue, timer{c.now + d, c.order, do})
}

func (c *clock) exp(mean time.Duration) time.Duration {
	return time.Duration(c.rand.ExpFloat64() * float64(mean))
}

func (c *clock) chance(p float64) bool { return c.rand.Float64() < p }

// message loses, or brings later.
func (g *game) message(do func()) {
	if !g.chance(g.loss) {
		g.after(g.exp(g.shape.delay), do)
	}
}

func generate(seed uint64, sh shape) played {
	c := &clock{rand: rand.New(rand.NewPCG(seed, 0x11ea))}
	g := &game{shape: sh, clock: c, table: table{clock: c, ttl: sh.ttl}}
	g.table.tell, g.table.tied, g.table.let = g.answer, g.upgraded, g.letGo
	for c := range sh.clients {
		g.after(g.exp(g.pace/4), func() { g.client(c, new(bool)) })
	}
	for len(g.queue) > 0 && g.now < time.Duration(sh.calls)*(sh.ttl+sh.pace) {
		t := heap.Pop(&g.queue).(timer)
		g.now = t.at
		t.do()
		g.note()
	}
	p := played{History{Key: "k", Lost: g.losses}, g.truth}
	for _, o := range g.ops {
		p.Ops = append(p.Ops, *o)
	}
	return p
}

func (g *game) op(o Op) *Op {
	o.Invoked, o.Returned = g.now, -1
	g.ops = append(g.ops, &o)
	return &o
}

// client makes one call after the other; one that crashed is followed by another.
func (g *game) client(n int, crashed *bool) {
	if g.calls == g.shape.calls {
		return
	}
	if *crashed {
		crashed = new(bool)
	}
	g.calls++
	kind := Lock
	if g.rand.IntN(2) == 0 {
		kind = Try
	}
	c := &caller{id: g.calls, client: n, crashed: crashed, rate: 1 + drift*(2*g.rand.Float64()-1)}
	o := Op{Call: c.id, Client: n, Kind: kind}
	if len(g.modes) > 0 {
		o.Mode = g.modes[g.rand.IntN(len(g.modes))]
		if g.chance(g.closes) {
			o.Delay = g.exp(g.shape.ttl)
		}
		g.others()
	}
	c.lock = g.op(o)
	c.lock.Late = g.now + time.Duration(float64(g.shape.ttl)*(1-drift)/(1+drift))
	g.ask(c)
	if g.chance(g.crash) {
		g.after(g.exp(g.shape.ttl/2), func() { *crashed = true })
	}
	g.after(g.exp(g.shape.ttl/2), func() { g.close(c) })
	g.after(g.exp(g.pace), func() { g.client(n, crashed) })
}

// ask sends a request under a new identity, again and again.
func (g *game) ask(c *caller) {
	c.state = asking
	c.req = &request{call: c, mode: c.lock.Mode, delay: c.lock.Delay, try: c.lock.Kind == Try}
	g.repeat(c, c.req, asking, func(sent time.Duration) { g.acquire(c.req, sent) })
}

func (g *game) repeat(c *caller, r *request, while int, arrive func(sent time.Duration)) {
	if *c.crashed || c.state != while || c.req != r {
		return
	}
	sent := g.now
	g.message(func() {
		if c.req == r { // else a late copy of a closed request
			arrive(sent)
		}
	})
	if while == releasing {
		c.releases++
	}
	g.after(g.shape.ttl/8, func() { g.repeat(c, r, while, arrive) })
}

func (g *game) answer(r *request) {
	token, outcome, c, sent := r.token, r.outcome, r.call, r.sent
	if outcome != Open {
		g.message(func() { g.told(c, r, outcome, token, sent) })
	}
}

// told is what a Lock is answered.
func (g *game) told(c *caller, r *request, outcome Outcome, token uint64, sent time.Duration) {
	if *c.crashed || c.state != asking || c.req != r {
		return
	}
	switch outcome {
	case Busy, Capacity:
		c.state = closed
		c.lock.Outcome, c.lock.Returned = outcome, g.now
	case Lost: // granted and expired on the way
		g.ask(c)
	case Granted:
		c.deadline = sent + time.Duration(float64(g.shape.ttl)*(1-drift)/c.rate)
		if g.now >= c.deadline {
			c.state = releasing
			g.repeat(c, r, releasing, func(time.Duration) { g.release(c, r) })
			return
		}
		c.state, c.mode = holds, c.lock.Mode
		c.lock.Outcome, c.lock.Returned, c.lock.Token, c.lock.MayExpire = Granted, g.now, token, sent+g.shape.ttl
		g.seen = append(g.seen, token)
		g.deadline(c)
		if g.rand.IntN(4) > 0 {
			g.after(g.shape.ttl/3, func() { g.heartbeat(c, r) })
		}
		if g.changes > 0 {
			g.after(g.exp(g.shape.ttl/8), func() { g.alter(c, r) })
		}
	}
}

func (g *game) deadline(c *caller) {
	g.after(c.deadline-g.now, func() {
		if !*c.crashed && c.state == holds && g.now >= c.deadline {
			g.loses(c, g.giveBack)
			g.ops[len(g.ops)-1].Closes = true
		}
	})
}

// loses is the client's own doing: its clock, or it was told to let go.
func (g *game) loses(c *caller, giveBack func(*request)) {
	c.state = closed
	g.op(Op{Call: c.id, Client: c.client, Kind: Renew, Outcome: Lost}).Returned = g.now
	g.ops[len(g.ops)-1].Invoked = c.lock.Returned
	if r := c.req; g.rand.IntN(2) == 0 {
		g.message(func() { giveBack(r) })
	}
}

// letGo is a Notice of an eviction.
func (g *game) letGo(r *request) {
	g.message(func() {
		if c := r.call; !*c.crashed && c.state == holds && c.req == r {
			g.loses(c, func(r *request) { g.end(r, false) })
		}
	})
}

func (g *game) heartbeat(c *caller, r *request) {
	if *c.crashed || c.state != holds {
		return
	}
	sent := g.now
	g.message(func() {
		if !g.renew(r) { // the deadline comes first: no correct lock says Missing
			if h := g.find(r); h != nil && h.evicted && !g.down {
				g.message(func() {
					if !*c.crashed && c.state == holds {
						g.loses(c, func(*request) {})
						g.ops[len(g.ops)-1].Outcome = Missing // but that of an eviction
					}
				})
			}
			return
		}
		g.message(func() {
			if *c.crashed || c.state != holds {
				return
			}
			o := g.op(Op{Call: c.id, Client: c.client, Kind: Renew, Outcome: Renewed, MayExpire: sent + g.shape.ttl})
			o.Invoked, o.Returned = sent, g.now
			c.deadline = max(c.deadline, sent+time.Duration(float64(g.shape.ttl)*(1-drift)/c.rate))
			g.deadline(c)
		})
	})
	g.after(g.shape.ttl/3, func() { g.heartbeat(c, r) })
}

// close is Unlock: releases or cancels.
func (g *game) close(c *caller) {
	if *c.crashed || c.state == closed || c.unlock != nil {
		return
	}
	c.unlock = g.op(Op{Call: c.id, Client: c.client, Kind: Unlock})
	if c.state == releasing { // a grant that came too late is on its way back already
		return
	}
	c.state, c.releases = releasing, 0
	g.repeat(c, c.req, releasing, func(time.Duration) { g.release(c, c.req) })
	g.after(2*g.shape.ttl+g.lostFor(), func() {
		if !*c.crashed && c.state == releasing {
			c.state = closed
			c.unlock.Outcome, c.unlock.Returned = GaveUp, g.now
		}
	})
}

// lostFor is how long a lost configuration may keep answers back.
func (g *game) lostFor() time.Duration {
	if g.lost == 0 {
		return 0
	}
	return 4 * g.shape.ttl
}

func (g *game) release(c *caller, r *request) {
	if g.down {
		return
	}
	g.expire()
	g.end(r, true)
	released := r.released
	g.message(func() {
		if *c.crashed || c.state != releasing || c.req != r {
			return
		}
		if c.unlock == nil { // given back since it came too late
			g.ask(c)
			return
		}
		c.state = closed
		c.unlock.Returned, c.unlock.Outcome = g.now, NotHeld
		switch {
		case c.lock.Outcome != Granted:
			c.lock.Outcome, c.lock.Returned = Cancelled, g.now
		case released || c.releases > 1: // sent twice, the expiry may stand for it
			c.unlock.Outcome = Released
		}
	})
}

// alter changes something of a held lock, and perhaps again.
func (g *game) alter(c *caller, r *request) {
	if *c.crashed || c.state != holds || c.req != r || c.pending != nil || !g.chance(g.changes) {
		return
	}
	o := Op{Call: c.id, Client: c.client, Kind: Set}
	all := c.mode.weight() == c.mode.of()
	switch n := g.rand.IntN(10); {
	case n < 2 && c.mode.of() == Whole && !all, n == 0 && !all:
		o.Kind, o.Mode = Upgrade, Mode{c.mode.of(), c.mode.of()}
		if o.Mode.Of == Whole {
			o.Mode = Exclusive
		}
	case n < 2 && c.mode.weight() > 1:
		o.Kind, o.Mode = Downgrade, Mode{1, c.mode.of()}
		if all && o.Mode.Of == Whole && g.rand.IntN(2) == 0 {
			o.Mode = ForUpdate
		}
	case n == 2:
		o.Kind = Delete
	default:
		g.sets++
		o.Value.Data = fmt.Sprint("v", g.sets-g.rand.IntN(50)/49) // now and then the last one again
	}
	c.pending = g.op(o)
	c.number += 2
	g.send(c, r, c.pending, c.number, false)
	if patience := g.exp(g.shape.ttl / 2); g.rand.IntN(2) == 0 {
		o, number := c.pending, c.number
		g.after(patience, func() { g.giveUp(c, r, o, number) })
	}
}

// send asks for a change again and again.
func (g *game) send(c *caller, r *request, o *Op, number int, back bool) {
	if *c.crashed || c.state != holds || c.req != r || !back && c.pending != o || back && c.number != number {
		return
	}
	g.message(func() {
		out := g.change(r, number, o, back)
		var token uint64
		if h := g.find(r); h != nil {
			token = h.token
		}
		if out == Open {
			return
		}
		g.message(func() {
			if !back {
				g.changed(c, r, o, out, token)
			} else if c.number == number {
				c.number++ // it is not sent any more
			}
		})
	})
	g.after(g.shape.ttl/8, func() { g.send(c, r, o, number, back) })
}

// upgraded is the answer to an Upgrade that waited.
func (g *game) upgraded(h *holding, number int) {
	c, r, token := h.r.call, h.r, h.token
	g.message(func() {
		if c.number == number && c.pending != nil {
			g.changed(c, r, c.pending, Done, token)
		}
	})
}

// changed is the answer to a change. It may still come when the lock is being
// released, but that it was not held says nothing then: an earlier copy may have
// been carried out before the release.
func (g *game) changed(c *caller, r *request, o *Op, out Outcome, token uint64) {
	if *c.crashed || c.state == closed || c.state == asking || c.req != r || c.pending != o || out == NotHeld && c.state == releasing {
		return
	}
	c.pending = nil
	o.Outcome, o.Returned = out, g.now
	if out == Done && o.Kind <= Downgrade {
		c.mode = o.Mode
	}
	if out == Done && o.Kind == Upgrade {
		o.Token = token
		g.seen = append(g.seen, token)
	}
	g.after(g.exp(g.shape.ttl/8), func() { g.alter(c, r) })
}

// giveUp is Unchange: an Upgrade is taken back by a further number.
func (g *game) giveUp(c *caller, r *request, o *Op, number int) {
	if *c.crashed || c.state != holds || c.req != r || c.pending != o {
		return
	}
	c.pending = nil
	o.Outcome, o.Returned = GaveUp, g.now
	switch o.Kind {
	case Upgrade:
		c.number = number + 1
		g.send(c, r, &Op{Mode: c.mode}, c.number, true)
	case Downgrade: // it counts as being there
		c.mode = o.Mode
		c.number = number + 1
		g.send(c, r, &Op{Mode: c.mode}, c.number, true)
	}
	g.after(g.exp(g.shape.ttl/8), func() { g.alter(c, r) })
}

// others are those that look, evict, and lose configurations.
func (g *game) others() {
	for range int(g.looks + g.rand.Float64()) {
		g.after(g.exp(g.pace/2), g.aLook)
	}
	if g.chance(g.evicts) {
		g.after(g.exp(g.pace/2), g.anEviction)
	}
	if g.chance(g.lost) && !g.down {
		g.after(0, g.lose)
	}
}

func (g *game) aLook() {
	kind := Read
	if g.rand.IntN(2) == 0 {
		kind = Inspect
	}
	o := g.op(Op{Call: 10000 + len(g.ops), Kind: kind})
	g.message(func() {
		if g.down {
			return
		}
		holders, value := g.look(), g.value
		if kind == Read {
			holders = nil
		}
		for _, h := range holders {
			g.seen = append(g.seen, h.Token)
		}
		g.message(func() { o.Outcome, o.Returned, o.Holders, o.Value = Done, g.now, holders, value })
	})
}

func (g *game) anEviction() {
	if len(g.seen) == 0 {
		return
	}
	token := g.seen[max(0, len(g.seen)-1-g.rand.IntN(4))]
	o := g.op(Op{Call: 10000 + len(g.ops), Kind: Evict, Token: token})
	var wanted *holding
	var again func()
	again = func() {
		if o.Outcome != Open || g.now > o.Invoked+3*g.shape.ttl {
			if o.Outcome == Open {
				o.Outcome, o.Returned = GaveUp, g.now
			}
			return
		}
		g.message(func() {
			var out Outcome
			if wanted, out = g.evict(token, wanted); out != Open {
				g.message(func() {
					if o.Outcome == Open {
						o.Outcome, o.Returned = out, g.now
					}
				})
			}
		})
		g.after(g.shape.ttl/8, again)
	}
	again()
}
