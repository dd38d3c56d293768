package ownership

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// client is the holder's half of a node: its requests, the locks it holds, and
// the heartbeats that keep them. It outlives the NodeID (V6).
//
// Invariants: no lock is believed held at or after its deadline (K3); a request
// that was closed is never granted here (I15); of every request the owner of the
// newest term asked is the only one believed (K1).
type client struct {
	id     ClientID
	mesh   MeshID // that of what is held
	seq    uint64 // the last one used
	holds  map[Handle]*hold
	bySeq  map[uint64]*hold
	asking []*hold                    // those with an answer to come (asking or releasing), by seq
	alters []*hold                    // those with a Change to carry out, by seq
	looks  []*look                    // by handle
	leased map[Handle]map[Handle]bool // by anchor: the locks that share its fate (K10)
	slots  []*slot                    // leases in partitions with something held, by (lease, partition)
	auto   []autoLease
	leases uint32 // the last lease number used
	beats  uint64 // the last heartbeat number used, of all slots
}

// autoLease is the lease of all automatically renewed locks with one TTL (K4).
type autoLease struct {
	number uint32
	ttl    time.Duration
}

// holdState is where one Lock call stands.
type holdState uint8

const (
	holdAsking holdState = iota
	holdHeld
	holdReleasing
	holdBehind // waits for the lock before it in its set (K11)
)

// hold is the client's side of one request.
type hold struct {
	handle Handle
	seq    uint64

	// What each tick looks at lies together.
	state  holdState
	term   Term // the newest asked; 0: none yet
	next   Time // when to ask again
	heard  Time // the last answer, or the first question
	giveUp Time // when a Release that nobody answers is given up
	in     Lock // as asked
	reason Reason

	partition Partition
	lease     uint32
	owner     NodeID // of term
	first     Time   // when seq was first sent; 0: not yet
	ticket    Ticket

	token    Token
	deadline Time   // K3
	since    uint64 // the slot's beats sent before it was adopted
	extend   uint64 // the user asked for a renewal: the first beat that is one; 0 if not

	mode      Mode     // of the grant; a change down shows at once (K8)
	base      Mode     // without those that went up: as granted, or as it went down to
	raised    bool     // one has gone up since
	ups       []uint64 // the ops of those that have, and were not given up
	changes   []change // asked for, the first one is on its way (alter_client.go)
	altered   uint64   // the last number used for one
	contended bool     // its user knows that somebody waits (K14)

	evicts   Token     // not a lock, but an Evict of this one (K13)
	evicting bool      // an owner has said that it tells the holder …
	victim   RequestID // … whose grant is this
	heir     string    // who goes first when it is released (K14)
	follower Handle    // the next one of its set (K11)
	quiet    bool      // its user knows the end: only the owner must still be told
	lost     bool      // it was lost, and is given back: that is no Unlock (K9)
	wasHeld  bool      // when it was released
	reask    bool      // released only to be asked for again: its grant came too late
	releases uint8     // how often Release was sent; 2 is more than once, and an earlier one may have released it
}

func (cl *client) init(id ClientID) {
	cl.id = id
	cl.holds = map[Handle]*hold{}
	cl.bySeq = map[uint64]*hold{}
	cl.leased = map[Handle]map[Handle]bool{}
}

// clientLock: K5: bad input changes nothing.
func (c *Core) clientLock(in Lock) {
	cl := &c.client
	if why := c.badLock(in); why != "" {
		c.notify(Invalid{in.Handle, why})
		return
	}
	h := &hold{handle: in.Handle, in: in, reason: Reason{Code: ReasonNoView}}
	if in.Lease != 0 { // K10
		anchor := cl.holds[in.Lease]
		if anchor == nil || anchor.state != holdHeld {
			c.notify(Denied{Handle: in.Handle, Code: DeniedLease})
			return
		}
		h.in.TTL, h.in.NoRenew, h.lease = anchor.in.TTL, anchor.in.NoRenew, anchor.lease
	} else {
		h.lease = cl.leaseFor(in)
	}
	if in.After != 0 { // K11
		before := cl.holds[in.After]
		if before == nil || before.state == holdReleasing && !before.reask {
			c.notify(Denied{Handle: in.Handle, Code: DeniedSet})
			return
		}
		before.follower = in.Handle
		if before.state != holdHeld {
			h.state = holdBehind
		}
	}
	cl.holds[in.Handle] = h
	if in.Lease != 0 {
		if cl.leased[in.Lease] == nil {
			cl.leased[in.Lease] = map[Handle]bool{}
		}
		cl.leased[in.Lease][in.Handle] = true
	}
	if h.state != holdBehind {
		c.startAsking(h)
	}
}

