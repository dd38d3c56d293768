package ownership

import "slices"

// Status tells how the node is; for people and probes.
func (c *Core) Status(now Time) Status {
	now = max(now, c.now)
	s := Status{Phase: c.phase, View: c.view, Refused: c.founding.refused}
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
