package ownership

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// holder says whose client has a key in the owner's table, and its token.
func holder(n *Core, key string) (ClientID, Token) {
	k := n.owners[0].table.keys[key]
	if k == nil || k.record == nil {
		return 0, 0
	}
	h := k.record.Holders[0]
	return h.Request.Client, h.Token
}

// settle lets replica b accept and confirm all that the owner a is at, and
// returns what the owner then sends.
func settle(n *Core, now Time) []Envelope {
	o := n.owners[0]
	sent := tell(n, now, b, accepted(o.next-1))
	return append(sent, tell(n, now, b, ConfirmAck{[]ConfirmItem{{0, term, o.round}}})...)
}

func release(m Acquire) Release { return Release{Request: m.Request, Term: term} }

// K1. "A request carries its identity and the term; an owner serves only its own
// term. Its outcome is fixed when it is first evaluated; later copies get the
// same."
func TestK1OneOutcome(t *testing.T) {
	n := owning(a, viewOf(a, b, c))
	m := acquire(d, 1, "k")
	m.Term--
	check(t, one[Answer](t, tell(n, begin, d, m), d).Outcome == OutcomeMoved, "served another term")
	m.Term++
	tell(n, begin, d, m)
	first := one[Answer](t, settle(n, begin), d)
	tell(n, begin, d, m)
	again := one[Answer](t, settle(n, begin), d)
	check(t, first.Outcome == OutcomeGranted && again.Outcome == OutcomeGranted && first.Token == again.Token, "%+v, then %+v", first, again)
	check(t, n.owners[0].count == 1, "a copy was granted anew")

	try := acquire(e, 1, "k")
	try.Try = true
	tell(n, begin, e, try)
	check(t, one[Answer](t, settle(n, begin), e).Outcome == OutcomeBusy, "not busy")
	tell(n, begin, d, release(m))
	settle(n, begin)
	tell(n, begin, e, try) // a late copy: the key is free by now
	check(t, one[Answer](t, settle(n, begin), e).Outcome == OutcomeBusy, "a copy got another answer")
	tell(n, begin, d, m) // and d's, after its release
	check(t, one[Answer](t, settle(n, begin), d).Outcome == OutcomeGone, "granted after its release")
}

// K1. "Release closes a request whatever became of it: unlock and cancel are one
// message."
func TestK1Release(t *testing.T) {
	n := owning(a, viewOf(a, b, c))
	early := acquire(d, 1, "k")
	tell(n, begin, d, release(early)) // it overtook its Acquire
	check(t, one[Answer](t, settle(n, begin), d).Outcome == OutcomeNotHeld, "what was never seen")
	tell(n, begin, d, early)
	check(t, one[Answer](t, settle(n, begin), d).Outcome == OutcomeGone, "granted after its release")

	has, waits := acquire(d, 2, "k"), acquire(e, 1, "k")
	tell(n, begin, d, has)
	tell(n, begin, e, waits)
	settle(n, begin)
	tell(n, begin, e, release(waits))
	check(t, one[Answer](t, settle(n, begin), e).Outcome == OutcomeNotHeld, "a cancelled waiter")
	tell(n, begin, d, release(has))
	check(t, one[Answer](t, settle(n, begin), d).Outcome == OutcomeReleased, "a holder")
	tell(n, begin, d, release(has))
	check(t, one[Answer](t, settle(n, begin), d).Outcome == OutcomeReleased, "a copy of its release")
	who, _ := holder(n, "k")
	check(t, who == 0, "the cancelled waiter has it")
}

// The mark passes locks that are held. A second copy of the Release of one was
// told "not held", and Unlock said that the lock had been lost.
func TestK1ReleaseBelowTheMark(t *testing.T) {
	n := owning(a, viewOf(a, b, c))
	has := acquire(d, 1, "k")
	tell(n, begin, d, has)
	later := acquire(d, 2, "j")
	later.Low = 2
	tell(n, begin, d, later)
	settle(n, begin)
	for range 2 {
		tell(n, begin, d, release(has))
		out := settle(n, begin)
		check(t, one[Answer](t, out, d).Outcome == OutcomeReleased, "outcome %d", one[Answer](t, out, d).Outcome)
	}
}