func (c *Core) badLock(in Lock) string {
	params := c.cfg.Params
	switch {
	case c.client.holds[in.Handle] != nil:
		return "the handle is in use"
	case len(in.Key) == 0:
		return "the key is empty"
	case len(in.Key) > MaxKeyBytes:
		return fmt.Sprintf("the key has %d bytes; at most %d", len(in.Key), MaxKeyBytes)
	case len(in.Note) > MaxNoteBytes:
		return fmt.Sprintf("the note has %d bytes; at most %d", len(in.Note), MaxNoteBytes)
	case in.Lease == 0 && (in.TTL <= 0 || in.TTL > params.MaxTTL):
		return fmt.Sprintf("the TTL is %v; more than 0 and at most MaxTTL, %v", in.TTL, params.MaxTTL)
	case in.Lease != 0 && c.client.holds[in.Lease] != nil && c.client.holds[in.Lease].in.Lease != 0:
		return "a lock of a lease is no anchor of another one"
	case in.After != 0 && c.client.holds[in.After] != nil && c.client.holds[in.After].follower != 0:
		return "another lock comes after that one already"
	case in.Delay < 0 || in.Delay > params.MaxTTL:
		return fmt.Sprintf("the delay is %v; 0 to MaxTTL, %v", in.Delay, params.MaxTTL)
	}
	return in.Mode.check()
}

// leaseFor: K4: one lease per client and TTL; a lock that is not renewed by
// itself has one of its own.
func (cl *client) leaseFor(in Lock) uint32 {
	if !in.NoRenew {
		for _, a := range cl.auto {
			if a.ttl == in.TTL {
				return a.number
			}
		}
	}
	for cl.leases++; cl.leaseUsed(cl.leases); cl.leases++ { // after 2³² they begin anew
	}
	if !in.NoRenew {
		cl.dropUnused()
		cl.auto = append(cl.auto, autoLease{cl.leases, in.TTL})
	}
	return cl.leases
}

// leaseUsed says that a number is one of a lease that is renewed, or keeps something.
func (cl *client) leaseUsed(number uint32) bool {
	i, _ := slices.BinarySearchFunc(cl.slots, number, func(s *slot, n uint32) int { return cmp.Compare(s.lease, n) })
	return i < len(cl.slots) && cl.slots[i].lease == number ||
		slices.ContainsFunc(cl.auto, func(a autoLease) bool { return a.number == number })
}

// dropUnused forgets leases that keep nothing, so that callers who compute their
// TTLs do not fill the memory.
func (cl *client) dropUnused() {
	if len(cl.auto) < 32 {
		return
	}
	used := map[uint32]bool{}
	for _, h := range cl.holds {
		used[h.lease] = true
	}
	cl.auto = slices.DeleteFunc(cl.auto, func(a autoLease) bool { return !used[a.number] })
}

// startAsking asks under a new Seq. Asking again after a request was closed is a
// new request (K1).
func (c *Core) startAsking(h *hold) {
	cl := &c.client
	delete(cl.bySeq, h.seq)
	cl.drop(h)
	cl.seq++
	h.seq, h.state, h.term, h.first, h.releases, h.contended = cl.seq, holdAsking, 0, 0, 0, false
	cl.bySeq[h.seq] = h
	cl.asking = append(cl.asking, h)
	h.next = c.now
	c.ask(h)
}

// drop takes a hold off the list of those that wait for an answer.
func (cl *client) drop(h *hold) {
	if i, found := cl.place(h.seq); found && cl.asking[i] == h {
		cl.asking = slices.Delete(cl.asking, i, i+1)
	}
}

