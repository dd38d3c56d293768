package ownership

import (
	"slices"
	"strings"
	"time"
)

// K12 at the owner: what it knows of keys, told to whoever asks.

// watched is a key that somebody watches.
type watched struct {
	number   uint64 // of its newest state: rises within the term
	news     bool   // its queue has changed since, and nobody was told
	watchers []watcher
}

// watcher is one client that watches a key.
type watcher struct {
	client ClientID
	id     uint64
	to     NodeID
	heard  Time   // the newest refresh
	seen   uint64 // what it had then; 0: it is not known to have been answered
}

// query is a Query that waits for its round.
type query struct {
	client ClientID
	id     uint64
	key    string
	page   bool
	watch  bool
}

const (
	watchersMax = 4096        // of a key
	queueShown  = 64          // waiters in a KeyState
	pageBytes   = 256 << 10   // of a page of keys, about
	pageKeys    = 1024        // of a page
	watchTell   = time.Second // a watch is refreshed …
	watchForget = 5 * time.Second
)

// onQuery: K12: answered like a heartbeat, by a round that begins from now on.
func (c *Core) onQuery(from NodeID, m Query) {
	if m.Client == 0 {
		return
	}
	reply := Report{Client: m.Client, ID: m.ID, Partition: m.Partition, Term: m.Term}
	o := c.owner(m.Partition)
	switch {
	case o == nil || o.term != m.Term:
		reply.Outcome = OutcomeMoved
		c.send(from, reply)
		c.askAhead(from, m.Term)
		return
	case len(m.Key) > MaxKeyBytes || !m.Page && (len(m.Key) == 0 || c.partition(m.Key) != m.Partition): // K5
		reply.Outcome = OutcomeInvalid
		c.send(from, reply)
		return
	case !c.serving(o):
		reply.Outcome, reply.Reason = OutcomeWaiting, c.whyNot(o)
		c.send(from, reply)
		return
	}
	if m.Watch && !m.Page {
		w := o.watch(from, m, c.now)
		if w == nil {
			reply.Outcome, reply.Reason = OutcomeWaiting, Reason{Code: ReasonFull}
			c.send(from, reply)
			return
		}
		c.wakeAt(o.table.sweepAt)
		o.timer = earlier(o.timer, o.table.sweepAt)
		if m.Seen >= w.number {
			return // it has the newest; what comes is pushed
		}
	}
	c.answerQuery(o, from, query{m.Client, m.ID, m.Key, m.Page, m.Watch && !m.Page})
}

// answerQuery has a Query answered after a confirm round (G2).
func (c *Core) answerQuery(o *owner, to NodeID, q query) {
	for i := range o.nextRound {
		if n := &o.nextRound[i]; n.query != nil && *n.query == q {
			n.to = to
			return
		}
	}
	o.nextRound = append(o.nextRound, pending{to: to, query: &q})
	c.soil(o)
}

// watch notes a watcher, or that one is still there.
func (o *owner) watch(from NodeID, m Query, now Time) *watched {
	t := &o.table
	w := t.watched[m.Key]
	if w == nil {
		t.changes++
		w = &watched{number: t.changes}
		t.watched[m.Key] = w
		t.sweepAt = earlier(t.sweepAt, now.add(watchForget))
	}
	for i := range w.watchers {
		if k := &w.watchers[i]; k.client == m.Client && k.id == m.ID {
			k.to, k.heard, k.seen = from, now, max(k.seen, m.Seen)
			return w
		}
	}
	if len(w.watchers) >= watchersMax { // those silent for two refreshes make room
		w.forget(now, 2*watchTell)
		if len(w.watchers) >= watchersMax {
			return nil
		}
	}
	w.watchers = append(w.watchers, watcher{m.Client, m.ID, from, now, m.Seen})
	return w
}

// forget drops the watchers that were not heard for so long.
func (w *watched) forget(now Time, silent time.Duration) {
	w.watchers = slices.DeleteFunc(w.watchers, func(k watcher) bool { return now.since(k.heard) >= silent })
}

// prepareReport fills the answer to a Query as its round begins: with the state of
// then (G2).
func (c *Core) prepareReport(o *owner, a *pending) {
	q := a.query
	m := Report{Client: q.client, ID: q.id, Partition: o.partition, Term: o.term, Outcome: OutcomeGranted}
	if q.page {
		m.Keys, m.More = c.page(o, q.key)
	} else {
		m.Keys = []KeyState{c.keyState(o, q.key)}
	}
	if w := o.table.watched[q.key]; q.watch && w != nil {
		m.Number = w.number
	}
	a.answer, a.heard = m, a.began
}

