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
	return min(at-ch.disturbed, at-ch.lastView) > 2*p.MembershipTTL+3*p.MaxTTL && ch.w.Net.MeanDelay <= p.MembershipTTL/40
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

// checkRun: K7: of those at the head of the line all that fit are granted together.
func (ch *Checker) checkRun(k *keyHistory, c *Call) {
	if ch.healedAt == 0 || ch.Wild || whole(c.Mode) || c.Queued == 0 || !ch.atPeace(ch.w.Now) {
		return
	}
	taken, of := weightOf(c.Mode)
	for _, o := range k.believers {
		if o != c && ch.believes(o) {
			weight, _ := weightOf(o.Mode)
			taken += weight
		}
	}
	next := ch.nextInLine(k, c)
	if next == nil {
		return
	}
	weight, capacity := weightOf(next.Mode)
	if capacity != of || taken+weight > of {
		return
	}
	ch.w.After(ch.params().MembershipTTL, func() {
		if next.Granted == 0 && next.Unlock == 0 && next.Ended == 0 && !next.Node.Crashed && ch.atPeace(ch.w.Now) {
			ch.fail("queue", []*Call{c, next}, "%s got %q %v, and %s, next in line with room beside it, did not", c.Node, c.Key, c.Mode, next.Node)
		}
	})
}

// checkRoom: K7: when somebody leaves the line whoever is at its head now, and has room,
// gets the key.
func (ch *Checker) checkRoom(k *keyHistory) {
	if ch.healedAt == 0 || ch.Wild {
		return
	}
	left := ch.w.Now
	ch.w.After(ch.params().MembershipTTL, func() {
		if k.changed > left || ch.lastView > left || ch.disturbed > left || !ch.settled(k) {
			return // something else has happened
		}
		var taken uint64
		var others []*Call
		for _, o := range k.believers {
			weight, _ := weightOf(o.Mode)
			taken += weight
		}
		for _, o := range ch.open {
			if o.Key == k.name && o.Granted == 0 && o.Unlock == 0 {
				others = append(others, o)
			}
		}
		for _, o := range others {
			weight, of := weightOf(o.Mode)
			first := o.Queued != 0 && ch.waitsStill(o) && !slices.ContainsFunc(others, func(p *Call) bool { return p != o && p.Invoked < o.Queued })
			if first && len(k.believers) > 0 && taken+weight <= of {
				ch.fail("queue", []*Call{o}, "%s waits for %q since %v, first in line since %v at the latest, and there is room", o.Node, o.Key, o.Queued, left)
			}
		}
	})
}

// settled says that who holds a key is who believes in it: nobody has let go of it without
// an answer, or died with it, or waits to go up.
func (ch *Checker) settled(k *keyHistory) bool {
	for _, c := range k.calls {
		over := c.Released != 0 || c.Ended != 0 && c.Granted == 0 || ch.believes(c) || c.Granted == 0 && c.Unlock == 0
		if !over && ch.mayHoldSince(c, ownership.Holder{Token: c.Token, Lost: c.Delay > 0}, ch.w.Now) || slices.ContainsFunc(c.Changes, (*Alteration).waits) {
			return false
		}
	}
	k.believers = slices.DeleteFunc(k.believers, func(o *Call) bool { return !ch.believes(o) })
	return true
}

// nextInLine is who waits right behind c, nil if that is not certain.
func (ch *Checker) nextInLine(k *keyHistory, c *Call) (next *Call) {
	var others []*Call
	for _, o := range ch.open {
		if o == c || o.Key != c.Key || o.Granted != 0 || o.Unlock != 0 {
			continue
		}
		if others = append(others, o); o.Queued != 0 && (next == nil || o.Queued < next.Queued) {
			next = o
		}
	}
	for _, o := range others { // whoever asked before that was heard may be before it
		if next == nil || next.Queued < c.Queued || o != next && o.Invoked < next.Queued {
			return nil
		}
	}
	for _, o := range k.believers {
		if slices.ContainsFunc(o.Changes, (*Alteration).pending) {
			return nil
		}
	}
	return next
}
