package linear

import (
	"math/rand/v2"
	"slices"
	"time"
)

// This file is a correct lock table that never fails: what the owner of a key does.
// It shares nothing with the model: things happen at moments here.

// table is the key at its owner.
type table struct {
	*clock
	ttl     time.Duration
	token   uint64
	holders []*holding
	line    []*request
	value   Value
	past    []Value // all that it ever was
	down    bool    // a configuration is lost: nobody answers
	losses  []time.Duration
	grants  int
	// tell brings an answer to a client that waits for one: its Lock, or its Upgrade.
	tell func(*request)
	tied func(h *holding, number int)
	let  func(*request) // Notice: let go
}

// request is one identity of a call at the owner.
type request struct {
	call     *caller
	mode     Mode
	delay    time.Duration
	try      bool
	closed   bool
	sent     time.Duration // the newest copy that came, and when it came
	heard    time.Duration
	outcome  Outcome
	released bool
	token    uint64
}

// holding is one grant.
type holding struct {
	r         *request
	mode      Mode
	token     uint64
	expires   time.Duration
	lost      bool // K9
	opens     time.Duration
	evicted   bool
	number    int // of the last change that was carried out
	outcomes  map[int]Outcome
	upgrades  int  // the number of an Upgrade that waits; 0: none
	upgradeTo Mode // what it is to be then
}

// stretch is how long the owner waits in true time for something that it waits for
// on its own clock, with the margin for drift.
func (t *table) stretch(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (1 + 2*drift*t.rand.Float64()))
}

func (t *table) find(r *request) *holding {
	for _, h := range t.holders {
		if h.r == r {
			return h
		}
	}
	return nil
}

func (t *table) fits(m Mode) bool {
	sum := uint64(m.weight())
	for _, h := range t.holders {
		if h.mode.of() != m.of() {
			return false
		}
		sum += uint64(h.mode.weight())
	}
	return sum <= uint64(m.of())
}

func (t *table) upgrader() *holding {
	for _, h := range t.holders {
		if h.upgrades > 0 {
			return h
		}
	}
	return nil
}

// acquire is a request, or a copy of it.
func (t *table) acquire(r *request, sent time.Duration) {
	if t.down {
		return
	}
	t.expire()
	h := t.find(r)
	if h == nil || !h.evicted { // else its answer would promise a lease that is not kept
		r.sent, r.heard = max(r.sent, sent), t.now
	}
	switch {
	case h != nil:
		t.keep(h)
	case r.closed || slices.Contains(t.line, r):
	case len(t.holders) > 0 && t.holders[0].mode.of() != r.mode.of():
		r.closed, r.outcome = true, Capacity
	case t.fits(r.mode) && len(t.line) == 0 && t.upgrader() == nil:
		t.grant(r)
	case r.try:
		r.closed, r.outcome = true, Busy
	default:
		t.line = append(t.line, r)
	}
	t.tell(r)
}

func (t *table) nextToken() uint64 {
	t.token += 1 + t.rand.Uint64N(3)
	return t.token
}

func (t *table) grant(r *request) {
	r.token = t.nextToken()
	r.outcome = Granted
	h := &holding{r: r, mode: r.mode, token: r.token, outcomes: map[int]Outcome{}}
	t.holders = append(t.holders, h)
	t.grants++
	t.keep(h)
	t.tell(r)
}

// keep sets the end of the lease by what was heard of it last.
func (t *table) keep(h *holding) {
	if h.lost || h.evicted {
		return
	}
	h.expires = max(h.expires, h.r.heard+t.stretch(t.ttl))
	t.after(max(0, h.expires-t.now), t.expire)
}

// renew is a heartbeat. It says whether the lease lasts.
func (t *table) renew(r *request) bool {
	if t.down {
		return false
	}
	t.expire()
	h := t.find(r)
	if h == nil || h.lost {
		return false
	}
	if h.evicted {
		t.let(r)
		return false
	}
	r.heard = t.now
	t.keep(h)
	return true
}

// expire ends leases and opens places.
func (t *table) expire() {
	if t.down {
		return
	}
	for _, h := range slices.Clone(t.holders) {
		switch {
		case h.lost && t.now >= h.opens:
			t.remove(h)
		case !h.lost && t.now >= h.expires && h.r.delay > 0:
			t.shut(h)
		case !h.lost && t.now >= h.expires:
			t.remove(h)
		}
	}
	t.serve()
}

func (t *table) remove(h *holding) {
	t.holders = slices.DeleteFunc(t.holders, func(g *holding) bool { return g == h })
	if h.r.outcome == Granted {
		h.r.outcome = Lost
	}
	h.r.closed = true
}

// end closes a request: released, cancelled, given back.
func (t *table) end(r *request, released bool) {
	if t.down {
		return
	}
	t.line = slices.DeleteFunc(t.line, func(w *request) bool { return w == r })
	if h := t.find(r); h != nil {
		r.released = released && (!h.lost || t.rand.IntN(2) == 0)
		t.remove(h)
	}
	r.closed = true
	if r.outcome == Open {
		r.outcome = Lost
	}
	t.serve()
}