// K1. "The owner remembers closed requests until the client's low-water mark, or
// the term, passes them."
func TestK1LowWater(t *testing.T) {
	n := owning(a, viewOf(a, b, c))
	for seq := range uint64(40) {
		m := acquire(d, seq+1, "k")
		tell(n, begin, d, m)
		tell(n, begin, d, release(m))
	}
	check(t, len(n.owners[0].table.requests) == 40, "remembers %d", len(n.owners[0].table.requests))
	m := acquire(d, 50, "k")
	m.Low = 39
	tell(n, begin, d, m)
	check(t, len(n.owners[0].table.requests) == releasedMax+3, "remembers %d after all below 39 were closed", len(n.owners[0].table.requests))
	old := acquire(d, 3, "j")
	tell(n, begin, d, old)
	who, _ := holder(n, "j")
	check(t, who == 0, "a late copy of a forgotten request was granted")
}

// asking is a client on a node that owns nothing; the owner is a.
func asking(in ...Input) *Core {
	n := serving(d, viewOf(a, b, c, d))
	do(n, begin, in...)
	return n
}

func grantOf(m Acquire, t Token) Answer {
	return Answer{Request: m.Request, Term: m.Term, Outcome: OutcomeGranted, Token: t, Echo: m.Sent}
}

// K1. "A client takes answers only from the newest term it asked, adopts no grant
// for a request it closed, and gives an unawaited grant back at once."
func TestK1Client(t *testing.T) {
	n := asking()
	sent, _ := do(n, begin, Lock{Handle: 1, Key: "k", TTL: 5 * time.Second})
	m := one[Acquire](t, sent, a)
	next := after(n.view, func(v *View) { v.Groups[0] = Group{term + 1, ids(b, a, c), nil} })
	newer := one[Acquire](t, tell(n, begin, c, Decided{View: next}), b)
	check(t, newer.Request == m.Request && newer.Term == term+1, "asks the new owner %+v", newer)
	_, told := do(n, begin, Receive{From: a, Mesh: 7, Message: grantOf(m, makeToken(term, 1))})
	check(t, len(toldOf[Granted](told)) == 0, "adopted the grant of an older term")
	_, told = do(n, begin, Receive{From: b, Mesh: 7, Message: grantOf(newer, makeToken(term+1, 1))})
	check(t, len(toldOf[Granted](told)) == 1, "did not adopt the grant of the newest")

	sent, _ = do(n, begin, Lock{Handle: 2, Key: "j", TTL: 5 * time.Second})
	m = one[Acquire](t, sent, b)
	sent, _ = do(n, begin, Unlock{Handle: 2})
	one[Release](t, sent, b)
	_, told = do(n, begin, Receive{From: b, Mesh: 7, Message: grantOf(m, makeToken(term+1, 2))})
	check(t, len(toldOf[Granted](told)) == 0, "adopted a grant that it had closed")
	tell(n, begin, b, Answer{Request: m.Request, Term: term + 1, Release: true, Outcome: OutcomeReleased})
	sent = tell(n, begin, b, grantOf(m, makeToken(term+1, 2))) // nobody remembers it here
	check(t, one[Release](t, sent, b).Request == m.Request, "an unawaited grant is kept")
}

// A grant came too late, and the Release that gave it back was given up unanswered.
// The key was asked for again while the orphan still stood, kept by take-overs beyond
// every bound: a TryLock was told busy with itself.
func TestK1LateGrantIsClosedFirst(t *testing.T) {
	n := asking()
	sent, _ := do(n, begin, Lock{Handle: 1, Key: "k", TTL: time.Second, Try: true})
	m := one[Acquire](t, sent, a)
	late := begin.add(2 * time.Second)
	sent = tell(n, late, a, grantOf(m, makeToken(term, 1)))
	check(t, one[Release](t, sent, a).Request == m.Request, "a late grant is not given back")
	sent, _ = pass(n, late, late.add(testParams.given(time.Second)+2*testParams.lostWait()))
	check(t, len(all[Release](sent, a)) > 1, "the Release is not sent again")
	check(t, len(all[Acquire](sent, 0)) == 0, "asks again while nobody has said that the first request is closed")
	now := n.now
	sent = tell(n, now, a, Answer{Request: m.Request, Term: term, Release: true, Outcome: OutcomeReleased})
	check(t, one[Acquire](t, sent, a).Request.Seq > m.Request.Seq, "does not ask again")
}

