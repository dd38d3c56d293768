package linear

import (
	"fmt"
	"strings"
)

// This file puts states and reasons into words.

// say is a reason in the state that it was found in.
func (m *model) say(s *state, why reason) string {
	text := why.text
	if strings.Contains(text, "{call}") {
		if strings.HasPrefix(text, "{call}, ") && m.find(s, why.call) >= 0 { // has it, in full
			text = strings.Replace(text, "{call}", m.has(s, why.call), 1)
		} else {
			c := m.calls[why.call]
			text = strings.Replace(text, "{call}", fmt.Sprintf("call %d (client %d)", c.lock.Call, c.lock.Client), 1)
		}
	}
	value := "none"
	if s.value >= 0 {
		value = m.writes[s.value].op.String()
	}
	next, given := "", ""
	if s.granted < len(m.ranks) {
		r := m.ranks[s.granted]
		next = fmt.Sprintf("token %d of call %d (client %d)", r.token, m.calls[r.call].lock.Call, m.calls[r.call].lock.Client)
	}
	if s.granted > 0 {
		given = fmt.Sprintf("token %d", m.ranks[s.granted-1].token)
	}
	return strings.NewReplacer("{at}", why.at.String(), "{holders}", m.describe(s), "{value}", value, "{next}", next, "{given}", given).Replace(text)
}

// has says what a holder has.
func (m *model) has(s *state, call int) string {
	h := s.holders[m.find(s, call)]
	p := &m.phases[h.phase]
	c := m.calls[p.call]
	text := fmt.Sprintf("call %d (client %d) has it with token %d", c.lock.Call, c.lock.Client, p.token)
	if p.weight < c.of {
		text += " " + Mode{p.weight, c.of}.String()
	}
	if h.lost {
		text += ", lost"
	}
	return text
}

// describe says who has the key.
func (m *model) describe(s *state) string {
	if len(s.holders) == 0 {
		return "the key is free"
	}
	var all []string
	for _, h := range s.holders {
		all = append(all, m.has(s, m.phases[h.phase].call))
	}
	return strings.Join(all, "; ")
}

// describe is the operation that the step stands for.
func (x *step) describe() string {
	if x.kind == forget {
		return fmt.Sprintf("lost configuration [%v %v]", x.from, x.to)
	}
	return x.op.String()
}
