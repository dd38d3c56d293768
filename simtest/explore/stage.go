package explore

import (
	"fmt"
	"slices"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// stage plays the prefix of a scenario: messages arrive at once and in order,
// but for those that are dropped or held. One copy of what is held is in flight
// when the search begins.
type stage struct {
	*machine
	s      *state
	queue  []*packet
	params ownership.Params
	drop   func(from, to int, p *packet) bool
	hold   func(from, to int, p *packet) bool
	inputs uint64
	wrong  string // the first thing that went wrong
}

// begin is when the clock starts: anywhere but at 0, which cores read as long ago.
const begin = ownership.Time(1000 * time.Second)

var params = ownership.Params{Partitions: 1, Replicas: 3, MaxTTL: 20 * time.Second, MembershipTTL: 2 * time.Second, DriftPPM: 10_000}

func newStage(sc *Scenario) *stage {
	st := &stage{machine: &machine{scenario: sc, table: newTable()}, params: params, drop: nobody, hold: nobody}
	st.table.tamper = sc.tamper
	st.s = &state{now: begin, memory: &memory{}, left: sc.budget}
	st.machine.post = func(s *state, p *packet) {
		from, to := st.node(p.from), s.receiver(p)
		switch {
		case to < 0 || st.drop(from, to, p):
		case !st.hold(from, to, p):
			st.queue = append(st.queue, p)
		default:
			if _, held := s.place(p); !held {
				s.send(p)
			}
		}
	}
	return st
}

func nobody(from, to int, p *packet) bool { return false }

// kinds is a filter of messages by kind.
func kinds(ks ...ownership.Kind) func(from, to int, p *packet) bool {
	return func(_, _ int, p *packet) bool { return slices.Contains(ks, p.message.Kind()) }
}

// start makes nodes a, b, c …, which all see each other in their rosters.
func (st *stage) start(n int) {
	for i := range n {
		name := string(rune('a' + i))
		id := ownership.NodeID(i + 1)
		st.names, st.births = append(st.names, name), append(st.births, id)
		core := ownership.New(ownership.Config{ID: id, Client: ownership.ClientID(100 * id), Name: name, Addr: name, Params: st.params, Founders: n, Fresh: true}, st.s.now)
		st.s.nodes[i] = st.table.version(core, st.s.now, never)
	}
	for i := range n {
		st.do(i, st.gossip(i))
	}
	for i := range n {
		st.give(i, tick)
	}
}

// found makes a mesh of n nodes that is settled and serves.
func (st *stage) found(n int) {
	st.start(n)
	st.settle()
	st.wait(3 * time.Second)
	v := st.view()
	st.must(v != nil && len(v.Members) == n, "%d nodes did not found a mesh", n)
}

// gossip is the roster of a node in which these are dead.
func (st *stage) gossip(node int, dead ...int) ownership.Roster {
	var r ownership.Roster
	for i, id := range st.births {
		if i != node {
			r.Peers = append(r.Peers, ownership.Peer{Member: ownership.Member{ID: id, Name: st.names[i], Addr: st.names[i]}, Dead: slices.Contains(dead, i)})
		}
	}
	return r
}

// do has a node do something now, and lets what follows arrive.
func (st *stage) do(node int, in ownership.Input) {
	st.give(node, st.input(in))
	st.settle()
}

// input numbers the inputs of prefix and scripts: their hashes.
func (st *stage) input(in ownership.Input) input {
	st.inputs++
	return input{in, mix(st.inputs)}
}

func (st *stage) give(node int, in input) {
	if st.s.nodes[node] == nil || st.wrong != "" {
		return
	}
	st.invoked(st.s, node, in.value)
	st.wrong = st.machine.step(st.s, node, in)
}

// settle delivers until nothing is left but what is held.
func (st *stage) settle() {
	for len(st.queue) > 0 && st.wrong == "" {
		p := st.queue[0]
		st.queue = st.queue[1:]
		if i := st.s.receiver(p); i >= 0 {
			st.wrong = st.machine.step(st.s, i, p.input())
		}
	}
}

// wait lets time pass, with all wakes on the way.
func (st *stage) wait(d time.Duration) {
	end := st.s.now + ownership.Time(d)
	st.until(d, func() bool { return false })
	st.s.now = max(st.s.now, end)
}

// until lets time pass until done says so, for d at most; it says whether it did.
func (st *stage) until(d time.Duration, done func() bool) bool {
	end := st.s.now + ownership.Time(d)
	for st.wrong == "" {
		if done() {
			return true
		}
		due := -1
		for i, v := range st.s.nodes {
			if v != nil && v.wake <= end && (due < 0 || v.wake < st.s.nodes[due].wake) {
				due = i
			}
		}
		if due < 0 {
			return false
		}
		st.s.now = max(st.s.now, st.s.nodes[due].wake)
		st.give(due, tick)
		st.settle()
	}
	return false
}

// arrive delivers what is held and of this form, in the order of hashes.
func (st *stage) arrive(which func(from, to int, p *packet) bool) {
	for i := 0; i < len(st.s.flight); {
		p := st.s.flight[i].packet
		if to := st.s.receiver(p); which(st.node(p.from), to, p) {
			st.s.take(i)
			st.queue = append(st.queue, p)
			continue
		}
		i++
	}
	st.settle()
}

// node is who has, or had, a NodeID.
func (st *stage) node(id ownership.NodeID) int { return int(id-1) % maxNodes }

// status is what a node says of itself.
func (st *stage) status(node int) ownership.Status { return st.s.nodes[node].core.Status(st.s.now) }

// view is the newest that anybody knows.
func (st *stage) view() (newest *ownership.View) {
	for i, v := range st.s.nodes {
		if v != nil {
			if k := st.status(i).View; k != nil && (newest == nil || k.Epoch > newest.Epoch) {
				newest = k
			}
		}
	}
	return newest
}

// owner is who owns the one partition in the newest view.
func (st *stage) owner() int { return st.node(st.view().Groups[0].Owner()) }

// others are the nodes but these, in order.
func (st *stage) others(but ...int) (nodes []int) {
	for i := range st.births {
		if !slices.Contains(but, i) {
			nodes = append(nodes, i)
		}
	}
	return nodes
}

// script adds what will happen in this order, each step at any moment.
func (st *stage) script(lane ...doing) {
	for i := range lane {
		lane[i].hash = st.input(lane[i].in).hash
	}
	st.lanes = append(st.lanes, lane)
}

// must asserts that the prefix has come to where the scenario is to begin.
func (st *stage) must(ok bool, format string, args ...any) {
	if !ok && st.wrong == "" {
		st.wrong = fmt.Sprintf(format, args...)
	}
}

// ready plays a scenario's prefix.
func (sc *Scenario) ready() (*machine, *state, error) {
	st := newStage(sc)
	sc.prepare(st)
	if st.wrong != "" {
		return nil, nil, fmt.Errorf("scenario %s cannot begin: %s", sc.Name, st.wrong)
	}
	if len(st.births) > maxNodes || len(st.lanes) > maxLanes || st.params.Partitions != 1 {
		return nil, nil, fmt.Errorf("scenario %s is too large", sc.Name)
	}
	st.machine.post, st.machine.reached = nil, 0
	return st.machine, st.s, nil
}
