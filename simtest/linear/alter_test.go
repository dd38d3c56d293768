package linear

import (
	"fmt"
	"slices"
)

// wish is a change that a client wants of a lock that it holds. They stand in line: one
// is sent at a time.
type wish struct {
	op     *Op
	mode   Mode
	number int  // 0: not sent yet
	undo   bool // it takes back one that was given up: nobody waits for it
}

// alter changes something of a held lock, and perhaps again.
func (g *game) alter(c *caller, r *request) {
	if *c.crashed || c.state != holds || c.req != r || !g.chance(g.shape.changes) {
		return
	}
	if g.notice(c); c.state != holds {
		return
	}
	o := g.op(g.someChange(c))
	o.Call, o.Client = c.id, c.client
	if o.Kind == Downgrade && o.Mode.weight() < c.mode.weight() {
		c.mode = o.Mode // K8: from now on it counts as being there
	}
	c.changes = append(c.changes, &wish{op: o, mode: o.Mode})
	if len(c.changes) == 1 {
		g.send(c, r, c.changes[0])
	}
	if patience := g.exp(g.shape.ttl / 4); g.rand.IntN(2) == 0 {
		g.after(patience, func() { g.giveUp(c, r, o) })
	}
	g.after(g.exp(g.shape.ttl/16), func() { g.alter(c, r) })
}

func (g *game) someChange(c *caller) Op {
	o := Op{Kind: Set}
	all := c.mode.weight() == c.mode.of()
	switch n := g.rand.IntN(10); {
	case n < 2 && c.mode.of() == Whole && !all, n == 0 && !all:
		o.Kind, o.Mode = Upgrade, Mode{c.mode.of(), c.mode.of()}
		if o.Mode.Of == Whole {
			o.Mode = Exclusive
		}
	case n < 2 && c.mode.weight() > 1:
		o.Kind, o.Mode = Downgrade, Mode{1, c.mode.of()}
		if all && o.Mode.Of == Whole && g.rand.IntN(2) == 0 {
			o.Mode = ForUpdate
		}
	case n == 2:
		o.Kind = Delete
	default:
		g.sets++
		o.Value.Data = fmt.Sprint("v", g.sets-g.rand.IntN(50)/49) // now and then the last one again
	}
	return o
}

// tooLate is a change of a lock that its own client knows to be over.
func (g *game) tooLate(c *caller) {
	if g.chance(g.shape.changes / 4) {
		g.at(Op{Call: c.id, Client: c.client, Kind: Set, Outcome: NotHeld, Value: Value{Data: "too late"}})
	}
}

// send asks for the first change again and again.
func (g *game) send(c *caller, r *request, x *wish) {
	if *c.crashed || c.state != holds || c.req != r || len(c.changes) == 0 || c.changes[0] != x {
		return
	}
	if x.number == 0 {
		c.number++
		x.number = c.number
	}
	c.term = g.term
	g.ask(func() {
		out, idle := g.change(r, x)
		if out == Open {
			return
		}
		var token uint64
		if h := g.find(r); h != nil {
			token = h.token
		}
		g.reply(c, func() { g.changed(c, r, x, out, token, idle) })
	})
	g.after(g.shape.ttl/8, func() { g.send(c, r, x) })
}

// upgraded is the answer to an Upgrade that waited.
func (g *game) upgraded(h *holding, number int) {
	c, r, token := h.r.call, h.r, h.token
	g.reply(c, func() {
		if len(c.changes) > 0 && c.changes[0].number == number {
			g.changed(c, r, c.changes[0], Done, token, false)
		}
	})
}

// changed is the answer to a change. It may still come when the lock is being
// released, but that it was not held says nothing then: an earlier copy may have
// been carried out before the release.
func (g *game) changed(c *caller, r *request, x *wish, out Outcome, token uint64, idle bool) {
	if c.state == closed || c.state == asking || c.req != r || len(c.changes) == 0 || c.changes[0] != x || out == NotHeld && c.state == releasing {
		return
	}
	c.changes = c.changes[1:]
	if o := x.op; !x.undo {
		o.Outcome, o.Returned = out, g.now
		if idle {
			o.Kind = 0 // it had all already, under that token: no operation
		}
		if out == Done && o.Kind <= Downgrade {
			c.mode = x.mode
			for _, later := range c.changes {
				if later.op.Kind == Downgrade && later.mode.weight() < c.mode.weight() {
					c.mode = later.mode
				}
			}
		}
		if out == Done && o.Kind == Upgrade {
			o.Token = token
			g.seen = append(g.seen, token)
		}
	}
	if len(c.changes) > 0 {
		g.send(c, r, c.changes[0])
	}
}

// giveUp is Unchange: one that stands in line leaves it; one that changes the mode is
// taken back by a further number; a write is not sent any more.
func (g *game) giveUp(c *caller, r *request, o *Op) {
	i := slices.IndexFunc(c.changes, func(x *wish) bool { return x.op == o && !x.undo })
	if *c.crashed || c.state != holds || c.req != r || i < 0 {
		return
	}
	if g.notice(c); c.state != holds {
		return
	}
	o.Outcome, o.Returned = GaveUp, g.now
	if i == 0 && o.Kind <= Downgrade {
		c.changes[0] = &wish{op: o, mode: c.mode, undo: true}
	} else {
		c.changes = slices.Delete(c.changes, i, i+1)
	}
	if i == 0 && len(c.changes) > 0 {
		g.send(c, r, c.changes[0])
	}
}

// change is an Upgrade to Delete at the owner. It says what came of it, or Open, and
// whether it was there already.
func (t *table) change(r *request, x *wish) (out Outcome, idle bool) {
	t.expire()
	h := t.find(r)
	switch {
	case h == nil || h.lost:
		return NotHeld, false
	case x.number == h.number:
		return h.outcome, h.idle
	case x.number < h.number:
		return Open, false // a late copy
	case h.evicted && t.rand.IntN(2) == 0:
		h.number, h.outcome, h.idle = x.number, NotHeld, false
		return NotHeld, false
	}
	h.number, h.outcome, h.idle = x.number, Done, false
	h.upgrades = 0
	o := x.op
	switch {
	case o.Kind <= Downgrade && x.mode.weight() == h.mode.weight():
		h.idle = o.Kind == Upgrade
	case o.Kind <= Downgrade && x.mode.weight() < h.mode.weight():
		h.mode = x.mode
	case x.undo, o.Kind == Downgrade:
		h.outcome = Refused
	case o.Kind == Upgrade:
		h.outcome = t.upgrade(h, x.mode)
	case h.mode.weight() < h.mode.of():
		h.outcome = NotHeld
	case o.Kind == Set:
		t.value = Value{Data: o.Value.Data, Token: h.token}
		t.past = append(t.past, t.value)
	default:
		t.value = Value{}
	}
	if h.outcome == Done && !h.idle {
		h.written = x.number
	}
	t.serve()
	return h.outcome, h.idle
}

func (t *table) upgrade(h *holding, to Mode) Outcome {
	for _, g := range t.holders {
		if g != h && !g.lost && (g.mode.weight() > g.mode.of()/2 || g.upgrades > 0) {
			return Conflict
		}
	}
	h.upgrades, h.upgradeTo = h.number, to
	return Open
}

// up carries out an Upgrade that waited.
func (t *table) up(h *holding) {
	h.mode, h.token = h.upgradeTo, t.nextToken()
	h.upgrades, h.written, h.outcome = 0, h.number, Done
	t.tied(h, h.number)
}
