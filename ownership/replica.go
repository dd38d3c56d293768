package ownership

import (
	"cmp"
	"slices"
)

// replica is what a node keeps of one partition, whether the view lists it there
// or not.
//
// Invariants: promised never falls (I4); installed ≤ promised (I5); records is
// the state after exactly write last of installed's stream, and is never changed
// in place once it was handed out.
type replica struct {
	promised  Term
	installed Term
	last      uint64
	records   map[string]*Record

	incoming *incoming // chunks of an Install under way

	// What the node remembers of having served installed as its owner: a hint
	// for the next owner (SealAck.Served, K2).
	served  Term
	waiting bool
}

// incoming gathers the chunks of one state.
type incoming struct {
	term    Term // of an Install; the installed term of a SealAck
	number  uint64
	chunks  [][]*Record
	missing int
}

// add notes a chunk and says whether the state is whole.
func (in *incoming) add(chunk int, records []*Record) bool {
	if chunk < 0 || chunk >= len(in.chunks) {
		return false
	}
	if in.chunks[chunk] == nil {
		in.missing--
		in.chunks[chunk] = append([]*Record{}, records...)
	}
	return in.missing == 0
}

func newIncoming(term Term, number uint64, chunks int) *incoming {
	return &incoming{term, number, make([][]*Record, chunks), chunks}
}

func (in *incoming) records() map[string]*Record {
	m := map[string]*Record{}
	for _, chunk := range in.chunks {
		for _, r := range chunk {
			m[r.Key] = r
		}
	}
	return m
}

// Chunks keep messages small: a state goes in pieces of about chunkBytes.
const (
	chunkBytes = 128 << 10
	maxChunks  = 1 << 14
)

// chunked splits a state in the order of its keys, at about chunkBytes. An empty
// state is one chunk.
func chunked(records map[string]*Record, chunkBytes int) [][]*Record {
	chunks := [][]*Record{nil}
	size := 0
	for _, key := range sortedKeys(records) {
		r := records[key]
		n := r.size()
		if size > 0 && size+n > chunkBytes {
			chunks, size = append(chunks, nil), 0
		}
		chunks[len(chunks)-1] = append(chunks[len(chunks)-1], r)
		size += n
	}
	return chunks
}

