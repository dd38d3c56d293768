package linear

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"time"
)

// This file plays a correct lease lock: one table that never fails, clients with
// clocks that drift, messages that are late or lost. It shares nothing with the
// model: things happen at moments here, and clients see them through messages.

// shape is what a generated history is like.
type shape struct {
	calls, clients int
	ttl, pace      time.Duration // pace: mean time between two calls of a client
	delay          time.Duration // mean of one way
	loss           float64       // of one message
	crash          float64       // of a client, per call
}

var bench = shape{calls: 300, clients: 10, ttl: 3 * time.Second, pace: 9 * time.Second, delay: 60 * time.Millisecond, loss: 0.1, crash: 0.01}

const drift = 0.01

// played is a history and what really happened.
type played struct {
	history History
	holds   []hold // by time
}

// hold is a time at which a call held the key in truth.
type hold struct {
	call     int
	token    uint64
	from, to time.Duration
}

type game struct {
	shape
	rand   *rand.Rand
	now    time.Duration
	queue  timers
	order  int
	ops    []*Op
	calls  int
	token  uint64
	holder *request
	wait   []*request
	holds  []hold
}

// request is one identity of a call at the owner.
type request struct {
	call     *caller
	closed   bool
	sent     time.Duration // the newest copy that came, and when it came
	heard    time.Duration
	outcome  Outcome
	expires  time.Duration
	released bool
	token    uint64
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
}