// keyChanged pushes a watched key's state, with the write that made it.
func (c *Core) keyChanged(o *owner, key string) {
	if w := o.table.watched[key]; w != nil {
		c.push(o, key, w, true)
	}
}

// push tells all who watch a key of its state. If no write has made it, it tells nothing
// that is certain: who is not known to have had a certain answer gets that (K12).
func (c *Core) push(o *owner, key string, w *watched, written bool) {
	o.table.changes++
	w.number, w.news = o.table.changes, false
	keys := []KeyState{c.keyState(o, key)} // one for all of them
	for _, k := range w.watchers {
		if !written && k.seen == 0 {
			c.answerQuery(o, k.to, query{client: k.client, id: k.id, key: key, watch: true})
			continue
		}
		m := Report{Client: k.client, ID: k.id, Partition: o.partition, Term: o.term, Outcome: OutcomeGranted, Number: w.number, Keys: keys}
		o.certain = append(o.certain, pending{to: k.to, number: o.next - 1, heard: c.now, began: c.now, answer: m})
	}
}

// queueChanged notes that a watched key's queue is another. It is told a moment
// later: queues change often.
func (c *Core) queueChanged(o *owner, key string) {
	w := o.table.watched[key]
	if w == nil || w.news {
		return
	}
	w.news = true
	o.table.newsAt = earlier(o.table.newsAt, c.now.add(c.view.Params.resendEvery()))
	o.timer = earlier(o.timer, o.table.newsAt)
	c.wakeAt(o.timer)
}

// tickWatched tells of queues, and forgets watchers that are gone.
func (c *Core) tickWatched(o *owner) {
	t := &o.table
	if c.now >= t.newsAt {
		t.newsAt = never
		for _, key := range sortedKeys(t.watched) {
			if w := t.watched[key]; w.news {
				c.push(o, key, w, false)
			}
		}
		c.release(o) // what they rest on may be committed already
	}
	if c.now >= t.sweepAt {
		t.sweepAt = never
		for key, w := range t.watched {
			w.forget(c.now, watchForget)
			if len(w.watchers) == 0 {
				delete(t.watched, key)
			} else {
				t.sweepAt = c.now.add(watchForget)
			}
		}
	}
	o.timer = earlier(o.timer, earlier(t.newsAt, t.sweepAt))
}

// keyState is one key as it is now.
func (c *Core) keyState(o *owner, key string) KeyState {
	s := KeyState{Key: key}
	k := o.table.keys[key]
	if k == nil {
		return s
	}
	if k.record != nil {
		s.Value = k.record.Value
		for _, h := range k.record.Holders {
			s.Holders = append(s.Holders, c.holderState(o, h))
		}
	}
	if k.upgrade != nil {
		s.Queue = append(s.Queue, c.waiterState(k.upgrade))
		s.Queue[0].Mode, s.Queue[0].Upgrades, s.Queue[0].Waited = Exclusive, true, c.now.since(k.upgrade.alter.since)
		s.Waiting++
	}
	for _, r := range k.queue {
		if len(s.Queue) < queueShown {
			s.Queue = append(s.Queue, c.waiterState(r))
		}
	}
	s.Waiting += len(k.queue)
	return s
}

func (c *Core) waiterState(r *request) WaiterState {
	return WaiterState{Client: r.id.Client, Name: r.name, Note: r.note, Mode: r.mode, Waited: c.now.since(r.came)}
}

func (c *Core) holderState(o *owner, h Holder) HolderState {
	s := HolderState{Holder: h}
	if l := o.table.leases[LeaseID{h.Request.Client, h.Lease}]; l != nil && l.held[h.Request.Seq] != nil {
		s.Left = max(0, c.expires(l).since(c.now))
		return s
	}
	if r := o.table.ending[h.Request]; r != nil {
		s.Left, s.Evicted = max(0, r.ends.since(c.now)), !h.Lost
	}
	return s
}

// page lists keys with holders or a value, in order.
func (c *Core) page(o *owner, after string) (page []KeyState, more bool) {
	var keys []string
	for key, k := range o.table.keys {
		if k.record != nil && (after == "" || strings.Compare(key, after) > 0) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	size := 0
	for i, key := range keys {
		if i == pageKeys || size > pageBytes {
			return page, true
		}
		s := c.keyState(o, key)
		page = append(page, s)
		size += s.size()
	}
	return page, false
}

// size is about what a state takes in a message.
func (s KeyState) size() int {
	n := 64 + len(s.Key)
	if s.Value != nil {
		n += len(s.Value.Data)
	}
	for _, h := range s.Holders {
		n += 96 + len(h.Name) + len(h.Note)
	}
	for _, w := range s.Queue {
		n += 32 + len(w.Name) + len(w.Note)
	}
	return n
}
