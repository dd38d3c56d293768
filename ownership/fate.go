package ownership

import "slices"

// Locks of one client that depend on each other: leases (K10) and sets (K11); and
// what holders are told by owners (K13, K14).

// endLease: K10: when a lock of a lease is lost, or the anchor released, all others
// of the lease are released at once.
func (c *Core) endLease(h *hold, cause LostCause) {
	anchor := h.handle
	if h.in.Lease != 0 {
		if cause == LostRevoked { // a lock of a lease may be unlocked by itself
			return
		}
		anchor = h.in.Lease
	}
	members := c.client.leased[anchor]
	if len(members) == 0 && anchor == h.handle {
		return
	}
	for _, handle := range append([]Handle{anchor}, sortedKeys(members)...) {
		g := c.client.holds[handle]
		if g == nil || g == h {
			continue
		}
		switch g.state {
		case holdHeld:
			c.giveBack(g, Lost{Handle: g.handle, Cause: cause})
		default:
			if g.waits() {
				c.deny(g, DeniedLease)
			}
		}
	}
}

// endSet: K11: when a lock of a set ends before the next one is held, that one is
// denied.
func (c *Core) endSet(h *hold) {
	next := c.client.holds[h.follower]
	h.follower = 0
	if next != nil && next.waits() {
		c.deny(next, DeniedSet)
	}
}

// giveBack ends a held lock that the owner has still: its user is told at once, the
// owner until it has heard.
func (c *Core) giveBack(h *hold, e Lost) {
	c.letGo(h)
	h.quiet, h.lost = true, e.Cause == LostLease
	c.startReleasing(h)
	c.notify(e)
	c.endSet(h)
}

// waits says that a call has not ended, and holds nothing yet.
func (h *hold) waits() bool {
	return !h.quiet && (h.state == holdAsking || h.state == holdBehind || h.state == holdReleasing && h.reask)
}

// deny ends a call that waits.
func (c *Core) deny(h *hold, code DeniedCode) {
	c.notify(Denied{Handle: h.handle, Code: code})
	if h.reask { // its Release is on its way already
		h.reask, h.quiet = false, true
		c.endSet(h)
		return
	}
	if h.state == holdBehind || h.first == 0 {
		c.forget(h)
		return
	}
	h.quiet = true
	c.startReleasing(h)
	c.endSet(h)
}

// onNotice: K13, K14: an owner tells of locks that this client holds there.
func (c *Core) onNotice(from NodeID, m Notice) {
	cl := &c.client
	if m.Client != cl.id || c.view == nil || c.silent() {
		return
	}
	for _, item := range m.Items {
		if int(item.Partition) >= len(c.view.Groups) {
			continue
		}
		if g := c.view.Groups[item.Partition]; g.Term != item.Term || g.Owner() != from {
			continue // heartbeats say it again
		}
		h := cl.bySeq[item.Seq]
		switch {
		case !item.Evicted:
			if h != nil {
				c.noteContended(h, true)
			}
		case h == nil:
			c.send(from, Release{Request: RequestID{cl.id, item.Seq}, Low: cl.low(), Partition: item.Partition, Term: item.Term})
		case h.state == holdHeld:
			c.giveBack(h, Lost{Handle: h.handle, Cause: LostEvicted, By: item.By})
			c.endLease(h, LostLease)
		case h.state == holdAsking: // it was granted, and the answer never came
			h.reask, h.ticket = true, Ticket{} // it has had its turn
			c.startReleasing(h)
		}
	}
}

// noteContended tells the user of a held lock when somebody begins to wait.
func (c *Core) noteContended(h *hold, contended bool) {
	if h.state == holdHeld && contended && !h.contended {
		c.notify(Contended{h.handle})
	}
	h.contended = contended
}

// clientEvict: K13. It is a request like a lock's, with another message.
func (c *Core) clientEvict(in Evict) {
	cl := &c.client
	switch {
	case cl.holds[in.Handle] != nil:
		c.notify(Invalid{in.Handle, "the handle is in use"})
		return
	case in.Token == 0:
		c.notify(Invalid{in.Handle, "the token is 0, which no lock has"})
		return
	}
	lock := Lock{Handle: in.Handle, Key: in.Key, TTL: c.cfg.Params.MaxTTL}
	if why := c.badLock(lock); why != "" {
		c.notify(Invalid{in.Handle, why})
		return
	}
	h := &hold{handle: in.Handle, in: lock, evicts: in.Token, reason: Reason{Code: ReasonNoView}}
	cl.holds[in.Handle] = h
	c.startAsking(h)
}

// askNewOwners sends at once, on a new view, what goes to owners that it changed.
func (c *Core) askNewOwners() {
	for _, h := range c.client.alters {
		if g := c.view.Groups[c.partition(h.in.Key)]; g.Term != h.changes[0].term {
			h.changes[0].next = c.now
			c.wake = c.now
		}
	}
	for _, k := range c.client.looks {
		if g := c.view.Groups[k.at(c)]; g.Term != k.term {
			k.next = c.now
			c.wake = c.now
		}
	}
}

// removed takes v out of a list.
func removed[T comparable](list []T, v T) []T {
	return slices.DeleteFunc(list, func(x T) bool { return x == v })
}
