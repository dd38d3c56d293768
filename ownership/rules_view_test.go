package ownership

import (
	"slices"
	"testing"
	"time"
)

// V1. "A voter at epoch e takes part only in instance e+1. To a message about an
// instance that it knows decided it answers with its view; one ahead of it makes
// it ask (AskView)."
func TestV1OneInstance(t *testing.T) {
	n := serving(a, viewOf(a, b, c, d))
	ballot := Ballot{1, b}
	sent := tell(n, begin, b, Prepare{epoch, ballot})
	none[Promise](t, sent)
	check(t, one[Decided](t, sent, b).View == n.view, "of a decided instance it does not tell the view")
	sent = tell(n, begin, b, Prepare{epoch + 2, ballot})
	none[Promise](t, sent)
	check(t, one[AskView](t, sent, b).Epoch == epoch, "ahead of it: it does not ask")
	one[Promise](t, tell(n, begin, b, Prepare{epoch + 1, ballot}), b)

	// Who is no voter takes no part, nor does it listen to one.
	none[Promise](t, tell(n, begin, d, Prepare{epoch + 1, Ballot{9, d}}))
	none[Promise](t, tell(serving(d, viewOf(a, b, c, d)), begin, b, Prepare{epoch + 1, ballot}))
}

// V2. "Textbook Paxos: promise to the highest ballot (round, NodeID) …"
func TestV2Acceptor(t *testing.T) {
	v := viewOf(a, b, c)
	n := serving(a, v)
	next := after(v, func(*View) {})
	low, high := Ballot{2, b}, Ballot{2, c}
	check(t, one[Promise](t, tell(n, begin, c, Prepare{epoch + 1, high}), c).Promised == high, "no promise")
	check(t, one[Promise](t, tell(n, begin, b, Prepare{epoch + 1, low}), b).Promised == high, "promised to a lower ballot")
	check(t, one[Accepted](t, tell(n, begin, b, Propose{epoch + 1, low, next}), b).Promised == high, "accepted below its promise")
	check(t, n.voter.value == nil, "accepted below its promise")
	one[Accepted](t, tell(n, begin, c, Propose{epoch + 1, high, next}), c)
	check(t, n.voter.value == next && n.view == v, "accepting is not deciding: nobody acts on a view before it knows that it is decided")
	p := one[Promise](t, tell(n, begin, b, Prepare{epoch + 1, Ballot{3, b}}), b)
	check(t, p.Value == next && p.Accepted == high, "the accepted value is not reported")
}

// V2. "… adopt the accepted value of the highest ballot that a majority reports;
// what a majority accepts at one ballot is decided."
func TestV2Proposer(t *testing.T) {
	v := viewOf(a, b, c, d, e)
	n := serving(a, v)
	n.voter.round = 9
	n.propose()
	n.Step(begin)
	ballot := n.voter.proposal.ballot
	older, newer := after(v, func(w *View) { w.without(d) }), after(v, func(w *View) { w.without(e) })
	tell(n, begin, b, Promise{epoch + 1, ballot, ballot, Ballot{3, c}, newer})
	sent := tell(n, begin, c, Promise{epoch + 1, ballot, ballot, Ballot{2, b}, older})
	check(t, one[Propose](t, sent, d).Value == newer, "did not adopt the value of the highest ballot")

	tell(n, begin, b, Accepted{epoch + 1, ballot, ballot})
	tell(n, begin, b, Accepted{epoch + 1, ballot, ballot}) // twice is once
	check(t, n.view == v, "decided by two of five")
	sent = tell(n, begin, c, Accepted{epoch + 1, ballot, ballot})
	check(t, n.view == newer, "not decided by three of five")
	one[Decided](t, sent, e) // who is dropped is told too
}

// V3. "Acceptors never judge a value."
func TestV3AcceptorsDoNotJudge(t *testing.T) {
	v := viewOf(a, b, c)
	n := serving(a, v)
	odd := after(v, func(w *View) { w.without(a) }) // not even this one: it would drop the acceptor
	tell(n, begin, b, Propose{epoch + 1, Ballot{1, b}, odd})
	check(t, n.voter.value == odd, "refused")
}

