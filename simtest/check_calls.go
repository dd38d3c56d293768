package simtest

import (
	"slices"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// What clients are told of locks: who has one, who is refused, what is over.

func (ch *Checker) granted(c *Call, e ownership.Granted) {
	ch.Grants++
	now, k := ch.w.Now, ch.keys[c.Key]
	if !ch.wellFormed(c) {
		ch.fail("memory", []*Call{c}, "%s was granted %q %v for %v with a delay of %v (K5)", c.Node, c.Key, c.asked, c.TTL, c.Delay)
	}
	if c.Unlock != 0 || c.Ended != 0 {
		ch.fail("memory", []*Call{c}, "%s was granted %q after the call was closed", c.Node, c.Key)
	}
	c.Granted, c.Deadline = now, e.Deadline
	c.Sent = c.sentAt(e.Deadline)
	if a := ch.adopted; a.to == c.Node && a.token == e.Token {
		c.request = a.request
	}
	ch.newToken(k, c, e.Token, c.Invoked)
	c.noteMode()
	ch.exclusion(k, c, "got")
	k.believers = append(k.believers, c)
	ch.placeClosed(k, c, c.Invoked)
	ch.wallBehind(k, c)
	ch.grantedInLease(c)
	ch.grantedInSet(c)
	ch.checkTurn(k, c)
	ch.checkUpgrade(k, c)
	ch.checkFreed(k, c)
	ch.checkRoom(k)
	ch.Goals.granted(ch, c)
	if c.Delay > 0 {
		k.delayed = append(k.delayed, c)
	}
	k.changed = now
	if c.Unlock == 0 {
		ch.close(c)
	}
}

// newToken: tokens of a key are unique, and rise in the order of its grants and
// upgrades. since is when it was asked for.
func (ch *Checker) newToken(k *keyHistory, c *Call, token ownership.Token, since time.Duration) {
	switch o := k.tokens[token]; {
	case o != nil:
		ch.fail("token", []*Call{o, c}, "%s got token %s of %q, which %s has had", c.Node, tokenText(token), c.Key, o.Node)
	case (token <= k.wall || whole(c.Mode) && token <= k.top) && !ch.Wild:
		// Of those who share a key the later one may hear of it first.
		ch.fail("token", []*Call{k.tokens[k.top], c}, "%s got token %s of %q after %s", c.Node, tokenText(token), c.Key, tokenText(k.top))
	case token <= k.top && since > k.topAt:
		// Whatever the clocks: it was asked for after the higher one was told.
		ch.fail("token", []*Call{k.tokens[k.top], c}, "%s asked for %q after %s was granted and got token %s", c.Node, c.Key, tokenText(k.top), tokenText(token))
	}
	k.tokens[token] = c
	c.Token, c.Tokens = token, append(c.Tokens, token)
	if token > k.top {
		k.top, k.topAt = token, ch.w.Now
	}
}

// wallBehind notes that nobody can hold the key beside c: whoever held it before was
// gone when c was granted.
func (ch *Checker) wallBehind(k *keyHistory, c *Call) {
	if whole(c.Mode) && c.Token > k.wall {
		k.wall, k.wallAt = c.Token, ch.w.Now
	}
}

// exclusion: those who believe in a key at this moment take no more of it than it
// has, and all of the same capacity (K7).
func (ch *Checker) exclusion(k *keyHistory, c *Call, what string) {
	k.believers = slices.DeleteFunc(k.believers, func(o *Call) bool { return !ch.believes(o) })
	if ch.Wild || !ch.believes(c) {
		return
	}
	sum, of := weightOf(c.Mode)
	for _, o := range k.believers {
		if o == c {
			continue
		}
		weight, capacity := weightOf(o.Mode)
		if sum += weight; sum > of || capacity != of {
			ch.fail("exclusion", []*Call{o, c}, "%s %s %q %v (token %s) while %s holds it %v (token %s)", c.Node, what, c.Key, c.Mode, tokenText(c.Token),
				o.Node, o.Mode, tokenText(o.Token))
			return
		}
	}
}

func (ch *Checker) extended(c *Call, e ownership.Extended) {
	if e.Deadline < c.Deadline {
		ch.fail("memory", []*Call{c}, "%s: the deadline of %q went back", c.Node, c.Key)
	}
	if !ch.believes(c) && !ch.Wild {
		ch.fail("exclusion", []*Call{c}, "%s renewed %q (token %s) after its deadline", c.Node, c.Key, tokenText(c.Token))
	}
	c.Deadline = e.Deadline
	c.Renewals = append(c.Renewals, Renewal{c.sentAt(e.Deadline), ch.w.Now})
	if v := c.Node.Core.View(); v != nil && v.Groups[partitionOf(c.Key, v.Params)].Term > c.Token.Term() {
		ch.Goals.Reach("renewed by a later owner")
	}
	ch.exclusion(ch.keys[c.Key], c, "renewed")
}

// busy: a TryLock that is refused has met a holder, and either there is no room
// beside it, or others, or somebody waits (K7).
func (ch *Checker) busy(c *Call, h ownership.Holder) {
	c.Busy = true
	ch.ended(c)
	ch.Goals.Reach("busy")
	k := ch.keys[c.Key]
	switch o := k.tokens[h.Token]; {
	case o == c || o == nil && !h.Lost && ch.isItself(c, h): // K9: its own place may be closed, if its grant came too late
		ch.fail("busy", []*Call{c}, "%s: %q busy with itself: request %d, token %s", c.Node, c.Key, h.Request.Seq, tokenText(h.Token))
	case o != nil && !ch.mayHoldSince(o, h, c.Invoked):
		ch.fail("busy", []*Call{o, c}, "%s: %q busy with token %s of %s, which had ended at %v", c.Node, c.Key, tokenText(h.Token), o.Node, c.Invoked)
	case o == nil && h.Token < k.wall && k.wallAt < c.Invoked:
		ch.fail("busy", []*Call{c}, "%s: %q busy with token %s, which nobody was told of, after %s was", c.Node, c.Key, tokenText(h.Token), tokenText(k.wall))
	case ch.fits(c, h) && ch.roomFor(k, c):
		ch.fail("busy", []*Call{c}, "%s asked for %q %v: busy with token %s, which holds it %v; there is room, and nobody can have waited", c.Node, c.Key, c.Mode,
			tokenText(h.Token), h.Mode)
	}
}

// fits says that a call has room beside one holder.
func (ch *Checker) fits(c *Call, h ownership.Holder) bool {
	weight, of := weightOf(c.Mode)
	other, capacity := weightOf(h.Mode)
	return of == capacity && weight+other <= of
}

// roomFor says that there was room for c all the time since it was called, whoever
// may have held the key, and nobody who may have waited for it.
func (ch *Checker) roomFor(k *keyHistory, c *Call) bool {
	taken, of := weightOf(c.Mode)
	for _, o := range k.calls {
		switch {
		case o == c:
		case o.Granted == 0 || o.Granted >= c.Invoked:
			unheard := o.GaveUp || o.Denied == ownership.DeniedLease || o.Denied == ownership.DeniedSet // its owner may not know that it is over
			if o.Ended == 0 || o.Ended >= c.Invoked || len(o.Ghosts) > 0 || unheard {
				return false // it may have waited, or held unseen
			}
		case slices.ContainsFunc(o.Changes, func(a *Alteration) bool { return a.isUp() && (a.Answered == 0 || a.Answered >= c.Invoked) }):
			return false // it may wait for others to go
		case ch.mayHoldSince(o, ownership.Holder{Token: o.Token, Lost: o.Delay > 0}, c.Invoked):
			weight, capacity := o.most()
			if taken += weight; taken > of || capacity != of {
				return false
			}
		}
	}
	return true
}

// most is what a call may have taken at some time.
func (c *Call) most() (weight, of uint64) {
	weight, of = weightOf(c.asked)
	if slices.ContainsFunc(c.Changes, (*Alteration).isUp) {
		weight = of
	}
	return weight, of
}

// isItself says that the holder that a call was told of can be nobody but that call:
// it is of the same client, which has no other one that may hold unseen. Not so one that
// is lost: a place that is closed keeps its own client out, too, if that has never heard
// of its grant and asks anew (K9).
func (ch *Checker) isItself(c *Call, h ownership.Holder) bool {
	if int(h.Request.Client) != 1001+c.Node.Index || h.Lost {
		return false
	}
	return !slices.ContainsFunc(ch.keys[c.Key].calls, func(o *Call) bool {
		// One that was granted later may have been granted before, too late to be told.
		unseen := o.Granted == 0 || o.Granted >= c.Invoked
		return o != c && o.Node == c.Node && (len(o.Ghosts) > 0 || len(o.Changes) > 0 || unseen && (o.Ended == 0 || o.Ended >= c.Invoked || !o.Busy))
	}) && len(c.Ghosts) == 0
}

// denied: K7: a request is refused for its capacity only if somebody held the key
// with another one.
func (ch *Checker) denied(c *Call, e ownership.Denied) {
	c.Denied = e.Code
	ch.ended(c)
	switch e.Code {
	case ownership.DeniedCapacity:
		ch.Goals.Reach("another capacity refused")
		k, h := ch.keys[c.Key], e.Holder
		_, has := weightOf(h.Mode)
		_, asks := weightOf(c.Mode)
		switch o := k.tokens[h.Token]; {
		case has == asks:
			ch.fail("capacity", []*Call{c}, "%s asked for %q %v and was refused, since its holder has it %v", c.Node, c.Key, c.Mode, h.Mode)
		case o != nil && !ch.mayHoldSince(o, h, c.Invoked):
			ch.fail("capacity", []*Call{o, c}, "%s was refused %q for its capacity by token %s of %s, which had ended at %v", c.Node, c.Key, tokenText(h.Token), o.Node, c.Invoked)
		case o == nil && h.Token < k.wall && k.wallAt < c.Invoked:
			ch.fail("capacity", []*Call{c}, "%s was refused %q for its capacity by token %s, which nobody was told of, after %s was", c.Node, c.Key, tokenText(h.Token), tokenText(k.wall))
		}
	case ownership.DeniedLease:
		ch.deniedByLease(c)
	case ownership.DeniedSet:
		ch.deniedBySet(c)
	}
}

func (ch *Checker) lostLock(c *Call, e ownership.Lost) {
	k := ch.keys[c.Key]
	if e.Cause == ownership.LostExpired && !ch.Wild && c.Node.Local() < c.Deadline {
		ch.fail("memory", []*Call{c}, "%s lost %q (token %s) before its deadline", c.Node, c.Key, tokenText(c.Token))
	}
	c.Lost, c.Cause = ch.w.Now, e.Cause
	ch.ended(c)
	ch.Goals.lost(e.Cause)
	// An answered grant is not forgotten while a write quorum of its group lives:
	// only a start without holders (T6) may let a lock be missing at its owner.
	if e.Cause == ownership.LostMissing && !ch.Wild && !ch.mayBeForgotten(c) && !c.evicted {
		ch.fail("memory", []*Call{c}, "%s: the owner of %q has forgotten the grant of token %s", c.Node, c.Key, tokenText(c.Token))
	}
	ch.lostByEviction(c, e)
	ch.lostWithLease(c, e.Cause)
	if e.Cause != ownership.LostExpired && e.Cause != ownership.LostLease {
		ch.opened(k, c)
	}
}

func (ch *Checker) released(c *Call, e ownership.Released) {
	if c.Ended != 0 {
		return
	}
	ch.ended(c)
	if c.GaveUp = e.GaveUp; e.GaveUp {
		ch.Goals.Reach("unlock given up")
		return
	}
	c.Released, c.Held = ch.w.Now, e.Held
	if k := ch.keys[c.Key]; e.Held && c.Token == k.top && whole(c.Mode) {
		k.freed = ch.w.Now
	}
	if c.Granted == 0 {
		ch.Goals.Reach("cancelled")
	}
	ch.checkRoom(ch.keys[c.Key])
	if c.Believed && !e.Held && !ch.Wild && c.Node.Local() < c.Deadline && !ch.mayBeForgotten(c) && !c.evicted {
		ch.fail("memory", []*Call{c}, "%s unlocked %q (token %s) before its deadline and was told that it held nothing", c.Node, c.Key, tokenText(c.Token))
	}
}

func (ch *Checker) pending(c *Call, e ownership.Pending) {
	if e.Op != 0 {
		ch.changeWaits(c, e)
		return
	}
	switch e.Reason.Code {
	case ownership.ReasonTooLate:
		c.Ghosts = append(c.Ghosts, ch.w.Now)
		ch.Goals.Reach("a grant that raced its expiry")
	case ownership.ReasonQueued:
		if v := c.Node.Core.View(); c.Queued == 0 && v != nil {
			c.Queued, c.queuedIn = ch.w.Now, v.Groups[partitionOf(c.Key, v.Params)].Term
		}
	}
}
