package linear

import (
	"strings"
	"testing"
	"time"
)

// The histories of this file were written by hand, as those of check_test.go: what a
// key with modes, values, looks and evictions can say to its clients, and what not.

func (o Op) mode(m Mode) Op { o.Mode = m; return o }

func (o Op) delay(d time.Duration) Op { o.Delay = d; return o }

func change(call int, kind Kind, from, to time.Duration, what Outcome) Op {
	o := Op{Call: call, Client: call, Kind: kind, Invoked: from, Returned: to, Outcome: what}
	if what == Open {
		o.Returned = -1
	}
	return o
}

func up(call int, from, to time.Duration, token uint64) Op {
	o := change(call, Upgrade, from, to, Done)
	o.Token = token
	return o
}

func set(call int, data string, from, to time.Duration, what Outcome) Op {
	o := change(call, Set, from, to, what)
	o.Value.Data = data
	return o
}

func read(from, to time.Duration, v Value) Op {
	return Op{Call: 100, Kind: Read, Invoked: from, Returned: to, Outcome: Done, Value: v}
}

func inspect(from, to time.Duration, holders ...Holder) Op {
	return Op{Call: int(from), Kind: Inspect, Invoked: from, Returned: to, Outcome: Done, Holders: holders}
}

func evict(token uint64, from, to time.Duration, what Outcome) Op {
	return Op{Call: 100, Kind: Evict, Invoked: from, Returned: to, Outcome: what, Token: token}
}

func capacityOf(call int, from, to time.Duration) Op {
	return Op{Call: call, Client: call, Kind: Lock, Invoked: from, Returned: to, Outcome: Capacity, Late: from + ttl}
}

func lose(call int, at time.Duration, closes bool) Op {
	o := renew(call, at, at, Lost)
	o.Closes = closes
	return o
}

var one, two = Mode{1, 4}, Mode{2, 4} // of a semaphore

