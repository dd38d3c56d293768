package ownership

import "slices"

// K13 and K14 at the owner: what holders are told.

// onRevoke: K13: an operator takes the lock of a token from its holder.
func (c *Core) onRevoke(from NodeID, m Revoke) {
	reply := Answer{Request: m.Request, Partition: m.Partition, Term: m.Term}
	o := c.served(from, reply)
	if o == nil {
		return
	}
	if len(m.Key) == 0 || len(m.Key) > MaxKeyBytes || len(m.Name) > MaxNameBytes || c.partition(m.Key) != m.Partition { // K5
		reply.Outcome = OutcomeInvalid
		c.send(from, reply)
		return
	}
	if m.Low > m.Request.Seq {
		return
	}
	c.lower(o, m.Request.Client, m.Low)
	if !c.serving(o) {
		c.explain(o, from, m.Request, Ticket{}, c.whyNot(o))
		return
	}
	t := &o.table
	if r := t.requests[m.Request]; r != nil {
		if r.from = from; r.state == requestClosed {
			c.answerByRound(o, r, false)
		} else {
			c.explain(o, from, r.id, Ticket{}, c.whyEvicting(o, r))
		}
		return
	}
	if m.Request.Seq < c.mark(o, m.Request.Client).low {
		return // closed long ago: a late copy
	}
	r := &request{id: m.Request, key: m.Key, heard: c.now, came: c.now, from: from, name: m.Name}
	t.requests[r.id] = r
	c.evict(o, r, m.Token)
}

// evict begins to take a lock from its holder, for the operator's request r.
func (c *Core) evict(o *owner, r *request, token Token) {
	k := o.table.keys[r.key]
	var h *Holder
	if k != nil && k.held() {
		r.busy = k.record.Holders[0]
		if i := slices.IndexFunc(k.record.Holders, func(h Holder) bool { return h.Token == token }); i >= 0 {
			h = &k.record.Holders[i]
		}
	}
	if h == nil {
		c.close(o, r, OutcomeNotHeld)
		c.answerByRound(o, r, false)
		return
	}
	r.busy, r.evicts = Holder{}, h.Request
	o.table.revokes = append(o.table.revokes, r)
	if lost := o.table.ending[h.Request]; h.Lost && lost != nil { // K9: an operator opens its place
		c.ungrant(o, lost, "")
		return
	}
	held := o.table.requests[h.Request]
	if held == nil || held.state != requestHeld {
		c.close(o, r, OutcomeNotHeld) // no owner makes such a record
		c.answerByRound(o, r, false)
		return
	}
	if !held.evicted {
		if l := o.table.leases[LeaseID{held.id.Client, held.lease}]; l.from != 0 {
			held.from = l.from
		}
		o.table.leaseRemove(held)
		held.evicted, held.evictor = true, r.name
		o.table.evicted++
		c.queueChanged(o, r.key)
		if k.upgrade == held { // it does not go up any more
			k.upgrade = nil
			defer c.advance(o, r.key)
		}
		// K13: nothing that came after this moment renews it.
		c.endAt(o, held, c.now.add(c.view.Params.given(held.ttl)))
	}
	c.tellEvicted(o, held)
	c.explain(o, r.from, r.id, Ticket{}, c.whyEvicting(o, r))
}

// answerRevokes tells operators that a lock has ended, with the write that says so.
func (c *Core) answerRevokes(o *owner, ended *request) {
	o.table.revokes = slices.DeleteFunc(o.table.revokes, func(r *request) bool {
		if r.state == requestWaiting && r.evicts != ended.id {
			return false
		}
		if r.state == requestWaiting {
			c.close(o, r, OutcomeReleased)
			c.answerByWrite(o, r.from, c.now, Answer{Request: r.id, Outcome: OutcomeReleased})
		}
		return true
	})
}

// whyEvicting says whom an operator waits for, and how long at most.
func (c *Core) whyEvicting(o *owner, r *request) Reason {
	why := Reason{Code: ReasonQueued}
	if k := o.table.keys[r.key]; k != nil && k.held() {
		if h := k.record.holder(r.evicts); h != nil {
			why.Holder = *h
		}
	}
	if held := o.table.ending[r.evicts]; held != nil {
		why.Left = max(0, held.ends.since(c.now))
	}
	return why
}

// tellEvicted tells a holder to let go.
func (c *Core) tellEvicted(o *owner, r *request) {
	if r.told == c.now {
		return // in this step: a heartbeat has many items
	}
	t := &o.table
	r.told = c.now
	c.tell(o, r, NoticeItem{Evicted: true, By: r.evictor})
	t.tellAt = earlier(t.tellAt, c.now.add(c.view.Params.resendEvery()))
	o.timer = earlier(o.timer, t.tellAt)
	c.wakeAt(o.timer)
}

// tickEvicted tells holders again and again, until they have let go.
func (c *Core) tickEvicted(o *owner) {
	o.table.tellAt = never
	for _, e := range o.table.endings {
		if e.request.evicted && e.request.state == requestHeld {
			c.tellEvicted(o, e.request)
		}
	}
}

// contended says that somebody waits for a holder to go (K14).
func (k *keyState) contended(r *request) bool {
	return len(k.queue) > 0 || k.upgrade != nil && k.upgrade != r
}

// tellContended tells the holders of a key that somebody has begun to wait.
func (c *Core) tellContended(o *owner, k *keyState) {
	if !k.held() {
		return
	}
	for _, h := range k.record.Holders {
		if r := o.table.requests[h.Request]; r.kept() && k.contended(r) {
			c.tell(o, r, NoticeItem{})
		}
	}
}

// tell gathers a notice to a holder, if it is known where that is.
func (c *Core) tell(o *owner, r *request, item NoticeItem) {
	to := r.from
	if l := o.table.leases[LeaseID{r.id.Client, r.lease}]; l != nil && l.from != 0 {
		to = l.from
	}
	if to == 0 {
		return
	}
	item.Partition, item.Term, item.Seq = o.partition, o.term, r.id.Seq
	c.notices = gather(c.notices, to, r.id.Client, item)
}
