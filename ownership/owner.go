package ownership

import (
	"slices"
)

// ownerPhase is how far the owner of a group has come in its term.
type ownerPhase uint8

const (
	ownerSealing    ownerPhase = iota // T1, T2, T6: collects the state before its term
	ownerInstalling                   // T3: brings it to a write quorum
	ownerActive                       // G1, G2: serves
)

// owner is what the one writer of a partition keeps in one term. It is made when
// the view is learned that names this node, and thrown away with the next that
// gives the group another term.
//
// Invariants: the lock table is the state after write next-1; what W replicas
// have is committed; no certified answer leaves before what it rests on.
type owner struct {
	partition Partition
	term      Term
	replicas  []NodeID
	phase     ownerPhase
	takeover  takeover

	// The stream (G1).
	next    uint64  // number of the next write
	acked   []int64 // by replica: the write it has everything through; -1 before its Install
	buffer  []Write // writes first … next-1, for those that miss some
	first   uint64
	bytes   int  // about, of buffer
	unsent  int  // of the buffer's end, sent at the end of the step
	stalled Time // since when something waits for the replicas without progress; 0 if nothing does
	resend  Time // never if nothing is outstanding
	stuckAt Time // when Stuck was last said (V5)
	timer   Time // the next time that tickOwner has something to do

	// The confirm round (G2). One serves all that arrived before it.
	round     uint64
	open      bool
	opened    Time      // when the round under way began
	confirmed []uint64  // by replica: the highest round it confirmed
	thisRound []pending // answers that leave with the round under way
	nextRound []pending // answers that came since it began
	certain   []pending // confirmed or resting on a write alone; wait for their write
	starting  bool      // listed in Core.dirty

	settled []NodeID // who has acknowledged Settled (T5)
	count   uint32   // of tokens granted in this term (T4)
	table   table
}

// pending is an answer on its way out. It leaves when write number is committed
// and, unless it wrote something, its round is confirmed (G2).
type pending struct {
	to      NodeID
	number  uint64
	heard   Time      // when the client time that it echoes was received …
	began   Time      // … and when its round began, or its Accept was sent
	request RequestID // to a request …
	release bool      // … to its Release
	alters  uint64    // … to its Alter of this number
	beat    *beat     // or to a heartbeat
	query   *query    // or to a Query
	// Made when its round begins: the one or the other.
	answer Message // an Answer or a Report
	ack    *HeartbeatAckItem
}

// bufferMax bounds the writes kept for replicas that are behind; one that misses
// more is sent a snapshot. So is one that misses more than bufferBytes: a write
// carries a whole record, and one of a thousand readers is long. acceptMax and
// acceptBytes bound one message.
const (
	bufferMax   = 4096
	bufferBytes = 64 << 20
	acceptMax   = 256
	acceptBytes = 256 << 10
)

func newOwner(p Partition, g Group) *owner {
	o := &owner{partition: p, term: g.Term, replicas: g.Replicas, next: 1, first: 1, resend: never}
	o.acked = make([]int64, len(g.Replicas))
	for i := range o.acked {
		o.acked[i] = -1
	}
	o.confirmed = make([]uint64, len(g.Replicas))
	o.table.init()
	return o
}

// changeOwners makes and drops owners when a view is learned. Unchanged groups
// keep their term and go on undisturbed (T5).
func (c *Core) changeOwners() {
	for p, g := range c.view.Groups {
		o := c.owners[p]
		if o != nil && (o.term != g.Term || g.Owner() != c.id) {
			c.noteServed(Partition(p))
			c.owners[p], o = nil, nil
		}
		if g.Owner() != c.id || !c.isMember() {
			continue
		}
		if o == nil {
			o = newOwner(Partition(p), g)
			c.owners[p] = o
			c.startTakeOver(o)
			continue
		}
		o.settled = o.settled[:0] // T5: again on each view
		c.settleAt = c.now
		if o.phase == ownerSealing {
			c.tryTakeOver(o) // T6: looked at anew on each view
		}
	}
	c.dirty = slices.DeleteFunc(c.dirty, func(p Partition) bool { return c.owners[p] == nil })
}

// noteServed remembers, for a next owner, whether anybody waits here (K2).
func (c *Core) noteServed(p Partition) {
	if o := c.owners[p]; o != nil && o.phase == ownerActive {
		c.parts[p].served = o.term
		// In a grace nobody has come yet who may still be on the way (K2).
		c.parts[p].waiting = o.table.graceEnd != 0 || o.table.anyWaiting()
	}
}

