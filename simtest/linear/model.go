package linear

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// step is an operation of the model.
type step struct {
	kind     stepKind
	index    int // in model.steps
	call     int // index in model.calls; -1: a look
	phase    int // change: which one it ends; evicted, gone: the first with the token
	op       *Op
	from, to time.Duration
	written  int      // wrote: index in model.writes; look: what a stale value can be
	silent   []silent // the holds by others that nobody was told of and that overlap it
	crowd    bool     // look: there are too many of these to tell who was seen
	after    int      // the answer of the same watch before this one; -1: none
	waits    []wait   // the others that may be in line then
}

type stepKind uint8

const (
	grant stepKind = iota
	busy
	capacity
	release
	confirm
	absent
	changed  // Upgrade and Downgrade
	conflict // an Upgrade is refused
	wrote
	refused // a change, since the lock is not held, or not all of the key
	look
	evicted // it was there to be evicted
	gone    // nobody holds with the token of an Evict
	forget  // History.Lost
)

// wait is a time in which a call, or the Upgrade of one, may be in line.
type wait struct {
	call     int
	phase    int // of an Upgrade: the one that it ends, or in which it is not answered; -1: a Lock
	weight   uint32
	from, to time.Duration
}

// phase is a grant between two of its changes that were answered. The next one of
// the same grant follows it in model.phases.
type phase struct {
	call        int
	rank        int // of the token with which it began
	token       uint64
	loose       bool // an Upgrade that was given up before may have changed the token
	weight      uint32
	least       uint32        // what a Downgrade that nobody answered may have left of it
	lowers      time.Duration // from then on
	downs       []*Op         // those Downgrades
	rises       time.Duration // since when an Upgrade that nobody answered may have taken all; Forever: there is none
	first, last int           // model.writes[first:last] are those in it that nobody answered
}

// any says that the token may be one that nobody was told of.
func (p *phase) any() bool { return p.loose || p.rises < Forever }

// write is a Set or a Delete that was, or may have been, carried out.
type write struct {
	op    *Op
	phase int
	token uint64 // 0: not known
	above uint64 // but higher than this
}

// model is a history made ready for the search.
type model struct {
	calls     []*call
	phases    []phase
	writes    []write
	ranks     []rank
	silent    []silent
	steps     []step // those that must find a place
	sure      []step // those that have one in every order
	holds     sureHolds
	values    []sureValue
	before    map[*Op]*Op       // of the answers to a watch
	evictions map[uint64][]step // by token
}

// rank is a token in the order of all.
type rank struct {
	token uint64
	op    *Op
	call  int
}

// newModel returns what is wrong if the history contradicts itself.
func newModel(h History) (*model, string) {
	calls, looks, why := gather(h)
	if why != "" {
		return nil, why
	}
	m := &model{calls: calls, before: map[*Op]*Op{}, evictions: map[uint64][]step{}}
	if why := m.rank(); why != "" {
		return nil, why
	}
	for n, c := range calls {
		m.silent = append(m.silent, c.silences(n)...)
		if c.rank >= 0 {
			m.plan(n, c)
		}
	}
	m.certainties(h.Lost)
	for n, c := range calls {
		m.add(n, c)
	}
	m.watches(looks)
	for _, o := range looks {
		if why := m.look(o); why != "" {
			return nil, fmt.Sprintf("%v: %s", o, why)
		}
	}
	for _, r := range m.ranks {
		if list := m.evictions[r.token]; list != nil {
			m.evict(list)
		}
	}
	for _, at := range h.Lost {
		m.steps = append(m.steps, step{kind: forget, call: -1, op: &Op{Invoked: at, Returned: at}, from: at, to: at})
	}
	if why := m.order(); why != "" {
		return nil, why
	}
	return m, ""
}

// rank sorts the tokens that were given.
func (m *model) rank() string {
	for n, c := range m.calls {
		if c.lock.Outcome != Granted {
			continue
		}
		m.ranks = append(m.ranks, rank{c.lock.Token, &c.lock, n})
		for _, o := range c.changes {
			if o.Kind == Upgrade && o.Outcome == Done {
				m.ranks = append(m.ranks, rank{o.Token, o, n})
			}
		}
	}
	slices.SortFunc(m.ranks, func(a, b rank) int { return cmp.Compare(a.token, b.token) })
	for i, r := range m.ranks {
		if r.op == &m.calls[r.call].lock {
			m.calls[r.call].rank = i
		}
		if i > 0 && r.token == m.ranks[i-1].token {
			return fmt.Sprintf("one token for two: %v, and %v", m.ranks[i-1].op, r.op)
		}
	}
	return ""
}

// ranked is the place of a token among those that were given, or where it would be.
func (m *model) ranked(token uint64) (int, bool) {
	return slices.BinarySearchFunc(m.ranks, token, func(r rank, t uint64) int { return cmp.Compare(r.token, t) })
}