const (
	asking = iota
	holding
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

func (g *game) after(d time.Duration, do func()) {
	g.order++
	heap.Push(&g.queue, timer{g.now + d, g.order, do})
}

// message loses, or brings later.
func (g *game) message(do func()) {
	if g.rand.Float64() >= g.loss {
		g.after(g.exp(g.delay), do)
	}
}

func (g *game) exp(mean time.Duration) time.Duration {
	return time.Duration(g.rand.ExpFloat64() * float64(mean))
}

func generate(seed uint64, sh shape) played {
	g := &game{shape: sh, rand: rand.New(rand.NewPCG(seed, 0x11ea))}
	for c := range sh.clients {
		g.after(g.exp(g.pace/4), func() { g.client(c, new(bool)) })
	}
	for len(g.queue) > 0 && g.now < time.Duration(sh.calls)*(sh.ttl+sh.pace) {
		t := heap.Pop(&g.queue).(timer)
		g.now = t.at
		t.do()
	}
	if g.holder != nil {
		g.holds[len(g.holds)-1].to = Forever
	}
	p := played{history: History{Key: "k"}, holds: g.holds}
	for _, o := range g.ops {
		p.history.Ops = append(p.history.Ops, *o)
	}
	return p
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
	late := time.Duration(float64(g.ttl) * (1 - drift) / (1 + drift))
	c.lock = &Op{Call: c.id, Client: n, Kind: kind, Invoked: g.now, Returned: -1, Late: g.now + late}
	g.ops = append(g.ops, c.lock)
	g.ask(c)
	if g.rand.Float64() < g.crash {
		g.after(g.exp(g.ttl/2), func() { *crashed = true })
	}
	g.after(g.exp(g.ttl/2), func() { g.close(c) })
	g.after(g.exp(g.pace), func() { g.client(n, crashed) })
}

// ask sends a request under a new identity, again and again.
func (g *game) ask(c *caller) {
	c.state = asking
	c.req = &request{call: c}
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
	g.after(g.ttl/8, func() { g.repeat(c, r, while, arrive) })
}

// acquire is the owner's.
func (g *game) acquire(r *request, sent time.Duration) {
	r.sent, r.heard = max(r.sent, sent), g.now
	g.expire()
	switch {
	case g.holder == r:
		g.keep(r)
	case r.closed || slices.Contains(g.wait, r):
	case g.holder == nil:
		g.grant(r)
	case r.call.lock.Kind == Try:
		r.closed, r.outcome = true, Busy
	default:
		g.wait = append(g.wait, r)
	}
	g.answer(r)
}

// lease is how long the owner waits in true time.
func (g *game) lease() time.Duration {
	return time.Duration(float64(g.ttl) * (1 + 2*drift*g.rand.Float64()))
}

func (g *game) grant(r *request) {
	g.token += 1 + g.rand.Uint64N(3)
	r.token, g.holder = g.token, r
	g.holds = append(g.holds, hold{r.call.id, r.token, g.now, -1})
	g.keep(r)
	g.answer(r)
}

// keep sets the end of the lease by what was heard of it last.
func (g *game) keep(r *request) {
	r.expires = max(r.expires, r.heard+g.lease())
	g.after(max(0, r.expires-g.now), g.expire)
}

func (g *game) answer(r *request) {
	token, outcome, c, sent := r.token, r.outcome, r.call, r.sent
	if g.holder == r {
		outcome = Granted
	} else if outcome == Open {
		return
	}
	g.message(func() { g.told(c, r, outcome, token, sent) })
}

// told is the client's.
func (g *game) told(c *caller, r *request, outcome Outcome, token uint64, sent time.Duration) {
	if *c.crashed || c.state != asking || c.req != r {
		return
	}
	switch outcome {
	case Busy:
		c.state = closed
		c.lock.Outcome, c.lock.Returned = Busy, g.now
	case Lost: // granted and expired on the way
		g.ask(c)
	case Granted:
		c.deadline = sent + time.Duration(float64(g.ttl)*(1-drift)/c.rate)
		if g.now >= c.deadline {
			c.state = releasing
			g.repeat(c, r, releasing, func(time.Duration) { g.release(c, r) })
			return
		}
		c.state = holding
		c.lock.Outcome, c.lock.Returned, c.lock.Token, c.lock.MayExpire = Granted, g.now, token, sent+g.ttl
		g.deadline(c)
		if g.rand.IntN(4) > 0 {
			g.after(g.ttl/3, func() { g.renew(c, r) })
		}
	}
}

func (g *game) deadline(c *caller) {
	g.after(c.deadline-g.now, func() {
		if *c.crashed || c.state != holding || g.now < c.deadline {
			return
		}
		c.state = closed
		g.ops = append(g.ops, &Op{Call: c.id, Client: c.client, Kind: Renew, Invoked: c.lock.Returned, Returned: g.now, Outcome: Lost})
		if r := c.req; g.rand.IntN(2) == 0 {
			g.message(func() { g.end(r, false) })
		}
	})
}

func (g *game) renew(c *caller, r *request) {
	if *c.crashed || c.state != holding {
		return
	}
	sent := g.now
	g.message(func() {
		g.expire()
		held := g.holder == r
		if held {
			r.heard = g.now
			g.keep(r)
		}
		g.message(func() {
			if *c.crashed || c.state != holding {
				return
			}
			if !held { // the deadline comes first: no correct lock says Missing
				panic("the generator is wrong")
			}
			g.ops = append(g.ops, &Op{Call: c.id, Client: c.client, Kind: Renew, Invoked: sent, Returned: g.now, Outcome: Renewed, MayExpire: sent + g.ttl})
			c.deadline = max(c.deadline, sent+time.Duration(float64(g.ttl)*(1-drift)/c.rate))
			g.deadline(c)
		})
	})
	g.after(g.ttl/3, func() { g.renew(c, r) })
}

// close is Unlock: releases or cancels.
func (g *game) close(c *caller) {
	if *c.crashed || c.state == closed || c.unlock != nil {
		return
	}
	c.unlock = &Op{Call: c.id, Client: c.client, Kind: Unlock, Invoked: g.now, Returned: -1}
	g.ops = append(g.ops, c.unlock)
	if c.state == releasing { // a grant that came too late is on its way back already
		return
	}
	c.state, c.releases = releasing, 0
	g.repeat(c, c.req, releasing, func(time.Duration) { g.release(c, c.req) })
	g.after(2*g.ttl, func() {
		if !*c.crashed && c.state == releasing {
			c.state = closed
			c.unlock.Outcome, c.unlock.Returned = GaveUp, g.now
		}
	})
}

func (g *game) release(c *caller, r *request) {
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
		case released || c.releases > 1:
			c.unlock.Outcome = Released
		}
	})
}

// end takes a request out of the table.
func (g *game) end(r *request, released bool) {
	r.closed = true
	g.wait = slices.DeleteFunc(g.wait, func(w *request) bool { return w == r })
	if r.outcome == Open {
		r.outcome = Lost
	}
	if g.holder != r {
		return
	}
	r.released = released
	g.holds[len(g.holds)-1].to = g.now
	g.holder = nil
	if len(g.wait) > 0 {
		next := g.wait[0]
		g.wait = g.wait[1:]
		g.grant(next)
	}
}

func (g *game) expire() {
	if r := g.holder; r != nil && g.now >= r.expires {
		g.end(r, false)
	}
}
