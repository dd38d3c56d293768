package linear

import (
	"cmp"
	"slices"
	"time"
)

// This file finds what comes before what in every order, and narrows the times of
// the steps by it: a step is not earlier than one that comes before it can be, nor
// later than one that comes after it. It spares the search most of its choices, and
// often is the verdict.

// bound is what set the times of a step.
type bound struct {
	after, before int32  // other steps; -1: none
	why           reason // it has been made later for this
}

// order narrows all steps. It returns why there is no order, if that is clear.
func (m *model) order() string {
	if !m.wide {
		return ""
	}
	e := &edges{m: m, ofCall: make([][]int32, len(m.calls)), bounds: make([]bound, len(m.steps))}
	for i := range m.steps {
		e.bounds[i] = bound{after: -1, before: -1}
		if c := m.steps[i].call; c >= 0 {
			e.ofCall[c] = append(e.ofCall[c], int32(i))
		}
	}
	e.tokens()
	e.calls()
	e.room()
	e.looks()
	e.values()
	return e.narrow()
}

// more says that there is more than exclusive locks.
func (m *model) more() bool {
	if len(m.holds.sums) > 0 || len(m.phases) > len(m.ranks) {
		return true
	}
	return slices.ContainsFunc(m.steps, func(s step) bool { return s.call < 0 || s.kind == gone || s.kind == evicted || s.kind == capacity })
}

// edges are pairs of steps of which the first comes before the second.
type edges struct {
	m      *model
	list   [][2]int32
	ofCall [][]int32
	given  []int32 // by rank: the step that gave the token
	closed []int32 // by call: the step that ended it; -1: none
	bounds []bound
}

func (e *edges) add(a, b int32) {
	if a >= 0 && b >= 0 && a != b {
		e.list = append(e.list, [2]int32{a, b})
	}
}

// notBefore makes a step later.
func (e *edges) notBefore(i int32, at time.Duration, call int, text string) {
	if s := &e.m.steps[i]; s.from < at {
		s.from = at
		e.bounds[i].why = reason{text, call, at}
	}
}

// tokens are given in their order.
func (e *edges) tokens() {
	m := e.m
	e.given = make([]int32, len(m.ranks))
	for i := range m.steps {
		switch s := &m.steps[i]; {
		case s.kind == grant:
			e.given[m.calls[s.call].rank] = int32(i)
		case s.kind == changed && s.op.Kind == Upgrade:
			e.given[m.phases[s.phase+1].rank] = int32(i)
		}
	}
	for i := 1; i < len(e.given); i++ {
		e.add(e.given[i-1], e.given[i])
	}
}

// proves says that the lock was held then.
func (s *step) proves() bool {
	return s.kind == confirm || s.kind == changed || s.kind == conflict || s.kind == wrote || s.kind == evicted
}

// calls: what a call was told of its lock comes after the grant, and before the
// end; its changes are in their order.
func (e *edges) calls() {
	m := e.m
	e.closed = make([]int32, len(m.calls))
	for n, c := range m.calls {
		e.closed[n] = -1
		if c.rank < 0 {
			continue
		}
		grant, last := e.given[c.rank], int32(-1)
		var ends []int32
		for _, i := range e.ofCall[n] {
			switch m.steps[i].kind {
			case release:
				e.closed[n] = i
				ends = append(ends, i)
			case absent:
				ends = append(ends, i)
			}
		}
		for _, i := range e.ofCall[n] {
			s := &m.steps[i]
			if s.kind != gone || s.op.Outcome == Done {
				e.add(grant, i)
			}
			if s.kind == gone {
				e.gone(i, c)
			}
			if s.proves() {
				for _, end := range ends {
					e.add(i, end)
				}
			}
			if s.kind == changed || s.kind == conflict || s.kind == wrote {
				e.add(last, i)
				last = i
			}
		}
	}
}

