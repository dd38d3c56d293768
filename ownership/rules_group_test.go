package ownership

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

const term = Term(epoch)

// acquire is the request seq of a node's client.
func acquire(from NodeID, seq uint64, key string) Acquire {
	return Acquire{Request: RequestID{ClientID(from) * 100, seq}, Term: term, Key: key, Lease: 1, TTL: 5 * time.Second, Sent: Echo(seq), Name: member(from).Name}
}

// held is the record of a key that a node's client has.
func held(key string, by NodeID, t Token) *Record {
	return &Record{Key: key, Holders: []Holder{{Request: RequestID{ClientID(by) * 100, 1}, Token: t, Lease: 1, TTL: 5 * time.Second, Name: member(by).Name}}}
}

// has makes a replica that installed a term, with so many writes.
func has(n *Core, t Term, writes int) *Core {
	r := &n.parts[0]
	r.installed, r.promised, r.last, r.records = t, max(t, r.promised), 0, map[string]*Record{}
	for i := range writes {
		r.apply(Write{fmt.Sprint(i), held(fmt.Sprint(i), e, makeToken(t, uint32(i+1)))})
	}
	return n
}

func accepted(n uint64) AcceptAck { return AcceptAck{0, term, true, term, term, n} }

// G1. "A replica takes number last+1 only, if promised = installed = the term and
// its membership lease is valid; its answer is cumulative."
func TestG1Replica(t *testing.T) {
	v := viewOf(a, b, c)
	n := has(serving(b, v), term, 0)
	accept := func(of Term, first uint64, writes ...Write) AcceptAck {
		return one[AcceptAck](t, tell(n, begin, a, Accept{0, of, first, writes}), a)
	}
	w := func(key string) Write { return Write{key, held(key, e, makeToken(term-1, 1))} }
	ack := accept(term, 2, w("x"))
	check(t, ack.OK && ack.Last == 0 && len(n.parts[0].records) == 0, "took number 2 first: %+v", ack)
	ack = accept(term, 1, w("x"), w("y"))
	check(t, ack.OK && ack.Last == 2, "%+v", ack)
	ack = accept(term, 1, Write{"x", nil})
	check(t, ack.OK && ack.Last == 2 && n.parts[0].records["x"] != nil, "took number 1 twice: %+v", ack)
	ack = accept(term, 2, w("y"), Write{"x", nil})
	check(t, ack.Last == 3 && n.parts[0].records["x"] == nil, "an overlap: %+v", ack)

	check(t, !accept(term-1, 4, w("z")).OK, "took a write of an older term")
	n.parts[0].promised = term + 1
	ack = accept(term, 4, w("z"))
	check(t, !ack.OK && ack.Last == 3 && ack.Promised == term+1 && ack.Installed == term, "took a write below its promise: %+v", ack)
	n.parts[0].promised, n.parts[0].installed = term, term-1
	check(t, !accept(term, 4, w("z")).OK, "took a write without the state that it is written to")
}

// G1. "Committed is what W replicas have (the owner is one by the same rule)."
func TestG1Committed(t *testing.T) {
	v := viewOf(a, b, c, d, e)
	v.Groups[0].Replicas = ids(a, b, c, d, e)
	n := owning(a, v)
	for seq := range uint64(3) {
		tell(n, begin, f, acquire(f, seq+1, fmt.Sprint(seq)))
	}
	steps := []struct {
		from NodeID
		last uint64
		want int // answers that leave
	}{{b, 3, 0}, {b, 3, 0}, {c, 1, 1}, {d, 2, 1}, {e, 3, 1}}
	for _, s := range steps {
		sent := tell(n, begin, s.from, accepted(s.last))
		check(t, len(all[Answer](sent, f)) == s.want, "after %d has %d: answers %+v", s.from, s.last, sent)
	}
}

