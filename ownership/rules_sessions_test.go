package ownership

import (
	"slices"
	"testing"
	"time"
)

// What K10 to K14 say of sessions: leases, sets, looks, evictions, notices. The
// stories are in testdata: lease, set, watch, evict, heir. Here are the corners.

// K10: "When one of them is lost all others are released at once, by the client":
// those that wait are denied, and the owners get every place back.
func TestK10Loss(t *testing.T) {
	w := members(viewOf(a, b, c, d, e))
	anchor := func(h Handle) Lock { return Lock{Handle: h, Key: "anchor", TTL: 5 * time.Second} }
	w.input(d, anchor(1))
	w.input(d, Lock{Handle: 2, Key: "j", Lease: 1})
	w.ask(e, 1, "k", Exclusive)
	w.input(d, Lock{Handle: 3, Key: "k", Lease: 1})
	w.ask(d, 4, "apart", Exclusive) // of the same TTL, not of the lease
	check(t, w.cores[d].client.holds[2].lease == w.cores[d].client.holds[1].lease, "another lease")
	w.input(c, Evict{Handle: 1, Key: "j", Token: w.cores[d].client.holds[2].token})
	w.wait(time.Second)
	check(t, slices.Equal(w.holds(d), []Handle{4}), "holds %v", w.holds(d))
	check(t, slices.Equal(toldOf[Lost](w.told[d]), []Lost{{2, LostEvicted, "c"}, {1, LostLease, ""}}), "%+v", toldOf[Lost](w.told[d]))
	check(t, slices.Equal(toldOf[Denied](w.told[d]), []Denied{{Handle: 3, Code: DeniedLease}}), "%+v", toldOf[Denied](w.told[d]))
	check(t, w.key("anchor") == nil && w.key("j") == nil && len(w.key("k").queue) == 0, "something is left at the owner")
	check(t, len(w.cores[d].client.holds) == 1, "something is left at the client")
	w.input(d, Lock{Handle: 5, Key: "l", Lease: 1})
	check(t, slices.Contains(toldOf[Denied](w.told[d]), Denied{Handle: 5, Code: DeniedLease}), "a dead lease takes locks")
}

// K10: cut off, all of a lease are lost at the first deadline.
func TestK10CutOff(t *testing.T) {
	w := members(viewOf(a, b, c, d, e))
	w.input(d, Lock{Handle: 1, Key: "anchor", TTL: 5 * time.Second})
	w.wait(time.Second)
	w.input(d, Lock{Handle: 2, Key: "j", Lease: 1})
	w.lose = func(from, to NodeID, m Message) bool { return from == d || to == d }
	first := min(w.cores[d].client.holds[1].deadline, w.cores[d].client.holds[2].deadline)
	w.wait(first.since(w.now) - 1)
	check(t, len(w.holds(d)) == 2, "lost early")
	w.wait(1)
	check(t, len(w.holds(d)) == 0, "holds %v", w.holds(d))
}

// K11: the set ends at every place in it, and nothing is left.
func TestK11Ends(t *testing.T) {
	for what, end := range map[string]func(w *bench){
		"the last is cancelled":      func(w *bench) { w.input(d, Unlock{Handle: 3}) },
		"the first is released":      func(w *bench) { w.input(d, Unlock{Handle: 1}) },
		"the one asked is cancelled": func(w *bench) { w.input(d, Unlock{Handle: 2}) },
		"the first is evicted":       func(w *bench) { w.input(c, Evict{Handle: 9, Key: "x", Token: w.cores[d].client.holds[1].token}) },
	} {
		w := members(viewOf(a, b, c, d, e))
		w.ask(e, 1, "y", Exclusive)
		for i, key := range []string{"x", "y", "z"} {
			w.input(d, Lock{Handle: Handle(i + 1), Key: key, TTL: 5 * time.Second, After: Handle(i)})
		}
		check(t, slices.Equal(w.holds(d), []Handle{1}) && w.key("z") == nil, "asked for z before y was held")
		end(w)
		w.input(e, Unlock{Handle: 1})
		w.wait(time.Second)
		ended := map[Handle]bool{}
		for _, k := range w.told[d] {
			switch k := k.(type) {
			case Denied:
				ended[k.Handle] = true
			case Lost:
				ended[k.Handle] = true
			case Released:
				ended[k.Handle] = true
			}
		}
		if what == "the last is cancelled" {
			check(t, slices.Equal(w.holds(d), []Handle{1, 2}) && ended[3], "%s: holds %v, ended %v", what, w.holds(d), ended)
			continue
		}
		for h := range Handle(3) {
			check(t, ended[h+1] || slices.Contains(w.holds(d), h+1), "%s: nothing was said of %d", what, h+1)
		}
		check(t, !slices.Contains(w.holds(d), 3), "%s: z is held", what)
		for _, h := range w.holds(d) {
			w.input(d, Unlock{Handle: h})
		}
		check(t, w.key("x") == nil && w.key("y") == nil && w.key("z") == nil, "%s: something is left", what)
	}
}

