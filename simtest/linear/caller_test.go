package linear

import "time"

// caller is the client's side of a call.
type caller struct {
	id, client int
	crashed    *bool
	lock       *Op
	unlock     *Op
	req        *request
	term       int // the newest that was asked: answers of no other count
	state      int
	deadline   time.Duration
	rate       float64 // of its clock
	releases   int
	quiet      bool    // its user was told that it is over: nobody hears of the release
	mode       Mode    // what it believes to have
	number     int     // of the last change
	changes    []*wish // the first one is on its way
}

const (
	asking = iota
	holds
	releasing
	closed
)

// client makes one call after the other; one that crashed is followed by another.
func (g *game) client(n int, crashed *bool) {
	if g.calls == g.shape.calls {
		return
	}
	if *crashed {
		crashed = new(bool)
	}
	g.calls++
	kind := Lock
	if g.rand.IntN(2) == 0 {
		kind = Try
	}
	c := &caller{id: g.calls, client: n, crashed: crashed, rate: 1 + drift*(2*g.rand.Float64()-1)}
	o := Op{Call: c.id, Client: n, Kind: kind}
	if len(g.modes) > 0 {
		o.Mode = g.modes[g.rand.IntN(len(g.modes))]
		if g.chance(g.closes) {
			o.Delay = g.exp(g.shape.ttl)
		}
		g.others()
	}
	c.lock = g.op(o)
	c.lock.Late = g.now + time.Duration(float64(g.shape.ttl)*(1-drift)/(1+drift))
	g.request(c)
	if g.chance(g.crash) {
		g.after(g.exp(g.shape.ttl/2), func() { *crashed = true })
	}
	g.after(g.exp(g.shape.ttl/2), func() { g.close(c) })
	g.after(g.exp(g.pace), func() { g.client(n, crashed) })
}

// request asks for the lock under a new identity, again and again.
func (g *game) request(c *caller) {
	c.state = asking
	c.req = &request{call: c, mode: c.lock.Mode, delay: c.lock.Delay, try: c.lock.Kind == Try}
	g.repeat(c, c.req, asking, func(sent time.Duration) { g.acquire(c.req, sent) })
}

func (g *game) repeat(c *caller, r *request, while int, arrive func(sent time.Duration)) {
	if *c.crashed || c.state != while || c.req != r {
		return
	}
	sent := g.now
	c.term = g.term
	g.ask(func() {
		if c.req == r { // else a late copy of a closed request
			arrive(sent)
		}
	})
	if while == releasing {
		c.releases++
	}
	g.after(g.shape.ttl/8, func() { g.repeat(c, r, while, arrive) })
}

// reply brings an answer to a client, which takes it from the newest term that it
// asked. It does not know what became of a lock whose deadline it has not noticed.
func (g *game) reply(c *caller, do func()) {
	term := g.term
	g.message(func() {
		if !*c.crashed && c.term == term {
			g.notice(c)
			do()
		}
	})
}

func (g *game) answer(r *request) {
	token, outcome, c, sent := r.token, r.outcome, r.call, r.sent
	if outcome != Open {
		g.reply(c, func() { g.told(c, r, outcome, token, sent) })
	}
}

// told is what a Lock is answered.
func (g *game) told(c *caller, r *request, outcome Outcome, token uint64, sent time.Duration) {
	if c.state != asking || c.req != r {
		return
	}
	switch outcome {
	case Busy, Capacity:
		c.state = closed
		c.lock.Outcome, c.lock.Returned = outcome, g.now
	case Lost: // granted and expired on the way
		g.request(c)
	case Granted:
		c.deadline = sent + time.Duration(float64(g.shape.ttl)*(1-drift)/c.rate)
		if g.now >= c.deadline {
			g.askAgain(c)
			return
		}
		c.state, c.mode = holds, c.lock.Mode
		c.lock.Outcome, c.lock.Returned, c.lock.Token, c.lock.MayExpire = Granted, g.now, token, sent+g.shape.ttl
		g.seen = append(g.seen, token)
		g.watchDeadline(c)
		if g.rand.IntN(4) > 0 {
			g.after(g.shape.ttl/3, func() { g.heartbeat(c, r) })
		}
		if g.shape.changes > 0 {
			g.after(g.exp(g.shape.ttl/8), func() { g.alter(c, r) })
		}
	}
}

// askAgain gives a grant back that came too late, or that an operator wants back
// before it came, and asks under a new identity when that is certain.
func (g *game) askAgain(c *caller) {
	c.state = releasing
	r := c.req
	g.repeat(c, r, releasing, func(time.Duration) { g.release(c, r) })
}

