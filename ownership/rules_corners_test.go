package ownership

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// Corners of K1 to K14 that have gone wrong once: each comment says what did.

// twoParts is a view in which a owns partition 0 and b partition 1.
func twoParts() *View {
	v := viewOf(a, b, c, d)
	v.Params.Partitions = 2
	v.Groups = []Group{{Term: term, Replicas: ids(a, b, c)}, {Term: term, Replicas: ids(b, c, a)}}
	return v
}

// keyIn finds a key of a partition.
func keyIn(n *Core, p Partition, name string) string {
	for i := 0; ; i++ {
		if k := fmt.Sprint(name, i); n.partition(k) == p {
			return k
		}
	}
}

// K3: "Past it the lock is lost, whatever the network does": tickClient walks over the
// slots by index, and a lease that ends (K10) takes slots before the index away too:
// the slot after it is skipped, its deadline not looked at, and no wake set for it.
func TestK10TakesSlotsAlong(t *testing.T) {
	v := twoParts()
	n := New(Config{ID: d, Client: 400, Name: "d", Addr: "4", Params: v.Params, Founders: 3}, begin)
	tell(n, begin, 99, Decided{View: v})
	lend(n, begin)
	grant := func(in Lock) {
		sent, _ := do(n, begin, in)
		m := all[Acquire](sent, 0)[0]
		g := grantOf(m, makeToken(term, uint32(in.Handle)))
		g.Partition = m.Partition
		n.Step(begin, Receive{From: v.Groups[m.Partition].Owner(), Mesh: 7, Message: g})
		check(t, n.client.holds[in.Handle].state == holdHeld, "not held")
	}
	ttl := 5 * time.Second
	grant(Lock{Handle: 1, Key: keyIn(n, 1, "anchor"), TTL: ttl})
	grant(Lock{Handle: 2, Key: keyIn(n, 0, "member"), Lease: 1})
	grant(Lock{Handle: 3, Key: keyIn(n, 0, "other"), TTL: ttl, NoRenew: true})
	grant(Lock{Handle: 4, Key: keyIn(n, 1, "last"), TTL: ttl, NoRenew: true})
	// The member is renewed, the anchor is not.
	now := begin.add(time.Second)
	s := n.client.slots[0]
	s.beat, s.sent = 100, now
	n.client.beats = 100
	tell(n, now, a, HeartbeatAck{400, []HeartbeatAckItem{{Partition: 0, Term: term, Lease: s.lease, Beat: 100, Echo: Echo(now), Match: true}}})
	end := n.client.holds[3].deadline
	check(t, end == n.client.holds[1].deadline && end < n.client.holds[2].deadline, "bad stage")
	out := n.Step(end, Tick{})
	told := slices.Clone(out.Notify)
	h := n.client.holds[3]
	check(t, h == nil, "at its deadline handle 3 is still held; next wake %v later; told %+v", out.Wake.since(end), told)
}

// K10, K11 and reask: a lock whose grant came too late is in holdReleasing with reask
// when its lease ends: it is not denied, is asked for again, and held under a dead lease.
func TestK10AskedAgain(t *testing.T) {
	for _, what := range []string{"lease", "set"} {
		n := asking()
		sent, _ := do(n, begin, Lock{Handle: 1, Key: "anchor", TTL: time.Second})
		n.Step(begin, Receive{From: a, Mesh: 7, Message: grantOf(one[Acquire](t, sent, a), makeToken(term, 1))})
		in := Lock{Handle: 2, Key: "k", Lease: 1}
		if what == "set" {
			in = Lock{Handle: 2, Key: "k", TTL: time.Second, After: 1}
		}
		sent, _ = do(n, begin, in)
		m := one[Acquire](t, sent, a)
		// An eviction of a grant that was never heard makes it ask anew, like a grant that
		// comes after its deadline.
		sent, _ = do(n, begin, Receive{From: a, Mesh: 7, Message: Notice{400, []NoticeItem{{Term: term, Seq: m.Request.Seq, Evicted: true}}}})
		rel := one[Release](t, sent, a)
		_, told := do(n, begin, Unlock{Handle: 1})
		denied := len(toldOf[Denied](told)) == 1
		sent, _ = do(n, begin, Receive{From: a, Mesh: 7, Message: Answer{Request: rel.Request, Term: term, Release: true, Outcome: OutcomeReleased}})
		again := all[Acquire](sent, a)
		if len(again) == 1 {
			n.Step(begin, Receive{From: a, Mesh: 7, Message: grantOf(again[0], makeToken(term, 9))})
		}
		h := n.client.holds[2]
		if !denied || len(again) != 0 || h != nil && h.state == holdHeld {
			t.Errorf("%s: denied %v, asked again %d times, held %v after handle 1 was released", what, denied, len(again), h != nil && h.state == holdHeld)
		}
	}
}

