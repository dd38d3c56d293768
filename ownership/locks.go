package ownership

import (
	"slices"
	"time"
)

// table is the lock table of one partition at its owner: who holds what, who
// waits, which leases keep it so. It is the speculative state: after the last
// write that was numbered, committed or not.
//
// Invariants: the head of a queue does not fit beside the holders (K7; but during
// the grace); a request has one outcome for ever (I14); every holder's lease is in
// leases, and expires TTL·(1+d) after it was last heard of (I12), or the holder is
// in endings.
type table struct {
	keys     map[string]*keyState // those that are held, waited for, or have a value
	lines    map[string]bool      // the keys with a queue, and perhaps some that had one
	requests map[RequestID]*request
	clients  map[ClientID]*clientMark
	leases   map[LeaseID]*lease
	ending   map[RequestID]*request // those of endings
	endings  []ending               // holders that no lease keeps any more, first to end first
	evicted  int                    // how many of endings were told to let go (K13)
	revokes  []*request             // operators' that wait for a holder to let go (K13)
	tellAt   Time                   // when holders are told again to let go; never if there are none
	watched  map[string]*watched    // by key (K12)
	changes  uint64                 // the last number of a watched key's state
	newsAt   Time                   // when watchers are told of queues; never if there is nothing
	sweepAt  Time                   // when watchers that are gone are forgotten
	tickets  uint32                 // last number given
	expiry   Time                   // no lease ends before this
	graceEnd Time                   // K2: until then requests are parked; 0 if none
	parked   []parked               // requests that cannot be evaluated yet, one per RequestID
	parkedAt map[RequestID]int
}

// requestState is what became of an Acquire.
type requestState uint8

const (
	requestWaiting requestState = iota
	requestHeld
	requestClosed
)

// request is an Acquire that was evaluated.
type request struct {
	id       RequestID
	key      string
	state    requestState
	outcome  Outcome // closed: Busy, Capacity or Gone
	released bool    // closed by a Release that ended a grant
	token    Token   // held
	busy     Holder  // Busy, Capacity: who had the key
	mode     Mode
	delay    time.Duration
	lease    uint32
	ttl      time.Duration
	ticket   Ticket
	sent     Echo      // the newest client time received
	heard    Time      // when the newest copy came
	came     Time      // when the first one came to this owner
	from     NodeID    // its return address is its latest
	evicted  bool      // held: told to let go, and renewed no more (K13)
	ends     Time      // of one that is in endings
	told     Time      // evicted: when it was told so last
	evictor  string    // of an evicted one: the operator's node
	evicts   RequestID // a Revoke: of this grant
	alter    alteration
	answers  uint8 // bits: which answers wait for a round
	name     string
	note     string
}

const (
	answersAcquire = 1 << iota
	answersRelease
	answersAlter
)

// clientMark is what the owner remembers of a client's closed requests (K1).
type clientMark struct {
	low    uint64   // all Seqs below are closed, or held
	closed []uint64 // closed, from low on, oldest first
	// The last that were held and released: the mark passes locks that are held,
	// so it does not say that no copy of their Release is still on its way.
	released []uint64
	heard    Time
}

// lease is a client's lease in this partition (K3, K4: timers are per
// (partition, lease)).
type lease struct {
	id    LeaseID
	ttl   time.Duration
	heard Time                // last request, refresh or renewal of it
	from  NodeID              // the node it came from, 0 if nothing came yet
	held  map[uint64]*request // by Seq
	xor   uint64              // of the digests of held
}

// parked is a request that waits until the owner serves, or for the end of the
// grace.
type parked struct {
	from    NodeID
	at      Time
	acquire *Acquire
	release *Release
}

const (
	parkedMax = 1 << 16 // requests that wait for the owner to serve, per partition
	queueMax  = 1 << 16 // waiters, per key
	closedMax = 1024    // per client and partition, see remember
	// releasedMax is how many released locks of a client an owner remembers, per
	// partition: as many as one may have on the way at a time.
	releasedMax = 16
)

func (t *table) init() {
	t.keys, t.lines = map[string]*keyState{}, map[string]bool{}
	t.ending = map[RequestID]*request{}
	t.requests = map[RequestID]*request{}
	t.clients = map[ClientID]*clientMark{}
	t.leases = map[LeaseID]*lease{}
	t.parkedAt = map[RequestID]int{}
	t.watched = map[string]*watched{}
	t.expiry, t.tellAt, t.newsAt, t.sweepAt = never, never, never, never
}

func (t *table) key(key string) *keyState {
	k := t.keys[key]
	if k == nil {
		k = &keyState{}
		t.keys[key] = k
	}
	return k
}