// place finds a seq in asking.
func (cl *client) place(seq uint64) (int, bool) {
	return slices.BinarySearchFunc(cl.asking, seq, func(a *hold, seq uint64) int { return cmp.Compare(a.seq, seq) })
}

// forget ends a hold.
func (c *Core) forget(h *hold) {
	cl := &c.client
	cl.drop(h)
	delete(cl.bySeq, h.seq)
	delete(cl.holds, h.handle)
	if of := cl.leased[h.in.Lease]; of != nil {
		if delete(of, h.handle); len(of) == 0 {
			delete(cl.leased, h.in.Lease)
		}
	}
	c.endSet(h)
}

// low is the low-water mark: all lower Seqs are closed, or held and never asked
// for again (K1).
func (cl *client) low() uint64 {
	if len(cl.asking) == 0 {
		return cl.seq + 1
	}
	return cl.asking[0].seq // they are sorted
}

// ask sends, or sends again, what a hold waits for, to the owner of now.
func (c *Core) ask(h *hold) {
	if c.silent() || c.view == nil {
		h.next = c.now.add(c.cfg.Params.resendEvery())
		c.wakeAt(h.next)
		return
	}
	h.partition = c.partition(h.in.Key)
	g := c.view.Groups[h.partition]
	if h.term == 0 {
		h.heard = c.now
	}
	h.term, h.owner = g.Term, g.Owner()
	h.next = c.now.add(askEvery(h.in.TTL))
	c.wakeAt(h.next)
	id := RequestID{c.client.id, h.seq}
	if h.state == holdReleasing {
		h.releases = min(h.releases+1, 2)
		c.send(h.owner, Release{Request: id, Low: c.client.low(), Partition: h.partition, Term: h.term, Heir: h.heir, Lost: h.lost})
		return
	}
	if h.first == 0 {
		h.first = c.now
	}
	if h.evicts != 0 {
		c.send(h.owner, Revoke{id, c.client.low(), h.partition, h.term, h.in.Key, h.evicts, c.cfg.Name})
		return
	}
	c.send(h.owner, Acquire{Request: id, Low: c.client.low(), Partition: h.partition, Term: h.term, Key: h.in.Key, Try: h.in.Try,
		Lease: h.lease, TTL: h.in.TTL, Sent: Echo(c.now), Ticket: h.ticket, Name: c.cfg.Name, Note: h.in.Note, Mode: h.in.Mode, Delay: h.in.Delay})
}

// clientUnlock closes a handle: releases what is held, cancels what is asked.
func (c *Core) clientUnlock(in Unlock) {
	handle := in.Handle
	h := c.client.holds[handle]
	if h == nil || h.quiet { // lost or closed before
		c.notify(Released{Handle: handle})
		return
	}
	h.heir = in.Heir
	if h.evicts != 0 { // K13: the call is given up, not the eviction
		h.quiet, h.giveUp = true, c.now.add(c.cfg.Params.given(h.in.TTL)+c.cfg.Params.lostWait())
		c.notify(Released{Handle: handle})
		return
	}
	switch h.state {
	case holdBehind:
		c.forget(h)
		c.notify(Released{Handle: handle})
		return
	case holdReleasing:
		h.reask = false
		return
	case holdHeld:
		if c.now >= h.deadline {
			c.lose(h, LostExpired)
			c.notify(Released{Handle: handle})
			return
		}
		c.letGo(h)
		c.startReleasing(h)
		c.endLease(h, LostRevoked)
		c.endSet(h)
		return
	case holdAsking:
		if h.first == 0 { // nobody was asked yet
			c.forget(h)
			c.notify(Released{Handle: handle})
			return
		}
	}
	c.startReleasing(h)
	c.endSet(h)
}

// letGo ends a held lock here, before its owner is told.
func (c *Core) letGo(h *hold) {
	cl := &c.client
	h.wasHeld = true
	c.leaveSlot(h)
	c.dropChanges(h)
	i, _ := cl.place(h.seq)
	cl.asking = slices.Insert(cl.asking, i, h)
}

func (c *Core) startReleasing(h *hold) {
	h.state = holdReleasing
	h.heard = c.now // no answer was due while it was held
	h.giveUp = c.now.add(c.cfg.Params.given(h.in.TTL) + c.cfg.Params.lostWait())
	c.ask(h)
}

