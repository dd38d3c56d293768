package linear

import (
	"math/rand/v2"
	"time"
)

// small makes up a history of a few calls, most of which are nonsense.
func small(r *rand.Rand, silent bool, modes []Mode) History {
	m := &maker{r: r, modes: modes}
	for n := range 2 + r.IntN(4) {
		m.call(n, silent)
	}
	if modes != nil {
		for range r.IntN(4) {
			m.look()
		}
		if r.IntN(8) == 0 {
			m.Lost = append(m.Lost, m.at(3, 15))
		}
	}
	return m.History
}

type maker struct {
	History
	r     *rand.Rand
	modes []Mode
	now   int
	token uint64
	seen  []Holder // that were granted
	wrote []Value
}

func (m *maker) at(least, span int) time.Duration { return time.Duration(least+m.r.IntN(span)) * s }

func (m *maker) op(o Op) { m.Ops = append(m.Ops, o) }

func (m *maker) call(n int, silent bool) {
	r := m.r
	m.now += r.IntN(4)
	o := Op{Call: n, Client: n, Kind: Lock, Invoked: time.Duration(m.now) * s, Returned: -1}
	o.Returned = o.Invoked + m.at(0, 8)
	if silent {
		o.Late = o.Invoked + m.at(1, 6)
	}
	if len(m.modes) > 0 {
		o.Mode = m.modes[r.IntN(len(m.modes))]
		if r.IntN(5) == 0 {
			o.Delay = m.at(1, 4)
		}
	}
	switch k := r.IntN(10); {
	case k < 5:
		m.token += 1 + r.Uint64N(2)
		o.Outcome, o.Token, o.MayExpire = Granted, m.token, o.Returned+m.at(1, 5)
		if r.IntN(12) == 0 {
			o.Token = 1 + r.Uint64N(6)
		}
		m.seen = append(m.seen, Holder{Token: o.Token, Mode: o.Mode})
	case k == 5 && len(m.modes) > 0:
		o.Outcome = Capacity
	case k < 8:
		o.Outcome, o.Kind = Busy, Try
	case silent:
		o.Outcome, o.Returned = Open, -1
	default:
		return
	}
	m.op(o)
	end := o.Returned + m.at(0, 3)
	if o.Outcome == Granted && r.IntN(4) == 0 {
		x := Op{Call: n, Client: n, Kind: Renew, Invoked: end, Returned: end + m.at(0, 3), Outcome: []Outcome{Renewed, Renewed, Lost, Missing}[r.IntN(4)]}
		x.Closes = len(m.modes) > 0 && r.IntN(2) == 0
		x.MayExpire = x.Invoked + m.at(2, 4)
		m.op(x)
		end = x.Returned
	}
	if o.Outcome == Granted && len(m.modes) > 0 {
		for range r.IntN(3) {
			end = m.change(o, end)
		}
	}
	if r.IntN(4) > 0 && (o.Outcome == Granted || o.Outcome == Open) {
		u := Op{Call: n, Client: n, Kind: Unlock, Invoked: max(end, o.Invoked) + m.at(0, 3), Outcome: []Outcome{Released, Released, NotHeld, GaveUp}[r.IntN(4)]}
		if o.Outcome == Open {
			u.Outcome = NotHeld
		}
		u.Returned = u.Invoked + m.at(0, 5)
		m.op(u)
	}
}

func (m *maker) change(lock Op, from time.Duration) time.Duration {
	r := m.r
	o := Op{Call: lock.Call, Client: lock.Client, Kind: Upgrade + Kind(r.IntN(4)), Invoked: from + m.at(0, 2), Returned: -1}
	all := Mode{lock.Mode.of(), lock.Mode.of()}
	if all.Of == Whole {
		all = Exclusive
	}
	switch o.Kind {
	case Upgrade:
		o.Mode = all
	case Downgrade:
		o.Mode = Mode{1, lock.Mode.of()}
	case Set:
		o.Value.Data = string(rune('a' + r.IntN(3)))
		m.wrote = append(m.wrote, Value{Data: o.Value.Data, Token: lock.Token})
	}
	switch k := r.IntN(10); {
	case k < 5:
		o.Outcome = Done
	case k < 7:
		o.Outcome = NotHeld
	case k < 8 && o.Kind == Upgrade:
		o.Outcome = Conflict
	default:
		return o.add(m)
	}
	if o.Returned = o.Invoked + m.at(0, 3); o.Kind == Upgrade && o.Outcome == Done {
		m.token += 1 + r.Uint64N(2)
		o.Token = m.token
		m.seen = append(m.seen, Holder{Token: o.Token, Mode: all})
	}
	return o.add(m)
}

