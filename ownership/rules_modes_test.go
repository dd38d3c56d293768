package ownership

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// What K5 to K9 say of one key. The stories are in testdata: modes, upgrade, value,
// delay. Here are the corners.

// ask has a node's client ask for a key.
func (t *bench) ask(id NodeID, h Handle, key string, m Mode) {
	t.input(id, Lock{Handle: h, Key: key, TTL: 5 * time.Second, Mode: m})
}

// alter has a node's client change a lock.
func (t *bench) alter(id NodeID, in Change) { t.input(id, in) }

// outcome is what became of the newest Change of a node.
func (t *bench) outcome(id NodeID) Outcome {
	es := toldOf[Altered](t.told[id])
	if len(es) == 0 {
		return 0
	}
	return es[len(es)-1].Outcome
}

func (t *bench) key(key string) *keyState { return t.cores[a].owners[0].table.keys[key] }

// K5: "anything else is refused and changes nothing."
func TestK5Modes(t *testing.T) {
	w := members(viewOf(a, b, c, d))
	for i, in := range []Lock{
		{Mode: Permits(0, 3)}, {Mode: Permits(4, 3)}, {Mode: Permits(1, 0)}, {Mode: Permits(1, MaxPermits+1)}, {Mode: Mode{2, Whole}},
		{Delay: -1}, {Delay: testParams.MaxTTL + 1},
	} {
		in.Handle, in.Key, in.TTL = Handle(i+1), "k", time.Second
		w.input(d, in)
		told := toldOf[Invalid](w.told[d])
		check(t, len(told) == i+1 && told[i].Why != "", "%+v was not refused", in)
	}
	check(t, len(w.cores[d].client.holds) == 0 && w.key("k") == nil, "something was changed")

	// The same on the wire: a peer's bug, or bytes.
	n := owning(a, viewOf(a, b, c))
	bad := acquire(d, 1, "k")
	bad.Mode = Mode{3, 2}
	check(t, one[Answer](t, tell(n, begin, d, bad), d).Outcome == OutcomeInvalid, "a mode of 3 of 2")
	good := acquire(d, 2, "k")
	tell(n, begin, d, good)
	for _, m := range []Alter{
		{Number: 1, What: AlterValue, Value: make([]byte, MaxValueBytes+1)}, {Number: 0, What: AlterNoValue}, {Number: 1, What: alterCodesEnd},
		{Number: 1, What: AlterMode, Mode: Permits(1, 2)}, {Number: 1, What: AlterMode, Mode: Shared, Value: []byte("v")},
	} {
		m.Request, m.Term = good.Request, term
		check(t, one[Answer](t, tell(n, begin, d, m), d).Outcome == OutcomeInvalid, "%+v", m)
	}
	rec := n.owners[0].table.keys["k"].record
	check(t, rec.Value == nil && rec.Holders[0].Mode == Exclusive && rec.Holders[0].Altered == 0, "something was changed: %+v", rec)
}

// K6: "under a number that rises within the grant: a late copy changes nothing."
func TestK6LateCopy(t *testing.T) {
	n := owning(a, viewOf(a, b, c))
	m := acquire(d, 1, "k")
	tell(n, begin, d, m)
	set := func(number uint64, v string) Alter {
		return Alter{Request: m.Request, Term: term, Number: number, What: AlterValue, Value: []byte(v)}
	}
	value := func() string { return string(n.owners[0].table.keys["k"].record.Value.Data) }
	tell(n, begin, d, set(1, "one"))
	tell(n, begin, d, set(2, "two"))
	settle(n, begin)
	tell(n, begin, d, set(1, "one"))
	check(t, value() == "two", "a late copy wrote %q", value())
	next := n.owners[0].next
	tell(n, begin, d, set(2, "other"))
	check(t, value() == "two" && n.owners[0].next == next, "a second copy wrote %q", value())
	check(t, one[Answer](t, settle(n, begin), d).Outcome == OutcomeAltered, "the copy was not answered")

	// And at a new owner, which has only the record.
	w := members(viewOf(a, b, c, d))
	w.ask(d, 1, "k", Exclusive)
	var late Alter
	w.lose = func(from, to NodeID, msg Message) bool {
		if x, is := msg.(Alter); is && late.Number == 0 {
			late = x
		}
		return false
	}
	w.alter(d, Change{Handle: 1, Op: 1, What: AlterValue, Value: []byte("one")})
	w.alter(d, Change{Handle: 1, Op: 2, What: AlterValue, Value: []byte("two")})
	w.crash(a)
	w.wait(8 * time.Second)
	o := w.cores[b].owners[0]
	late.Term = o.term
	w.input(b, Receive{From: d, Mesh: 7, Message: late})
	check(t, string(o.table.keys["k"].record.Value.Data) == "two", "a copy from before the take-over wrote %q", o.table.keys["k"].record.Value.Data)
}