// V3. "Proposers do: they drop a member that gossip calls dead and that has not
// renewed here for MembershipTTL/2, and one that has not renewed for
// 3 MembershipTTL whatever gossip says."
func TestV3ProposersDrop(t *testing.T) {
	run := func(dead bool) time.Duration {
		s := members(viewOf(a, b, c))
		at := s.now
		s.lose = func(from, to NodeID, m Message) bool { return from == c }
		if dead {
			s.input(a, Roster{[]Peer{{Member: member(b)}, {Member: member(c), Dead: true}}})
		}
		for s.cores[a].view.has(c) {
			s.wait(20 * time.Millisecond)
		}
		return s.now.since(at)
	}
	last := testParams.renewEvery() // c's last renewal may be so much older
	p := testParams
	if d := run(true); d < p.deadSilence()-last || d > p.deadSilence()+3*p.tickEvery() {
		t.Errorf("called dead: dropped after %v", d)
	}
	if d := run(false); d < p.silence()-last || d > p.silence()+3*p.tickEvery() {
		t.Errorf("gossip is content: dropped after %v", d)
	}
	n := serving(a, viewOf(a, b, c))
	do(n, begin, Roster{[]Peer{{Member: member(c), Dead: true}}})
	check(t, !n.drops(c), "gossip alone drops nobody")
}

// V3. "A proposer counts silence only while it has a membership lease, since it
// last gained it, and never over a gap of MembershipTTL/4 between its own ticks."
func TestV3AfterASuspend(t *testing.T) {
	// Three sleep for a minute; a wakes first and hears nobody yet.
	s := members(viewOf(a, b, c))
	s.now = s.now.add(time.Minute)
	s.lose = func(from, to NodeID, m Message) bool { return from != a }
	n := s.cores[a]
	n.lease.until = s.now.add(time.Second) // as if it had been renewed while asleep
	s.input(a, Roster{[]Peer{{Member: member(b), Dead: true}, {Member: member(c), Dead: true}}}, Tick{})
	s.input(a, Tick{})
	check(t, !n.drops(b) && !n.drops(c), "silence was counted over a gap")

	n.lease.until = s.now // over
	n.voter.silentFrom = begin
	check(t, !n.drops(b), "silence was counted without a lease")
	lend(n, s.now)
	check(t, !n.drops(b), "silence was counted from before the lease was gained")
	n.Step(s.now.add(testParams.deadSilence()), Tick{})
	n.voter.silentFrom = begin
	check(t, n.drops(b), "silence is never counted: the test shows nothing")
}

// V4. "A voter that has accepted a value for e+1, or learned it, never again
// answers a Renew of an epoch ≤ e; it answers members of its own epoch only."
func TestV4VoterSilent(t *testing.T) {
	v := viewOf(a, b, c)
	n := serving(a, v)
	one[RenewAck](t, tell(n, begin, b, Renew{Epoch: epoch, Sent: 1}), b)
	none[RenewAck](t, tell(n, begin, e, Renew{Epoch: epoch, Sent: 1})) // no member
	next := after(v, func(w *View) {})
	tell(n, begin, b, Propose{epoch + 1, Ballot{1, b}, next})
	none[RenewAck](t, tell(n, begin, c, Renew{Epoch: epoch, Sent: 2}))
	tell(n, begin, b, Decided{View: next})
	sent := tell(n, begin, c, Renew{Epoch: epoch, Sent: 3})
	none[RenewAck](t, sent)
	check(t, one[Decided](t, sent, c).View == next, "one that is behind is not told")
	one[RenewAck](t, tell(n, begin, c, Renew{Epoch: epoch + 1, Sent: 4}), c)
}