func (o Op) add(m *maker) time.Duration {
	m.op(o)
	return max(o.Invoked, o.Returned)
}

func (m *maker) look() {
	r := m.r
	o := Op{Call: 100 + len(m.Ops), Kind: Read + Kind(r.IntN(3)), Outcome: Done, Invoked: m.at(0, 15)}
	o.Returned = o.Invoked + m.at(0, 4)
	if o.Kind == Evict {
		o.Outcome = []Outcome{Done, NotHeld, GaveUp}[r.IntN(3)]
		o.Token = 1 + r.Uint64N(m.token+1)
		m.op(o)
		return
	}
	if n := len(m.wrote); n > 0 && r.IntN(3) > 0 {
		o.Value = m.wrote[r.IntN(n)]
		o.Value.Stale = len(m.Lost) > 0 && r.IntN(2) == 0
	}
	if o.Kind == Inspect {
		for _, h := range m.seen {
			if r.IntN(len(m.seen)+1) == 0 {
				h.Lost = r.IntN(8) == 0
				o.Holders = append(o.Holders, h)
			}
		}
		if r.IntN(6) == 0 {
			o.Holders = append(o.Holders, Holder{Token: 1 + r.Uint64N(8), Mode: m.modes[r.IntN(len(m.modes))]})
		}
		if o.impossible() != "" {
			return
		}
	}
	m.op(o)
}

// bent is a small correct history of which something was changed.
func bent(seed uint64, modes []Mode) History {
	r := rand.New(rand.NewPCG(seed, 3))
	sh := shape{calls: 3 + r.IntN(4), clients: 4, ttl: 3 * s, pace: 2 * s, delay: []time.Duration{60 * time.Millisecond, 600 * time.Millisecond}[r.IntN(2)],
		loss: 0.1, crash: 0.1, modes: modes, changes: 0.4, looks: 0.7, closes: 0.2, evicts: 0.2, lost: 0.05, moves: 0.1, late: 0.3}
	h := generate(seed, sh).History
	if len(h.Ops) == 0 {
		return h
	}
	for range r.IntN(5) {
		bend(r, &h.Ops[r.IntN(len(h.Ops))], h)
	}
	return h
}

func bend(r *rand.Rand, o *Op, h History) {
	other := h.Ops[r.IntN(len(h.Ops))]
	switch r.IntN(6) {
	case 0: // at another time
		by := time.Duration(r.Int64N(int64(2*s))) - s
		o.Invoked = max(0, o.Invoked+by)
		if o.Returned >= 0 {
			o.Returned = max(o.Invoked, o.Returned+by)
		}
	case 1: // in an instant
		o.Returned = max(o.Invoked, o.Returned-time.Duration(r.Int64N(int64(s))))
		if o.Outcome == Open {
			o.Returned = -1
		}
	case 2:
		if o.Kind == Read || o.Kind == Inspect {
			o.Value = other.Value
		}
	case 3:
		if o.Kind == Inspect {
			o.Holders = other.Holders
		}
	case 4:
		if o.Kind >= Upgrade && o.Kind <= Delete && o.answered() {
			o.Outcome = []Outcome{Done, NotHeld}[r.IntN(2)]
			o.Token = 0
			if o.Kind == Upgrade {
				o.Outcome = []Outcome{Conflict, NotHeld}[r.IntN(2)]
			}
		}
	case 5:
		if o.Kind == Unlock && o.answered() {
			o.Outcome = []Outcome{Released, NotHeld}[r.IntN(2)]
		}
	}
}
