package simtest

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// Result is what a random run came to.
type Result struct {
	Seed     uint64
	Steps    int
	Grants   int
	Views    int
	Faults   int
	Failures []string
	Stack    string // of a panic
}

// play is one random run: which faults are on, and who does what. Each seed
// draws its own mix ("swarm testing", Groce et al. 2012): a run with everything
// on finds less than many with a few things each.
type play struct {
	w       *World
	ch      *Checker
	params  ownership.Params
	nodes   int
	keys    int
	pace    time.Duration // mean time between two things that a client does
	fault   time.Duration // mean time between two faults
	kinds   []func()
	handle  ownership.Handle
	views   int
	faults  int
	healing bool
	started int
	maxTTL  time.Duration
}

// Run plays one seed: a while under faults, then everything heals and must come
// to rest. log, if not nil, is told everything.
func Run(seed uint64, log func(string, ...any)) (res Result) {
	w := New(seed)
	if log != nil {
		w.OnEvent = func(n *Node, e ownership.Event) { log("%v %v ! %T%+v", w.Now, n, e, e) }
		w.OnDeliver = func(from, to *Node, m ownership.Message) { log("%v %v <- %v %T%+v", w.Now, to, from, m, m) }
	}
	p := &play{w: w, ch: NewChecker(w)}
	defer func() {
		res = Result{Seed: seed, Steps: w.Steps, Grants: p.ch.Grants, Views: p.views, Faults: p.faults, Failures: p.ch.Failures}
		if r := recover(); r != nil {
			res.Failures = append(res.Failures, fmt.Sprintf("%v: panic: %v", w.Now, r))
			res.Stack = string(debug.Stack())
		}
	}()
	p.draw()
	p.setUp()
	w.RunFor(p.safetyPhase())
	p.heal()
	p.mustConverge()
	return
}

func (p *play) draw() {
	r := p.w.Rand
	p.nodes = 1 + r.IntN(6)
	p.keys = 1 + r.IntN(4)
	p.params = ownership.Params{Partitions: 1 + r.IntN(4), Replicas: 1 + r.IntN(min(5, p.nodes)), MaxTTL: 6 * time.Second,
		MembershipTTL: 2 * time.Second, DriftPPM: 10_000}
	p.maxTTL = p.params.MaxTTL
	p.pace = []time.Duration{20 * time.Millisecond, 200 * time.Millisecond, time.Second}[r.IntN(3)]
	p.fault = []time.Duration{500 * time.Millisecond, 2 * time.Second, 6 * time.Second}[r.IntN(3)]
	net := &p.w.Net
	if r.IntN(3) == 0 {
		net.MeanDelay = []time.Duration{2 * time.Millisecond, 50 * time.Millisecond, 300 * time.Millisecond}[r.IntN(3)]
	}
	if r.IntN(3) == 0 {
		net.Loss = 0.3 * r.Float64()
	}
	if r.IntN(3) == 0 {
		net.Twice = 0.3 * r.Float64()
	}
	net.RosterDelay = []time.Duration{0, 500 * time.Millisecond, 3 * time.Second}[r.IntN(3)]
	all := []func(){p.crash, p.freeze, p.cut, p.cutOneWay, p.split, p.lie, p.leave, p.join, p.mend}
	for _, k := range all {
		if r.IntN(2) == 0 {
			p.kinds = append(p.kinds, k)
		}
	}
}

func (p *play) safetyPhase() time.Duration {
	return 10*time.Second + time.Duration(p.w.Rand.IntN(60))*time.Second
}

func (p *play) setUp() {
	fresh := p.w.Rand.IntN(4) != 0
	views := map[ownership.Epoch]bool{}
	next := p.w.OnEvent
	p.w.OnEvent = func(n *Node, e ownership.Event) {
		if v, ok := e.(ownership.ViewLearned); ok && !views[v.View.Epoch] {
			views[v.View.Epoch] = true
			p.views++
		}
		next(n, e)
	}
	for range p.nodes {
		p.start(p.nodes, fresh)
	}
	if len(p.kinds) > 0 {
		p.w.After(p.exp(p.fault), p.nextFault)
	}
}

func (p *play) start(founders int, fresh bool) {
	p.started++
	n := p.w.Start(fmt.Sprintf("n%d", p.started), ownership.Config{Params: p.params, Founders: founders, Fresh: fresh})
	n.Offset = time.Duration(p.w.Rand.Int64N(int64(time.Hour)))
	n.RatePPM = p.w.Rand.IntN(19_000) - 9_500 // within the bound
	p.w.After(p.exp(p.pace), func() { p.act(n) })
}

func (p *play) exp(mean time.Duration) time.Duration {
	return time.Duration(p.w.Rand.ExpFloat64() * float64(mean))
}

// act is one thing that a client does, and the next one later.
func (p *play) act(n *Node) {
	if n.Crashed || p.healing {
		return
	}
	if !n.Frozen {
		p.call(n)
	}
	p.w.After(p.exp(p.pace), func() { p.act(n) })
}

func (p *play) call(n *Node) {
	r := p.w.Rand
	p.handle++
	ttl := p.maxTTL * time.Duration(1+r.IntN(4)) / 4
	c := p.ch.Lock(n, ownership.Lock{Handle: p.handle, Key: fmt.Sprintf("k%d", r.IntN(p.keys)), TTL: ttl, Try: r.IntN(2) == 0, NoRenew: r.IntN(4) == 0})
	// Held, or waited for, for a while that is at times longer than the TTL.
	p.w.After(p.exp(p.pace*time.Duration(1+r.IntN(4))), func() { p.end(c) })
	if r.IntN(8) == 0 {
		p.w.After(p.exp(ttl), func() { p.w.Input(n, ownership.Extend{Handle: c.Handle}) })
	}
}

