package ownership

import (
	"slices"
	"time"
)

// voter is what a voter of the present view knows and has promised. The view
// instance it takes part in is always that of view.Epoch+1 (V1).
type voter struct {
	// The acceptor (V2).
	promised   Ballot
	accepted   Ballot // of value
	value      *View  // accepted, not known decided; nil if none
	acceptedAt Time

	// The proposer.
	round    uint32    // the highest seen
	proposal *proposal // under way, nil if none
	wanted   Time      // since when a new view is wanted, 0 if not
	retry    Time      // not before
	tries    int       // ballots given up in this instance
	look     bool      // something changed: compute the next view again
	lookAt   Time      // or when this is reached

	// What it has seen, for the proposer's rules (V3, V5).
	seen       []seen // by member of the view
	joins      []join // in the order of their first Join
	settled    []Term // by partition: the highest term known settled (T5)
	stuck      []Apart
	exhausted  []SettledItem
	notes      []Time // by view.Apart: since when this node knows it
	lastTick   Time
	silentFrom Time // silence is not counted before this (V3)
	meetAt     Time // when to speak next to strangers in the roster
}

// seen is what a voter knows of a member at first hand.
type seen struct {
	renewed  Time // its last Renew
	answered Time // the last that was answered
	deaf     Time // since when it renews without a lease, as it says; 0 if it has one
	resigned bool // it said that it is leaving
}

// join is a node that asks to be added.
type join struct {
	member Member
	first  Time
	last   Time
}

// proposal is a ballot under way (V2).
type proposal struct {
	ballot   Ballot
	value    *View // nil in phase 1
	promised []NodeID
	accepted []NodeID
	best     Ballot // of adopt
	adopt    *View  // the accepted value of the highest ballot that was reported
	began    Time
	resend   Time
}

// behindOrAhead settles a message of another epoch. V1: to one about what is
// decided a node answers with the decided view; one ahead makes it ask.
func (c *Core) behindOrAhead(from NodeID, e Epoch) bool {
	switch {
	case e < c.view.Epoch:
		c.send(from, Decided{View: c.view})
	case e > c.view.Epoch:
		c.send(from, AskView{c.view.Epoch})
	default:
		return false
	}
	return true
}

// takesPart says that a message of instance e is for this voter now, and
// answers it if it is not (V1).
func (c *Core) takesPart(from NodeID, e Epoch) bool {
	if e == 0 || !c.view.isVoter(c.id) && e == c.view.Epoch+1 {
		return false
	}
	return !c.behindOrAhead(from, e-1) && c.view.isVoter(from)
}

// onPrepare: V2: promise to the highest ballot.
func (c *Core) onPrepare(from NodeID, m Prepare) {
	if !c.takesPart(from, m.Epoch) || m.Ballot.Round > c.voter.round+maxRoundStep {
		return
	}
	v := &c.voter
	v.round = max(v.round, m.Ballot.Round)
	if !m.Ballot.less(v.promised) {
		v.promised = m.Ballot
	}
	c.send(from, Promise{m.Epoch, m.Ballot, v.promised, v.accepted, v.value})
}

// maxRoundStep keeps garbage from using up the ballots of an instance.
const maxRoundStep = 1 << 20

// canFollow says that a value has the form of the next view. It is no judgement
// of what the view says (V3).
func (c *Core) canFollow(v *View) bool {
	return v.Mesh == c.view.Mesh && v.Epoch == c.view.Epoch+1 && v.Params == c.view.Params && v.Validate() == nil
}

// onPropose: V2, V3: an acceptor judges the ballot, never the value.
func (c *Core) onPropose(from NodeID, m Propose) {
	if !c.takesPart(from, m.Epoch) || m.Value == nil || !c.canFollow(m.Value) || m.Ballot.Round > c.voter.round+maxRoundStep {
		return
	}
	v := &c.voter
	v.round = max(v.round, m.Ballot.Round)
	if !m.Ballot.less(v.promised) {
		v.promised, v.accepted, v.value = m.Ballot, m.Ballot, m.Value
		v.acceptedAt = c.now
		c.wake = c.now
	}
	c.send(from, Accepted{m.Epoch, m.Ballot, v.promised})
}

// propose begins a ballot for the next view.
func (c *Core) propose() {
	v := &c.voter
	v.round++
	v.proposal = &proposal{ballot: Ballot{v.round, c.id}, began: c.now, resend: c.now.add(c.view.Params.resendEvery())}
	c.sendProposal()
}

// sendProposal asks the voters that have not answered.
func (c *Core) sendProposal() {
	p := c.voter.proposal
	for _, id := range c.view.Voters {
		switch {
		case p.value == nil && !slices.Contains(p.promised, id):
			c.send(id, Prepare{c.view.Epoch + 1, p.ballot})
		case p.value != nil && !slices.Contains(p.accepted, id):
			c.send(id, Propose{c.view.Epoch + 1, p.ballot, p.value})
		}
	}
}