// K6: "only by who holds all of the key, at the owner and now".
func TestK6OnlyTheHolder(t *testing.T) {
	w := members(viewOf(a, b, c, d))
	set := Change{Handle: 1, Op: 1, What: AlterValue, Value: []byte("v")}
	w.alter(d, set)
	check(t, w.outcome(d) == OutcomeNotHeld, "without a lock: %d", w.outcome(d))
	w.ask(d, 1, "k", Shared)
	w.alter(d, set)
	check(t, w.outcome(d) == OutcomeNotHeld && w.key("k").record.Value == nil, "shared: %d", w.outcome(d))
	w.ask(c, 1, "s", Permits(3, 3))
	w.alter(c, set)
	check(t, w.outcome(c) == OutcomeAltered, "all permits of a semaphore: %d", w.outcome(c))

	// The owner has the last word: its holder is gone there, and does not know.
	w.ask(b, 1, "j", Exclusive)
	o := w.cores[a].owners[0]
	w.cores[a].expire(o, o.table.requests[RequestID{w.cores[b].client.id, 1}])
	w.alter(b, set)
	w.wait(time.Second)
	check(t, w.outcome(b) == OutcomeNotHeld && w.key("j") == nil, "without a grant at the owner: %d", w.outcome(b))
}

// K6: "What a lost configuration (T6) is found to have had is kept and marked Stale
// until it is written again."
func TestK6Stale(t *testing.T) {
	v := viewOf(a, b, c, d, e)
	w := members(v)
	w.ask(d, 1, "k", Exclusive)
	w.alter(d, Change{Handle: 1, Op: 1, What: AlterValue, Value: []byte("v")})
	w.ask(d, 2, "gone", Exclusive)
	w.crash(a)
	w.crash(b)
	w.wait(60 * time.Second)
	var o *owner
	for _, n := range w.cores {
		if n.owners[0] != nil {
			o = n.owners[0]
		}
	}
	check(t, o != nil && o.phase == ownerActive && o.takeover.lost, "the group did not start anew: %+v", o)
	rec := o.table.keys["k"].record
	check(t, rec != nil && len(rec.Holders) == 0 && rec.Value.Stale && string(rec.Value.Data) == "v", "%+v", rec)
	check(t, o.table.keys["gone"] == nil, "a key without a value is left")
	w.ask(d, 3, "k", Exclusive)
	w.alter(d, Change{Handle: 3, Op: 1, What: AlterValue, Value: []byte("w")})
	w.wait(time.Second)
	check(t, !o.table.keys["k"].record.Value.Stale, "written again, and still stale")
}

// K7: "The queue is granted from its head as far as it fits": also when who did not
// fit leaves the line, or is lost.
func TestK7LineMovesOn(t *testing.T) {
	for _, leave := range []func(w *bench){
		func(w *bench) { w.input(c, Unlock{Handle: 1}) },
		func(w *bench) { w.crash(c); w.wait(8 * time.Second) },
	} {
		w := members(viewOf(a, b, d, c))
		w.ask(b, 1, "k", Shared)
		w.ask(c, 1, "k", Exclusive)
		w.ask(d, 1, "k", Shared)
		check(t, len(w.holds(d)) == 0, "a reader passed a writer that came before")
		leave(w)
		check(t, len(w.holds(d)) == 1, "the reader behind the writer that left waits still")
	}
}