// released ends a hold whose Release was answered, or given up.
func (c *Core) released(h *hold, held, gaveUp bool) {
	if h.reask {
		h.reask = false
		c.startAsking(h)
		return
	}
	c.forget(h)
	if !h.quiet {
		c.notify(Released{h.handle, held, gaveUp})
	}
}

// onAnswer: K1: a client takes answers only from the newest term it asked, never
// adopts a grant for a request it closed, and gives an unawaited grant back at
// once.
func (c *Core) onAnswer(from NodeID, m Answer) {
	cl := &c.client
	if m.Request.Client != cl.id || c.silent() {
		return
	}
	h := cl.bySeq[m.Request.Seq]
	if h == nil {
		if m.Outcome == OutcomeGranted {
			c.send(from, Release{Request: m.Request, Low: cl.low(), Partition: m.Partition, Term: m.Term, Lost: true})
		}
		return
	}
	if m.Alters != 0 {
		c.onAltered(from, h, m)
		return
	}
	if m.Term != h.term || m.Partition != h.partition {
		return
	}
	h.heard = c.now
	switch {
	case m.Outcome == OutcomeMoved:
		// One of the two is behind; the next try is soon.
		h.next = earlier(h.next, c.now.add(c.cfg.Params.resendEvery()))
		c.wakeAt(h.next)
		if c.view != nil {
			c.send(from, AskView{c.view.Epoch})
		}
	case h.state == holdReleasing && m.Release:
		c.released(h, h.wasHeld && (m.Outcome == OutcomeReleased || h.releases > 1), false)
	case h.state == holdAsking && !m.Release:
		c.onOutcome(h, m)
	}
}

func (c *Core) onOutcome(h *hold, m Answer) {
	switch m.Outcome {
	case OutcomeWaiting:
		if h.ticket.isZero() {
			h.ticket = m.Ticket // K2: its first one
		}
		if h.evicts != 0 && m.Reason.Code == ReasonQueued {
			h.evicting, h.victim = true, m.Reason.Holder.Request
		}
		c.why(h, m.Reason)
	case OutcomeGranted:
		if h.evicts == 0 {
			c.adopt(h, m)
		}
	case OutcomeBusy:
		c.forget(h)
		c.notify(Busy{h.handle, m.Holder})
	case OutcomeCapacity:
		c.forget(h)
		c.notify(Denied{h.handle, DeniedCapacity, m.Holder})
	case OutcomeReleased, OutcomeNotHeld: // K13
		if h.evicts != 0 && h.evicting && m.Outcome == OutcomeNotHeld && m.Holder.Request == h.victim {
			h.evicts, h.evicting = m.Holder.Token, false // a new owner knew nothing, and it went up there (K8)
			c.startAsking(h)
			return
		}
		if h.evicts != 0 {
			c.forget(h)
			if !h.quiet {
				c.notify(Evicted{h.handle, m.Outcome == OutcomeReleased || h.evicting, m.Holder})
			}
		}
	case OutcomeGone: // granted and expired on the way, or given up as lost
		h.ticket = Ticket{}
		c.startAsking(h)
	case OutcomeInvalid:
		c.forget(h)
		if !h.quiet {
			c.notify(Invalid{h.handle, "the owner refused it: are all nodes of one version?"})
		}
	}
}

// why tells the runtime when the reason changes.
func (c *Core) why(h *hold, r Reason) {
	if h.reason == r {
		return
	}
	if h.quiet {
		return
	}
	if h.reason.Code != r.Code || h.reason.Holder != r.Holder || h.reason.Ahead != r.Ahead {
		c.notify(Pending{Handle: h.handle, Owner: h.owner, Reason: r})
	}
	h.reason = r
}

