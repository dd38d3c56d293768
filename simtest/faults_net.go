package simtest

import (
	"slices"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// Faults of the network.

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
	if !s.plain && s.r.IntN(3) == 0 {
		return pick(s.r,
			KindSet(ownership.KindAlter),
			KindSet(ownership.KindAlter, ownership.KindAnswer),
			KindSet(ownership.KindQuery),
			KindSet(ownership.KindReport),
			KindSet(ownership.KindRevoke),
			KindSet(ownership.KindNotice),
			KindSet(ownership.KindNotice, ownership.KindHeartbeatAck),
			KindSet(ownership.KindAcquire, ownership.KindRelease, ownership.KindAlter, ownership.KindRevoke))
	}
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

// limbo keeps an owner, and whoever holds what it owns, from hearing of the next
// view, while the voters are made to drop it: for as long as its lease lasts there
// are two who take themselves for the owner. What certifies its writes comes late.
func (s *swarm) limbo() {
	v := s.Checker.chain
	if v == nil {
		return
	}
	ttl := s.Params.MembershipTTL
	key := s.keys[s.r.IntN(len(s.keys))]
	g := v.Groups[partitionOf(key, s.Params)]
	own := s.ByID(g.Owner())
	if own == nil {
		return
	}
	in := []*Node{own}
	if k := s.Checker.keys[key]; k != nil {
		for _, c := range k.believers {
			if !c.Node.Crashed && c.Node != own {
				in = append(in, c.Node)
			}
		}
	}
	if s.r.IntN(2) == 0 {
		if n := s.ByID(g.Replicas[s.r.IntN(len(g.Replicas))]); n != nil {
			in = append(in, n)
		}
	}
	news := KindSet(ownership.KindDecided, ownership.KindPrepare, ownership.KindPropose, ownership.KindAskView, ownership.KindSeal, ownership.KindInstall)
	d := ttl + s.exp(ttl)
	for _, x := range in {
		for _, o := range s.up() {
			if slices.Contains(in, o) {
				continue
			}
			s.Do(Action{Verb: Lose, Node: o.Name, Other: x.Name, Kinds: news})
			s.later(d, Action{Verb: Lose, Node: o.Name, Other: x.Name})
			if x == own {
				s.Do(Action{Verb: Lose, Node: x.Name, Other: o.Name, Kinds: KindSet(ownership.KindRenew)})
				s.later(d, Action{Verb: Lose, Node: x.Name, Other: o.Name})
				s.Do(Action{Verb: LieDead, Node: o.Name, Other: x.Name})
				s.later(d, Action{Verb: Truth, Node: o.Name, Other: x.Name})
				if s.r.IntN(2) == 0 {
					at := s.exp(ttl / 3)
					s.later(at, Action{Verb: Clog, Node: o.Name, Other: x.Name, Kinds: KindSet(ownership.KindAcceptAck, ownership.KindConfirmAck)})
					s.later(at+s.exp(ttl/2), Action{Verb: Unclog, Node: o.Name, Other: x.Name})
				}
			}
		}
	}
}

// exile lets a node know that it was dropped, and then hear nobody for so long that
// it forgets its mesh.
func (s *swarm) exile() {
	n := s.target()
	if n != nil && s.r.IntN(3) != 0 {
		n = s.Nodes[0] // whoever founded, perhaps alone
	}
	if s.Checker.chain == nil || n == nil || n.Crashed || len(s.up()) < 3 {
		return
	}
	ttl := s.Params.MembershipTTL
	for _, o := range s.up() {
		if o == n {
			continue
		}
		// Its Joins are lost too: else it would be back at once.
		s.Do(Action{Verb: Lose, Node: n.Name, Other: o.Name, Kinds: KindSet(ownership.KindRenew, ownership.KindJoin)})
		s.later(4*ttl, Action{Verb: Lose, Node: n.Name, Other: o.Name})
		s.Do(Action{Verb: LieDead, Node: o.Name, Other: n.Name})
		s.later(4*ttl, Action{Verb: Truth, Node: o.Name, Other: n.Name})
		s.After(ttl+ttl/2, func() {
			if !s.over && !o.Crashed && !n.Crashed {
				s.cutFor(n, o, 12*ttl+s.exp(4*ttl), false)
			}
		})
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