// G1. "A replica that misses more than the owner buffers is sent a snapshot:
// (term, number) and the state after exactly that write, applied only when whole
// and higher than what is there."
func TestG1Snapshot(t *testing.T) {
	v := viewOf(a, b, c)
	n := owning(a, v)
	o := n.owners[0]
	for o.next <= bufferMax+10 { // c has none of them
		o.buffer = append(o.buffer, Write{Key: "k"})
		o.next++
	}
	o.acked = []int64{int64(o.next - 1), int64(o.next - 1), 0}
	o.trim(bufferMax)
	check(t, len(o.buffer) == bufferMax && o.first == o.next-bufferMax, "keeps %d writes from %d on", len(o.buffer), o.first)
	has(n, term, 1)
	n.parts[0].last = o.next - 1
	missing := func() []Envelope {
		n.out.Send = nil
		n.sendMissing(o, 2)
		return n.out.Send
	}
	snapshot := one[Install](t, missing(), c)
	check(t, snapshot.Number == o.next-1 && len(snapshot.Records) == 1, "c misses all and is sent %+v", snapshot)
	o.acked[2] = int64(o.first) // it misses what is still there
	check(t, all[Accept](missing(), c)[0].First == o.first+1, "c is not sent the writes")

	r := has(serving(b, v), term, 1)
	tell(r, begin, a, Install{Term: term, Number: 5, Chunk: 1, Chunks: 2, Records: []*Record{held("y", e, 2)}})
	check(t, r.parts[0].last == 1, "applied half a snapshot")
	ack := one[AcceptAck](t, tell(r, begin, a, Install{Term: term, Number: 5, Chunk: 0, Chunks: 2, Records: []*Record{held("x", e, 1)}}), a)
	check(t, ack.OK && ack.Last == 5 && len(r.parts[0].records) == 2, "%+v", ack)
	ack = one[AcceptAck](t, tell(r, begin, a, Install{Term: term, Number: 4, Chunks: 1}), a)
	check(t, ack.Last == 5 && len(r.parts[0].records) == 2, "went back to an older state")
}

// G2. "No certified answer leaves the owner before the write it rests on is
// committed; one that wrote nothing also waits for a confirm round: W replicas
// say that promised = installed = the term still. Rounds are numbered and
// acknowledged by number; one serves all that arrived before it began."
func TestG2Certified(t *testing.T) {
	n := owning(a, viewOf(a, b, c))
	none[Answer](t, tell(n, begin, d, acquire(d, 1, "k")))
	check(t, one[Answer](t, tell(n, begin, b, accepted(1)), d).Outcome == OutcomeGranted, "not granted")

	try := func(seq uint64) Acquire { m := acquire(e, seq, "k"); m.Try = true; return m }
	round := func(k uint64) ConfirmAck { return ConfirmAck{[]ConfirmItem{{0, term, k}}} }
	sent := tell(n, begin, e, try(1))
	none[Answer](t, sent)
	check(t, one[Confirm](t, sent, b).Items[0].Round == 1, "%+v", sent)
	none[Confirm](t, tell(n, begin, e, try(2))) // a round is under way
	none[Answer](t, tell(n, begin, b, round(0)))
	none[Answer](t, tell(n, begin, b, round(2)))
	sent = tell(n, begin, b, round(1))
	answer := one[Answer](t, sent, e)
	check(t, answer.Outcome == OutcomeBusy && answer.Request.Seq == 1, "%+v", answer)
	check(t, one[Confirm](t, sent, b).Items[0].Round == 2, "the second waits for the next round")
	none[Answer](t, tell(n, begin, c, round(1))) // the last round's
	check(t, one[Answer](t, tell(n, begin, c, round(2)), e).Request.Seq == 2, "not answered")

	// Busy rests on the write that made it so: both must be certain.
	tell(n, begin, d, acquire(d, 2, "j"))
	m := try(3)
	m.Key = "j"
	tell(n, begin, e, m)
	none[Answer](t, tell(n, begin, b, round(3)))
	sent = tell(n, begin, b, accepted(2))
	check(t, one[Answer](t, sent, e).Outcome == OutcomeBusy && one[Answer](t, sent, d).Outcome == OutcomeGranted, "%+v", sent)
}

// G2. "W replicas say that promised = installed = the term still."
func TestG2Confirms(t *testing.T) {
	n := has(serving(b, viewOf(a, b, c)), term, 0)
	ask := func() []Envelope { return tell(n, begin, a, Confirm{[]ConfirmItem{{0, term, 4}}}) }
	check(t, one[ConfirmAck](t, ask(), a).Items[0].Round == 4, "no answer")
	n.parts[0].promised = term + 1
	none[ConfirmAck](t, ask())
	n.parts[0].promised, n.parts[0].installed = term, term-1
	none[ConfirmAck](t, ask())
}