// answered finds the proposal that a voter's answer is for; a refusal ends it.
func (c *Core) answered(from NodeID, e Epoch, b, promised Ballot) *proposal {
	p := c.voter.proposal
	if p == nil || e != c.view.Epoch+1 || b != p.ballot || !c.view.isVoter(from) {
		return nil
	}
	if b.less(promised) {
		c.voter.round = max(c.voter.round, promised.Round)
		c.giveUp()
		return nil
	}
	return p
}

// giveUp ends a ballot. Voters try again in line, so that two do not outbid
// each other for ever.
func (c *Core) giveUp() {
	c.voter.proposal = nil
	c.voter.look = true
	c.voter.tries = min(c.voter.tries+1, 5)
	c.voter.retry = c.now.add(c.patience(c.backoff() + c.view.Params.resendEvery()))
	c.wakeAt(c.voter.retry)
}

// patience grows with every ballot given up, so that a network slower than the
// pace of proposals still gets one through.
func (c *Core) patience(d time.Duration) time.Duration { return d << c.voter.tries }

// onPromise: V2: a proposer adopts the accepted value of the highest ballot that
// a majority reports; only if there is none it is free to propose its own.
func (c *Core) onPromise(from NodeID, m Promise) {
	p := c.answered(from, m.Epoch, m.Ballot, m.Promised)
	if p == nil || p.value != nil {
		return
	}
	if m.Value != nil && !c.canFollow(m.Value) {
		return
	}
	p.promised = addID(p.promised, from)
	if m.Value != nil && (p.adopt == nil || p.best.less(m.Accepted)) {
		p.best, p.adopt = m.Accepted, m.Value
	}
	if len(p.promised) < majority(len(c.view.Voters)) {
		return
	}
	p.value = p.adopt
	if p.value == nil {
		p.value = c.nextView()
	}
	if p.value == nil { // nothing is wanted any more
		c.voter.proposal = nil
		return
	}
	p.resend = c.now.add(c.view.Params.resendEvery())
	c.sendProposal()
}

// onAccepted: V2: what a majority accepts at one ballot is decided.
func (c *Core) onAccepted(from NodeID, m Accepted) {
	p := c.answered(from, m.Epoch, m.Ballot, m.Promised)
	if p == nil || p.value == nil {
		return
	}
	p.accepted = addID(p.accepted, from)
	if len(p.accepted) < majority(len(c.view.Voters)) {
		return
	}
	old, v := c.view, p.value
	c.tellProposed(old, v)
	c.tellAll(v, old)
	c.learn(v)
}

// tellAll sends a decided view to its members and to those of the one before.
func (c *Core) tellAll(v, old *View) {
	for _, m := range v.Members {
		if m.ID != c.id {
			c.send(m.ID, Decided{View: v})
		}
	}
	if old == nil {
		return
	}
	for _, m := range old.Members {
		if m.ID != c.id && !v.has(m.ID) {
			c.send(m.ID, Decided{View: v})
		}
	}
}

func (c *Core) tellProposed(old, v *View) {
	e := Proposing{Epoch: v.Epoch}
	for _, m := range old.Members {
		if !v.has(m.ID) {
			e.Dropped = append(e.Dropped, m)
		}
	}
	for _, m := range v.Members {
		if !old.has(m.ID) {
			e.Added = append(e.Added, m)
		}
	}
	c.notify(e)
}

// onAskView: whoever knows a view tells it, members or not: it is decided, and
// those that it dropped may be the only ones who know it.
func (c *Core) onAskView(from NodeID, m AskView) {
	switch {
	case m.Epoch > c.view.Epoch:
		c.send(from, AskView{c.view.Epoch})
	case m.Epoch < c.view.Epoch:
		c.send(from, Decided{View: c.view})
	}
}

// maxEpochStep is how far the view of a node can have gone on while another was
// away: views are made less than once a second on average.
const maxEpochStep = 1 << 24

// onDecided: V1: the answer to whoever is behind, and what a proposer tells all.
func (c *Core) onDecided(from NodeID, m Decided) {
	v := m.View
	if v == nil || v.Validate() != nil || c.mesh() != 0 && v.Mesh != c.mesh() {
		return
	}
	if c.view == nil && v.Params != c.cfg.Params {
		c.founding.refused = "other Params"
		return // its members refuse this node in words (onJoin, onContact)
	}
	if c.view != nil && (v.Params != c.view.Params || v.Epoch > c.view.Epoch+maxEpochStep || v.Epoch == c.view.Epoch && !sameView(c.view, v)) {
		// Honest peers never send such a view (V2). It may be garbage, so it stops
		// nobody; what this node itself decides is asserted (I1).
		c.notify(Disagrees{from, v.Epoch})
		return
	}
	c.learn(v)
	if m.WantAck && !c.silent() {
		c.send(from, DecidedAck{c.view.Epoch})
	}
	c.onDecidedAck(from, DecidedAck{v.Epoch}) // V7: who tells of a view knows it
}