// serving says that the owner may begin writes and rounds now (L2).
func (c *Core) serving(o *owner) bool { return o.phase == ownerActive && c.leaseValid() }

// write numbers a key's new record, nil for its deletion. It is sent at the end
// of the step (G1).
func (c *Core) write(o *owner, key string, r *Record) {
	c.assertOneOwner(o)
	assertCapacity(r)
	w := Write{key, r}
	o.buffer = append(o.buffer, w)
	o.bytes += w.size()
	o.next++
	o.unsent++
	if len(o.buffer) > 2*bufferMax || o.bytes > 2*bufferBytes {
		o.trim(c.bufferSize()) // nobody answers: who comes back is sent a snapshot
	}
	c.soil(o)
}

// soil lists the owner for the end of the step.
func (c *Core) soil(o *owner) {
	if !o.starting {
		o.starting = true
		c.dirty = append(c.dirty, o.partition)
	}
}

// flushOwners sends new writes and begins rounds, once a step.
func (c *Core) flushOwners() {
	for i := 0; i < len(c.dirty); i++ {
		o := c.owners[c.dirty[i]]
		if o == nil || !o.starting {
			continue
		}
		o.starting = false
		if c.buggify(LateBatch) {
			o.timer = earlier(o.timer, c.now.add(c.view.Params.resendEvery()))
			c.wakeAt(o.timer)
			continue
		}
		if o.unsent > 0 {
			c.sendUnsent(o)
			o.unsent = 0
			c.outstanding(o)
		}
		c.startRound(o)
	}
	c.dirty = c.dirty[:0]
}

// sendUnsent sends the step's writes to all that have the state before them.
func (c *Core) sendUnsent(o *owner) {
	for number := o.next - uint64(o.unsent); number < o.next; {
		accept := o.writesFrom(number)
		m := Message(accept) // one for all of them
		for i, id := range o.replicas[:c.firstTo(o)] {
			if o.acked[i] >= 0 {
				c.send(id, m)
			}
		}
		number += uint64(len(accept.Writes))
	}
}

// sendWrites sends the writes from number on.
func (c *Core) sendWrites(o *owner, to NodeID, number uint64) {
	for number < o.next {
		m := o.writesFrom(number)
		c.send(to, m)
		number += uint64(len(m.Writes))
	}
}

// writesFrom is one message of writes: at least one, and no more than fit.
func (o *owner) writesFrom(number uint64) Accept {
	ws := o.buffer[number-o.first:]
	n, bytes := 0, 0
	for n < len(ws) && n < acceptMax && (n == 0 || bytes+ws[n].size() <= acceptBytes) {
		bytes += ws[n].size()
		n++
	}
	return Accept{o.partition, o.term, number, slices.Clone(ws[:n])}
}

// size is about what a write takes in a message.
func (w Write) size() int {
	if w.Record == nil {
		return 16 + len(w.Key)
	}
	return w.Record.size()
}

// outstanding arms the timers of what must be answered.
func (c *Core) outstanding(o *owner) {
	if o.resend == never {
		o.resend = c.now.add(c.view.Params.resendEvery())
	}
	if o.stalled == 0 {
		o.stalled = c.now
	}
	o.timer = earlier(o.timer, o.resend)
	c.wakeAt(o.timer)
}

// progress looks whether anything is still outstanding. Only what brings an answer
// nearer counts: acknowledgements of ever new writes by too few replicas must not
// hide that nothing is committed (V5).
func (c *Core) progress(o *owner, nearer bool) {
	if o.phase == ownerActive && o.committed() == o.next-1 && !o.open {
		o.stalled = 0
		if slices.Min(o.acked) == int64(o.next-1) {
			o.resend = never
		}
		return
	}
	if nearer || o.stalled == 0 {
		o.stalled = c.now
	}
}

// committed is the number of the last write that W replicas have (G1).
func (o *owner) committed() uint64 {
	n := kthHighest(o.acked, writeQuorum(len(o.replicas)))
	return uint64(max(n, 0))
}