// K2. "Waiters queue at the owner in the order of their tickets and are not
// replicated. … Release and the grant to the next waiter are one write."
func TestK2Queue(t *testing.T) {
	n := owning(a, viewOf(a, b, c))
	first, second, third := acquire(d, 1, "k"), acquire(e, 1, "k"), acquire(f, 1, "k")
	tell(n, begin, d, first)
	sent := tell(n, begin, e, second)
	none[Accept](t, sent)
	ticket := one[Answer](t, sent, e).Ticket
	check(t, ticket == Ticket{term, 1}, "%+v", ticket)
	check(t, one[Answer](t, tell(n, begin, f, third), f).Reason.Ahead == 1, "f is not behind e")
	check(t, one[Answer](t, tell(n, begin, e, second), e).Ticket == ticket, "a refresh changes its ticket")
	older := acquire(9, 1, "k")
	older.Ticket = Ticket{term - 1, 8} // it waited at the owner before
	check(t, one[Answer](t, tell(n, begin, 9, older), 9).Reason.Ahead == 0, "an older ticket waits behind")
	tell(n, begin, 9, release(older))
	settle(n, begin)

	sent = tell(n, begin, d, release(first))
	w := one[Accept](t, sent, b)
	check(t, len(w.Writes) == 1 && w.Writes[0].Record.Holders[0].Request == second.Request, "%+v", w)
	sent = settle(n, begin)
	check(t, one[Answer](t, sent, d).Outcome == OutcomeReleased && one[Answer](t, sent, e).Outcome == OutcomeGranted, "%+v", sent)
}

// K2. "A waiter refreshes itself each TTL/4 (20 to 500 ms) and is lost when
// TTL·(1+d) passed without."
func TestK2Refresh(t *testing.T) {
	cl := asking(Lock{Handle: 1, Key: "k", TTL: time.Second})
	sent, _ := pass(cl, begin, begin.add(time.Second))
	check(t, len(all[Acquire](sent, a)) == 4, "%d refreshes in a second", len(all[Acquire](sent, a)))

	n := owning(a, viewOf(a, b, c))
	first, gone, there := acquire(d, 1, "k"), acquire(e, 1, "k"), acquire(f, 1, "k")
	tell(n, begin, d, first)
	tell(n, begin, e, gone)
	tell(n, begin, f, there)
	late := begin.add(testParams.given(gone.TTL))
	for at := begin; at < late; at = at.add(time.Second) {
		lend(n, at)
		tell(n, at, d, first)
		tell(n, at, f, there)
	}
	lend(n, late)
	tell(n, late, d, release(first))
	who, _ := holder(n, "k")
	check(t, who == there.Request.Client, "%d has it", who)
}

// K2. "It keeps its first ticket (term, number) and presents it at a new owner,
// where for a grace of MembershipTTL/8 after activation new requests wait and are
// then evaluated in ticket order, TryLock too. There is no grace when the owner
// before said itself that nobody waited."
func TestK2Grace(t *testing.T) {
	taking := func(m SealAck) *Core {
		v := viewOf(a, b, c)
		v.Groups[0].Prior = []Configuration{{90, ids(b)}}
		n := serving(a, v)
		m.Term, m.OK, m.Promised, m.Installed = term, true, term, 90
		tell(n, begin, b, m)
		tell(n, begin, b, accepted(0))
		check(t, n.owners[0].phase == ownerActive, "it does not serve")
		return n
	}
	for _, quiet := range []bool{true, false} {
		n := taking(SealAck{Served: true, Waiting: !quiet})
		try, late, early := acquire(d, 1, "k"), acquire(e, 1, "k"), acquire(f, 1, "k")
		try.Try, late.Ticket, early.Ticket = true, Ticket{90, 9}, Ticket{90, 2}
		tell(n, begin, d, try)
		who, _ := holder(n, "k")
		check(t, (who == try.Request.Client) == quiet, "quiet %v: %d has the key at once", quiet, who)
		if quiet {
			continue
		}
		tell(n, begin, e, late)
		tell(n, begin, f, early)
		pass(n, begin, begin.add(testParams.grace())-1)
		who, _ = holder(n, "k")
		check(t, who == 0, "the grace is over early")
		pass(n, n.now, begin.add(testParams.grace()))
		who, _ = holder(n, "k")
		check(t, who == early.Request.Client, "%d has the key", who)
		var outcomes []Outcome
		for _, env := range settle(n, n.now) {
			if m, ok := env.Message.(Answer); ok && env.To == d {
				outcomes = append(outcomes, m.Outcome)
			}
		}
		check(t, slices.Equal(outcomes, []Outcome{OutcomeBusy}), "TryLock: %v", outcomes)
	}
	n := taking(SealAck{}) // b holds the state, but did not serve: others may wait
	tell(n, begin, d, acquire(d, 1, "k"))
	who, _ := holder(n, "k")
	check(t, who == 0, "no grace though the owner before did not answer for itself")

	cl := asking()
	sent, _ := do(cl, begin, Lock{Handle: 1, Key: "k", TTL: 5 * time.Second})
	m := one[Acquire](t, sent, a)
	waiting := func(from NodeID, of Term, number uint32) {
		tell(cl, begin, from, Answer{Request: m.Request, Term: of, Outcome: OutcomeWaiting, Ticket: Ticket{of, number}})
	}
	waiting(a, term, 4)
	sent = tell(cl, begin, b, Decided{View: after(cl.view, func(v *View) { v.Groups[0] = Group{term + 1, ids(b, a), nil} })})
	check(t, one[Acquire](t, sent, b).Ticket == Ticket{term, 4}, "its ticket is not presented")
	waiting(b, term+1, 1)
	check(t, cl.client.holds[1].ticket == Ticket{term, 4}, "it does not keep its first ticket")
}

