package ownership

import (
	"cmp"
	"slices"
)

// change is an alteration of a held lock that its user asked for (K6, K8).
type change struct {
	op     uint64
	what   AlterCode
	mode   Mode
	value  []byte
	undo   bool   // it was given up, or takes back what was: nobody waits for it
	number uint64 // 0: not sent yet
	term   Term   // the newest asked
	next   Time   // when to ask again
	reason Reason
}

// clientChange puts a change of a held lock in line.
func (c *Core) clientChange(in Change) {
	h := c.client.holds[in.Handle]
	m := Alter{What: in.What, Mode: in.Mode, Value: in.Value}
	refused := Altered{Handle: in.Handle, Op: in.Op, Outcome: OutcomeNotHeld}
	if h != nil && h.state == holdHeld && c.now >= h.deadline { // K3
		c.lose(h, LostExpired) // and the change with it
		return
	}
	switch {
	case h == nil || h.state != holdHeld || h.evicts != 0:
		c.notify(refused)
		return
	case !m.wellFormed() || in.What == AlterMode && h.in.Mode.capacity() != Whole:
		refused.Outcome = OutcomeInvalid
		c.notify(refused)
		return
	}
	if in.What == AlterMode && in.Mode.weight() < h.mode.weight() {
		h.mode = in.Mode // K8: from now on it counts as being there
	}
	c.addChange(h, change{op: in.Op, what: in.What, mode: in.Mode, value: in.Value})
}

// addChange puts a change in line. They are carried out one after the other.
func (c *Core) addChange(h *hold, ch change) {
	h.changes = append(h.changes, ch)
	if len(h.changes) > 1 {
		return
	}
	cl := &c.client
	i, _ := slices.BinarySearchFunc(cl.alters, h.seq, func(a *hold, seq uint64) int { return cmp.Compare(a.seq, seq) })
	cl.alters = slices.Insert(cl.alters, i, h)
	c.sendChange(h)
}

// sendChange sends the first change of a lock, or sends it again.
func (c *Core) sendChange(h *hold) {
	ch := &h.changes[0]
	if ch.number == 0 {
		h.altered++
		ch.number = h.altered
	}
	ch.next = c.now.add(askEvery(h.in.TTL))
	c.wakeAt(ch.next)
	if c.silent() || c.view == nil {
		return
	}
	g := c.view.Groups[h.partition]
	ch.term = g.Term
	c.send(g.Owner(), Alter{RequestID{c.client.id, h.seq}, c.client.low(), h.partition, ch.term, ch.number, ch.what, ch.mode, ch.value})
}

// clientUnchange gives a change up. K8: one that waits to go up is taken back by a
// further number, and so is one that has gone up when its user did not know yet.
// One to go down counts since it was asked for, so it goes on. Others are not sent
// any more, and the next number overrules a late copy.
func (c *Core) clientUnchange(in Unchange) {
	h := c.client.holds[in.Handle]
	if h == nil || h.state != holdHeld {
		return
	}
	i := slices.IndexFunc(h.changes, func(ch change) bool { return ch.op == in.Op && !ch.undo })
	switch {
	case i < 0:
		h.ups = slices.DeleteFunc(h.ups, func(op uint64) bool { return op == in.Op })
		c.undoUps(h)
	case h.changes[i].what == AlterMode && h.changes[i].mode != Exclusive:
		h.changes[i].undo = true
	case i > 0:
		h.changes = slices.Delete(h.changes, i, i+1)
		c.undoUps(h)
	case h.changes[0].what == AlterMode:
		h.changes[0] = change{what: AlterMode, mode: h.settled(), undo: true}
		c.sendChange(h)
	default:
		c.nextChange(h)
	}
}

// settled is the mode that the users of a lock know of: exclusive if one that went
// up has not been given up.
func (h *hold) settled() Mode {
	if len(h.ups) > 0 {
		return Exclusive
	}
	return h.base
}

