package linear

import "slices"

// path is how the search came to a state. States that differ in nothing else are
// the same.
type path struct {
	done  []uint64 // which steps were taken
	first int      // all before it were
	known bool
	free  int // a step that costs nothing here, see model.free; -1: there is none
}

// search is a step of the search. Where a step costs nothing, it takes that one and
// no other: else it would try all orders of those who only look.
func (m *model) search(s *state, x *step) (bool, *state) {
	if !m.wide { // locks that exclude each other leave few choices
		n, why := m.next(*s, x)
		if why.text != "" {
			return false, s
		}
		return true, &n
	}
	if x.after >= 0 && !s.path.has(x.after) {
		return false, s
	}
	if f := m.free(s); f >= 0 && f != x.index && max(s.now, x.from) >= m.steps[f].from {
		return false, s
	}
	n, why := m.next(*s, x)
	if why.text != "" {
		return false, s
	}
	n.path = path{done: slices.Clone(s.path.done), first: s.path.first}
	if n.path.done == nil {
		n.path.done = make([]uint64, len(m.steps)/64+1)
	}
	n.path.done[x.index/64] |= 1 << (x.index % 64)
	for n.path.first < len(m.steps) && n.path.has(n.path.first) {
		n.path.first++
	}
	return true, &n
}

func (p *path) has(i int) bool { return i/64 < len(p.done) && p.done[i/64]&(1<<(i%64)) != 0 }

// free is a step after which everything is possible that is possible without it. If
// any order goes on from here, then also one that takes it now: before whatever does
// not begin before it.
func (m *model) free(s *state) int {
	if s.path.known {
		return s.path.free
	}
	s.path.known, s.path.free = true, -1
	end, leaves := Forever, -1
	for i := s.path.first; i < len(m.steps) && m.steps[i].from <= end; i++ {
		if s.path.has(i) {
			continue
		}
		x := &m.steps[i]
		end = min(end, x.to)
		switch {
		case x.after >= 0 && !s.path.has(x.after):
		case x.kind == release:
			if leaves < 0 && m.unmissed(s, x) {
				leaves = i
			}
		case m.changesNothing(s, x):
			s.path.free = i
			return i
		}
	}
	s.path.free = leaves
	return leaves
}

func (m *model) changesNothing(s *state, x *step) bool {
	n, why := m.next(*s, x)
	if why.text != "" || n.now != max(s.now, x.from) {
		return false
	}
	n.now = s.now
	return n.equal(s)
}

// unmissed says that a release is possible and makes room, and that nobody who has no
// place yet needs that lock to be held.
func (m *model) unmissed(s *state, x *step) bool {
	i := m.find(s, x.call)
	if i < 0 {
		return false
	}
	p := &m.phases[s.holders[i].phase]
	if p.first < p.last || p.any() {
		return false // it can be that it writes yet, or is seen under another token
	}
	for k := s.path.first; k < len(m.steps) && m.steps[k].from <= x.to; k++ {
		if k != x.index && !s.path.has(k) && m.steps[k].misses(x.call, p.token) {
			return false
		}
	}
	n, why := m.next(*s, x)
	return why.text == "" && n.now == max(s.now, x.from)
}

// misses says that a step may need the lock of a call to be held.
func (x *step) misses(call int, token uint64) bool {
	switch {
	case x.call == call, x.kind == busy, x.kind == capacity, x.kind == conflict:
		return true
	case x.kind == look:
		return slices.ContainsFunc(x.op.Holders, func(h Holder) bool { return h.Token == token })
	}
	return false
}