// K3. "The deadline is the echoed time of the request, refresh or renewal +
// TTL·(1−d). Past it the lock is lost, whatever the network does."
func TestK3Deadline(t *testing.T) {
	n := asking()
	ttl := 5 * time.Second
	sent, _ := do(n, begin, Lock{Handle: 1, Key: "k", TTL: ttl, NoRenew: true})
	m := one[Acquire](t, sent, a)
	at := begin.add(400 * time.Millisecond)
	_, told := do(n, at, Receive{From: a, Mesh: 7, Message: grantOf(m, makeToken(term, 1))})
	granted := toldOf[Granted](told)
	check(t, len(granted) == 1 && granted[0].Deadline == begin.add(testParams.held(ttl)), "%+v", told)
	_, told = pass(n, at, granted[0].Deadline-1)
	check(t, len(toldOf[Lost](told)) == 0, "lost early")
	_, told = pass(n, n.now, granted[0].Deadline)
	check(t, slices.Equal(toldOf[Lost](told), []Lost{{Handle: 1, Cause: LostExpired}}), "not lost at its deadline")

	// A renewal counts from when it was sent; an older one changes nothing.
	sent, _ = do(n, n.now, Lock{Handle: 2, Key: "k", TTL: ttl})
	m = one[Acquire](t, sent, a)
	start := n.now
	do(n, start, Receive{From: a, Mesh: 7, Message: grantOf(m, makeToken(term, 2))})
	beats, _ := pass(n, start, start.add(2*time.Second))
	beat := all[Heartbeat](beats, a)[0]
	ack := func(echo Echo) []Event {
		i := beat.Items[0]
		_, told := do(n, n.now, Receive{From: a, Mesh: 7, Message: HeartbeatAck{n.client.id, []HeartbeatAckItem{{Term: term, Lease: i.Lease, Beat: i.Beat, Echo: echo, Match: true}}}})
		return told
	}
	extended := toldOf[Extended](ack(beat.Sent))
	check(t, len(extended) == 1 && extended[0].Deadline == beat.Sent.time().add(testParams.held(ttl)), "%+v", extended)
	check(t, len(toldOf[Extended](ack(beat.Sent-1))) == 0, "an older echo changed the deadline")

	// A grant that comes after its deadline is given back.
	sent, _ = do(n, n.now, Lock{Handle: 3, Key: "j", TTL: ttl})
	m = one[Acquire](t, sent, a)
	late := n.now.add(testParams.held(ttl))
	sent, told = do(n, late, Receive{From: a, Mesh: 7, Message: grantOf(m, makeToken(term, 3))})
	check(t, len(toldOf[Granted](told)) == 0, "adopted after its deadline")
	one[Release](t, sent, a)
}