// plan divides a grant into phases.
func (m *model) plan(n int, c *call) {
	c.phase = len(m.phases)
	p := phase{call: n, rank: c.rank, token: c.lock.Token, weight: c.weight, least: c.weight, lowers: Forever, rises: Forever, first: len(m.writes), last: len(m.writes)}
	for i, o := range c.changes {
		switch {
		case o.Outcome == Refused:
			continue
		case !o.answered() && o.Kind <= Downgrade:
			p.open(o, c.changes[i+1:])
			continue
		case !o.answered():
			if p.weight == c.of || p.rises < Forever { // else it can not be carried out
				m.write(o, &p)
				p.last++
			}
			continue
		}
		m.phases = append(m.phases, p)
		if o.Outcome == Done && o.Kind >= Set {
			m.write(o, &p)
		}
		p = m.after(p, o)
	}
	m.phases = append(m.phases, p)
}

// open is an Upgrade or a Downgrade that nobody answered. When its client gave it up,
// others were in line after it perhaps: it takes it back by going to where it believes
// to be then, which is where the last Downgrade leads.
func (p *phase) open(o *Op, later []*Op) {
	if o.Kind == Upgrade {
		p.rises = min(p.rises, o.Invoked)
	} else {
		p.lower(o)
	}
	for _, x := range later {
		if o.Outcome == GaveUp && x.Kind == Downgrade && x.Invoked <= o.Returned {
			p.lower(x)
		}
	}
}

func (p *phase) lower(o *Op) {
	p.least, p.lowers = min(p.least, o.Mode.weight()), min(p.lowers, o.Invoked)
	p.downs = append(p.downs[:len(p.downs):len(p.downs)], o)
}

func (m *model) write(o *Op, p *phase) {
	w := write{op: o, phase: len(m.phases), token: p.token}
	if p.any() {
		w.token = 0
		if p.weight < m.calls[p.call].of { // only a new token can have been that of all
			w.above = p.token
		}
	}
	m.writes = append(m.writes, w)
}

// after is the phase that an answered change begins.
func (m *model) after(p phase, o *Op) phase {
	p.first, p.last = len(m.writes), len(m.writes)
	if o.Outcome == NotHeld {
		return p // what it was is not known better than before
	}
	// What was not answered before has been carried out by now, or never will be.
	switch o.Kind {
	case Upgrade:
		p.loose, p.rises = p.any(), Forever
		if o.Outcome == Done {
			p.rank, _ = m.ranked(o.Token)
			p.token, p.loose = o.Token, false
			p.weight, p.least, p.lowers, p.downs = o.Mode.weight(), o.Mode.weight(), Forever, nil
		}
	case Downgrade:
		p.loose, p.rises = p.any(), Forever
		p.weight, p.least, p.lowers, p.downs = o.Mode.weight(), o.Mode.weight(), Forever, nil
	default: // it was all of the key
		p.least, p.lowers, p.downs = p.weight, Forever, nil
	}
	return p
}

// add makes steps of what a call was told.
func (m *model) add(n int, c *call) {
	switch c.lock.Outcome {
	case Granted:
		m.one(step{kind: grant, call: n, op: &c.lock})
	case Busy:
		m.one(step{kind: busy, call: n, op: &c.lock})
	case Capacity:
		m.one(step{kind: capacity, call: n, op: &c.lock})
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
				m.sure = append(m.sure, s)
			}
		}
		s.kind = gone
		if i == first || !s.over(given) {
			m.one(s)
		} else {
			m.sure = append(m.sure, s)
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
		m.sure = append(m.sure, s)
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

// shows says that a reader can have seen what was written so.
func (w *write) shows(v Value) bool {
	if w.op.Kind == Delete || v.Token == 0 {
		return w.op.Kind == Delete && v.Token == 0
	}
	return w.op.Value.Data == v.Data && (w.token == v.Token || w.token == 0 && v.Token > w.above)
}

// operations puts the steps into as few lanes as show no two at once.
func (m *model) operations() []porcupine.Operation {
	slices.SortStableFunc(m.steps, func(a, b step) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to), cmp.Compare(a.call, b.call))
	})
	var lanes []time.Duration // until when each is taken
	ops := make([]porcupine.Operation, len(m.steps))
	for i := range m.steps {
		s := &m.steps[i]
		s.index = i
		lane := slices.IndexFunc(lanes, func(until time.Duration) bool { return until < s.from })
		if lane < 0 {
			lane = len(lanes)
			lanes = append(lanes, 0)
		}
		lanes[lane] = s.to
		ops[i] = porcupine.Operation{ClientId: lane, Input: s, Call: int64(s.from), Return: int64(s.to)}
	}
	m.link()
	return ops
}

// link puts the answers of a watch one after the other.
func (m *model) link() {
	index := map[*Op]int{}
	for i := range m.steps {
		if m.steps[i].kind == look {
			index[m.steps[i].op] = i
		}
	}
	for i := range m.steps {
		s := &m.steps[i]
		s.after = -1
		if s.kind == look && m.before[s.op] != nil {
			s.after = index[m.before[s.op]]
		}
	}
}

// porcupine is the model as the search wants it.
func (m *model) porcupine() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return m.init() },
		Step: func(s, in, _ any) (bool, any) {
			return m.search(s.(*state), in.(*step))
		},
		Equal:             func(a, b any) bool { return a.(*state).equal(b.(*state)) },
		DescribeOperation: func(in, _ any) string { return in.(*step).describe() },
		DescribeState:     func(s any) string { return m.describe(s.(*state)) },
	}
}
