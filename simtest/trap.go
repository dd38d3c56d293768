package simtest

import (
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// trap is an adversary that waits for one kind of message and strikes in the
// moment in which it is sent: that is when a protocol is in between.
type trap struct {
	kinds  Kinds
	every  int // it lets that many pass
	passed int
	strike int
}

// tense are the kinds around which something is half done.
var tense = []ownership.Kind{ownership.KindFound, ownership.KindFoundAck, ownership.KindJoin, ownership.KindPromise, ownership.KindPropose,
	ownership.KindAccepted, ownership.KindDecided, ownership.KindAccept, ownership.KindAccept, ownership.KindAcceptAck, ownership.KindConfirm, ownership.KindConfirmAck,
	ownership.KindSeal, ownership.KindSealAck, ownership.KindSealAck, ownership.KindInstall, ownership.KindInstall, ownership.KindSettled, ownership.KindAcquire,
	ownership.KindRelease, ownership.KindAnswer, ownership.KindHeartbeat, ownership.KindRenewAck, ownership.KindStuck, ownership.KindDecidedAck}

// tenser are those of habits.
var tenser = []ownership.Kind{ownership.KindAlter, ownership.KindReport, ownership.KindRevoke, ownership.KindNotice}

func (s *swarm) drawTrap() {
	kinds := tense
	if !s.plain && s.r.IntN(3) == 0 {
		kinds = tenser
	}
	s.trap = trap{kinds: KindSet(kinds[s.r.IntN(len(kinds))]), every: pick(s.r, 1, 3, 10, 50, 200), strike: s.r.IntN(8)}
}

func (s *swarm) setTrap() {
	send := s.OnSend
	s.OnSend = func(n *Node, e ownership.Envelope) {
		if s.trap.kinds.has(e.Message.Kind()) && s.begun && !s.over {
			if s.trap.passed++; s.trap.passed%s.trap.every == 0 {
				to := s.ByID(e.To)
				// Not within the step that sends it, nor at a time at which that is
				// still to come.
				s.After(1, func() { s.spring(n, to) })
			}
		}
		send(n, e)
	}
}

// spring strikes at who sent or who should receive, or at the way between them.
func (s *swarm) spring(from, to *Node) {
	if s.over || from.Crashed || to == nil || to.Crashed {
		return
	}
	s.faults++
	d := s.while()
	n := pick(s.r, from, to)
	switch s.trap.strike {
	case 0, 1:
		if s.spare(n) {
			s.Do(Action{Verb: Crash, Node: n.Name})
			s.After(s.exp(s.Params.MembershipTTL/2), s.join)
		}
	case 2, 3:
		if !n.Frozen {
			s.Do(Action{Verb: Pause, Node: n.Name})
			s.later(d, Action{Verb: Resume, Node: n.Name, N: s.r.IntN(2)})
		}
	case 4:
		s.cutFor(from, to, d, s.r.IntN(2) == 0)
	case 5:
		kinds := pick(s.r, s.trap.kinds, AllKinds)
		s.Do(Action{Verb: Clog, Node: from.Name, Other: to.Name, Kinds: kinds})
		s.later(d, Action{Verb: Unclog, Node: from.Name, Other: to.Name})
	case 6:
		kinds := s.trap.kinds
		s.Do(Action{Verb: Lose, Node: to.Name, Other: from.Name, Kinds: kinds})
		s.later(min(d, 10*time.Second), Action{Verb: Lose, Node: to.Name, Other: from.Name})
	case 7:
		s.Do(Action{Verb: LieDead, Node: n.Name, Other: pick(s.r, from, to).Name})
		s.later(d, Action{Verb: Truth, Node: n.Name, Other: from.Name})
		s.later(d, Action{Verb: Truth, Node: n.Name, Other: to.Name})
	}
}