// G2. "An answer echoes the newest client time received before its round began,
// or, for a write, before its Accept was first sent."
func TestG2Echo(t *testing.T) {
	n := owning(a, viewOf(a, b, c))
	m := acquire(d, 1, "k") // Sent is 1
	tell(n, begin, d, m)
	m.Sent = 2
	tell(n, begin, d, m)
	check(t, one[Answer](t, tell(n, begin, b, accepted(1)), d).Echo == 1, "the grant echoes what came after its Accept")

	beat := Heartbeat{m.Request.Client, 10, []HeartbeatItem{{0, term, 1, m.TTL, 1, 1, digest("k", m.Request.Seq)}}}
	n = owning(a, viewOf(a, b, c))
	tell(n, begin, d, m)
	tell(n, begin, b, accepted(1))
	tell(n, begin, d, beat) // round 1
	beat.Sent, beat.Items = 11, []HeartbeatItem{{0, term, 1, m.TTL, 2, 1, digest("k", m.Request.Seq)}}
	tell(n, begin, d, beat)
	beat.Sent, beat.Items = 12, []HeartbeatItem{{0, term, 1, m.TTL, 3, 1, digest("k", m.Request.Seq)}}
	tell(n, begin, d, beat)
	sent := tell(n, begin, b, ConfirmAck{[]ConfirmItem{{0, term, 1}}})
	check(t, one[HeartbeatAck](t, sent, d).Items[0].Echo == 10, "%+v", sent)
	sent = tell(n, begin, b, ConfirmAck{[]ConfirmItem{{0, term, 2}}})
	check(t, one[HeartbeatAck](t, sent, d).Items[0].Echo == 12, "one round serves all that came before it began: %+v", sent)
}

// T1. "sends Seal{term, own installed and last} to the replicas of the new list
// and of every configuration in Prior."
func TestT1Seals(t *testing.T) {
	v := viewOf(a, b, c, d, e)
	v.Groups[0] = Group{term, ids(c, d), []Configuration{{90, ids(a, b)}, {95, ids(b, f)}}}
	n := newCore(c)
	sent := tell(n, begin, a, Decided{View: v})
	for _, id := range ids(a, b, d, f) { // f is no member: that does not matter
		check(t, one[Seal](t, sent, id).Term == term, "%d", id)
	}
	check(t, len(all[Seal](sent, e)) == 0, "e has nothing to do with it")
}

// T1. "A replica refuses a term below promised; else it raises promised and
// answers with installed, last and, unless the asker has as much, its records.
// Being a member or not does not matter; having forgotten does (V6)."
func TestT1Answers(t *testing.T) {
	n := has(knowing(b, viewOf(a, b, c)), term, 2) // it has no lease
	seal := func(of, has Term, last uint64) SealAck {
		return one[SealAck](t, tell(n, begin, d, Seal{0, of, has, last}), d)
	}
	ack := seal(term-1, 0, 0)
	check(t, !ack.OK && ack.Promised == term, "%+v", ack)
	ack = seal(term+5, 0, 0)
	check(t, ack.OK && ack.Promised == term+5 && n.parts[0].promised == term+5, "%+v", ack)
	check(t, ack.Installed == term && ack.Last == 2 && len(ack.Records) == 2, "%+v", ack)
	check(t, len(seal(term+5, term, 1).Records) == 2, "the asker has less")
	check(t, seal(term+5, term, 2).Chunks == 0, "the asker has as much")
	check(t, seal(term+5, term+1, 0).Chunks == 0, "the asker has more")
	check(t, !seal(term+4, 0, 0).OK, "an older owner")
	check(t, !one[AcceptAck](t, tell(n, begin, a, Accept{0, term, 3, []Write{{"k", nil}}}), a).OK, "accepts below its seal")
}

// T1: an answer counts when it is whole.
func TestT1Chunks(t *testing.T) {
	v := viewOf(a, b, c)
	v.Groups[0].Prior = []Configuration{{90, ids(b)}}
	n := serving(a, v)
	half := SealAck{Term: term, OK: true, Promised: term, Installed: 90, Last: 2, Chunks: 2, Records: []*Record{held("x", e, 1)}}
	none[Install](t, tell(n, begin, b, half))
	none[Install](t, tell(n, begin, b, half))
	half.Chunk, half.Records = 1, []*Record{held("y", e, 2)}
	sent := tell(n, begin, b, half)
	check(t, len(one[Install](t, sent, c).Records) == 2, "%+v", sent)
}

