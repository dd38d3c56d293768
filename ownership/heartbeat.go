package ownership

import (
	"cmp"
	"slices"
	"time"
)

// slot is one of the client's leases in one partition, with the locks it keeps
// there. Each lock lives or dies with its own partition (K4).
type slot struct {
	lease     uint32
	partition Partition
	ttl       time.Duration
	auto      bool

	term   Term   // the newest asked
	beat   uint64 // number of the last one
	sent   Time   // of the last heartbeat; 0: none
	echo   Time   // the newest confirmed; the next heartbeat is due a third of the TTL later
	urgent bool   // send one now

	held     map[uint64]*hold // by seq
	xor      uint64           // of the digests of held
	deadline Time             // the earliest of held
}

func (s *slot) compare(o *slot) int {
	return cmp.Or(cmp.Compare(s.lease, o.lease), cmp.Compare(s.partition, o.partition))
}

func (s *slot) sorted() []*hold {
	hs := make([]*hold, 0, len(s.held))
	for _, seq := range sortedKeys(s.held) {
		hs = append(hs, s.held[seq])
	}
	return hs
}

// joinSlot puts an adopted lock under its lease.
func (c *Core) joinSlot(h *hold, echo Time) {
	cl := &c.client
	s := &slot{lease: h.lease, partition: h.partition, ttl: h.in.TTL, auto: !h.in.NoRenew, deadline: never}
	i, found := slices.BinarySearchFunc(cl.slots, s, (*slot).compare)
	if found {
		s = cl.slots[i]
	} else {
		// A slot that comes again must not take answers meant for the one before,
		// so beats are numbered over all of them.
		s.term, s.echo, s.beat, s.held = h.term, echo, cl.beats, map[uint64]*hold{}
		cl.slots = slices.Insert(cl.slots, i, s)
	}
	s.held[h.seq] = h
	s.xor ^= digest(h.in.Key, h.seq)
	s.deadline = earlier(s.deadline, h.deadline)
	h.since = s.beat
	c.wakeAt(s.next())
}

func (c *Core) leaveSlot(h *hold) {
	cl := &c.client
	i, found := slices.BinarySearchFunc(cl.slots, &slot{lease: h.lease, partition: h.partition}, (*slot).compare)
	if !found || cl.slots[i].held[h.seq] != h {
		return
	}
	s := cl.slots[i]
	delete(s.held, h.seq)
	s.xor ^= digest(h.in.Key, h.seq)
	if len(s.held) == 0 {
		// K4: no lock lives on a heartbeat that nobody stands behind.
		cl.slots = slices.Delete(cl.slots, i, i+1)
	}
}

// next is when something is due: a heartbeat, or the first deadline.
func (s *slot) next() Time { return earlier(s.deadline, s.due()) }

func (s *slot) due() Time {
	switch {
	case s.urgent:
		return 0
	case !s.renews():
		return never
	case s.auto:
		return max(s.echo.add(beatEvery(s.ttl)), s.sent.add(beatRetry(s.ttl)))
	}
	return s.sent.add(beatRetry(s.ttl))
}

// renews says that something wants the slot's leases to last: a lock that is not
// renewed by itself ends after its TTL, whatever happens to the mesh.
func (s *slot) renews() bool { return s.auto || s.extending() }

func (s *slot) extending() bool {
	for _, h := range s.held {
		if h.extend != 0 {
			return true
		}
	}
	return false
}

// clientExtend renews now; Extended or Lost follows.
func (c *Core) clientExtend(handle Handle) {
	h := c.client.holds[handle]
	if h == nil || h.state != holdHeld {
		return // Lost or Released was told
	}
	for _, s := range c.client.slots {
		if s.lease == h.lease && s.partition == h.partition {
			s.urgent = true
			h.extend = c.client.beats + 1
		}
	}
	c.wake = c.now
}

