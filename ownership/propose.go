package ownership

import (
	"slices"
	"time"
)

// tickVoter looks whether the next view should be another one, and in which
// place in line this voter would propose it (V5).
func (c *Core) tickVoter() {
	if c.view == nil || !c.isMember() || !c.view.isVoter(c.id) {
		return
	}
	v, p := &c.voter, c.view.Params
	v.lastTick = c.now
	c.wakeAt(c.now.add(p.tickEvery()))
	c.meetStrangers()

	if pr := v.proposal; pr != nil {
		switch {
		case c.now >= pr.began.add(c.patience(p.proposeFor())):
			c.giveUp()
		case c.now >= pr.resend:
			pr.resend = c.now.add(p.resendEvery())
			c.sendProposal()
		}
		return
	}
	if !c.wantsView() {
		v.wanted = 0
		return
	}
	if v.wanted == 0 {
		v.wanted = c.now
	}
	at := max(v.wanted.add(c.backoff()), v.retry)
	if v.value != nil {
		// V4: a voter that has accepted and not learned soon proposes, which by
		// V2 finishes the instance; one step is left to who proposed it.
		at = max(v.acceptedAt.add(c.patience(p.backoffStep()+c.backoff())), v.retry)
	}
	if c.now < at {
		c.wakeAt(at)
		return
	}
	c.propose()
}

// noteGap: V3: never count silence over a gap between own ticks: after a suspend
// the first one awake must not drop all others. It comes first in every step.
func (c *Core) noteGap() {
	if c.view == nil || !c.isMember() || !c.view.isVoter(c.id) {
		return
	}
	if v := &c.voter; c.now.since(v.lastTick) > c.view.Params.tickGap() {
		v.silentFrom, v.lastTick = c.now, c.now
	}
}

// wantsView says that the rules give another view than the present one. The
// answer is computed anew when something was heard, and now and then.
func (c *Core) wantsView() bool {
	v := &c.voter
	if v.value != nil {
		return true
	}
	if v.wanted == 0 && !v.look && c.now < v.lookAt && !c.anySilent() && len(c.joiners()) == 0 {
		return false
	}
	v.look = false
	v.lookAt = c.now.add(c.view.Params.deadSilence())
	next := c.nextMembers()
	return next != nil && (!sameMembers(next, c.view) || !sameTerms(c.nextGroups(next), c.view.Groups))
}

// backoff is how long this voter leaves the word to those before it in line
// that seem alive (V5).
func (c *Core) backoff() time.Duration {
	n := 0
	for _, id := range c.view.Voters {
		if id == c.id {
			break
		}
		if !c.rosterDead(id) && !c.silentFor(id, c.view.Params.deadSilence()) {
			n++
		}
	}
	return time.Duration(n) * c.view.Params.backoffStep()
}

func (c *Core) rosterDead(id NodeID) bool {
	for _, p := range c.roster {
		if p.Member.ID == id {
			return p.Dead
		}
	}
	return false
}

// silentFor says that a member has not renewed here for d. V3: silence counts
// only since this voter last gained its own membership lease.
func (c *Core) silentFor(id NodeID, d time.Duration) bool {
	if id == c.id || !c.leaseValid() {
		return false
	}
	s := c.seenOf(id)
	return s != nil && c.now.since(max(s.renewed, c.lease.gained, c.voter.silentFrom)) >= d
}

func (c *Core) anySilent() bool {
	for i := range c.view.Members {
		if c.drops(c.view.Members[i].ID) {
			return true
		}
	}
	return false
}

// deaf says that a member renews but gets no lease: it hears too few voters. As
// with silence, only what this voter has seen itself counts, and only since it
// last gained its own lease or woke up: one that was paused, and says so with its
// first word, is not deaf.
func (c *Core) deaf(id NodeID) bool {
	s := c.seenOf(id)
	return id != c.id && s != nil && s.deaf != 0 && c.leaseValid() &&
		c.now.since(max(s.deaf, c.lease.gained, c.voter.silentFrom)) >= c.view.Params.silence()
}

