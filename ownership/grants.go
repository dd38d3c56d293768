package ownership

import (
	"cmp"
	"math"
	"slices"
)

// keyState is one key at its owner.
type keyState struct {
	record  *Record    // nil if it is free and has no value
	queue   []*request // by ticket
	upgrade *request   // the holder that waits to go up, nil if none does (K8)
}

// ending is a holder that no lease keeps: one that was told to let go (K13), or
// one that is lost and whose place is closed for its Delay (K9).
type ending struct {
	request *request
	until   Time
}

func (k *keyState) held() bool { return k.record.held() }

// draft copies a key's record, for a change.
func (k *keyState) draft(key string) Record {
	rec := Record{Key: key}
	if k.record != nil {
		rec.Holders, rec.Value = slices.Clone(k.record.Holders), k.record.Value
	}
	return rec
}

// without copies a key's record but for one grant.
func (k *keyState) without(r *request) Record {
	rec := Record{Key: r.key, Value: k.record.Value}
	for _, h := range k.record.Holders {
		if h.Request != r.id {
			rec.Holders = append(rec.Holders, h)
		}
	}
	return rec
}

func (r *Record) holder(id RequestID) *Holder {
	for i := range r.Holders {
		if r.Holders[i].Request == id {
			return &r.Holders[i]
		}
	}
	return nil
}

// taken is what the holders take of the key.
func (r *Record) taken() (weight uint64) {
	for _, h := range r.Holders {
		weight += uint64(h.Mode.weight())
	}
	return weight
}

// fits says that a lock of this mode finds a place beside the holders (K7).
func (r *Record) fits(m Mode) bool {
	if r == nil || len(r.Holders) == 0 {
		return true
	}
	capacity := r.Holders[0].Mode.capacity()
	return capacity == m.capacity() && len(r.Holders) < MaxHolders && r.taken()+uint64(m.weight()) <= uint64(capacity)
}

// otherCapacity says that the key is held with another capacity (K7).
func (k *keyState) otherCapacity(m Mode) bool {
	return k.held() && k.record.Holders[0].Mode.capacity() != m.capacity()
}

// pass writes what became of a key, and grants in the same write what fits then.
// K2: release and the grant to the next waiter are one write.
func (c *Core) pass(o *owner, k *keyState, rec *Record) {
	var few [4]*request
	grants := c.grantFitting(o, k, rec, few[:0])
	k.record = rec
	if len(rec.Holders) == 0 && rec.Value == nil {
		k.record = nil
	}
	c.write(o, rec.Key, k.record)
	c.keyChanged(o, rec.Key)
	for _, r := range grants {
		c.answerGrant(o, r)
		if k.contended(r) {
			c.tell(o, r, NoticeItem{})
		}
	}
	o.table.tidy(rec.Key)
}

// answerGrant tells a client of its grant, or that it has gone up, when the write
// that made it so is committed (G2). Its echo is the newest client time received
// before the Accept.
func (c *Core) answerGrant(o *owner, r *request) {
	a := Answer{Request: r.id, Outcome: OutcomeGranted, Token: r.token, Echo: r.sent}
	if r.mode == Exclusive && r.alter.up {
		r.alter.up = false
		a.Outcome, a.Alters, a.Echo = OutcomeAltered, r.alter.number, 0
	}
	c.answerByWrite(o, r.from, r.heard, a)
}

// grantFitting makes holders of those who come next, as far as they fit: first who
// waits to go up (K8), then the queue from its head (K7).
func (c *Core) grantFitting(o *owner, k *keyState, rec *Record, grants []*request) []*request {
	if r := k.upgrade; r != nil {
		if len(rec.Holders) != 1 || o.count >= countMax {
			return grants
		}
		k.upgrade = nil
		c.raise(o, rec, r)
		grants = append(grants, r)
	}
	for len(k.queue) > 0 && o.count < countMax {
		r := k.queue[0]
		gone := c.waitedOut(r)
		if !gone && !rec.fits(r.mode) {
			break
		}
		k.queue = slices.Delete(k.queue, 0, 1)
		if gone {
			c.close(o, r, OutcomeGone) // K2: a waiter refreshes itself; this one is lost
			continue
		}
		c.admit(o, rec, r)
		grants = append(grants, r)
	}
	return grants
}

// admit makes a waiting request a holder of a record that is about to be written.
func (c *Core) admit(o *owner, rec *Record, r *request) {
	r.assertOpen()
	r.state, r.token = requestHeld, c.nextToken(o, rec)
	rec.Holders = append(rec.Holders, Holder{
		Request: r.id, Token: r.token, Lease: r.lease, TTL: r.ttl, Name: r.name, Note: r.note,
		Mode: r.mode, Delay: r.delay, Since: c.wallNow(),
	})
	c.leaseAdd(o, r)
}

