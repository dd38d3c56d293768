package simtest

import (
	"slices"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// victim is a node that a fault may stay with: the others can go on without it. nil
// if there is none.
func (s *swarm) victim() *Node {
	ch := s.Checker
	n := s.target()
	if n == nil || n.outside || ch.chain == nil || len(ch.running()) < 3 {
		return nil
	}
	n.outside = true
	fine := ch.Alive() && len(ch.running()) > 1
	n.outside = false
	if !fine {
		return nil
	}
	return n
}

// mustWork is another second phase: one fault stays, and the mesh must serve all
// but its victim.
func (s *swarm) mustWork(victim *Node) bool {
	ch := s.Checker
	s.leaveOneFault(victim)
	s.letGoAll()
	s.RunFor(Bound(s.Params) / 4)
	s.aside()
	// Everybody else asks for every key.
	up := ch.running()
	if len(up) == 0 || ch.failed() {
		return false
	}
	for i, key := range s.keys[:min(len(s.keys), 8)] {
		s.Do(Action{Verb: Lock, Node: up[i%len(up)].Name, Key: key, Handle: s.nextHandle(), For: s.Params.MaxTTL, Mode: s.mode(key)})
	}
	end, long := s.Now+Bound(s.Params)+time.Second, s.r.IntN(4) == 0
	for s.Now < end && !ch.failed() && ch.Alive() && (long || len(ch.Open()) > 0) {
		s.RunUntil(s.Now+s.Params.MembershipTTL, ch.failed)
	}
	if !ch.failed() {
		s.Do(Action{Verb: AtWork})
	}
	return !ch.failed() && ch.Alive()
}

// leaveOneFault is the one that stays.
func (s *swarm) leaveOneFault(victim *Node) {
	others := func(f func(n *Node)) {
		for _, n := range s.up() {
			if n != victim {
				f(n)
			}
		}
	}
	s.Do(Action{Verb: Ailing, Node: victim.Name})
	switch s.r.IntN(6) {
	case 0: // it hears nobody, or one node at most
		// With its own voice that is no majority, nor will it be when the dead are dropped.
		spared := -1
		if len(s.Checker.chain.Voters) >= 5 && 1+len(s.Checker.running()) >= 5 {
			spared = s.r.IntN(len(s.Nodes))
		}
		others(func(n *Node) {
			if n.Index != spared {
				s.Do(Action{Verb: Cut, Node: n.Name, Other: victim.Name})
			}
		})
	case 1: // it speaks and hears, but for what certifies its writes
		kinds := pick(s.r, KindSet(ownership.KindAcceptAck), KindSet(ownership.KindSealAck), KindSet(ownership.KindConfirmAck),
			KindSet(ownership.KindAcceptAck, ownership.KindSealAck, ownership.KindConfirmAck))
		others(func(n *Node) { s.Do(Action{Verb: Lose, Node: n.Name, Other: victim.Name, Kinds: kinds}) })
	case 2: // it has died, and gossip tells nobody; until then they have learned that all faults are over
		s.RunFor(2*s.Params.MembershipTTL + time.Second)
		s.aside()
		others(func(n *Node) { s.Do(Action{Verb: Deafen, Node: n.Name}) })
		s.Do(Action{Verb: Crash, Node: victim.Name})
	case 3: // what concerns views does not reach it from somebody, unseen by gossip
		from := s.up()[s.r.IntN(len(s.up()))]
		if from != victim {
			s.Do(Action{Verb: Lose, Node: from.Name, Other: victim.Name, Kinds: viewKinds})
		}
	case 4: // some voters do not hear it, the others do
		others(func(n *Node) {
			if v := s.Checker.chain; slices.Contains(v.Voters, n.Core.ID()) && s.r.IntN(2) == 0 {
				s.Do(Action{Verb: Cut, Node: victim.Name, Other: n.Name})
			}
		})
	case 5: // the whole network is slow, and a view change is due
		s.Do(Action{Verb: Crash, Node: victim.Name})
		s.Net.MeanDelay = s.Params.MembershipTTL / time.Duration(pick(s.r, 5, 6, 8))
	}
}

// letGoAll ends what is held, now and whenever somebody is granted. Who waits for the
// rest of a set does so, but for the victim of a fault, which may wait for ever.
func (s *swarm) letGoAll() {
	ch := s.Checker
	s.lets = true
	for _, set := range s.allSets {
		if set.calls[0].Node.ailing {
			s.endSet(set)
		}
	}
	for _, key := range ch.names {
		for _, c := range slices.Clone(ch.keys[key].believers) {
			s.end(c)
		}
	}
}