// V4. "A voter that has accepted and not learned soon proposes" — which by V2
// finishes the instance.
func TestV4FinishesTheInstance(t *testing.T) {
	// a's ballot reaches b and no one else hears of a again. Nobody would propose
	// anything: gossip is content, and a is not silent for long.
	s := members(viewOf(a, b, c))
	s.lose = func(from, to NodeID, m Message) bool { return from == a || to == a }
	next := after(s.cores[b].view, func(w *View) { w.without(a) })
	s.input(b, Receive{From: a, Mesh: 7, Message: Propose{epoch + 1, Ballot{1, a}, next}})
	s.told = map[NodeID][]Event{}
	s.wait(testParams.backoffStep() * 3)
	for _, id := range ids(b, c) {
		learned := toldOf[ViewLearned](s.told[id])
		check(t, len(learned) > 0 && sameView(learned[0].View, next), "%d learned %+v", id, learned)
	}
}

// V5. "Any voter may propose; the n-th in line of those that seem alive waits n
// back-off steps, and every ballot given up doubles its patience."
func TestV5VotersInLine(t *testing.T) {
	n := serving(c, viewOf(a, b, c))
	step := testParams.backoffStep()
	check(t, n.backoff() == 2*step, "the third waits %v", n.backoff())
	do(n, begin, Roster{[]Peer{{Member: member(a), Dead: true}, {Member: member(b)}}})
	check(t, n.backoff() == step, "with the first one dead it waits %v", n.backoff())
	n.propose()
	n.giveUp()
	first := n.voter.retry.since(n.now)
	n.giveUp()
	check(t, n.voter.retry.since(n.now) == 2*first, "patience %v, then %v", first, n.voter.retry.since(n.now))
}

// V5. "Members are added only on their own direct Join of the last second,
// debounced …"
func TestV5Join(t *testing.T) {
	join := func(id NodeID) Join { return Join{member(id), testParams, epoch} }
	n := serving(a, viewOf(a, b, c))
	do(n, begin, Roster{[]Peer{{Member: member(d)}, {Member: member(e)}}})
	check(t, n.nextView() == nil, "gossip added somebody")
	tell(n, begin, e, join(d))
	check(t, len(n.voter.joins) == 0, "somebody else's word was taken")

	tell(n, begin, d, join(d))
	check(t, len(n.joiners()) == 0, "it does not wait for others")
	n.Step(begin.add(60*time.Millisecond), Receive{From: e, Mesh: 7, Message: join(e)})
	n.now = begin.add(testParams.joinQuiet())
	check(t, len(n.joiners()) == 0, "e came 40 ms ago")
	n.now = begin.add(60*time.Millisecond + testParams.joinQuiet())
	check(t, len(n.joiners()) == 2, "both in one view: %v", n.joiners())
	n.now = begin.add(directFresh + 50*time.Millisecond)
	check(t, len(n.joiners()) == 1 && n.joiners()[0].ID == e, "d's word is older than a second: %v", n.joiners())
}

// V5. "… and later if members at the same address were dropped repeatedly of
// late."
func TestV5Flapping(t *testing.T) {
	n := serving(a, viewOf(a, b, c))
	for i := range 4 {
		id := NodeID(10 + i)
		tell(n, n.now, 99, Decided{View: after(n.view, func(v *View) { v.Members = append(v.Members, Member{ID: id, Addr: "x"}) })})
		tell(n, n.now, 99, Decided{View: after(n.view, func(v *View) { v.without(id) })})
		want := time.Duration(0)
		if i > 0 {
			want = testParams.MembershipTTL << (i - 1)
		}
		dropped := n.now
		for n.flapping("x") {
			n.now = n.now.add(100 * time.Millisecond)
		}
		check(t, n.now.since(dropped) == want, "drop %d keeps it out for %v, not %v", i+1, n.now.since(dropped), want)
	}
}

