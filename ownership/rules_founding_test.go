package ownership

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// founders are nodes without a view.
func founders(n int, fresh bool, who ...NodeID) *bench {
	var cores []*Core
	for _, id := range who {
		cfg := Config{ID: id, Client: ClientID(id), Name: member(id).Name, Addr: fmt.Sprint(id), Params: testParams, Founders: n, Fresh: fresh}
		cores = append(cores, New(cfg, begin))
	}
	return newBench(cores...)
}

// Founding. "A node without a view tells the roster so (Contact). It founds a
// first view of n = Founders nodes if each of the others told it directly within
// the last second that it has no view, and it has the least NodeID of them …"
func TestFoundingTakesAll(t *testing.T) {
	s := founders(3, true, a, b)
	s.wait(time.Minute)
	check(t, s.cores[a].view == nil && s.cores[b].view == nil, "two of three founded")

	// All hear of each other, but c's own word does not reach a, nor b.
	s = founders(3, true, a, b, c)
	s = newBench(s.cores[a], s.cores[b], s.cores[c])
	for _, id := range ids(a, b, c) {
		check(t, s.cores[id].bound == nil || s.cores[id].bound.Mesh == MeshID(a), "%d is bound to %+v", id, s.cores[id].bound)
	}
	s.wait(time.Second)
	for _, id := range ids(a, b, c) {
		v := s.cores[id].view
		check(t, v != nil && v.Mesh == MeshID(a) && len(v.Voters) == 3 && v.Epoch == epoch, "%d has view %+v", id, v)
	}
}

func contactOf(id NodeID) Contact {
	return Contact{Member: member(id), Params: testParams, Founders: 3, Fresh: true}
}

// Founding: "… within the last second …", and directly.
func TestFoundingHearsThemself(t *testing.T) {
	n := newCore(a)
	do(n, begin, Tick{Wall: wall}, Roster{[]Peer{{Member: member(b)}, {Member: member(c)}}})
	hear := func(now Time, from NodeID) []Found {
		sent, _ := do(n, now, Receive{From: from, Message: contactOf(from)}, Tick{})
		return all[Found](sent, 0)
	}
	check(t, len(hear(begin, b)) == 0, "founded with what gossip says of c")
	check(t, len(hear(begin.add(directFresh+1), c)) == 0, "founded with an old word of b")
	sent, _ := do(n, begin.add(directFresh+1), Receive{From: c, Message: contactOf(b)}, Tick{})
	none[Found](t, sent) // c speaks for b
	check(t, len(hear(begin.add(directFresh+1), b)) == 2, "did not found with both")
}

// Founding: "… and it has the least NodeID of them; of several that could, the
// k-th waits k·MembershipTTL/2 …"
func TestFoundingInLine(t *testing.T) {
	n := newCore(b)
	for _, id := range ids(c, d) {
		do(n, begin, Tick{Wall: wall}, Receive{From: id, Message: contactOf(id)}, Receive{From: a, Message: contactOf(a)})
	}
	check(t, n.bound == nil, "founded before a, which has the least NodeID")
	for at := begin; at < begin.add(testParams.MembershipTTL/2); at = at.add(100 * time.Millisecond) {
		for _, id := range ids(a, c, d) {
			do(n, at, Receive{From: id, Message: contactOf(id)}, Tick{})
		}
		check(t, n.bound == nil, "did not wait its turn")
	}
	do(n, begin.add(testParams.MembershipTTL/2), Tick{})
	check(t, n.bound != nil && !n.bound.has(a), "bound %+v", n.bound)
}