// K12: "answers like a heartbeat: after a confirm round that began when the query had
// come".
func TestK12Certified(t *testing.T) {
	n := owning(a, viewOf(a, b, c))
	q := Query{Client: 400, ID: 1, Term: term, Key: "k"}
	none[Report](t, tell(n, begin, d, q))
	check(t, len(one[Report](t, settle(n, begin), d).Keys) == 1, "no answer")

	m := acquire(d, 1, "k")
	tell(n, begin, d, m) // not committed
	tell(n, begin, d, q)
	none[Report](t, tell(n, begin, b, ConfirmAck{[]ConfirmItem{{0, term, n.owners[0].round}}}))
	r := one[Report](t, tell(n, begin, b, accepted(1)), d)
	check(t, len(r.Keys[0].Holders) == 1, "answered what was not yet so")

	q.Term--
	check(t, one[Report](t, tell(n, begin, d, q), d).Outcome == OutcomeMoved, "another term")
	for _, bad := range []Query{{Key: ""}, {Key: string(make([]byte, MaxKeyBytes+1))}} {
		bad.Client, bad.Term = 400, term
		check(t, one[Report](t, tell(n, begin, d, bad), d).Outcome == OutcomeInvalid, "%+v", bad)
	}
}

// K12: "answered so once per term, and before it is told anything else": an owner that
// cannot have a round tells nobody of its queue who was not told of the key for certain.
func TestK12CertainFirst(t *testing.T) {
	n := owning(a, viewOf(a, b, c))
	tell(n, begin, d, acquire(d, 1, "k"))
	settle(n, begin)
	q := Query{Client: 500, ID: 1, Term: term, Key: "k", Watch: true}
	tell(n, begin, e, q)
	tell(n, begin, c, acquire(c, 1, "k")) // waits
	sent, _ := pass(n, begin, begin.add(500*time.Millisecond))
	none[Report](t, sent)
	later := begin.add(500 * time.Millisecond)
	check(t, one[Report](t, settle(n, later), e).Keys[0].Waiting == 0, "the round of the first question knows what came later")
	r := one[Report](t, settle(n, later), e)
	check(t, r.Keys[0].Waiting == 1, "%+v", r)

	q.Seen = r.Number
	tell(n, later, e, q)
	tell(n, later, c, Release{Request: RequestID{300, 1}, Term: term})
	sent, _ = pass(n, later, later.add(500*time.Millisecond))
	check(t, one[Report](t, sent, e).Keys[0].Waiting == 0, "who was told for certain waits for a round")
}

// K12: "forgotten after five without": who has gone away costs nothing.
func TestK12Forgotten(t *testing.T) {
	w := members(viewOf(a, b, c, d))
	w.input(d, Look{Handle: 1, Key: "k", Watch: true})
	w.wait(10 * time.Second)
	o := w.cores[a].owners[0]
	check(t, len(o.table.watched) == 1, "not watched any more")
	w.input(d, Unlook{Handle: 1})
	w.wait(11 * time.Second)
	check(t, len(o.table.watched) == 0, "watched still")
	seen := len(toldOf[Looked](w.told[d]))
	w.ask(c, 1, "k", Exclusive)
	check(t, len(toldOf[Looked](w.told[d])) == seen, "told after Unlook")
}

// K12: pages list every key with holders or a value once, in order.
func TestK12Pages(t *testing.T) {
	w := members(viewOf(a, b, c, d))
	n := pageKeys + 10
	for i := range n {
		w.ask(c, Handle(i+1), string(rune('a'+i%7))+string(rune('a'+i/7%26))+string(rune('a'+i/182)), Exclusive)
	}
	var keys []string
	for after, h := "", Handle(1); ; h++ {
		w.input(d, Look{Handle: h, Page: true, Key: after})
		l := toldOf[Looked](w.told[d])
		page := l[len(l)-1]
		for _, k := range page.Keys {
			keys = append(keys, k.Key)
		}
		if !page.More {
			break
		}
		after = keys[len(keys)-1]
	}
	check(t, len(keys) == n && slices.IsSorted(keys), "%d keys of %d", len(keys), n)
}

