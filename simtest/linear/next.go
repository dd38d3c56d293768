package linear

import (
	"cmp"
	"slices"
	"time"
)

// maxHolders is how many can hold a key at a time: more are told busy.
const maxHolders = 1024

// state is the key. Its slices are shared by many states, and never changed.
type state struct {
	granted int // how many of the tokens, in their order
	// holders were told, in the order of their grants. Who may have ended unseen stays
	// among them until something shows that it has, so together they may have more
	// than there is: then gone is how much of it at least is not there any more.
	holders []holder
	gone    int64
	now     time.Duration // not earlier than this
	shut    time.Duration // until then at least, shutBy is held by who was not told
	shutBy  int64
	value   int   // index in model.writes; -1: none
	maybe   []int // writes that may have come after it, none of which can come any more
	trust   trust
	path    path
}

// holder is who holds the key, in a phase of its grant. If it is lost it does not
// hold, but its place is closed.
type holder struct {
	phase int32
	lost  bool
}

// trust is what is known of the value.
type trust uint8

const (
	fresh trust = iota // it is the last one written
	stale              // a lost configuration may have had a newer one
	old                // it is any one that was ever written, stale, or none
)

func (s *state) equal(t *state) bool {
	return s.granted == t.granted && s.gone == t.gone && s.now == t.now && s.shut == t.shut && s.shutBy == t.shutBy &&
		s.value == t.value && s.trust == t.trust && slices.Equal(s.holders, t.holders) && slices.Equal(s.maybe, t.maybe)
}

// reason is why a step is not possible. The zero reason says that it is.
type reason struct {
	text string // {call}, {at}, {holders} … stand for what model.say puts there
	call int
	at   time.Duration
}

func (m *model) init() *state { return &state{value: -1} }

// next takes a step as early as it can be: all that the state keeps of time are
// lower bounds, so an earlier one never forbids more. It says why not, if not.
func (m *model) next(s state, x *step) (state, reason) {
	s.now = max(s.now, x.from)
	why := m.take(&s, x)
	if why.text == "" && s.now > x.to {
		why = reason{text: "what comes before it cannot be earlier than {at}", at: s.now}
	}
	if s.now >= s.shut {
		s.shut, s.shutBy = 0, 0
	}
	return s, why
}

func (m *model) take(s *state, x *step) reason {
	switch x.kind {
	case grant:
		return m.grant(s, x)
	case busy:
		return m.busy(s, x)
	case capacity:
		return m.otherCapacity(s, x)
	case look:
		return m.looked(s, x)
	case forget:
		return m.forgotten(s, x)
	case absent:
		if s.granted <= m.calls[x.call].rank {
			return reason{text: "it was not granted yet"}
		}
		return m.ended(s, x, m.find(s, x.call))
	case gone:
		return m.notThere(s, x)
	case refused:
		return m.refused(s, x)
	}
	// All others need the lock.
	i := m.find(s, x.call)
	switch {
	case i < 0 || s.holders[i].lost && x.kind != release && x.kind != evicted:
		return reason{text: "it does not hold the key: {holders}"}
	case x.kind == release:
		m.leave(s, i, false)
		return reason{}
	case x.kind == confirm:
		return reason{}
	case x.kind == evicted:
		if m.phases[s.holders[i].phase].token != x.op.Token {
			return reason{text: "it has another token: {holders}"}
		}
		return reason{}
	case int(s.holders[i].phase) != x.phase:
		return reason{text: "another change of it comes before"}
	case x.kind == changed:
		return m.changed(s, x, i)
	case x.kind == conflict:
		return m.conflict(s, x, i)
	}
	return m.wrote(s, x, i)
}

func (m *model) holderCall(h holder) *call { return m.calls[m.phases[h.phase].call] }

// find is where a call is among the holders, -1 if it is not.
func (m *model) find(s *state, call int) int {
	for i, h := range s.holders {
		if m.phases[h.phase].call == call {
			return i
		}
	}
	return -1
}

// leave takes a holder out, or closes its place. What it may have written it has
// written.
func (m *model) leave(s *state, i int, closes bool) {
	m.settle(s, i)
	if closes {
		s.holders = slices.Clone(s.holders)
		s.holders[i].lost = true
		return
	}
	s.gone = max(0, s.gone-m.mayLack(s.holders[i]))
	rest := make([]holder, 0, len(s.holders)-1)
	s.holders = append(append(rest, s.holders[:i]...), s.holders[i+1:]...)
	if len(s.holders) == 0 {
		s.holders = nil
	}
}

