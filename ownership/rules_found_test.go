package ownership

// What reviews of the finished rules have found, each a test.

import (
	"fmt"
	"math"
	"testing"
	"time"
)

// live lets time pass at an owner that keeps its membership lease.
func live(n *Core, now, until Time) {
	for now < until {
		now = min(now.add(500*time.Millisecond), until)
		lend(n, now)
		n.Step(now, Tick{})
		settle(n, now)
	}
}

func panics(f func()) (what string) {
	defer func() {
		if r := recover(); r != nil {
			what = fmt.Sprint(r)
		}
	}()
	f()
	return ""
}

// K1, K9: a late copy of a request that was forgotten while its place is closed still
// is not granted: the record would have one request twice.
func TestK9LateCopyOfTheForgotten(t *testing.T) {
	n := owning(a, viewOf(a, b, c))
	keep := acquire(e, 1, "busy")
	tell(n, begin, e, keep)
	m := acquire(d, 2, "k")
	m.Low, m.Mode, m.Delay = 1, Permits(1, 2), 20*time.Second // seq 1 is a Lock that waits elsewhere
	tell(n, begin, d, m)
	settle(n, begin)
	end := begin.add(testParams.given(5 * time.Second))
	for now := begin; now < end; now = now.add(time.Second) {
		lend(n, now)
		tell(n, now, e, keep)
		settle(n, now)
	}
	live(n, end-1, end)
	check(t, n.owners[0].table.keys["k"].record.Holders[0].Lost, "not closed")
	for i := range uint64(closedMax) { // TryLocks of the same client that are told busy
		try := acquire(d, 3+i, "busy")
		try.Low, try.Try = 1, true
		tell(n, end, d, try)
	}
	settle(n, end)
	tell(n, end, d, m) // a late copy
	settle(n, end)
	check(t, len(n.owners[0].table.keys["k"].record.Holders) == 1, "granted again: %+v", n.owners[0].table.keys["k"].record.Holders)
	what := panics(func() {
		tell(n, end, d, Release{Request: m.Request, Low: 1, Term: term, Lost: true}) // the client gives it back: onAnswer
		settle(n, end)
		for now := end; now < end.add(30*time.Second); now = now.add(time.Second) {
			lend(n, now)
			tell(n, now, e, keep)
			n.Step(now, Tick{})
			settle(n, now)
		}
	})
	check(t, what == "", "the owner dies: %s", what)
}

// K13: an operator hears that its release was done, also if the first answer is lost
// and the next owner knows of no such token.
func TestK13AnswerLost(t *testing.T) {
	w := members(viewOf(a, b, c, d, e))
	w.ask(d, 1, "k", Exclusive)
	token := w.cores[d].client.holds[1].token
	w.lose = func(from, to NodeID, m Message) bool {
		x, is := m.(Answer)
		return is && to == e && x.Outcome == OutcomeReleased
	}
	w.input(e, Evict{Handle: 1, Key: "k", Token: token})
	check(t, len(toldOf[Lost](w.told[d])) == 1 && w.key("k") == nil, "not evicted")
	w.lose = nil
	w.crash(a)
	w.wait(15 * time.Second)
	done := toldOf[Evicted](w.told[e])
	check(t, len(done) == 1, "%d answers", len(done))
	check(t, done[0].Done, "its own release, and it is told: %+v", done[0])
}

// K13: a holder hears who took its lock, also if the owner crashes while it cannot hear.
func TestK13CauseOverACrash(t *testing.T) {
	w := members(viewOf(a, b, c, d, e))
	w.ask(d, 1, "k", Exclusive)
	w.ask(d, 2, "j", Exclusive)
	token := w.cores[d].client.holds[1].token
	cut := true
	w.lose = func(from, to NodeID, m Message) bool { return cut && (from == d || to == d) }
	w.input(e, Evict{Handle: 1, Key: "k", Token: token})
	w.wait(500 * time.Millisecond)
	w.crash(a) // the owner goes while the operator waits
	cut = false
	w.wait(15 * time.Second)
	lost := toldOf[Lost](w.told[d])
	check(t, len(lost) == 1 && lost[0].Cause == LostEvicted, "%+v, operator %+v", lost, toldOf[Evicted](w.told[e]))
}

