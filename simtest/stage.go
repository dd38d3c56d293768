package simtest

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// Stage is a world with its checker: what actions act upon.
type Stage struct {
	*World
	Checker *Checker
	Params  ownership.Params
	Log     *[]Action    // gathers what was done, if not nil
	OnDo    func(Action) // sees every action before it is carried out
	healed  bool
}

// NewStage returns an empty stage. The seed names its nodes.
func NewStage(seed uint64, params ownership.Params) *Stage {
	w := New(seed)
	w.seed = seed | 1<<63
	w.OnEvent = func(n *Node, e ownership.Event) {
		if _, left := e.(ownership.Left); left {
			w.After(time.Millisecond, func() { w.Crash(n) }) // its process ends
		}
	}
	return &Stage{World: w, Checker: NewChecker(w), Params: params}
}

// Do carries out an action now. One that names a node that does not run, or a
// handle that was never used, does nothing: traces are cut down by leaving
// actions out.
func (s *Stage) Do(a Action) {
	a.At = s.Now
	if s.Log != nil {
		*s.Log = append(*s.Log, a)
	}
	if s.OnDo != nil {
		s.OnDo(a)
	}
	switch {
	case slices.Contains(calls, a.Verb), a.Verb == Rest, a.Verb == AtWork, a.Verb == Rejoined:
	default:
		s.Checker.disturbed = s.Now
	}
	switch a.Verb {
	case Start:
		if s.named(a.Node) == nil {
			s.start(a.Node, ownership.Config{Params: s.Params, Founders: a.N, Fresh: a.Fresh}, a.For, a.Rate).late = a.Late
			for _, n := range s.Nodes {
				if n.outside && !n.ailing {
					s.outside(n)
				}
			}
		}
		return
	case MendAll:
		s.Mend()
		return
	case Heal:
		s.heal()
		return
	case Refound:
		s.Checker.refounded()
		return
	case AtWork:
		s.Checker.atWork()
		return
	case Rest:
		s.Checker.atRest()
		s.Checker.calm()
		return
	case Rejoined:
		s.Checker.priorShort()
		return
	}
	if n := s.Node(a.Node); n != nil {
		s.doTo(n, a)
	}
}

func (s *Stage) doTo(n *Node, a Action) {
	if slices.Contains(calls, a.Verb) {
		if !n.Frozen { // a process that is stopped calls nothing
			s.call(n, a)
		}
		return
	}
	switch a.Verb {
	case Crash:
		s.Crash(n)
		s.Checker.diesInLine(n)
	case Pause:
		s.Freeze(n)
	case Resume:
		s.thaw(n, a.N == 1)
	case LeaveNow:
		n.leaving = true
		s.Input(n, ownership.Leave{})
	case Deafen, Listen:
		s.World.Deafen(n, a.Verb == Deafen)
	case Clock:
		s.SetClock(n, a.For, a.Rate)
		if bound := s.Params.DriftPPM; a.For != 0 || a.Rate > bound || a.Rate < -bound {
			s.Checker.Wild = true // from now on
		}
	case Outside:
		s.outside(n)
	case Ailing:
		n.outside, n.ailing = true, true
	case Site:
		if n.Sites>>ownership.LateBatch&1 != 0 {
			n.batched = s.Now
		}
		n.Sites = uint(a.N)
	default:
		if o := s.named(a.Other); o != nil {
			s.doToLink(n, o, a)
		}
	}
}

// call is what a client calls. What refers to a handle that was never used does
// nothing.
func (s *Stage) call(n *Node, a Action) {
	ch := s.Checker
	switch a.Verb {
	case Lock:
		if a.Lease != 0 && ch.Call(n, a.Lease) == nil || a.After != 0 && ch.Call(n, a.After) == nil {
			return
		}
		ch.Lock(n, ownership.Lock{Handle: a.Handle, Key: a.Key, TTL: a.For, Mode: a.Mode, Try: a.Try, NoRenew: a.NoRenew, Delay: a.Delay,
			Lease: a.Lease, After: a.After, Note: strconv.FormatUint(uint64(a.Handle), 10)})
		return
	case Look:
		ch.Look(n, ownership.Look{Handle: a.Handle, Key: a.Key, Page: a.Page, Partition: ownership.Partition(a.N), Watch: a.Watch})
		return
	case Unlook:
		ch.Unlook(n, a.Handle)
		return
	case Evict:
		if o := s.named(a.Other); o != nil {
			ch.Evict(n, a.Handle, ch.Call(o, a.Whose), a.N == 1)
		}
		return
	}
	c := ch.Call(n, a.Handle)
	switch {
	case c == nil && a.Verb == Unlock:
		ch.giveUpEvict(n, a.Handle)
	case c == nil:
	case a.Verb == Unlock:
		ch.HandOver(c, a.Heir)
	case a.Verb == Extend:
		ch.Extend(c)
	case a.Verb == Change:
		ch.Change(c, ownership.Change{Op: a.Op, What: a.What, Mode: a.Mode, Value: []byte(a.Value)})
	case a.Verb == Unchange:
		ch.Unchange(c, a.Op)
	}
}

func (s *Stage) doToLink(n, o *Node, a Action) {
	switch a.Verb {
	case Cut, Mend:
		s.setCut(n, o, a.Verb == Cut)
	case Clog:
		s.World.Clog(n, o, a.Kinds)
	case Unclog:
		s.World.Unclog(n, o)
	case Lose:
		s.World.Lose(n, o, a.Kinds)
	case Slow:
		s.Net.link(n, o).slow = float64(a.N)
	case LieDead, Truth:
		s.Lie(n, o.Name, a.Verb == LieDead)
	default:
		panic(fmt.Sprintf("no such action: %v", a))
	}
}

// outside cuts a node off for good.
func (s *Stage) outside(n *Node) {
	n.outside = true
	for _, m := range s.Nodes {
		if m != n {
			s.setCut(n, m, true)
			s.setCut(m, n, true)
		}
	}
}

// heal ends all faults of the world; clocks keep their rates, the dead stay dead.
func (s *Stage) heal() {
	s.healed = true
	s.Checker.healed()
	net := &s.Net
	net.Loss, net.Twice, net.Echo, net.MeanDelay = 0, 0, 0, min(net.MeanDelay, time.Millisecond)
	net.RosterDelay = min(net.RosterDelay, 500*time.Millisecond)
	for _, n := range s.Nodes {
		for _, m := range s.Nodes {
			l := net.link(n, m)
			l.cut, l.lose, l.slow = n.outside && !n.ailing || m.outside && !m.ailing, 0, 0
			s.World.Unclog(n, m)
		}
		n.lied, n.deaf, n.late, n.Sites = slices.Delete(n.lied, 0, len(n.lied)), false, 0, 0
		n.told = false // what gossip has on its way to a late node may be later than a fault that stays
		s.Thaw(n)
	}
	s.newsForAll(net.RosterDelay)
}