// advance begins the next phase of a holder.
func (m *model) advance(s *state, i int) {
	m.settle(s, i)
	s.holders = slices.Clone(s.holders)
	h := &s.holders[i]
	was, could := m.phases[h.phase].weight, m.mayLack(*h)
	h.phase++
	if now := m.phases[h.phase].weight; now < was {
		could = max(could, int64(was-now))
	}
	s.gone = max(0, s.gone-could)
}

// mayLack is how much of its weight a holder may not have any more: none, if it is
// there until its Unlock.
func (m *model) mayLack(h holder) int64 {
	p := &m.phases[h.phase]
	switch {
	case m.calls[p.call].opens < Forever:
		return int64(p.weight)
	case p.lowers < Forever:
		return int64(p.weight - p.least)
	}
	return 0
}

// settle ends a phase: writes in it that nobody answered have been carried out by
// now, or never will be.
func (m *model) settle(s *state, i int) {
	h := s.holders[i]
	p := &m.phases[h.phase]
	if h.lost || p.first == p.last || !m.all(p, Forever-1) {
		return
	}
	first := p.first
	if s.value >= p.first && s.value < p.last {
		first = s.value + 1 // one with a higher number was seen
	}
	s.maybe = slices.Clone(s.maybe)
	for w := first; w < p.last; w++ {
		s.maybe = append(s.maybe, w)
	}
}

func (m *model) grant(s *state, x *step) reason {
	c := m.calls[x.call]
	if s.granted != c.rank {
		return outOfOrder(s, c.rank)
	}
	if why := m.room(s, x, c.weight, c.of); why.text != "" {
		return why
	}
	s.granted++
	s.holders = append(s.holders[:len(s.holders):len(s.holders)], holder{phase: int32(c.phase)})
	return reason{}
}

func outOfOrder(s *state, rank int) reason {
	if rank < s.granted {
		return reason{text: "{given} was given before"}
	}
	return reason{text: "the lower {next} is not given yet"}
}

// room is when the step's call fits beside the others with this weight. Whoever
// must have left for that is taken out; of several that may have, it stays open
// which have.
func (m *model) room(s *state, x *step, weight, of uint32) reason {
	need, gain, stay := int64(weight)-int64(of), int64(0), int64(weight)
	for i := len(s.holders) - 1; i >= 0; i-- {
		p := &m.phases[s.holders[i].phase]
		if p.call == x.call {
			continue
		}
		c := m.calls[p.call]
		w := int64(p.weight)
		switch {
		case c.of != of && c.opens > x.to:
			return reason{"{call} has it with another capacity, until {at} at least", p.call, c.opens}
		case c.of != of:
			s.now = max(s.now, c.opens)
			m.leave(s, i, false)
			continue
		case c.opens <= x.to:
			gain += w
		case p.lowers <= x.to:
			gain, stay = gain+w-int64(p.least), stay+int64(p.least)
		default:
			stay += w
		}
		need += w
	}
	if need > gain {
		return m.inTheWay(s, x)
	}
	if need > 0 {
		m.makeRoom(s, x, need, gain)
	}
	if s.shut > s.now && stay+s.shutBy > int64(of) {
		if s.now = s.shut; s.now > x.to {
			return reason{text: "a busy before it needs a holder that was not told, until {at} at least", at: s.shut}
		}
	}
	return reason{}
}

// inTheWay names a holder that leaves no room.
func (m *model) inTheWay(s *state, x *step) reason {
	for _, h := range s.holders {
		p := &m.phases[h.phase]
		if c := m.calls[p.call]; p.call != x.call && c.opens > x.to {
			if c.opens == Forever {
				return reason{text: "{call}, until it is unlocked", call: p.call}
			}
			return reason{"{call}, until {at} at least", p.call, c.opens}
		}
	}
	return reason{text: "there is no room: {holders}"}
}

// makeRoom takes out who must have left if as much as need is to be free, of gain
// that may be.
func (m *model) makeRoom(s *state, x *step, need, gain int64) {
	type part struct {
		at time.Duration
		w  int64
	}
	var few [8]part
	parts := few[:0]
	left := need
	for i := len(s.holders) - 1; i >= 0; i-- {
		p := &m.phases[s.holders[i].phase]
		c := m.calls[p.call]
		if p.call == x.call {
			continue
		}
		w, least := int64(p.weight), int64(p.weight)
		if p.lowers <= x.to {
			least = int64(p.least)
		}
		if c.opens <= x.to && gain-least < need {
			s.now = max(s.now, c.opens)
			m.leave(s, i, false)
			left -= w
			continue
		}
		if least < w {
			parts = append(parts, part{p.lowers, w - least})
		}
		if c.opens <= x.to {
			parts = append(parts, part{c.opens, least})
		}
	}
	if left <= 0 {
		return
	}
	s.gone = max(s.gone, left)
	slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a.at, b.at) })
	for _, p := range parts {
		if left <= 0 {
			break
		}
		s.now = max(s.now, p.at)
		left -= p.w
	}
}

