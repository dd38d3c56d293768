package ownership

import (
	"slices"
)

// takeover is what a new owner has learned of the state before its term.
type takeover struct {
	answers []sealAnswer       // by the NodeID of who answered
	state   map[string]*Record // T3: fixed once its first Install is sent
	lost    bool               // T6: started without holders
	quiet   bool               // the owner before served and nobody waited there: no grace (K2)
	told    bool               // Waits was notified
	until   Time               // the end of T6's wait, 0 if none is under way
	began   Time
	resend  Time
}

// sealAnswer is one replica's answer to Seal.
type sealAnswer struct {
	id        NodeID
	whole     bool
	installed Term
	last      uint64
	records   map[string]*Record // nil: the asker has as much
	incoming  *incoming
}

// absence is a replica of some Prior that is no member, and since which view
// this node knows so (T6).
type absence struct {
	id    NodeID
	since Time
}

// noteAbsent: T6 waits "from learning that view" in which fewer than S of a
// configuration are members; so it is remembered when each went missing.
func (c *Core) noteAbsent(old *View) {
	if old == nil || c.view.Epoch != old.Epoch+1 {
		c.absent = nil // it may have been a member in a view that was skipped
	}
	var now []absence
	for _, g := range c.view.Groups {
		for _, k := range g.Prior {
			for _, id := range k.Replicas {
				if !c.view.has(id) && !slices.ContainsFunc(now, func(a absence) bool { return a.id == id }) {
					now = append(now, absence{id, c.absentSince(id)})
				}
			}
		}
	}
	c.absent = now
}

func (c *Core) absentSince(id NodeID) Time {
	for _, a := range c.absent {
		if a.id == id {
			return a.since
		}
	}
	return c.now
}

// lostSince says since when fewer than S of a configuration are members, 0 if
// enough are.
func (c *Core) lostSince(k Configuration) Time {
	n := len(k.Replicas)
	if n == 0 {
		return c.sinceView // what ran before founding cannot be asked
	}
	var since []Time
	for _, id := range k.Replicas {
		if !c.view.has(id) {
			since = append(since, c.absentSince(id))
		}
	}
	need := n - sealQuorum(n) + 1 // as many absent make it lost
	if len(since) < need {
		return 0
	}
	slices.Sort(since)
	return since[need-1]
}

// startTakeOver: T1.
func (c *Core) startTakeOver(o *owner) {
	o.stalled, o.takeover.began = c.now, c.now
	o.takeover.resend = c.now.add(c.view.Params.resendEvery())
	c.sendSeals(o)
	o.timer = c.now
	c.wake = c.now
}

// sendSeals: T1: to the replicas of the new list and of every configuration in
// Prior that have not answered.
func (c *Core) sendSeals(o *owner) {
	r := &c.parts[o.partition]
	for _, id := range c.needs(o.partition) {
		if a := o.takeover.answer(id); a == nil || !a.whole {
			c.send(id, Seal{o.partition, o.term, r.installed, r.last})
		}
	}
}

func (t *takeover) answer(id NodeID) *sealAnswer {
	for i := range t.answers {
		if t.answers[i].id == id {
			return &t.answers[i]
		}
	}
	return nil
}

func (c *Core) onSealAck(from NodeID, m SealAck) {
	if !c.hasPartition(m.Partition) {
		return
	}
	o := c.owners[m.Partition]
	if o == nil || o.term != m.Term || o.phase != ownerSealing {
		return
	}
	if !m.OK {
		if m.Promised > o.term {
			c.send(from, AskView{c.view.Epoch})
		}
		return
	}
	if !slices.Contains(c.needs(m.Partition), from) || m.Chunks < 0 || m.Chunks > maxChunks || !validRecords(m.Records, m.Installed) {
		return
	}
	a := o.takeover.answer(from)
	if a == nil {
		o.takeover.answers = append(o.takeover.answers, sealAnswer{id: from})
		a = &o.takeover.answers[len(o.takeover.answers)-1]
	}
	if a.whole {
		return
	}
	// T1: an answer counts when it is whole. All its chunks are of one state:
	// nothing is accepted below the promise that the answer is.
	a.installed, a.last = m.Installed, m.Last
	if m.Chunks > 0 {
		if a.incoming == nil || a.incoming.term != m.Installed || a.incoming.number != m.Last || len(a.incoming.chunks) != m.Chunks {
			a.incoming = newIncoming(m.Installed, m.Last, m.Chunks)
		}
		if !a.incoming.add(m.Chunk, m.Records) {
			return
		}
		a.records, a.incoming = a.incoming.records(), nil
	}
	a.whole = true
	o.takeover.noteQuiet(c, o, m)
	o.stalled = c.now
	c.tryTakeOver(o)
}