func TestGoodModes(t *testing.T) {
	reader := granted(1, 0, s, 5).mode(Shared)
	writer := granted(1, 0, s, 5)
	wrote := list(writer, set(1, "a", s, 2*s, Done))
	late := cancelled(1, 0, 12*s, 13*s)
	late[0].Delay = 50 * s
	for _, tt := range []struct {
		name string
		ops  []Op
		lost []time.Duration
	}{
		{"readers, and one for update", list(reader, granted(2, s, 2*s, 6).mode(Shared), granted(3, 2*s, 3*s, 7).mode(ForUpdate)), nil},
		{"permits up to the capacity", list(granted(1, 0, s, 5).mode(two), granted(2, s, 2*s, 6).mode(two), try(3, 2*s, 3*s).mode(Mode{1, 4})), nil},
		{"a reader is busy behind a writer that waits", list(reader, open(2, s), try(3, 2*s, 3*s).mode(Shared)), nil},
		{"a reader is busy behind a holder that waits to go up", list(reader, granted(2, s, 2*s, 6).mode(Shared), change(2, Upgrade, 2*s, -1, Open), try(3, 3*s, 4*s).mode(Shared)), nil},
		{"a reader is busy since an unanswered Upgrade was carried out", list(reader, change(1, Upgrade, 2*s, -1, Open), try(3, 3*s, 4*s).mode(Shared)), nil},
		{"a semaphore of another size", list(granted(1, 0, s, 5).mode(two), capacityOf(2, 2*s, 3*s).mode(Mode{1, 3}), capacityOf(3, 2*s, 3*s)), nil},
		{"another capacity when the key was free in between", list(granted(1, 0, s, 5).mode(two), unlock(1, 2*s, 3*s, Released), granted(2, s, 4*s, 6)), nil},
		{"one of two lost holders has gone, and which is open", list(granted(1, 0, s, 5).mode(two), granted(2, 0, s, 6).mode(two), granted(3, s, 12*s, 7).mode(two), try(4, 13*s, 14*s).mode(two), unlock(1, 14*s, 15*s, NotHeld)), nil},
		{"a downgrade lets readers in", list(writer, change(1, Downgrade, 2*s, 4*s, Done).mode(Shared), granted(2, s, 3*s, 6).mode(Shared)), nil},
		{"so may one that nobody answered", list(writer, change(1, Downgrade, 2*s, -1, Open).mode(Shared), granted(2, s, 3*s, 6).mode(Shared)), nil},
		{"an upgrade when the others have gone", list(reader, granted(2, s, 2*s, 6).mode(Shared), up(1, 2*s, 5*s, 7), unlock(2, 3*s, 6*s, Released)), nil},
		{"an upgrade is refused beside one for update", list(reader, granted(2, s, 2*s, 6).mode(ForUpdate), change(1, Upgrade, 2*s, 3*s, Conflict)), nil},
		{"or beside one that waits to go up", list(reader, granted(2, s, 2*s, 6).mode(Shared), change(2, Upgrade, 2*s, 9*s, GaveUp), change(1, Upgrade, 3*s, 4*s, Conflict)), nil},

		{"or beside one that may be there since a downgrade that nobody answered", list(granted(1, 0, s, 5).mode(ForUpdate), change(1, Downgrade, s, 2*s, GaveUp).mode(Shared), open(2, 2*s).mode(ForUpdate), change(1, Upgrade, 3*s, 4*s, Conflict)), nil},
		{"who gives up its wait may be in line until its owner knows", list(reader, open(2, s), Op{Call: 2, Kind: Unlock, Invoked: 2 * s, Returned: -1}, try(3, 3*s, 4*s).mode(Shared)), nil},

		{"a value is read, under the token of the grant", list(wrote, read(2*s, 3*s, Value{"a", 5, false})), nil},
		{"before it is written there is none", list(wrote, read(0, 2*s, Value{})), nil},
		{"it stays when the key is free, and is deleted by the next", list(wrote, unlock(1, 2*s, 3*s, Released), read(4*s, 5*s, Value{"a", 5, false}), granted(2, 5*s, 6*s, 6), change(2, Delete, 6*s, 7*s, Done), read(7*s, 8*s, Value{})), nil},
		{"what nobody answered may come", list(wrote, set(1, "b", 3*s, -1, Open), read(4*s, 5*s, Value{"a", 5, false}), read(5*s, 6*s, Value{"b", 5, false})), nil},
		{"or may have come before the grant was over", list(wrote, set(1, "b", 3*s, -1, Open), granted(2, 4*s, 12*s, 6), read(13*s, 14*s, Value{"b", 5, false})), nil},
		{"or never", list(wrote, set(1, "b", 3*s, -1, Open), granted(2, 4*s, 12*s, 6), read(13*s, 14*s, Value{"a", 5, false})), nil},
		{"a reader's write is refused", list(reader, set(1, "a", 2*s, 3*s, NotHeld), renew(1, 4*s, 5*s, Renewed)), nil},
		{"a writer's, when its lease has run out", list(writer, set(1, "a", 2*s, 11*s, NotHeld), granted(2, s, 12*s, 6)), nil},
		{"a value after an upgrade has the new token", list(reader, up(1, 2*s, 3*s, 6), set(1, "a", 3*s, 4*s, Done), read(4*s, 5*s, Value{"a", 6, false})), nil},

		{"who holds, and what", list(reader, granted(2, s, 2*s, 6).mode(ForUpdate), inspect(3*s, 4*s, Holder{5, Shared, false}, Holder{6, ForUpdate, false})), nil},
		{"a stranger", list(open(1, 0).mode(Shared), inspect(3*s, 4*s, Holder{5, Shared, false}), granted(2, 4*s, 5*s, 6).mode(Shared)), nil},
		{"it went up and was not told", list(reader, change(1, Upgrade, 2*s, -1, Open), inspect(3*s, 4*s, Holder{8, Exclusive, false})), nil},
		{"before it was released", list(reader, granted(2, s, 2*s, 6).mode(Shared), change(1, Upgrade, 2*s, -1, Open), unlock(1, 3*s, 8*s, Released), unlock(2, 3500*time.Millisecond, 8*s, Released), inspect(5*s, 9*s, Holder{8, Exclusive, false})), nil},
		{"on its way down, by changes that nobody answered", list(writer, change(1, Downgrade, 2*s, -1, Open).mode(ForUpdate), change(1, Downgrade, 3*s, -1, Open).mode(Shared), inspect(4*s, 5*s, Holder{5, ForUpdate, false})), nil},
		{"a place is closed since a grant came too late", list(late, try(2, 14*s, 15*s)), nil},
		{"a closed place", list(writer.delay(5*s), inspect(12*s, 13*s, Holder{5, Exclusive, true}), granted(2, 12*s, 15*s, 6)), nil},
		{"a lost configuration forgets delays", list(writer.delay(50*s), granted(2, 12*s, 15*s, 6)), []time.Duration{13 * s}},
		{"given back, not lost: no delay", list(writer.delay(50*s), lose(1, 3*s, false), granted(2, 2*s, 4*s, 6)), nil},
		{"an operator opens a closed place", list(writer.delay(50*s), evict(5, 12*s, 13*s, Done), granted(2, 12*s, 13*s, 6)), nil},

		{"evicted, when its client has let go", list(writer, evict(5, 2*s, 5*s, Done), lose(1, 3*s, false), granted(2, 2*s, 4*s, 6)), nil},
		{"nobody with that token", list(writer, evict(4, 2*s, 3*s, NotHeld), unlock(1, 3*s, 4*s, Released), evict(5, 5*s, 6*s, NotHeld)), nil},
		{"Missing is no more than that it is not renewed, to who was evicted", list(writer, evict(5, 2*s, -1, GaveUp), renew(1, 3*s, 4*s, Missing), try(2, 5*s, 6*s)), nil},
		{"a change by who was evicted is refused before its end", list(writer, evict(5, 2*s, -1, GaveUp), set(1, "a", 3*s, 4*s, NotHeld), try(2, 5*s, 6*s)), nil},
		{"a refusal of one's own client says nothing", list(writer, lose(1, 3*s, true), set(1, "a", 3*s, 3*s, NotHeld), try(2, 4*s, 5*s)), nil},

		{"a hold that nobody was told of, ended by an operator", list(open(1, 0), try(2, 2*s, 3*s), evict(5, 3*s, 4*s, Done), granted(3, 4*s, 5*s, 6)), nil},
		{"also by one who was told that nobody had it, when the owner had moved", list(open(1, 0), try(2, 2*s, 3*s), evict(5, 3*s, 4*s, NotHeld), granted(3, 4*s, 5*s, 6)), nil},
		{"told to let go of a first grant before it knew of it", list(granted(1, 0, 6*s, 7), try(2, s, 2*s), evict(5, 2*s, 3*s, Done), granted(3, 2*s, 4*s, 6), unlock(3, 4*s, 5*s, Released)), nil},
		{"evicted under a token that it was not told of", list(reader, change(1, Upgrade, 2*s, -1, Open), evict(8, 3*s, -1, GaveUp), renew(1, 4*s, 5*s, Missing)), nil},
		{"a change that was given up goes back to where an earlier one led", list(writer, change(1, Downgrade, 2*s, 3*s, GaveUp).mode(Shared), set(1, "a", 2500*time.Millisecond, 4*s, Done), change(1, Upgrade, 5*s, 6*s, GaveUp), granted(2, 6*s, 7*s, 6).mode(Shared)), nil},

		{"a lost configuration had an older value", list(wrote, set(1, "b", 3*s, 4*s, Done), read(13*s, 14*s, Value{"a", 5, true}), read(15*s, 16*s, Value{"a", 5, true})), []time.Duration{12 * s}},
		{"or none", list(wrote, read(13*s, 14*s, Value{})), []time.Duration{12 * s}},
		{"until one is written again", list(wrote, read(13*s, 14*s, Value{"a", 5, true}), granted(2, 14*s, 15*s, 6), set(2, "c", 15*s, 16*s, Done), read(17*s, 18*s, Value{"c", 6, false})), []time.Duration{12 * s}},
	} {
		if v, why := Check(History{Key: "k", Ops: tt.ops, Lost: tt.lost}, 0); v != Ok {
			t.Errorf("%s: %v\n%s", tt.name, v, why)
		}
	}
}