// T2. "e* is the highest installed among the answers. It has enough when for each
// configuration in Prior with term ≥ e* a seal quorum of it has answered. The
// state is that of the answer with the highest (installed, last)."
func TestT2Enough(t *testing.T) {
	prior := []Configuration{{80, ids(a, b, c)}, {90, ids(b, c, d)}, {95, ids(c, d, e)}}
	type answer struct {
		from      NodeID
		installed Term
		last      uint64
	}
	for i, tc := range []struct {
		answers []answer
		enough  bool
		best    NodeID // whose state
	}{
		{[]answer{{a, 80, 1}, {b, 80, 2}}, false, 0},            // 90 and 95 may have written later
		{[]answer{{b, 80, 2}, {c, 80, 1}}, false, 0},            // S of 80 and of 90, not of 95
		{[]answer{{b, 80, 2}, {c, 80, 1}, {d, 0, 0}}, true, b},  // of all three; what c and d say of 95 is: nothing
		{[]answer{{c, 90, 7}, {d, 0, 0}}, true, c},              // e* is 90: who had 80 does not matter
		{[]answer{{c, 95, 1}, {d, 95, 2}}, true, d},             // the higher number
		{[]answer{{c, 95, 1}, {b, 90, 9}}, false, 0},            // e* is 95: only c of it
		{[]answer{{e, 95, 0}, {d, 90, 9}}, true, e},             // the higher term, though without a write
		{[]answer{{a, 80, 3}, {b, 90, 1}, {c, 0, 0}}, false, 0}, // S of 90, but of 95 only c
		{[]answer{{d, 90, 1}, {e, 0, 0}, {b, 80, 9}}, true, d},  // S of 95: d e; of 90: b d
		{[]answer{{a, 80, 3}, {d, 0, 0}, {e, 0, 0}}, false, 0},  // of 80 only a, of 90 only d
	} {
		v := viewOf(a, b, c, d, e, f)
		v.Groups[0] = Group{term, ids(f, a, b), prior}
		n := serving(f, v)
		var sent []Envelope
		for _, k := range tc.answers {
			m := SealAck{Term: term, OK: true, Promised: term, Installed: k.installed, Last: k.last}
			if k.installed > 0 {
				m.Chunks, m.Records = 1, []*Record{held(fmt.Sprint(k.from), k.from, 1)}
			}
			sent = append(sent, tell(n, begin, k.from, m)...)
		}
		late, _ := pass(n, begin, begin.add(testParams.ownerWait())) // for the owner before, see awaitOwner
		sent = append(sent, late...)
		installs := all[Install](sent, a)
		check(t, (len(installs) > 0) == tc.enough, "%d: enough is %v", i, len(installs) > 0)
		if tc.enough {
			rs := installs[0].Records
			check(t, len(rs) == 1 && rs[0].Key == fmt.Sprint(tc.best), "%d: state %+v", i, rs)
		}
	}
}

// T3. "It sends Install{term, state} to the new replicas; one installs if
// promised ≤ the term and installed < the term, and sets both."
func TestT3Installs(t *testing.T) {
	v := viewOf(a, b, c)
	n := has(serving(b, v), term-10, 3)
	install := func(of Term) AcceptAck { return one[AcceptAck](t, tell(n, begin, a, Install{Term: of, Chunks: 1}), a) }
	n.parts[0].promised = term + 2
	check(t, !install(term).OK && n.parts[0].installed == term-10, "installed below its promise")
	n = has(serving(b, v), term-10, 3)
	ack := install(term)
	check(t, ack.OK && ack.Installed == term && ack.Last == 0 && len(n.parts[0].records) == 0, "%+v", ack)
	n.parts[0].apply(Write{"k", held("k", e, 1)})
	check(t, install(term).Last == 1, "installed twice: writes are lost")
}

// T3. "With W installed (acknowledged under the conditions of G1) the group is
// active; the rest are sent it until they have it."
func TestT3Active(t *testing.T) {
	v := viewOf(a, b, c)
	v.Groups[0].Prior = []Configuration{{90, ids(b)}}
	n := serving(a, v)
	tell(n, begin, b, SealAck{Term: term, OK: true, Promised: term, Installed: 90, Last: 1, Chunks: 1, Records: []*Record{held("k", e, 1)}})
	tell(n, begin, b, AcceptAck{0, term, false, term, term, 0}) // it has no lease
	check(t, n.owners[0].phase == ownerInstalling, "active with one replica")
	_, told := do(n, begin, Receive{From: b, Mesh: 7, Message: accepted(0)})
	check(t, len(toldOf[Activated](told)) == 1, "not active with two of three")
	sent, _ := pass(n, begin.add(1), begin.add(time.Second))
	check(t, len(all[Install](sent, c)) > 0 && len(all[Install](sent, b)) == 0, "c is not sent the state any more")
}

