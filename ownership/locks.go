package ownership

import (
	"slices"
	"time"
)

// table is the lock table of one partition at its owner: who holds what, who
// waits, which leases keep it so. It is the speculative state: after the last
// write that was numbered, committed or not.
//
// Invariants: a key with a free place has no queue (but during the grace); a
// request has one outcome for ever (I14); every holder's lease is in leases, and
// expires TTL·(1+d) after it was last heard of (I12).
type table struct {
	keys     map[string]*keyState // those that are held or waited for
	requests map[RequestID]*request
	clients  map[ClientID]*clientMark
	leases   map[LeaseID]*lease
	tickets  uint32   // last number given
	expiry   Time     // no lease ends before this
	graceEnd Time     // K2: until then requests are parked; 0 if none
	parked   []parked // requests that cannot be evaluated yet, one per RequestID
	parkedAt map[RequestID]int
}

// keyState is one key.
type keyState struct {
	record *Record    // nil if free
	queue  []*request // by ticket
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
	outcome  Outcome // closed: Busy or Gone
	released bool    // closed by a Release that ended a grant
	token    Token   // held
	busy     *Record // Busy: what had the key
	lease    uint32
	ttl      time.Duration
	ticket   Ticket
	sent     Echo   // the newest client time received
	heard    Time   // when the newest copy came
	from     NodeID // its return address is its latest
	answers  uint8  // bits: which answers wait for a round
	name     string
	note     string
}

const (
	answersAcquire = 1 << iota
	answersRelease
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
	t.keys = map[string]*keyState{}
	t.requests = map[RequestID]*request{}
	t.clients = map[ClientID]*clientMark{}
	t.leases = map[LeaseID]*lease{}
	t.parkedAt = map[RequestID]int{}
	t.expiry = never
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
		if len(k.queue) > 0 {
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
			req := &request{id: h.Request, key: key, state: requestHeld, token: h.Token, lease: h.Lease, ttl: h.TTL, heard: c.now, name: h.Name, note: h.Note}
			t.requests[h.Request] = req
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

// touch notes that a lease was heard of.
func (t *table) touch(id LeaseID, at Time) {
	if l := t.leases[id]; l != nil {
		l.heard = max(l.heard, at)
	}
}

// grant gives the key to a waiting request: one write, and an answer that leaves
// with it (G2). Its echo is the newest client time received before the Accept.
func (c *Core) grant(o *owner, k *keyState, r *request) {
	r.assertOpen()
	o.count++
	token := makeToken(o.term, o.count)
	o.assertTokenRises(token, k.record)
	h := Holder{Request: r.id, Token: token, Lease: r.lease, TTL: r.ttl, Name: r.name, Note: r.note}
	rec := &Record{Key: r.key}
	if k.record != nil {
		rec.Holders = slices.Clone(k.record.Holders)
	}
	rec.Holders = append(rec.Holders, h)
	k.record = rec
	r.state, r.token = requestHeld, token
	c.leaseAdd(o, r)
	c.write(o, r.key, rec)
	c.answerByWrite(o, r.from, r.heard, Answer{Request: r.id, Outcome: OutcomeGranted, Token: token, Echo: r.sent})
	if o.count >= countLow {
		o.stuckAt = 0
		c.askNewTerm(o)
	}
}

// countLow is how many tokens a term grants before its owner asks for a new one
// (T4); the rest is for the meantime.
const countLow = 1<<32 - 1<<20

func (c *Core) askNewTerm(o *owner) {
	if o.count == countLow || o.count%(1<<10) == 0 {
		c.tellVoters(Stuck{Partition: o.partition, Term: o.term, Exhausted: true})
	}
}

// ungrant takes a grant back and passes the key on. K2: release and the grant to
// the next waiter are one write.
func (c *Core) ungrant(o *owner, r *request) {
	k := o.table.keys[r.key]
	rec := &Record{Key: r.key}
	for _, h := range k.record.Holders {
		if h.Request != r.id {
			rec.Holders = append(rec.Holders, h)
		}
	}
	o.table.leaseRemove(r)
	r.token = 0
	if len(rec.Holders) > 0 {
		k.record = rec
		c.write(o, r.key, rec)
		return
	}
	k.record = nil
	if !c.grantNext(o, k) {
		c.write(o, r.key, nil)
		o.table.tidy(r.key)
	}
}

// grantNext grants a free key to the first waiter that is still there.
func (c *Core) grantNext(o *owner, k *keyState) bool {
	for len(k.queue) > 0 && o.count < 1<<32-1 {
		r := k.queue[0]
		k.queue = slices.Delete(k.queue, 0, 1)
		if c.waitedOut(r) {
			c.close(o, r, OutcomeGone) // K2: a waiter refreshes itself; this one is lost
			continue
		}
		c.grant(o, k, r)
		return true
	}
	return false
}

// tidy leaves nothing behind of a free key.
func (t *table) tidy(key string) {
	if k := t.keys[key]; k != nil && k.record == nil && len(k.queue) == 0 {
		delete(t.keys, key)
	}
}

// enqueue puts a request in line by its ticket; one that has none gets the next
// of this term. K2: it keeps its first ticket and presents it at a new owner.
func (o *owner) enqueue(k *keyState, r *request) {
	if r.ticket.isZero() || r.ticket.Term > o.term {
		o.table.tickets++
		r.ticket = Ticket{o.term, o.table.tickets}
	}
	i := len(k.queue)
	for i > 0 && r.ticket.before(k.queue[i-1].ticket) {
		i--
	}
	k.queue = slices.Insert(k.queue, i, r)
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
		c.expireLeases(o)
		c.expireWaiters(o)
		c.forgetClients(o)
	}
	o.timer = earlier(o.timer, t.expiry)
}

func (c *Core) expireLeases(o *owner) {
	t := &o.table
	t.expiry = never
	for _, id := range sortedFunc(t.leases, LeaseID.compare) {
		l := t.leases[id]
		if at := c.expires(l); c.now < at {
			t.expiry = earlier(t.expiry, at)
			continue
		}
		c.assertExpiry(l)
		for _, seq := range sortedKeys(l.held) {
			r := l.held[seq]
			c.ungrant(o, r)
			c.close(o, r, OutcomeGone)
		}
	}
	// A grant that passed on above may have brought the next expiry nearer.
	for _, l := range t.leases {
		t.expiry = earlier(t.expiry, c.expires(l))
	}
}

// expireWaiters: K2: a waiter that stopped refreshing itself is lost. grantNext
// finds those that come up; this finds those behind a lock that is held for long.
func (c *Core) expireWaiters(o *owner) {
	t := &o.table
	for _, key := range sortedKeys(t.keys) {
		k := t.keys[key]
		k.queue = slices.DeleteFunc(k.queue, func(r *request) bool {
			lost := c.waitedOut(r)
			if lost {
				c.close(o, r, OutcomeGone)
			}
			return lost
		})
		t.tidy(key)
	}
}

// waitedOut says that a waiter has not refreshed itself for TTL·(1+d) (K2).
func (c *Core) waitedOut(r *request) bool { return c.now >= r.heard.add(c.view.Params.given(r.ttl)) }

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
		if k.record != nil {
			held++
		}
		queued += len(k.queue)
	}
	return held, queued + len(t.parked)
}
