package simtest

import (
	"slices"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// What ends locks, or keeps them from others: leases of the user, sets, delays,
// operators, and those who wait.

// adopted is a grant on its way into a client: the event does not say which request
// it answers, and the message does.
type adopted struct {
	to      *Node
	token   ownership.Token
	request ownership.RequestID
}

// lease lists a lock with all those that share its fate, the anchor first (K10); nil
// if there are none.
func (c *Call) lease() []*Call {
	anchor := c
	if c.Lease != nil {
		anchor = c.Lease
	}
	if len(anchor.fellows) == 0 {
		return nil
	}
	return append([]*Call{anchor}, anchor.fellows...)
}

// lostWithLease: K10: a lock is lost with its lease only if that was let go, or
// another lock of it was lost; and then all of them are.
func (ch *Checker) lostWithLease(c *Call, cause ownership.LostCause) {
	all := c.lease()
	switch cause {
	case ownership.LostRevoked:
		if c.Lease == nil || c.Lease.Unlock == 0 {
			ch.fail("fate", []*Call{c}, "%s lost %q with its lease, which nobody has let go", c.Node, c.Key)
		}
	case ownership.LostLease:
		if !slices.ContainsFunc(all, func(o *Call) bool { return o.Lost != 0 && o.Cause != ownership.LostLease }) {
			ch.fail("fate", []*Call{c}, "%s lost %q with its lease, of which no lock was lost", c.Node, c.Key)
		}
	}
	if all != nil {
		ch.afterStep(func() { ch.sharedFate(all, c) })
	}
}

// letGoOfLease: K10: when the anchor is let go, so are all.
func (ch *Checker) letGoOfLease(c *Call) {
	if all := c.lease(); all != nil && c.Lease == nil {
		ch.afterStep(func() { ch.sharedFate(all, c) })
	}
}

// afterStep calls f when the step that tells the present event is over.
func (ch *Checker) afterStep(f func()) { ch.w.After(0, f) }

// sharedFate: nobody believes in a lock of a lease that is over.
func (ch *Checker) sharedFate(all []*Call, over *Call) {
	down := 0
	for _, o := range all {
		if o.Lost == ch.w.Now && o != over {
			down++
		}
		if o != over && ch.believes(o) {
			ch.fail("fate", []*Call{over, o}, "%s has lost %q, and holds %q of the same lease still", o.Node, over.Key, o.Key)
		}
	}
	if down > 1 {
		ch.Goals.Reach("a lease that took several locks down")
	}
}

// grantedInLease: a lock that names a lease which is over is denied.
func (ch *Checker) grantedInLease(c *Call) {
	if o := c.Lease; o != nil && (o.Granted == 0 || o.Lost != 0 || o.Unlock != 0) {
		ch.fail("fate", []*Call{o, c}, "%s was granted %q in a lease that is over", c.Node, c.Key)
	}
}

func (ch *Checker) deniedByLease(c *Call) {
	ch.afterStep(func() {
		if c.Lease == nil || ch.believes(c.Lease) {
			ch.fail("fate", []*Call{c}, "%s was denied %q for its lease, which is not over", c.Node, c.Key)
		}
	})
	ch.Goals.Reach("a lock denied by its lease")
	if len(c.Ghosts) > 0 {
		ch.Goals.Reach("a lock denied by its lease whose grant came too late")
	}
}

// deniedBySet: K11: a lock of a set is denied only if the one before it has ended.
func (ch *Checker) deniedBySet(c *Call) {
	ch.afterStep(func() {
		if o := c.After; o == nil || o.Unlock == 0 && o.Ended == 0 && (o.Granted == 0 || ch.believes(o)) {
			ch.fail("set", []*Call{c}, "%s was denied %q, and the lock before it in its set has not ended", c.Node, c.Key)
		}
	})
	ch.Goals.Reach("a set that fell apart")
}

// grantedInSet: K11: a lock of a set is held before the next one is asked for.
func (ch *Checker) grantedInSet(c *Call) {
	if o := c.After; o != nil && (o.Granted == 0 || o.Lost != 0 || o.Unlock != 0) {
		ch.fail("set", []*Call{o, c}, "%s was granted %q, and does not hold %q, which comes before it in its set", c.Node, c.Key, o.Key)
	}
}

// asksInOrder: K11: nobody is asked for a lock of a set before the one that comes
// before it is held.
func (ch *Checker) asksInOrder(n *Node, m *ownership.Acquire) {
	if !ch.sets[n] {
		return
	}
	var early []*Call
	for _, c := range ch.open {
		if c.Node != n || c.Key != m.Key || c.Granted != 0 || c.Unlock != 0 {
			continue
		}
		if c.After == nil || c.After.Granted != 0 {
			return // it may be this one
		}
		early = append(early, c)
	}
	if len(early) == 0 {
		return
	}
	ch.afterStep(func() { // that lock may be granted in this very step
		if !slices.ContainsFunc(early, func(c *Call) bool { return c.After.Granted != 0 }) {
			c := early[0]
			ch.fail("set", []*Call{c}, "%s asks for %q, and does not hold %q, which comes before it in its set", n, c.Key, c.After.Key)
		}
	})
}

// placeClosed: K9: who was lost with a Delay keeps its place for so long after its
// lease can have expired at the owner, or its client can have given it back: nobody
// gets the key who has no room beside it.
func (ch *Checker) placeClosed(k *keyHistory, c *Call, asked time.Duration) {
	k.delayed = slices.DeleteFunc(k.delayed, func(o *Call) bool {
		return o.Unlock != 0 || o.evicted || ch.mayBeForgotten(o)
	})
	weight, of := weightOf(c.Mode)
	for _, o := range k.delayed {
		other, capacity := weightOf(o.Mode)
		if o == c || ch.believes(o) || of == capacity && weight+other <= of {
			continue
		}
		opens := o.mayExpire()
		if o.Lost != 0 {
			opens = min(opens, o.Lost)
		}
		if opens += o.Delay; ch.w.Now < opens && !ch.Wild {
			ch.fail("delay", []*Call{o, c}, "%s got %q %v, which is closed until %v since %s was lost (token %s)", c.Node, c.Key, c.Mode, opens, o.Node, tokenText(o.Token))
		}
		if t, seen := k.closedIn[o.Token]; seen {
			ch.Goals.Reach("a place closed by a delay")
			if c.Token.Term() > t {
				ch.Goals.Reach("a closed place opened by a later owner")
			}
			delete(k.closedIn, o.Token)
		}
	}
}

// opened notes that what was lost keeps nobody out.
func (ch *Checker) opened(k *keyHistory, c *Call) {
	k.delayed = slices.DeleteFunc(k.delayed, func(o *Call) bool { return o == c })
}

// closed notes places that are seen closed.
func (ch *Checker) closed(m *ownership.Accept, r *ownership.Record) {
	if r == nil {
		return
	}
	for i := range r.Holders {
		if h := &r.Holders[i]; h.Lost {
			k := ch.key(r.Key)
			if k.closedIn == nil {
				k.closedIn = map[ownership.Token]ownership.Term{}
			}
			if _, seen := k.closedIn[h.Token]; !seen {
				k.closedIn[h.Token] = m.Term
			}
		}
	}
}

// Eviction is one Evict and what came of it.
type Eviction struct {
	Node    *Node
	Handle  ownership.Handle
	Of      *Call
	Token   ownership.Token
	Invoked time.Duration
	GivenUp time.Duration // by Unlock
	Ended   time.Duration
	Done    bool
}

// Evict takes the lock of another call by a token that it has, or had. That of one that
// was not told of its grant somebody must have seen.
func (ch *Checker) Evict(n *Node, h ownership.Handle, of *Call, first bool) {
	id := callID{n, h}
	if of == nil || of.Token == 0 && of.shown == 0 || ch.used(id) {
		return
	}
	x := &Eviction{Node: n, Handle: h, Of: of, Token: of.Token, Invoked: ch.w.Now}
	switch {
	case of.Token == 0:
		x.Token, of.unheard, of.Ghosts = of.shown, true, append(of.Ghosts, ch.w.Now)
		ch.Goals.Reach("an eviction before the grant was heard of")
	case first:
		x.Token = of.Tokens[0]
	}
	of.evicted = true
	k := ch.keys[of.Key]
	k.changed, k.evictions = ch.w.Now, append(k.evictions, x)
	ch.evictions[id] = x
	ch.evicting = append(ch.evicting, x)
	ch.w.Input(n, ownership.Evict{Handle: h, Key: of.Key, Token: x.Token})
}

// giveUpEvict gives the call up, not the eviction.
func (ch *Checker) giveUpEvict(n *Node, h ownership.Handle) {
	if x := ch.evictions[callID{n, h}]; x != nil {
		x.GivenUp = ch.w.Now
		ch.evictOver(x)
		ch.w.Input(n, ownership.Unlock{Handle: h})
	}
}

func (ch *Checker) evictOver(x *Eviction) {
	ch.evicting = slices.DeleteFunc(ch.evicting, func(o *Eviction) bool { return o == x })
}

// Evicting lists the evictions called for by running nodes that are not over.
func (ch *Checker) Evicting() []*Eviction {
	ch.evicting = slices.DeleteFunc(ch.evicting, func(x *Eviction) bool { return x.Node.Crashed })
	return ch.evicting
}

// evictionOver: K13: it is done when the holder knows that it holds no more; it finds
// nothing only if the token was not held at some moment since it was called for.
func (ch *Checker) evictionOver(x *Eviction, e ownership.Evicted) {
	if x == nil || x.Ended != 0 || x.GivenUp != 0 {
		ch.fail("evict", nil, "handle %d is told of an eviction that it did not call for", e.Handle)
		return
	}
	x.Ended, x.Done = ch.w.Now, e.Done
	ch.evictOver(x)
	o := x.Of
	k := ch.keys[o.Key]
	k.changed = ch.w.Now
	held := ch.believes(o) && o.Token == x.Token && !ch.Wild
	switch who := k.tokens[e.Holder.Token]; {
	case e.Done && held:
		ch.fail("evict", []*Call{o}, "%s has evicted token %s of %q, and %s holds it still", x.Node, tokenText(x.Token), o.Key, o.Node)
	case !e.Done && held && !o.upSince(x.Invoked) && !ch.mayBeForgotten(o):
		ch.fail("evict", []*Call{o}, "%s was told that token %s of %q is not held, and %s has held it all the time", x.Node, tokenText(x.Token), o.Key, o.Node)
	case !e.Done && who != nil && !ch.mayHoldSince(who, e.Holder, x.Invoked) && !ch.Wild:
		ch.fail("evict", []*Call{who}, "%s is told that token %s has %q, which had ended at %v", x.Node, tokenText(e.Holder.Token), o.Key, x.Invoked)
	}
	ch.Goals.evicted(x)
}

// upSince says that the token of a call may have risen since a moment.
func (c *Call) upSince(at time.Duration) bool {
	return slices.ContainsFunc(c.Changes, func(a *Alteration) bool { return a.isUp() && (a.Answered == 0 || a.Answered >= at) })
}

// lostByEviction: somebody has called for it.
func (ch *Checker) lostByEviction(c *Call, e ownership.Lost) {
	if e.Cause != ownership.LostEvicted {
		return
	}
	for id, x := range ch.evictions {
		if x.Of == c && id.node.Name == e.By {
			return
		}
	}
	ch.fail("evict", []*Call{c}, "%s was evicted from %q (token %s) by %q, who did not call for that", c.Node, c.Key, tokenText(c.Token), e.By)
}

// contended: K14: a holder is told that somebody waits.
func (ch *Checker) contended(c *Call) {
	if c.Told == 0 {
		c.Told = ch.w.Now
	}
	ch.Goals.Reach("a holder told of contention")
	if c.Granted == 0 || c.Lost != 0 || c.Unlock != 0 { // that it is over it may hear in the same step
		ch.fail("contended", []*Call{c}, "%s is told that somebody waits for %q, which it does not hold", c.Node, c.Key)
	}
	if slices.ContainsFunc(ch.keys[c.Key].calls, func(o *Call) bool { return o != c && (!o.Try || len(o.Ghosts) > 0) }) ||
		slices.ContainsFunc(ch.keys[c.Key].calls, func(o *Call) bool { return len(o.Changes) > 0 }) {
		return
	}
	ch.fail("contended", []*Call{c}, "%s is told that somebody waits for %q, for which nobody ever did", c.Node, c.Key)
}

// judgeContended: in a mesh at peace whoever holds a key for which somebody has waited
// for longer than a round of heartbeats knows it.
func (ch *Checker) judgeContended(c *Call) {
	p := ch.params()
	if ch.healedAt == 0 || ch.Wild || c.Told != 0 || !ch.believes(c) || c.NoRenew || c.Node.outside {
		return
	}
	round := c.TTL/3 + c.TTL/4 + p.MembershipTTL
	since := max(c.Granted, ch.healedAt, ch.disturbed, ch.lastView) + round
	for _, o := range ch.open {
		if o != c && o.Key == c.Key && o.Queued != 0 && ch.waitsStill(o) && max(o.Queued+round, since) < ch.w.Now {
			ch.fail("contended", []*Call{c, o}, "%s holds %q and was not told that %s waits for it since %v", c.Node, c.Key, o.Node, o.Queued)
			return
		}
	}
}