// gone: nobody holds with a token any more, or not yet.
func (e *edges) gone(i int32, c *call) {
	m := e.m
	s := &m.steps[i]
	last := len(m.phases) - 1 // of the call
	for last >= c.phase && m.phases[last].call != s.call {
		last--
	}
	p := &m.phases[s.phase]
	early := s.op.Outcome != Done && s.from <= m.steps[e.given[p.rank]].to
	switch {
	case early || e.loose(s.call):
	case m.phases[last].token != p.token: // it got another one
		for k := s.phase; k <= last; k++ {
			if m.phases[k].token != p.token {
				e.add(e.given[m.phases[k].rank], i)
				return
			}
		}
	case c.ends == Forever:
		e.add(e.closed[s.call], i)
	default:
		e.notBefore(i, min(c.ends, c.until()), s.call, "nothing can have ended its lock before {at}")
	}
}

// room: who leaves no room for a later grant comes to its end before.
func (e *edges) room() {
	m := e.m
	for r := range m.ranks {
		later := &m.steps[e.given[r]]
		weight, of := m.calls[later.call].weight, m.calls[later.call].of
		if later.kind == changed {
			weight = m.phases[later.phase+1].weight
		}
		for q := r - 1; q >= 0; q-- {
			n := m.ranks[q].call
			c := m.calls[n]
			least := c.of
			for p := c.phase; p < len(m.phases) && m.phases[p].call == n; p++ {
				if m.phases[p].rank >= q {
					least = min(least, m.phases[p].least)
				}
			}
			if n == later.call || c.of == of && uint64(least)+uint64(weight) <= uint64(of) {
				continue
			}
			e.leaves(n, e.given[r])
			if least == c.of {
				break // whoever had it before has left before this one
			}
		}
	}
}

// leaves: the call's lock is over, and its place open, before the step.
func (e *edges) leaves(n int, before int32) {
	m := e.m
	for _, i := range e.ofCall[n] {
		if s := &m.steps[i]; s.kind == release || s.proves() && m.calls[n].lock.Delay == 0 {
			e.add(i, before)
		}
	}
	if c := m.calls[n]; c.opens < Forever {
		e.notBefore(before, c.opens, n, "{call} has it, until {at} at least")
	}
}

// looks: an Inspect comes after the grants that it shows, before these end, and
// after the end of those with lower tokens that it does not show.
func (e *edges) looks() {
	m := e.m
	index := map[*Op]int32{}
	for i := range m.steps {
		if m.steps[i].kind == look {
			index[m.steps[i].op] = int32(i)
		}
	}
	for i := range m.steps {
		s := &m.steps[i]
		if s.kind == look && m.before[s.op] != nil {
			e.add(index[m.before[s.op]], int32(i))
		}
		if s.kind != look || s.op.Kind != Inspect || len(s.op.Holders) == 0 {
			continue
		}
		top := 0 // ranks below it are given
		for _, h := range s.op.Holders {
			n, known := m.ranked(h.Token)
			if known {
				e.add(e.given[n], int32(i))
				if n++; !h.Lost {
					e.shown(int32(i), m.ranks[n-1].call, h.Token)
				}
			} else if n > 0 {
				e.add(e.given[n-1], int32(i))
			}
			top = max(top, n)
		}
		for r := range top {
			n, t := m.ranks[r].call, m.ranks[r].token
			if e.loose(n) || slices.ContainsFunc(s.op.Holders, func(h Holder) bool { return h.Token == t }) {
				continue
			}
			// It is closed, or has another token.
			if k := slices.IndexFunc(m.ranks[r+1:], func(x rank) bool { return x.call == n }); k >= 0 {
				e.add(e.given[r+1+k], int32(i))
			} else {
				e.add(e.closed[n], int32(i))
			}
		}
	}
}

