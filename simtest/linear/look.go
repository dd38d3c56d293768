package linear

import (
	"slices"
	"time"
)

// This file is what those are told who only look.

// looked is a Read, or an Inspect.
func (m *model) looked(s *state, x *step) reason {
	if x.op.Kind == Inspect {
		if why := m.inspected(s, x); why.text != "" {
			return why
		}
	}
	return m.read(s, x)
}

// inspected compares the holders with those that were seen. Of who was not told
// that it holds only the number is compared.
func (m *model) inspected(s *state, x *step) reason {
	strangers := 0
	for _, h := range x.op.Holders {
		n, known := m.ranked(h.Token)
		if n > s.granted || known && n == s.granted {
			return reason{text: "a lower token, or the same one, is not given yet"}
		}
		if !known {
			strangers++
			continue
		}
		i := m.find(s, m.ranks[n].call)
		if i < 0 || m.phases[s.holders[i].phase].token != h.Token {
			return reason{text: "{call} does not hold with the token that was seen: {holders}", call: m.ranks[n].call}
		}
		if why := m.seen(s, x, i, h); why.text != "" {
			return why
		}
	}
	for i := len(s.holders) - 1; i >= 0; i-- {
		p := &m.phases[s.holders[i].phase]
		c := m.calls[p.call]
		switch {
		case slices.ContainsFunc(x.op.Holders, func(h Holder) bool { return h.Token == p.token }):
		case strangers > 0 && (p.loose || p.rises <= x.to): // it may be there under another token
		case c.opens > x.to:
			return reason{"{call} was not seen, and has it until {at} at least", p.call, c.opens}
		default:
			s.now = max(s.now, c.opens)
			m.leave(s, i, false)
		}
	}
	s.gone = 0
	if strangers == 0 {
		if s.now = max(s.now, s.shut); s.now > x.to {
			return reason{text: "a busy before it needs a holder that was not told, until {at} at least", at: s.shut}
		}
		return reason{}
	}
	return m.strangers(s, x)
}

// seen is one holder of an Inspect.
func (m *model) seen(s *state, x *step, i int, h Holder) reason {
	p := &m.phases[s.holders[i].phase]
	c := m.calls[p.call]
	w := h.Mode.weight()
	switch {
	case h.Lost && c.lock.Delay == 0:
		return reason{text: "{call} has no Delay, and its place was seen closed", call: p.call}
	case h.Lost:
		return m.ended(s, x, i)
	case s.holders[i].lost:
		return reason{text: "{call} was lost, and seen holding", call: p.call}
	case h.Mode.of() != c.of || w != p.weight && !p.may(w, x.to, c.of):
		return reason{text: "{call} was seen holding something else", call: p.call}
	}
	return reason{}
}

// may says that it may have had this weight by then, after changes that were not
// answered.
func (p *phase) may(weight uint32, by time.Duration, of uint32) bool {
	return p.rises <= by && weight == of || slices.ContainsFunc(p.downs, func(d down) bool { return d.weight == weight && d.from <= by })
}

// strangers are holders with tokens that nobody was told.
func (m *model) strangers(s *state, x *step) reason {
	if x.crowd {
		return reason{}
	}
	loose := 0 // holders that may have got another token
	for _, h := range s.holders {
		p := &m.phases[h.phase]
		if (p.loose || p.rises <= x.to) && !slices.ContainsFunc(x.op.Holders, func(h Holder) bool { return h.Token == p.token }) {
			loose++
		}
	}
	certain := loose == 0
	var taken []int // calls
	start, until, by := s.now, Forever, int64(0)
	for _, h := range x.op.Holders {
		if _, known := m.ranked(h.Token); known || h.Lost {
			continue
		}
		from, free := Forever, -1
		for _, g := range x.silent {
			if t := max(s.now, g.from); g.weight == h.Mode.weight() && g.of == h.Mode.of() && t <= min(x.to, g.to) {
				from, until = min(from, t), min(until, g.ends)
				if !slices.Contains(taken, g.call) {
					free = g.call
				}
			}
		}
		switch {
		case free >= 0:
			taken = append(taken, free)
			start, by = max(start, from), by+int64(h.Mode.weight())
		case loose > 0:
			loose--
		default:
			return reason{text: "nobody can have held the key without being told as it was seen"}
		}
	}
	if certain && by > 0 {
		s.now = start
		m.shutUntil(s, until, by)
	}
	return reason{}
}

// read compares the value with what was seen.
func (m *model) read(s *state, x *step) reason {
	v := x.op.Value
	switch {
	case s.trust == old && v.Stale:
		s.value, s.trust, s.maybe = x.written, stale, nil
		return reason{}
	case s.trust == old && v.Token == 0:
		s.value, s.trust, s.maybe = -1, fresh, nil
		return reason{}
	case s.trust != old && v.Stale == (s.trust == stale) && m.shows(s.value, v):
		s.maybe = nil
		return reason{}
	case v.Stale:
		return reason{text: "the value is another one, or not stale: {value}"}
	}
	for _, w := range s.maybe {
		if m.shows(w, v) {
			s.value, s.trust, s.maybe = w, fresh, nil
			return reason{}
		}
	}
	// One that the holder is about to write, or has just written.
	for _, h := range s.holders {
		p := &m.phases[h.phase]
		if h.lost || !m.all(p, x.to) {
			continue
		}
		for w := p.first; w < p.last; w++ {
			passed := s.value >= w && s.value < p.last
			if o := m.writes[w].op; !passed && o.Invoked <= x.to && m.shows(w, v) {
				s.now = max(s.now, o.Invoked)
				s.value, s.trust, s.maybe = w, fresh, nil
				return reason{}
			}
		}
	}
	if s.value < 0 {
		return reason{text: "there is no value"}
	}
	return reason{text: "the value is another one, {value}"}
}

func (m *model) shows(w int, v Value) bool {
	if w < 0 {
		return v.Token == 0
	}
	return m.writes[w].shows(v)
}

// forgotten is a lost configuration: the owner begins without holders, when all of
// them must be over, and with an old value, or none.
func (m *model) forgotten(s *state, x *step) reason {
	for _, h := range s.holders {
		if c := m.holderCall(h); !h.lost {
			if s.now = max(s.now, c.ends); s.now > x.to {
				return reason{"{call} has it, until {at} at least", m.phases[h.phase].call, c.ends}
			}
		}
	}
	if s.now = max(s.now, s.shut); s.now > x.to {
		return reason{text: "a busy before it needs a holder that was not told, until {at} at least", at: s.shut}
	}
	s.holders, s.gone = nil, 0
	s.value, s.trust, s.maybe = -1, old, nil
	return reason{}
}
