package ownership

import (
	"cmp"
	"slices"
	"time"

	"github.com/lockmesh/lockmesh/ring"
)

func keyHash(key string) uint64 { return ring.Hash(key) }

func (a LeaseID) compare(b LeaseID) int {
	return cmp.Or(cmp.Compare(a.Client, b.Client), cmp.Compare(a.Number, b.Number))
}

func (a RequestID) compare(b RequestID) int {
	return cmp.Or(cmp.Compare(a.Client, b.Client), cmp.Compare(a.Seq, b.Seq))
}

// sortedFunc lists a map's keys in order: nothing depends on map order.
func sortedFunc[K comparable, V any](m map[K]V, compare func(a, b K) int) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, compare)
	return keys
}

// openTable begins to serve after a take-over. K2: for a short grace all new
// requests, TryLock too, queue, and are evaluated in ticket order
// at its end: who waited at the owner before goes first. If that owner itself
// said that nobody waited, there is nothing to wait for.
func (c *Core) openTable(o *owner, quiet bool) {
	if !quiet && len(c.view.Groups[o.partition].Prior) > 0 {
		o.table.graceEnd = c.now.add(c.view.Params.grace())
	}
}

// onAcquire: K1: an owner serves only its own term.
func (c *Core) onAcquire(from NodeID, m Acquire) {
	o := c.served(from, Answer{Request: m.Request, Partition: m.Partition, Term: m.Term})
	if o == nil {
		return
	}
	if !c.wellFormed(m) { // K5
		c.send(from, Answer{Request: m.Request, Partition: m.Partition, Term: m.Term, Outcome: OutcomeInvalid})
		return
	}
	if m.Low > m.Request.Seq {
		return // no client says that an open request is closed
	}
	c.lower(o, m.Request.Client, m.Low)
	_, known := o.table.requests[m.Request]
	if !c.serving(o) || o.table.graceEnd != 0 && !known {
		later := m
		c.park(o, parked{from: from, at: c.now, acquire: &later})
		return
	}
	c.evaluate(o, from, m, c.now)
}

// onRelease: closes the request, whatever became of it (K1).
func (c *Core) onRelease(from NodeID, m Release) {
	o := c.served(from, Answer{Request: m.Request, Partition: m.Partition, Term: m.Term, Release: true})
	if o == nil {
		return
	}
	c.lower(o, m.Request.Client, m.Low)
	if !c.serving(o) || m.Heir != "" && o.table.graceEnd != 0 { // K14: the heir is parked too
		later := m
		c.park(o, parked{from: from, at: c.now, release: &later})
		return
	}
	c.closeRequest(o, from, m)
}

// served returns the owner that a request is for, or says in reply that it moved.
func (c *Core) served(from NodeID, reply Answer) *owner {
	if reply.Request.Client == 0 {
		return nil
	}
	// Who does not know yet that it is a member says so too: its client asks again
	// soon, within the grace (K2).
	o := c.owner(reply.Partition)
	if o == nil || o.term != reply.Term {
		reply.Outcome = OutcomeMoved
		c.send(from, reply)
		c.askAhead(from, reply.Term)
		return nil
	}
	return o
}

// owner is this node's part as the owner of a partition, nil if it is not, or there
// is no such partition.
func (c *Core) owner(p Partition) *owner {
	if !c.hasPartition(p) {
		return nil
	}
	return c.owners[p]
}

// askAhead asks who knows a term that this node does not for its view.
func (c *Core) askAhead(from NodeID, t Term) {
	if Epoch(t) > c.view.Epoch {
		c.send(from, AskView{c.view.Epoch})
	}
}

// wellFormed: K5.
func (c *Core) wellFormed(m Acquire) bool {
	return len(m.Key) > 0 && len(m.Key) <= MaxKeyBytes && len(m.Note) <= MaxNoteBytes && len(m.Name) <= MaxNameBytes &&
		m.TTL > 0 && m.TTL <= c.view.Params.MaxTTL && m.Delay >= 0 && m.Delay <= c.view.Params.MaxTTL && m.Mode.check() == "" &&
		c.partition(m.Key) == m.Partition
}

func (c *Core) partition(key string) Partition {
	return Partition(ring.Partition(key, c.view.Params.Partitions))
}

