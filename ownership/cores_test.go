package ownership

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// A rule is shown on the smallest stage that shows it: one core that is told
// things by hand (knowing, tell), or a bench of a few whose messages pass at
// once. What takes a whole network is in the golden traces.

const (
	a NodeID = iota + 1
	b
	c
	d
	e
	f
)

// begin is when these cores start, epoch the view that they start with, and wall
// the time of day at which founding would give it.
const (
	begin = Time(1000 * time.Second)
	epoch = Epoch(100)
	wall  = epochOrigin + int64(epoch)
)

var testParams = Params{Partitions: 1, Replicas: 3, MaxTTL: 20 * time.Second, MembershipTTL: 2 * time.Second, DriftPPM: 10_000}

func ids(list ...NodeID) []NodeID { return list }

// viewOf is the view of these members at epoch: voters as many as there are
// seats, and the first three are the group, of that term.
func viewOf(members ...NodeID) *View {
	v := &View{Mesh: 7, Epoch: epoch, Params: testParams}
	for _, id := range members {
		v.Members = append(v.Members, member(id))
	}
	v.Voters = slices.Clone(members[:seats(len(members))])
	v.Groups = []Group{{Term: Term(epoch), Replicas: slices.Clone(members[:min(3, len(members))])}}
	return v
}

func member(id NodeID) Member {
	return Member{ID: id, Name: string(rune('a' + id - 1)), Addr: fmt.Sprint(id)}
}

// after is a view that follows v, as edit makes it.
func after(v *View, edit func(*View)) *View {
	w := *v
	w.Epoch++
	w.Members, w.Voters, w.Groups = slices.Clone(v.Members), slices.Clone(v.Voters), slices.Clone(v.Groups)
	edit(&w)
	return &w
}

// without takes a member out of a view; its groups stay to be edited.
func (v *View) without(id NodeID) {
	v.Members = slices.DeleteFunc(v.Members, func(m Member) bool { return m.ID == id })
	v.Voters = slices.DeleteFunc(v.Voters, func(v NodeID) bool { return v == id })
}

func newCore(id NodeID) *Core {
	return New(Config{ID: id, Client: ClientID(id) * 100, Name: member(id).Name, Addr: fmt.Sprint(id), Params: testParams, Founders: 3}, begin)
}

// knowing is a node that has just learned this view.
func knowing(id NodeID, v *View) *Core {
	n := newCore(id)
	tell(n, begin, 99, Decided{View: v})
	return n
}

// serving is one that has a membership lease as well.
func serving(id NodeID, v *View) *Core {
	n := knowing(id, v)
	lend(n, begin)
	return n
}

// lend lets every voter answer a renewal of this moment.
func lend(n *Core, now Time) {
	for _, v := range n.view.Voters {
		tell(n, now, v, RenewAck{Epoch: n.view.Epoch, Sent: Echo(now)})
	}
}

// owning is an owner that serves: its group's write quorum has installed.
func owning(id NodeID, v *View) *Core {
	n := serving(id, v)
	term := v.Groups[0].Term
	for _, r := range v.Groups[0].Replicas {
		if r != id {
			tell(n, begin, r, SealAck{Term: term, OK: true, Promised: term})
		}
	}
	for _, r := range v.Groups[0].Replicas {
		if r != id {
			tell(n, begin, r, AcceptAck{Term: term, OK: true, Promised: term, Installed: term})
		}
	}
	return n
}

// tell delivers a message and returns what the node sends.
func tell(n *Core, now Time, from NodeID, m Message) []Envelope {
	return slices.Clone(n.Step(now, Receive{From: from, Mesh: n.mesh(), Message: m}).Send)
}

// do gives any input and returns what the node sends and tells.
func do(n *Core, now Time, in ...Input) ([]Envelope, []Event) {
	out := n.Step(now, in...)
	return slices.Clone(out.Send), slices.Clone(out.Notify)
}

// pass lets time go by, with all wakes on the way.
func pass(n *Core, now, until Time) (sent []Envelope, told []Event) {
	for now < until {
		out := n.Step(now, Tick{})
		sent, told = append(sent, out.Send...), append(told, out.Notify...)
		now = min(max(out.Wake, now+1), until)
	}
	out := n.Step(until, Tick{})
	return append(sent, out.Send...), append(told, out.Notify...)
}

// all returns the messages of a type, to one node or (0) to any.
func all[M Message](sent []Envelope, to NodeID) (ms []M) {
	for _, s := range sent {
		if m, ok := s.Message.(M); ok && (to == 0 || s.To == to) {
			ms = append(ms, m)
		}
	}
	return ms
}