// watchDeadline: its client may be late to notice, but then it is what it does first.
func (g *game) watchDeadline(c *caller) {
	late := time.Duration(0)
	if g.chance(g.shape.late) {
		late = g.exp(g.shape.ttl / 2)
	}
	g.after(c.deadline-g.now+late, func() {
		if !*c.crashed {
			g.notice(c)
		}
	})
}

func (g *game) notice(c *caller) {
	if c.state == holds && g.now >= c.deadline {
		g.loses(c, g.giveBack).Closes = true
	}
}

// loses is the client's own doing: its clock, or it was told to let go. It gives the
// lock back when the owner lists it.
func (g *game) loses(c *caller, giveBack func(*request)) *Op {
	c.state = closed
	o := g.at(Op{Call: c.id, Client: c.client, Kind: Renew, Outcome: Lost})
	o.Invoked = c.lock.Returned
	g.listed(c, giveBack)
	g.tooLate(c)
	return o
}

func (g *game) listed(c *caller, giveBack func(*request)) {
	r := c.req
	if g.rand.IntN(2) == 0 {
		g.after(g.exp(g.shape.ttl/4)*time.Duration(g.rand.IntN(2)), func() { g.ask(func() { giveBack(r) }) })
	}
}

// letGo is a Notice of an eviction.
func (g *game) letGo(r *request) {
	c := r.call
	g.reply(c, func() {
		switch {
		case c.req != r:
		case c.state == holds:
			g.loses(c, func(r *request) { g.end(r, false) })
		case c.state == asking: // its grant is on its way, or lost
			g.askAgain(c)
		}
	})
}

func (g *game) heartbeat(c *caller, r *request) {
	if *c.crashed || c.state != holds {
		return
	}
	sent := g.now
	c.term = g.term
	g.ask(func() {
		if !g.renew(r) { // the deadline comes first: no correct lock says Missing
			if h := g.find(r); h != nil && h.evicted {
				g.reply(c, func() {
					if c.state == holds {
						g.loses(c, func(*request) {}).Outcome = Missing // but that of an eviction
					}
				})
			}
			return
		}
		g.reply(c, func() {
			if c.state != holds {
				return
			}
			g.at(Op{Call: c.id, Client: c.client, Kind: Renew, Outcome: Renewed, MayExpire: sent + g.shape.ttl}).Invoked = sent
			c.deadline = max(c.deadline, sent+time.Duration(float64(g.shape.ttl)*(1-drift)/c.rate))
			g.watchDeadline(c)
		})
	})
	g.after(g.shape.ttl/3, func() { g.heartbeat(c, r) })
}

// close is Unlock: releases or cancels. Now and then it is the client's own doing
// instead (K10, K11), and its user hears no more of it.
func (g *game) close(c *caller) {
	if *c.crashed {
		return
	}
	g.notice(c)
	if c.state == closed || c.unlock != nil {
		return
	}
	c.unlock = g.op(Op{Call: c.id, Client: c.client, Kind: Unlock})
	c.quiet = c.state != holds && g.chance(g.shape.late/2)
	if c.state == releasing { // a grant that came too late is on its way back already
		return
	}
	held := c.state == holds
	c.state, c.releases = releasing, 0
	r := c.req
	g.repeat(c, r, releasing, func(time.Duration) { g.release(c, r) })
	g.after(2*g.shape.ttl+g.lostFor(), func() {
		if !*c.crashed && c.state == releasing {
			c.state = closed
			if !c.quiet {
				c.unlock.Outcome, c.unlock.Returned = GaveUp, g.now
			}
			g.listed(c, g.giveBack)
		}
	})
	if held {
		g.tooLate(c)
	}
}

// lostFor is how long a lost configuration may keep answers back.
func (g *game) lostFor() time.Duration {
	if g.lost == 0 {
		return 0
	}
	return 4 * g.shape.ttl
}

func (g *game) release(c *caller, r *request) {
	g.expire()
	g.end(r, true)
	released := r.released
	g.reply(c, func() {
		if c.state != releasing || c.req != r {
			return
		}
		if c.unlock == nil { // given back to be asked for again
			g.request(c)
			return
		}
		if c.state = closed; c.quiet {
			return
		}
		c.unlock.Returned, c.unlock.Outcome = g.now, NotHeld
		switch {
		case c.lock.Outcome != Granted:
			c.lock.Outcome, c.lock.Returned = Cancelled, g.now
		case released || c.releases > 1: // sent twice, the expiry may stand for it
			c.unlock.Outcome = Released
		}
	})
}