// adopt makes a granted request a held lock. K3: its deadline is the echoed time
// of its request or refresh + TTL·(1−d).
func (c *Core) adopt(h *hold, m Answer) {
	h.assertNeverAdoptReleased()
	if m.Echo.time() > c.now || m.Echo.time() < h.first || m.Token == 0 {
		return // no time that this request was sent at
	}
	deadline := m.Echo.time().add(c.cfg.Params.held(h.in.TTL))
	if c.now >= deadline {
		// It took longer than its TTL to come: given back, and asked for anew when
		// that is certain.
		c.why(h, Reason{Code: ReasonTooLate})
		h.reask = true
		c.startReleasing(h)
		return
	}
	c.client.drop(h)
	h.state, h.token, h.deadline, h.mode, h.base = holdHeld, m.Token, deadline, h.in.Mode, h.in.Mode
	c.joinSlot(h, m.Echo.time())
	c.notify(Granted{h.handle, m.Token, deadline})
	if h.contended { // the Notice overtook the grant
		c.notify(Contended{h.handle})
	}
	if next := c.client.holds[h.follower]; next != nil && next.state == holdBehind {
		c.startAsking(next) // K11
	}
}

// lose ends a held lock, and with it those that share its fate.
func (c *Core) lose(h *hold, cause LostCause) {
	if h.state != holdHeld {
		return // it went with another one of its lease
	}
	c.leaveSlot(h)
	c.dropChanges(h)
	c.notify(Lost{Handle: h.handle, Cause: cause}) // before what follows from it
	c.forget(h)
	c.endLease(h, LostLease)
}

// viewChanged asks the new owners at once.
func (cl *client) viewChanged(c *Core) {
	if cl.mesh != c.view.Mesh {
		cl.changeMesh(c)
		cl.mesh = c.view.Mesh
	}
	if c.silent() {
		return
	}
	for _, h := range slices.Clone(cl.asking) {
		if g := c.view.Groups[c.partition(h.in.Key)]; h.term != g.Term || h.owner != g.Owner() {
			c.ask(h)
		}
	}
	c.askNewOwners()
	for _, s := range cl.slots {
		if g := c.view.Groups[s.partition]; s.term != g.Term && s.renews() {
			s.urgent = true
			c.wake = c.now
		}
	}
}

// changeMesh: a client that adopts another mesh loses at once what it held in
// the former (founding).
func (cl *client) changeMesh(c *Core) {
	for _, s := range slices.Clone(cl.slots) {
		for _, h := range s.sorted() {
			c.lose(h, LostOtherMesh)
		}
	}
	for _, k := range cl.looks {
		k.term, k.seen = 0, 0
	}
	for _, h := range slices.Clone(cl.asking) {
		h.ticket, h.term, h.evicting = Ticket{}, 0, false
		if h.state == holdReleasing { // nobody is left who could hold it
			c.released(h, h.wasHeld, false)
		}
	}
}

// reborn asks again under the new NodeID.
func (cl *client) reborn(c *Core) {
	for _, h := range cl.asking {
		h.next = c.now
	}
	for _, s := range cl.slots {
		s.urgent = s.urgent || s.renews()
	}
	for _, h := range cl.alters {
		h.changes[0].next = c.now
	}
	for _, k := range cl.looks {
		k.next = c.now
	}
}

// tickClient lets deadlines pass, asks again and renews.
func (c *Core) tickClient() {
	cl := &c.client
	for i := 0; i < len(cl.slots); {
		s := cl.slots[i]
		c.tickDeadlines(s)
		// A lease that ends (K10) takes slots before this one along.
		at, found := slices.BinarySearchFunc(cl.slots, s, (*slot).compare)
		if i = at; found {
			i++
		}
	}
	for i, last := 0, cl.seq; i < len(cl.asking) && cl.asking[i].seq <= last; {
		h := cl.asking[i]
		// One that will be asked for again is not given up: while nobody has said that
		// it is closed, it may be what the next one finds the key busy with.
		if (h.state == holdReleasing && !h.reask || h.quiet) && c.now >= h.giveUp {
			c.released(h, false, true) // takes it off the list, or to its end under a new seq
			continue
		}
		if h.term != 0 && c.now.since(h.heard) >= directFresh {
			c.why(h, Reason{Code: ReasonNoAnswer})
		}
		// Those that are nearly due go along: with many waiters there would be a
		// tick for each.
		if c.now >= h.next-Time(askEvery(h.in.TTL)/8) {
			c.ask(h)
		}
		c.wakeAt(h.next)
		i++
	}
	if !c.silent() {
		c.sendHeartbeats()
		c.tickChanges()
		c.tickLooks()
	}
	c.drain()
}
