package ownership

// The lock table and the client's half of Core.Encode.

func (e *encoder) pending(p pending) {
	e.node(p.to)
	e.uint(p.number)
	e.time(p.heard)
	e.time(p.began)
	e.request(p.request)
	e.bool(p.release)
	e.uint(p.alters)
	switch a := p.answer.(type) {
	case nil:
		e.uint(0)
	case Answer:
		e.uint(1)
		e.answer(a)
	case Report:
		e.uint(2)
		e.report(a)
	}
	if e.has(p.query != nil) {
		e.uint(uint64(p.query.client))
		e.uint(p.query.id)
		e.str(p.query.key)
		e.bool(p.query.page)
		e.bool(p.query.watch)
	}
	if e.has(p.beat != nil) {
		e.leaseID(p.beat.lease)
		e.uint(p.beat.beat)
		e.echo(p.beat.sent)
		e.time(p.beat.heard)
		e.int(int64(p.beat.count))
		e.uint(p.beat.xor)
	}
	if e.has(p.ack != nil) {
		e.ack(p.ack)
	}
}

func (e *encoder) answer(a Answer) {
	e.request(a.Request)
	e.uint(uint64(a.Partition))
	e.term(a.Term)
	e.bool(a.Release)
	e.uint(uint64(a.Outcome))
	e.uint(uint64(a.Token))
	e.echo(a.Echo)
	e.ticket(a.Ticket)
	e.holder(a.Holder)
	e.reason(a.Reason)
	e.uint(a.Alters)
}

func (e *encoder) report(m Report) {
	e.uint(uint64(m.Client))
	e.uint(m.ID)
	e.uint(uint64(m.Partition))
	e.term(m.Term)
	e.uint(uint64(m.Outcome))
	e.uint(m.Number)
	each(e, m.Keys, (*encoder).keyState)
	e.bool(m.More)
	e.reason(m.Reason)
}

// keyState: how long is left, and how long it was waited, are for people.
func (e *encoder) keyState(s KeyState) {
	e.str(s.Key)
	e.len(len(s.Holders))
	for _, h := range s.Holders {
		e.holder(h.Holder)
		e.bool(h.Evicted)
	}
	e.len(len(s.Queue))
	for _, w := range s.Queue {
		e.uint(uint64(w.Client))
		e.str(w.Name)
		e.str(w.Note)
		e.mode(w.Mode)
		e.bool(w.Upgrades)
	}
	e.int(int64(s.Waiting))
	e.value(s.Value)
}

// reason: Left is for people, and never in an answer that waits.
func (e *encoder) reason(r Reason) {
	e.uint(uint64(r.Code))
	e.int(int64(r.Ahead))
	e.int(int64(r.Others))
	e.holder(r.Holder)
}

func (e *encoder) ack(a *HeartbeatAckItem) {
	e.uint(uint64(a.Partition))
	e.term(a.Term)
	e.uint(uint64(a.Lease))
	e.uint(a.Beat)
	e.echo(a.Echo)
	e.bool(a.Match)
	each(e, a.Held, (*encoder).uint)
	each(e, a.Contended, (*encoder).uint)
}

func (e *encoder) table(t *table) {
	e.len(len(t.keys))
	for _, key := range sortedKeys(t.keys) {
		k := t.keys[key]
		e.str(key)
		e.record(k.record)
		e.len(len(k.queue))
		for _, r := range k.queue {
			e.request(r.id)
		}
		if e.has(k.upgrade != nil) {
			e.request(k.upgrade.id)
		}
	}
	e.len(len(t.requests))
	for _, id := range sortedFunc(t.requests, RequestID.compare) {
		e.lockRequest(t.requests[id])
	}
	e.len(len(t.clients))
	for _, id := range sortedKeys(t.clients) {
		m := t.clients[id]
		e.uint(uint64(id))
		e.uint(m.low)
		each(e, m.closed, (*encoder).uint)
		each(e, m.released, (*encoder).uint)
		e.time(m.heard)
	}
	e.len(len(t.leases))
	for _, id := range sortedFunc(t.leases, LeaseID.compare) {
		e.lease(t.leases[id])
	}
	e.len(len(t.endings))
	for _, x := range t.endings {
		e.lockRequest(x.request)
		e.time(x.until)
	}
	e.len(len(t.revokes))
	for _, r := range t.revokes {
		e.lockRequest(r)
	}
	e.len(len(t.watched))
	for _, key := range sortedKeys(t.watched) {
		e.str(key)
		e.watched(t.watched[key])
	}
	e.uint(t.changes)
	e.time(t.tellAt)
	e.time(t.newsAt)
	e.time(t.sweepAt)
	e.uint(uint64(t.tickets))
	e.time(t.expiry)
	e.time(t.graceEnd)
	each(e, t.parked, (*encoder).parked)
}

func (e *encoder) watched(w *watched) {
	e.uint(w.number)
	e.bool(w.news)
	e.len(len(w.watchers))
	for _, k := range w.watchers {
		e.uint(uint64(k.client))
		e.uint(k.id)
		e.node(k.to)
		e.time(k.heard)
		e.uint(k.seen)
	}
}

