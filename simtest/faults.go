package simtest

import (
	"slices"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// class is one kind of fault. A run draws which are on; each comes again and
// again with its own mean interval.
type class struct {
	name string
	do   func(*swarm)
	// rare is how much less often than others it is on, 0 and 1: as often.
	rare int
}

// Classes are the fault classes by name, for Options.Faults.
func Classes() []string {
	var names []string
	for _, c := range classes {
		names = append(names, c.name)
	}
	for _, c := range clockClasses {
		names = append(names, c.name)
	}
	return append(names, "loss", "twice", "growth")
}

var classes = []class{
	{"crash", (*swarm).crash, 0},
	{"mass", (*swarm).mass, 4},
	{"restart", (*swarm).restart, 0},
	{"pause", (*swarm).pause, 0},
	{"cut", (*swarm).cut, 0},
	{"split", (*swarm).split, 0},
	{"clog", (*swarm).clog, 0},
	{"hold", (*swarm).hold, 0},
	{"lose", (*swarm).lose, 0},
	{"slow", (*swarm).slow, 2},
	{"echo", (*swarm).echo, 0},
	{"corner", (*swarm).corner, 0},
	{"blackout", (*swarm).blackout, 2},
	{"limbo", (*swarm).limbo, 0},
	{"exile", (*swarm).exile, 3},
	{"duel", (*swarm).duel, 2},
	{"lie", (*swarm).lie, 0},
	{"stale", (*swarm).stale, 2},
	{"join", (*swarm).join, 0},
	{"leave", (*swarm).leave, 0},
	{"roll", (*swarm).roll, 4},
	{"site", (*swarm).site, 0},
	{"trap", nil, 0}, // see setTrap
	{"refound", (*swarm).refound, 3},
}

var calmClasses = []string{"crash", "mass", "restart", "join", "leave", "roll", "growth", "site", "loss", "twice"}

// drawClasses draws which faults are on, and the network's own.
func (s *swarm) drawClasses(only []string) {
	r, net, ttl := s.r, &s.Net, s.Params.MembershipTTL
	// In calm runs nodes only come and go: some promises are exact there alone.
	calm := r.IntN(6) == 0
	allowed := func(name string) bool {
		return (only == nil || slices.Contains(only, name)) && (!calm || slices.Contains(calmClasses, name))
	}
	chance := pick(r, 2, 3, 6)
	for i := range classes {
		c := &classes[i]
		// The draws are made whatever is allowed: limiting the classes leaves the
		// others as they were.
		if on := r.IntN(chance*max(1, c.rare)) == 0; on && allowed(c.name) {
			s.classes = append(s.classes, c)
		}
	}
	loss, twice, late := 0.3*r.Float64(), 0.3*r.Float64(), pick(r, 0, 0, ttl/4, 2*ttl, s.Params.MaxTTL)
	if r.IntN(3) == 0 && allowed("loss") {
		net.Loss = loss
	}
	if r.IntN(3) == 0 && allowed("twice") {
		net.Twice, net.LateCopy = twice, late
	}
	if r.IntN(8) == 0 && allowed("growth") {
		s.classes = append(s.classes, &class{name: "growth", do: (*swarm).grow})
	}
	for _, c := range clockClasses {
		if r.IntN(16) == 0 && allowed(c.name) {
			s.classes = append(s.classes, &c)
		}
	}
	if s.edge && allowed("corner") {
		s.classes = append(s.classes, &class{name: "corner", do: (*swarm).corner})
	}
	if s.on("trap") {
		s.drawTrap()
	}
}

func (s *swarm) on(name string) bool {
	return slices.ContainsFunc(s.classes, func(c *class) bool { return c.name == name })
}

// plan lets a class come again and again.
func (s *swarm) plan(c *class) {
	if c.do == nil {
		return
	}
	mean := s.gap * time.Duration(len(s.classes)*max(1, c.rare))
	var next func()
	next = func() {
		if s.over {
			return
		}
		s.faults++
		c.do(s)
		s.After(s.exp(mean), next)
	}
	s.After(s.exp(mean), next)
}

// target is a running node, nil if there is none: as often as not one with a part
// to play for a key that clients want.
func (s *swarm) target() *Node {
	up := s.up()
	if len(up) == 0 {
		return nil
	}
	any := up[s.r.IntN(len(up))]
	v := s.Checker.chain
	if v == nil {
		return any
	}
	key := s.keys[s.r.IntN(len(s.keys))]
	g := v.Groups[partitionOf(key, s.Params)]
	var id ownership.NodeID
	switch s.r.IntN(8) {
	case 0, 1:
		id = g.Owner()
	case 2:
		id = g.Replicas[s.r.IntN(len(g.Replicas))]
	case 3:
		id = v.Voters[s.r.IntN(len(v.Voters))]
	case 4:
		if k := s.Checker.keys[key]; k != nil && len(k.believers) > 0 && !k.believers[0].Node.Crashed {
			return k.believers[0].Node
		}
	}
	if n := s.ByID(id); n != nil {
		return n
	}
	return any
}

// pair is two different running nodes.
func (s *swarm) pair() (a, b *Node) {
	a, b = s.target(), s.target()
	if a == b {
		return nil, nil
	}
	return a, b
}

// while is how long a fault lasts: around the lengths that the protocol counts in.
func (s *swarm) while() time.Duration {
	p := s.Params
	base := pick(s.r, p.MembershipTTL/8, p.MembershipTTL/2, p.MembershipTTL, 2*p.MembershipTTL, 4*p.MembershipTTL, p.MaxTTL, p.MaxTTL/2)
	if s.r.IntN(2) == 0 {
		return base + time.Duration((s.r.Float64()-0.3)*0.4*float64(base)) // just before or beyond
	}
	return s.exp(base)
}

func (s *swarm) later(d time.Duration, a Action) {
	s.After(d, func() {
		if !s.healed {
			s.Do(a)
		}
	})
}

// spare says that a node can be lost for good: the mesh goes on without it,
// unless this run is to go beyond that.
func (s *swarm) spare(n *Node) bool {
	if n == nil || n.Crashed {
		return false
	}
	if s.beyond || s.early && s.Checker.chain == nil {
		return len(s.up()) > 1
	}
	was := n.outside
	n.outside = true
	fine := s.Checker.Alive()
	n.outside = was
	return fine
}

func (s *swarm) crash() {
	if n := s.target(); s.spare(n) {
		s.Do(Action{Verb: Crash, Node: n.Name})
		if s.r.IntN(2) == 0 {
			s.After(s.exp(s.Params.MembershipTTL), s.join)
		}
	}
}

// restart is a client's process that starts again.
func (s *swarm) restart() {
	if n := s.target(); s.spare(n) {
		s.Do(Action{Verb: Crash, Node: n.Name})
		s.After(s.exp(50*time.Millisecond), s.join)
	}
}

// mass crashes several of one group at once: fewer than, as many as, or more than
// it can miss.
func (s *swarm) mass() {
	v := s.Checker.chain
	if v == nil || len(s.up()) < 3 {
		return
	}
	g := v.Groups[s.r.IntN(len(v.Groups))]
	for _, id := range g.Replicas[:s.r.IntN(len(g.Replicas)+1)] {
		if n := s.ByID(id); s.spare(n) {
			s.Do(Action{Verb: Crash, Node: n.Name})
			s.After(s.exp(s.Params.MembershipTTL), s.join)
		}
	}
}

func (s *swarm) pause() {
	if n := s.target(); n != nil && !n.Frozen {
		s.Do(Action{Verb: Pause, Node: n.Name})
		d := s.while()
		if s.r.IntN(3) == 0 {
			d = 10*time.Millisecond + s.exp(s.Params.MaxTTL)
		}
		s.later(d, Action{Verb: Resume, Node: n.Name, N: s.r.IntN(2)})
	}
}

// lie makes gossip wrong at one node: somebody is dead who is not; at times
// flapping.
func (s *swarm) lie() {
	a, b := s.pair()
	if a == nil {
		return
	}
	at := time.Duration(0)
	for range pick(s.r, 1, 1, 4) {
		s.later(at, Action{Verb: LieDead, Node: a.Name, Other: b.Name})
		at += s.while()
		s.later(at, Action{Verb: Truth, Node: a.Name, Other: b.Name})
		at += s.exp(s.Params.MembershipTTL / 2)
	}
}

// stale keeps gossip's news from a node.
func (s *swarm) stale() {
	if n := s.target(); n != nil {
		s.Do(Action{Verb: Deafen, Node: n.Name})
		s.later(s.while(), Action{Verb: Listen, Node: n.Name})
	}
}

func (s *swarm) leave() {
	if n := s.target(); s.spare(n) {
		s.Do(Action{Verb: LeaveNow, Node: n.Name})
		s.After(s.exp(s.Params.MembershipTTL), s.join)
	}
}

// roll is a rolling restart: one after the other leaves, or is killed, and comes
// back as a new node.
func (s *swarm) roll() {
	verb := pick(s.r, LeaveNow, Crash)
	gap := s.while()
	for i, n := range s.up() {
		at := time.Duration(i) * gap
		s.After(at, func() {
			if !s.over && s.spare(n) {
				s.Do(Action{Verb: verb, Node: n.Name})
			}
		})
		s.After(at+gap/2, s.join)
	}
}

// grow lets the mesh grow 1→3→5 …, and shrink.
func (s *swarm) grow() {
	if len(s.up()) < 6 && s.r.IntN(3) != 0 {
		s.join()
		s.join()
		return
	}
	s.leave()
}

// site turns buggify sites on at a node for a while.
func (s *swarm) site() {
	if n := s.target(); n != nil {
		s.Do(Action{Verb: Site, Node: n.Name, N: 1 + s.r.IntN(1<<ownership.Sites-1)})
		s.later(s.while(), Action{Verb: Site, Node: n.Name})
	}
}

// clockClasses bend clocks. The first stays within the bound; the others go beyond it,
// and what rests on clock rates is not checked from then on.
var clockClasses = []class{{"drift", (*swarm).drift, 0}, {"jump", (*swarm).jump, 0}, {"race", (*swarm).race, 0}}

// drift changes a clock's rate within the bound.
func (s *swarm) drift() {
	if n := s.target(); n != nil {
		bound := s.Params.DriftPPM * 99 / 100
		s.Do(Action{Verb: Clock, Node: n.Name, Rate: pick(s.r, -bound, bound)})
	}
}

// jump sets a clock forward or back.
func (s *swarm) jump() {
	if n := s.target(); n != nil {
		s.Do(Action{Verb: Clock, Node: n.Name, For: time.Duration((s.r.Float64() - 0.3) * 2 * float64(s.Params.MaxTTL)), Rate: n.RatePPM})
	}
}

// race lets a clock run far beyond the bound.
func (s *swarm) race() {
	if n := s.target(); n != nil {
		s.Do(Action{Verb: Clock, Node: n.Name, Rate: pick(s.r, 300_000, -300_000, s.Params.DriftPPM*2+s.r.IntN(100_000))})
	}
}

// refound stops the whole mesh, but for one or two nodes that go on cut off and
// have no majority, and starts another one that knows nothing of it.
func (s *swarm) refound() {
	v := s.Checker.chain
	// Epochs count from the wall clock: fewer than one view a second on average.
	if v == nil || s.founders < 3 || len(s.up()) < 3 || int64(v.Epoch) >= s.Wall+int64(s.Now/time.Second)-epochOrigin {
		return
	}
	spared := 0
	for _, n := range s.up() {
		if spared == 0 && len(v.Voters) >= 3 && n.Core.View() == v && (s.holds(n) || s.r.IntN(4) == 0) {
			spared++
			s.Do(Action{Verb: Outside, Node: n.Name})
			s.After(s.while(), func() { s.meetAgain(n) })
		} else {
			s.Do(Action{Verb: Crash, Node: n.Name})
		}
	}
	s.Do(Action{Verb: Refound})
	n := s.founders
	for range n {
		s.After(s.exp(s.Params.MembershipTTL/2), func() {
			if !s.over {
				s.startNode(n, false)
			}
		})
	}
	s.founders = 0 // once a run
}

func (s *swarm) holds(n *Node) bool {
	for _, name := range s.Checker.names {
		if slices.ContainsFunc(s.Checker.keys[name].believers, func(c *Call) bool { return c.Node == n && s.Checker.believes(c) }) {
			return true
		}
	}
	return false
}

// meetAgain mends the ways of a node that is left over of another mesh. It is not
// counted upon any more.
func (s *swarm) meetAgain(n *Node) {
	if s.Checker.chain == nil { // the fleet that starts would join the dead mesh
		s.After(s.Params.MembershipTTL, func() { s.meetAgain(n) })
		return
	}
	for _, m := range s.up() {
		if m != n && !s.over && m.Core.Phase() == ownership.PhaseMember { // one that is not yet would join the dead mesh
			s.Do(Action{Verb: Mend, Node: n.Name, Other: m.Name})
			s.Do(Action{Verb: Mend, Node: m.Name, Other: n.Name})
		}
	}
}

// epochOrigin is where epochs count from, in unix seconds (package ownership).
const epochOrigin = 946_684_799
