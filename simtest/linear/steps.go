package linear

import (
	"cmp"
	"slices"
	"time"
)

// This file makes steps of what clients were told, each with all that may explain it.

// add makes steps of what a call was told.
func (m *model) add(n int, c *call) {
	switch c.lock.Outcome {
	case Granted:
		m.one(step{kind: grant, call: n, op: c.lock})
	case Busy:
		m.one(step{kind: busy, call: n, op: c.lock})
	case Capacity:
		m.one(step{kind: capacity, call: n, op: c.lock})
	}
	for _, r := range c.renews {
		switch r.Outcome {
		case Renewed:
			m.one(step{kind: confirm, call: n, op: r})
		case Missing:
			m.one(step{kind: absent, call: n, op: r})
		}
	}
	if c.rank < 0 {
		return
	}
	p := c.phase
	for _, o := range c.changes {
		if o.answered() {
			s := step{kind: changed, call: n, phase: p, op: o}
			switch {
			case o.Outcome == NotHeld:
				s.kind = refused
			case o.Outcome == Conflict:
				s.kind = conflict
			case o.Kind >= Set:
				s.kind, s.written = wrote, m.phases[p].last
			}
			m.one(s)
			p++
		}
	}
	if u := c.unlock; u != nil {
		switch {
		case u.Outcome == Released:
			m.one(step{kind: release, call: n, op: u})
		case u.Outcome == NotHeld && !c.lost():
			m.one(step{kind: absent, call: n, op: u})
		}
	}
}

// look makes steps of what no call did.
func (m *model) look(o *Op) string {
	if !o.answered() {
		return ""
	}
	s := step{kind: look, call: -1, op: o, from: o.Invoked, to: o.Returned, written: -1}
	if o.Kind != Evict {
		if v := o.Value; v.Token != 0 {
			s.written = slices.IndexFunc(m.writes, func(w write) bool { return w.shows(v) && w.op.Invoked <= s.to })
			if s.written < 0 {
				return "nobody has written that"
			}
		} else if v != (Value{}) {
			return "a value without a token"
		}
		m.one(s)
		return ""
	}
	s.phase = slices.IndexFunc(m.phases, func(p phase) bool { return p.token == o.Token })
	switch {
	case s.phase >= 0:
		m.evictions[o.Token] = append(m.evictions[o.Token], s)
	case o.Outcome == Done && len(m.silentIn(&s)) == 0 && !m.risesIn(&s):
		return "nobody ever had that token"
	}
	return ""
}

// evict makes steps of all evictions of one token. Many may want the same one, and
// the one that was there last and the one that came first to its end speak for all.
func (m *model) evict(list []step) {
	p := &m.phases[list[0].phase]
	given := m.ranks[p.rank].op.Returned
	last, first := -1, -1
	for i := range list {
		s := &list[i]
		s.call = p.call
		if s.op.Outcome == Done && (last < 0 || s.from > list[last].from) {
			last = i
		}
		if s.over(given) && (first < 0 || s.to < list[first].to) {
			first = i
		}
	}
	for i, s := range list {
		if s.op.Outcome == Done {
			s.kind = evicted
			if i == last || s.to < given {
				m.one(s)
			} else {
				m.sure = append(m.sure, s.op)
			}
		}
		s.kind = gone
		if i == first || !s.over(given) {
			m.one(s)
		} else {
			m.sure = append(m.sure, s.op)
		}
	}
}

// over says that an eviction found nobody because it came after that one.
func (s *step) over(given time.Duration) bool {
	return s.op.Outcome == Done || s.from > given
}

// one finds out what overlaps a step, and whether it has to be ordered.
func (m *model) one(s step) {
	s.from, s.to = s.op.Invoked, s.op.Returned
	if m.certain(&s) {
		m.sure = append(m.sure, s.op)
		return
	}
	switch s.kind {
	case busy, conflict:
		s.silent, s.waits = m.silentIn(&s), m.waitsIn(&s)
	case capacity:
		s.silent = m.silentIn(&s)
	case look:
		m.strangersIn(&s)
	}
	m.steps = append(m.steps, s)
}

func (m *model) silentIn(s *step) []silent {
	var found []silent
	for _, g := range m.silent {
		self := g.call == s.call && m.calls[g.call].lock.Delay == 0 // with a Delay it can stand before its own closed place
		if !self && g.from <= s.to && g.to >= s.from {
			found = append(found, g)
		}
	}
	return found
}

// few is how many may come into question for one that was seen.
const few = 32

// strangersIn finds who may have been seen without having been told that it holds.
func (m *model) strangersIn(s *step) {
	for _, h := range s.op.Holders {
		if _, known := m.ranked(h.Token); known || h.Lost {
			continue
		}
		for _, g := range m.silent {
			if g.weight == h.Mode.weight() && g.of == h.Mode.of() && g.from <= s.to && g.to >= s.from {
				if s.silent = append(s.silent, g); len(s.silent) > few {
					s.silent, s.crowd = nil, true
					return
				}
			}
		}
	}
}

// watches finds which look answers the same watch as another one, after it.
func (m *model) watches(looks []*Op) {
	type watch struct{ call, client int }
	looks = slices.Clone(looks)
	slices.SortStableFunc(looks, func(a, b *Op) int { return cmp.Compare(a.Returned, b.Returned) })
	last := map[watch]*Op{}
	for _, o := range looks {
		if o.Kind != Inspect || o.Outcome != Done {
			continue
		}
		w := watch{o.Call, o.Client}
		if last[w] != nil {
			m.before[o] = last[w]
		}
		last[w] = o
	}
}

// waitsIn lists the others that may be in line during a step.
func (m *model) waitsIn(s *step) []wait {
	var found []wait
	add := func(w wait) {
		if w.from <= s.to && w.to >= s.from {
			found = append(found, w)
		}
	}
	whole := m.calls[s.call].weight == m.calls[s.call].of // then nobody in line wants more
	for n, c := range m.calls {
		if n == s.call || c.of != m.calls[s.call].of {
			continue
		}
		from, to := c.waits()
		if s.kind == busy && !whole {
			add(wait{call: n, phase: -1, weight: c.weight, from: from, to: to})
		}
		if c.rank < 0 {
			continue
		}
		p := c.phase
		for _, o := range c.changes {
			if o.Kind == Upgrade && o.answered() {
				add(wait{n, p, c.of, o.Invoked, o.Returned})
			}
			if o.answered() {
				p++
			}
		}
		for p := c.phase; p < len(m.phases) && m.phases[p].call == n; p++ {
			if from := m.phases[p].rises; from < Forever {
				add(wait{n, p, c.of, from, Forever})
			}
		}
	}
	return found
}

// risesIn says that a holder may have been given a new token and not been told.
func (m *model) risesIn(s *step) bool {
	return slices.ContainsFunc(m.phases, func(p phase) bool { return (p.loose || p.rises <= s.to) && p.token < s.op.Token })
}