// drops: V3: proposers drop a member that gossip calls dead and that has not
// renewed here for MembershipTTL/2, and one that has not renewed for
// 3 MembershipTTL whatever gossip says, or has been deaf for so long. (Who
// resigned is dropped by V7.)
func (c *Core) drops(id NodeID) bool {
	if c.deaf(id) {
		return true
	}
	p := c.view.Params
	return c.silentFor(id, p.deadSilence()) && (c.rosterDead(id) || c.silentFor(id, p.silence()))
}

// onJoin: V5: members are added only on their own direct Join of the last second.
func (c *Core) onJoin(from NodeID, m Join) {
	if c.view == nil || !c.isMember() || m.Member.ID != from {
		return
	}
	if m.Params != c.view.Params {
		c.refuse(from, RefusedParams)
		return
	}
	if c.view.has(from) {
		c.send(from, Decided{View: c.view})
		return
	}
	if c.behindOrAhead(from, m.Epoch) {
		return
	}
	v := &c.voter
	v.joins = slices.DeleteFunc(v.joins, func(j join) bool { return !j.last.within(directFresh, c.now) })
	m.Member.Leaving = false
	for i := range v.joins {
		if v.joins[i].member.ID == from {
			v.joins[i].member, v.joins[i].last = m.Member, c.now
			return
		}
	}
	if len(v.joins) < MaxMembers {
		v.joins = append(v.joins, join{m.Member, c.now, c.now})
	}
}

// flap counts how often a member at an address was dropped of late.
type flap struct {
	addr  string
	drops int
	last  Time
}

// noteFlaps remembers whom a view dropped that was not leaving.
func (c *Core) noteFlaps(old, v *View) {
	c.flaps = slices.DeleteFunc(c.flaps, func(f flap) bool { return c.now.since(f.last) > flapMemory })
	for _, m := range old.Members {
		if m.Leaving || v.has(m.ID) {
			continue
		}
		i := slices.IndexFunc(c.flaps, func(f flap) bool { return f.addr == m.Addr })
		if i < 0 {
			i = len(c.flaps)
			c.flaps = append(c.flaps, flap{addr: m.Addr})
		}
		c.flaps[i].drops++
		c.flaps[i].last = c.now
	}
}

// flapping says that a node is not added yet, since those at its address were
// dropped again and again: some voters hear it and some do not. Without this it
// would come and go with every second view, and by T4 each take-over keeps what a
// dead client held for another TTL. The second drop costs it a MembershipTTL, each
// further one twice as much, up to a minute.
func (c *Core) flapping(addr string) bool {
	for _, f := range c.flaps {
		if f.addr == addr && f.drops > 1 {
			return c.now.since(f.last) < min(c.view.Params.MembershipTTL<<min(f.drops-2, 10), flapMemory)
		}
	}
	return false
}

// flapped says that members at an address were dropped repeatedly of late: such a
// one gets a voter's seat only if nobody else is there for it.
func (c *Core) flapped(addr string) bool {
	return slices.ContainsFunc(c.flaps, func(f flap) bool { return f.addr == addr && f.drops > 1 && c.now.since(f.last) < flapMemory })
}

// joiners are the nodes to add now. V5: debounced, so that a fleet that starts
// at once joins in one or two views.
func (c *Core) joiners() []Member {
	var ms []Member
	quiet, waited := true, false
	for _, j := range c.voter.joins {
		if !j.last.within(directFresh, c.now) || c.flapping(j.member.Addr) {
			continue
		}
		ms = append(ms, j.member)
		quiet = quiet && c.now.since(j.first) >= c.view.Params.joinQuiet()
		waited = waited || c.now.since(j.first) >= c.view.Params.joinAtMost()
	}
	if !quiet && !waited {
		return nil
	}
	return ms[:min(len(ms), max(0, MaxMembers-len(c.view.Members)))]
}

// nextView is the view that this proposer's rules give, nil if it is the
// present one.
func (c *Core) nextView() *View {
	v := c.nextMembers()
	if v == nil {
		return nil
	}
	v.Groups = c.nextGroups(v)
	if sameMembers(v, c.view) && sameTerms(v.Groups, c.view.Groups) {
		return nil
	}
	return v
}