func TestK13CauseWhenTheNoticeIsLost(t *testing.T) {
	w := members(viewOf(a, b, c, d, e))
	w.ask(d, 1, "k", Exclusive)
	w.ask(d, 2, "j", Exclusive)
	token := w.cores[d].client.holds[1].token
	w.wait(1700*time.Millisecond - 100*time.Millisecond)
	w.lose = func(from, to NodeID, m Message) bool { _, is := m.(Notice); return is }
	w.input(e, Evict{Handle: 1, Key: "k", Token: token})
	w.lose = nil // the heartbeat is sent before the Notice is told again in the course of time
	w.wait(time.Millisecond)
	w.input(d, Extend{2})
	w.wait(15 * time.Second)
	lost := toldOf[Lost](w.told[d])
	check(t, len(lost) == 1 && lost[0].Cause == LostEvicted, "%+v", lost)
}

// K3: an Upgrade is not told done after the deadline.
func TestK8AlteredTooLate(t *testing.T) {
	w := members(viewOf(a, b, c, d, e))
	w.ask(d, 1, "k", Shared)
	var late []sent
	w.lose = func(from, to NodeID, m Message) bool {
		if x, is := m.(Answer); is && to == d && x.Outcome == OutcomeAltered {
			late = append(late, sent{from, Envelope{to, 7, m}})
			return true
		}
		return false
	}
	w.alter(d, Change{Handle: 1, Op: 1, What: AlterMode, Mode: Exclusive})
	check(t, len(late) > 0, "no answer")
	n := w.cores[d]
	deadline := n.client.holds[1].deadline
	out := n.Step(deadline.add(time.Minute), Receive{From: a, Mesh: 7, Message: late[0].Message}) // it was suspended
	check(t, len(toldOf[Altered](out.Notify)) == 0, "told exclusive a minute after its deadline")
}

// Bytes: what no owner and no replica says stops nobody.
func TestLyingReplica(t *testing.T) {
	for what, recs := range map[string][]*Record{
		"one request twice": {
			{Key: "k", Holders: []Holder{{Request: RequestID{400, 1}, Token: 1, Lease: 1, TTL: time.Second, Lost: true}}},
			{Key: "l", Holders: []Holder{{Request: RequestID{400, 1}, Token: 2, Lease: 1, TTL: time.Second, Lost: true}}},
		},
		"a held request twice": {
			{Key: "k", Holders: []Holder{{Request: RequestID{400, 1}, Token: 1, Lease: 1, TTL: time.Second}}},
			{Key: "l", Holders: []Holder{{Request: RequestID{400, 1}, Token: 2, Lease: 1, TTL: time.Second}}},
		},
		"a token of a term to come": {
			{Key: "k", Holders: []Holder{{Request: RequestID{400, 1}, Token: makeToken(term+1, 1), Lease: 1, TTL: time.Second, Mode: Shared}}},
		},
	} {
		v := viewOf(a, b, c)
		v.Groups[0].Prior = []Configuration{{Term: term - 1, Replicas: ids(a, b, c)}}
		n := serving(a, v)
		got := panics(func() {
			tell(n, begin, b, SealAck{Term: term, OK: true, Promised: term, Installed: term - 1, Last: 2, Chunks: 1, Records: recs})
			tell(n, begin, c, SealAck{Term: term, OK: true, Promised: term})
			tell(n, begin, b, AcceptAck{Term: term, OK: true, Promised: term, Installed: term})
			live(n, begin, begin.add(time.Second/2))
			m := acquire(e, 1, "k")
			m.Mode = Shared
			tell(n, begin.add(time.Second/2), e, m)
			tell(n, begin.add(time.Second/2), d, Release{Request: RequestID{400, 9}, Low: 8, Term: term})
			live(n, begin.add(time.Second/2), begin.add(10*time.Second))
		})
		if got != "" {
			t.Errorf("%s: %s", what, got)
		}
		if k := n.owners[0].table.keys["k"]; got == "" && k != nil && k.held() {
			t.Errorf("%s: k is held for ever: %+v", what, k.record.Holders)
		}
	}
	n := owning(a, viewOf(a, b, c))
	if got := panics(func() { tell(n, begin, b, accepted(1<<40)) }); got != "" {
		t.Errorf("an AcceptAck of what was never sent: %s", got)
	}
}