// Founding: "The view forms only if all n accept (Found, FoundAck); a node
// accepts one first view in its life."
func TestFoundingOneFirstView(t *testing.T) {
	view := func(founder NodeID, others ...NodeID) *View {
		ms := []Member{member(founder)}
		for _, id := range others {
			ms = append(ms, member(id))
		}
		return firstView(MeshID(founder), epoch, testParams, ms, true)
	}
	n := newCore(c)
	one[FoundAck](t, tell(n, begin, b, Found{view(b, c, d)}), b)
	none[FoundAck](t, tell(n, begin, a, Found{view(a, c, d)}))
	one[FoundAck](t, tell(n, begin, b, Found{view(b, c, d)}), b) // a copy of the first
	check(t, n.view == nil, "bound is not decided")

	m := newCore(b)
	m.found([]contact{{member: member(c)}, {member: member(d)}})
	none[Decided](t, tell(m, begin, c, FoundAck{MeshID(b), epoch}))
	tell(m, begin, c, FoundAck{MeshID(b), epoch})
	check(t, m.view == nil, "two of three accepted, one of them twice")
	one[Decided](t, tell(m, begin, d, FoundAck{MeshID(b), epoch}), c)

	// "One that is bound and has had no membership lease for 3 MembershipTTL
	// starts over as a new node, which equals a crash."
	_, told := pass(n, begin, begin.add(testParams.boundFor()-1))
	check(t, len(toldOf[Abandoned](told)) == 0, "gave up early")
	_, told = pass(n, n.now, begin.add(testParams.boundFor()))
	check(t, len(toldOf[Abandoned](told)) == 1, "is bound for ever")
	none[FoundAck](t, tell(n, n.now, a, Found{view(a, c, d)})) // not under this NodeID
	do(n, n.now, Rebirth{ID: e})
	one[FoundAck](t, tell(n, n.now, a, Found{view(a, e, d)}), a)
}

// Founding: "A node that hears of a view never founds: it joins."
func TestFoundingNotBesideAMesh(t *testing.T) {
	n := newCore(a)
	do(n, begin, Tick{Wall: wall}, Receive{From: b, Message: contactOf(b)}, Receive{From: e, Mesh: 7, Message: Decided{View: viewOf(e, f)}})
	sent, _ := do(n, begin, Receive{From: c, Message: contactOf(c)}, Tick{})
	none[Found](t, sent)
	sent, _ = pass(n, begin, begin.add(time.Second))
	one := all[Join](sent, e)
	check(t, len(one) > 0, "it does not join")
	none[FoundAck](t, tell(n, n.now, b, Found{firstView(MeshID(b), epoch, testParams, []Member{member(b), member(a)}, true)}))
}

// Founding: "A node that hears of a view never founds: it joins." Nor when it hears
// of nobody any more: the mesh may live beyond a partition. Who only heard of a
// first view may: perhaps nobody ever had a lease in it.
func TestFoundingNotAfterAMesh(t *testing.T) {
	first := viewOf(a, b, c)
	later := after(first, func(v *View) {})
	for _, k := range []struct {
		what   string
		core   *Core
		founds bool
	}{
		{"had a lease and was dropped", func() *Core {
			n := serving(d, viewOf(a, b, d))
			tell(n, begin, a, Decided{View: after(n.view, func(v *View) { v.without(d); v.Groups[0] = Group{term + 1, ids(a, b), nil} })})
			n.Step(begin, Rebirth{ID: 77})
			return n
		}(), false},
		{"heard of a view", knowing(d, later), false},
		{"heard of a first view", knowing(d, first), true},
	} {
		n := k.core
		roster := Roster{[]Peer{{Member: member(e)}, {Member: member(f)}}}
		now := begin.add(testParams.meshSilent() + time.Second)
		n.Step(begin, Tick{Wall: wall}, roster)
		pass(n, begin, now)
		check(t, n.view == nil && n.Status(now).Orphaned != k.founds, "%s: view %v, %+v", k.what, n.view, n.Status(now))
		var sent []Envelope
		for _, id := range ids(e, f) {
			out, _ := do(n, now, Receive{From: id, Message: contactOf(id)}, Tick{Wall: wall})
			sent = append(sent, out...)
		}
		more, _ := pass(n, now, now.add(testParams.contactEvery()))
		sent = append(sent, more...)
		if k.founds {
			check(t, len(all[Contact](sent, 0))+len(all[Found](sent, 0)) > 0, "%s: says nothing to found with", k.what)
			continue
		}
		none[Found](t, sent)
		none[Contact](t, sent)
		check(t, len(all[AskView](sent, e)) > 0, "%s: does not ask for a mesh to join", k.what)
		tell(n, now, e, Found{firstView(MeshID(e), epoch, testParams, []Member{member(e), n.self(), member(f)}, true)})
		check(t, n.bound == nil, "%s: bound to a first view", k.what)
	}
}

