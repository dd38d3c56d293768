package linear

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// This file tells lies about what the key really was at some moment. Whether one is
// found depends on what clients were told besides: in a calm history, where hardly
// anything is lost or late, nearly always.

// lie is put into a history; rough and calm are how many of 100 are found. Calm is 0
// if there is nothing to lie about then.
type lie struct {
	name        string
	rough, calm int
	modes       []Mode
	tell        func(l *liar) bool
}

// liar tells a lie at a moment of a history.
type liar struct {
	*played
	r     *rand.Rand
	m     moment
	at    time.Duration
	calls []*call // see gathered
}

// when chooses a moment that satisfies ok.
func (l *liar) when(ok func(m moment) bool) bool {
	for _, i := range l.r.Perm(len(l.truth)) {
		if m := l.truth[i]; !m.down && m.to-m.from > 100 && m.to < Forever && ok(m) {
			l.m, l.at = m, m.from+(m.to-m.from)/2
			return true
		}
	}
	return false
}

// op adds one that happens in an instant.
func (l *liar) op(o Op) *Op {
	if o.Call == 0 {
		o.Call = 9999
	}
	o.Invoked, o.Returned = l.at, l.at+10
	if o.Outcome == Granted {
		o.MayExpire = l.at + time.Hour
	}
	l.Ops = append(l.Ops, o)
	return &l.Ops[len(l.Ops)-1]
}

// told says that the call was told of its grant, holds for sure, and knows with which
// mode.
func (l *liar) told(m moment, i int) bool {
	at := m.from + (m.to-m.from)/2
	for _, c := range l.gathered() {
		if c.lock.Call == m.calls[i] && c.rank == 0 {
			from, to := c.sure()
			unsure := slices.ContainsFunc(c.changes, func(o *Op) bool { return o.Kind <= Downgrade && !o.answered() })
			return !m.holders[i].Lost && from < at && at+20 < to && !unsure
		}
	}
	return false
}

// gathered are the calls; those that were granted have the rank 0.
func (l *liar) gathered() []*call {
	if l.calls == nil {
		l.calls, _, _ = gather(l.History)
		for _, c := range l.calls {
			if c.lock.Outcome == Granted {
				c.rank = 0
			}
		}
	}
	return l.calls
}

func (m moment) fits(mode Mode) bool {
	sum := uint64(mode.weight())
	for _, h := range m.holders {
		if h.Mode.of() != mode.of() {
			return false
		}
		sum += uint64(h.Mode.weight())
	}
	return sum <= uint64(mode.of())
}

// last is the highest token given before the moment.
func (l *liar) last() uint64 {
	last := uint64(0)
	for _, m := range l.truth {
		if m.from <= l.m.from {
			for _, h := range m.holders {
				last = max(last, h.Token)
			}
		}
	}
	return last
}

// intrude grants a lock for an instant.
func (l *liar) intrude(mode Mode) bool {
	l.op(Op{Kind: Lock, Mode: mode, Outcome: Granted, Token: l.last() + 1})
	l.at += 20
	l.op(Op{Kind: Unlock, Outcome: Released})
	return true
}

// someSet is a Set that was carried out, of a call that holds until it is released.
func (l *liar) someSet() *Op {
	for _, i := range l.r.Perm(len(l.Ops)) {
		if o := &l.Ops[i]; o.Kind == Set && o.Outcome == Done {
			return o
		}
	}
	return nil
}

// value is a value that the key had at another time, before or after the moment.
func (l *liar) value(before bool) (Value, bool) {
	var found []Value
	for _, m := range l.truth {
		if v := m.value; v.Token != 0 && !v.Stale && (v.Data != l.m.value.Data) && (m.from < l.m.from) == before && m.from != l.m.from {
			found = append(found, v)
		}
	}
	found = slices.DeleteFunc(found, func(v Value) bool {
		return slices.ContainsFunc(l.truth, func(m moment) bool { return m.value == v && (m.from < l.m.from) != before })
	})
	if len(found) == 0 {
		return Value{}, false
	}
	return found[l.r.IntN(len(found))], true
}

