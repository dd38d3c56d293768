package linear

import (
	"slices"
	"time"
)

// This file is a correct lock table that never fails: what the owner of a key does.
// It shares nothing with the model: things happen at moments here.

// table is the key at its owner.
type table struct {
	*clock
	ttl     time.Duration
	late    float64 // how often an end comes later than it could
	term    int     // the owner's
	token   uint64
	holders []*holding
	line    []*request
	value   Value
	past    []Value       // all that it ever was
	down    bool          // nobody owns it: nobody answers
	settled time.Duration // until then clients may have to ask a new owner again
	losses  []time.Duration
	// tell brings an answer to a client that waits for one: its Lock, or its Upgrade.
	tell func(*request)
	tied func(h *holding, number int)
	let  func(*request) // Notice: let go
}

// request is one identity of a call at the owner.
type request struct {
	call     *caller
	term     int // of the owner that knows what is below closed
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
	number    int // of the last change that was evaluated, and what came of it
	outcome   Outcome
	idle      bool
	written   int  // of the last one that was carried out: all that a new owner knows
	upgrades  int  // the number of an Upgrade that waits; 0: none
	upgradeTo Mode // what it is to be then
}

// known is a request as the owner of now knows it: one before may have closed it.
func (t *table) known(r *request) *request {
	if r.term == t.term {
		return r
	}
	r.term, r.closed, r.released, r.outcome = t.term, false, false, Open
	if h := t.find(r); h != nil && !h.lost {
		r.outcome = Granted
	} else if h != nil {
		r.closed, r.outcome = true, Lost
	}
	return r
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
	t.expire()
	h := t.find(t.known(r))
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
		t.after(t.ttl+t.ttl/8, t.expire)
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
	h := &holding{r: r, mode: r.mode, token: r.token}
	t.holders = append(t.holders, h)
	t.keep(h)
	t.tell(r)
}

// keep sets the end of the lease by what was heard of it last: of this lock, or of
// another one of the same lease.
func (t *table) keep(h *holding) {
	if h.lost || h.evicted {
		return
	}
	h.expires = max(h.expires, h.r.heard+t.stretch(t.ttl))
	if t.chance(t.late) {
		h.expires += t.exp(t.ttl / 2)
	}
	t.after(max(0, h.expires-t.now), t.expire)
}

// renew is a heartbeat. It says whether the lease lasts.
func (t *table) renew(r *request) bool {
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

// expire ends leases, opens places, and forgets waiters that are silent.
func (t *table) expire() {
	if t.down {
		return
	}
	for _, h := range slices.Clone(t.holders) {
		switch {
		case h.lost && t.now >= h.opens:
			t.remove(h)
		case !h.lost && t.now >= h.expires && h.r.delay > 0 && !h.evicted:
			t.shut(h)
		case !h.lost && t.now >= h.expires:
			t.remove(h)
		}
	}
	t.line = slices.DeleteFunc(t.line, func(r *request) bool {
		gone := t.now >= r.heard+t.stretch(t.ttl)
		if gone {
			r.closed, r.outcome = true, Lost
		}
		return gone
	})
	t.serve()
}

func (t *table) remove(h *holding) {
	t.holders = slices.DeleteFunc(t.holders, func(g *holding) bool { return g == h })
	r := t.known(h.r)
	r.closed, r.outcome = true, Lost
}

// end closes a request: released, cancelled, given back.
func (t *table) end(r *request, released bool) {
	t.known(r)
	t.line = slices.DeleteFunc(t.line, func(w *request) bool { return w == r })
	h := t.find(r)
	if h != nil {
		r.released = released && (!h.lost || t.rand.IntN(2) == 0)
		t.remove(h)
	}
	r.closed = true
	if r.outcome == Open {
		r.outcome = Lost
	}
	if h != nil && released && t.rand.IntN(4) == 0 {
		t.handOver()
	}
	t.serve()
}

// handOver has an heir go first, if it fits (K14).
func (t *table) handOver() {
	if len(t.line) == 0 || t.upgrader() != nil {
		return
	}
	i := t.rand.IntN(len(t.line))
	if heir := t.line[i]; t.fits(heir.mode) {
		t.line = slices.Delete(t.line, i, i+1)
		t.grant(heir)
	}
}

// giveBack is a Release of what its client has lost.
func (t *table) giveBack(r *request) {
	h := t.find(r)
	if h == nil || r.delay == 0 || h.evicted {
		t.end(r, false)
	} else if !h.lost {
		t.shut(h)
		t.serve()
	}
}

// shut keeps a place that was lost for its delay.
func (t *table) shut(h *holding) {
	h.lost, h.upgrades, h.opens = true, 0, t.now+t.stretch(h.r.delay)
	t.known(h.r).outcome = Lost
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

// evict is an operator's. It says whether it is over, and what came of it.
func (t *table) evict(token uint64, wanted *holding) (*holding, Outcome) {
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
		wanted.evicted, wanted.upgrades = true, 0
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
		t.begin()
		t.holders = nil
		t.value = Value{}
		if n := len(t.past); n > 0 && t.rand.IntN(4) > 0 {
			t.value = t.past[max(0, n-1-t.rand.IntN(3))]
			t.value.Stale = true
		}
		t.losses = append(t.losses, t.now)
	})
}

// move gives the key to a new owner. It knows who holds it, and begins their leases
// and delays anew (T4); it does not know who waits, what was refused, who was told to
// let go. Those who ask it first come first.
func (t *table) move() {
	t.expire()
	t.down = true
	t.after(t.exp(t.ttl/8), func() {
		t.begin()
		for _, h := range t.holders {
			h.evicted, h.upgrades = false, 0
			h.number, h.outcome, h.idle = h.written, Done, false
			h.r.heard = t.now
			t.keep(h)
			if h.lost {
				h.opens = t.now + t.stretch(h.r.delay)
				t.after(h.opens-t.now, t.expire)
			}
		}
	})
}

func (t *table) begin() {
	t.down = false
	t.term++
	t.line = nil
	t.settled = t.now + t.ttl
}