// K7: "a head that does not fit holds back all behind it, TryLock too"; "in one write".
func TestK7OneWrite(t *testing.T) {
	n := owning(a, viewOf(a, b, c))
	o := n.owners[0]
	first := acquire(d, 1, "k")
	tell(n, begin, d, first)
	for seq := range uint64(5) {
		m := acquire(e, seq+1, "k")
		m.Mode = Permits(1, 3)
		if seq == 0 {
			m.Mode = Shared
		}
		tell(n, begin, e, m)
	}
	check(t, len(o.table.keys["k"].queue) == 1, "another capacity waits: %d in line", len(o.table.keys["k"].queue))
	for seq := range uint64(4) {
		m := acquire(f, seq+1, "k")
		m.Mode = Shared
		tell(n, begin, f, m)
	}
	next := o.next
	tell(n, begin, d, release(first))
	check(t, len(o.table.keys["k"].record.Holders) == 5 && o.next == next+1, "%d holders after %d writes", len(o.table.keys["k"].record.Holders), o.next-next)
}

// K7: "A key has at most 1024 holders at a time."
func TestK7MaxHolders(t *testing.T) {
	n := owning(a, viewOf(a, b, c))
	for seq := range uint64(MaxHolders + 1) {
		m := acquire(d, seq+1, "k")
		m.Mode = Shared
		tell(n, begin, d, m)
	}
	k := n.owners[0].table.keys["k"]
	check(t, len(k.record.Holders) == MaxHolders && len(k.queue) == 1, "%d holders, %d in line", len(k.record.Holders), len(k.queue))
	check(t, k.record.valid(term), "its record would be refused")
}

// K9: "A client that gives back what it has lost says so, and the place closes then.
// Any other Release knows no delay": also one that comes when the lease has expired.
func TestK9GivenBack(t *testing.T) {
	w := members(viewOf(a, b, c, d, e))
	delayed := func(h Handle, key string) {
		w.input(d, Lock{Handle: h, Key: key, TTL: time.Second, Delay: 10 * time.Second})
	}
	delayed(1, "lost")
	delayed(2, "late")
	w.ask(e, 1, "lost", Exclusive)
	w.ask(e, 2, "late", Exclusive)
	of := func(key string) RequestID { return w.key(key).record.Holders[0].Request }
	w.input(a, Receive{From: d, Mesh: 7, Message: Release{Request: of("lost"), Term: term, Lost: true}})
	w.input(a, Receive{From: d, Mesh: 7, Message: Release{Request: of("late"), Term: term}})
	check(t, w.key("lost").record.Holders[0].Lost && slices.Equal(w.holds(e), []Handle{2}), "holds %v; %+v", w.holds(e), w.key("lost").record)
	w.wait(11 * time.Second)
	check(t, len(w.holds(e)) == 2, "closed for ever")

	delayed(4, "k")
	w.lose = func(from, to NodeID, m Message) bool { return from == d || to == d }
	w.wait(1100 * time.Millisecond)
	check(t, w.key("k").record.Holders[0].Lost, "not lost")
	w.input(a, Receive{From: d, Mesh: 7, Message: Release{Request: of("k"), Term: term}})
	check(t, w.key("k") == nil, "a Release that comes too late does not open the place")
}

// G1 with long records: a message stays below what a frame takes, and what is kept
// for those that are behind is bounded in bytes.
func TestG1LongRecords(t *testing.T) {
	n := owning(a, viewOf(a, b, c))
	o := n.owners[0]
	note := strings.Repeat("n", MaxNoteBytes)
	for seq := range uint64(MaxHolders) {
		m := acquire(d, seq+1, "k")
		m.Mode, m.Note, m.Name = Shared, note, note
		tell(n, begin, d, m)
	}
	for number := o.first; number < o.next; {
		m := o.writesFrom(number)
		size := 0
		for _, w := range m.Writes {
			size += w.size()
		}
		check(t, size <= acceptBytes+o.buffer[len(o.buffer)-1].size(), "%d writes of %d bytes in one message", len(m.Writes), size)
		number += uint64(len(m.Writes))
	}
	check(t, o.bytes <= 2*bufferBytes && o.first > 1, "%d bytes are kept for replicas that do not answer, from write %d", o.bytes, o.first)
	sum := 0
	for _, w := range o.buffer {
		sum += w.size()
	}
	check(t, sum == o.bytes, "%d bytes, counted as %d", sum, o.bytes)
	sent := tell(n, begin, b, accepted(uint64(o.next-1)))
	none[Install](t, sent)
	n.Step(begin.add(time.Second), Tick{})
	lend(n, begin.add(time.Second))
	out, _ := pass(n, begin.add(time.Second), begin.add(2*time.Second))
	check(t, len(all[Install](out, c)) > 0, "who is behind is not sent a snapshot")
}