// K13: an operator that releases all locks of a dead node at once has each told once.
func TestK13ManyAtOnce(t *testing.T) {
	n := owning(a, viewOf(a, b, c))
	const locks = 300
	for i := range uint64(locks) {
		tell(n, begin, d, acquire(d, 1+i, fmt.Sprint("k", i)))
	}
	settle(n, begin)
	items := 0
	for i := range uint64(locks) {
		token := n.owners[0].table.requests[RequestID{400, 1 + i}].token
		for _, m := range all[Notice](tell(n, begin, e, Revoke{Request: RequestID{500, 1 + i}, Term: term, Key: fmt.Sprint("k", i), Token: token, Name: "e"}), d) {
			items += len(m.Items)
		}
	}
	check(t, items <= 2*locks, "%d notices for %d evictions within one moment", items, locks)
}

// K2: who comes after 2³² others of a term does not go first.
func TestK2TicketsRunOut(t *testing.T) {
	n := owning(a, viewOf(a, b, c))
	tell(n, begin, d, acquire(d, 1, "k"))
	n.owners[0].table.tickets = math.MaxUint32 - 1
	tell(n, begin, e, acquire(e, 1, "k"))
	tell(n, begin, c, acquire(c, 1, "k"))
	tell(n, begin, d, release(acquire(d, 1, "k")))
	who, _ := holder(n, "k")
	check(t, who == 500, "%d overtakes", who)
}

// K4: after 2³² leases a lock that is not renewed gets none of those that are.
func TestK4LeaseNumbersRunOut(t *testing.T) {
	w := members(viewOf(a, b, c, d))
	w.ask(d, 1, "k", Exclusive)
	w.cores[d].client.leases = math.MaxUint32
	w.input(d, Lock{Handle: 2, Key: "x", TTL: 5 * time.Second, NoRenew: true})
	w.input(d, Lock{Handle: 3, Key: "y", TTL: 5 * time.Second, NoRenew: true})
	w.wait(25 * time.Second)
	check(t, len(w.holds(d)) == 1, "a lock that is not renewed is held after 5 TTLs: %v", w.holds(d))
}

// K7: who comes with an older ticket than the head's goes before it, and is granted if
// it fits.
func TestK7OlderTicketFits(t *testing.T) {
	n := owning(a, viewOf(a, b, c))
	reader, writer, late := acquire(b, 1, "k"), acquire(e, 1, "k"), acquire(d, 1, "k")
	reader.Mode, late.Mode = Shared, Shared
	writer.Ticket, late.Ticket = Ticket{term - 1, 3}, Ticket{term - 1, 2}
	tell(n, begin, b, reader)
	tell(n, begin, e, writer)
	tell(n, begin, d, late)
	k := n.owners[0].table.keys["k"]
	check(t, len(k.record.Holders) == 2, "%d holders; in line %v, whose head fits", len(k.record.Holders), k.queue[0].id)
}

// The same with honest clients: the owner dies with its own waiting writer, and a reader's
// Acquire comes to the next one after the grace.
func TestK7HeadFitsAfterATakeOver(t *testing.T) {
	w := members(viewOf(a, b, c, d, e))
	w.ask(c, 1, "k", Shared)
	w.ask(a, 1, "k", Exclusive) // ticket 1
	w.ask(d, 1, "k", Shared)    // 2
	w.ask(e, 1, "k", Exclusive) // 3
	w.lose = func(from, to NodeID, m Message) bool {
		_, is := m.(Acquire)
		return is && from == d && w.now < begin.add(8*time.Second) && w.cores[a] == nil
	}
	w.crash(a)
	w.wait(40 * time.Second)
	check(t, len(w.holds(c)) == 1, "c lost it: %v", toldOf[Lost](w.told[c]))
	check(t, len(w.holds(d)) == 1, "20 s later d, a reader at the head of the line beside a reader, waits still")
}