// T4. "On activation every lease gets its full TTL anew, at the new owner's clock
// … Tokens start at term<<32 …"
func TestT4Leases(t *testing.T) {
	v := viewOf(a, b, c)
	v.Groups[0].Prior = []Configuration{{90, ids(b)}}
	n := serving(a, v)
	tell(n, begin, b, SealAck{Term: term, OK: true, Promised: term, Installed: 90, Last: 1, Chunks: 1, Records: []*Record{held("k", e, makeToken(90, 5))}})
	at := begin.add(time.Second)
	tell(n, at, b, accepted(0))
	ttl := testParams.given(5 * time.Second)
	renewed := func(until Time) {
		for n.now < until {
			lend(n, n.now)
			pass(n, n.now, min(n.now.add(time.Second), until))
		}
	}
	renewed(at.add(ttl) - 1)
	check(t, n.owners[0].table.keys["k"] != nil, "expired early")
	renewed(at.add(ttl))
	check(t, n.owners[0].table.keys["k"] == nil, "does not expire")

	lend(n, n.now)
	tell(n, n.now, d, acquire(d, 1, "k"))
	tell(n, n.now, b, accepted(1))
	answer := one[Answer](t, tell(n, n.now, b, accepted(2)), d)
	check(t, answer.Token == makeToken(term, 1) && answer.Token > makeToken(90, 5), "token %d", answer.Token)
}

// T4. "… an owner whose count nears 2³² asks for a new term (Stuck with
// Exhausted)."
func TestT4Exhausted(t *testing.T) {
	s := members(viewOf(a, b, c))
	s.cores[a].owners[0].count = countLow - 1
	s.input(b, Lock{Handle: 1, Key: "k", TTL: 10 * time.Second})
	s.wait(time.Second)
	g := s.cores[a].view.Groups[0]
	check(t, g.Term > term && slices.Equal(g.Replicas, ids(a, b, c)), "no new term: %+v", g)
	s.input(c, Lock{Handle: 1, Key: "j", TTL: 10 * time.Second})
	s.wait(time.Second)
	check(t, len(s.holds(b)) == 1 && len(s.holds(c)) == 1, "b %v, c %v", s.holds(b), s.holds(c))
	check(t, s.cores[c].client.holds[1].token == makeToken(g.Term, 1), "token %d", s.cores[c].client.holds[1].token)
}

// T5. "It tells voters and the replicas of Prior Settled{partition, term} until
// each has acknowledged, again on each view."
func TestT5Tells(t *testing.T) {
	v := viewOf(a, b, c, d, e)
	v.Voters = ids(a, b, c)
	v.Groups[0].Prior = []Configuration{{90, ids(b, d)}}
	n := serving(a, v)
	tell(n, begin, b, SealAck{Term: term, OK: true, Promised: term, Installed: 90})
	sent := tell(n, begin, b, accepted(0))
	for _, id := range ids(b, c, d) {
		one[Settled](t, sent, id)
	}
	check(t, len(all[Settled](sent, e)) == 0, "e need not know")
	ack := SettledAck{[]SettledItem{{0, term}}}
	tell(n, begin, b, ack)
	tell(n, begin, d, ack)
	sent, _ = pass(n, begin.add(1), begin.add(time.Second))
	check(t, len(all[Settled](sent, c)) > 1 && len(all[Settled](sent, b)) == 0, "not told until acknowledged")
	tell(n, n.now, c, ack)
	sent, _ = pass(n, n.now, n.now.add(time.Second))
	none[Settled](t, sent)
	sent = tell(n, n.now, b, Decided{View: after(v, func(*View) {})})
	one[Settled](t, sent, b)
}

// T5. "A proposer that knows a group settled puts just its configuration into
// Prior when it changes the group; otherwise it keeps the older ones too."
func TestT5Prior(t *testing.T) {
	v := viewOf(a, b, c, d)
	older, own := Configuration{90, ids(b, d)}, v.Groups[0].configuration()
	v.Groups[0].Prior = []Configuration{older}
	n := serving(b, v)
	next := after(v, func(w *View) { w.without(a) })
	g := n.nextGroup(0, ids(b, c, d), next)
	check(t, len(g.Prior) == 2 && g.Prior[0].Term == 90 && g.Prior[1].Term == term, "unsettled: %+v", g)
	sent := tell(n, begin, a, Settled{[]SettledItem{{0, term}}})
	one[SettledAck](t, sent, a)
	g = n.nextGroup(0, ids(b, c, d), next)
	check(t, len(g.Prior) == 1 && g.Prior[0].Term == own.Term, "settled: %+v", g)
	g = n.nextGroup(0, ids(a, b, c), next)
	check(t, g.Term == term && len(g.Prior) == 0, "an unchanged group keeps its term: %+v", g)
}