// V5. "Voters that stay members stay voters; free seats go to the oldest members
// whose renewals the proposer answered within 2 MembershipTTL; if that makes an
// even number the last seated yields."
func TestV5Voters(t *testing.T) {
	for _, tc := range []struct {
		members, voters, answered, want []NodeID
	}{
		{ids(a), ids(a), ids(), ids(a)},
		{ids(a, b), ids(a), ids(b), ids(a)},                               // two would be even
		{ids(a, b, c), ids(a), ids(b, c), ids(a, b, c)},                   // the oldest
		{ids(a, b, c), ids(a), ids(c), ids(a)},                            // b has not renewed
		{ids(a, b, c, d), ids(a), ids(c, d), ids(a, c, d)},                // but d has
		{ids(a, b, c, d), ids(b, c, d), ids(b, c, d), ids(b, c, d)},       // a is older, but they stay
		{ids(a, b, c, d), ids(a, b, c), ids(b, c, d), ids(a, b, c)},       // 4 have 3
		{ids(a, b, c, d, e), ids(a, b, c), ids(b, c, d), ids(a, b, c)},    // e has not renewed
		{ids(a, b, c, d, e), ids(a, b, c), ids(d, e), ids(a, b, c, d, e)}, // 5 have 5
	} {
		v := viewOf(tc.members...)
		v.Voters = tc.voters
		n := serving(a, v)
		n.voter.seen = make([]seen, len(tc.members))
		for i, m := range tc.members {
			if slices.Contains(tc.answered, m) {
				n.voter.seen[i].answered = begin
			}
		}
		if got := n.nextVoters(v); !slices.Equal(got, tc.want) {
			t.Errorf("members %v, voters %v, renewed %v: next voters %v, want %v", tc.members, tc.voters, tc.answered, got, tc.want)
		}
	}
}

// V5. "A group that is not settled (T5) moves only if its owner or more than n−W
// of its replicas go, or it is stuck."
func TestV5UnsettledGroupsStay(t *testing.T) {
	v := viewOf(a, b, c, d, e) // group a b c, W = 2
	n := serving(a, v)
	for _, tc := range []struct {
		gone  []NodeID
		stuck bool
		moves bool
	}{
		{ids(), false, false},
		{ids(b), false, false},
		{ids(d, e), false, false},
		{ids(a), false, true},
		{ids(b, c), false, true},
		{ids(), true, true},
	} {
		next := after(v, func(w *View) {
			for _, id := range tc.gone {
				w.without(id)
			}
			if tc.stuck {
				w.Apart = []Apart{{0, a, b}}
			}
		})
		if got := n.mayMove(0, v.Groups[0], next); got != tc.moves {
			t.Errorf("without %v, stuck %v: may move %v", tc.gone, tc.stuck, got)
		}
	}
	next := after(v, func(w *View) { w.without(b) })
	check(t, n.nextGroup(0, ids(a, d, c), next).Term == Term(epoch), "an unsettled group moved")
	n.voter.settled[0] = Term(epoch)
	check(t, n.nextGroup(0, ids(a, d, c), next).Term == Term(epoch+1), "a settled one did not")
}

// V5. "An owner that for 2 MembershipTTL cannot reach W of its group … says
// Stuck; the view notes (owner, silent replica), and … ring does not make that
// owner the owner, nor puts both in the group, if there is a choice."
func TestV5Stuck(t *testing.T) {
	s := members(viewOf(a, b, c, d, e))
	s.wait(time.Second)
	apart := func(x, y NodeID) bool { return x == a && (y == b || y == c) }
	s.lose = func(from, to NodeID, m Message) bool { return apart(from, to) || apart(to, from) }
	s.input(d, Lock{Handle: 1, Key: "k", TTL: 5 * time.Second})
	at := s.now
	for s.cores[a].view.Epoch == epoch {
		s.wait(100 * time.Millisecond)
	}
	took := s.now.since(at)
	check(t, took >= testParams.stuckAfter() && took < testParams.silence(), "the view took %v", took)
	v := s.cores[a].view
	check(t, slices.Equal(v.Apart, []Apart{{0, a, b}, {0, a, c}}), "notes %v", v.Apart)
	check(t, v.Groups[0].Owner() != a, "the stuck owner stays")
	s.wait(time.Second)
	check(t, len(s.holds(d)) == 1, "the group does not serve again")
	n := s.cores[d]
	n.now = n.voter.notes[0].add(noteLife)
	check(t, len(n.nextApart(n.view)) == 0, "the notes stay for ever")
}

