package linear

import (
	"cmp"
	"slices"
	"time"
)

// This file finds what needs no search: steps that change nothing and have a place
// in every order that the others have. It has one that overlaps a time at which
// what it was told is so in all of them.

// sureHold is a time in which a call has so much at least, in every order.
type sureHold struct {
	weight, of uint32
	from, to   time.Duration
	before     time.Duration // no one up to here in the list ends later
}

// sureValue is a time in which a value is the last one, in every order.
type sureValue struct {
	write    int // -1: none was ever written
	from, to time.Duration
}

// sureHolds are by from. sums is what they have together, between one time and the
// next, for each capacity of which there is more than exclusive.
type sureHolds struct {
	list []sureHold
	sums map[uint32][]sum
}

type sum struct {
	from   time.Duration
	weight int64
}

func (m *model) certainties(lost []time.Duration) {
	for _, c := range m.calls {
		if c.rank >= 0 {
			m.sureOf(c)
		}
	}
	list := m.holds.list
	slices.SortFunc(list, func(a, b sureHold) int { return cmp.Compare(a.from, b.from) })
	last, partial := time.Duration(-1), map[uint32]bool{}
	for i := range list {
		last = max(last, list[i].to)
		list[i].before = last
		if list[i].weight < list[i].of {
			partial[list[i].of] = true
		}
	}
	m.holds.sums = map[uint32][]sum{}
	for of := range partial {
		m.holds.add(of)
	}
	m.sureValues(lost)
}

// sureOf adds a grant in pieces in which its phases have it weigh the same.
func (m *model) sureOf(c *call) {
	from, to := c.lock.Returned, min(c.opens, c.until())
	if to < from {
		return
	}
	var answered []*Op
	cuts := []time.Duration{from, to}
	for _, o := range c.changes {
		if o.answered() {
			answered = append(answered, o)
			cuts = append(cuts, o.Invoked, o.Returned)
		}
	}
	phases := m.phases[c.phase : c.phase+len(answered)+1]
	varies := false
	for i := range phases {
		varies = varies || phases[i].weight != c.weight || phases[i].lowers < Forever
		cuts = append(cuts, phases[i].lowers)
	}
	if !varies {
		m.holds.list = append(m.holds.list, sureHold{weight: c.weight, of: c.of, from: from, to: to})
		return
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	for i, t := range cuts[:len(cuts)-1] {
		if t < from || t >= to {
			continue
		}
		// Which phases it may be in between this cut and the next.
		least := c.of
		for k := range phases {
			if k > 0 && answered[k-1].Invoked > t || k < len(answered) && answered[k].Returned <= t {
				continue
			}
			w := phases[k].weight
			if phases[k].lowers <= t {
				w = phases[k].least
			}
			least = min(least, w)
		}
		m.holds.list = append(m.holds.list, sureHold{weight: least, of: c.of, from: t, to: min(to, cuts[i+1])})
	}
}

// add sums up one capacity.
func (h *sureHolds) add(of uint32) {
	var steps []sum
	for _, s := range h.list {
		if s.of == of && s.from < s.to {
			steps = append(steps, sum{s.from, int64(s.weight)}, sum{s.to, -int64(s.weight)})
		}
	}
	slices.SortFunc(steps, func(a, b sum) int { return cmp.Compare(a.from, b.from) })
	var sums []sum
	total := int64(0)
	for _, s := range steps {
		total += s.weight
		if n := len(sums); n > 0 && sums[n-1].from == s.from {
			sums[n-1].weight = total
		} else {
			sums = append(sums, sum{s.from, total})
		}
	}
	h.sums[of] = sums
}

// one says whether one of them that satisfies ok overlaps the step.
func (h *sureHolds) one(x *step, ok func(*sureHold) bool) bool {
	n, _ := slices.BinarySearchFunc(h.list, x.to, func(s sureHold, t time.Duration) int {
		if s.from <= t {
			return -1
		}
		return 1
	})
	for i := n - 1; i >= 0 && h.list[i].before >= x.from; i-- {
		if h.list[i].to >= x.from && ok(&h.list[i]) {
			return true
		}
	}
	return false
}

// most is how much they have together at some moment of the step.
func (h *sureHolds) most(x *step, of uint32) int64 {
	sums := h.sums[of]
	n, found := slices.BinarySearchFunc(sums, x.from, func(s sum, t time.Duration) int { return cmp.Compare(s.from, t) })
	if !found {
		n--
	}
	most := int64(0)
	for i := max(n, 0); i < len(sums) && sums[i].from <= x.to; i++ {
		most = max(most, sums[i].weight)
	}
	return most
}

// sureValues lists the writes that were answered, in the order of their tokens.
func (m *model) sureValues(lost []time.Duration) {
	var open, done []int
	for i, w := range m.writes {
		if w.op.Outcome == Done {
			done = append(done, i)
		} else {
			open = append(open, i)
		}
	}
	rank := func(w int) int { return m.phases[m.writes[w].phase].rank }
	slices.SortFunc(done, func(a, b int) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b)) })
	add := func(write, next int, from, to time.Duration) {
		if next < len(done) {
			to = min(to, m.writes[done[next]].op.Invoked)
		}
		for _, o := range open { // which may be carried out after it
			if write < 0 || rank(o) > rank(write) || o > write && rank(o) == rank(write) || m.phases[m.writes[o].phase].any() {
				to = min(to, m.writes[o].op.Invoked)
			}
		}
		if from <= to {
			m.values = append(m.values, sureValue{write, from, to})
		}
	}
	first := func(after time.Duration) time.Duration {
		first := Forever
		for _, at := range lost {
			if at >= after {
				first = min(first, at)
			}
		}
		return first
	}
	add(-1, 0, 0, first(0))
	for k, w := range done {
		o := m.writes[w].op
		add(w, k+1, o.Returned, first(o.Invoked))
	}
}

// certain says that the step needs no search.
func (m *model) certain(s *step) bool {
	switch s.kind {
	case busy:
		c := m.calls[s.call]
		return m.holds.one(s, func(h *sureHold) bool { return h.of == c.of && uint64(h.weight)+uint64(c.weight) > uint64(h.of) }) ||
			m.holds.most(s, c.of)+int64(c.weight) > int64(c.of)
	case capacity:
		return m.holds.one(s, func(h *sureHold) bool { return h.of != m.calls[s.call].of })
	case confirm:
		from, to := m.calls[s.call].sure()
		return max(from, s.from) <= min(to, s.to)
	case look:
		v := s.op.Value
		return s.op.Kind == Read && !v.Stale && slices.ContainsFunc(m.values, func(x sureValue) bool {
			return max(x.from, s.from) <= min(x.to, s.to) && m.shows(x.write, v)
		})
	}
	return false
}
