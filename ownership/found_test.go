package ownership

import (
	"fmt"
	"testing"
	"time"
)

// What a review found in the core by hand, each as it was first seen.

func fiveReplicas() Params {
	return Params{Partitions: 1, Replicas: 5, MaxTTL: 6 * time.Second, MembershipTTL: 2 * time.Second, DriftPPM: 10000}
}

// An active owner whose own replica had promised a newer term, and so refused the
// Install, sent an empty state to those that had not answered; the next owner could
// take it for the truth (T3).
func TestNoEmptyInstall(t *testing.T) {
	p := fiveReplicas()
	c := New(Config{ID: 1, Client: 1001, Params: p, Founders: 9}, Time(time.Hour))
	now, installs := Time(time.Hour), 0
	v := &View{Mesh: 9, Epoch: 100, Params: p}
	for id := NodeID(1); id <= 7; id++ {
		v.Members = append(v.Members, Member{ID: id, Addr: fmt.Sprint(id)})
	}
	v.Voters = []NodeID{2}
	v.Groups = []Group{{Term: 100, Replicas: []NodeID{1, 2, 3, 4, 5}, Prior: []Configuration{{Term: 90, Replicas: []NodeID{2, 3, 4}}}}}
	step := func(d time.Duration, from NodeID, m Message) {
		now = now.add(d)
		var out Output
		if m == nil {
			out = c.Step(now, Tick{})
		} else {
			out = c.Step(now, Receive{From: from, Mesh: 9, Message: m})
		}
		for _, e := range out.Send {
			if i, ok := e.Message.(Install); ok {
				check(t, len(i.Records) == 1, "an empty state is sent to %d", e.To)
				installs++
			}
		}
	}
	step(0, 2, Decided{View: v})
	step(0, 2, RenewAck{Epoch: 100, Sent: Echo(now)})
	step(time.Millisecond, 6, Seal{Partition: 0, Term: 101}) // the next view's owner
	rec := []*Record{{Key: "k", Holders: []Holder{{Request: RequestID{5, 1}, Token: makeToken(90, 1), Lease: 1, TTL: time.Second}}}}
	for _, id := range []NodeID{2, 3} {
		step(time.Millisecond, id, SealAck{Term: 100, OK: true, Promised: 100, Installed: 90, Last: 7, Chunks: 1, Records: rec})
	}
	step(60*time.Millisecond, 0, nil)
	for _, id := range []NodeID{2, 3, 4} {
		step(time.Millisecond, id, AcceptAck{0, 100, true, 100, 100, 0})
	}
	step(150*time.Millisecond, 0, nil)
	check(t, installs > 0 && c.owners[0].phase == ownerActive, "%d installs", installs)
}

// X was dropped, admitted again in a view that this owner skipped, and dropped: the
// wait of T6 begins with the last of these.
func TestAbsenceEndsWithASkippedView(t *testing.T) {
	p := fiveReplicas()
	p.Partitions = 2
	now := Time(time.Hour)
	c := New(Config{ID: 1, Client: 1001, Params: p, Founders: 9}, now)
	const X = 50
	mk := func(e Epoch, g0 Group) *View {
		return &View{Mesh: 9, Epoch: e, Params: p, Members: []Member{{ID: 1}, {ID: 2}}, Voters: []NodeID{2}, Groups: []Group{g0,
			{Term: 100, Replicas: []NodeID{2}, Prior: []Configuration{{Term: 99, Replicas: []NodeID{X}}}}}}
	}
	rcv := func(m Message) {
		for _, e := range c.Step(now, Receive{From: 2, Mesh: 9, Message: m}).Notify {
			a, is := e.(Activated)
			check(t, !is || !a.Lost, "started without waiting for the leases of X: %+v", a)
		}
	}
	rcv(Decided{View: mk(101, Group{Term: 95, Replicas: []NodeID{2}})}) // X was dropped
	rcv(RenewAck{Epoch: 101, Sent: Echo(now)})
	now = now.add(9 * time.Second) // cut off; meanwhile X was readmitted at 103, owned partition 0 at 104, and is dropped at 105
	rcv(Decided{View: mk(105, Group{Term: 105, Replicas: []NodeID{1}, Prior: []Configuration{{Term: 104, Replicas: []NodeID{X}}}})})
	rcv(RenewAck{Epoch: 105, Sent: Echo(now)})
}

// garbage runs f, which must not panic.
func garbage(t *testing.T, name string, f func()) {
	defer func() {
		if r := recover(); r != nil {
			t.Errorf("%s: %v", name, r)
		}
	}()
	f()
}