// V6. "A node that learns that a view dropped it forgets its replica state, never
// speaks under that NodeID again, and joins as a new one (Rebirth). Lease and
// request identities are the client's, so its holders keep what they hold until
// their deadlines and renew as before."
func TestV6Dropped(t *testing.T) {
	v := viewOf(a, b, c, d)
	s := members(v)
	s.input(b, Lock{Handle: 1, Key: "k", TTL: 20 * time.Second})
	check(t, len(s.holds(b)) == 1, "not granted")
	n := s.cores[b]
	without := after(v, func(w *View) {
		w.without(b)
		w.Voters = ids(a, c, d)
		w.Groups[0] = Group{Term(epoch + 1), ids(a, c, d), []Configuration{v.Groups[0].configuration()}}
	})
	s.lose = func(from, to NodeID, m Message) bool { return to == b }
	for _, id := range ids(a, c, d) {
		s.input(id, Receive{From: 99, Mesh: 7, Message: Decided{View: without}})
	}
	_, told := do(n, s.now, Receive{From: a, Mesh: 7, Message: Decided{View: without}})
	check(t, len(toldOf[Dropped](told)) == 1 && n.parts == nil && n.owners == nil, "it did not forget")
	for _, m := range []Message{Seal{Term: 200}, Renew{Epoch: epoch}, Prepare{epoch + 1, Ballot{1, a}}, AskView{}, Accept{Term: Term(epoch)}, Decided{View: v}} {
		if sent := tell(n, s.now, a, m); len(sent) > 0 {
			t.Errorf("%T made it speak: %+v", m, sent)
		}
	}
	if sent, _ := pass(n, s.now, s.now.add(time.Second)); len(sent) > 0 {
		t.Errorf("a timer made it speak: %+v", sent)
	}

	s.lose = nil
	delete(s.cores, b)
	s.cores[42], s.order = n, append(s.order, 42)
	s.now = s.now.add(time.Second)
	s.input(42, Rebirth{ID: 42})
	s.wait(2 * time.Second)
	check(t, s.cores[a].view.has(42), "it did not join anew")
	s.wait(testParams.MaxTTL)
	check(t, len(s.holds(42)) == 1, "its client did not keep its lock")
}

// V7. "Leaving takes two views: one that gives the node no groups; then, when no
// list has it and no unsettled group has it in Prior, one that drops it. It votes
// and answers Seal until a majority of that view's voters know it."
func TestV7Leaving(t *testing.T) {
	s := members(viewOf(a, b, c, d))
	s.lose = func(from, to NodeID, m Message) bool { _, ok := m.(Install); return ok } // the next owner does not get its state through
	s.input(a, Leave{})
	s.wait(time.Second)
	v := s.cores[b].view
	check(t, v.Epoch == epoch+1 && v.has(a) && v.Member(a).Leaving, "first view: %+v", v)
	check(t, !slices.Contains(v.Groups[0].Replicas, a), "it keeps groups: %v", v.Groups)

	s.lose = func(from, to NodeID, m Message) bool { _, ok := m.(DecidedAck); return ok }
	s.wait(time.Second)
	v = s.cores[b].view
	check(t, !v.has(a) && v.Epoch > epoch+1, "not dropped: %+v", v)
	n := s.cores[a]
	check(t, n.phase == PhaseLeaving && !n.leaseValid(), "it goes before the next voters know")
	one[SealAck](t, tell(n, s.now, b, Seal{Term: v.Groups[0].Term + 5}), b)
	s.lose = func(from, to NodeID, m Message) bool { _, ok := m.(DecidedAck); return ok && from != b }
	s.wait(300 * time.Millisecond)
	check(t, n.phase == PhaseLeaving, "it goes when one of three knows")
	s.lose = nil
	s.wait(time.Second)
	check(t, slices.Equal(toldOf[Left](s.told[a]), []Left{{Confirmed: true}}), "it does not go: %v", s.told[a])
}

// V7. "If all resign they just stop (RenewAck.Stop)."
func TestV7AllLeave(t *testing.T) {
	s := members(viewOf(a, b, c))
	for _, id := range ids(a, b, c) {
		s.input(id, Leave{})
	}
	s.wait(4 * time.Second)
	for _, id := range ids(a, b, c) {
		check(t, len(toldOf[Left](s.told[id])) == 1, "%d did not stop", id)
	}
}