func (l *liar) read(v Value) bool {
	l.op(Op{Kind: Read, Outcome: Done, Value: v})
	return true
}

func valued(m moment) bool { return m.value.Token != 0 && !m.value.Stale }

// inspect shows holders that are not those of the moment.
func (l *liar) inspect(change func([]Holder) []Holder) bool {
	l.op(Op{Kind: Inspect, Outcome: Done, Holders: change(slices.Clone(l.m.holders)), Value: l.m.value})
	return true
}

// unsettled says that a write may be about to come, or not.
func (l *liar) held(m moment, all bool) int {
	for i, h := range m.holders {
		if (h.Mode.weight() == h.Mode.of()) == all && l.told(m, i) {
			return i
		}
	}
	return -1
}

var lies = []lie{
	{"a reader beside the writer", 90, 97, readers, func(l *liar) bool {
		return l.when(func(m moment) bool { return l.held(m, true) >= 0 }) && l.intrude(Shared)
	}},
	{"a writer beside a reader", 90, 97, readers, func(l *liar) bool {
		return l.when(func(m moment) bool { return l.held(m, false) >= 0 }) && l.intrude(Exclusive)
	}},
	{"two for update", 90, 97, readers, func(l *liar) bool {
		return l.when(func(m moment) bool {
			i := l.held(m, false)
			return i >= 0 && m.holders[i].Mode == ForUpdate
		}) && l.intrude(ForUpdate)
	}},
	{"more permits than there are", 90, 97, semaphore, func(l *liar) bool {
		return l.when(func(m moment) bool {
			return len(m.holders) > 1 && !m.fits(Mode{2, 4}) && l.told(m, 0) && l.told(m, 1)
		}) && l.intrude(Mode{2, 4})
	}},
	{"two capacities at a time", 90, 97, mixed, func(l *liar) bool {
		return l.when(func(m moment) bool {
			i := l.held(m, false)
			return i >= 0 && m.holders[i].Mode.of() == Whole
		}) && l.intrude(Mode{1, 3})
	}},
	{"a closed place is taken", 25, 90, readers, func(l *liar) bool {
		return l.when(func(m moment) bool {
			return len(m.holders) == 1 && m.holders[0].Lost && m.holders[0].Mode == Exclusive
		}) && l.intrude(Shared)
	}},
	{"busy while free", 20, 50, readers, func(l *liar) bool {
		return l.when(func(m moment) bool { return len(m.holders) == 0 && !m.line }) && l.op(Op{Kind: Try, Outcome: Busy}) != nil
	}},
	{"a reader busy beside readers, with nobody in line", 35, 90, readers, func(l *liar) bool {
		return l.when(func(m moment) bool { return len(m.holders) > 0 && m.fits(Shared) && !m.line }) && l.op(Op{Kind: Try, Mode: Shared, Outcome: Busy}) != nil
	}},
	{"busy while there are permits, with nobody in line", 30, 95, semaphore, func(l *liar) bool {
		return l.when(func(m moment) bool { return len(m.holders) > 0 && m.fits(Mode{1, 4}) && !m.line }) && l.op(Op{Kind: Try, Mode: Mode{1, 4}, Outcome: Busy}) != nil
	}},
	{"another capacity, while it is this one", 95, 97, semaphore, func(l *liar) bool {
		return l.when(func(m moment) bool { return len(m.holders) > 0 }) && l.op(Op{Kind: Lock, Mode: Mode{1, 4}, Outcome: Capacity}) != nil
	}},
	{"another capacity, while it is free", 25, 65, mixed, func(l *liar) bool {
		return l.when(func(m moment) bool { return len(m.holders) == 0 }) && l.op(Op{Kind: Lock, Mode: Mode{1, 4}, Outcome: Capacity}) != nil
	}},
	{"a lost write: the value before it is read", 85, 97, readers, func(l *liar) bool {
		if !l.when(valued) {
			return false
		}
		v, ok := l.value(true)
		return ok && l.read(v)
	}},
	{"a value is read before it is written", 90, 97, readers, func(l *liar) bool {
		if !l.when(func(m moment) bool { return true }) {
			return false
		}
		v, ok := l.value(false)
		return ok && l.read(v)
	}},
	{"no value, while there is one", 85, 95, readers, func(l *liar) bool {
		return l.when(valued) && l.read(Value{})
	}},
	{"a value that was deleted", 85, 97, readers, func(l *liar) bool {
		if !l.when(func(m moment) bool { return m.value.Token == 0 }) {
			return false
		}
		v, ok := l.value(true)
		return ok && l.read(v)
	}},
	{"a value under another token", 95, 97, readers, func(l *liar) bool {
		if !l.when(valued) {
			return false
		}
		v := l.m.value
		v.Token++
		return l.read(v)
	}},
	{"stale, while nothing was lost", 100, 100, readers, func(l *liar) bool {
		if len(l.Lost) > 0 || !l.when(valued) {
			return false
		}
		v := l.m.value
		v.Stale = true
		return l.read(v)
	}},
	{"a value of before a loss is not stale", 90, 0, readers, func(l *liar) bool {
		if !l.when(func(m moment) bool { return m.value.Stale }) {
			return false
		}
		v := l.m.value
		v.Stale = false
		return l.read(v)
	}},
	{"a value is stale that was written since", 90, 0, readers, func(l *liar) bool {
		if len(l.Lost) == 0 || !l.when(func(m moment) bool { return valued(m) && m.from > slices.Max(l.Lost) }) {
			return false
		}
		v := l.m.value
		v.Stale = true
		return l.read(v)
	}},
	{"reads that go back", 95, 97, readers, func(l *liar) bool {
		if !l.when(valued) {
			return false
		}
		old, ok := l.value(true)
		if ok {
			l.read(l.m.value)
			l.at += 20
			l.read(old)
		}
		return ok
	}},
	{"a refused write, by who holds all", 85, 97, readers, func(l *liar) bool {
		i := -1
		return l.when(func(m moment) bool { i = l.held(m, true); return i >= 0 }) &&
			l.op(Op{Kind: Set, Call: l.m.calls[i], Outcome: NotHeld}) != nil
	}},
	{"a write by who has only a part", 90, 97, readers, func(l *liar) bool {
		i := -1
		return l.when(func(m moment) bool { i = l.held(m, false); return i >= 0 }) &&
			l.op(Op{Kind: Set, Call: l.m.calls[i], Outcome: Done, Value: Value{Data: "lie"}}) != nil
	}},
	{"a write by who was released", 100, 100, readers, func(l *liar) bool {
		for _, i := range l.r.Perm(len(l.Ops)) {
			if o := l.Ops[i]; o.Outcome == Released {
				l.at = o.Returned + 10
				l.op(Op{Kind: Set, Call: o.Call, Outcome: Done, Value: Value{Data: "lie"}})
				return true
			}
		}
		return false
	}},
	{"an unanswered write comes after the next one of its grant", 97, 97, readers, func(l *liar) bool {
		o := l.someSet()
		if o == nil {
			return false
		}
		set := *o
		l.at = set.Returned + 10
		l.op(Op{Kind: Set, Call: set.Call, Value: Value{Data: "lie"}}).Returned = -1
		l.Ops[len(l.Ops)-1].Invoked = set.Invoked - 1
		return l.read(Value{Data: "lie", Token: l.tokenOf(set)})
	}},
	{"an unanswered write comes after its grant is over", 95, 97, readers, func(l *liar) bool {
		o := l.someSet()
		if o == nil {
			return false
		}
		set := *o
		l.op(Op{Kind: Set, Call: set.Call, Value: Value{Data: "lie"}}).Returned = -1
		l.Ops[len(l.Ops)-1].Invoked = set.Returned + 1
		// Another grant writes, which is read; and then the lie.
		token := l.tokenOf(set)
		for _, w := range l.Ops {
			if w.Kind == Set && w.Outcome == Done && l.tokenOf(w) > token && w.Invoked > set.Returned {
				l.at = w.Returned + 10
				return l.read(Value{Data: "lie", Token: token})
			}
		}
		return false
	}},
	{"an unanswered write is read before it was asked for", 100, 100, readers, func(l *liar) bool {
		o := l.someSet()
		if o == nil {
			return false
		}
		set := *o
		l.at = set.Returned + 1
		l.read(Value{Data: "lie", Token: l.tokenOf(set)})
		l.op(Op{Kind: Set, Call: set.Call, Value: Value{Data: "lie"}}).Returned = -1
		l.Ops[len(l.Ops)-1].Invoked = set.Returned + 1000
		return true
	}},
	{"an upgrade beside a reader", 95, 97, readers, func(l *liar) bool {
		var i int
		return l.when(func(m moment) bool {
			i = l.held(m, false)
			return i >= 0 && len(m.holders) > 1 && l.told(m, 0) && l.told(m, 1)
		}) && l.op(Op{Kind: Upgrade, Call: l.m.calls[i], Outcome: Done, Token: l.last() + 1}) != nil
	}},
	{"an upgrade keeps its token", 100, 100, readers, func(l *liar) bool {
		i := -1
		return l.when(func(m moment) bool { i = l.held(m, false); return i >= 0 && len(m.holders) == 1 }) &&
			l.op(Op{Kind: Upgrade, Call: l.m.calls[i], Outcome: Done, Token: l.m.holders[i].Token}) != nil
	}},
	{"an upgrade finds no lock, while it holds", 85, 97, readers, func(l *liar) bool {
		i := -1
		return l.when(func(m moment) bool { i = l.held(m, false); return i >= 0 }) &&
			l.op(Op{Kind: Upgrade, Call: l.m.calls[i], Outcome: NotHeld}) != nil
	}},
	{"an upgrade is refused, with nobody in the way", 70, 95, readers, func(l *liar) bool {
		i := -1
		return l.when(func(m moment) bool { i = l.held(m, false); return i >= 0 && len(m.holders) == 1 && !m.line }) &&
			l.op(Op{Kind: Upgrade, Call: l.m.calls[i], Outcome: Conflict}) != nil
	}},
	{"a downgrade did nothing: a reader is busy after it", 60, 95, readers, func(l *liar) bool {
		for _, i := range l.r.Perm(len(l.Ops)) {
			if o := l.Ops[i]; o.Kind == Downgrade && o.Outcome == Done && o.Mode == Shared {
				alone := func(m moment) bool {
					return m.from > o.Returned && !m.line && len(m.holders) == 1 && m.calls[0] == o.Call && m.holders[0].Mode == Shared
				}
				if l.when(alone) {
					l.op(Op{Kind: Try, Mode: Shared, Outcome: Busy})
					return true
				}
			}
		}
		return false
	}},
	{"a holder is not seen", 90, 97, readers, func(l *liar) bool {
		i := -1
		return l.when(func(m moment) bool { i = max(l.held(m, true), l.held(m, false)); return i >= 0 }) &&
			l.inspect(func(h []Holder) []Holder { return slices.Delete(h, i, i+1) })
	}},
	{"a closed place is not seen", 20, 90, readers, func(l *liar) bool {
		return l.when(func(m moment) bool { return len(m.holders) == 1 && m.holders[0].Lost }) &&
			l.inspect(func([]Holder) []Holder { return nil })
	}},
	{"a watch goes back", 90, 97, readers, func(l *liar) bool {
		if !l.when(func(m moment) bool { return len(m.holders) > 0 }) {
			return false
		}
		old, at := l.m, l.at
		gone := func(h Holder) bool {
			return !slices.ContainsFunc(l.m.holders, func(x Holder) bool { return x.Token == h.Token })
		}
		if !l.when(func(m moment) bool { l.m = m; return m.from > old.to && slices.ContainsFunc(old.holders, gone) }) {
			return false
		}
		l.inspect(func(h []Holder) []Holder { return h })
		l.at, l.m = l.at+20, old
		l.inspect(func(h []Holder) []Holder { return h })
		l.Ops[len(l.Ops)-1].Invoked = at
		return true
	}},
	{"a holder is seen that is not there any more", 95, 97, semaphore, func(l *liar) bool {
		var token uint64
		return l.when(func(m moment) bool {
			for _, c := range l.gathered() {
				if u := c.unlock; u != nil && u.Outcome == Released && u.Returned < m.from && m.fits(c.lock.Mode) && u.Returned > m.from-time.Second {
					token = c.lock.Token
					return true
				}
			}
			return false
		}) && l.inspect(func(h []Holder) []Holder { return append(h, Holder{Token: token, Mode: Mode{1, 4}}) })
	}},
	{"a holder is seen with more than it has", 90, 97, semaphore, func(l *liar) bool {
		i := -1
		return l.when(func(m moment) bool {
			i = l.held(m, false)
			return i >= 0 && m.fits(Mode{1, 4}) && len(m.holders) == 1
		}) && l.inspect(func(h []Holder) []Holder { h[i].Mode.Weight++; return h })
	}},
	{"a holder is seen lost while it holds", 95, 97, readers, func(l *liar) bool {
		i := -1
		return l.when(func(m moment) bool { i = max(l.held(m, true), l.held(m, false)); return i >= 0 }) &&
			l.inspect(func(h []Holder) []Holder { h[i].Lost = true; return h })
	}},
	{"a stranger is seen", 50, 90, readers, func(l *liar) bool {
		return l.when(func(m moment) bool { return m.fits(Shared) }) &&
			l.inspect(func(h []Holder) []Holder { return append(h, Holder{Token: l.last() + 1, Mode: Shared}) })
	}},
	{"it was evicted, and holds on", 85, 93, readers, func(l *liar) bool {
		i := -1
		return l.when(func(m moment) bool { i = max(l.held(m, true), l.held(m, false)); return i >= 0 }) &&
			l.op(Op{Kind: Evict, Token: l.m.holders[i].Token, Outcome: Done}) != nil
	}},
	{"nobody was there to evict, while it holds", 85, 93, readers, func(l *liar) bool {
		i := -1
		return l.when(func(m moment) bool { i = max(l.held(m, true), l.held(m, false)); return i >= 0 }) &&
			l.op(Op{Kind: Evict, Token: l.m.holders[i].Token, Outcome: NotHeld}) != nil
	}},
	{"it was evicted, and was released before", 100, 100, readers, func(l *liar) bool {
		for _, c := range l.gathered() {
			if u := c.unlock; c.rank == 0 && u != nil && u.Outcome == Released && len(c.changes) == 0 {
				l.at = u.Returned + 10
				l.op(Op{Kind: Evict, Token: c.lock.Token, Outcome: Done})
				return true
			}
		}
		return false
	}},
	{"a configuration is lost while a lease lasts", 97, 97, readers, func(l *liar) bool {
		i := -1
		if !l.when(func(m moment) bool { i = max(l.held(m, true), l.held(m, false)); return i >= 0 }) {
			return false
		}
		l.Lost = append(l.Lost, l.at)
		return true
	}},
}