// V6, I16: notices that wait for the end of the step in which the node falls silent.
func TestV6NoNotices(t *testing.T) {
	n := owning(a, viewOf(a, b, c, d))
	m := acquire(d, 1, "k")
	tell(n, begin, d, m)
	settle(n, begin)
	next := after(n.view, func(v *View) {
		v.without(a)
		v.Groups[0] = Group{term + 1, ids(b, c, d), []Configuration{{term, ids(a, b, c)}}}
	})
	defer func() {
		if r := recover(); r != nil {
			t.Fatalf("panic: %v", r)
		}
	}()
	n.Step(begin, Receive{From: e, Mesh: 7, Message: acquire(e, 1, "k")}, Receive{From: b, Mesh: 7, Message: Decided{View: next}})
}

// K6: a value that was written, and whose answer was lost, is "not held" (nothing was
// written) once an operator evicts the holder.
func TestK6DoneAndEvicted(t *testing.T) {
	w := members(viewOf(a, b, c, d, e))
	w.ask(d, 1, "k", Exclusive)
	w.lose = func(from, to NodeID, m Message) bool {
		x, is := m.(Answer)
		_, notice := m.(Notice)
		return is && x.Alters != 0 || notice
	}
	w.alter(d, Change{Handle: 1, Op: 1, What: AlterValue, Value: []byte("v")})
	w.input(e, Evict{Handle: 1, Key: "k", Token: w.cores[d].client.holds[1].token})
	w.lose = func(from, to NodeID, m Message) bool { _, notice := m.(Notice); return notice }
	w.wait(time.Second)
	v := w.key("k").record.Value
	check(t, w.outcome(d) != OutcomeNotHeld || v == nil, "told not held, and %q is readable", v.Data)
}

// K2, K7: a writer that crashed while it waited, with a TTL of a second, holds back
// readers until the next lease of the partition expires.
func TestK7DeadHead(t *testing.T) {
	w := members(viewOf(a, b, d, c))
	w.input(b, Lock{Handle: 1, Key: "k", TTL: 20 * time.Second, Mode: Shared})
	w.input(c, Lock{Handle: 1, Key: "k", TTL: time.Second})
	w.crash(c)
	w.input(d, Lock{Handle: 1, Key: "k", TTL: 20 * time.Second, Mode: Shared})
	start := w.now
	for len(w.holds(d)) == 0 && w.now.since(start) < time.Minute {
		w.wait(100 * time.Millisecond)
	}
	check(t, w.now.since(start) < 3*time.Second, "the reader waited %v behind a waiter that was lost after 1.01 s", w.now.since(start))
}

// Undo of a downgrade whose mode an earlier, queued-before upgrade has raised: the
// undo goes up, and nobody waits for it.
func TestK8DownStays(t *testing.T) {
	w := members(viewOf(a, b, c, d, e))
	w.ask(d, 1, "k", ForUpdate)
	w.ask(e, 1, "k", Shared)
	w.alter(d, Change{Handle: 1, Op: 1, What: AlterMode, Mode: Exclusive})
	w.alter(d, Change{Handle: 1, Op: 2, What: AlterMode, Mode: Shared})
	w.lose = func(from, to NodeID, m Message) bool { x, is := m.(Answer); return is && x.Alters == 2 }
	w.input(e, Unlock{Handle: 1}) // d goes up, then down; the answer to that is lost
	check(t, w.cores[d].client.holds[1].mode == Shared, "K8: asked to go down, and counts as %v", w.cores[d].client.holds[1].mode)
	w.ask(e, 2, "k", Shared)
	w.input(d, Unchange{Handle: 1, Op: 2})
	w.wait(time.Second)
	check(t, w.key("k").upgrade == nil && w.key("k").record.holder(RequestID{400, 1}).Mode == Shared, "an upgrade that nobody waits for closes the key")
}

// Looks that began at different times tick one by one, each over all of them.
func TestK12Ticks(t *testing.T) {
	n := asking()
	now := begin
	const looks = 1000
	for i := range looks {
		now = now.add(time.Millisecond)
		n.Step(now, Look{Handle: Handle(i + 1), Key: fmt.Sprint(i), Watch: true})
		n.Step(now, Receive{From: a, Mesh: 7, Message: Report{Client: 400, ID: uint64(i + 1), Term: term, Outcome: OutcomeGranted, Number: uint64(i + 1), Keys: []KeyState{{}}}})
	}
	ticks, end := 0, now.add(time.Second)
	for now < end {
		out := n.Step(now, Tick{})
		ticks++
		now = max(out.Wake, now+1)
	}
	check(t, ticks < 100, "%d ticks in a second for %d watches", ticks, looks)
}

