package transport

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/lockmesh/lockmesh/ownership"
)

// A value that is empty is one that is there: it arrives as empty, and nil as nil.
func TestEmptyValues(t *testing.T) {
	for _, v := range [][]byte{nil, {}, {0}, make([]byte, 255), make([]byte, 256), make([]byte, ownership.MaxValueBytes)} {
		for _, m := range []ownership.Message{
			ownership.Alter{What: ownership.AlterValue, Value: v},
			ownership.Accept{Writes: []ownership.Write{{Key: "k", Record: &ownership.Record{Key: "k", Value: &ownership.Value{Data: v}}}}},
			ownership.Report{Keys: []ownership.KeyState{{Key: "k", Value: &ownership.Value{Data: v, Stale: true}}}},
		} {
			got, err := DecodeMessage(encode(t, m))
			if err != nil || !reflect.DeepEqual(got, m) {
				t.Errorf("%T with %d bytes, nil %v: %#v, %v", m, len(v), v == nil, got, err)
			}
		}
	}
}

// What most messages have no use for takes a byte of them.
func TestSmallMessages(t *testing.T) {
	const array, nothing, number, text = 1, 1, 1, 1
	for _, c := range []struct {
		m    ownership.Message
		most int
	}{
		{ownership.Alter{}, array + 2*number + array + 4*number + number + nothing + nothing},
		{ownership.Release{}, array + 2*number + array + 3*number + text + number},
		{ownership.Accept{Writes: []ownership.Write{{Key: "k", Record: &ownership.Record{Key: "k", Holders: make([]ownership.Holder, 1)}}}},
			array + 3*number + array + array + 2*(text+1) + 2*array + nothing + array + array + 12},
		{ownership.Answer{Outcome: ownership.OutcomeGranted}, array + 2*number + array + 6*number + 3*nothing + number},
		{ownership.Query{Page: true}, array + 8},
	} {
		const envelope = array + number + number
		if n := len(encode(t, c.m)); n > envelope+c.most {
			t.Errorf("%T takes %d bytes, more than %d", c.m, n, envelope+c.most)
		}
	}
}

// longest is the key that takes most to report.
func longest(r *rand.Rand) ownership.KeyState {
	text := func(n int) string { return strings.Repeat(string(rune('a'+r.IntN(26))), n) }
	k := ownership.KeyState{Key: text(ownership.MaxKeyBytes), Waiting: maxCount,
		Value: &ownership.Value{Data: make([]byte, ownership.MaxValueBytes), Token: 1<<64 - 1}}
	for range ownership.MaxHolders {
		k.Holders = append(k.Holders, ownership.HolderState{Holder: ownership.Holder{
			Request: ownership.RequestID{Client: 1<<64 - 1, Seq: 1<<64 - 1}, Token: 1<<64 - 1, Lease: 1<<32 - 1, TTL: maxDuration,
			Name: text(ownership.MaxNameBytes), Note: text(ownership.MaxNoteBytes), Mode: ownership.ForUpdate,
			Delay: maxDuration, Lost: true, Altered: 1<<64 - 1, Since: 1<<63 - 1,
		}, Left: maxDuration})
	}
	for range maxWaiters {
		k.Queue = append(k.Queue, ownership.WaiterState{Client: 1<<64 - 1, Name: text(ownership.MaxNameBytes),
			Note: text(ownership.MaxNoteBytes), Mode: ownership.ForUpdate, Waited: 1<<63 - 1})
	}
	return k
}

// A page that is cut at so many bytes, counted before its last key, fits into a
// frame whatever that key is; and no key takes more than its text and what follows.
func TestLongestReport(t *testing.T) {
	const cut = 2 << 20
	const perKey, perHolder, perWaiter = 48, 96, 40
	r := rand.New(rand.NewPCG(1, 4))
	k := longest(r)
	most := perKey + len(k.Key) + len(k.Value.Data)
	for _, h := range k.Holders {
		most += perHolder + len(h.Name) + len(h.Note)
	}
	for _, w := range k.Queue {
		most += perWaiter + len(w.Name) + len(w.Note)
	}
	empty := len(encode(t, ownership.Report{}))
	one := len(encode(t, ownership.Report{Keys: []ownership.KeyState{k}})) - empty
	if one > most {
		t.Errorf("a key takes %d bytes, counted as %d", one, most)
	}
	if cut+one+64 > maxFrame {
		t.Errorf("a page of %d bytes and a key of %d do not fit into a frame", cut, one)
	}
	t.Logf("%d bytes, counted as %d", one, most)
	m := ownership.Report{Keys: []ownership.KeyState{k, k, k}, Reason: ownership.Reason{Code: 1}}
	b := encode(t, m)
	got, err := DecodeMessage(b)
	if clear(b); err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("changed on its way: %v", err)
	}
}

// A value that was decoded is the reader's own: what comes into the buffer next
// does not change it.
func TestValuesAreCopied(t *testing.T) {
	c := newCoder()
	b := encode(t, ownership.Alter{What: ownership.AlterValue, Value: []byte("first")})
	c.read(b)
	_, m, _, err := c.readMessage()
	if err != nil {
		t.Fatal(err)
	}
	copy(b, bytes.Repeat([]byte{'x'}, len(b)))
	if v := m.(ownership.Alter).Value; string(v) != "first" {
		t.Errorf("the value became %q", v)
	}
}

// A Release, which has no heir as a rule, does not make the coder forget the name
// that the next Acquire has: see coder.lastName.
func TestNamesAreKept(t *testing.T) {
	acquire, release := encode(t, ownership.Acquire{Key: "k", Name: "node"}), encode(t, ownership.Release{})
	c := newCoder()
	n := testing.AllocsPerRun(100, func() {
		for _, b := range [][]byte{acquire, release} {
			c.read(b)
			_, _, _, _ = c.readMessage()
		}
	})
	if n > 2 { // the messages themselves
		t.Errorf("%v allocations for an Acquire and a Release", n)
	}
}