// one returns the only message of a type to a node.
func one[M Message](t *testing.T, sent []Envelope, to NodeID) M {
	t.Helper()
	ms := all[M](sent, to)
	if len(ms) != 1 {
		t.Fatalf("%d messages %T to %d, want 1; sent: %+v", len(ms), *new(M), to, sent)
	}
	return ms[0]
}

// none says that no message of a type was sent.
func none[M Message](t *testing.T, sent []Envelope) {
	t.Helper()
	if ms := all[M](sent, 0); len(ms) > 0 {
		t.Fatalf("sent %T %+v", ms[0], ms[0])
	}
}

// toldOf returns the events of a type.
func toldOf[E Event](told []Event) (es []E) {
	for _, t := range told {
		if e, ok := t.(E); ok {
			es = append(es, e)
		}
	}
	return es
}

func check(t *testing.T, ok bool, format string, args ...any) {
	t.Helper()
	if !ok {
		t.Fatalf(format, args...)
	}
}

// bench is some cores whose messages pass at once, unless lost.
type bench struct {
	now   Time
	cores map[NodeID]*Core
	order []NodeID
	wake  map[NodeID]Time
	lose  func(from, to NodeID, m Message) bool
	sent  []sent // all that was
	queue []sent
	told  map[NodeID][]Event
}

type sent struct {
	from NodeID
	Envelope
}

// newBench puts cores on a bench; all see each other in their rosters.
func newBench(cores ...*Core) *bench {
	t := &bench{now: begin, cores: map[NodeID]*Core{}, wake: map[NodeID]Time{}, told: map[NodeID][]Event{}}
	var peers []Peer
	for _, n := range cores {
		t.cores[n.id], t.wake[n.id] = n, begin
		t.order = append(t.order, n.id)
		peers = append(peers, Peer{Member: member(n.id)})
	}
	for _, n := range cores {
		t.input(n.id, Roster{slices.DeleteFunc(slices.Clone(peers), func(p Peer) bool { return p.Member.ID == n.id })}, Tick{Wall: wall})
	}
	return t
}

// members is a bench of the members of a view, which all know it.
func members(v *View) *bench {
	var cores []*Core
	for _, m := range v.Members {
		cores = append(cores, knowing(m.ID, v))
	}
	t := newBench(cores...)
	t.wait(time.Second)
	return t
}

// input gives a node an input, and lets all messages that follow from it pass.
func (t *bench) input(id NodeID, in ...Input) {
	t.step(id, in...)
	for len(t.queue) > 0 {
		m := t.queue[0]
		t.queue = t.queue[1:]
		if t.lose == nil || !t.lose(m.from, m.To, m.Message) {
			t.step(m.To, Receive{From: m.from, Mesh: m.Mesh, Message: m.Message})
		}
	}
}

func (t *bench) step(at NodeID, in ...Input) {
	n := t.cores[at]
	if n == nil {
		return
	}
	out := n.Step(t.now, in...)
	t.wake[at] = out.Wake
	t.told[at] = append(t.told[at], out.Notify...)
	for _, env := range out.Send {
		t.sent = append(t.sent, sent{n.id, env})
		t.queue = append(t.queue, sent{n.id, env})
	}
}

// wait lets time pass.
func (t *bench) wait(d time.Duration) {
	end := t.now.add(d)
	for {
		first := NodeID(0)
		for _, id := range t.order {
			if t.cores[id] != nil && t.wake[id] <= end && (first == 0 || t.wake[id] < t.wake[first]) {
				first = id
			}
		}
		if first == 0 {
			t.now = end
			return
		}
		t.now = max(t.now, t.wake[first])
		t.input(first, Tick{})
	}
}

// crash takes a node off the bench, and tells the others' rosters.
func (t *bench) crash(id NodeID) {
	delete(t.cores, id)
	for _, other := range t.order {
		if n := t.cores[other]; n != nil {
			peers := slices.Clone(n.roster)
			for i := range peers {
				peers[i].Dead = peers[i].Dead || peers[i].Member.ID == id
			}
			t.input(other, Roster{peers})
		}
	}
}

// holds lists which handles a node was granted and has not lost or released.
func (t *bench) holds(id NodeID) (hs []Handle) {
	for _, h := range t.cores[id].client.holds {
		if h.state == holdHeld {
			hs = append(hs, h.handle)
		}
	}
	slices.Sort(hs)
	return hs
}