// Bytes: two keys of one first state name the same request. When that is closed and
// forgotten, an operator's release of the other key indexes what is not there.
func TestRecordsOfOneRequest(t *testing.T) {
	n := serving(a, viewOf(a, b, c))
	h := Holder{Request: RequestID{400, 1}, Token: 5, Lease: 1, TTL: 5 * time.Second}
	recs := []*Record{{Key: "j", Holders: []Holder{h}}, {Key: "k", Holders: []Holder{h}}}
	v := after(n.view, func(v *View) { v.Groups[0].Term = term + 1; v.Groups[0].Prior = []Configuration{{term, ids(a, b, c)}} })
	tell(n, begin, b, Decided{View: v})
	lend(n, begin)
	tell(n, begin, b, SealAck{Term: term + 1, OK: true, Promised: term + 1, Installed: term, Last: 3, Chunks: 1, Records: recs})
	tell(n, begin, c, SealAck{Term: term + 1, OK: true, Promised: term + 1, Installed: term, Last: 2})
	for _, r := range ids(b, c) {
		tell(n, begin, r, AcceptAck{Term: term + 1, OK: true, Promised: term + 1, Installed: term + 1})
	}
	check(t, n.owners[0].phase == ownerActive, "bad stage: %d", n.owners[0].phase)
	defer func() {
		if r := recover(); r != nil {
			t.Fatalf("panic: %v", r)
		}
	}()
	tell(n, begin, d, Release{Request: h.Request, Term: term + 1})
	for i := range uint64(40) {
		m := Release{Request: RequestID{400, i + 2}, Term: term + 1, Low: i + 2}
		tell(n, begin, d, m)
	}
	delete(n.owners[0].table.requests, h.Request) // as 16 later releases do
	tell(n, begin, e, Revoke{Request: RequestID{500, 1}, Term: term + 1, Key: "j", Token: 5, Name: "e"})
}

// K14: a hand-over in the grace after a take-over: the named waiter is parked, so the
// key goes by tickets and the heir is passed over.
func TestK14HeirInGrace(t *testing.T) {
	w := members(viewOf(a, b, c, d, e))
	w.ask(d, 1, "k", Exclusive)
	w.ask(c, 1, "k", Exclusive)
	w.ask(e, 1, "k", Exclusive)
	w.crash(a)
	for i := 0; i < 100000 && (w.cores[b].owners[0] == nil || w.cores[b].owners[0].table.graceEnd == 0); i++ {
		w.wait(time.Millisecond)
	}
	check(t, w.cores[b].owners[0].table.graceEnd != 0, "bad stage")
	w.wait(time.Millisecond)
	w.input(d, Unlock{Handle: 1, Heir: "e"})
	w.wait(time.Second)
	check(t, len(w.holds(e)) == 1, "the heir waits; c %v, e %v", w.holds(c), w.holds(e))
}

// K13, K8: a holder that waits to go up and is evicted goes up all the same, with a new
// token, and holds the line closed until then.
func TestK13DoesNotGoUp(t *testing.T) {
	w := members(viewOf(a, b, c, d, e))
	w.ask(d, 1, "k", ForUpdate)
	w.ask(e, 1, "k", Shared)
	w.alter(d, Change{Handle: 1, Op: 1, What: AlterMode, Mode: Exclusive})
	w.lose = func(from, to NodeID, m Message) bool { return to == d }
	token := w.cores[d].client.holds[1].token
	w.input(c, Evict{Handle: 1, Key: "k", Token: token})
	w.input(e, Unlock{Handle: 1})
	h := w.key("k").record.Holders[0]
	check(t, h.Mode == ForUpdate && h.Token == token, "an evicted holder went up: %v, token %d after %d", h.Mode, h.Token, token)
}

// K14: an heir that is granted while others wait is not told so.
func TestK14HeirIsTold(t *testing.T) {
	w := members(viewOf(a, b, c, d, e))
	w.ask(d, 1, "k", Exclusive)
	w.ask(c, 1, "k", Exclusive)
	w.ask(e, 1, "k", Exclusive)
	w.input(d, Unlock{Handle: 1, Heir: "e"})
	check(t, len(w.holds(e)) == 1, "bad stage")
	check(t, len(toldOf[Contended](w.told[e])) == 1, "c waits, and e is not told")
}