// onAcceptAck: G1: a write is committed when W replicas have it.
func (c *Core) onAcceptAck(from NodeID, m AcceptAck) {
	o, i := c.ownerOf(from, m.Partition, m.Term)
	if o == nil {
		if m.Promised > m.Term {
			c.send(from, AskView{c.view.Epoch})
		}
		return
	}
	if !m.OK {
		if m.Promised > o.term {
			c.send(from, AskView{c.view.Epoch}) // somebody else took over
		}
		return
	}
	if !c.leaseValid() { // L2: without a lease nothing is certified
		return
	}
	if int64(m.Last) <= o.acked[i] || m.Last >= o.next { // an old one; nothing that was ever sent
		return
	}
	before := o.committed()
	news := o.acked[i] < 0
	o.acked[i] = int64(m.Last)
	o.assertAcks()
	o.trim(c.bufferSize())
	if news && m.Last < o.next-1-uint64(o.unsent) {
		c.sendMissing(o, i) // it was installed late
	}
	if o.phase == ownerInstalling {
		c.tryActivate(o)
	}
	c.progress(o, news || o.committed() > before)
	c.release(o)
}

// trim forgets the writes that every replica has, and the oldest beyond size.
func (o *owner) trim(size uint64) {
	keep := uint64(max(slices.Min(o.acked), 0)) + 1
	if o.next > size {
		keep = max(keep, o.next-size)
	}
	for n, bytes := o.first, o.bytes; bytes > bufferBytes && n < o.next-uint64(o.unsent); n++ {
		bytes -= o.buffer[n-o.first].size()
		keep = max(keep, n+1)
	}
	keep = min(keep, o.next-uint64(o.unsent))
	if keep > o.first {
		for _, w := range o.buffer[:keep-o.first] {
			o.bytes -= w.size()
		}
		o.buffer = o.buffer[keep-o.first:] // its memory goes with the next growth
		o.first = keep
	}
}

// ownerOf finds the owner that a replica's answer is for.
func (c *Core) ownerOf(from NodeID, p Partition, t Term) (*owner, int) {
	if !c.hasPartition(p) {
		return nil, 0
	}
	o := c.owners[p]
	if o == nil || o.term != t {
		return nil, 0
	}
	i := slices.Index(o.replicas, from)
	if i < 0 {
		return nil, 0
	}
	return o, i
}

// startRound begins a confirm round for the answers that came since the last
// one began, if none is under way (G2).
func (c *Core) startRound(o *owner) {
	if o.open || len(o.nextRound) == 0 || !c.serving(o) {
		return
	}
	o.round++
	o.open, o.opened = true, c.now
	o.thisRound, o.nextRound = o.nextRound, o.thisRound[:0]
	for i := range o.thisRound {
		c.prepareAnswer(o, &o.thisRound[i])
	}
	c.sendRound(o)
	c.outstanding(o)
}

func (c *Core) sendRound(o *owner) {
	for i, id := range o.replicas {
		if o.confirmed[i] < o.round {
			item := ConfirmItem{o.partition, o.term, o.round}
			if id == c.id {
				c.send(id, Confirm{[]ConfirmItem{item}})
			} else {
				c.confirms = gather(c.confirms, id, 0, item)
			}
		}
	}
}

// onConfirmAck: G2: rounds are numbered and acknowledged by number.
func (c *Core) onConfirmAck(from NodeID, m ConfirmAck) {
	for _, item := range m.Items {
		o, i := c.ownerOf(from, item.Partition, item.Term)
		if o == nil || !o.open || item.Round != o.round || !c.leaseValid() {
			continue
		}
		o.confirmed[i] = o.round
		n := 0
		for _, r := range o.confirmed {
			if r == o.round {
				n++
			}
		}
		if n < writeQuorum(len(o.replicas)) {
			continue
		}
		o.open = false
		o.certain = append(o.certain, o.thisRound...)
		clear(o.thisRound)
		o.thisRound = o.thisRound[:0]
		c.progress(o, false) // a write that is not committed holds its answer back still
		c.release(o)
		if len(o.nextRound) > 0 {
			c.soil(o)
		}
	}
}

// release lets the certified answers go.
func (c *Core) release(o *owner) {
	committed := o.committed()
	kept := o.certain[:0]
	for _, a := range o.certain {
		assertEcho(a.heard, a.began)
		switch {
		case a.number > committed:
			kept = append(kept, a)
		case a.to == 0: // its client has closed the request
		case c.buggify(AnswerLost):
		case a.answer != nil:
			o.assertAnswerTerm(termOf(a.answer))
			c.send(a.to, a.answer)
		default:
			o.assertAnswerTerm(a.ack.Term)
			c.beatAcks = gather(c.beatAcks, a.to, a.beat.lease.Client, *a.ack)
		}
	}
	clear(o.certain[len(kept):])
	o.certain = kept
}