func (t *table) anyWaiting() bool {
	if len(t.parked) > 0 {
		return true
	}
	for _, k := range t.keys {
		if len(k.queue) > 0 || k.upgrade != nil {
			return true
		}
	}
	return false
}

// digest mixes one grant for the comparison of what client and owner believe
// (K4). A request has one outcome for ever, so its Seq stands for the grant; the
// token would not do, since an upgrade raises it. The finalizer of splitmix64
// (Steele, Lea, Flood 2014) keeps Seqs, which differ in few bits, from cancelling
// out in the xor.
func digest(key string, seq uint64) uint64 {
	x := keyHash(key) + seq*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// fillTable builds the table from the taken-over records. T4: every lease gets
// its full TTL anew, at the new owner's clock.
func (c *Core) fillTable(o *owner, records map[string]*Record) {
	t := &o.table
	for _, key := range sortedKeys(records) {
		r := records[key]
		t.key(key).record = r
		for _, h := range r.Holders {
			if t.requests[h.Request] != nil { // no owner makes such records
				continue
			}
			req := &request{id: h.Request, key: key, state: requestHeld, token: h.Token, mode: h.Mode, delay: h.Delay,
				lease: h.Lease, ttl: h.TTL, heard: c.now, came: c.now, name: h.Name, note: h.Note, alter: alteration{number: h.Altered, outcome: OutcomeAltered}}
			t.requests[h.Request] = req
			if h.Lost { // K9: its delay is counted anew too
				c.close(o, req, OutcomeGone)
				c.endAt(o, req, c.now.add(c.view.Params.given(h.Delay)))
				continue
			}
			c.leaseAdd(o, req)
		}
	}
}

// leaseAdd puts a grant under its lease.
func (c *Core) leaseAdd(o *owner, r *request) {
	t := &o.table
	id := LeaseID{r.id.Client, r.lease}
	l := t.leases[id]
	if l == nil {
		l = &lease{id: id, held: map[uint64]*request{}}
		t.leases[id] = l
	}
	l.ttl = max(l.ttl, r.ttl)
	l.heard = max(l.heard, r.heard)
	if r.from != 0 {
		l.from = r.from
	}
	l.held[r.id.Seq] = r
	l.xor ^= digest(r.key, r.id.Seq)
	t.expiry = earlier(t.expiry, c.expires(l))
	o.timer = earlier(o.timer, t.expiry)
	c.wakeAt(o.timer)
}

// expires: K3: the owner expires the lease TTL·(1+d) after it last received a
// request, refresh or renewal of that lease in that partition.
func (c *Core) expires(l *lease) Time { return l.heard.add(c.view.Params.given(l.ttl)) }

func (t *table) leaseRemove(r *request) {
	id := LeaseID{r.id.Client, r.lease}
	l := t.leases[id]
	delete(l.held, r.id.Seq)
	l.xor ^= digest(r.key, r.id.Seq)
	if len(l.held) == 0 {
		delete(t.leases, id)
	}
}

// touch notes that a lease was heard of, and from which node. What is said of it
// lacks what its client was told to let go: if that is not known there, it must be
// told first, or the client would take it for lost without a cause (K13).
func (c *Core) touch(o *owner, id LeaseID, from NodeID, at Time) {
	t := &o.table
	if l := t.leases[id]; l != nil {
		l.heard, l.from = max(l.heard, at), from
	}
	if t.evicted == 0 {
		return
	}
	for _, e := range t.endings {
		if r := e.request; r.evicted && r.state == requestHeld && r.id.Client == id.Client {
			r.from = from
			c.tellEvicted(o, r)
		}
	}
}

// close fixes the outcome of a request.
func (c *Core) close(o *owner, r *request, outcome Outcome) {
	r.state, r.outcome = requestClosed, outcome
	m := c.mark(o, r.id.Client)
	if r.id.Seq < m.low {
		o.table.passed(m, r)
		return
	}
	// K1: closed requests are remembered until the client's low-water mark passes
	// them. A client that never raises it cannot fill the memory: an old one that
	// is forgotten would be granted again by a late copy, and given back at once.
	o.table.remember(m, r.id)
}

// passed forgets a closed request that the mark has passed, but for one that was
// just released: a copy of that Release must get the same answer (K1).
func (t *table) passed(m *clientMark, r *request) {
	if r == nil {
		return // a replica's word for two keys named one request
	}
	if !r.released {
		delete(t.requests, r.id)
		return
	}
	m.released = append(m.released, r.id.Seq)
	if len(m.released) > releasedMax {
		delete(t.requests, RequestID{r.id.Client, m.released[0]})
		m.released = slices.Delete(m.released, 0, 1)
	}
}

func (t *table) remember(m *clientMark, id RequestID) {
	m.closed = append(m.closed, id.Seq)
	if len(m.closed) > closedMax {
		delete(t.requests, RequestID{id.Client, m.closed[0]})
		m.closed = slices.Delete(m.closed, 0, 1)
	}
}

func (c *Core) mark(o *owner, id ClientID) *clientMark {
	m := o.table.clients[id]
	if m == nil {
		m = &clientMark{}
		o.table.clients[id] = m
	}
	m.heard = c.now
	return m
}

// lower notes a client's low-water mark and forgets what it passes (K1).
func (c *Core) lower(o *owner, id ClientID, low uint64) {
	m := c.mark(o, id)
	if low <= m.low {
		return
	}
	m.low = low
	m.closed = slices.DeleteFunc(m.closed, func(seq uint64) bool {
		if seq < low {
			o.table.passed(m, o.table.requests[RequestID{id, seq}])
		}
		return seq < low
	})
}

// tickTable expires leases and ends the grace.
func (c *Core) tickTable(o *owner) {
	t := &o.table
	if t.graceEnd != 0 {
		if c.now < t.graceEnd {
			o.timer = earlier(o.timer, t.graceEnd)
		} else {
			t.graceEnd = 0
		}
	}
	if t.graceEnd == 0 && len(t.parked) > 0 {
		c.evaluateParked(o)
	}
	if c.now >= t.expiry {
		c.endGrants(o)
		c.expireLeases(o)
		c.expireWaiters(o)
		c.forgetClients(o)
	}
	if c.now >= t.tellAt {
		c.tickEvicted(o)
	}
	if len(t.watched) > 0 {
		c.tickWatched(o)
	}
	o.timer = earlier(o.timer, earlier(t.expiry, t.tellAt))
}

func (c *Core) expireLeases(o *owner) {
	t := &o.table
	t.expiry = never
	var over []LeaseID
	for id, l := range t.leases {
		if c.now >= c.expires(l) {
			over = append(over, id)
		}
	}
	slices.SortFunc(over, LeaseID.compare)
	for _, id := range over {
		l := t.leases[id]
		if l == nil || c.now < c.expires(l) { // what ended before it in this loop has changed it
			continue
		}
		c.assertExpiry(l)
		for _, seq := range sortedKeys(l.held) {
			c.expire(o, l.held[seq])
		}
	}
	// A grant that passed on above may have brought the next expiry nearer.
	for _, l := range t.leases {
		t.expiry = earlier(t.expiry, c.expires(l))
	}
	if len(t.endings) > 0 {
		t.expiry = earlier(t.expiry, t.endings[0].until)
	}
}

// expireWaiters: K2: a waiter that stopped refreshing itself is lost. grantFitting
// finds those that come up; this finds those behind a lock that is held for long,
// and a head that holds back those behind it (K7).
func (c *Core) expireWaiters(o *owner) {
	t := &o.table
	for _, key := range sortedKeys(t.lines) {
		k := t.keys[key]
		if k == nil || len(k.queue) == 0 {
			delete(t.lines, key)
			continue
		}
		n := len(k.queue)
		k.queue = slices.DeleteFunc(k.queue, func(r *request) bool {
			lost := c.waitedOut(r)
			if lost {
				c.close(o, r, OutcomeGone)
			} else {
				t.expiry = earlier(t.expiry, c.waitsUntil(r))
			}
			return lost
		})
		if len(k.queue) < n {
			c.queueChanged(o, key)
			c.advance(o, key)
		}
	}
}

// waitsUntil is when a waiter is lost if it does not refresh itself (K2).
func (c *Core) waitsUntil(r *request) Time { return r.heard.add(c.view.Params.given(r.ttl)) }

// waitedOut says that a waiter has not refreshed itself for TTL·(1+d) (K2).
func (c *Core) waitedOut(r *request) bool { return c.now >= c.waitsUntil(r) }

// forgetClients drops the marks of clients that are long gone.
func (c *Core) forgetClients(o *owner) {
	for id, m := range o.table.clients {
		if c.now.since(m.heard) > c.view.Params.forgetClient() {
			for _, seqs := range [...][]uint64{m.closed, m.released} {
				for _, seq := range seqs {
					delete(o.table.requests, RequestID{id, seq})
				}
			}
			delete(o.table.clients, id)
		}
	}
}

// counts for people.
func (t *table) counts() (held, queued int) {
	for _, k := range t.keys {
		if k.held() {
			held++
		}
		queued += len(k.queue)
	}
	return held, queued + len(t.parked)
}