// learn adopts a decided view. A node acts on a view only from here on (V2).
func (c *Core) learn(v *View) {
	old := c.view
	if old != nil {
		if old.Mesh != v.Mesh || v.Epoch < old.Epoch {
			return
		}
		assertViewUnique(old, v)
		if v.Epoch == old.Epoch {
			return
		}
	}
	for _, g := range v.Groups {
		assertPriorBounded(g)
	}
	was, is := c.phase, v.has(c.id)
	c.view = v
	c.raisePromises()
	c.resetVoter(old)
	if old != nil {
		c.noteFlaps(old, v)
	}
	c.noteAbsent(old)
	c.lease.echoes = make([]Echo, len(v.Voters))
	switch {
	case is:
		if c.phase != PhaseLeaving {
			if c.phase != PhaseMember {
				c.lease.member = c.now
			}
			c.phase = PhaseMember
		}
	case was == PhaseLeaving:
		c.linger()
	case was == PhaseMember || was == PhaseBound:
		// V6: a node that learns that a view dropped it forgets its replica state
		// and never speaks under that NodeID again.
		c.knows = true
		c.fallSilent()
		c.client.viewChanged(c) // it notes the mesh, of which this may be the first view it knows
		c.notify(ViewLearned{v, false})
		c.notify(Dropped{v.Epoch})
		return
	default:
		c.knows = c.knows || !v.isFirst() // of a first view nobody may ever have had a lease
		c.hear(v.Voters[0])               // gives the mesh time to answer
		c.phase = PhaseJoining
		c.founding.next = c.now
	}
	c.notify(ViewLearned{v, is})
	c.changeOwners()
	if is {
		c.renew()
	}
	c.client.viewChanged(c)
	c.forgetHeard()
	c.wake = c.now
}

// raisePromises: learning a view raises every replica's promised to the term
// (section "Taking over"), and so lets the lease of that view be used (L1).
func (c *Core) raisePromises() {
	if c.parts == nil {
		c.parts = make([]replica, c.view.Params.Partitions)
		c.owners = make([]*owner, c.view.Params.Partitions)
		c.sinceView = c.now
	}
	for p := range c.parts {
		g := c.view.Groups[p]
		c.raisePromised(Partition(p), g.Term)
		if !g.names(c.id) {
			c.parts[p].forget() // T5: no owner of this view or a later one will ask for it
		}
	}
}

// resetVoter starts the next instance. What was seen of members goes on.
func (c *Core) resetVoter(old *View) {
	was := c.voter
	v := voter{settled: was.settled, lastTick: was.lastTick, silentFrom: was.silentFrom, meetAt: was.meetAt, look: true}
	if len(was.seen) == 0 {
		old = nil // what was seen under another NodeID is forgotten (V6)
	}
	if old == nil || !old.isVoter(c.id) {
		v.silentFrom, v.lastTick = c.now, c.now
	}
	if v.settled == nil {
		v.settled = make([]Term, len(c.view.Groups))
	}
	for _, m := range c.view.Members {
		s := seen{renewed: c.now} // a member that is new has had no chance to renew
		if old != nil {
			for i := range old.Members {
				if old.Members[i].ID == m.ID {
					s = was.seen[i]
				}
			}
		}
		v.seen = append(v.seen, s)
	}
	for _, a := range c.view.Apart {
		since := c.now
		if old != nil {
			if i := slices.Index(old.Apart, a); i >= 0 {
				since = was.notes[i]
			}
		}
		v.notes = append(v.notes, since)
	}
	c.voter = v
}

// seenOf returns what is known of a member, nil if it is none.
func (c *Core) seenOf(id NodeID) *seen {
	for i := range c.view.Members {
		if c.view.Members[i].ID == id {
			return &c.voter.seen[i]
		}
	}
	return nil
}

// forgetHeard bounds the memory of who spoke.
func (c *Core) forgetHeard() {
	c.heard = slices.DeleteFunc(c.heard, func(h hearing) bool { return !c.view.has(h.id) })
}

// fallSilent forgets all that a member knows. The client stays (V6).
func (c *Core) fallSilent() {
	c.phase = PhaseSilent
	c.parts, c.owners, c.absent = nil, nil, nil
	c.voter, c.lease = voter{}, membership{told: c.lease.told}
	c.dirty, c.confirms, c.notices, c.beatAcks, c.local = nil, nil, nil, nil, nil
	c.wants = false
	c.tellServing()
}

func sameView(a, b *View) bool {
	return a.Mesh == b.Mesh && a.Epoch == b.Epoch && a.Params == b.Params && slices.Equal(a.Members, b.Members) &&
		slices.Equal(a.Voters, b.Voters) && slices.Equal(a.Apart, b.Apart) && slices.EqualFunc(a.Groups, b.Groups, sameGroup)
}

func sameGroup(a, b Group) bool {
	return a.Term == b.Term && slices.Equal(a.Replicas, b.Replicas) && slices.EqualFunc(a.Prior, b.Prior, func(x, y Configuration) bool {
		return x.Term == y.Term && slices.Equal(x.Replicas, y.Replicas)
	})
}
