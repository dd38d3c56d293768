package linear

import "time"

// This file is what a try-lock can be refused for: the capacity of a key that is
// held with another one; no room beside the holders; or others that are before it
// in line, the first of whom finds no room.

// busy needs a holder, or several, beside whom it does not fit, or beside whom
// somebody who waits does not. Some of these may never have been told that they
// hold: then it is decided whether such a hold can have been at that moment, and
// the next grants wait until it can be over.
func (m *model) busy(s *state, x *step) reason {
	c := m.calls[x.call]
	of := int64(c.of)
	held, fixed, why := m.ofCapacity(s, x, true)
	if why.text != "" {
		return why
	}
	if held+int64(c.weight) > of || len(s.holders)+len(x.silent) >= maxHolders {
		return reason{}
	}
	start := Forever
	for i := range x.waits {
		w := &x.waits[i]
		if t := max(s.now, w.from); t <= min(x.to, w.to) && m.inLine(s, w) && held+m.lacks(s, w) > of {
			start = min(start, t)
		}
	}
	if start < Forever {
		s.now = start
		return reason{}
	}
	most, until := int64(0), Forever
	explain := func(lacks int64, not int) {
		sum, from, ends := int64(0), Forever, Forever
		for _, g := range x.silent {
			if t := max(s.now, g.from); g.of == c.of && g.call != not && fixed+int64(g.weight) <= of && t <= min(x.to, g.to) {
				sum, from, ends = sum+int64(g.weight), min(from, t), min(ends, g.ends)
			}
		}
		if held+min(sum, of-fixed)+lacks > of && sum > 0 {
			most, start, until = max(most, lacks), min(start, from), min(until, ends)
		}
	}
	explain(int64(c.weight), -1)
	for i := range x.waits {
		if w := &x.waits[i]; max(s.now, w.from) <= min(x.to, w.to) && m.inLine(s, w) {
			not := w.call
			if m.calls[not].lock.Delay > 0 { // it can wait for its own closed place
				not = -1
			}
			explain(m.lacks(s, w), not)
		}
	}
	if start == Forever {
		if len(s.holders) == 0 {
			return reason{text: "the key is free, and nobody can have held it without being told"}
		}
		return reason{text: "there is room beside the holders, and nobody can have been before it in line: {holders}"}
	}
	s.now = start
	m.shutUntil(s, until, of-held-most+1)
	return reason{}
}

// ofCapacity is how much the holders have, as much as it can be, and how much
// at least. Those of another capacity than the call's (same), or of the same (not
// same), must have left.
func (m *model) ofCapacity(s *state, x *step, same bool) (held, fixed int64, why reason) {
	c := m.calls[x.call]
	for i := len(s.holders) - 1; i >= 0; i-- {
		p := &m.phases[s.holders[i].phase]
		h := m.calls[p.call]
		switch {
		case (h.of == c.of) != same && h.opens > x.to:
			return 0, 0, reason{"{call} has it, until {at} at least", p.call, h.opens}
		case (h.of == c.of) != same:
			s.now = max(s.now, h.opens)
			m.leave(s, i, false)
			continue
		case h.opens > x.to && p.lowers <= x.to:
			fixed += int64(p.least)
		case h.opens > x.to:
			fixed += int64(p.weight)
		}
		held += int64(p.weight)
	}
	return held - s.gone, fixed, reason{}
}

// inLine says that a call, or its Upgrade, may wait.
func (m *model) inLine(s *state, w *wait) bool {
	if w.phase < 0 {
		rank := m.calls[w.call].rank
		return rank < 0 || s.granted <= rank
	}
	i := m.find(s, w.call)
	return i >= 0 && !s.holders[i].lost && w.open(s.holders[i])
}

// lacks is how much has to be free for who waits, counting what it has as taken. An
// Upgrade that nobody answered may have all, so nothing more can be.
func (m *model) lacks(s *state, w *wait) int64 {
	switch {
	case w.phase < 0:
		return int64(w.weight)
	case w.to == Forever:
		return int64(w.weight) + 1
	}
	return int64(w.weight) - int64(m.phases[s.holders[m.find(s, w.call)].phase].weight)
}

// otherCapacity needs a holder of another capacity.
func (m *model) otherCapacity(s *state, x *step) reason {
	held, _, why := m.ofCapacity(s, x, false)
	if why.text != "" {
		return why
	}
	if held > 0 {
		return reason{}
	}
	start, until := Forever, Forever
	for _, g := range x.silent {
		if t := max(s.now, g.from); g.of != m.calls[x.call].of && t <= min(x.to, g.to) {
			start, until = min(start, t), min(until, g.ends)
		}
	}
	if start == Forever {
		return reason{text: "nobody can have held the key with another capacity"}
	}
	s.now = start
	m.shutUntil(s, until, 1)
	return reason{}
}

// shutUntil notes that until then so much is held by who was not told. Of two
// such notes of which none says more, what both say is kept.
func (m *model) shutUntil(s *state, until time.Duration, by int64) {
	switch {
	case until <= s.shut && by <= s.shutBy:
	case until >= s.shut && by >= s.shutBy:
		s.shut, s.shutBy = until, by
	default:
		s.shut, s.shutBy = max(s.shut, until), min(s.shutBy, by)
	}
}