// What a peer sends fires no invariant: a view that no decided chain has is
// ignored and told.
func TestForeignViewIsIgnored(t *testing.T) {
	v := viewOf(a, b, c)
	n := serving(a, v)
	other := *v
	other.Voters = ids(c, b, a)
	far := *v
	far.Epoch += maxEpochStep + 1
	for _, view := range []*View{&other, &far} {
		out := n.Step(begin, Receive{From: b, Mesh: v.Mesh, Message: Decided{View: view}})
		if n.view != v || !slices.Contains(out.Notify, Event(Disagrees{b, view.Epoch})) {
			t.Errorf("view of epoch %d: now at %d, told %v", view.Epoch, n.view.Epoch, out.Notify)
		}
	}
}

// K2: a key takes 65,536 waiters; one more is told to come again.
func TestQueueIsBounded(t *testing.T) {
	v := viewOf(a, b, c)
	n := owning(a, v)
	o := n.owners[0]
	k := o.table.key("k")
	k.record = &Record{Key: "k", Holders: []Holder{{Request: RequestID{1, 1}, Token: 1}}}
	k.queue = make([]*request, queueMax)
	for i := range k.queue {
		k.queue[i] = &request{id: RequestID{2, uint64(i + 1)}, key: "k", ticket: Ticket{term, uint32(i + 1)}}
	}
	n.evaluate(o, b, Acquire{Request: RequestID{3, 1}, Key: "k", TTL: 1}, begin)
	n.evaluate(o, b, Acquire{Request: RequestID{3, 2}, Key: "k", TTL: 1, Try: true}, begin)
	if len(k.queue) != queueMax || o.table.requests[RequestID{3, 1}] != nil {
		t.Error("queued beyond the limit")
	}
	full := slices.ContainsFunc(n.out.Send, func(e Envelope) bool {
		m, ok := e.Message.(Answer)
		return ok && m.Outcome == OutcomeWaiting && m.Reason.Code == ReasonFull
	})
	if !full {
		t.Errorf("sent %v", n.out.Send)
	}
	if why := o.table.whyQueued(k.queue[777]); why.Ahead != 777 {
		t.Errorf("%d ahead, not 777", why.Ahead)
	}
}

// V5, Stuck: acknowledgements of ever new writes by too few replicas do not hide
// that nothing is committed.
func TestV5StuckUnderLoad(t *testing.T) {
	testParams.Replicas = 5
	defer func() { testParams.Replicas = 3 }()
	v := viewOf(a, b, c, d, e)
	v.Groups[0].Replicas = []NodeID{a, b, c, d, e}
	s := members(v)
	s.wait(3 * time.Second)
	before := s.cores[a].view.Epoch
	s.lose = func(from, to NodeID, m Message) bool {
		if from != a && to != a || from == b || to == b {
			return false
		}
		switch m.(type) {
		case Accept, AcceptAck, Confirm, ConfirmAck, Install:
			return true
		}
		return false
	}
	for h := Handle(1); h <= 15 && s.cores[a].view.Epoch == before; h++ {
		s.input(b, Lock{Handle: h, Key: "k" + string(rune('a'+h)), TTL: 5 * time.Second})
		s.wait(time.Second)
	}
	check(t, s.cores[a].view.Epoch > before, "an owner that commits nothing was kept while requests came")
}

// V3: a member that was paused, and says with its first word how long it had no
// lease, is not deaf; one that goes on saying so is.
func TestV3Deaf(t *testing.T) {
	n := serving(a, viewOf(a, b, c))
	long := 10 * testParams.silence()
	step := testParams.tickEvery()
	renew := func(without time.Duration) {
		n.Step(n.now.add(step), Receive{From: b, Mesh: 7, Message: Renew{Epoch: epoch, Sent: 1, Without: without}})
		n.lease.until = n.now.add(time.Minute) // its own goes on
	}
	renew(long)
	check(t, !n.deaf(b), "dropped for its first word after a pause")
	for range int(testParams.silence()/step) + 1 {
		renew(long)
	}
	check(t, n.deaf(b), "a member that hears nobody stays")
	renew(0)
	check(t, !n.deaf(b), "one that hears again is dropped")
}