// noteQuiet: the owner before this term, if it answers itself, knows whether
// anybody waits (K2).
func (t *takeover) noteQuiet(c *Core, o *owner, m SealAck) {
	prior := c.view.Groups[o.partition].Prior
	if len(prior) > 0 && m.Served && m.Installed == prior[len(prior)-1].Term {
		t.quiet = !m.Waiting
	}
}

// tryTakeOver: T2, T6.
func (c *Core) tryTakeOver(o *owner) {
	t := &o.takeover
	best, enough := c.bestAnswer(o)
	if !enough {
		return // not even this node's own replica has answered
	}
	// T2: e* is the highest installed among the answers. It has enough when for
	// each configuration in Prior with term ≥ e* a seal quorum has answered.
	var missing []Configuration
	waited := true
	t.until = 0
	for _, k := range c.view.Groups[o.partition].Prior {
		if k.Term < best.installed || c.sealed(t, k) {
			continue
		}
		missing = append(missing, k)
		since := c.lostSince(k)
		if since == 0 {
			waited = false // its replicas are members: they can still answer
			continue
		}
		t.until = max(t.until, since.add(c.view.Params.lostWait()))
	}
	switch {
	case len(missing) == 0 && c.awaitOwner(o):
		return
	case len(missing) == 0:
		t.state = best.records
		if t.state == nil {
			t.state = map[string]*Record{}
			if best.installed != 0 { // this node has as much itself
				for k, r := range c.parts[o.partition].records {
					t.state[k] = r
				}
			}
		}
	case waited && c.now >= t.until:
		// T6: start without holders. K6: values that are found are kept.
		t.lost, t.quiet = true, false
		records := best.records
		if records == nil && best.installed != 0 {
			records = c.parts[o.partition].records
		}
		t.state = staleValues(records)
	case waited:
		c.waitLost(o, missing)
		return
	default:
		t.until = 0
		return
	}
	o.assertSnapshotQuorum(missing, t.lost)
	c.install(o)
}

// staleValues is what is left of the records of a lost configuration: the values,
// of which there may have been newer ones.
func staleValues(records map[string]*Record) map[string]*Record {
	left := map[string]*Record{}
	for key, r := range records {
		if r.Value != nil {
			v := *r.Value
			v.Stale = true
			left[key] = &Record{Key: key, Value: &v}
		}
	}
	return left
}

// awaitOwner holds a take-over back for a moment while the owner before is a
// member and has not answered: it knows whether anybody waits, and if nobody
// does the grace is left out (K2).
func (c *Core) awaitOwner(o *owner) bool {
	prior := c.view.Groups[o.partition].Prior
	if len(prior) == 0 || len(prior[len(prior)-1].Replicas) == 0 {
		return false
	}
	before := prior[len(prior)-1].Replicas[0]
	end := o.takeover.began.add(c.view.Params.ownerWait())
	if a := o.takeover.answer(before); a != nil && a.whole || !c.view.has(before) || c.now >= end {
		return false
	}
	o.timer = earlier(o.timer, end)
	c.wakeAt(o.timer)
	return true
}

// waitLost tells people, and wakes when the wait is over.
func (c *Core) waitLost(o *owner, missing []Configuration) {
	t := &o.takeover
	if !t.told {
		t.told = true
		c.notify(Waits{o.partition, o.term, t.until, missing[0].Term == 0})
	}
	o.stalled = 0 // nobody alive holds it up
	o.timer = earlier(o.timer, t.until)
	c.wakeAt(o.timer)
}

// bestAnswer is the answer with the highest (installed, last).
func (c *Core) bestAnswer(o *owner) (best sealAnswer, found bool) {
	for _, a := range o.takeover.answers {
		if !a.whole {
			continue
		}
		// Of equals that of this node itself, which sends nothing to itself.
		if !found || newer(a.installed, a.last, best.installed, best.last) || a.installed == best.installed && a.last == best.last && a.id == c.id {
			best, found = a, true
		}
	}
	return best, found
}

