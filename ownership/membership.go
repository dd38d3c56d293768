package ownership

import (
	"slices"
	"time"
)

// membership is a member's lease on its right to serve (L1, L2).
type membership struct {
	until  Time   // the lease is valid before this
	gained Time   // since when it is valid without a break
	echoes []Echo // by voter of the view: the newest renewal each has answered; 0 for none
	next   Time   // when to renew
	told   bool   // the last Serving event
	member Time   // since when this node is a member
	asked  int    // members asked for the view while there was no lease
}

// leaseValid says that this node may grant, accept and confirm now (L2). The
// lease of an epoch is used only after every partition's promised is raised to
// that view's terms (L1): learn does so in the step in which it adopts the view,
// and answers count only for the view that is adopted.
func (c *Core) leaseValid() bool { return c.now < c.lease.until && !c.silent() }

// tickMembership renews the lease. L1: every member sends Renew to all voters
// each MembershipTTL/4 and at once on learning a view.
func (c *Core) tickMembership() {
	if c.view == nil {
		return
	}
	if c.isMember() {
		if c.now >= c.lease.next {
			c.renew()
		}
		c.wakeAt(c.lease.next)
	}
	c.tellServing()
	if c.lease.told {
		c.wakeAt(c.lease.until)
	}
}

func (c *Core) renew() {
	every := c.view.Params.renewEvery()
	if !c.leaseValid() {
		every = c.view.Params.resendEvery() // voters of a view that is new may not know it yet
	}
	c.lease.next = c.now.add(every)
	c.tellVoters(Renew{Epoch: c.view.Epoch, Sent: Echo(c.now), Leaving: c.wants, Without: c.without()})
	if c.leaseValid() {
		return
	}
	// All voters that this node knows may be gone, and others have gone on: one
	// after the other is asked.
	c.lease.asked++
	if m := c.view.Members[c.lease.asked%len(c.view.Members)]; m.ID != c.id && !c.view.isVoter(m.ID) {
		c.send(m.ID, AskView{c.view.Epoch})
	}
}

// without is how long this node has been a member without a lease.
func (c *Core) without() time.Duration {
	if c.leaseValid() {
		return 0
	}
	return min(c.now.since(max(c.lease.until, c.lease.member)), 24*time.Hour)
}

// onRenew is the voter's side. V4: a voter that has accepted a value for e+1, or
// learned it, never again answers a Renew of an epoch ≤ e; it answers members of
// its own epoch only.
func (c *Core) onRenew(from NodeID, m Renew) {
	if !c.isMember() {
		return
	}
	if c.behindOrAhead(from, m.Epoch) {
		return
	}
	if !c.view.isVoter(c.id) || !c.view.has(from) {
		return
	}
	seen := c.seenOf(from)
	seen.renewed = c.now
	switch {
	case m.Without <= 0:
		seen.deaf = 0
	case seen.deaf == 0:
		seen.deaf = c.now
	}
	if m.Leaving && !seen.resigned {
		seen.resigned = true
		c.voter.look = true
		c.wake = c.now
	}
	if c.voter.value != nil {
		return
	}
	if seen.answered == 0 {
		c.voter.look = true // it may fill a voter's seat
	}
	seen.answered = c.now
	ack := RenewAck{Epoch: m.Epoch, Sent: m.Sent, Stop: m.Leaving && c.allResigned()}
	c.assertVoterSilent(ack)
	c.send(from, ack)
}

// onRenewAck: L1: the lease is valid until t + MembershipTTL·(1−d), where t is
// the latest time such that a majority of the voters of one view answered
// renewals sent at t or later.
func (c *Core) onRenewAck(from NodeID, m RenewAck) {
	if m.Stop && c.phase == PhaseLeaving && c.view.has(from) && (m.Epoch >= c.view.Epoch || c.leaving.dropped) {
		// V7: if all resign, they just stop. Who said so may be gone when the others
		// ask, so each passes it on; to those too who know another view, or are dropped
		// and tell it.
		for _, o := range c.view.Members {
			if o.ID != c.id {
				c.send(o.ID, RenewAck{Epoch: m.Epoch, Stop: true})
			}
		}
		c.gone(true)
		return
	}
	i := slices.Index(c.view.Voters, from)
	if i < 0 || !c.isMember() || m.Epoch != c.view.Epoch || m.Sent == 0 || m.Sent.time() > c.now {
		return
	}
	c.lease.echoes[i] = max(c.lease.echoes[i], m.Sent)
	t := kthHighest(c.lease.echoes, majority(len(c.lease.echoes)))
	if t == 0 {
		return
	}
	until := t.time().add(c.view.Params.held(c.view.Params.MembershipTTL))
	if until <= c.lease.until || until <= c.now {
		return
	}
	if !c.leaseValid() {
		c.lease.gained = c.now
		c.knows = true
		c.regained()
	}
	c.lease.until = until
	c.tellServing()
	c.wakeAt(until)
}

// regained lets owners go on at once with what waited for the lease.
func (c *Core) regained() {
	for _, o := range c.owners {
		if o != nil {
			o.timer = c.now
			if o.stalled != 0 {
				o.stalled, o.opened = c.now, c.now // it was this node that was cut off, not its replicas
			}
			if o.resend != never {
				o.resend = c.now
			}
		}
	}
	c.wake = c.now
}

func (c *Core) tellServing() {
	if valid := c.leaseValid(); valid != c.lease.told {
		c.lease.told = valid
		c.notify(Serving{valid})
	}
}

// heardVoters lists the voters that answered within MembershipTTL, for people.
func (c *Core) heardVoters() []NodeID {
	var ids []NodeID
	for i, e := range c.lease.echoes {
		if e.time().within(c.view.Params.MembershipTTL, c.now) {
			ids = append(ids, c.view.Voters[i])
		}
	}
	return ids
}