// tokenOf is the token under which a write was carried out.
func (l *liar) tokenOf(set Op) uint64 {
	for _, m := range l.truth {
		if m.value.Data == set.Value.Data {
			return m.value.Token
		}
	}
	return 0
}

// TestLies: what contradicts the truth is found as far as clients can know it.
func TestLies(t *testing.T) {
	for _, modes := range [][]Mode{readers, semaphore, mixed} {
		t.Run(modes[0].String(), func(t *testing.T) {
			t.Parallel()
			play := func(r *rand.Rand) shape {
				sh := richShapeOf(r)
				sh.calls = 5 + r.IntN(60)
				sh.modes, sh.changes, sh.looks = modes, 0.7, 0.7
				return sh
			}
			rough := &pool{shape: play}
			calm := &pool{shape: func(r *rand.Rand) shape { return play(r).calm() }}
			for _, l := range lies {
				if !slices.Equal(l.modes, modes) {
					continue
				}
				tell := func(r *rand.Rand, p *played) bool { return l.tell(&liar{played: p, r: r}) }
				mutation{l.name + ", rough", l.rough, false, tell}.try(t, rough)
				if l.calm > 0 {
					mutation{l.name + ", calm", l.calm, true, tell}.try(t, calm)
				}
			}
		})
	}
}