// sealed says that a seal quorum of a configuration has answered.
func (c *Core) sealed(t *takeover, k Configuration) bool {
	if len(k.Replicas) == 0 {
		return false
	}
	n := 0
	for _, a := range t.answers {
		if a.whole && slices.Contains(k.Replicas, a.id) {
			n++
		}
	}
	return n >= sealQuorum(len(k.Replicas))
}

// install: T3.
func (c *Core) install(o *owner) {
	o.phase = ownerInstalling
	o.takeover.answers = nil
	o.stalled = c.now
	o.resend = c.now.add(c.view.Params.resendEvery())
	o.timer = earlier(o.timer, o.resend)
	for _, id := range o.replicas[:c.firstTo(o)] {
		c.sendState(o, id)
	}
	c.wakeAt(o.timer)
}

// tryActivate: T3: with W installed the group is active and serves; the rest are
// sent it until they have it.
func (c *Core) tryActivate(o *owner) {
	installed := 0
	for _, a := range o.acked {
		if a >= 0 {
			installed++
		}
	}
	if installed < writeQuorum(len(o.replicas)) {
		return
	}
	o.phase = ownerActive
	c.fillTable(o, o.takeover.state)
	quiet, lost := o.takeover.quiet, o.takeover.lost
	o.takeover = takeover{lost: lost}
	c.notify(Activated{o.partition, o.term, lost})
	c.openTable(o, quiet)
	o.timer = c.now
	c.settleAt = c.now // T5
	c.wake = c.now
}

func (c *Core) tickTakeOver(o *owner) {
	if c.now >= o.takeover.resend {
		o.takeover.resend = c.now.add(c.view.Params.resendEvery())
		c.sendSeals(o)
	}
	c.tryTakeOver(o)
	if o.phase == ownerSealing {
		o.timer = earlier(o.timer, o.takeover.resend)
	}
}

// sendSettled: T5: the owner tells voters and the replicas of Prior until each
// has acknowledged, again on each view.
func (c *Core) sendSettled() {
	var boxes []outbox[SettledItem]
	for _, o := range c.owners {
		if o == nil || o.phase != ownerActive {
			continue
		}
		for _, id := range c.hearSettled(o.partition) {
			if !slices.Contains(o.settled, id) {
				boxes = gather(boxes, id, 0, SettledItem{o.partition, o.term})
			}
		}
	}
	c.settleAt = never
	for _, b := range boxes {
		c.send(b.to, Settled{b.items})
		c.settleAt = c.now.add(c.view.Params.settleEvery())
	}
}

// hearSettled lists who must know that a group is settled. Nodes that are no
// members have forgotten, or will (V6).
func (c *Core) hearSettled(p Partition) []NodeID {
	ids := slices.Clone(c.view.Voters)
	for _, k := range c.view.Groups[p].Prior {
		for _, id := range k.Replicas {
			if c.view.has(id) {
				ids = addID(ids, id)
			}
		}
	}
	return ids
}

// onSettled: T5: a replica with installed < the term drops its records; others
// ignore it. A voter notes it for its proposals.
func (c *Core) onSettled(from NodeID, m Settled) {
	var items []SettledItem
	for _, i := range m.Items {
		if !c.hasPartition(i.Partition) {
			continue
		}
		if g := c.view.Groups[i.Partition]; g.Term != i.Term || g.Owner() != from {
			continue // one of the two is behind and will learn the view
		}
		if c.voter.settled[i.Partition] < i.Term {
			c.voter.settled[i.Partition] = i.Term
			c.voter.look = true
			c.wake = c.now
		}
		if r := &c.parts[i.Partition]; r.installed < i.Term {
			r.forget()
		}
		items = append(items, i)
	}
	if len(items) > 0 {
		c.send(from, SettledAck{items})
	}
}

func (c *Core) onSettledAck(from NodeID, m SettledAck) {
	for _, i := range m.Items {
		if !c.hasPartition(i.Partition) {
			continue
		}
		if o := c.owners[i.Partition]; o != nil && o.term == i.Term {
			o.settled = addID(o.settled, from)
		}
	}
}