// ended is an answer that a holder was not there any more.
func (m *model) ended(s *state, x *step, i int) reason {
	if i < 0 || s.holders[i].lost {
		return reason{}
	}
	c := m.holderCall(s.holders[i])
	if s.now = max(s.now, c.ends); s.now > x.to {
		if c.ends == Forever {
			return reason{text: "nothing can have ended its lock before its Unlock"}
		}
		return reason{text: "nothing can have ended its lock before {at}", at: c.ends}
	}
	m.leave(s, i, c.lock.Delay > 0)
	return reason{}
}

// notThere is an answer that nobody holds with a token.
func (m *model) notThere(s *state, x *step) reason {
	if x.op.Outcome == Done && s.granted <= m.phases[x.phase].rank {
		return reason{text: "it was not granted yet"}
	}
	i := m.find(s, x.call)
	if i >= 0 {
		if p := &m.phases[s.holders[i].phase]; p.token != x.op.Token || p.loose || p.rises <= x.to {
			return reason{}
		}
	}
	return m.ended(s, x, i)
}

func (m *model) changed(s *state, x *step, i int) reason {
	p, q := &m.phases[x.phase], &m.phases[x.phase+1]
	if x.op.Kind == Upgrade {
		if s.granted != q.rank {
			return outOfOrder(s, q.rank)
		}
		if why := m.room(s, x, q.weight, x.op.Mode.of()); why.text != "" {
			return why
		}
		i = m.find(s, x.call) // others may have left
		s.granted++
	} else if q.weight > p.weight && p.rises > x.to {
		return reason{text: "it had less than that: {holders}"}
	}
	m.advance(s, i)
	return reason{}
}

// all says that nobody can hold the key beside a phase, as far as is known at that
// time.
func (m *model) all(p *phase, at time.Duration) bool {
	return p.weight == m.calls[p.call].of || p.rises <= at
}

func (m *model) wrote(s *state, x *step, i int) reason {
	if !m.all(&m.phases[x.phase], x.to) {
		return reason{text: "it does not hold all of the key: {holders}"}
	}
	of := m.calls[x.call].of
	if why := m.room(s, x, of, of); why.text != "" {
		return why
	}
	m.advance(s, m.find(s, x.call))
	s.value, s.maybe, s.trust = x.written, nil, fresh
	return reason{}
}

// refused is a change that the owner did not carry out, since the lock was not
// held, or not all of the key.
func (m *model) refused(s *state, x *step) reason {
	i := m.find(s, x.call)
	if i < 0 || s.holders[i].lost {
		if s.granted <= m.calls[x.call].rank {
			return reason{text: "it was not granted yet"}
		}
		return reason{}
	}
	if int(s.holders[i].phase) != x.phase {
		return reason{text: "another change of it comes before"}
	}
	p := &m.phases[x.phase]
	c := m.calls[p.call]
	if c.ousted <= x.to || x.op.Kind >= Set && (p.weight < c.of || p.lowers <= x.to) {
		m.advance(s, i) // K13: to who was told to let go the owner says the same
		return reason{}
	}
	return m.ended(s, x, i)
}

// conflict is an Upgrade that another holder stood against.
func (m *model) conflict(s *state, x *step, i int) reason {
	of, own := m.calls[x.call].of, m.phases[x.phase].weight
	if p := &m.phases[x.phase]; p.lowers <= x.to {
		own = p.least
	}
	for j, h := range s.holders {
		if j != i && !h.lost && m.phases[h.phase].weight > of/2 {
			m.advance(s, i)
			return reason{}
		}
	}
	start := Forever
	for _, w := range x.waits {
		if j := m.find(s, w.call); j >= 0 && !s.holders[j].lost && w.open(s.holders[j]) {
			if t := max(s.now, w.from); t <= min(x.to, w.to) {
				start = min(start, t)
			}
		}
	}
	for _, g := range x.silent {
		beside := g.of == of && g.weight > of/2 && uint64(own)+uint64(g.weight) <= uint64(of)
		if t := max(s.now, g.from); beside && t <= min(x.to, g.to) {
			start = min(start, t)
		}
	}
	if start == Forever {
		return reason{text: "no other holder can have wanted to go up: {holders}"}
	}
	s.now = start
	m.advance(s, i)
	return reason{}
}

// open says that the Upgrade is not carried out yet in the holder's phase.
func (w *wait) open(h holder) bool {
	if w.to == Forever {
		return int(h.phase) == w.phase
	}
	return int(h.phase) <= w.phase
}