// giveBack is a Release of what its client has lost.
func (t *table) giveBack(r *request) {
	if h := t.find(r); h != nil && r.delay > 0 && !t.down {
		if !h.lost {
			t.shut(h)
			t.serve()
		}
		return
	}
	t.end(r, false)
}

// shut keeps a place that was lost for its delay.
func (t *table) shut(h *holding) {
	h.lost, h.upgrades, h.opens = true, 0, t.now+t.stretch(h.r.delay)
	h.r.outcome = Lost
	t.after(h.opens-t.now, t.expire)
}

// serve grants what can be: first a holder that goes up, then the line from its
// head.
func (t *table) serve() {
	if h := t.upgrader(); h != nil {
		if len(t.holders) > 1 {
			return
		}
		t.up(h)
	}
	for len(t.line) > 0 {
		r := t.line[0]
		switch {
		case len(t.holders) > 0 && t.holders[0].mode.of() != r.mode.of():
			r.closed, r.outcome = true, Capacity
			t.tell(r)
		case t.fits(r.mode):
			t.grant(r)
		default:
			return
		}
		t.line = t.line[1:]
	}
}

func (t *table) up(h *holding) {
	h.mode, h.token = h.upgradeTo, t.nextToken()
	number := h.upgrades
	h.upgrades = 0
	h.outcomes[number] = Done
	t.tied(h, number)
}

// change is what a holder wants changed. It says what came of it, or Open; mode is
// that of the lock before, for a holder that takes its Upgrade back (back).
func (t *table) change(r *request, number int, o *Op, back bool) Outcome {
	if t.down {
		return Open
	}
	t.expire()
	h := t.find(r)
	switch {
	case h == nil || h.lost:
		return NotHeld
	case number <= h.number:
		return h.outcomes[number]
	case h.evicted && t.rand.IntN(2) == 0:
		h.number, h.outcomes[number] = number, NotHeld
		return NotHeld
	}
	h.number = number
	h.upgrades = 0
	out := Done
	switch {
	case back:
		if h.mode.weight() > o.Mode.weight() {
			h.mode = o.Mode
		}
	case o.Kind == Upgrade:
		out = t.upgrade(h, o.Mode, number)
	case o.Kind == Downgrade:
		h.mode = o.Mode
	case h.mode.weight() < h.mode.of():
		out = NotHeld
	case o.Kind == Set:
		t.value = Value{Data: o.Value.Data, Token: h.token}
		t.past = append(t.past, t.value)
	default:
		t.value = Value{}
	}
	h.outcomes[number] = out
	t.serve()
	return h.outcomes[number]
}

func (t *table) upgrade(h *holding, to Mode, number int) Outcome {
	for _, g := range t.holders {
		if g != h && !g.lost && (g.mode.weight() > g.mode.of()/2 || g.upgrades > 0) {
			return Conflict
		}
	}
	h.upgrades, h.upgradeTo = number, to
	return Open
}

// evict is an operator's. It says whether it is over, and what came of it.
func (t *table) evict(token uint64, wanted *holding) (*holding, Outcome) {
	if t.down {
		return wanted, Open
	}
	t.expire()
	if wanted == nil {
		for _, h := range t.holders {
			if h.token == token {
				wanted = h
			}
		}
		if wanted == nil {
			return nil, NotHeld
		}
		wanted.evicted = true
		t.let(wanted.r)
	}
	if wanted.lost {
		t.remove(wanted)
		t.serve()
	}
	if slices.Contains(t.holders, wanted) && wanted.token == token {
		return wanted, Open
	}
	return wanted, Done
}

// look is the answer to an Inspect.
func (t *table) look() []Holder {
	t.expire()
	var list []Holder
	for _, h := range t.holders {
		list = append(list, Holder{Token: h.token, Mode: h.mode, Lost: h.lost})
	}
	return list
}

// lose loses the configuration: nobody answers until all leases are over, and then
// an owner begins without holders, and with some old value, if any.
func (t *table) lose() {
	t.expire()
	t.down = true
	t.after(t.stretch(t.ttl)+time.Duration(drift*4*float64(t.ttl))+t.exp(t.ttl/2), func() {
		t.down = false
		for _, h := range t.holders {
			h.r.closed, h.r.outcome = true, Lost
		}
		t.holders, t.line = nil, nil
		t.value = Value{}
		if n := len(t.past); n > 0 && t.rand.IntN(4) > 0 {
			t.value = t.past[max(0, n-1-t.rand.IntN(3))]
			t.value.Stale = true
		}
		t.losses = append(t.losses, t.now)
	})
}

// clock is the time of a game, and what is to happen.
type clock struct {
	rand  *rand.Rand
	now   time.Duration
	queue timers
	order int
}
