package linear

import (
	"slices"
	"time"
)

// others are those that look and evict, and what happens to the owner.
func (g *game) others() {
	for range int(g.looks + g.rand.Float64()) {
		g.after(g.exp(g.pace/2), g.aLook)
	}
	if g.chance(g.looks / 20) {
		g.after(g.exp(g.pace/2), g.aWatch)
	}
	if g.chance(g.evicts) {
		g.after(g.exp(g.pace/2), g.anEviction)
	}
	switch {
	case g.down:
	case g.chance(g.shape.lost):
		g.after(0, g.lose)
	case g.chance(g.moves):
		g.after(0, g.move)
	}
}

func (g *game) aLook() {
	kind := Read
	if g.rand.IntN(2) == 0 {
		kind = Inspect
	}
	o := g.op(Op{Call: 10000 + len(g.ops), Kind: kind})
	g.ask(func() {
		holders, value := g.look(), g.value
		if kind == Read {
			holders = nil
		}
		g.message(func() { g.looked(o, holders, value) })
	})
}

func (g *game) looked(o *Op, holders []Holder, value Value) {
	o.Outcome, o.Returned, o.Holders, o.Value = Done, g.now, holders, value
	for _, h := range holders {
		g.seen = append(g.seen, h.Token)
	}
}

// watcher is told of changes, and takes none that is older than what it knows.
type watcher struct {
	from, until time.Duration
	call        int
	newest      int // the number of what it was told
}

func (g *game) aWatch() {
	g.watches++
	w := &watcher{from: g.now, until: g.now + g.exp(4*g.shape.ttl), call: -g.watches}
	g.watchers = append(g.watchers, w)
	g.tellWatcher(w)
}

// show tells watchers of a change.
func (g *game) show() {
	g.watchers = slices.DeleteFunc(g.watchers, func(w *watcher) bool { return w.until < g.now })
	for _, w := range g.watchers {
		if !g.down {
			g.tellWatcher(w)
		}
	}
}

func (g *game) tellWatcher(w *watcher) {
	number, holders, value := len(g.truth), g.look(), g.value
	g.message(func() {
		if number > w.newest {
			w.newest = number
			o := g.op(Op{Call: w.call, Kind: Inspect})
			o.Invoked = w.from
			g.looked(o, holders, value)
		}
	})
}

// anEviction wants a lock back, and asks until it has it.
func (g *game) anEviction() {
	if len(g.seen) == 0 {
		return
	}
	token := g.seen[max(0, len(g.seen)-1-g.rand.IntN(4))]
	o := g.op(Op{Call: 10000 + len(g.ops), Kind: Evict, Token: token})
	term := 0
	var wanted *holding
	var again func()
	again = func() {
		if o.Outcome != Open || g.now > o.Invoked+3*g.shape.ttl {
			if o.Outcome == Open {
				o.Outcome, o.Returned = GaveUp, g.now
			}
			return
		}
		if term != g.term { // a new owner knows nothing of it
			term, wanted = g.term, nil
		}
		asked := term
		g.ask(func() {
			var out Outcome
			if wanted, out = g.evict(token, wanted); out != Open {
				g.message(func() {
					if o.Outcome == Open && term == asked {
						o.Outcome, o.Returned = out, g.now
					}
				})
			}
		})
		g.after(g.shape.ttl/8, again)
	}
	again()
}
