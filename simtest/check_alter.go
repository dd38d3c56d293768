package simtest

import (
	"slices"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// What holders change: their mode (K8) and the value (K6).

// altered: a change that is answered was the first of those that are open.
func (ch *Checker) altered(c *Call, e ownership.Altered) {
	if e.Op == 0 {
		return // a change that was given up had been carried out, and is taken back
	}
	i := slices.IndexFunc(c.Changes, func(a *Alteration) bool { return a.Op == e.Op })
	if i < 0 || c.Changes[i].Answered != 0 || c.Changes[i].GivenUp != 0 || c.Unlock != 0 || c.Ended != 0 {
		ch.fail("memory", []*Call{c}, "%s is told of change %d of %q, which is over", c.Node, e.Op, c.Key)
		return
	}
	a := c.Changes[i]
	if slices.ContainsFunc(c.Changes[:i], (*Alteration).waits) {
		ch.fail("memory", []*Call{c}, "%s is told of change %d of %q before those it had called for earlier", c.Node, e.Op, c.Key)
	}
	a.Answered, a.Outcome = ch.w.Now, e.Outcome
	ch.alters = slices.DeleteFunc(ch.alters, func(o *Alteration) bool { return o == a })
	ch.keys[c.Key].changed = ch.w.Now
	switch {
	case e.Outcome == ownership.OutcomeAltered:
		ch.changed(a, e)
	case a.isUp() && e.Outcome == ownership.OutcomeBusy:
		ch.refusedUp(a, e.Holder)
	case e.Outcome == ownership.OutcomeNotHeld:
		ch.Goals.Reach("a value refused")
		ch.refusedChange(a)
	case e.Outcome != ownership.OutcomeInvalid || a.What != ownership.AlterMode:
		ch.fail("memory", []*Call{c}, "%s: change %d of %q came to outcome %d", c.Node, e.Op, c.Key, e.Outcome)
	}
}

// changed: a change of mode gives the mode that was asked for; an upgrade a token
// above all others, anything else none. Only who holds all of the key writes.
func (ch *Checker) changed(a *Alteration, e ownership.Altered) {
	c, k := a.Call, ch.keys[a.Call.Key]
	a.Token, a.idle = e.Token, a.isUp() && e.Token == c.Token
	if a.What == ownership.AlterMode && e.Mode != a.Mode {
		ch.fail("upgrade", []*Call{c}, "%s asked to hold %q %v, and holds it %v", c.Node, c.Key, a.Mode, e.Mode)
	}
	goesDown := slices.ContainsFunc(c.Changes, func(o *Alteration) bool { return o.What == ownership.AlterMode && !o.isUp() && o.Answered == 0 })
	if a.What != ownership.AlterMode && !whole(e.Mode) && !goesDown {
		ch.fail("memory", []*Call{c}, "%s has written the value of %q, which it holds %v", c.Node, c.Key, e.Mode)
	}
	before, _ := weightOf(c.Mode)
	now, _ := weightOf(e.Mode)
	c.Mode = e.Mode
	for _, later := range c.Changes { // one to go down goes on when it is given up
		if later.Op > a.Op && later.What == ownership.AlterMode && (later.waits() || later.GivenUp != 0) {
			c.lower(later.Mode)
		}
	}
	// What was given up may have been carried out all the same. Where it may not go down
	// any more, told to let go, it has the whole of the key still, if another owner comes.
	unseen := slices.ContainsFunc(c.Changes, func(o *Alteration) bool {
		return o.GivenUp != 0 && o.isUp() || o.isDown() && o.Answered != 0 && o.Outcome != ownership.OutcomeAltered
	})
	switch {
	case e.Token != c.Token && a.isUp() && now > before:
		ch.newToken(k, c, e.Token, a.Invoked)
	case e.Token != c.Token && unseen && k.tokens[e.Token] == nil:
		k.tokens[e.Token] = c
		c.Token, c.Tokens = e.Token, append(c.Tokens, e.Token)
	case a.isUp() && now > before && !unseen && !goesDown:
		ch.fail("token", []*Call{c}, "%s holds %q alone now, and kept its token %s", c.Node, c.Key, tokenText(c.Token))
	case e.Token != c.Token:
		ch.fail("token", []*Call{c}, "%s changed what it holds of %q, and its token from %s to %s", c.Node, c.Key, tokenText(c.Token), tokenText(e.Token))
	}
	c.noteMode()
	ch.exclusion(k, c, "changed to")
	ch.checkRoom(k)
	if a.isUp() {
		ch.placeClosed(k, c, a.Invoked)
		ch.wallBehind(k, c)
	}
	ch.Goals.altered(a)
}

// refusedUp: an upgrade is refused only if it and another holder would wait for each
// other: that one holds for update, or wants to go up as well (K8).
func (ch *Checker) refusedUp(a *Alteration, h ownership.Holder) {
	ch.Goals.Reach("an upgrade refused")
	c, k := a.Call, ch.keys[a.Call.Key]
	o := k.tokens[h.Token]
	switch {
	case o == c:
		ch.fail("upgrade", []*Call{c}, "%s was refused to go up on %q because of itself", c.Node, c.Key)
	case c.Mode == ownership.ForUpdate && !slices.ContainsFunc(c.Changes, (*Alteration).waits):
		// No other one may wait to go up beside it, and none for update is let in.
		ch.fail("upgrade", []*Call{c}, "%s holds %q for update and was refused to go up, by token %s", c.Node, c.Key, tokenText(h.Token))
	case o == nil:
		if h.Token < k.wall && k.wallAt < a.Invoked {
			ch.fail("upgrade", []*Call{c}, "%s was refused to go up on %q by token %s, which nobody was told of, after %s was", c.Node, c.Key, tokenText(h.Token), tokenText(k.wall))
		}
	case !ch.mayHoldSince(o, h, a.Invoked):
		ch.fail("upgrade", []*Call{o, c}, "%s was refused to go up on %q by token %s of %s, which had ended at %v", c.Node, c.Key, tokenText(h.Token), o.Node, a.Invoked)
	case o.asked != ownership.ForUpdate && !slices.ContainsFunc(o.Changes, func(b *Alteration) bool {
		return b.isUp() && (b.Answered == 0 || b.Answered >= a.Invoked) || b.What == ownership.AlterMode && b.Mode == ownership.ForUpdate
	}):
		ch.fail("upgrade", []*Call{o, c}, "%s was refused to go up on %q by %s, which holds it %v and did not want to", c.Node, c.Key, o.Node, o.Mode)
	}
}

// refusedChange: whoever holds all of a key may write its value, and whoever holds it
// may change its mode.
func (ch *Checker) refusedChange(a *Alteration) {
	c := a.Call
	if ch.Wild || !ch.believes(c) || c.evicted || ch.mayBeForgotten(c) {
		return
	}
	if a.What == ownership.AlterMode || whole(c.Mode) {
		ch.fail("memory", []*Call{c}, "%s holds %q %v (token %s), and change %d was refused: not held", c.Node, c.Key, c.Mode, tokenText(c.Token), a.Op)
	}
}

// changeWaits notes that an upgrade waits for other holders.
func (ch *Checker) changeWaits(c *Call, e ownership.Pending) {
	for _, a := range c.Changes {
		if v := c.Node.Core.View(); a.Op == e.Op && e.Reason.Code == ownership.ReasonQueued && a.waited == 0 && v != nil {
			a.waited, a.waitedIn = ch.w.Now, v.Groups[partitionOf(c.Key, v.Params)].Term
		}
	}
}

// readValue: a value that was read is one that somebody wrote, and the newest, or
// Stale, and that only after a lost configuration (T6).
func (ch *Checker) readValue(in *Inquiry, key string, term ownership.Term, v *ownership.Value) {
	k := ch.keys[key]
	if k == nil || len(k.writes) == 0 {
		if v != nil {
			ch.fail("memory", nil, "%s read the value %q of %q, which nobody wrote", in.Node, v.Data, key)
		}
		return
	}
	// Whoever held the key at a lost start (T6) was forgotten with it: so what was written
	// under a token of an older term was written before.
	p, newest := partitionOf(key, ch.params()), ch.newestWrite(k, in.Invoked)
	kept := newest != nil && !ch.Wild && !ch.mayBeLost(p, newest.Token.Term(), term)
	if v == nil {
		if kept && newest.What == ownership.AlterValue && !ch.mayBeDeletedAfter(k, newest) {
			ch.fail("memory", []*Call{newest.Call}, "%s read no value of %q, to which %s had written %q at %v", in.Node, key, newest.Call.Node, newest.Value, newest.Answered)
		}
		return
	}
	i := slices.IndexFunc(k.writes, func(a *Alteration) bool { return a.What == ownership.AlterValue && a.Value == string(v.Data) })
	if i < 0 {
		ch.fail("memory", nil, "%s read the value %q of %q, which nobody wrote", in.Node, v.Data, key)
		return
	}
	w := k.writes[i]
	ch.Goals.read(term, w, v)
	switch {
	case !ch.mayBeDone(w):
		ch.fail("memory", []*Call{w.Call}, "%s read the value %q of %q, which was refused", in.Node, v.Data, key)
	case w.Token != 0 && v.Token != w.Token || v.Token < w.Call.Tokens[0]:
		ch.fail("memory", []*Call{w.Call}, "%s read the value %q of %q with token %s; it was written with %s", in.Node, v.Data, key, tokenText(v.Token), tokenText(w.Token))
	case v.Stale && !ch.mayBeLost(p, v.Token.Term(), term):
		ch.fail("memory", []*Call{w.Call}, "%s read the value %q of %q as stale, and nothing was lost since term %d", in.Node, v.Data, key, v.Token.Term())
	case !v.Stale && ch.isLost(p, v.Token.Term(), term):
		ch.fail("memory", []*Call{w.Call}, "%s read the value %q of %q without a word that a newer one may be lost", in.Node, v.Data, key)
	case kept && (v.Token < newest.Token || w.Call == newest.Call && w.Op < newest.Op):
		ch.fail("memory", []*Call{w.Call, newest.Call}, "%s read the value %q of %q; %s had written %q at %v", in.Node, v.Data, key, newest.Call.Node, newest.Value, newest.Answered)
	}
}

// mayBeDone says that a change may have been carried out. Beyond the bound the lease of a
// holder may end at the owner while its client asks again for what is done (K3).
func (ch *Checker) mayBeDone(a *Alteration) bool {
	return a.Answered == 0 || a.Outcome == ownership.OutcomeAltered || a.Outcome == ownership.OutcomeNotHeld && ch.Wild
}

// newestWrite is the last one that was answered before a moment, nil if none was.
func (ch *Checker) newestWrite(k *keyHistory, before time.Duration) (newest *Alteration) {
	for _, a := range k.writes {
		if a.Answered == 0 || a.Answered >= before || a.Outcome != ownership.OutcomeAltered {
			continue
		}
		if newest == nil || a.Token > newest.Token || a.Call == newest.Call && a.Op > newest.Op {
			newest = a
		}
	}
	return newest
}

// mayBeDeletedAfter says that the value of a write may have been deleted since.
func (ch *Checker) mayBeDeletedAfter(k *keyHistory, w *Alteration) bool {
	return slices.ContainsFunc(k.writes, func(a *Alteration) bool {
		switch {
		case a.What != ownership.AlterNoValue || !ch.mayBeDone(a):
			return false
		case a.Call == w.Call:
			return a.Op > w.Op
		case a.Answered != 0:
			return a.Token > w.Token
		}
		return a.Call.Tokens[len(a.Call.Tokens)-1] > w.Token || slices.ContainsFunc(a.Call.Changes, (*Alteration).isUp)
	})
}