// park keeps a request until it can be evaluated, the newest copy of each; a
// Release that came stays one.
func (c *Core) park(o *owner, n parked) {
	t := &o.table
	id := n.id()
	i, found := t.parkedAt[id]
	switch {
	case found && (t.parked[i].release == nil || n.release != nil):
		t.parked[i] = n
	case !found && len(t.parked) < parkedMax:
		t.parkedAt[id] = len(t.parked)
		t.parked = append(t.parked, n)
	case !found:
		c.explain(o, n.from, id, Ticket{}, Reason{Code: ReasonFull})
		return
	}
	if n.acquire != nil {
		c.explain(o, n.from, id, Ticket{}, c.whyNot(o))
	}
}

func (n parked) id() RequestID {
	if n.acquire != nil {
		return n.acquire.Request
	}
	return n.release.Request
}

// evaluateParked: K2: in ticket order; releases first, since they free keys, but for
// those that name an heir, who must be in line then (K14).
func (c *Core) evaluateParked(o *owner) {
	all := o.table.parked
	o.table.parked, o.table.parkedAt = nil, map[RequestID]int{}
	slices.SortStableFunc(all, func(a, b parked) int {
		switch {
		case a.release != nil || b.release != nil:
			return cmp.Compare(a.turn(), b.turn())
		case a.acquire.Ticket.before(b.acquire.Ticket):
			return -1
		case b.acquire.Ticket.before(a.acquire.Ticket):
			return 1
		}
		return 0
	})
	for _, n := range all {
		switch {
		case n.release != nil:
			c.closeRequest(o, n.from, *n.release)
		case c.now < n.at.add(c.view.Params.given(n.acquire.TTL)): // K2: else it has not refreshed itself
			c.evaluate(o, n.from, *n.acquire, n.at)
		}
	}
}