// nextMembers is the next view without its groups, nil if there can be none.
func (c *Core) nextMembers() *View {
	old := c.view
	v := &View{Mesh: old.Mesh, Epoch: old.Epoch + 1, Params: old.Params}
	joiners := c.joiners()
	v.Members = append(c.stayers(len(joiners)), joiners...)
	v.Voters = c.nextVoters(v)
	if len(v.Voters) == 0 {
		// The last voter leaves only when another one can be seated. Until somebody
		// who joins is a member and has renewed, those who could go stay.
		v.Members = append(c.undropped(), joiners...)
		if v.Voters = c.nextVoters(v); len(v.Voters) == 0 {
			return nil
		}
	}
	v.Apart = c.nextApart(v)
	return v
}

func sameMembers(a, b *View) bool {
	return slices.Equal(a.Members, b.Members) && slices.Equal(a.Voters, b.Voters) && slices.Equal(a.Apart, b.Apart)
}

func sameTerms(a, b []Group) bool {
	return slices.EqualFunc(a, b, func(a, b Group) bool { return a.Term == b.Term })
}

// stayers are the members that the next view keeps, with who is leaving marked;
// there is room for the joiners behind them.
func (c *Core) stayers(joiners int) []Member {
	ms := make([]Member, 0, len(c.view.Members)+joiners)
	stays := false // somebody is left to take over
	for i, m := range c.view.Members {
		if c.drops(m.ID) || m.Leaving && !c.needed(m.ID) {
			continue
		}
		m.Leaving = m.Leaving || c.voter.seen[i].resigned
		stays = stays || !m.Leaving
		ms = append(ms, m)
	}
	if stays || joiners > 0 {
		return ms
	}
	// V7: if all resign, they just stop (RenewAck.Stop): marking the last one
	// would leave the groups to nobody.
	return c.undropped()
}

// undropped are the members that are not dropped for their silence.
func (c *Core) undropped() []Member {
	return slices.DeleteFunc(slices.Clone(c.view.Members), func(m Member) bool { return c.drops(m.ID) })
}

// needed: V7: a leaver goes when no list has it and no unsettled group has it in
// Prior.
func (c *Core) needed(id NodeID) bool {
	for p, g := range c.view.Groups {
		if slices.Contains(g.Replicas, id) {
			return true
		}
		if c.isSettled(Partition(p)) {
			continue
		}
		for _, k := range g.Prior {
			if slices.Contains(k.Replicas, id) {
				return true
			}
		}
	}
	return false
}

// allResigned says that nobody would be left to take over (V7).
func (c *Core) allResigned() bool {
	for i, m := range c.view.Members {
		if !m.Leaving && !c.voter.seen[i].resigned {
			return false
		}
	}
	return true
}

// nextVoters: V5: voters that stay members stay voters; free seats go to the
// oldest members whose renewals the proposer answered within 2 MembershipTTL; if
// that makes an even number the last seated yields; never fewer seats without a
// drop.
func (c *Core) nextVoters(next *View) []NodeID {
	voters := make([]NodeID, 0, MaxVoters)
	for _, id := range c.view.Voters {
		if next.has(id) {
			voters = append(voters, id)
		}
	}
	// Those whose address was dropped repeatedly of late come last: they may go again.
	for _, flapped := range [...]bool{false, true} {
		for i, m := range c.view.Members {
			stays := next.Member(m.ID)
			if len(voters) < seats(len(next.Members)) && stays != nil && !stays.Leaving && !slices.Contains(voters, m.ID) && c.flapped(m.Addr) == flapped &&
				(m.ID == c.id || c.voter.seen[i].answered.within(c.view.Params.seatFresh(), c.now)) {
				voters = append(voters, m.ID)
			}
		}
	}
	if len(voters)%2 == 0 && len(voters) > 0 {
		voters = voters[:len(voters)-1]
	}
	return voters
}

// maxApart bounds the notes of a view.
const maxApart = 1024

// nextApart keeps the notes of stuck pairs that are younger than 10 minutes and
// adds the new ones (V5).
func (c *Core) nextApart(next *View) []Apart {
	var notes []Apart
	for i, a := range c.view.Apart {
		if next.has(a.Owner) && next.has(a.Silent) && c.now.since(c.voter.notes[i]) < noteLife {
			notes = append(notes, a)
		}
	}
	for _, a := range c.voter.stuck {
		if len(notes) < maxApart && next.has(a.Owner) && next.has(a.Silent) && !slices.Contains(notes, a) {
			notes = append(notes, a)
		}
	}
	return notes
}

