package ownership

// leaving is a node on its way out (V7).
type leaving struct {
	dropped bool     // the view that drops it is learned: it tells the next voters
	knows   []NodeID // who of them has acknowledged it
	next    Time
	since   Time // when it began, or was dropped
}

// leave: V7: leaving takes two views: one that gives the node no groups; then,
// when no list has it and no unsettled group has it in Prior, one that drops it.
// All this node does is to say so with every renewal.
func (c *Core) leave() {
	c.wants = true
	switch c.phase {
	case PhaseMember:
		c.phase = PhaseLeaving
		c.leaving.since = c.now
		c.renew()
	case PhaseLeaving, PhaseGone:
	default: // nobody counts on it, or as on one that crashed
		c.gone(true)
	}
	c.wake = c.now
}

// linger: V7: it votes and answers Seal until a majority of the next view's
// voters know that view.
func (c *Core) linger() {
	c.leaving.dropped = true
	c.leaving.next, c.leaving.since = c.now, c.now
	c.lease = membership{told: c.lease.told}
}

func (c *Core) tickLeaving() {
	if c.phase != PhaseLeaving {
		return
	}
	// "… or its leave times out": who is not heard, or is alone, just goes.
	if end := max(c.leaving.since, c.lease.until).add(c.view.Params.leaveFor()); c.now >= end {
		c.gone(false)
		return
	} else {
		c.wakeAt(end)
	}
	if !c.leaving.dropped {
		return
	}
	if c.now >= c.leaving.next {
		c.leaving.next = c.now.add(c.view.Params.resendEvery())
		for _, v := range c.view.Voters {
			c.send(v, Decided{c.view, true})
		}
	}
	c.wakeAt(c.leaving.next)
}

func (c *Core) onDecidedAck(from NodeID, m DecidedAck) {
	if c.phase != PhaseLeaving || !c.leaving.dropped || m.Epoch < c.view.Epoch || !c.view.isVoter(from) {
		return
	}
	c.leaving.knows = addID(c.leaving.knows, from)
	if len(c.leaving.knows) >= majority(len(c.view.Voters)) {
		c.gone(true)
	}
}

func (c *Core) gone(confirmed bool) {
	c.fallSilent()
	c.phase = PhaseGone
	c.notify(Left{confirmed})
}