func (n parked) turn() int {
	switch {
	case n.release == nil:
		return 1
	case n.release.Heir != "":
		return 2
	}
	return 0
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// evaluate: K1: the outcome of a request is fixed when it is first evaluated;
// later copies get the same.
func (c *Core) evaluate(o *owner, from NodeID, m Acquire, at Time) {
	t := &o.table
	if lost := t.ending[m.Request]; lost != nil && t.requests[m.Request] == nil { // forgotten, and its place is closed still (K9)
		t.requests[m.Request] = lost
		t.remember(c.mark(o, m.Request.Client), m.Request)
	}
	if r := t.requests[m.Request]; r != nil {
		if r.evicted {
			r.from = from
			return // K13: it is renewed no more; a Notice is on its way
		}
		r.from, r.heard, r.sent = from, max(r.heard, at), max(r.sent, m.Sent)
		switch r.state {
		case requestWaiting:
			c.explain(o, from, r.id, r.ticket, t.whyQueued(r))
			return
		case requestHeld:
			c.touch(o, LeaseID{r.id.Client, r.lease}, from, at)
		}
		c.answerByRound(o, r, false)
		return
	}
	if m.Request.Seq < c.mark(o, m.Request.Client).low {
		return // closed long ago: a late copy
	}
	if k := t.keys[m.Key]; k != nil && len(k.queue) >= queueMax && !m.Try {
		c.explain(o, from, m.Request, Ticket{}, Reason{Code: ReasonFull})
		return
	}
	r := &request{id: m.Request, key: m.Key, mode: m.Mode, delay: m.Delay, lease: m.Lease, ttl: m.TTL, ticket: m.Ticket,
		sent: m.Sent, heard: at, came: at, from: from, name: m.Name, note: m.Note}
	t.requests[r.id] = r
	k := t.key(m.Key)
	switch {
	case k.otherCapacity(m.Mode): // K7
		c.turnDown(o, k, r, OutcomeCapacity)
	case len(k.queue) == 0 && k.upgrade == nil && o.count < countMax && k.record.fits(m.Mode):
		rec := k.draft(m.Key)
		c.admit(o, &rec, r)
		c.pass(o, k, &rec)
		c.answerGrant(o, r)
	case m.Try && k.held():
		c.turnDown(o, k, r, OutcomeBusy)
	default:
		o.enqueue(k, r)
		t.expiry = earlier(t.expiry, c.waitsUntil(r))
		o.timer = earlier(o.timer, o.table.expiry)
		c.wakeAt(o.timer)
		c.explain(o, from, r.id, r.ticket, t.whyQueued(r))
		c.queueChanged(o, m.Key)
		if len(k.queue) == 1 {
			c.tellContended(o, k)
		}
		if k.queue[0] == r { // its ticket may be older than that of a head that did not fit
			c.advance(o, m.Key)
		}
	}
}

// turnDown closes a request for which the key's holders leave no room.
func (c *Core) turnDown(o *owner, k *keyState, r *request, outcome Outcome) {
	r.busy = k.record.Holders[0]
	c.close(o, r, outcome)
	c.answerByRound(o, r, false)
}

// closeRequest ends a request for good.
func (c *Core) closeRequest(o *owner, from NodeID, m Release) {
	t := &o.table
	if lost := t.ending[m.Request]; lost != nil && lost.state == requestClosed && !m.Lost {
		c.ungrant(o, lost, "") // K9: it was let go in order, and its owner heard of it too late
	}
	r := t.requests[m.Request]
	switch {
	case r == nil && m.Request.Seq < c.mark(o, m.Request.Client).low:
		// Forgotten since the client itself said that it is closed; whatever it
		// was, it holds nothing. (The answer needs a request to hang on.)
		r = &request{id: m.Request, state: requestClosed, outcome: OutcomeGone}
		t.requests[r.id] = r
		t.remember(c.mark(o, m.Request.Client), r.id)
	case r == nil: // a copy of its Acquire that comes later must not be evaluated
		r = &request{id: m.Request}
		t.requests[r.id] = r
		c.close(o, r, OutcomeGone)
	case r.state == requestWaiting:
		c.close(o, r, OutcomeGone)
		if k := t.keys[r.key]; k != nil && r.evicts == (RequestID{}) {
			k.queue = slices.DeleteFunc(k.queue, func(q *request) bool { return q == r })
			c.queueChanged(o, r.key)
			c.advance(o, r.key)
		}
	case r.state == requestHeld:
		r.released = true
		if m.Lost {
			c.expire(o, r) // K9
		} else {
			c.ungrant(o, r, m.Heir)
			c.close(o, r, OutcomeGone)
		}
		c.answerByWrite(o, from, c.now, Answer{Request: r.id, Release: true, Outcome: OutcomeReleased})
		return
	}
	r.from = from
	c.answerByRound(o, r, true)
}

// answerByWrite sends an answer when the newest write is committed (G2).
func (c *Core) answerByWrite(o *owner, to NodeID, heard Time, a Answer) {
	a.Partition, a.Term = o.partition, o.term
	if to == 0 {
		return
	}
	o.certain = append(o.certain, pending{to: to, number: o.next - 1, heard: heard, began: c.now, answer: a})
}

// answerByRound has a request answered after a confirm round that begins from
// now on (G2). The answer is what holds when the round begins.
func (c *Core) answerByRound(o *owner, r *request, release bool) {
	bit := uint8(answersAcquire)
	if release {
		bit = answersRelease
	}
	if r.answers&bit != 0 {
		return // the one on its way serves this copy too
	}
	r.answers |= bit
	o.nextRound = append(o.nextRound, pending{request: r.id, release: release})
	c.soil(o)
}

// prepareAnswer fills an answer as its round begins: with the state of now, and
// the newest client time received before (G2).
func (c *Core) prepareAnswer(o *owner, a *pending) {
	a.number, a.began = o.next-1, c.now
	switch {
	case a.beat != nil:
		a.ack, a.heard = c.beatAnswer(o, a.beat), a.beat.heard
		return
	case a.alters != 0:
		c.prepareAlter(o, a)
		return
	case a.query != nil:
		c.prepareReport(o, a)
		return
	}
	r := o.table.requests[a.request]
	if r == nil {
		a.to = 0 // the client has closed it
		return
	}
	ans := Answer{Request: r.id, Partition: o.partition, Term: o.term, Release: a.release, Echo: r.sent}
	switch {
	case ans.Release:
		r.answers &^= answersRelease
		ans.Outcome = OutcomeNotHeld
		if r.released {
			ans.Outcome = OutcomeReleased
		}
	case r.state == requestHeld:
		r.answers &^= answersAcquire
		ans.Outcome, ans.Token = OutcomeGranted, r.token
	default:
		r.answers &^= answersAcquire
		ans.Outcome, ans.Holder = r.outcome, r.busy
	}
	a.to, a.answer, a.heard = r.from, ans, r.heard
}

// explain tells a client why its request is open. It is a hint: it rests on
// nothing and decides nothing.
func (c *Core) explain(o *owner, to NodeID, id RequestID, ticket Ticket, why Reason) {
	if why.Holder.Lost {
		why.Left = o.table.untilOpen(why.Holder, c.now)
	}
	c.send(to, Answer{Request: id, Partition: o.partition, Term: o.term, Outcome: OutcomeWaiting, Ticket: ticket, Reason: why})
}

// whyQueued: who has the key and how many wait before r.
func (t *table) whyQueued(r *request) Reason {
	k := t.keys[r.key]
	ahead, _ := slices.BinarySearchFunc(k.queue, r.ticket, func(q *request, t Ticket) int {
		switch {
		case q.ticket.before(t):
			return -1
		case q.ticket == t:
			return 0
		}
		return 1
	})
	why := Reason{Code: ReasonQueued, Ahead: ahead}
	if k.held() {
		why.Holder, why.Others = k.record.Holders[0], len(k.record.Holders)-1
	}
	return why
}

// untilOpen is how long a holder's place stays closed after it was lost (K9).
func (t *table) untilOpen(h Holder, now Time) time.Duration {
	if r := t.ending[h.Request]; r != nil && h.Lost {
		return max(0, r.ends.since(now))
	}
	return 0
}

// whyNot says why an owner does not serve.
func (c *Core) whyNot(o *owner) Reason {
	switch {
	case !c.leaseValid():
		return Reason{Code: ReasonNoLease, Left: c.leaseless()}
	case o.phase == ownerSealing && o.takeover.until != 0:
		return Reason{Code: ReasonLostWait, Left: max(0, o.takeover.until.since(c.now))}
	case o.phase != ownerActive:
		return Reason{Code: ReasonTakeOver}
	case o.table.graceEnd != 0:
		return Reason{Code: ReasonGrace}
	case o.stalled != 0 && c.now.since(o.stalled) > c.view.Params.resendEvery():
		return Reason{Code: ReasonNoQuorum}
	}
	return Reason{}
}

// leaseless is for how long this node has had no membership lease, 0 if it never
// had one.
func (c *Core) leaseless() time.Duration {
	if c.lease.until == 0 {
		return 0
	}
	return max(0, c.now.since(c.lease.until))
}

// beat is a heartbeat item that waits for its round.
type beat struct {
	lease LeaseID
	beat  uint64
	sent  Echo
	heard Time // when it came
	count int
	xor   uint64
}

// onHeartbeat: K4: one message per owner, however many locks; the answer has one
// echo per partition, none waits for another.
func (c *Core) onHeartbeat(from NodeID, m Heartbeat) {
	for _, i := range m.Items {
		if !c.hasPartition(i.Partition) {
			continue
		}
		o := c.owners[i.Partition]
		if o == nil || o.term != i.Term || o.phase != ownerActive {
			continue // the client sends it again, elsewhere if need be
		}
		b := beat{LeaseID{m.Client, i.Lease}, i.Beat, m.Sent, c.now, i.Count, i.Xor}
		c.touch(o, b.lease, from, c.now)
		c.awaitBeat(o, from, b)
	}
}

// awaitBeat has a heartbeat answered by the next round; of several of one lease
// the newest.
func (c *Core) awaitBeat(o *owner, from NodeID, b beat) {
	c.soil(o)
	for i := range o.nextRound {
		n := &o.nextRound[i]
		if n.beat == nil || n.beat.lease != b.lease {
			continue
		}
		if n.beat.beat < b.beat {
			n.to, n.beat = from, &b
		}
		return
	}
	o.nextRound = append(o.nextRound, pending{to: from, beat: &b})
}

// beatAnswer compares digests; on a mismatch it lists what the owner has.
func (c *Core) beatAnswer(o *owner, b *beat) *HeartbeatAckItem {
	item := &HeartbeatAckItem{Partition: o.partition, Term: o.term, Lease: b.lease.Number, Beat: b.beat, Echo: b.sent}
	l := o.table.leases[b.lease]
	if l == nil {
		item.Match = b.count == 0
		return item
	}
	item.Match = b.count == len(l.held) && b.xor == l.xor
	if !item.Match {
		item.Held = sortedKeys(l.held)
	}
	for seq, r := range l.held {
		if o.table.keys[r.key].contended(r) {
			item.Contended = append(item.Contended, seq)
		}
	}
	slices.Sort(item.Contended)
	return item
}