// alone is a mesh of one node.
func alone() (*Core, Time) {
	p := fiveReplicas()
	now := Time(time.Hour)
	c := New(Config{ID: 1, Client: 1001, Params: p, Founders: 1, Fresh: true}, now)
	for range 50 {
		now = now.add(50 * time.Millisecond)
		c.Step(now, Tick{Wall: 1_700_000_000})
	}
	return c, now
}

// Fields of messages may say anything: that stops nobody.
func TestGarbageStopsNobody(t *testing.T) {
	rcv := func(c *Core, now Time, m Message) { c.Step(now, Receive{From: 77, Mesh: c.mesh(), Message: m}) }
	garbage(t, "install nil record", func() {
		c, now := alone()
		rcv(c, now, Install{Term: c.view.Groups[0].Term + 1, Chunks: 1, Records: []*Record{nil}})
	})
	garbage(t, "two holders accept", func() {
		c, now := alone()
		rcv(c, now, Install{Term: c.view.Groups[0].Term + 1, Chunks: 1})
		rcv(c, now, Accept{Term: c.view.Groups[0].Term + 1, First: 1, Writes: []Write{{"k", &Record{Key: "k", Holders: make([]Holder, 2)}}}})
	})
	garbage(t, "ack above next", func() {
		c, now := alone()
		rcv2 := func(m Message) { c.Step(now, Receive{From: 1, Mesh: c.mesh(), Message: m}) }
		rcv2(AcceptAck{Term: c.view.Groups[0].Term, OK: true, Last: 99})
		rcv(c, now, AcceptAck{Term: c.view.Groups[0].Term, OK: true, Last: 99})
	})
	garbage(t, "other params view", func() {
		c, now := alone()
		v := *c.view
		v.Epoch++
		v.Params.Partitions = 2
		v.Groups = append(append([]Group{}, v.Groups...), v.Groups[0])
		rcv(c, now, Decided{View: &v})
		rcv(c, now, Settled{[]SettledItem{{1, v.Groups[0].Term}}})
		l := c.Step(now, Lock{Handle: 1, Key: "a", TTL: time.Second})
		_ = l
		for i := range 20 {
			c.Step(now, Lock{Handle: Handle(i + 2), Key: fmt.Sprint(i), TTL: time.Second})
		}
	})
	garbage(t, "fewer partitions view", func() {
		p := fiveReplicas()
		p.Partitions, p.Replicas = 2, 1
		now := Time(time.Hour)
		c := New(Config{ID: 1, Client: 1001, Params: p, Founders: 1, Fresh: true}, now)
		c.Step(now, Tick{Wall: 1_700_000_000})
		v := *c.view
		v.Epoch++
		v.Params.Partitions = 1
		v.Groups = v.Groups[:1]
		rcv(c, now, Decided{View: &v})
	})
	garbage(t, "founders 0", func() {
		p := fiveReplicas()
		c := New(Config{ID: 1, Client: 1001, Params: p}, Time(time.Hour))
		c.Step(Time(time.Hour), Tick{Wall: 1_700_000_000})
	})
	garbage(t, "empty holders", func() {
		p := fiveReplicas()
		p.Replicas = 1
		now := Time(time.Hour)
		c := New(Config{ID: 1, Client: 1001, Params: p, Founders: 9}, now)
		v := &View{Mesh: 9, Epoch: 100, Params: p, Members: []Member{{ID: 1}, {ID: 2}}, Voters: []NodeID{2},
			Groups: []Group{{Term: 100, Replicas: []NodeID{1}, Prior: []Configuration{{Term: 90, Replicas: []NodeID{2}}}}}}
		c.Step(now, Receive{From: 2, Mesh: 9, Message: Decided{View: v}})
		c.Step(now, Receive{From: 2, Mesh: 9, Message: RenewAck{Epoch: 100, Sent: Echo(now)}})
		c.Step(now, Receive{From: 2, Mesh: 9, Message: SealAck{Term: 100, OK: true, Installed: 90, Last: 1, Chunks: 1, Served: true, Records: []*Record{{Key: "k"}}}})
		c.Step(now.add(time.Second), Tick{})
		c.Step(now.add(time.Second), Lock{Handle: 1, Key: "k", TTL: time.Second, Try: true})
		c.Step(now.add(time.Second), Lock{Handle: 2, Key: "k", TTL: time.Second})
	})
}