// The records that replicas take from outside.
func TestRecordValid(t *testing.T) {
	token := Token(0)
	h := func(m Mode) Holder {
		token++
		return Holder{Request: RequestID{1, uint64(token)}, Token: token, TTL: 1, Mode: m}
	}
	for _, k := range []struct {
		r    *Record
		want bool
	}{
		{nil, false},
		{&Record{Key: "k"}, false},
		{&Record{Holders: []Holder{h(Exclusive)}}, false},
		{&Record{Key: strings.Repeat("k", MaxKeyBytes+1), Holders: []Holder{h(Exclusive)}}, false},
		{&Record{Key: "k", Holders: []Holder{h(Exclusive)}}, true},
		{&Record{Key: "k", Holders: []Holder{{Request: RequestID{1, 1}, TTL: 1}}}, false},
		{&Record{Key: "k", Holders: []Holder{{Token: 1, TTL: 1}}}, false},
		{&Record{Key: "k", Holders: []Holder{{Request: RequestID{1, 1}, Token: 1}}}, false},
		{&Record{Key: "k", Holders: []Holder{{Request: RequestID{1, 1}, Token: 1, TTL: 1, Delay: -1}}}, false},
		{&Record{Key: "k", Holders: []Holder{{Request: RequestID{1, 2}, Token: 2, TTL: 1, Mode: Shared}, {Request: RequestID{1, 1}, Token: 1, TTL: 1, Mode: Shared}}}, false},
		{&Record{Key: "k", Holders: []Holder{h(Exclusive), h(Shared)}}, false},
		{&Record{Key: "k", Holders: []Holder{h(ForUpdate), h(Shared)}}, true},
		{&Record{Key: "k", Holders: []Holder{h(ForUpdate), h(ForUpdate)}}, false},
		{&Record{Key: "k", Holders: []Holder{h(Permits(1, 3)), h(Permits(2, 3))}}, true},
		{&Record{Key: "k", Holders: []Holder{h(Permits(2, 3)), h(Permits(2, 3))}}, false},
		{&Record{Key: "k", Holders: []Holder{h(Permits(1, 3)), h(Permits(1, 4))}}, false},
		{&Record{Key: "k", Holders: []Holder{h(Mode{5, 3})}}, false},
		{&Record{Key: "k", Value: &Value{}}, true},
		{&Record{Key: "k", Value: &Value{Data: make([]byte, MaxValueBytes+1)}}, false},
	} {
		check(t, k.r.valid(term) == k.want, "%+v", k.r)
	}
}

// K8: an answer of "refused" is for ever: a copy that comes when the other holder
// has gone does not go up.
func TestK8RefusedForEver(t *testing.T) {
	n := owning(a, viewOf(a, b, c))
	one1, two := acquire(d, 1, "k"), acquire(e, 1, "k")
	one1.Mode, two.Mode = ForUpdate, Shared
	tell(n, begin, d, one1)
	tell(n, begin, e, two)
	settle(n, begin)
	up := Alter{Request: two.Request, Term: term, Number: 1, What: AlterMode}
	tell(n, begin, e, up)
	check(t, one[Answer](t, settle(n, begin), e).Outcome == OutcomeBusy, "not refused")
	tell(n, begin, d, release(one1))
	settle(n, begin)
	tell(n, begin, e, up)
	again := one[Answer](t, settle(n, begin), e)
	check(t, again.Outcome == OutcomeBusy && n.owners[0].table.keys["k"].record.Holders[0].Mode == Shared, "%+v", again)
}

