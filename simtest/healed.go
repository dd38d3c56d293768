package simtest

import (
	"slices"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// What a healed mesh is asked for.

// mustRest is the second phase: all faults end, among a random part of the nodes
// that can go on, and everything must come to rest within Bound. It returns
// whether it was asked for at all.
func (s *swarm) mustRest() bool {
	ch := s.Checker
	s.Do(Action{Verb: Heal})
	if s.r.IntN(2) == 0 {
		s.leaveOutside()
	}
	s.RunFor(1) // what heals does so at once
	if !ch.Alive() {
		return false
	}
	if s.r.IntN(6) == 0 {
		if victim := s.victim(); victim != nil {
			return s.mustWork(victim)
		}
	}
	if !s.restWithin(Bound(s.Params)) {
		return false
	}
	s.lookAround()
	s.queueInOrder(s.r.IntN(3) != 0)
	if !s.restWithin(Bound(s.Params)) {
		return false
	}
	if s.r.IntN(6) == 0 && !s.queueInPeace() {
		return false
	}
	if !s.plain && s.r.IntN(4) == 0 && !s.heldUp() {
		return false
	}
	if s.started < 40 {
		s.aside()
		s.startNode(joiner, false)
		if !s.restWithin(Bound(s.Params)) {
			return false
		}
		s.Do(Action{Verb: Rejoined})
	}
	return !ch.failed()
}

// restWithin runs until the mesh is at rest, and lets the checker say so. Whoever
// holds a lock lets go, so that whoever waits gets it.
func (s *swarm) restWithin(d time.Duration) bool {
	ch := s.Checker
	s.letGoAll()
	end, look := s.Now+d, s.Params.MembershipTTL/4
	for s.Now < end && !ch.failed() && ch.Alive() {
		if s.RunFor(look); ch.Unrest() == "" {
			break
		}
	}
	if !ch.failed() {
		s.Do(Action{Verb: Rest})
	}
	return !ch.failed() && ch.Alive()
}

// leaveOutside cuts some nodes off for good, or lets them crash, as long as the
// rest can go on.
func (s *swarm) leaveOutside() {
	for _, n := range s.up() {
		if s.r.IntN(3) != 0 {
			continue
		}
		n.outside = true
		fine := s.Checker.Alive() && len(s.Checker.running()) > 0
		n.outside = false
		if !fine {
			continue
		}
		if s.r.IntN(2) == 0 {
			s.Do(Action{Verb: Crash, Node: n.Name})
		} else {
			s.Do(Action{Verb: Outside, Node: n.Name})
		}
	}
}

// aside goes on to a moment at which nothing happens: what is done next is not done at
// the time of an event, or a trace would not say which of the two came first.
func (s *swarm) aside() {
	for n := -1; n != s.Events; {
		n = s.Events
		s.RunFor(1)
	}
}

// lookAround asks for every key when all is at rest: whoever watches it knows as much.
func (s *swarm) lookAround() {
	ch := s.Checker
	if len(ch.Looking()) == 0 && !s.habits["values"] || ch.failed() {
		return
	}
	s.RunFor(2 * refreshed)
	s.aside()
	up := ch.running()
	for i, key := range s.keys {
		s.Do(Action{Verb: Look, Node: up[i%len(up)].Name, Handle: s.nextHandle(), Key: key})
	}
	s.RunFor(s.Params.MembershipTTL)
}

// queueInPeace lets several wait again, or clients do what they do, when nothing has gone
// wrong for so long that the checks of who is served when, and who is told of it, judge.
func (s *swarm) queueInPeace() bool {
	s.RunFor(2*s.Params.MembershipTTL + 3*s.Params.MaxTTL + time.Second)
	if s.r.IntN(2) == 0 {
		s.queueInOrder(false)
		return s.restWithin(Bound(s.Params))
	}
	s.lets, s.again = false, true
	for _, n := range s.Checker.running() {
		s.After(s.exp(s.pace), func() { s.act(n) })
	}
	s.RunUntil(s.Now+min(60*s.pace, 4*s.Params.MembershipTTL), s.Checker.failed)
	s.again = false
	return !s.Checker.failed() && s.restWithin(Bound(s.Params))
}

// queueInOrder lets several wait for one key, each asking when the one before is
// in line, and may take the owner away: they must be served in that order.
func (s *swarm) queueInOrder(takeAway bool) {
	ch := s.Checker
	up := ch.running()
	if len(up) < 2 || ch.failed() {
		return
	}
	s.aside()
	key := s.someKey()
	v := ch.chain
	p := partitionOf(key, s.Params)
	own := s.ByID(v.Groups[p].Owner())
	s.clutches = true // or the first would let go before the others are in line
	defer func() { s.clutches = false }()
	var holder *Call
	for i := range 5 {
		n := up[s.r.IntN(len(up))]
		if i == 0 && n == own {
			n = up[(slices.Index(up, own)+1)%len(up)] // the owner may go
		}
		mode := s.uses[key]
		if i > 0 || s.r.IntN(2) == 0 {
			mode = s.mode(key)
		} else if mode == ownership.Shared {
			mode = ownership.Exclusive
		}
		if c := s.inLine(n, key, s.Params.MaxTTL, mode); i == 0 {
			holder = c
		}
	}
	if holder.Granted == 0 {
		return // no turn to check; restWithin says what is wrong
	}
	if s.r.IntN(3) == 0 && len(ch.open) > 0 { // somebody in the line gives up
		s.end(ch.open[s.r.IntN(len(ch.open))])
		s.RunFor(2 * s.Params.MembershipTTL)
	}
	switch {
	case takeAway && !s.plain && s.r.IntN(3) == 0:
		s.takeAway(own)
		s.handOver(holder, p)
		return
	case takeAway:
		late := up[s.r.IntN(len(up))]
		if late != own && late != holder.Node && s.r.IntN(2) == 0 {
			s.tellLate(late, up, key)
		}
		s.takeAway(own)
	case s.r.IntN(2) == 0:
		s.RunFor(s.Params.MaxTTL)
	}
	s.RunFor(s.Params.MembershipTTL/2 + s.exp(s.Params.MembershipTTL/4))
	s.lets = true
	s.end(holder)
}

// tellLate keeps the next view from one node until others have asked its new owners
// for something: whoever waits there keeps its turn.
func (s *swarm) tellLate(late *Node, up []*Node, key string) {
	ttl := s.Params.MembershipTTL
	for _, o := range up {
		if o != late {
			s.Do(Action{Verb: Clog, Node: o.Name, Other: late.Name, Kinds: KindSet(ownership.KindDecided)})
			s.After(ttl/3, func() { s.Do(Action{Verb: Unclog, Node: o.Name, Other: late.Name}) })
		}
	}
	newcomer := up[s.r.IntN(len(up))]
	s.After(ttl/4, func() {
		if !newcomer.Crashed {
			s.Do(Action{Verb: Lock, Node: newcomer.Name, Key: key, Handle: s.nextHandle(), For: s.Params.MaxTTL, Mode: s.mode(key)})
		}
	})
}

// takeAway lets a node leave or crash if nothing is lost by it.
func (s *swarm) takeAway(n *Node) {
	v := s.Checker.chain
	n.outside = true
	fine := s.Checker.Alive() && len(s.Checker.running()) > 1
	n.outside = false
	if !fine {
		return
	}
	if s.r.IntN(2) == 0 || min(v.Params.Replicas, len(v.Members)) < 3 {
		s.Do(Action{Verb: LeaveNow, Node: n.Name})
	} else {
		s.Do(Action{Verb: Crash, Node: n.Name})
	}
}

// heldUp lets somebody hold up the line who has room for those behind. Whoever is behind
// must move up when that is over.
func (s *swarm) heldUp() bool {
	ch := s.Checker
	others, key := ch.running(), s.someKey()
	if len(others) < 3 || ch.failed() {
		return !ch.failed()
	}
	s.aside()
	own := s.ByID(ch.chain.Groups[partitionOf(key, s.Params)].Owner())
	others = slices.DeleteFunc(others, func(n *Node) bool { return n == own })
	s.r.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	s.lets, s.clutches = false, true
	if _, of := weightOf(s.uses[key]); of == ownership.Whole && s.r.IntN(2) == 0 {
		s.givesUp(own, others, key)
	} else {
		s.diesInLine(others, key)
	}
	s.clutches = false
	return s.restWithin(Bound(s.Params))
}

// givesUp lets one of two readers wait to go up, and give that up, while a third is in line.
func (s *swarm) givesUp(own *Node, others []*Node, key string) {
	ttl, most := s.Params.MembershipTTL, s.Params.MaxTTL
	c := s.inLine(others[0], key, most, ownership.Shared)
	s.inLine(own, key, most, ownership.Shared)
	s.Do(Action{Verb: Change, Node: c.Node.Name, Handle: c.Handle, Op: 1, What: ownership.AlterMode, Mode: ownership.Exclusive})
	s.RunFor(ttl / 4)
	s.inLine(others[1], key, most, ownership.Shared)
	s.Do(Action{Verb: Unchange, Node: c.Node.Name, Handle: c.Handle, Op: 1})
	s.RunFor(2 * ttl)
}

// diesInLine lets somebody die who waits for all of a key, before somebody who has room.
func (s *swarm) diesInLine(others []*Node, key string) {
	few, all, most := ownership.Shared, ownership.Exclusive, s.Params.MaxTTL
	if _, of := weightOf(s.uses[key]); of != ownership.Whole {
		few, all = ownership.Permits(1, int(of)), s.uses[key]
	}
	g := s.Checker.chain.Groups[partitionOf(key, s.Params)]
	i := slices.IndexFunc(others[1:], func(n *Node) bool { return !slices.Contains(g.Replicas, n.Core.ID()) && s.spare(n) })
	if i < 0 {
		return // the group would change with it
	}
	dies := others[1+i]
	s.inLine(others[0], key, most, few)
	s.inLine(dies, key, max(20*time.Millisecond, most/8), all)
	s.inLine(others[0], key, most, few)
	s.Do(Action{Verb: Crash, Node: dies.Name})
	s.RunFor(most/2 + s.Params.MembershipTTL)
}

// inLine asks for a key, and goes on when that is granted, in line or refused.
func (s *swarm) inLine(n *Node, key string, ttl time.Duration, m ownership.Mode) *Call {
	a := Action{Verb: Lock, Node: n.Name, Key: key, Handle: s.nextHandle(), For: ttl, Mode: m}
	s.Do(a)
	c := s.Checker.Call(n, a.Handle)
	s.RunUntil(s.Now+s.Params.MembershipTTL, func() bool { return c.Granted != 0 || c.Queued != 0 || c.Ended != 0 || s.Checker.failed() })
	s.aside()
	return c
}

// handOver lets go of a key as soon as a partition has a new owner, for somebody who is
// not the first in line: that one hears of it in its grace.
func (s *swarm) handOver(c *Call, p ownership.Partition) {
	ch, since := s.Checker, s.Now
	s.RunUntil(s.Now+4*s.Params.MembershipTTL, func() bool {
		return ch.failed() || ch.activeAt[version{mesh: ch.chain.Mesh, partition: p, term: ch.chain.Groups[p].Term}] >= since
	})
	s.aside()
	var heir string
	for _, o := range ch.open {
		if o.Key == c.Key && o.Queued != 0 && !o.Node.Crashed {
			heir = o.Node.Name // the last
		}
	}
	s.lets = true
	if !c.Node.Crashed && c.Ended == 0 {
		s.Do(Action{Verb: Unlock, Node: c.Node.Name, Handle: c.Handle, Heir: heir})
	}
}
