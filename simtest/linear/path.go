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

// free is a step that is possible and changes nothing. If any order goes on from
// here, then also one that takes it now: before whatever does not begin before it.
func (m *model) free(s *state) int {
	if s.path.known {
		return s.path.free
	}
	s.path.known, s.path.free = true, -1
	end := Forever
	for i := s.path.first; i < len(m.steps) && m.steps[i].from <= end; i++ {
		if s.path.has(i) {
			continue
		}
		x := &m.steps[i]
		end = min(end, x.to)
		n, why := m.next(*s, x)
		if why.text == "" && n.now == max(s.now, x.from) {
			n.now = s.now
			if n.equal(s) {
				s.path.free = i
				return i
			}
		}
	}
	return -1
}