// tickDeadlines: K3: past its deadline a lock is lost, whatever the network does.
func (c *Core) tickDeadlines(s *slot) {
	if c.now >= s.deadline {
		s.deadline = never
		for _, h := range s.sorted() {
			if c.now >= h.deadline {
				c.lose(h, LostExpired)
			} else {
				s.deadline = earlier(s.deadline, h.deadline)
			}
		}
	}
	if len(s.held) > 0 {
		c.wakeAt(s.deadline)
	}
}

// sendHeartbeats: K4: one message per owner, however many locks. What is nearly
// due goes along.
func (c *Core) sendHeartbeats() {
	if c.view == nil {
		return
	}
	var boxes []outbox[HeartbeatItem]
	for _, s := range c.client.slots {
		if c.now >= s.due() {
			owner := c.view.Groups[s.partition].Owner()
			boxes = gather(boxes, owner, 0, HeartbeatItem{})
		}
	}
	for i := range boxes {
		boxes[i].items = boxes[i].items[:0]
	}
	for _, s := range c.client.slots {
		g := c.view.Groups[s.partition]
		i := slices.IndexFunc(boxes, func(b outbox[HeartbeatItem]) bool { return b.to == g.Owner() })
		if i >= 0 && c.now >= s.due()-Time(beatRetry(s.ttl)) {
			s.urgent = false
			c.client.beats++
			s.beat = c.client.beats
			s.sent, s.term = c.now, g.Term
			boxes[i].items = append(boxes[i].items, HeartbeatItem{s.partition, s.term, s.lease, s.ttl, s.beat, len(s.held), s.xor})
		}
		c.wakeAt(s.due())
	}
	for _, b := range boxes {
		c.send(b.to, Heartbeat{c.client.id, Echo(c.now), b.items})
	}
}

// onHeartbeatAck: K4: an owner's answer about leases in its partitions.
func (c *Core) onHeartbeatAck(from NodeID, m HeartbeatAck) {
	cl := &c.client
	if m.Client != cl.id || c.view == nil || c.silent() {
		return
	}
	for _, item := range m.Items {
		i, found := slices.BinarySearchFunc(cl.slots, &slot{lease: item.Lease, partition: item.Partition}, (*slot).compare)
		if !found {
			continue
		}
		s := cl.slots[i]
		if item.Term != s.term || item.Beat > s.beat || item.Echo.time() > c.now { // K1: the newest term asked
			continue
		}
		c.renewed(from, s, item)
	}
}

func (c *Core) renewed(from NodeID, s *slot, item HeartbeatAckItem) {
	c.tickDeadlines(s) // K3: past its deadline a lock is lost, and stays so
	deadline := item.Echo.time().add(c.view.Params.held(s.ttl))
	s.echo = max(s.echo, item.Echo.time())
	s.deadline = never
	for _, h := range s.sorted() {
		if h.state != holdHeld {
			continue // lost with another one of its lease (K10)
		}
		// K4: the answer speaks of what was held before the renewal was sent.
		switch {
		case h.since >= item.Beat:
		case item.Match || slices.Contains(item.Held, h.seq):
			if deadline > h.deadline {
				h.deadline = deadline
				asked := h.extend != 0 && item.Beat >= h.extend
				if asked {
					h.extend = 0
				}
				c.notify(Extended{h.handle, deadline, asked})
			}
		default:
			c.lose(h, LostMissing)
			continue
		}
		s.deadline = earlier(s.deadline, h.deadline)
		c.noteContended(h, slices.Contains(item.Contended, h.seq))
	}
	// K4: the client releases what it does not know, except tokens whose request
	// is open.
	for _, seq := range item.Held {
		if c.client.bySeq[seq] == nil {
			c.send(from, Release{Request: RequestID{c.client.id, seq}, Low: c.client.low(), Partition: item.Partition, Term: item.Term, Lost: true})
		}
	}
	c.tickDeadlines(s)
	c.wakeAt(s.next())
}