// K3. "The owner expires the lease TTL·(1+d) after it last received a request,
// refresh or renewal of that lease in that partition."
func TestK3Expiry(t *testing.T) {
	n := owning(a, viewOf(a, b, c))
	m := acquire(d, 1, "k")
	tell(n, begin, d, m)
	expiry := func(heard Time) {
		t.Helper()
		end := heard.add(testParams.given(m.TTL))
		for n.now < end-1 {
			lend(n, n.now)
			pass(n, n.now, min(n.now.add(time.Second), end-1))
		}
		who, _ := holder(n, "k")
		check(t, who != 0, "expired early")
		lend(n, n.now)
		n.Step(end, Tick{})
		who, _ = holder(n, "k")
		check(t, who == 0, "not expired")
	}
	settle(n, begin)
	at := begin.add(time.Second)
	tell(n, at, d, m) // asked again
	at = at.add(time.Second)
	tell(n, at, d, Heartbeat{m.Request.Client, Echo(at), []HeartbeatItem{{0, term, 1, m.TTL, 1, 0, 0}}})
	tell(n, at.add(time.Second), d, Heartbeat{m.Request.Client, Echo(at), []HeartbeatItem{{0, term, 2, m.TTL, 1, 0, 0}}}) // of another lease
	expiry(at)
}

// K4. "One lease per client and TTL (a lock that is not renewed by itself has one
// of its own), one heartbeat per owner however many locks; its answer has one
// item per partition and none waits for another."
func TestK4Grouped(t *testing.T) {
	v := viewOf(a, b, c, d)
	v.Params.Partitions, v.Groups = 2, append(v.Groups, v.Groups[0])
	n := New(Config{ID: d, Client: 400, Params: v.Params, Founders: 3}, begin)
	tell(n, begin, a, Decided{View: v})
	lend(n, begin)
	for i, key := range []string{"k1", "k2", "k3", "k4", "k5"} {
		sent, _ := do(n, begin, Lock{Handle: Handle(i + 1), Key: key, TTL: 6 * time.Second, NoRenew: key == "k5"})
		m := one[Acquire](t, sent, a)
		answer := grantOf(m, makeToken(term, uint32(i+1)))
		answer.Partition = m.Partition
		tell(n, begin, a, answer)
		check(t, (m.Lease == 1) == (key != "k5"), "%s is under lease %d", key, m.Lease)
	}
	sent, _ := pass(n, begin, begin.add(beatEvery(6*time.Second)))
	beat := one[Heartbeat](t, sent, a)
	check(t, len(beat.Items) == 2 && beat.Items[0].Count+beat.Items[1].Count == 4, "%+v", beat)

	// Each lock lives or dies with its own partition: one item is answered.
	i := beat.Items[0]
	_, told := do(n, n.now, Receive{From: a, Mesh: 7, Message: HeartbeatAck{400, []HeartbeatAckItem{{i.Partition, term, i.Lease, i.Beat, beat.Sent, true, nil, nil}}}})
	check(t, len(toldOf[Extended](told)) == i.Count, "%+v", told)
	_, told = pass(n, n.now, begin.add(testParams.held(6*time.Second)))
	check(t, len(toldOf[Lost](told)) == 5-i.Count, "lost %+v", told)
}

// K4. "An item carries a digest … on a mismatch the owner lists what it has, and
// the client releases what it does not know, except tokens whose request is open;
// what is missing is lost, if it was held before that heartbeat was sent."
func TestK4Digest(t *testing.T) {
	n := owning(a, viewOf(a, b, c))
	for seq := range uint64(2) {
		tell(n, begin, d, acquire(d, seq+1, string(rune('j'+seq))))
	}
	settle(n, begin)
	beat := func(count int, xor uint64) HeartbeatAckItem {
		k := n.owners[0].round + 1
		tell(n, begin, d, Heartbeat{400, 5, []HeartbeatItem{{0, term, 1, 5 * time.Second, k, count, xor}}})
		return one[HeartbeatAck](t, settle(n, begin), d).Items[0]
	}
	j, k := digest("j", 1), digest("k", 2)
	check(t, beat(2, j^k).Match, "equal digests do not match")
	item := beat(1, j)
	check(t, !item.Match && slices.Equal(item.Held, []uint64{1, 2}), "%+v", item)

	// The client: it holds seq 1 and 2, asks for 3, and has never heard of 9.
	cl := asking()
	tokens := map[uint64]Token{}
	for seq := range uint64(3) {
		sent, _ := do(cl, begin, Lock{Handle: Handle(seq + 1), Key: string(rune('j' + seq)), TTL: 6 * time.Second})
		m := one[Acquire](t, sent, a)
		tokens[m.Request.Seq] = makeToken(term, uint32(seq+1))
		if seq < 2 {
			tell(cl, begin, a, grantOf(m, tokens[m.Request.Seq]))
		}
	}
	sent, _ := pass(cl, begin, begin.add(2*time.Second))
	m := all[Heartbeat](sent, a)[0]
	// Meanwhile the third is granted: it is not missing, though the list has it not.
	cl.Step(cl.now, Receive{From: a, Mesh: 7, Message: Answer{Request: RequestID{400, 3}, Term: term, Outcome: OutcomeGranted, Token: tokens[3], Echo: m.Sent}})
	check(t, cl.client.holds[3].state == holdHeld, "the third is not held")
	list := []uint64{1, 9}
	sent, told := do(cl, cl.now, Receive{From: a, Mesh: 7, Message: HeartbeatAck{400, []HeartbeatAckItem{{Term: term, Lease: 1, Beat: m.Items[0].Beat, Echo: m.Sent, Held: list}}}})
	check(t, slices.Equal(toldOf[Lost](told), []Lost{{Handle: 2, Cause: LostMissing}}), "lost %+v", toldOf[Lost](told))
	released := all[Release](sent, a)
	check(t, len(released) == 1 && released[0].Request.Seq == 9, "released %+v", released)

	do(cl, cl.now, Lock{Handle: 4, Key: "z", TTL: 6 * time.Second}) // open: its grant may be on its way
	list = []uint64{1, 4}
	sent = tell(cl, cl.now, a, HeartbeatAck{400, []HeartbeatAckItem{{Term: term, Lease: 1, Beat: m.Items[0].Beat, Echo: m.Sent, Held: list}}})
	none[Release](t, sent)
}