// K13: an operator that gives its call up gives up no release, whoever the owner is then.
func TestK13GivenUpAndTheOwnerCrashes(t *testing.T) {
	w := members(viewOf(a, b, c, d, e))
	w.ask(d, 1, "k", Exclusive)
	token := w.cores[d].client.holds[1].token
	cut := true
	w.lose = func(from, to NodeID, m Message) bool { return cut && (from == d || to == d) }
	w.input(e, Evict{Handle: 1, Key: "k", Token: token})
	w.input(e, Unlock{Handle: 1}) // its ctx is over
	w.wait(500 * time.Millisecond)
	w.crash(a)
	cut = false
	w.wait(60 * time.Second)
	check(t, len(w.holds(d)) == 0, "held a minute after the eviction: %v", w.holds(d))
}

// K12: watches that are over keep others out for two refreshes at most.
func TestK12WatchesThatAreOver(t *testing.T) {
	n := owning(a, viewOf(a, b, c))
	for i := range uint64(watchersMax) { // one client: Look with Watch, then Unlook
		tell(n, begin, d, Query{Client: 400, ID: 1 + i, Term: term, Key: "k", Watch: true})
	}
	settle(n, begin)
	now := begin.add(2 * watchTell)
	lend(n, now)
	r := all[Report](tell(n, now, e, Query{Client: 500, ID: 1, Term: term, Key: "k", Watch: true}), e)
	for _, m := range r {
		check(t, m.Outcome != OutcomeWaiting, "told to wait: %v", m.Reason.Code)
	}
}

// K8, K13: a Downgrade that is refused, since its lock was taken by an operator, is not
// undone: there is nothing to go back to.
func TestK8RefusedDowngrade(t *testing.T) {
	w := members(viewOf(a, b, c, d, e))
	w.ask(a, 1, "k", Exclusive) // its own owner: what it asks is answered in the same step
	token := w.cores[a].client.holds[1].token
	w.lose = func(from, to NodeID, m Message) bool { _, is := m.(Notice); return is }
	w.cores[a].owners[0].table.requests[RequestID{100, 1}].evicted = true // before its client hears of it
	w.alter(a, Change{Handle: 1, Op: 1, What: AlterMode, Mode: Shared})
	w.wait(time.Second)
	told := toldOf[Altered](w.told[a])
	check(t, len(told) == 1 && told[0].Outcome == OutcomeNotHeld && len(w.cores[a].client.holds[1].changes) == 0, "token %d: %+v", token, told)
}

// K3: a change that is asked for after the deadline, before a tick, leaves nothing behind.
func TestK8ChangeTooLate(t *testing.T) {
	w := members(viewOf(a, b, c, d, e))
	w.ask(d, 1, "k", Exclusive)
	n := w.cores[d]
	dl := n.client.holds[1].deadline
	n.Step(dl.add(time.Second), Change{Handle: 1, Op: 1, What: AlterMode, Mode: Shared})
	alters := 0
	now := dl.add(time.Second)
	for range 50 {
		now = now.add(time.Second)
		o := n.Step(now, Tick{})
		alters += len(all[Alter](o.Send, a))
	}
	check(t, len(n.client.alters) == 0 && alters == 0, "dead hold in alters: %d, Alters sent %d", len(n.client.alters), alters)
}

// K8: an Upgrade of what is exclusive has gone nowhere, and there is nothing to take back.
func TestK8ExclusiveGivenUp(t *testing.T) {
	w := members(viewOf(a))
	w.ask(a, 1, "k", Exclusive)
	w.alter(a, Change{Handle: 1, Op: 1, What: AlterMode, Mode: Exclusive})
	w.input(a, Unchange{1, 1}) // it ends
	h := w.cores[a].client.holds[1]
	check(t, len(h.changes) == 0 && h.mode == Exclusive, "%+v", h.changes)
}

// K13: an operator is not told done of a holder that went up, with another token, at an
// owner that knew nothing of the release.
func TestK13WentUpMeanwhile(t *testing.T) {
	w := members(viewOf(a, b, c, d, e))
	w.ask(d, 1, "k", Shared)
	token := w.cores[d].client.holds[1].token
	w.lose = func(from, to NodeID, m Message) bool {
		_, is := m.(Notice)
		_, rv := m.(Revoke)
		_, an := m.(Answer)
		return is || (rv || an) && (from == e || to == e) && w.cores[a] == nil && len(w.holds(d)) == 1 && w.cores[d].client.holds[1].token == token
	}
	w.input(e, Evict{Handle: 1, Key: "k", Token: token})
	w.crash(a)
	for range 100 {
		w.wait(200 * time.Millisecond)
		if x := w.cores[b].owners[0]; x != nil && x.phase == ownerActive && w.cores[b].serving(x) {
			break
		}
		if x := w.cores[c].owners[0]; x != nil && x.phase == ownerActive && w.cores[c].serving(x) {
			break
		}
	}
	w.alter(d, Change{Handle: 1, Op: 1, What: AlterMode, Mode: Exclusive})
	w.wait(1 * time.Second)
	done := toldOf[Evicted](w.told[e])
	check(t, len(done) == 0 || !done[0].Done || len(w.holds(d)) == 0, "Done, and d holds it still: %+v", done)
}