// loose says that a call may have a token that nobody was told.
func (e *edges) loose(n int) bool {
	m := e.m
	for p := m.calls[n].phase; p < len(m.phases) && m.phases[p].call == n; p++ {
		if m.phases[p].any() {
			return true
		}
	}
	return false
}

// shown: a call holds with a token when it is seen.
func (e *edges) shown(look int32, n int, token uint64) {
	m := e.m
	for _, i := range e.ofCall[n] {
		s := &m.steps[i]
		switch {
		case s.kind == release || s.kind == absent:
			e.add(look, i)
		case s.kind == changed && s.op.Kind == Upgrade && s.op.Token > token:
			e.add(look, i)
		}
	}
}

// values: a value is seen after it was written and before the next one is. Only
// of a value that was written once it is known which write that was.
func (e *edges) values() {
	m := e.m
	var done []int32 // steps, in the order of tokens
	steps := map[int]int32{}
	for i := range m.steps {
		if m.steps[i].kind == wrote {
			done = append(done, int32(i))
			steps[m.steps[i].written] = int32(i)
		}
	}
	rank := func(w int) int { return m.phases[m.writes[w].phase].rank }
	written := func(i int32) int { return m.steps[i].written }
	slices.SortFunc(done, func(a, b int32) int {
		return cmp.Or(cmp.Compare(rank(written(a)), rank(written(b))), cmp.Compare(written(a), written(b)))
	})
	for k := 1; k < len(done); k++ {
		e.add(done[k-1], done[k])
	}
	for i := range m.steps {
		s := &m.steps[i]
		if s.kind != look || s.op.Value.Token == 0 || s.op.Value.Stale {
			continue
		}
		w := s.written
		if slices.ContainsFunc(m.writes[w+1:], func(x write) bool { return x.shows(s.op.Value) }) {
			continue
		}
		if by, ok := steps[w]; ok {
			e.add(by, int32(i))
		} else {
			e.notBefore(int32(i), m.writes[w].op.Invoked, 0, "nobody asked to write that before {at}")
			e.add(e.given[rank(w)], int32(i))
		}
		if m.phases[m.writes[w].phase].any() {
			continue
		}
		next := slices.IndexFunc(done, func(d int32) bool {
			x := written(d)
			return rank(x) > rank(w) || rank(x) == rank(w) && x > w
		})
		if next >= 0 {
			e.add(int32(i), done[next])
		}
	}
}

// narrow carries the times over the edges until nothing changes.
func (e *edges) narrow() string {
	steps := e.m.steps
	for again := true; again; {
		again = false
		for _, ab := range e.list {
			a, b := &steps[ab[0]], &steps[ab[1]]
			if b.from < a.from {
				b.from, again = a.from, true
				e.bounds[ab[1]] = bound{ab[0], e.bounds[ab[1]].before, reason{}}
			}
			if b.from > b.to {
				return e.contradiction(ab[1])
			}
		}
		for i := len(e.list) - 1; i >= 0; i-- {
			ab := e.list[i]
			a, b := &steps[ab[0]], &steps[ab[1]]
			if a.to > b.to {
				a.to, again = b.to, true
				e.bounds[ab[0]].before = ab[1]
			}
			if a.from > a.to {
				return e.contradiction(ab[0])
			}
		}
	}
	return ""
}

// contradiction says what a step comes after, and what before.
func (e *edges) contradiction(i int32) string {
	m := e.m
	text := "no order explains what clients were told\n  no place for " + m.steps[i].describe()
	j := i
	for n := 0; e.bounds[j].after >= 0 && n < 3; n++ {
		j = e.bounds[j].after
		text += "\n    after " + m.steps[j].describe()
	}
	if why := e.bounds[j].why; why.text != "" {
		text += ": " + m.say(m.init(), why)
	}
	j = i
	for n := 0; e.bounds[j].before >= 0 && n < 3; n++ {
		j = e.bounds[j].before
		text += "\n    before " + m.steps[j].describe()
	}
	return text
}