func (p *play) end(c *Call) {
	if c.Node.Crashed || c.Ended != 0 {
		return
	}
	if c.Node.Frozen {
		p.w.After(100*time.Millisecond, func() { p.end(c) })
		return
	}
	p.ch.Unlock(c)
}

func (p *play) nextFault() {
	if p.healing {
		return
	}
	p.faults++
	p.kinds[p.w.Rand.IntN(len(p.kinds))]()
	p.w.After(p.exp(p.fault), p.nextFault)
}

// some returns a random running node, nil if there is none.
func (p *play) some() *Node {
	up := p.up()
	if len(up) == 0 {
		return nil
	}
	return up[p.w.Rand.IntN(len(up))]
}

func (p *play) up() []*Node {
	var up []*Node
	for _, n := range p.w.Nodes {
		if !n.Crashed {
			up = append(up, n)
		}
	}
	return up
}

func (p *play) crash() {
	if n := p.some(); n != nil && len(p.up()) > 1 {
		p.w.Crash(n)
		if p.w.Rand.IntN(2) == 0 {
			p.w.After(p.exp(2*time.Second), p.join)
		}
	}
}

func (p *play) freeze() {
	if n := p.some(); n != nil {
		p.w.Freeze(n)
		p.w.After(p.exp([]time.Duration{300 * time.Millisecond, 3 * time.Second, 10 * time.Second}[p.w.Rand.IntN(3)]), func() { p.w.Thaw(n) })
	}
}

func (p *play) cut() {
	a, b := p.some(), p.some()
	if a != nil && a != b {
		p.w.Cut(a.Name, b.Name)
	}
}

func (p *play) cutOneWay() {
	a, b := p.some(), p.some()
	if a != nil && a != b {
		p.w.CutOneWay(a.Name, b.Name)
	}
}

func (p *play) split() {
	var names []string
	for _, n := range p.up() {
		if p.w.Rand.IntN(2) == 0 {
			names = append(names, n.Name)
		}
	}
	p.w.Split(names...)
	p.w.After(p.exp(5*time.Second), p.mend)
}

func (p *play) mend() { p.w.Mend() }

func (p *play) lie() {
	a, b := p.some(), p.some()
	if a != nil && a != b {
		p.w.Lie(a, b.Name, true)
		p.w.After(p.exp(3*time.Second), func() { p.w.Lie(a, b.Name, false) })
	}
}

func (p *play) leave() {
	if n := p.some(); n != nil && len(p.up()) > 2 {
		p.w.Input(n, ownership.Leave{})
		p.w.After(20*time.Second, func() { p.w.Crash(n) })
		p.w.After(p.exp(2*time.Second), p.join)
	}
}

func (p *play) join() {
	if len(p.up()) < 9 && !p.healing {
		// More founders than there ever are: a joiner that hears nobody must not
		// found a second mesh (fewer than Founders + a majority may be founding).
		p.start(50, false)
	}
}

// heal ends all faults.
func (p *play) heal() {
	p.healing = true
	p.w.Mend()
	p.w.Net.Loss, p.w.Net.Twice = 0, 0
	for _, n := range p.w.Nodes {
		clear(n.dead)
		p.w.Thaw(n)
	}
	p.w.After(p.w.Net.RosterDelay, p.w.rosterChanged)
}

// serving says that a majority of the voters of the newest view is alive: else
// the mesh stops, as it must.
func (p *play) alive() bool {
	var v *ownership.View
	for _, n := range p.up() {
		if s := n.Core.Status(0); s.View != nil && (v == nil || s.View.Epoch > v.Epoch) {
			v = s.View
		}
	}
	if v == nil {
		return false
	}
	alive := 0
	for _, id := range v.Voters {
		for _, n := range p.up() {
			if n.Core.ID() == id && n.Core.Status(0).Phase != ownership.PhaseGone {
				alive++
			}
		}
	}
	return alive > len(v.Voters)/2
}

// mustConverge: after healing, within a bound computed from Params, every lock
// that waits is granted or closed.
func (p *play) mustConverge() {
	w := p.w
	w.RunFor(5 * time.Second)
	if !p.alive() {
		return
	}
	for _, c := range p.ch.Open() {
		p.ch.Unlock(c)
	}
	for _, k := range p.ch.keys {
		for _, c := range k.calls {
			if p.ch.believes(c) {
				p.ch.Unlock(c)
			}
		}
	}
	bound := 4*(p.params.MembershipTTL+p.params.MaxTTL) + 30*time.Second
	if !w.RunUntil(w.Now+bound, func() bool { return w.Steps%64 == 0 && len(p.ch.Open()) == 0 }) && len(p.ch.Open()) > 0 {
		if !p.alive() {
			return
		}
		c := p.ch.Open()[0]
		p.ch.fail("%d calls still open, the first: %s %q handle %d invoked %v", len(p.ch.Open()), c.Node, c.Key, c.Handle, c.Invoked)
		return
	}
	// Every key can be had again.
	n := p.some()
	if n == nil || n.Core.Status(0).Phase != ownership.PhaseMember {
		return
	}
	for i := range p.keys {
		p.handle++
		c := p.ch.Lock(n, ownership.Lock{Handle: p.handle, Key: fmt.Sprintf("k%d", i), TTL: time.Second})
		if !w.RunUntil(w.Now+bound, func() bool { return c.Granted != 0 }) {
			if p.alive() {
				p.ch.fail("%s cannot have %q", n, c.Key)
			}
			return
		}
		p.ch.Unlock(c)
	}
}
