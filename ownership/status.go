package ownership

import "slices"

// View is the newest view that this node knows, nil if none.
func (c *Core) View() *View { return c.view }

// Phase is where this node stands on its way into and out of a mesh.
func (c *Core) Phase() Phase { return c.phase }

// Inspection is what a node keeps of one partition, for checkers and people.
type Inspection struct {
	Promised, Installed Term
	Last                uint64 // the newest write of Installed's stream
	Records             int    // keys with a record,
	Values              int    // of which nobody holds so many: they have a value
	Owner               bool   // the rest is of owners alone
	Active              bool   // serves, and no grace is under way
	Settled             bool   // whoever must know that its state is installed does (T5)
	Lost                bool   // its state began without that of before (T6)
	Keys                int    // held, waited for, or with a value
	Queued              int    // waiters, and requests that are not evaluated yet
	Leases              int
	Unacked             uint64 // writes that some replica has not acknowledged
}

// Inspect looks into one partition; ok is false if this node keeps none: it
// knows no view, or forgot (V6).
func (c *Core) Inspect(p Partition) (in Inspection, ok bool) {
	if !c.hasPartition(p) {
		return in, false
	}
	r := &c.parts[p]
	in = Inspection{Promised: r.promised, Installed: r.installed, Last: r.last, Records: len(r.records)}
	for _, rec := range r.records {
		if !rec.held() {
			in.Values++
		}
	}
	o := c.owners[p]
	if o == nil {
		return in, true
	}
	in.Owner, in.Active = true, c.serving(o) && o.table.graceEnd == 0
	in.Lost = o.takeover.lost
	in.Settled = count(c.hearSettled(p), o.settled) == len(c.hearSettled(p))
	_, in.Queued = o.table.counts()
	in.Keys, in.Leases = len(o.table.keys), len(o.table.leases)
	in.Unacked = o.next - 1 - uint64(max(0, slices.Min(o.acked)))
	return in, true
}

// Status tells how the node is; for people and probes.
func (c *Core) Status(now Time) Status {
	now = max(now, c.now)
	s := Status{Phase: c.phase, View: c.view, Refused: c.founding.refused, Orphaned: c.knows && c.phase == PhaseFounding}
	if c.lease.until != 0 {
		s.LeaseLeft = c.lease.until.since(now)
		s.LeaseValid = s.LeaseLeft > 0
	}
	if c.view == nil {
		s.Heard = c.heardFounders()
		return s
	}
	s.Heard = c.heardVoters()
	for _, o := range c.owners {
		if o == nil {
			continue
		}
		held, queued := o.table.counts()
		s.Partitions = append(s.Partitions, PartitionStatus{Partition: o.partition, Term: o.term, Active: c.serving(o) && o.table.graceEnd == 0,
			Reason: c.whyNot(o), Held: held, Queued: queued})
	}
	return s
}

// heardFounders lists who else is free to found, or has accepted.
func (c *Core) heardFounders() []NodeID {
	if c.bound != nil {
		return slices.Clone(c.founding.acks)
	}
	ids := []NodeID{c.id}
	for _, k := range c.founding.contacts {
		if k.at.within(directFresh, c.now) {
			ids = append(ids, k.member.ID)
		}
	}
	return ids
}
