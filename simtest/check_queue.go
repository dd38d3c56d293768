package simtest

import (
	"slices"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// Who is served before whom, once all faults are over.

// checkFreed: an answered unlock frees the key without a wait for any lease: who was in
// line then has it a moment later, if the mesh is at peace.
func (ch *Checker) checkFreed(k *keyHistory, c *Call) {
	freed, ttl := k.freed, ch.params().MembershipTTL
	k.freed = 0
	if ch.healedAt == 0 || ch.Wild || freed == 0 || c.Queued == 0 || c.Queued > freed || ch.lastView > freed || !ch.atPeace(freed) {
		return
	}
	if slices.ContainsFunc(k.calls, func(o *Call) bool { return len(o.Ghosts) > 0 && o.Ghosts[len(o.Ghosts)-1] >= freed }) {
		return // who had it in between heard of that too late
	}
	if waited := ch.w.Now - freed; waited > ttl {
		ch.fail("queue", []*Call{c}, "%s was in line for %q, which was unlocked %v before it got it", c.Node, c.Key, waited)
	}
}

// checkTurn: first come, first served. It is held against what happens after healing,
// with sane clocks: who was told that it is in line before another even asked goes first.
func (ch *Checker) checkTurn(k *keyHistory, c *Call) {
	heir := k.heir
	if heir != nil && c.Token > heir.Token {
		k.heir = nil
	}
	if ch.healedAt == 0 || ch.Wild { // a clock that jumped back stands still for a while, and so does its waiter
		return
	}
	if slices.Contains(k.heirs, c.Node.Name) {
		ch.Goals.heirFirst(ch, c)
		return
	}
	ch.checkHeir(c, heir)
	for _, o := range ch.open {
		if o != c && o.Key == c.Key && !o.Try && o.Queued > ch.healedAt && o.Queued < c.Invoked && ch.waitsStill(o) {
			ch.passed(o, c)
		}
	}
}

// checkUpgrade: K8: nobody is let in while a holder waits for the others to go. A new
// owner does not know at once.
func (ch *Checker) checkUpgrade(k *keyHistory, c *Call) {
	for _, o := range k.believers {
		for _, a := range o.Changes {
			if a.isUp() && a.waits() && a.waited > ch.lastView && a.waitedIn == c.Token.Term() && a.waited < c.Invoked && !ch.Wild && ch.believes(o) && !o.evicted && o != c {
				ch.fail("queue", []*Call{o, c}, "%s got %q, which it asked for at %v; %s waits for the others to go since %v", c.Node, c.Key, c.Invoked, o.Node, a.waited)
			}
		}
	}
}

// waitsStill says that a member of the mesh waits for a lock, and has always since it was
// first in line: who gives back what came too late asks anew.
func (ch *Checker) waitsStill(o *Call) bool {
	return o.Unlock == 0 && len(o.Ghosts) == 0 && o.Granted == 0 && o.Ended == 0 && !o.Node.Crashed && !o.Node.outside && o.Node.Core.Phase() == ownership.PhaseMember
}

// passed: c got what o has waited for longer. If there is room for both, o may have got
// it too, and is about to hear of it.
func (ch *Checker) passed(o, c *Call) {
	fail := func() {
		ch.fail("queue", []*Call{o, c}, "%s got %q, which it asked for at %v; %s has been in line since %v", c.Node, c.Key, c.Invoked, o.Node, o.Queued)
	}
	if !whole(c.Mode) && ch.late(o.Node) {
		return
	}
	mine, of := weightOf(c.Mode)
	if weight, capacity := weightOf(o.Mode); capacity != of || mine+weight > of {
		fail()
		return
	}
	ch.w.After(ch.params().MembershipTTL, func() {
		if ch.waitsStill(o) && ch.believes(c) && max(ch.disturbed, ch.lastView) < c.Granted {
			fail()
		}
	})
}

// late says that a node has learned the newest view so late, or not at all, that its
// waiters may have been missing when the grace of the new owners was over (K2). Who finds
// room then need not wait for them.
func (ch *Checker) late(n *Node) bool {
	last := len(n.had) - 1
	return last < 0 || n.had[last].view.Epoch < ch.chain.Epoch || n.had[last].since > ch.lastView+ch.params().MembershipTTL/16
}

// atPeace says that nothing has disturbed the mesh for long before a moment: whoever
// died in line was granted first, perhaps, and has had it for a TTL and a delay.
func (ch *Checker) atPeace(at time.Duration) bool {
	p := ch.params()
	return at-ch.troubled() > 2*p.MembershipTTL+3*p.MaxTTL && ch.w.Net.MeanDelay <= p.MembershipTTL/40
}

// troubled is when something last happened that may leave the owner of a key and its
// clients with different pictures of who waits and who holds: a fault, another view, a
// message from before, of somebody who may be dead.
func (ch *Checker) troubled() time.Duration {
	return max(ch.disturbed, ch.lastView, ch.w.strays)
}

// checkHeir: K14: whoever lets go of all of a key may say who is next.
func (ch *Checker) checkHeir(c, from *Call) {
	if from == nil || c.Token < from.Token || ch.lastView > from.Unlock || !ch.atPeace(from.Unlock) {
		return
	}
	var heir *Call // the first of that name; one that is cut off for good is in line no more
	for _, o := range ch.open {
		if o != c && o.Node.Name == from.Heir && o.Key == c.Key && o.Queued != 0 && o.Queued < from.Unlock && o.Unlock == 0 && o.Granted == 0 &&
			!o.Node.Crashed && !o.Node.outside && (heir == nil || o.Invoked < heir.Invoked) {
			heir = o
		}
	}
	if heir == nil {
		return
	}
	mine, of := weightOf(c.Mode)
	if weight, capacity := weightOf(heir.Mode); capacity == of && mine+weight <= of {
		return // it may have got it too, and is about to hear of it
	}
	ch.fail("queue", []*Call{from, heir, c}, "%s got %q, which %s let go for %s, who waits since %v", c.Node, c.Key, from.Node, heir.Node, heir.Queued)
}

// checkRoom: K7: whoever is at the head of the line, and has room, gets the key. It is
// called when a place may have come free; what may hold the key and not be told of it
// (who died with it, or has not let go of it in order) takes its place.
func (ch *Checker) checkRoom(k *keyHistory) {
	if ch.healedAt == 0 || ch.Wild || !slices.ContainsFunc(ch.open, func(o *Call) bool { return o.Key == k.name && o.Granted == 0 && o.Unlock == 0 }) {
		return
	}
	ttl := ch.params().MembershipTTL
	since := ch.w.Now + ttl/4 // answers are on their way
	ch.w.After(ttl+ttl/4, func() {
		if !ch.agreed(since) || ch.w.Net.MeanDelay > ttl/40 {
			return
		}
		for _, o := range ch.open {
			if o.Key == k.name && o.Queued > ch.troubled() && o.Queued < since && ch.waitsStill(o) && ch.roomSince(k, o, since) {
				ch.fail("queue", []*Call{o}, "%s waits for %q %v since %v, first in line since %v at the latest, and there is room", o.Node, o.Key, o.Mode, o.Queued, since)
				return
			}
		}
	})
}

// agreed says that all who ran at a moment had asked their owners for everything since
// the last trouble, and those had heard of all that their clients had ended.
func (ch *Checker) agreed(at time.Duration) bool {
	return at-ch.troubled() > ch.params().MembershipTTL+time.Second
}

// roomSince says that a call was certainly at the head of the line at every moment since
// then, and had room beside all that may have held the key.
func (ch *Checker) roomSince(k *keyHistory, o *Call, since time.Duration) bool {
	taken, of := weightOf(o.Mode)
	for _, c := range k.calls {
		if c == o || ch.overBefore(c, since) {
			continue
		}
		if c.Granted == 0 {
			if c.Invoked > o.Queued && !slices.Contains(k.heirs, c.Node.Name) {
				continue // behind it
			}
			return false
		}
		weight, capacity := weightOf(c.Mode)
		if slices.ContainsFunc(c.Changes, func(a *Alteration) bool { return !ch.settled(a, since) }) {
			if slices.ContainsFunc(c.Changes, (*Alteration).isUp) {
				return false // it may have waited for all others to go
			}
			weight, capacity = weightOf(c.asked)
		}
		if taken += weight; taken > of || capacity != of {
			return false
		}
	}
	return true
}

// settled says that what became of a change was known to its holder and its owner before
// a moment: it was answered, or taken back (K8).
func (ch *Checker) settled(a *Alteration, at time.Duration) bool {
	if a.Answered != 0 || a.GivenUp == 0 {
		return a.Answered != 0 && a.Answered < at
	}
	return ch.hears(a.Call.Node) && at-a.GivenUp > ch.params().MembershipTTL+time.Second && ch.agreed(at)
}

// hears says that a node is one that runs among the others, and nothing is wrong with it.
func (ch *Checker) hears(n *Node) bool { return !n.Crashed && !n.outside && !n.ailing }

// overBefore says that a call was certainly neither in line nor a holder after a moment:
// its owner has said so, or was told so by its client; the mesh was at rest since; or who
// had it has died, or lost it, so long before that its wait, its lease and its delay were
// over, also at a later owner, which counts them anew.
func (ch *Checker) overBefore(c *Call, at time.Duration) bool {
	p, last := ch.params(), ch.troubled()
	switch {
	case c.neverSent(), c.Released != 0, c.Busy, c.Invalid, c.Denied == ownership.DeniedCapacity:
		return c.Ended < at
	case c.Invoked < ch.emptyAt && ch.emptyAt < at:
		return true
	case c.Node.ailing:
		return false
	case c.Denied != 0 && ch.hears(c.Node):
		return at-max(c.Ended, last) > p.MembershipTTL+time.Second
	case c.Ended != 0:
		last = max(last, c.Ended)
	case c.Node.Crashed:
		last = max(last, c.Node.crashed)
	case !c.Node.outside: // which was done by something that has disturbed the mesh
		return false
	}
	return at-last > 2*p.MembershipTTL+3*p.MaxTTL
}