// K13: "renews that lock no more": neither a heartbeat nor a copy of its Acquire.
func TestK13NotRenewed(t *testing.T) {
	n := owning(a, viewOf(a, b, c))
	m := acquire(d, 1, "k")
	tell(n, begin, d, m)
	other := acquire(d, 2, "j")
	tell(n, begin, d, other)
	token := n.owners[0].table.requests[m.Request].token
	settle(n, begin)
	sent := tell(n, begin, e, Revoke{Request: RequestID{500, 1}, Term: term, Key: "k", Token: token, Name: "e"})
	check(t, one[Notice](t, sent, d).Items[0].Evicted, "the holder is not told")

	later := begin.add(time.Second)
	tell(n, later, d, Heartbeat{400, 5, []HeartbeatItem{{0, term, 1, 5 * time.Second, 1, 2, digest("k", 1) ^ digest("j", 2)}}})
	item := one[HeartbeatAck](t, settle(n, later), d).Items[0]
	check(t, !item.Match && slices.Equal(item.Held, []uint64{2}), "%+v", item)
	tell(n, later, d, m)
	none[Answer](t, settle(n, later))

	end := begin.add(testParams.given(5 * time.Second))
	lend(n, end-2)
	n.Step(end-1, Tick{})
	who, _ := holder(n, "k")
	check(t, who == 400, "taken before its deadline is over")
	n.Step(end, Tick{})
	who, _ = holder(n, "k")
	check(t, who == 0, "not taken")
	check(t, one[Answer](t, settle(n, end), e).Outcome == OutcomeReleased, "the operator is not told")
	who, _ = holder(n, "j")
	check(t, who == 400, "the other lock of the lease went too")
}

// K13: a grant whose answer never came is given back, and asked for anew.
func TestK13NeverHeard(t *testing.T) {
	w := members(viewOf(a, b, c, d, e))
	w.lose = func(from, to NodeID, m Message) bool {
		x, is := m.(Answer)
		return is && to == d && x.Outcome == OutcomeGranted
	}
	w.ask(d, 1, "k", Exclusive)
	token := w.key("k").record.Holders[0].Token
	w.input(e, Evict{Handle: 1, Key: "k", Token: token})
	w.lose = nil
	w.wait(time.Second)
	done := toldOf[Evicted](w.told[e])
	check(t, len(done) == 1 && done[0].Done, "%+v", done)
	check(t, len(w.holds(d)) == 1 && w.cores[d].client.holds[1].token > token, "the call of d hangs")
}

// K13: an operator that gives the call up does not hinder the eviction, and one that
// comes too late is told who has the key.
func TestK13GivenUp(t *testing.T) {
	w := members(viewOf(a, b, c, d, e))
	w.ask(d, 1, "k", Exclusive)
	token := w.cores[d].client.holds[1].token
	w.lose = func(from, to NodeID, m Message) bool { return to == d }
	w.input(e, Evict{Handle: 1, Key: "k", Token: token}, Evict{Handle: 2, Key: "k", Token: token})
	w.input(e, Unlock{Handle: 1})
	check(t, len(toldOf[Released](w.told[e])) == 1, "the call hangs")
	w.ask(c, 1, "k", Exclusive)
	w.wait(8 * time.Second)
	done := toldOf[Evicted](w.told[e])
	check(t, len(done) == 1 && done[0].Handle == 2 && done[0].Done && len(w.holds(c)) == 1, "%+v", done)
	w.input(e, Evict{Handle: 3, Key: "k", Token: token})
	done = toldOf[Evicted](w.told[e])
	check(t, len(done) == 2 && !done[1].Done && done[1].Holder.Name == "c", "%+v", done)
	check(t, len(w.cores[a].owners[0].table.revokes) == 0, "something is left")
}

// K14: a notice that is lost is made good by the next heartbeat's answer.
func TestK14Heartbeat(t *testing.T) {
	w := members(viewOf(a, b, c, d, e))
	w.ask(d, 1, "k", Exclusive)
	w.ask(d, 2, "quiet", Exclusive)
	w.lose = func(from, to NodeID, m Message) bool { _, is := m.(Notice); return is }
	w.ask(e, 1, "k", Exclusive)
	check(t, len(toldOf[Contended](w.told[d])) == 0, "the notice was not lost")
	w.wait(4 * time.Second)
	check(t, slices.Equal(toldOf[Contended](w.told[d]), []Contended{{1}}), "%+v", toldOf[Contended](w.told[d]))
	w.input(e, Unlock{Handle: 1})
	w.wait(4 * time.Second)
	w.lose = nil
	w.ask(e, 2, "k", Exclusive)
	w.wait(time.Second)
	check(t, len(toldOf[Contended](w.told[d])) == 2, "%+v", toldOf[Contended](w.told[d]))
}

// K14: "the waiter that goes first if it fits"; the line behind keeps its order.
func TestK14Heir(t *testing.T) {
	w := members(viewOf(a, b, c, d, e))
	w.ask(a, 1, "k", Shared)
	w.ask(b, 1, "k", Shared)
	w.ask(c, 1, "k", Exclusive)
	w.ask(d, 1, "k", Exclusive)
	w.input(a, Unlock{Handle: 1, Heir: "d"}) // it does not fit beside b
	check(t, len(w.holds(c)) == 0 && len(w.holds(d)) == 0, "c %v, d %v", w.holds(c), w.holds(d))
	w.input(b, Unlock{Handle: 1, Heir: "d"})
	check(t, len(w.holds(d)) == 1 && len(w.holds(c)) == 0, "c %v, d %v", w.holds(c), w.holds(d))
	w.input(d, Unlock{Handle: 1})
	check(t, len(w.holds(c)) == 1, "c lost its turn")
}