func termOf(m Message) Term {
	if r, ok := m.(Report); ok {
		return r.Term
	}
	return m.(Answer).Term
}

// sendMissing sends a replica what it has not: writes, or a snapshot if the
// buffer no longer has them (G1).
func (c *Core) sendMissing(o *owner, i int) {
	id := o.replicas[i]
	if o.acked[i] < 0 || uint64(o.acked[i])+1 < o.first {
		c.sendState(o, id)
		return
	}
	c.sendWrites(o, id, uint64(o.acked[i])+1)
}

// sendState sends the state of this node's own replica, which is that after
// exactly write last of the term: the first state of a term if it is on its way
// there itself (T3).
func (c *Core) sendState(o *owner, id NodeID) {
	m := Install{Partition: o.partition, Term: o.term}
	records := o.takeover.state
	switch r := &c.parts[o.partition]; {
	case r.installed == o.term:
		m.Number, records = r.last, r.records
	case o.phase == ownerActive:
		// Its own replica has promised a newer term before it could install: the
		// state is no longer here, and the group will be taken over.
		return
	}
	chunks := chunked(records, c.chunkSize())
	m.Chunks = len(chunks)
	for i, rs := range chunks {
		m.Chunk, m.Records = i, rs
		c.send(id, m)
	}
}

// tickOwners does what is due in the partitions that this node owns.
func (c *Core) tickOwners() {
	if c.view == nil || !c.isMember() {
		return
	}
	for _, o := range c.owners {
		if o == nil {
			continue
		}
		if c.now >= o.timer {
			c.tickOwner(o)
		}
		c.wakeAt(o.timer)
	}
	if c.now >= c.settleAt {
		c.sendSettled()
	}
	c.wakeAt(c.settleAt)
}

func (c *Core) tickOwner(o *owner) {
	o.timer = never
	if !c.leaseValid() {
		return // L2; regained sets the timer
	}
	p := c.view.Params
	if o.phase == ownerSealing {
		c.tickTakeOver(o)
	}
	if o.phase != ownerSealing && c.now >= o.resend {
		o.resend = c.now.add(p.resendEvery())
		if o.stalled == 0 {
			o.resend = c.now.add(5 * p.resendEvery()) // only laggards: no answer waits for them
		}
		for i := range o.replicas {
			if o.acked[i] < int64(o.next-1) {
				c.sendMissing(o, i)
			}
		}
		if o.open {
			c.sendRound(o)
		}
	}
	if o.phase == ownerActive {
		c.tickTable(o)
		if len(o.nextRound) > 0 || o.unsent > 0 {
			c.soil(o) // they came while there was no lease, or wait for a batch
		}
	}
	if o.stalled != 0 {
		c.tickStuck(o)
	}
	o.timer = earlier(o.timer, o.resend)
	c.wakeAt(o.timer)
}

// tickStuck: V5: an owner that for seconds cannot reach W of its group, or S of a
// configuration that T2 needs, says so.
func (c *Core) tickStuck(o *owner) {
	since := o.stalled
	if o.open {
		since = earlier(since, o.opened)
	}
	at := max(since.add(c.view.Params.stuckAfter()), o.stuckAt.add(c.view.Params.stuckEvery()))
	if c.now >= at {
		o.stuckAt = c.now
		at = c.now.add(c.view.Params.stuckEvery())
		heard := o.doing(c.id)
		for _, a := range o.takeover.answers {
			if a.whole {
				heard = addID(heard, a.id)
			}
		}
		c.tellVoters(Stuck{Partition: o.partition, Term: o.term, Heard: heard})
	}
	o.timer = earlier(o.timer, at)
}

// doing lists the replicas that do what the owner waits for, itself first. Having
// answered once is not enough: Stuck is about those that hold it up now.
func (o *owner) doing(self NodeID) []NodeID {
	ids := []NodeID{self}
	committed := int64(o.committed())
	for i, id := range o.replicas {
		writes := o.acked[i] > committed || o.acked[i] == int64(o.next-1)
		if o.phase == ownerInstalling {
			writes = o.acked[i] >= 0
		}
		if o.phase != ownerSealing && writes && (!o.open || o.confirmed[i] == o.round) {
			ids = addID(ids, id)
		}
	}
	return ids
}

func (c *Core) tellVoters(m Message) {
	for _, v := range c.view.Voters {
		c.send(v, m)
	}
}
