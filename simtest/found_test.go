package simtest

// What reviews and random runs have found, each as it was first seen. The first
// line of a test says what went wrong.

import (
	"fmt"
	"testing"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

func onePartition(maxTTL time.Duration) ownership.Params {
	return ownership.Params{Partitions: 1, Replicas: 3, MaxTTL: maxTTL, MembershipTTL: 2 * time.Second, DriftPPM: 10000}
}

// founded is a mesh of these nodes, three seconds after its first start.
func founded(params ownership.Params, names ...string) (*World, *Checker) {
	w := New(1)
	ch := NewChecker(w)
	for _, n := range names {
		w.Start(n, ownership.Config{Params: params, Founders: len(names), Fresh: true})
	}
	w.RunFor(3 * time.Second)
	return w, ch
}

// owner tells who owns the one partition.
func owner(w *World) (own *Node, others []*Node) {
	v := w.Nodes[0].Core.Status(0).View
	for _, n := range w.Nodes {
		if n.Core.ID() == v.Groups[0].Owner() {
			own = n
		} else {
			others = append(others, n)
		}
	}
	return
}

// A late answer to a heartbeat renewed a lock that was granted after that was
// sent: a client's numbers began anew when it held nothing for a moment.
func TestStaleHeartbeatAck(t *testing.T) {
	p := onePartition(20 * time.Second)
	w, ch := founded(p, "a", "b", "c")
	_, oth := owner(w)
	x, y := oth[0], oth[1]
	t0 := w.Now
	mesh := x.Core.Status(0).View.Mesh
	ttl := 6 * time.Second
	cut := false
	w.Deliver = func(from, to *Node, m ownership.Message) bool {
		at := w.Now - t0
		switch m := m.(type) {
		case ownership.Acquire:
			if from == x && at > 1400*time.Millisecond {
				return false
			}
		case ownership.Heartbeat:
			if from == x && cut {
				return false
			}
		case ownership.Release:
			if from == x && cut {
				return false
			}
		case ownership.HeartbeatAck:
			if to == x {
				if m.Items[0].Beat == 2 {
					id := from.Core.ID()
					w.At(t0+4600*time.Millisecond, func() { w.Input(x, ownership.Receive{From: id, Mesh: mesh, Message: m}) })
				}
				return false
			}
		}
		return true
	}
	A := ch.Lock(x, ownership.Lock{Handle: 1, Key: "k", TTL: ttl})
	w.RunFor(100 * time.Millisecond)
	ch.Lock(x, ownership.Lock{Handle: 2, Key: "k", TTL: ttl})
	w.RunUntil(t0+2600*time.Millisecond, func() bool { return false })
	ch.Unlock(A)
	w.RunFor(100 * time.Millisecond)
	cut = true
	ch.Lock(y, ownership.Lock{Handle: 3, Key: "k", TTL: ttl})
	w.RunFor(8 * time.Second)
	for _, f := range ch.Failures {
		t.Error(f)
	}
}

// A grant arrived at a node that had just forgotten its mesh, and it panicked.
func TestGrantWithoutView(t *testing.T) {
	p := onePartition(60 * time.Second)
	w, ch := founded(p, "a", "b", "c")
	w.Deliver = func(from, to *Node, m ownership.Message) bool { _, join := m.(ownership.Join); return !join }
	d := w.Start("d", ownership.Config{Params: p, Founders: 9})
	w.RunFor(time.Second)
	A := ch.Lock(w.Node("a"), ownership.Lock{Handle: 1, Key: "k", TTL: 60 * time.Second})
	w.RunFor(time.Second)
	ch.Lock(d, ownership.Lock{Handle: 2, Key: "k", TTL: 60 * time.Second})
	w.RunFor(time.Second)
	w.Split("d")
	w.RunFor(21 * time.Second)
	w.Mend()
	ch.Unlock(A)
	w.RunFor(2 * time.Second)
}

// A view change renewed a lock that nobody asked to renew.
func TestViewChangeRenewsNothing(t *testing.T) {
	p := onePartition(20 * time.Second)
	w, ch := founded(p, "a", "b", "c", "d", "e")
	own, oth := owner(w)
	x := oth[3]
	l := ch.Lock(x, ownership.Lock{Handle: 1, Key: "k", TTL: 10 * time.Second, NoRenew: true})
	w.RunFor(5 * time.Second)
	w.Deliver = func(from, to *Node, m ownership.Message) bool {
		_, dec := m.(ownership.Decided)
		return !(dec && to == x)
	}
	w.Crash(own)
	w.RunFor(3 * time.Second)
	w.Deliver = nil
	end := l.Granted + 10*time.Second
	if !w.RunUntil(w.Now+20*time.Second, func() bool { return l.Lost != 0 }) || w.Now > end {
		t.Errorf("lost at %v; its TTL ended at %v", w.Now, end)
	}
}

// A node that had lived in a mesh founded another as Fresh, with two that were
// told so, and had not waited for what it held itself.
func TestFreshOnlyOnce(t *testing.T) {
	p := onePartition(60 * time.Second)
	w, ch := founded(p, "a", "b", "c")
	d := w.Start("d", ownership.Config{Params: p, Founders: 3, Fresh: true})
	w.Start("e", ownership.Config{Params: p, Founders: 3, Fresh: true})
	w.Split("d")
	w.Split("e")
	c := w.Node("c")
	ch.Lock(c, ownership.Lock{Handle: 1, Key: "k", TTL: 60 * time.Second, NoRenew: true})
	w.RunFor(time.Second)
	w.Deliver = func(from, to *Node, m ownership.Message) bool {
		_, renew := m.(ownership.Renew)
		_, join := m.(ownership.Join)
		return !(from == c && (renew || join))
	}
	w.RunFor(8 * time.Second)
	w.Crash(w.Node("a"))
	w.Crash(w.Node("b"))
	w.Deliver = nil
	w.RunFor(22 * time.Second)
	held := func(from, to *Node, m ownership.Message) bool {
		_, dec := m.(ownership.Decided)
		return !(dec && to == c)
	}
	w.Deliver = held
	w.Mend()
	w.RunFor(1500 * time.Millisecond)
	ch.Lock(d, ownership.Lock{Handle: 2, Key: "k", TTL: 5 * time.Second})
	w.RunFor(3 * time.Second)
	for _, f := range ch.Failures {
		t.Error(f)
	}
}

// An owner that had been cut off said Stuck of its replicas as soon as it was back,
// and was barred for ten minutes.
func TestHealedCutIsNotStuck(t *testing.T) {
	p := onePartition(60 * time.Second)
	for seed := uint64(1); seed <= 6; seed++ {
		w := New(seed)
		w.Net.RosterDelay = 20 * time.Second
		for _, n := range []string{"a", "b", "c", "d", "e"} {
			w.Start(n, ownership.Config{Params: p, Founders: 5, Fresh: true})
		}
		w.RunFor(3 * time.Second)
		own, oth := owner(w)
		var apart []ownership.Apart
		w.OnEvent = func(n *Node, e ownership.Event) {
			if v, ok := e.(ownership.ViewLearned); ok && len(v.View.Apart) > 0 {
				apart = v.View.Apart
			}
		}
		// freeze with a write on its way
		w.Deliver = func(from, to *Node, m ownership.Message) bool { _, acc := m.(ownership.AcceptAck); return !acc }
		w.Input(oth[0], ownership.Lock{Handle: 1, Key: "k", TTL: 30 * time.Second})
		w.RunFor(10 * time.Millisecond)
		w.Split(own.Name)
		w.Deliver = nil
		w.RunFor(4500 * time.Millisecond)
		w.Mend()
		w.RunFor(3 * time.Second)
		if len(apart) > 0 {
			t.Errorf("seed %d: %v", seed, apart)
		}
	}
}

// Members without voters asked all others for the view, ten times a second.
func TestNoStormOfQuestions(t *testing.T) {
	p := onePartition(60 * time.Second)
	var names []string
	for i := range 40 {
		names = append(names, fmt.Sprint("n", i))
	}
	w, _ := founded(p, names...)
	v := w.Nodes[0].Core.Status(0).View
	for i, id := range v.Voters {
		for _, n := range w.Nodes {
			if n.Core.ID() == id && i < 4 {
				w.Crash(n)
			}
		}
	}
	w.RunFor(4 * time.Second)
	asks := 0
	w.OnSend = func(from *Node, e ownership.Envelope) {
		if _, ok := e.Message.(ownership.AskView); ok {
			asks++
		}
	}
	w.RunFor(2 * time.Second)
	if asks/2 > 36*25 {
		t.Errorf("%d questions a second of 36 nodes", asks/2)
	}
}

// A member that could speak to all voters and hear only one of three was never
// dropped, got no lease, and its partitions were never served again.
func TestHalfDeafMemberIsDropped(t *testing.T) {
	p := ownership.Params{Partitions: 8, Replicas: 2, MaxTTL: 20 * time.Second, MembershipTTL: 2 * time.Second, DriftPPM: 10000}
	w, ch := founded(p, "a", "b", "c", "d")
	w.CutOneWay("a", "d")
	w.CutOneWay("b", "d")
	w.Net.RosterDelay = time.Hour // gossip sees nothing
	w.RunFor(30 * time.Second)
	for i := range 16 {
		c := ch.Lock(w.Node("a"), ownership.Lock{Handle: ownership.Handle(100 + i), Key: fmt.Sprint("key", i), TTL: time.Second})
		if !w.RunUntil(w.Now+10*time.Second, func() bool { return c.Granted != 0 }) {
			t.Errorf("%s cannot be had", c.Key)
		}
	}
}