// undoUps goes back to the base if only changes that were given up have gone up, and
// none that changes the mode is in line: when that one ends this is looked at anew.
func (c *Core) undoUps(h *hold) {
	changing := slices.ContainsFunc(h.changes, func(ch change) bool { return ch.what == AlterMode })
	if h.raised && len(h.ups) == 0 && !changing {
		c.addChange(h, change{what: AlterMode, mode: h.base, undo: true})
	}
}

// nextChange goes on with the next change of a lock.
func (c *Core) nextChange(h *hold) {
	h.changes = slices.Delete(h.changes, 0, 1)
	if len(h.changes) == 0 {
		c.dropChanges(h)
		return
	}
	c.sendChange(h)
}

// dropChanges ends the changes of a lock that has ended, or has none left.
func (c *Core) dropChanges(h *hold) {
	h.changes = nil
	c.client.alters = removed(c.client.alters, h)
}

// onAltered: K1 holds for alterations too: an answer counts from the newest term
// that was asked.
func (c *Core) onAltered(from NodeID, h *hold, m Answer) {
	if h.state != holdHeld || len(h.changes) == 0 {
		return
	}
	if c.now >= h.deadline { // K3
		c.lose(h, LostExpired)
		return
	}
	ch := &h.changes[0]
	if m.Alters != ch.number || m.Term != ch.term || m.Partition != h.partition {
		return
	}
	switch m.Outcome {
	case OutcomeMoved:
		ch.next = earlier(ch.next, c.now.add(c.cfg.Params.resendEvery()))
		c.wakeAt(ch.next)
		if c.view != nil {
			c.send(from, AskView{c.view.Epoch})
		}
	case OutcomeWaiting:
		if m.Reason.Code != ReasonQueued { // its owner is about to serve
			ch.next = earlier(ch.next, c.now.add(c.cfg.Params.resendEvery()))
			c.wakeAt(ch.next)
		}
		if ch.reason != m.Reason && !ch.undo {
			c.notify(Pending{Handle: h.handle, Op: ch.op, Owner: from, Reason: m.Reason})
		}
		ch.reason = m.Reason
	case OutcomeAltered, OutcomeBusy, OutcomeNotHeld, OutcomeInvalid:
		done, mode, before := *ch, h.mode, h.token
		if m.Outcome == OutcomeAltered {
			h.token = max(h.token, m.Token)
			if done.what == AlterMode {
				h.changed(done)
			}
			mode = h.mode
			for _, later := range h.changes[1:] { // K8: asked to go down, it counts as being there
				if later.what == AlterMode && later.mode.weight() < h.mode.weight() {
					h.mode = later.mode
				}
			}
		}
		h.raised = h.raised && !(done.undo && m.Outcome != OutcomeAltered) // refused: it is lost, and nothing is to be undone
		if done.undo && m.Outcome == OutcomeAltered && m.Token > before {
			c.notify(Altered{Handle: h.handle, Outcome: m.Outcome, Mode: mode, Token: h.token})
		}
		if !done.undo {
			c.notify(Altered{Handle: h.handle, Op: done.op, Outcome: m.Outcome, Mode: mode, Token: h.token, Holder: m.Holder})
		}
		c.nextChange(h)
		c.undoUps(h)
	}
}

// changed notes that a change of mode is done.
func (h *hold) changed(done change) {
	h.mode = done.mode
	switch {
	case done.mode != Exclusive:
		h.base, h.ups, h.raised = done.mode, nil, false
	case !done.undo && h.base != Exclusive:
		h.ups, h.raised = append(h.ups, done.op), true
	}
}

// tickChanges asks again.
func (c *Core) tickChanges() {
	for _, h := range c.client.alters {
		if c.now >= h.changes[0].next-Time(askEvery(h.in.TTL)/8) { // those nearly due go along
			c.sendChange(h)
		}
		c.wakeAt(h.changes[0].next)
	}
}
