package ownership

import (
	"maps"
	"slices"
)

// Clone returns an independent copy of the core: no step of one shows in the
// other. It is for those who explore what a core could do (model checkers, tests)
// and is called between steps.
//
// What is never changed in place is shared: views, records, messages, answers,
// the roster. All else is copied; TestCloneSharesNothing lists what is shared, and
// fails on a new field that is on neither side.
func (c *Core) Clone() *Core {
	k := *c
	k.heard = slices.Clone(c.heard)
	k.founding.contacts = slices.Clone(c.founding.contacts)
	k.founding.acks = slices.Clone(c.founding.acks)
	k.leaving.knows = slices.Clone(c.leaving.knows)
	k.lease.echoes = slices.Clone(c.lease.echoes)
	k.voter = c.voter.clone()
	k.flaps = slices.Clone(c.flaps)
	k.parts = slices.Clone(c.parts)
	for p := range k.parts {
		r := &k.parts[p]
		r.records, r.incoming = maps.Clone(r.records), r.incoming.clone()
	}
	k.owners = slices.Clone(c.owners)
	for p, o := range k.owners {
		k.owners[p] = o.clone()
	}
	k.client = c.client.clone()
	// The step under way: empty, and its buffers are used again by the next.
	k.local, k.dirty, k.confirms, k.notices, k.beatAcks, k.out = nil, nil, nil, nil, nil, Output{}
	return &k
}

func (v *voter) clone() voter {
	k := *v
	if v.proposal != nil {
		p := *v.proposal
		p.promised, p.accepted = slices.Clone(p.promised), slices.Clone(p.accepted)
		k.proposal = &p
	}
	k.seen = slices.Clone(v.seen)
	k.joins = slices.Clone(v.joins)
	k.settled = slices.Clone(v.settled)
	k.stuck = slices.Clone(v.stuck)
	k.exhausted = slices.Clone(v.exhausted)
	k.notes = slices.Clone(v.notes)
	return k
}

func (in *incoming) clone() *incoming {
	if in == nil {
		return nil
	}
	k := *in
	k.chunks = slices.Clone(in.chunks) // a chunk that came is not changed any more
	return &k
}

func (o *owner) clone() *owner {
	if o == nil {
		return nil
	}
	k := *o
	k.takeover.answers = slices.Clone(o.takeover.answers)
	for i := range k.takeover.answers {
		a := &k.takeover.answers[i]
		a.incoming = a.incoming.clone()
	}
	k.acked = slices.Clone(o.acked)
	// Writes are only appended, and trim makes a new buffer: with no room behind
	// it, both append to their own.
	k.buffer = slices.Clip(o.buffer)
	k.confirmed = slices.Clone(o.confirmed)
	k.thisRound = slices.Clone(o.thisRound)
	k.nextRound = slices.Clone(o.nextRound)
	k.certain = slices.Clone(o.certain)
	k.settled = slices.Clone(o.settled)
	k.table = o.table.clone()
	return &k
}

func (t *table) clone() table {
	k := *t
	k.requests = cloneValues(t.requests)
	k.keys = cloneValues(t.keys)
	for _, s := range k.keys {
		s.queue = slices.Clone(s.queue)
		for i, r := range s.queue {
			s.queue[i] = k.requests[r.id]
		}
		if s.upgrade != nil {
			s.upgrade = k.requests[s.upgrade.id]
		}
	}
	k.clients = cloneValues(t.clients)
	for _, m := range k.clients {
		m.closed, m.released = slices.Clone(m.closed), slices.Clone(m.released)
	}
	k.leases = cloneValues(t.leases)
	for _, l := range k.leases {
		l.held = maps.Clone(l.held)
		for seq, r := range l.held {
			l.held[seq] = k.requests[r.id]
		}
	}
	k.lines = maps.Clone(t.lines)
	k.endings = slices.Clone(t.endings)
	for i, e := range k.endings {
		if k.endings[i].request = k.requests[e.request.id]; k.endings[i].request == nil {
			r := *e.request // its client's mark has passed it
			k.endings[i].request = &r
		}
	}
	k.ending = make(map[RequestID]*request, len(t.ending))
	for _, e := range k.endings {
		k.ending[e.request.id] = e.request
	}
	k.revokes = slices.Clone(t.revokes)
	for i, r := range k.revokes {
		if k.revokes[i] = k.requests[r.id]; k.revokes[i] == nil {
			n := *r
			k.revokes[i] = &n
		}
	}
	k.watched = cloneValues(t.watched)
	for _, w := range k.watched {
		w.watchers = slices.Clone(w.watchers)
	}
	k.parked = slices.Clone(t.parked)
	k.parkedAt = maps.Clone(t.parkedAt)
	return k
}

func (cl *client) clone() client {
	k := *cl
	k.holds = cloneValues(cl.holds)
	k.bySeq = make(map[uint64]*hold, len(cl.bySeq))
	for seq, h := range cl.bySeq {
		k.bySeq[seq] = k.holds[h.handle]
	}
	k.asking = slices.Clone(cl.asking)
	for i, h := range k.asking {
		k.asking[i] = k.holds[h.handle]
	}
	for _, h := range k.holds {
		h.changes, h.ups = slices.Clone(h.changes), slices.Clone(h.ups)
	}
	k.alters = slices.Clone(cl.alters)
	for i, h := range k.alters {
		k.alters[i] = k.holds[h.handle]
	}
	k.leased = maps.Clone(cl.leased)
	for anchor, of := range k.leased {
		k.leased[anchor] = maps.Clone(of)
	}
	k.looks = slices.Clone(cl.looks)
	for i, l := range k.looks {
		n := *l
		k.looks[i] = &n
	}
	k.slots = slices.Clone(cl.slots)
	for i, s := range k.slots {
		n := *s
		n.held = make(map[uint64]*hold, len(s.held))
		for seq, h := range s.held {
			n.held[seq] = k.holds[h.handle]
		}
		k.slots[i] = &n
	}
	k.auto = slices.Clone(cl.auto)
	return k
}

// cloneValues copies a map and what its values point to.
func cloneValues[K comparable, V any](m map[K]*V) map[K]*V {
	k := make(map[K]*V, len(m))
	for key, v := range m {
		n := *v
		k[key] = &n
	}
	return k
}