// K8: it "waits until the other holders have gone, lets nobody in meanwhile, and
// gets a new token", over a change of the owner too. The digest of heartbeats does
// not change with the token (K4).
func TestK8OverTakeOver(t *testing.T) {
	w := members(viewOf(a, b, c, d, e))
	w.ask(d, 1, "k", ForUpdate)
	w.ask(e, 1, "k", Shared)
	w.alter(d, Change{Handle: 1, Op: 1, What: AlterMode, Mode: Exclusive})
	w.crash(a)
	w.wait(3 * time.Second)
	check(t, w.outcome(d) == 0 && len(w.holds(e)) == 1, "did not wait")
	w.ask(c, 1, "k", Shared)
	w.wait(time.Second)
	check(t, len(w.holds(c)) == 0, "a reader was let in")
	before := w.cores[d].client.holds[1].token
	w.input(e, Unlock{Handle: 1})
	w.wait(time.Second)
	h := w.cores[d].client.holds[1]
	check(t, w.outcome(d) == OutcomeAltered && h.mode == Exclusive && h.token > before, "%+v", toldOf[Altered](w.told[d]))
	w.wait(20 * time.Second)
	check(t, len(w.holds(d)) == 1, "lost: %+v", toldOf[Lost](w.told[d]))
}

// K8: "A holder that gives its wait up takes it back by a further number", also when
// it has gone up meanwhile and has not heard.
func TestK8GivenUp(t *testing.T) {
	w := members(viewOf(a, b, c, d, e))
	w.ask(d, 1, "k", ForUpdate)
	w.ask(e, 1, "k", Shared)
	w.alter(d, Change{Handle: 1, Op: 1, What: AlterMode, Mode: Exclusive})
	w.lose = func(from, to NodeID, m Message) bool { x, is := m.(Answer); return is && x.Alters == 1 }
	w.input(e, Unlock{Handle: 1})
	check(t, w.key("k").record.Holders[0].Mode == Exclusive, "has not gone up")
	w.input(d, Unchange{Handle: 1, Op: 1})
	w.wait(time.Second)
	check(t, w.key("k").record.Holders[0].Mode == ForUpdate && w.key("k").upgrade == nil, "still up")
	told := toldOf[Altered](w.told[d])
	check(t, len(told) == 1 && told[0].Op == 0 && told[0].Token == w.key("k").record.Holders[0].Token && len(w.holds(d)) == 1, "%+v", w.told[d])
	w.ask(e, 2, "k", Shared)
	w.wait(time.Second)
	check(t, slices.Equal(w.holds(e), []Handle{2}), "the key stays closed")
}

// K8: two readers that want to go up: the first waits, the second is refused, and
// when the first one ends its wait is gone with it.
func TestK8TwoReaders(t *testing.T) {
	w := members(viewOf(a, b, c, d, e))
	w.ask(d, 1, "k", Shared)
	w.ask(e, 1, "k", Shared)
	up := Change{Handle: 1, Op: 1, What: AlterMode, Mode: Exclusive}
	w.alter(d, up)
	w.alter(e, up)
	check(t, w.outcome(d) == 0 && w.outcome(e) == OutcomeBusy, "%d and %d", w.outcome(d), w.outcome(e))
	w.input(d, Unlock{Handle: 1})
	up.Op = 2
	w.alter(e, up)
	check(t, w.outcome(e) == OutcomeAltered && w.key("k").upgrade == nil, "the one that is left may not go up: %d", w.outcome(e))
}

// K9: "Release knows no delay, nor does an operator's"; its place takes its weight
// and no more.
func TestK9(t *testing.T) {
	w := members(viewOf(a, b, c, d, e))
	w.input(d, Lock{Handle: 1, Key: "k", TTL: time.Second, Mode: Permits(1, 2), Delay: 10 * time.Second})
	w.ask(e, 1, "k", Permits(1, 2))
	w.ask(c, 1, "k", Permits(1, 2))
	w.crash(d)
	w.wait(5 * time.Second)
	check(t, len(w.holds(e)) == 1 && len(w.holds(c)) == 0, "a closed place was given")
	lost := w.key("k").record.Holders[0]
	check(t, lost.Lost, "%+v", lost)
	w.input(b, Evict{Handle: 1, Key: "k", Token: lost.Token})
	done := toldOf[Evicted](w.told[b])
	check(t, len(done) == 1 && done[0].Done && len(w.holds(c)) == 1, "an operator cannot open it: %+v", done)
	check(t, len(w.cores[a].owners[0].table.endings) == 0, "something is left")
}