// lockRequest: came is for people.
func (e *encoder) lockRequest(r *request) {
	e.request(r.id)
	e.str(r.key)
	e.mode(r.mode)
	e.duration(r.delay)
	e.bool(r.evicted)
	e.str(r.evictor)
	e.time(r.told)
	e.request(r.evicts)
	e.uint(r.alter.number)
	e.uint(uint64(r.alter.outcome))
	e.holder(r.alter.holder)
	e.bool(r.alter.up)
	e.uint(uint64(r.state))
	e.uint(uint64(r.outcome))
	e.bool(r.released)
	e.uint(uint64(r.token))
	e.holder(r.busy)
	e.uint(uint64(r.lease))
	e.duration(r.ttl)
	e.ticket(r.ticket)
	e.echo(r.sent)
	e.time(r.heard)
	e.node(r.from)
	e.uint(uint64(r.answers))
	e.str(r.name)
	e.str(r.note)
}

func (e *encoder) lease(l *lease) {
	e.leaseID(l.id)
	e.duration(l.ttl)
	e.time(l.heard)
	e.node(l.from)
	e.len(len(l.held))
	for _, seq := range sortedKeys(l.held) {
		e.uint(seq)
	}
}

func (e *encoder) parked(p parked) {
	e.node(p.from)
	e.time(p.at)
	if e.has(p.acquire != nil) {
		e.acquire(p.acquire)
	}
	if e.has(p.release != nil) {
		e.release(p.release)
	}
}

func (e *encoder) acquire(m *Acquire) {
	e.request(m.Request)
	e.uint(m.Low)
	e.uint(uint64(m.Partition))
	e.term(m.Term)
	e.str(m.Key)
	e.bool(m.Try)
	e.uint(uint64(m.Lease))
	e.duration(m.TTL)
	e.echo(m.Sent)
	e.ticket(m.Ticket)
	e.str(m.Name)
	e.str(m.Note)
	e.mode(m.Mode)
	e.duration(m.Delay)
}

func (e *encoder) release(m *Release) {
	e.request(m.Request)
	e.uint(m.Low)
	e.uint(uint64(m.Partition))
	e.term(m.Term)
	e.str(m.Heir)
	e.bool(m.Lost)
}

func (e *encoder) client(cl *client) {
	e.uint(uint64(cl.id))
	e.uint(uint64(cl.mesh))
	e.uint(cl.seq)
	e.len(len(cl.holds))
	for _, handle := range sortedKeys(cl.holds) {
		e.hold(cl.holds[handle])
	}
	e.len(len(cl.asking))
	for _, h := range cl.asking {
		e.uint(h.seq)
	}
	e.len(len(cl.looks))
	for _, k := range cl.looks {
		e.look(k)
	}
	each(e, cl.slots, (*encoder).slot)
	each(e, cl.auto, (*encoder).autoLease)
	e.uint(uint64(cl.leases))
	e.uint(cl.beats)
}

func (e *encoder) hold(h *hold) {
	e.uint(uint64(h.handle))
	e.uint(h.seq)
	e.uint(uint64(h.state))
	e.lock(h.in)
	e.uint(uint64(h.partition))
	e.uint(uint64(h.lease))
	e.term(h.term)
	e.node(h.owner)
	e.time(h.first)
	e.time(h.next)
	e.time(h.heard)
	e.ticket(h.ticket)
	e.reason(h.reason)
	e.uint(uint64(h.token))
	e.time(h.deadline)
	e.uint(h.since)
	e.uint(h.extend)
	e.mode(h.mode)
	e.mode(h.base)
	e.bool(h.raised)
	e.len(len(h.ups))
	for _, op := range h.ups {
		e.uint(op)
	}
	e.len(len(h.changes))
	for i := range h.changes {
		e.change(&h.changes[i])
	}
	e.uint(h.altered)
	e.bool(h.contended)
	e.uint(uint64(h.evicts))
	e.bool(h.evicting)
	e.request(h.victim)
	e.str(h.heir)
	e.uint(uint64(h.follower))
	e.bool(h.quiet)
	e.bool(h.lost)
	e.bool(h.wasHeld)
	e.bool(h.reask)
	e.uint(uint64(h.releases))
	e.time(h.giveUp)
}

func (e *encoder) change(ch *change) {
	e.uint(ch.op)
	e.uint(uint64(ch.what))
	e.mode(ch.mode)
	e.str(string(ch.value))
	e.bool(ch.undo)
	e.uint(ch.number)
	e.term(ch.term)
	e.time(ch.next)
	e.reason(ch.reason)
}

func (e *encoder) look(k *look) {
	e.uint(uint64(k.in.Handle))
	e.str(k.in.Key)
	e.bool(k.in.Page)
	e.uint(uint64(k.in.Partition))
	e.bool(k.in.Watch)
	e.uint(uint64(k.partition))
	e.term(k.term)
	e.node(k.owner)
	e.time(k.next)
	e.time(k.heard)
	e.uint(k.seen)
	e.reason(k.reason)
}

func (e *encoder) lock(in Lock) {
	e.str(in.Key)
	e.duration(in.TTL)
	e.bool(in.Try)
	e.bool(in.NoRenew)
	e.str(in.Note)
	e.mode(in.Mode)
	e.duration(in.Delay)
	e.uint(uint64(in.Lease))
	e.uint(uint64(in.After))
}

func (e *encoder) slot(s *slot) {
	e.uint(uint64(s.lease))
	e.uint(uint64(s.partition))
	e.duration(s.ttl)
	e.bool(s.auto)
	e.term(s.term)
	e.uint(s.beat)
	e.time(s.sent)
	e.time(s.echo)
	e.bool(s.urgent)
	each(e, sortedKeys(s.held), (*encoder).uint)
	e.time(s.deadline)
}
