package transport

import "sync/atomic"

// Stats counts what a TCP did since Listen.
type Stats struct {
	Sent     uint64 // messages taken for writing
	Received uint64 // messages delivered
	Dropped  uint64 // messages that were not sent: no address, no connection in time, queue full, not encodable
	Unknown  uint64 // messages of a kind that only newer nodes know
	BytesOut uint64 // of lock traffic
	BytesIn  uint64
	Peers    int // connected now
}

type counters struct {
	sent, received, dropped, unknown, bytesOut, bytesIn atomic.Uint64
}

// Stats returns the counters.
func (t *TCP) Stats() Stats {
	s := Stats{
		Sent:     t.stats.sent.Load(),
		Received: t.stats.received.Load(),
		Dropped:  t.stats.dropped.Load(),
		Unknown:  t.stats.unknown.Load(),
		BytesOut: t.stats.bytesOut.Load(),
		BytesIn:  t.stats.bytesIn.Load(),
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.peers {
		if p.link != nil {
			s.Peers++
		}
	}
	return s
}
