package explore

import (
	"fmt"
	"slices"

	"github.com/lockmesh/lockmesh/ownership"
)

// machine is a scenario made ready: it says which actions a state has, and what
// they lead to.
type machine struct {
	scenario *Scenario
	*table
	names   []string // by node
	births  []ownership.NodeID
	lanes   [][]doing
	queue   []*packet // sent in the action under way, of instant kinds
	reached reach
	heed    func(node int, in ownership.Input, o *outcome) // sees each step, for traces
	post    func(s *state, p *packet)                      // takes what is sent instead of the network, for prefixes
}

// action is what can happen in a state: its kind, and in the lower bits which
// packet, node, script or jump.
type action uint32

const (
	actDeliver action = iota << 24
	actTwice
	actLose
	actScript
	actAdvance // in bits 0–7 who oversleeps, 0 if nobody
	actJump    // the same, in bits 8–15 which jump
	actTick    // who overslept wakes up
	actCrash
	actRebirth
	actKind = action(0xff << 24)
)

func (a action) kind() action { return a & actKind }
func (a action) arg() int     { return int(a &^ actKind) }

// wall is the time of day, which founders read; it gives epoch 100.
const wall = 946_684_799 + 100

var tick = input{ownership.Tick{Wall: wall}, 1}

// actions lists what can happen, in a fixed order.
func (m *machine) actions(s *state, as []action) []action {
	for i, f := range s.flight {
		as = append(as, actDeliver|action(i))
		if s.left.Twice > 0 && (m.scenario.twice == nil || slices.Contains(m.scenario.twice, f.message.Kind())) {
			as = append(as, actTwice|action(i))
		}
		if s.left.Lose > 0 {
			as = append(as, actLose|action(i))
		}
	}
	for l, lane := range m.lanes {
		if at := int(s.lanes[l]); at < len(lane) && m.may(s, lane[at]) {
			as = append(as, actScript|action(l))
		}
	}
	if _, any := s.nextWake(); any && s.left.Advance > 0 {
		as = m.withSleepers(s, actAdvance, as)
	}
	for j := range m.scenario.jumps {
		if s.left.Jump > 0 {
			as = m.withSleepers(s, actJump|action(j<<8), as)
		}
	}
	for i, v := range s.nodes {
		if v == nil {
			continue
		}
		if v.wake <= s.now {
			as = append(as, actTick|action(i))
		}
		if s.left.Crash > 0 {
			as = append(as, actCrash|action(i))
		}
		if s.left.Rebirth > 0 && v.phase == ownership.PhaseSilent {
			as = append(as, actRebirth|action(i))
		}
	}
	return as
}

func (m *machine) may(s *state, d doing) bool {
	return s.nodes[d.node] != nil && (d.after == 0 || s.memory.done(d.after)) && !(d.answered && s.memory.waits(d.after))
}

// withSleepers adds a passing of time: all wake in it, or all but one.
func (m *machine) withSleepers(s *state, a action, as []action) []action {
	as = append(as, a)
	for i, v := range s.nodes {
		if v != nil && s.left.Sleep > 0 {
			as = append(as, a|action(i+1))
		}
	}
	return as
}

// apply makes to what an action leads to, and returns what is wrong with it.
func (m *machine) apply(s *state, a action, to *state) (wrong string) {
	s.copyTo(to)
	m.queue = m.queue[:0]
	switch i := a.arg(); a.kind() {
	case actDeliver:
		p := to.take(i)
		wrong = m.step(to, to.receiver(p), p.input())
	case actTwice:
		p := to.flight[i].packet
		to.left.Twice--
		wrong = m.step(to, to.receiver(p), p.input())
	case actLose:
		to.take(i)
		to.left.Lose--
	case actScript:
		d := m.lanes[i][to.lanes[i]]
		to.lanes[i]++
		m.invoked(to, d.node, d.in)
		wrong = m.step(to, d.node, input{d.in, d.hash})
	case actAdvance:
		at, _ := to.nextWake()
		to.left.Advance--
		wrong = m.pass(to, at, i-1)
	case actJump:
		to.left.Jump--
		wrong = m.pass(to, to.now+ownership.Time(m.scenario.jumps[i>>8]), i&0xff-1)
	case actTick:
		wrong = m.step(to, i, tick)
	case actCrash:
		to.left.Crash--
		to.nodes[i] = nil
		to.purge()
	case actRebirth:
		to.left.Rebirth--
		id := to.nodes[i].id + maxNodes
		to.memory = to.memory.clone()
		to.memory.promised[i] = 0 // it has forgotten, and has another name
		to.memory.rehash()
		wrong = m.step(to, i, input{ownership.Rebirth{ID: id}, uint64(id) << 8})
	}
	for len(m.queue) > 0 && wrong == "" {
		p := m.queue[0]
		m.queue = m.queue[1:]
		if i := to.receiver(p); i >= 0 {
			wrong = m.step(to, i, p.input())
		}
	}
	if wrong == "" && m.scenario.answers && m.quiet(to) && len(to.memory.open) > 0 {
		wrong = fmt.Sprintf("nothing is on its way, and nobody answers call %d", to.memory.open[0].handle)
	}
	return wrong
}

// quiet says that nothing will happen any more but for the passing of time.
func (m *machine) quiet(s *state) bool {
	if len(s.flight) > 0 {
		return false
	}
	for l, lane := range m.lanes {
		if at := int(s.lanes[l]); at < len(lane) && m.may(s, lane[at]) {
			return false
		}
	}
	return !slices.ContainsFunc(s.nodes[:], func(v *version) bool { return v != nil && v.wake <= s.now })
}

// pass lets time go on to at. Who is due and does not oversleep it ticks.
func (m *machine) pass(s *state, at ownership.Time, sleeper int) (wrong string) {
	if sleeper >= 0 {
		s.left.Sleep--
	}
	late := s.now
	s.now = at
	for i, v := range s.nodes {
		// Who is late already stays so: it wakes by an action of its own.
		if v != nil && i != sleeper && v.wake > late && v.wake <= at && wrong == "" {
			wrong = m.step(s, i, tick)
		}
	}
	return wrong
}

// step gives a node an input and sends what comes of it.
func (m *machine) step(s *state, node int, in input) (wrong string) {
	v := s.nodes[node]
	o := m.table.step(v, s.now, in)
	s.nodes[node] = o.next
	if o.next.id != v.id || o.next.silent() != v.silent() {
		s.purge()
	}
	for _, p := range o.sends {
		switch k := p.message.Kind(); {
		case m.post != nil:
			m.post(s, p)
		case slices.Contains(m.scenario.lost, k):
		case slices.Contains(m.scenario.instant, k):
			m.queue = append(m.queue, p)
		default:
			s.send(p)
		}
	}
	if m.heed != nil {
		m.heed(node, in.value, o)
	}
	return m.observe(s, node, o)
}

// name is what people call a NodeID: the node's name, with a prime for each rebirth.
func (m *machine) name(id ownership.NodeID) string {
	for i, b := range m.births {
		for n := 0; n < 4; n++ {
			if b+ownership.NodeID(n*maxNodes) == id {
				return m.names[i] + "''''"[:n]
			}
		}
	}
	return fmt.Sprint(uint64(id))
}
