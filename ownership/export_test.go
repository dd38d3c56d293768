package ownership

// Replica shows what this node keeps of a partition, to the golden traces.
// ok is false for a node that keeps none: it knows no view, or forgot (V6).
func (c *Core) Replica(p Partition) (promised, installed Term, last uint64, records []*Record, ok bool) {
	if !c.hasPartition(p) {
		return
	}
	r := &c.parts[p]
	for _, key := range sortedKeys(r.records) {
		records = append(records, r.records[key])
	}
	return r.promised, r.installed, r.last, records, true
}