// Founding: "Unless all n are Fresh, every group's Prior holds the configuration
// of term 0, which has no replicas and so is lost: owners wait as in T6 …"
func TestFoundingWaits(t *testing.T) {
	for _, fresh := range []bool{true, false} {
		s := founders(3, fresh, a, b, c)
		s.wait(time.Second)
		owner := s.cores[a].view.Groups[0].Owner()
		s.input(b, Lock{Handle: 1, Key: "k", TTL: 20 * time.Second})
		s.wait(time.Second)
		check(t, (len(s.holds(b)) == 1) == fresh, "fresh %v: after 2 s b holds %v", fresh, s.holds(b))
		// A crash of the waiting owner does not end the wait: the next one waits too.
		s.crash(owner)
		s.wait(testParams.lostWait() - 3*time.Second)
		check(t, fresh || len(s.holds(c)) == 0, "the next owner did not wait")
		s.input(c, Lock{Handle: 2, Key: "j", TTL: 20 * time.Second})
		s.wait(4 * time.Second)
		check(t, slices.Equal(s.holds(c), []Handle{2}), "fresh %v: c holds %v after the wait", fresh, s.holds(c))
	}
}

// Founding: two meshes that meet refuse each other by MeshID, both sides are
// told; nothing that one says matters to the other.
func TestFoundingMeshesRefuse(t *testing.T) {
	n := serving(a, viewOf(a, b, c))
	sent, told := do(n, begin, Receive{From: e, Mesh: 8, Message: Decided{View: &View{Mesh: 8, Epoch: 500}}})
	check(t, one[Refused](t, sent, e).Code == RefusedMesh && len(toldOf[OtherMesh](told)) == 1, "sent %v, told %v", sent, told)
	check(t, n.view.Mesh == 7, "it changed its mesh")
}

// L1. "Every member sends Renew{epoch, its time} to all voters each
// MembershipTTL/4, and at once on learning a view; the answer repeats both."
func TestL1Renews(t *testing.T) {
	v := viewOf(a, b, c, d)
	n := newCore(d)
	sent := tell(n, begin, a, Decided{View: v})
	for _, voter := range ids(a, b, c) {
		m := one[Renew](t, sent, voter)
		check(t, m.Epoch == epoch && m.Sent == Echo(begin), "%+v", m)
	}
	lend(n, begin)
	for at := begin; at < begin.add(10*time.Second); at = at.add(testParams.renewEvery()) {
		lend(n, at)
		sent, _ = pass(n, at+1, at.add(testParams.renewEvery()))
		one[Renew](t, sent, b)
	}
	ack := one[RenewAck](t, tell(serving(a, v), begin, d, Renew{Epoch: epoch, Sent: 77}), d)
	check(t, ack.Epoch == epoch && ack.Sent == 77, "%+v", ack)
}