// size is about what a record takes in a message.
func (r *Record) size() int {
	n := len(r.Key) + 64
	if r.Value != nil {
		n += 32 + len(r.Value.Data)
	}
	for _, h := range r.Holders {
		n += 96 + len(h.Name) + len(h.Note)
	}
	return n
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// newer orders states: by term, then by number of the write.
func newer(t1 Term, n1 uint64, t2 Term, n2 uint64) bool { return t1 > t2 || t1 == t2 && n1 > n2 }

func (c *Core) raisePromised(p Partition, t Term) {
	r := &c.parts[p]
	if t <= r.promised {
		return
	}
	r.promised = t
	if r.incoming != nil && r.incoming.term < t {
		r.incoming = nil
	}
}

// impostor says that a known view names another owner for the term, or that no
// view can have come to that term yet.
func (c *Core) impostor(from NodeID, p Partition, t Term) bool {
	g := c.view.Groups[p]
	return t == g.Term && from != g.Owner() || int64(t) > int64(c.view.Epoch)+maxEpochStep
}

// valid says that a record is one that an owner of this term, or one before, makes:
// its holders fit into one capacity (K7), its value is not too long (K6), there is
// one or the other, and no token is of a term to come (T4).
func (r *Record) valid(t Term) bool {
	if r == nil || len(r.Key) == 0 || len(r.Key) > MaxKeyBytes || len(r.Holders) > MaxHolders || len(r.Holders) == 0 && r.Value == nil {
		return false
	}
	last := Token(0)
	for _, h := range r.Holders {
		if h.Token <= last || h.Token.Term() > t || h.Request.Client == 0 || h.TTL <= 0 || h.Delay < 0 {
			return false
		}
		last = h.Token
		if h.Mode.check() != "" || h.Mode.capacity() != r.Holders[0].Mode.capacity() {
			return false
		}
	}
	return (len(r.Holders) == 0 || r.taken() <= uint64(r.Holders[0].Mode.capacity())) && (r.Value == nil || len(r.Value.Data) <= MaxValueBytes && r.Value.Token.Term() <= t)
}

func (r *Record) held() bool { return r != nil && len(r.Holders) > 0 }

func validRecords(rs []*Record, t Term) bool {
	return !slices.ContainsFunc(rs, func(r *Record) bool { return !r.valid(t) })
}

func validWrites(ws []Write, t Term) bool {
	return !slices.ContainsFunc(ws, func(w Write) bool { return w.Record != nil && (!w.Record.valid(t) || w.Record.Key != w.Key) })
}

// agrees is the condition of G1 and G2: promised = installed = the term, and the
// membership lease is valid (L2).
func (c *Core) agrees(p Partition, t Term) bool {
	r := &c.parts[p]
	return r.promised == t && r.installed == t && c.leaseValid()
}

// onAccept: G1: a replica takes number last+1 only, if promised = installed =
// the term and its membership lease is valid; its answer is cumulative.
func (c *Core) onAccept(from NodeID, m Accept) {
	if !c.hasPartition(m.Partition) || c.impostor(from, m.Partition, m.Term) || !validWrites(m.Writes, m.Term) {
		return
	}
	if c.agrees(m.Partition, m.Term) {
		c.assertLeaseBeforeAccept(m.Partition)
		r := &c.parts[m.Partition]
		for i, w := range m.Writes {
			if m.First+uint64(i) == r.last+1 {
				r.apply(w)
			}
		}
	}
	c.ackAccept(from, m.Partition, m.Term)
}

func (r *replica) apply(w Write) {
	r.last++
	assertCapacity(w.Record)
	if w.Record == nil {
		delete(r.records, w.Key)
	} else {
		r.records[w.Key] = w.Record
	}
}

// ackAccept answers an Accept or Install. A refusal carries promised, installed
// and last too.
func (c *Core) ackAccept(to NodeID, p Partition, t Term) {
	r := &c.parts[p]
	r.assertInstalled()
	c.send(to, AcceptAck{p, t, c.agrees(p, t), r.promised, r.installed, r.last})
	if r.promised < t && t > c.view.Groups[p].Term {
		c.send(to, AskView{c.view.Epoch}) // its owner knows a view that this node has not
	}
}

// onConfirm: G2: W replicas say that promised = installed = the term still.
func (c *Core) onConfirm(from NodeID, m Confirm) {
	refuses := func(i ConfirmItem) bool { return !c.hasPartition(i.Partition) || !c.agrees(i.Partition, i.Term) }
	items := m.Items
	if slices.ContainsFunc(items, refuses) {
		items = slices.DeleteFunc(slices.Clone(items), refuses) // a message is never changed
	}
	for _, i := range items {
		c.assertLeaseBeforeAccept(i.Partition)
	}
	if len(items) > 0 {
		c.send(from, ConfirmAck{items})
	}
}

// onSeal: T1: a replica refuses a term below promised; else it raises promised
// and answers with installed, last and, unless the asker has as much, its
// records. Being a member or not does not matter, nor does a lease (L2); having
// forgotten does (V6).
func (c *Core) onSeal(from NodeID, m Seal) {
	if !c.hasPartition(m.Partition) {
		return
	}
	if c.impostor(from, m.Partition, m.Term) {
		return
	}
	r := &c.parts[m.Partition]
	ack := SealAck{Partition: m.Partition, Term: m.Term, Promised: r.promised}
	if m.Term < r.promised {
		c.send(from, ack)
		c.send(from, Decided{View: c.view})
		return
	}
	c.raisePromised(m.Partition, m.Term)
	c.noteServed(m.Partition)
	ack.OK, ack.Promised, ack.Installed, ack.Last = true, r.promised, r.installed, r.last
	ack.Served, ack.Waiting = r.served == r.installed && r.served != 0, r.waiting
	if !newer(r.installed, r.last, m.Installed, m.Last) {
		c.send(from, ack)
		return
	}
	chunks := chunked(r.records, c.chunkSize())
	ack.Chunks = len(chunks)
	for i, records := range chunks {
		ack.Chunk, ack.Records = i, records
		c.send(from, ack)
	}
}

// onInstall: T3, G1: a state is applied only when whole and higher than what is
// there, and if promised ≤ its term; it acknowledges writes only under the
// conditions of G1.
func (c *Core) onInstall(from NodeID, m Install) {
	if !c.hasPartition(m.Partition) || m.Chunks < 1 || m.Chunks > maxChunks || !validRecords(m.Records, m.Term) {
		return
	}
	r := &c.parts[m.Partition]
	if c.impostor(from, m.Partition, m.Term) {
		return
	}
	if m.Term >= r.promised && newer(m.Term, m.Number, r.installed, r.last) {
		in := r.incoming
		if in == nil || in.term != m.Term || in.number != m.Number || len(in.chunks) != m.Chunks {
			if in != nil && newer(in.term, in.number, m.Term, m.Number) {
				return // a late chunk of an older state
			}
			in = newIncoming(m.Term, m.Number, m.Chunks)
			r.incoming = in
		}
		if !in.add(m.Chunk, m.Records) {
			return
		}
		assertPromisedRises(r.promised, m.Term)
		c.raisePromised(m.Partition, m.Term)
		r.installed, r.last, r.records, r.incoming = m.Term, m.Number, in.records(), nil
	}
	c.ackAccept(from, m.Partition, m.Term)
}

// forget drops the records of a partition whose newer state is settled elsewhere
// (T5): installed = last = 0, never promised.
func (r *replica) forget() {
	r.installed, r.last, r.records = 0, 0, nil
	r.served, r.waiting = 0, false
}