// nextToken is the next one of the term, above all that the key has.
func (c *Core) nextToken(o *owner, rec *Record) Token {
	o.count++
	token := makeToken(o.term, o.count)
	o.assertTokenRises(token, rec)
	if o.count >= countLow {
		o.stuckAt = 0
		c.askNewTerm(o)
	}
	return token
}

// countMax is how many tokens a term has. At countLow its owner asks for a new one
// (T4); the rest is for the meantime.
const (
	countMax = 1<<32 - 1
	countLow = 1<<32 - 1<<20
)

func (c *Core) askNewTerm(o *owner) {
	if o.count == countLow || o.count%(1<<10) == 0 {
		c.tellVoters(Stuck{Partition: o.partition, Term: o.term, Exhausted: true})
	}
}

// advance grants what fits after somebody has left the line.
func (c *Core) advance(o *owner, key string) {
	k := o.table.keys[key]
	if len(k.queue) > 0 && k.upgrade == nil && k.record.fits(k.queue[0].mode) {
		rec := k.draft(key)
		c.pass(o, k, &rec)
		return
	}
	o.table.tidy(key)
}

// ungrant takes a grant back and passes its place on, to the heir first if there
// is one that fits (K14).
func (c *Core) ungrant(o *owner, r *request, heir string) {
	k := o.table.keys[r.key]
	rec := k.without(r)
	c.leaveTable(o, k, r)
	i := -1
	if heir != "" && k.upgrade == nil && o.count < countMax {
		i = slices.IndexFunc(k.queue, func(q *request) bool { return q.name == heir && !c.waitedOut(q) && rec.fits(q.mode) })
	}
	if i < 0 {
		c.pass(o, k, &rec)
	} else {
		next := k.queue[i]
		k.queue = slices.Delete(k.queue, i, i+1)
		c.admit(o, &rec, next)
		c.pass(o, k, &rec)
		c.answerGrant(o, next)
		if k.contended(next) {
			c.tell(o, next, NoticeItem{})
		}
	}
	c.answerRevokes(o, r)
}

// leaveTable takes a grant out of what keeps it: its lease, or the endings.
func (c *Core) leaveTable(o *owner, k *keyState, r *request) {
	if k.upgrade == r {
		k.upgrade = nil
	}
	if r.state == requestHeld && !r.evicted {
		o.table.leaseRemove(r)
	} else {
		if r.state == requestHeld {
			o.table.evicted--
		}
		if i, found := o.table.endingAt(ending{r, r.ends}); found {
			if i == 0 { // as a rule: many may end one after the other
				o.table.endings = o.table.endings[1:]
			} else {
				o.table.endings = slices.Delete(o.table.endings, i, i+1)
			}
			delete(o.table.ending, r.id)
		}
	}
	r.token = 0
}

// endAt has a holder that no lease keeps end at this time.
func (c *Core) endAt(o *owner, r *request, until Time) {
	t := &o.table
	r.ends = until
	i, _ := t.endingAt(ending{r, until})
	t.endings = slices.Insert(t.endings, i, ending{r, until})
	t.ending[r.id] = r
	t.expiry = earlier(t.expiry, until)
	o.timer = earlier(o.timer, t.expiry)
	c.wakeAt(o.timer)
}

// endingAt finds the place of an ending.
func (t *table) endingAt(e ending) (int, bool) {
	return slices.BinarySearchFunc(t.endings, e, func(a, b ending) int {
		return cmp.Or(cmp.Compare(a.until, b.until), a.request.id.compare(b.request.id))
	})
}

// endGrants ends those whose time has come.
func (c *Core) endGrants(o *owner) {
	t := &o.table
	for len(t.endings) > 0 && c.now >= t.endings[0].until {
		if r := t.endings[0].request; r.state == requestHeld {
			c.expire(o, r)
		} else { // K9: its delay is over
			c.ungrant(o, r, "")
		}
	}
}

// expire ends a grant whose holder is lost: K9: with a Delay its place stays
// closed for that long.
func (c *Core) expire(o *owner, r *request) {
	if r.delay == 0 || r.evicted {
		c.ungrant(o, r, "")
		c.close(o, r, OutcomeGone)
		return
	}
	k := o.table.keys[r.key]
	rec := k.draft(r.key)
	rec.holder(r.id).Lost = true
	c.leaveTable(o, k, r)
	c.close(o, r, OutcomeGone)
	c.endAt(o, r, c.now.add(c.view.Params.given(r.delay)))
	c.pass(o, k, &rec)
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
	if r.ticket.Term == 0 || r.ticket.Term > o.term {
		if o.table.tickets < math.MaxUint32 { // who comes after as many as that goes by its arrival
			o.table.tickets++
		}
		r.ticket = Ticket{o.term, o.table.tickets}
	}
	i := len(k.queue)
	for i > 0 && r.ticket.before(k.queue[i-1].ticket) {
		i--
	}
	k.queue = slices.Insert(k.queue, i, r)
	o.table.lines[r.key] = true
}