// L1. "The lease is valid until t + MembershipTTL·(1−d), where t is the latest
// time such that a majority of the voters of one view answered renewals sent at t
// or later."
func TestL1Majority(t *testing.T) {
	v := viewOf(a, b, c, d, e, f) // five voters, and f has a lease of them
	n := knowing(f, v)
	held := testParams.held(testParams.MembershipTTL)
	ms := func(k int) Time { return begin.add(time.Duration(k) * time.Millisecond) }
	ack := func(from NodeID, at Time) { tell(n, ms(50), from, RenewAck{Epoch: epoch, Sent: Echo(at)}) }
	ack(a, ms(10))
	ack(b, ms(40))
	ack(b, ms(30)) // twice the same
	check(t, !n.leaseValid(), "two of five")
	ack(c, ms(20))
	check(t, n.lease.until == ms(10).add(held), "a 10, b 40, c 20: until %v", n.lease.until)
	ack(d, ms(15))
	check(t, n.lease.until == ms(15).add(held), "a 10, b 40, c 20, d 15: until %v", n.lease.until)
	tell(n, ms(50), e, RenewAck{Epoch: epoch - 1, Sent: Echo(ms(45))})
	tell(n, ms(50), 9, RenewAck{Epoch: epoch, Sent: Echo(ms(45))})
	check(t, n.lease.until == ms(15).add(held), "another epoch's answer, or a stranger's, counted")
	n.Step(ms(15).add(held)-1, Tick{})
	check(t, n.leaseValid(), "over too early")
	n.Step(ms(15).add(held), Tick{})
	check(t, !n.leaseValid(), "valid at its end")

	// Answers of two views do not make one majority.
	m := knowing(a, v)
	tell(m, begin, b, RenewAck{Epoch: epoch, Sent: Echo(begin)})
	tell(m, begin, b, Decided{View: after(v, func(*View) {})})
	tell(m, begin, c, RenewAck{Epoch: epoch + 1, Sent: Echo(begin)})
	check(t, !m.leaseValid(), "b answered in one view, c in another")
}

// L1. "A node that learns a view first raises promised of every partition to that
// view's terms, then may use leases of that epoch."
func TestL1PromisedFirst(t *testing.T) {
	v := viewOf(a, b, c, d)
	n := serving(b, v)
	next := after(v, func(w *View) { w.Groups[0] = Group{Term(epoch + 1), ids(c, d, a), nil} })
	tell(n, begin, c, Decided{View: next})
	check(t, n.parts[0].promised == Term(epoch+1), "promised %d", n.parts[0].promised)
	check(t, !one[AcceptAck](t, tell(n, begin, a, Accept{0, Term(epoch), 1, []Write{{"k", nil}}}), a).OK, "it accepts for the old owner")
}

// L2. "Without a valid membership lease a node grants nothing, accepts nothing,
// confirms nothing, and counts no replica's answer. It still answers Seal."
func TestL2NoLease(t *testing.T) {
	v := viewOf(a, b, c)
	over := begin.add(testParams.MembershipTTL)

	n := owning(a, v)
	sent := tell(n, begin, d, acquire(d, 1, "k"))
	check(t, len(all[Accept](sent, 0)) == 2, "the owner does not serve at all")
	sent = tell(n, over, d, acquire(d, 2, "j"))
	none[Accept](t, sent)
	check(t, one[Answer](t, sent, d).Reason.Code == ReasonNoLease, "no word of it: %+v", sent)
	for _, r := range ids(b, c) {
		none[Answer](t, tell(n, over, r, AcceptAck{0, term, true, term, term, 1})) // of the first request
	}

	n = owning(a, v)
	tell(n, begin, d, acquire(d, 1, "k"))
	tell(n, begin, b, accepted(1))
	try := acquire(e, 1, "k")
	try.Try = true
	one[Confirm](t, tell(n, begin, e, try), b)
	none[Answer](t, tell(n, over, b, ConfirmAck{[]ConfirmItem{{0, term, 1}}}))

	r := serving(b, v)
	tell(r, begin, a, Install{Term: term, Chunks: 1})
	check(t, one[AcceptAck](t, tell(r, begin, a, Accept{0, term, 1, []Write{{"k", nil}}}), a).Last == 1, "the replica does not accept at all")
	ack := one[AcceptAck](t, tell(r, over, a, Accept{0, term, 2, []Write{{"k", nil}}}), a)
	check(t, !ack.OK && ack.Last == 1, "accepted without a lease: %+v", ack)
	none[ConfirmAck](t, tell(r, over, a, Confirm{[]ConfirmItem{{0, term, 1}}}))
	check(t, one[SealAck](t, tell(r, over, c, Seal{Term: term + 1}), c).OK, "Seal is not answered")
}
