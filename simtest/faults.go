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
	return append(names, "loss", "twice", "growth", "wild")
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

// drawClasses draws which faults are on, and the network's own.
func (s *swarm) drawClasses(only []string) {
	r, net, ttl := s.r, &s.Net, s.Params.MembershipTTL
	allowed := func(name string) bool { return only == nil || slices.Contains(only, name) }
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
	if r.IntN(10) == 0 && allowed("wild") {
		s.Checker.Wild = true
		s.classes = append(s.classes, &class{name: "wild", do: (*swarm).wild})
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

func (s *swarm) cut() {
	if a, b := s.pair(); a != nil {
		s.cutFor(a, b, s.while(), s.r.IntN(2) == 0)
	}
}

func (s *swarm) cutFor(a, b *Node, d time.Duration, oneWay bool) {
	s.Do(Action{Verb: Cut, Node: a.Name, Other: b.Name})
	s.later(d, Action{Verb: Mend, Node: a.Name, Other: b.Name})
	if !oneWay {
		s.Do(Action{Verb: Cut, Node: b.Name, Other: a.Name})
		s.later(d, Action{Verb: Mend, Node: b.Name, Other: a.Name})
	}
}

// split partitions the network: one node alone, halves, random groups, or halves
// with a bridge; at times one way only; and then for a least duration, since a
// partition that heals at once shows nothing.
func (s *swarm) split() {
	up := s.up()
	if len(up) < 2 {
		return
	}
	side := make(map[*Node]int)
	bridge := (*Node)(nil)
	switch s.r.IntN(4) {
	case 0:
		side[s.target()] = 1
	case 1:
		bridge = s.target()
		fallthrough
	case 2:
		for i, j := range s.r.Perm(len(up)) {
			side[up[j]] = i % 2
		}
	default:
		groups := 2 + s.r.IntN(3)
		for _, n := range up {
			side[n] = s.r.IntN(groups)
		}
	}
	d := s.Params.MembershipTTL/2 + s.while()
	oneWay := s.r.IntN(4) == 0
	for i, a := range up {
		for _, b := range up[i+1:] {
			if side[a] != side[b] && a != bridge && b != bridge {
				if side[a] > side[b] {
					a, b = b, a
				}
				s.cutFor(a, b, d, oneWay)
			}
		}
	}
}

// links are some ways through the network: one, all into a node, all out of it,
// all into some of the nodes, or all.
func (s *swarm) links(kinds Kinds, f func(a, b *Node)) {
	n, up := s.target(), s.up()
	shape := s.r.IntN(8)
	some := map[*Node]bool{}
	for _, x := range up {
		some[x] = s.r.IntN(2) == 0
	}
	for _, a := range up {
		for _, b := range up {
			if a == b {
				continue
			}
			switch shape {
			case 0:
				if a == n {
					f(a, b)
				}
			case 1:
				if b == n {
					f(a, b)
				}
			case 2:
				f(a, b)
			case 3, 4:
				if some[b] {
					f(a, b)
				}
			}
		}
	}
	if shape > 4 {
		if a, b := s.way(kinds); a != nil {
			f(a, b)
		}
	}
}

// clog lets a link stand still and then deliver all at once. A swizzle: several
// links stop one after the other and go on in another order (FoundationDB).
func (s *swarm) clog() {
	d := s.while()
	s.links(AllKinds, func(a, b *Node) {
		s.Do(Action{Verb: Clog, Node: a.Name, Other: b.Name, Kinds: AllKinds})
		s.later(d+s.exp(d/4), Action{Verb: Unclog, Node: a.Name, Other: b.Name})
	})
}

// biased are sets of kinds that an adversary holds back: acknowledgements,
// decisions, and each kind by itself.
func (s *swarm) biased() Kinds {
	if s.r.IntN(2) == 0 {
		return pick(s.r,
			KindSet(ownership.KindAcceptAck, ownership.KindConfirmAck),
			KindSet(ownership.KindDecided),
			KindSet(ownership.KindRenewAck),
			KindSet(ownership.KindAccepted, ownership.KindPromise),
			KindSet(ownership.KindAnswer, ownership.KindHeartbeatAck),
			KindSet(ownership.KindSettled, ownership.KindSettledAck),
			KindSet(ownership.KindHeartbeat, ownership.KindHeartbeatAck),
			KindSet(ownership.KindSealAck, ownership.KindInstall),
			KindSet(ownership.KindInstall),
			KindSet(ownership.KindAccept, ownership.KindInstall),
			KindSet(ownership.KindDecided, ownership.KindSeal),
			KindSet(ownership.KindJoin),
			KindSet(ownership.KindContact, ownership.KindFound, ownership.KindFoundAck),
			KindSet(ownership.KindAcquire, ownership.KindRelease))
	}
	return KindSet(ownership.Kind(1 + s.r.IntN(len(kindNames))))
}

// hold keeps some kinds of messages back and delivers them late: plain random
// delays hardly ever let one old message meet a much later state.
func (s *swarm) hold() {
	kinds, d := s.biased(), s.while()
	s.links(kinds, func(a, b *Node) {
		s.Do(Action{Verb: Clog, Node: a.Name, Other: b.Name, Kinds: kinds})
		s.later(d, Action{Verb: Unclog, Node: a.Name, Other: b.Name})
	})
}

// lose is a way on which some kinds do not pass for a while; gossip sees nothing.
func (s *swarm) lose() {
	kinds, d := s.biased(), s.while()
	s.links(kinds, func(a, b *Node) {
		s.Do(Action{Verb: Lose, Node: a.Name, Other: b.Name, Kinds: kinds})
		s.later(d, Action{Verb: Lose, Node: a.Name, Other: b.Name})
	})
}

// way is one link of those that matter for a kind: between an owner and its
// replicas, a voter and a member, a client and an owner.
func (s *swarm) way(kinds Kinds) (a, b *Node) {
	v := s.Checker.chain
	if v == nil {
		return s.pair()
	}
	g := v.Groups[partitionOf(s.keys[s.r.IntN(len(s.keys))], s.Params)]
	own, other := s.ByID(g.Owner()), s.ByID(g.Replicas[s.r.IntN(len(g.Replicas))])
	if kinds&viewKinds != 0 {
		own, other = s.ByID(v.Voters[s.r.IntN(len(v.Voters))]), s.target()
	}
	if own == nil || other == nil || own == other {
		return s.pair()
	}
	if s.r.IntN(2) == 0 {
		return own, other
	}
	return other, own
}

var viewKinds = KindSet(ownership.KindPrepare, ownership.KindPromise, ownership.KindPropose, ownership.KindAccepted, ownership.KindDecided, ownership.KindRenew,
	ownership.KindRenewAck, ownership.KindJoin)

// echo doubles some kinds for a while, and the copies come late.
func (s *swarm) echo() {
	kinds, mean := s.biased(), pick(s.r, s.Params.MembershipTTL/4, 2*s.Params.MembershipTTL, s.Params.MaxTTL)
	s.Net.Echo, s.Net.EchoDelay = kinds, mean
	s.After(s.while(), func() { s.Net.Echo = 0 })
}

// corner cuts an owner off together with somebody who holds or wants what it owns:
// for as long as its lease lasts it knows nothing of who takes over.
func (s *swarm) corner() {
	v := s.Checker.chain
	if v == nil {
		return
	}
	key := s.keys[s.r.IntN(len(s.keys))]
	in := []*Node{s.ByID(v.Groups[partitionOf(key, s.Params)].Owner())}
	if in[0] == nil {
		return
	}
	if k := s.Checker.keys[key]; k != nil {
		for _, c := range k.believers {
			if !c.Node.Crashed && s.r.IntN(3) != 0 {
				in = append(in, c.Node)
			}
		}
	}
	if n := s.target(); n != nil && s.r.IntN(3) == 0 {
		in = append(in, n)
	}
	d := s.Params.MembershipTTL + time.Duration((0.5+s.r.Float64())*float64(s.Params.MaxTTL))
	if s.r.IntN(2) == 0 {
		d = s.while()
	}
	for _, a := range in {
		for _, b := range s.up() {
			if !slices.Contains(in, b) {
				s.cutFor(a, b, d, false)
			}
		}
	}
}

// blackout cuts every link, or stops every node, and lets them go on one after the
// other: a switch that reboots, laptops that sleep.
func (s *swarm) blackout() {
	d := s.while()
	stop := s.r.IntN(2) == 0
	for i, a := range s.up() {
		if stop {
			s.Do(Action{Verb: Pause, Node: a.Name})
			s.later(d+s.exp(s.Params.MembershipTTL/40), Action{Verb: Resume, Node: a.Name, N: s.r.IntN(2)})
			continue
		}
		for _, b := range s.up()[i+1:] {
			s.cutFor(a, b, d, false)
		}
	}
}

// duel lets two voters want different views at a time: each hears nothing of one
// member, and believes gossip that calls it dead. What they send for their ballots
// is held back here and there.
func (s *swarm) duel() {
	v := s.Checker.chain
	if v == nil || len(v.Members) < 3 {
		return
	}
	d := 2 * s.Params.MembershipTTL
	for range 2 {
		a, x := s.ByID(v.Voters[s.r.IntN(len(v.Voters))]), s.target()
		if a == nil || x == a {
			continue
		}
		s.Do(Action{Verb: Lose, Node: x.Name, Other: a.Name, Kinds: KindSet(ownership.KindRenew)})
		s.later(d, Action{Verb: Lose, Node: x.Name, Other: a.Name})
		s.Do(Action{Verb: LieDead, Node: a.Name, Other: x.Name})
		s.later(d, Action{Verb: Truth, Node: a.Name, Other: x.Name})
	}
	for range 1 + s.r.IntN(5) {
		a, b := s.way(viewKinds)
		if a == nil {
			continue
		}
		k := pick(s.r, ownership.KindPropose, ownership.KindAccepted, ownership.KindDecided, ownership.KindPromise)
		at := s.exp(s.Params.MembershipTTL)
		s.later(at, Action{Verb: Clog, Node: a.Name, Other: b.Name, Kinds: KindSet(k)})
		s.later(at+s.exp(s.Params.MembershipTTL), Action{Verb: Unclog, Node: a.Name, Other: b.Name})
	}
}

func (s *swarm) slow() {
	factor, d := pick(s.r, 10, 100, 1000), s.while()
	s.links(AllKinds, func(a, b *Node) {
		s.Do(Action{Verb: Slow, Node: a.Name, Other: b.Name, N: factor})
		s.later(d, Action{Verb: Slow, Node: a.Name, Other: b.Name})
	})
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

// wild lets a clock jump, or run far beyond the bound.
func (s *swarm) wild() {
	if n := s.target(); n != nil {
		jump := time.Duration((s.r.Float64() - 0.3) * 2 * float64(s.Params.MaxTTL))
		s.Do(Action{Verb: Clock, Node: n.Name, For: jump, Rate: pick(s.r, 0, 300_000, -300_000, s.r.IntN(200_000)-100_000)})
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
