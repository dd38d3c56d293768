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

// model is a history made ready for the search.
type model struct {
	calls     []*call
	phases    []phase
	writes    []write
	ranks     []rank
	silent    []silent
	steps     []step // those that must find a place
	sure      []*Op  // those that have one in every order
	holds     sureHolds
	values    []sureValue
	before    map[*Op]*Op       // of the answers to a watch
	evictions map[uint64][]step // by token
	wide      bool              // there is more than exclusive locks
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
	m := &model{calls: calls, before: map[*Op]*Op{}, evictions: map[uint64][]step{}, steps: make([]step, 0, len(h.Ops)/2+8), phases: make([]phase, 0, len(calls))}
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
	m.wide = m.more()
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
		m.ranks = append(m.ranks, rank{c.lock.Token, c.lock, n})
		for _, o := range c.changes {
			if o.Kind == Upgrade && o.Outcome == Done {
				m.ranks = append(m.ranks, rank{o.Token, o, n})
			}
		}
	}
	slices.SortFunc(m.ranks, func(a, b rank) int { return cmp.Compare(a.token, b.token) })
	for i, r := range m.ranks {
		if r.op == m.calls[r.call].lock {
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
	for i := range m.steps {
		m.steps[i].after = -1
	}
	if len(m.before) == 0 {
		return
	}
	index := map[*Op]int{}
	for i := range m.steps {
		if m.steps[i].kind == look {
			index[m.steps[i].op] = i
		}
	}
	for i := range m.steps {
		s := &m.steps[i]
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
