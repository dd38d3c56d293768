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
	call     int // index in model.calls
	op       Op  // for people
	from, to time.Duration
	silent   []silent // busy: the holds by others that nobody was told of and that overlap it
}

type stepKind uint8

const (
	grant stepKind = iota
	busy
	release
	confirm
	absent
)

// state is the lock. It is compared with ==.
type state struct {
	granted int           // how many of the tokens, in their order
	holder  int           // the call, -1: none that was told
	now     time.Duration // not earlier than this
	shut    time.Duration // a silent holder keeps the next grant from being earlier
}

// model is a history made ready for the search.
type model struct {
	calls  []*call
	byRank []*call
	silent []silent
	steps  []step // those that must find a place
	sure   []step // those that have one in every order
}

// newModel returns what is wrong if the history contradicts itself.
func newModel(h History) (*model, string) {
	calls, why := gather(h)
	if why != "" {
		return nil, why
	}
	m := &model{calls: calls}
	for n, c := range calls {
		m.silent = append(m.silent, c.silences(n)...)
		if c.lock.Outcome == Granted {
			m.byRank = append(m.byRank, c)
		}
	}
	slices.SortFunc(m.byRank, func(a, b *call) int { return cmp.Compare(a.lock.Token, b.lock.Token) })
	for i, c := range m.byRank {
		c.rank = i
		if i > 0 && c.lock.Token == m.byRank[i-1].lock.Token {
			return nil, fmt.Sprintf("one token for two: %v, and %v", m.byRank[i-1].lock, c.lock)
		}
	}
	for n, c := range calls {
		m.add(n, c)
	}
	return m, ""
}

func (m *model) add(n int, c *call) {
	one := func(kind stepKind, o Op) {
		s := step{kind: kind, call: n, op: o, from: o.Invoked, to: o.Returned}
		if m.certain(s) {
			m.sure = append(m.sure, s)
			return
		}
		if kind == busy {
			for _, g := range m.silent {
				if g.call != n && g.from <= s.to && g.to >= s.from {
					s.silent = append(s.silent, g)
				}
			}
		}
		m.steps = append(m.steps, s)
	}
	switch c.lock.Outcome {
	case Granted:
		one(grant, c.lock)
	case Busy:
		one(busy, c.lock)
	}
	for _, r := range c.renews {
		switch r.Outcome {
		case Renewed:
			one(confirm, r)
		case Missing:
			one(absent, r)
		}
	}
	if u := c.unlock; u != nil && c.rank >= 0 {
		switch {
		case u.Outcome == Released:
			one(release, *u)
		case u.Outcome == NotHeld && !c.lost():
			one(absent, *u)
		}
	}
}

// certain says that the step changes nothing and has a place in every order that
// the others have: it overlaps a time at which its holder holds in all of them.
func (m *model) certain(s step) bool {
	switch s.kind {
	case busy:
		for _, c := range m.byRank {
			if from, to := c.sure(); max(from, s.from) <= min(to, s.to) {
				return true
			}
		}
	case confirm:
		from, to := m.calls[s.call].sure()
		return max(from, s.from) <= min(to, s.to)
	}
	return false
}

func (m *model) init() state { return state{holder: -1} }

// next takes a step as early as it can be: all that the state keeps of time are
// lower bounds, so an earlier one never forbids more. It says why not, if not.
func (m *model) next(s state, x *step) (state, string) {
	at := max(s.now, x.from)
	switch c := m.calls[x.call]; x.kind {
	case grant:
		if s.granted != c.rank {
			return s, m.outOfOrder(s, c)
		}
		if s.holder >= 0 {
			if at = max(at, m.calls[s.holder].ends); at > x.to {
				return s, fmt.Sprintf("%s, until %v at least", m.has(s.holder), m.calls[s.holder].ends)
			}
		} else if at = max(at, s.shut); at > x.to {
			return s, fmt.Sprintf("a busy before it needs a holder that was not told, until %v at least", s.shut)
		}
		s.granted, s.holder, s.shut = c.rank+1, x.call, 0
	case release, confirm:
		if s.holder != x.call {
			return s, "it does not hold the key: " + m.has(s.holder)
		}
		if x.kind == release {
			s.holder = -1
		}
	case absent:
		if s.granted <= c.rank {
			return s, "it was not granted yet"
		}
		if s.holder == x.call {
			if at = max(at, c.ends); at > x.to {
				return s, fmt.Sprintf("nothing can have ended its lock before %v", c.ends)
			}
			s.holder = -1
		}
	case busy:
		if s.holder < 0 {
			found, shut := false, Forever
			start := Forever
			for _, g := range x.silent {
				if t := max(at, g.from); t <= min(x.to, g.to) {
					found, start, shut = true, min(start, t), min(shut, g.ends)
				}
			}
			if !found {
				return s, "the key is free, and nobody can have held it without being told"
			}
			at, s.shut = start, max(s.shut, shut)
		}
	}
	if at > x.to {
		return s, fmt.Sprintf("what comes before it cannot be earlier than %v", at)
	}
	s.now = at
	return s, ""
}

func (m *model) has(holder int) string {
	if holder < 0 {
		return "the key is free"
	}
	c := m.calls[holder]
	return fmt.Sprintf("call %d (client %d) has it with token %d", c.lock.Call, c.lock.Client, c.lock.Token)
}

func (m *model) outOfOrder(s state, c *call) string {
	if c.rank < s.granted {
		return fmt.Sprintf("token %d was given before", m.byRank[s.granted-1].lock.Token)
	}
	return fmt.Sprintf("the lower token %d is not given yet, by %v", m.byRank[s.granted].lock.Token, m.byRank[s.granted].lock)
}

// porcupine is the model as the search wants it.
func (m *model) porcupine() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return m.init() },
		Step: func(s, in, _ any) (bool, any) {
			n, why := m.next(s.(state), in.(*step))
			return why == "", n
		},
		DescribeOperation: func(in, _ any) string { return in.(*step).op.String() },
		DescribeState:     func(s any) string { return m.has(s.(state).holder) },
	}
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
		lane := slices.IndexFunc(lanes, func(until time.Duration) bool { return until < s.from })
		if lane < 0 {
			lane = len(lanes)
			lanes = append(lanes, 0)
		}
		lanes[lane] = s.to
		ops[i] = porcupine.Operation{ClientId: lane, Input: s, Call: int64(s.from), Return: int64(s.to)}
	}
	return ops
}