func TestWrongModes(t *testing.T) {
	reader := granted(1, 0, s, 5).mode(Shared)
	writer := granted(1, 0, s, 5)
	wrote := list(writer, set(1, "a", s, 2*s, Done))
	after := list(wrote, unlock(1, 2*s, 3*s, Released), granted(2, 3*s, 4*s, 6), set(2, "b", 4*s, 5*s, Done))
	watch := func(from, to time.Duration, token uint64) Op {
		o := inspect(from, to, Holder{token, Exclusive, false})
		o.Call = 77
		return o
	}
	for _, tt := range []struct {
		name string // what is wrong
		says string // what the explanation must name
		ops  []Op
		lost []time.Duration
	}{
		{"a reader beside the writer", "call 1 (client 1) has it, until 10s at least", list(writer, granted(2, 2*s, 3*s, 6).mode(Shared)), nil},
		{"a writer beside a reader", "call 1 (client 1) has it, until 10s at least", list(reader, granted(2, 2*s, 3*s, 6)), nil},
		{"two for update", "call 1 (client 1) has it, until 10s", list(granted(1, 0, s, 5).mode(ForUpdate), granted(2, 2*s, 3*s, 6).mode(ForUpdate)), nil},
		{"more permits than there are", "until 10s at least", list(granted(1, 0, s, 5).mode(two), granted(2, s, 2*s, 6).mode(two), granted(3, 3*s, 4*s, 7).mode(Mode{1, 4})), nil},
		{"two capacities at a time", "until 10s at least", list(granted(1, 0, s, 5).mode(two), granted(2, 2*s, 3*s, 6).mode(Mode{1, 3})), nil},
		{"a reader is busy beside readers, with nobody in line", "there is room beside the holders", list(reader, try(3, 2*s, 3*s).mode(Shared)), nil},
		{"or behind one that has left the line", "there is room beside the holders", list(reader, cancelled(2, 0, s, 2*s), try(3, 3*s, 4*s).mode(Shared)), nil},
		{"or behind a reader", "there is room beside the holders", list(reader, granted(2, s, 5*s, 6).mode(Shared), try(3, 2*s, 3*s).mode(Shared)), nil},
		{"another capacity while the key is free", "nobody can have held the key with another capacity", list(granted(1, 0, s, 5).mode(two), unlock(1, s, 2*s, Released), capacityOf(2, 3*s, 4*s)), nil},
		{"another capacity while it is this one", "call 1 (client 1) has it, until 10s", list(writer, capacityOf(2, 3*s, 4*s)), nil},
		{"both of two lost holders are there, though one must have gone", "there is room beside the holders", list(granted(1, 0, s, 5).mode(two), granted(2, 0, s, 6).mode(two), granted(3, s, 12*s, 7).mode(two), unlock(3, 13*s, 14*s, Released), try(4, 16*s, 17*s).mode(two)), nil},
		{"the same, when a third one has left besides", "there is room beside the holders", list(granted(1, 0, s, 5).mode(one), granted(2, 0, s, 6).mode(one), granted(3, 0, s, 7).mode(one), granted(4, s, 12*s, 8).mode(two), unlock(3, 13*s, 14*s, Released), try(5, 15*s, 16*s).mode(one)), nil},

		{"a downgrade that did nothing: a reader is busy", "there is room beside the holders", list(writer, change(1, Downgrade, 2*s, 3*s, Done).mode(Shared), try(2, 4*s, 5*s).mode(Shared)), nil},
		{"a writer beside who went down to shared", "has it, until 10s at least", list(writer, change(1, Downgrade, 2*s, 3*s, Done).mode(Shared), granted(2, 4*s, 5*s, 6)), nil},
		{"an upgrade beside a reader", "until 11s at least", list(reader, granted(2, s, 2*s, 6).mode(Shared), up(1, 2*s, 5*s, 7)), nil},
		{"an upgrade with a lower token than the readers had", "no place for", list(granted(1, 0, s, 4).mode(Shared), granted(2, s, 2*s, 6).mode(Shared), unlock(2, 3*s, 4*s, Released), up(1, 2*s, 6*s, 5)), nil},
		{"an upgrade that keeps its token", "one token for two", list(reader, up(1, 2*s, 5*s, 5)), nil},
		{"an upgrade is refused beside readers alone", "no other holder can have wanted to go up", list(reader, granted(2, s, 2*s, 6).mode(Shared), change(1, Upgrade, 2*s, 3*s, Conflict)), nil},
		{"a refused upgrade lost the lock", "before 10s", list(reader, granted(2, s, 2*s, 6).mode(ForUpdate), change(1, Upgrade, 2*s, 3*s, Conflict), renew(1, 4*s, 5*s, Missing)), nil},

		{"a lost write", "after call 100 (client 0) Read", list(after, read(6*s, 7*s, Value{"a", 5, false})), nil},
		{"reads that go back", "no place for", list(after, read(4*s, 4500*time.Millisecond, Value{"b", 6, false}), read(4600*time.Millisecond, 4900*time.Millisecond, Value{"a", 5, false})), nil},
		{"a value under another token", "nobody has written that", list(wrote, read(3*s, 4*s, Value{"a", 6, false})), nil},
		{"a value that was deleted", "no place for", list(wrote, change(1, Delete, 2*s, 3*s, Done), read(4*s, 5*s, Value{"a", 5, false})), nil},
		{"no value, though there is one", "the value is another one", list(wrote, read(4*s, 5*s, Value{})), nil},
		{"a value before it is asked for", "nobody has written that", list(writer, set(1, "a", 3*s, -1, Open), read(s, 2*s, Value{"a", 5, false})), nil},
		{"a reader's write is carried out", "it does not hold all of the key", list(reader, set(1, "a", 2*s, 3*s, Done)), nil},
		{"a reader's write, which nobody answered, is seen", "nobody has written that", list(reader, set(1, "a", 2*s, -1, Open), read(4*s, 5*s, Value{"a", 5, false})), nil},
		{"a refused write is seen", "nobody has written that", list(writer, set(1, "a", 2*s, 11*s, NotHeld), read(4*s, 5*s, Value{"a", 5, false})), nil},
		{"a writer's write is refused while it holds", "before 10s", list(writer, set(1, "a", 2*s, 3*s, NotHeld)), nil},
		{"an unanswered write comes after the next one of its grant", "no place for", list(writer, set(1, "a", s, -1, Open), set(1, "b", 2*s, 3*s, Done), read(4*s, 5*s, Value{"a", 5, false})), nil},
		{"or after another change, and seen undone", "there is no value", list(writer, set(1, "a", s, -1, Open), change(1, Downgrade, 2*s, 3*s, Done).mode(Shared), read(4*s, 5*s, Value{}), read(6*s, 7*s, Value{"a", 5, false})), nil},
		{"an unanswered write comes after a later grant's", "no place for", list(wrote, set(1, "x", 2*s, -1, Open), granted(2, 3*s, 12*s, 6), set(2, "b", 13*s, 14*s, Done), read(15*s, 16*s, Value{"x", 5, false})), nil},

		{"a holder is not seen", "was not seen, and has it until 10s at least", list(reader, inspect(2*s, 3*s)), nil},
		{"who was released is seen", "no place for", list(reader, unlock(1, s, 2*s, Released), inspect(3*s, 4*s, Holder{5, Shared, false})), nil},
		{"a holder is seen with another mode", "seen holding something else", list(reader, inspect(3*s, 4*s, Holder{5, Exclusive, false})), nil},
		{"a holder is seen lost before its lease is over", "before 10s", list(writer.delay(s), inspect(3*s, 4*s, Holder{5, Exclusive, true})), nil},
		{"a stranger that nobody can be", "nobody can have held the key without being told as it was seen", list(reader, inspect(3*s, 4*s, Holder{5, Shared, false}, Holder{6, Shared, false})), nil},
		{"more is seen than there is", "its holders have more than there is", list(reader, inspect(3*s, 4*s, Holder{5, Exclusive, false}, Holder{6, Shared, false})), nil},
		{"a higher token is seen before a lower one is given", "no place for", list(granted(1, 4*s, 5*s, 5).mode(Shared), open(2, 0).mode(Shared), inspect(2*s, 3*s, Holder{6, Shared, false})), nil},
		{"a watch goes back", "no place for", list(writer, unlock(1, 2*s, 6*s, Released), granted(2, 2*s, 6*s, 6), watch(3*s, 4*s, 6), watch(3*s, 5*s, 5)), nil},

		{"a closed place is taken", "until 15s at least", list(writer.delay(5*s), granted(2, 12*s, 13*s, 6)), nil},
		{"also when its client has given back what it lost", "until 14s at least", list(writer.delay(5*s), lose(1, 9*s, true), granted(2, 12*s, 13*s, 6)), nil},
		{"evicted, and it holds on", "no place for", list(writer, evict(5, 2*s, 3*s, Done), renew(1, 4*s, 5*s, Renewed)), nil},
		{"evicted before its client was told", "no place for", list(writer, evict(5, 2*s, 3*s, Done)), nil},
		{"nobody to evict, while it holds", "no place for", list(writer, evict(5, 2*s, 3*s, NotHeld)), nil},
		{"evicted, when it was released long before", "no place for", list(writer, unlock(1, s, 2*s, Released), evict(5, 3*s, 4*s, Done)), nil},
		{"a hold that nobody was told of ends before the operator's word", "until 6s at least", list(open(1, 0), try(2, 2*s, 3*s), evict(5, 6*s, 7*s, Done), granted(3, 4*s, 5*s, 6)), nil},
		{"a change that was given up leads back before it was", "until 10s at least", list(writer, change(1, Downgrade, 2*s, 3*s, GaveUp).mode(Shared), set(1, "a", 2500*time.Millisecond, 4*s, Done), change(1, Upgrade, 5*s, 7*s, GaveUp), granted(2, 5*s, 6*s, 6).mode(Shared)), nil},
		{"evicted with a token that nobody can have had", "nobody ever had that token", list(writer, evict(9, 3*s, 4*s, Done)), nil},

		{"stale, and nothing was lost", "the value is another one, or not stale", list(wrote, read(3*s, 4*s, Value{"a", 5, true})), nil},
		{"not stale, though a configuration was lost", "no place for", list(wrote, read(13*s, 14*s, Value{"a", 5, false})), []time.Duration{12 * s}},
		{"two stale values", "the value is another one", list(wrote, set(1, "b", 3*s, 4*s, Done), read(13*s, 14*s, Value{"a", 5, true}), read(15*s, 16*s, Value{"b", 5, true})), []time.Duration{12 * s}},
		{"a configuration was lost while a lease lasted", "has it, until 10s at least", list(writer), []time.Duration{5 * s}},
		{"a change of who has nothing", "never granted", list(try(1, 0, s), set(1, "a", 2*s, 3*s, Done)), nil},
		{"permits of nothing", "there is no such lock", list(granted(1, 0, s, 5).mode(Mode{5, 4})), nil},
	} {
		v, why := Check(History{Key: "k", Ops: tt.ops, Lost: tt.lost}, 0)
		if v != Illegal || !strings.Contains(why, tt.says) {
			t.Errorf("%s: %v, without %q\n%s", tt.name, v, tt.says, why)
		}
		if n := strings.Count(why, "\n"); n > 8 {
			t.Errorf("%s: %d lines are no explanation:\n%s", tt.name, n, why)
		}
	}
}

// TestFull: a key has only so many holders, told or not; the next one is busy.
func TestFull(t *testing.T) {
	var full []Op
	for i := range maxHolders - 1 {
		full = append(full, granted(i, 0, s, uint64(i+5)).mode(Shared))
	}
	last := try(maxHolders, 2*s, 3*s).mode(Shared)
	if v, why := Check(History{Ops: list(full, open(maxHolders+1, 0).mode(Shared), last)}, 0); v != Ok {
		t.Errorf("the last place is perhaps taken: %v\n%.300s", v, why)
	}
	if v, _ := Check(History{Ops: list(full, last)}, 0); v != Illegal {
		t.Errorf("there is one place left: %v", v)
	}
}