// T5. "On Settled a replica with installed < the term drops its records and sets
// installed = last = 0, never promised."
func TestT5Forgets(t *testing.T) {
	v := viewOf(a, b, c, d)
	n := has(serving(d, v), 90, 3)
	tell(n, begin, a, Settled{[]SettledItem{{0, term}}})
	r := n.parts[0]
	check(t, r.installed == 0 && r.last == 0 && len(r.records) == 0 && r.promised == term, "%+v", r)
	n = has(serving(b, v), term, 3)
	tell(n, begin, a, Settled{[]SettledItem{{0, term}}})
	check(t, n.parts[0].installed == term && n.parts[0].last == 3, "who has the term forgot it")
	n = has(serving(d, v), 90, 3)
	none[SettledAck](t, tell(n, begin, b, Settled{[]SettledItem{{0, term}}})) // b does not own it
	check(t, n.parts[0].installed == 90, "it believed somebody else")
}

// T5. "Unchanged groups keep their term and go on undisturbed."
func TestT5Undisturbed(t *testing.T) {
	v := viewOf(a, b, c, d)
	n := owning(a, v)
	tell(n, begin, d, acquire(d, 1, "k"))
	sent := tell(n, begin, b, Decided{View: after(v, func(w *View) { w.without(d) })})
	none[Seal](t, sent)
	lend(n, begin)
	check(t, one[Answer](t, tell(n, begin, b, accepted(1)), d).Outcome == OutcomeGranted, "the grant under way is lost")
}

// T6. "A configuration ≥ e* that T2 cannot satisfy and of which fewer than S are
// members is lost: the owner waits (MembershipTTL+MaxTTL)·(1+d) from learning the
// view that made it so, then starts without holders."
func TestT6Waits(t *testing.T) {
	v := viewOf(a, d, e) // b and c are gone: of three S is two
	v.Groups[0] = Group{term, ids(a, d, e), []Configuration{{90, ids(a, b, c)}}}
	taking := func() *Core {
		n := newCore(a)
		tell(n, begin, d, Decided{View: v})
		has(n, 90, 2)
		n.parts[0].promised = term
		n.owners[0].takeover.answers = nil
		tell(n, begin, d, SealAck{Term: term, OK: true, Promised: term})
		n.Step(begin.add(testParams.resendEvery()), Tick{})
		return n
	}
	// wait renews its lease until then, and returns what it installs.
	wait := func(n *Core, until Time) (sent []Envelope) {
		for n.now < until {
			lend(n, n.now)
			s, _ := pass(n, n.now, min(n.now.add(time.Second), until))
			sent = append(sent, s...)
		}
		return sent
	}
	end := begin.add(testParams.lostWait())
	n := taking()
	none[Install](t, wait(n, end-1))
	sent := wait(n, end)
	check(t, len(one[Install](t, sent, d).Records) == 0, "started with holders: %+v", sent)

	// "If T2 completes meanwhile, T2 wins; but a term's state is fixed once its
	// first Install is sent."
	found := SealAck{Term: term, OK: true, Promised: term, Installed: 90, Last: 9, Chunks: 1, Records: []*Record{held("k", e, 1)}}
	none[Install](t, tell(n, end, b, found))
	n = taking()
	wait(n, end.add(-time.Second))
	check(t, len(one[Install](t, tell(n, n.now, b, found), d).Records) == 1, "b's answer came in time")

	// "Looked at anew on each view": a view in which b is a member again ends the
	// wait, since b can answer; one more without others does not begin it again.
	n = taking()
	wait(n, begin.add(5*time.Second))
	tell(n, n.now, d, Decided{View: after(v, func(w *View) { w.without(e) })})
	none[Install](t, wait(n, end-1))
	check(t, len(all[Install](wait(n, end), d)) == 1, "the wait began again")
	n = taking()
	wait(n, begin.add(5*time.Second))
	tell(n, n.now, d, Decided{View: after(v, func(w *View) { w.Members = append(w.Members, member(b)) })})
	none[Install](t, wait(n, end.add(time.Minute)))
}