// K13: what an owner of another mesh has said of an eviction counts no more.
func TestK13AnotherMesh(t *testing.T) {
	n := knowing(d, viewOf(a, b, c, d))
	n.Step(begin, Evict{Handle: 1, Key: "k", Token: 5})
	h := n.client.holds[1]
	n.Step(begin, Receive{From: a, Mesh: 7, Message: Answer{Request: RequestID{400, h.seq}, Term: term, Outcome: OutcomeWaiting, Reason: Reason{Code: ReasonQueued}}})
	check(t, h.evicting, "not evicting")
	n.client.mesh = 7
	v := viewOf(a, b, c, d)
	v.Mesh = 8
	n.view = v
	n.client.viewChanged(n)
	check(t, !h.evicting, "evicting still, of another mesh")
}

// K13: many evictions and a heartbeat of many leases make one notice each.
func TestK13ToldOnceAStep(t *testing.T) {
	n := owning(a, viewOf(a, b, c))
	const locks = 300
	for i := range uint64(locks) {
		tell(n, begin, d, acquire(d, 1+i, fmt.Sprint("k", i)))
	}
	settle(n, begin)
	for i := range uint64(locks) {
		token := n.owners[0].table.requests[RequestID{400, 1 + i}].token
		tell(n, begin, e, Revoke{Request: RequestID{500, 1 + i}, Term: term, Key: fmt.Sprint("k", i), Token: token, Name: "e"})
	}
	hb := Heartbeat{Client: 400, Sent: Echo(begin)}
	for l := range uint32(100) {
		hb.Items = append(hb.Items, HeartbeatItem{0, term, l + 1, time.Second, uint64(l + 1), 0, 0})
	}
	items := 0
	for _, m := range all[Notice](tell(n, begin, d, hb), d) {
		items += len(m.Items)
	}
	check(t, items <= 2*locks, "%d items in one Notice for %d evictions and a heartbeat of %d leases", items, locks, len(hb.Items))
}

// K8, K13: a Downgrade that was refused and an Upgrade that is given up at an owner that
// knows nothing of that end.
func TestK8UndoEnds(t *testing.T) {
	w := members(viewOf(a, b, c, d, e))
	w.ask(d, 1, "k", Exclusive)
	token := w.cores[d].client.holds[1].token
	w.lose = func(from, to NodeID, m Message) bool { _, is := m.(Notice); return is }
	w.input(e, Evict{Handle: 1, Key: "k", Token: token})
	w.alter(d, Change{Handle: 1, Op: 1, What: AlterMode, Mode: Shared})
	w.crash(e)
	w.crash(a)
	for range 8 {
		w.wait(500 * time.Millisecond)
	}
	w.alter(d, Change{Handle: 1, Op: 2, What: AlterMode, Mode: Exclusive})
	w.wait(time.Second)
	h := w.cores[d].client.holds[1]
	check(t, h != nil, "it has lost its lock")
	n := 0
	w.lose = func(from, to NodeID, m Message) bool {
		if _, is := m.(Alter); is {
			n++
		}
		return n > 10000
	}
	w.input(d, Unchange{1, 2})
	check(t, n < 100, "%d Alters at one moment, %d", n, h.altered)
}

// K13: a release whose call is given up before anybody was asked goes on too.
func TestK13GivenUpBeforeAView(t *testing.T) {
	n := newCore(d)
	n.Step(begin, Evict{Handle: 1, Key: "k", Token: 5}, Unlock{Handle: 1})
	check(t, n.client.holds[1] != nil, "the eviction is forgotten, K13 says it goes on")
}
