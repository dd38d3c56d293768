package linear

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"time"
)

// This file makes up histories: clients (caller_test.go, alter_test.go, looker_test.go)
// of a correct lock table (table_test.go), with clocks that drift and messages that
// are late or lost, and writes down what they are told. What an owner and its clients
// are free to do by the rules of package ownership should happen here, so that none of
// it is ever called wrong.

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
	moves          float64       // take-overs without loss, per call
	late           float64       // of an end: how often it comes later than it could
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
	ops      []*Op
	calls    int
	sets     int
	seen     []uint64 // tokens that clients were told or saw
	truth    []moment
	watchers []*watcher
	watches  int
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
	line     bool // somebody waits, or may do so again at a new owner
	down     bool
}

// note writes the truth down, and shows it to watchers.
func (g *game) note() {
	m := moment{from: g.now, to: Forever, value: g.value, line: len(g.line) > 0 || g.upgrader() != nil || g.now < g.settled, down: g.down}
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
	g.show()
}

// clock is the time of a game, and what is to happen.
type clock struct {
	rand  *rand.Rand
	now   time.Duration
	queue timers
	order int
}

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
	heap.Push(&c.queue, timer{c.now + max(0, d), c.order, do})
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

// ask brings a message to the owner: one of another term does not take it.
func (g *game) ask(do func()) {
	term := g.term
	g.message(func() {
		if !g.down && g.term == term {
			do()
		}
	})
}

func generate(seed uint64, sh shape) played {
	c := &clock{rand: rand.New(rand.NewPCG(seed, 0x11ea))}
	g := &game{shape: sh, clock: c, table: table{clock: c, ttl: sh.ttl, late: sh.late}}
	g.tell, g.tied, g.let = g.answer, g.upgraded, g.letGo
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
		if o.Kind != 0 {
			p.Ops = append(p.Ops, *o)
		}
	}
	return p
}

func (g *game) op(o Op) *Op {
	o.Invoked, o.Returned = g.now, -1
	g.ops = append(g.ops, &o)
	return &o
}

// at is an op that is over at once.
func (g *game) at(o Op) *Op {
	x := g.op(o)
	x.Returned = g.now
	return x
}