// K5. "TTL ≤ MaxTTL; keys of 1 to 512 bytes, notes up to 256; anything else is
// refused and changes nothing."
func TestK5Limits(t *testing.T) {
	good := Lock{Key: "k", TTL: testParams.MaxTTL, Note: strings.Repeat("n", MaxNoteBytes)}
	for name, edit := range map[string]func(*Lock){
		"":           func(*Lock) {},
		"longest":    func(l *Lock) { l.Key = strings.Repeat("k", MaxKeyBytes) },
		"no key":     func(l *Lock) { l.Key = "" },
		"long key":   func(l *Lock) { l.Key = strings.Repeat("k", MaxKeyBytes+1) },
		"long note":  func(l *Lock) { l.Note += "n" },
		"no TTL":     func(l *Lock) { l.TTL = 0 },
		"a long TTL": func(l *Lock) { l.TTL++ },
	} {
		in := good
		in.Handle = 1
		edit(&in)
		n := asking()
		sent, told := do(n, begin, in)
		wrong := name != "" && name != "longest"
		check(t, (len(toldOf[Invalid](told)) == 1) == wrong && (len(all[Acquire](sent, a)) == 0) == wrong, "%q: told %+v, sent %+v", name, told, sent)
		check(t, (len(n.client.holds) == 0) == wrong, "%q changed something", name)

		// The owner does not rely on its clients.
		o := owning(a, viewOf(a, b, c))
		m := acquire(d, 1, in.Key)
		m.TTL, m.Note = in.TTL, in.Note
		sent = tell(o, begin, d, m)
		check(t, (len(all[Accept](sent, b)) == 0) == wrong, "%q: the owner sent %+v", name, sent)
		if wrong {
			check(t, one[Answer](t, sent, d).Outcome == OutcomeInvalid && len(o.owners[0].table.requests) == 0, "%q: %+v", name, sent)
		}
	}
}

// K1. A lock whose Release the owner before has carried out, unheard, is released
// and not lost when the new owner says that it holds nothing.
func TestK1ReleaseOverAViewChange(t *testing.T) {
	n := asking()
	sent, _ := do(n, begin, Lock{Handle: 1, Key: "k", TTL: 5 * time.Second})
	m := one[Acquire](t, sent, a)
	do(n, begin, Receive{From: a, Mesh: 7, Message: grantOf(m, makeToken(term, 1))})
	sent, _ = do(n, begin, Unlock{Handle: 1})
	one[Release](t, sent, a) // its answer is lost
	next := after(n.view, func(v *View) { v.Groups[0] = Group{term + 1, ids(b, a, c), nil} })
	r := one[Release](t, tell(n, begin, c, Decided{View: next}), b)
	_, told := do(n, begin, Receive{From: b, Mesh: 7, Message: Answer{Request: r.Request, Term: term + 1, Release: true, Outcome: OutcomeNotHeld}})
	check(t, slices.Contains(told, Event(Released{Handle: 1, Held: true})), "told %v", told)
}