// nextGroups: a group keeps its term unless its list changes or a new term was
// asked for (T4).
func (c *Core) nextGroups(next *View) []Group {
	a := c.assign(next)
	next.owners = a.owners
	groups := make([]Group, len(a.lists))
	for p, list := range a.lists {
		groups[p] = c.nextGroup(Partition(p), list, next)
	}
	return groups
}

func (c *Core) nextGroup(p Partition, list []NodeID, next *View) Group {
	g := c.view.Groups[p]
	settled := c.isSettled(p)
	newTerm := slices.Contains(c.voter.exhausted, SettledItem{p, g.Term})
	switch {
	case len(list) == 0:
		list = g.Replicas
	case !settled && !c.mayMove(p, g, next):
		list = g.Replicas
	case list[0] == g.Replicas[0] && len(list) == len(g.Replicas) && count(list, g.Replicas) == len(list):
		list = g.Replicas // the same nodes
	}
	prior := g.Prior
	if settled {
		prior = nil // T5
	}
	if slices.Equal(list, g.Replicas) && !newTerm || len(prior) >= MaxPrior-1 {
		return Group{g.Term, g.Replicas, prior}
	}
	// An older configuration of the same nodes asks for nothing that the newer one
	// does not: their seal quorums are the same.
	var kept []Configuration
	for _, k := range prior {
		if len(k.Replicas) != len(g.Replicas) || count(k.Replicas, g.Replicas) < len(g.Replicas) {
			kept = append(kept, k)
		}
	}
	return Group{Term(next.Epoch), list, append(kept, g.configuration())}
}

// mayMove: V5: a group that is not settled moves only if its owner or more than
// n−W of its replicas go, or it is stuck.
func (c *Core) mayMove(p Partition, g Group, next *View) bool {
	n, gone := len(g.Replicas), 0
	for _, id := range g.Replicas {
		if !next.has(id) {
			gone++
		}
	}
	stuck := slices.ContainsFunc(next.Apart, func(a Apart) bool { return a.Partition == p && a.Owner == g.Owner() })
	return !next.has(g.Owner()) || gone > n-writeQuorum(n) || stuck
}

func (c *Core) isSettled(p Partition) bool { return c.voter.settled[p] >= c.view.Groups[p].Term }

// onStuck: V5: the view then notes (owner, silent replica); T4: or the owner
// needs a new term.
func (c *Core) onStuck(from NodeID, m Stuck) {
	if !c.hasPartition(m.Partition) || !c.view.isVoter(c.id) {
		return
	}
	g := c.view.Groups[m.Partition]
	if g.Term != m.Term || g.Owner() != from {
		return
	}
	v := &c.voter
	if m.Exhausted {
		if item := (SettledItem{m.Partition, m.Term}); !slices.Contains(v.exhausted, item) {
			v.exhausted = append(v.exhausted, item)
		}
	}
	if !m.Exhausted {
		for _, id := range c.needs(m.Partition) {
			a := Apart{m.Partition, from, id}
			if id != from && c.view.has(id) && !slices.Contains(m.Heard, id) && !slices.Contains(v.stuck, a) {
				v.stuck = append(v.stuck, a)
			}
		}
	}
	v.look = true
	c.wake = c.now
}

// needs lists whom the owner of a group talks to: its replicas and, until it is
// settled, those of Prior.
func (c *Core) needs(p Partition) []NodeID {
	g := c.view.Groups[p]
	ids := slices.Clone(g.Replicas)
	for _, k := range g.Prior {
		for _, id := range k.Replicas {
			ids = addID(ids, id)
		}
	}
	return ids
}

// meetStrangers speaks now and then to nodes that gossip shows and the view has
// not: two meshes that meet must notice it, and refuse each other.
func (c *Core) meetStrangers() {
	if c.now < c.voter.meetAt {
		return
	}
	c.voter.meetAt = c.now.add(c.view.Params.stuckAfter())
	for _, p := range c.roster {
		if !p.Dead && !c.view.has(p.Member.ID) {
			c.send(p.Member.ID, AskView{c.view.Epoch})
		}
	}
}
