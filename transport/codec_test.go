package transport

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

func encode(t testing.TB, m ownership.Message) []byte {
	t.Helper()
	b, err := AppendMessage(nil, m)
	if err != nil {
		t.Fatalf("%T: %v", m, err)
	}
	return b
}

func TestMsgpackHasOneDoor(t *testing.T) {
	files, _ := filepath.Glob("*.go")
	if len(files) == 0 {
		t.Fatal("no files")
	}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			if strings.Contains(i.Path.Value, "msgpack") && !strings.HasPrefix(name, "codec") {
				t.Errorf("%s imports msgpack; only codec*.go may", name)
			}
		}
	}
}

// Kinds are numbered without gaps, and all have a codec and a sample here.
func TestEveryKind(t *testing.T) {
	for i, m := range everyKind {
		if k := int(m.Kind()); k != i+1 {
			t.Errorf("%T has kind %d, not %d", m, k, i+1)
		}
		if bodyOf(m.Kind()) == nil {
			t.Errorf("%T has no codec", m)
		}
	}
	if len(bodies) != len(everyKind)+1 {
		t.Errorf("%d codecs for %d kinds", len(bodies)-1, len(everyKind))
	}
	// The list above could itself be short: count what ownership declares.
	f, err := parser.ParseFile(token.NewFileSet(), "../ownership/message.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(f, func(x ast.Node) bool {
		if spec, ok := x.(*ast.ValueSpec); ok && strings.HasPrefix(spec.Names[0].Name, "Kind") {
			n++
		}
		return true
	})
	if n != len(everyKind) {
		t.Errorf("ownership has %d kinds, this test knows %d", n, len(everyKind))
	}
}

func TestRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, sample := range everyKind {
		for range 200 {
			m := newMessage(r, sample)
			b := encode(t, m)
			got, err := DecodeMessage(b)
			if err != nil {
				t.Fatalf("%#v: %v", m, err)
			}
			if !reflect.DeepEqual(got, m) {
				t.Fatalf("sent %#v\ngot  %#v", m, got)
			}
			clear(b) // nothing that was decoded may lie in the buffer
			if !reflect.DeepEqual(got, m) {
				t.Fatalf("%T shares memory with the buffer", m)
			}
		}
	}
}

// The zero value of a message travels, unless it lacks what must be there.
func TestZeroValues(t *testing.T) {
	for _, m := range everyKind {
		b, err := AppendMessage(nil, m)
		switch m.(type) {
		case ownership.Found, ownership.Propose, ownership.Decided, ownership.Acquire, ownership.Query, ownership.Revoke:
			if err == nil {
				t.Errorf("%T was sent without a view or key", m)
			}
			continue
		}
		got, err2 := DecodeMessage(b)
		if err != nil || err2 != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%T: %v, %v", m, err, err2)
		}
	}
}

func TestExtremes(t *testing.T) {
	long := func(n int) string { return strings.Repeat("k", n) }
	for _, m := range []ownership.Message{
		ownership.Renew{Epoch: 1<<32 - 1, Sent: -1 << 63},
		ownership.Renew{Sent: 1<<63 - 1},
		ownership.Renew{Sent: -1}, ownership.Renew{Sent: -33}, ownership.Renew{Sent: -129}, ownership.Renew{Sent: -40000},
		ownership.Release{Request: ownership.RequestID{Client: 1<<64 - 1, Seq: 1<<64 - 1}},
		ownership.Acquire{Key: long(1), Note: long(256), Name: long(256), TTL: maxDuration},
		ownership.Refused{Code: 255, Detail: long(1024)},
		ownership.Accept{Writes: []ownership.Write{{Key: "a", Record: &ownership.Record{Key: "a", Holders: make([]ownership.Holder, ownership.MaxHolders)}}}},
		ownership.HeartbeatAck{Items: []ownership.HeartbeatAckItem{{Held: slicesOf(100_000, uint64(1))}}},
		ownership.Confirm{Items: slicesOf(4096, ownership.ConfirmItem{Partition: 200, Term: 1 << 30, Round: 1})},
		ownership.Heartbeat{Items: slicesOf(4096, ownership.HeartbeatItem{})},
		ownership.Settled{Items: slicesOf(15, ownership.SettledItem{})},
		ownership.Settled{Items: slicesOf(16, ownership.SettledItem{})},
		ownership.Refused{Detail: long(31)}, ownership.Refused{Detail: long(32)},
		ownership.Settled{Items: slicesOf(4096, ownership.SettledItem{})},
		ownership.Stuck{Heard: slicesOf(1024, ownership.NodeID(1))},
		ownership.Install{Chunks: 1, Records: slicesOf(10_000, &ownership.Record{Key: "k"})},
		ownership.Install{Chunks: 1, Records: slicesOf(10_000, &ownership.Record{Key: "k", Value: &ownership.Value{}})},
		ownership.Acquire{Key: "k", Mode: ownership.Shared, Delay: maxDuration},
		ownership.Acquire{Key: "k", Mode: ownership.ForUpdate},
		ownership.Acquire{Key: "k", Mode: ownership.Permits(ownership.MaxPermits, ownership.MaxPermits)},
		ownership.Acquire{Key: "k", Mode: ownership.Mode{Weight: 1, Of: 1}},
		ownership.Release{Heir: long(256)},
		ownership.Answer{Reason: ownership.Reason{Code: ownership.ReasonNoLease, Left: 1<<63 - 1}},
		ownership.Alter{Number: 1<<64 - 1, What: 255, Value: make([]byte, 4096)},
		ownership.Query{Page: true},
		ownership.Query{Key: long(512), Page: true},
		ownership.Report{Keys: slicesOf(50_000, ownership.KeyState{Key: "k"})},
		ownership.Report{Keys: slicesOf(50_000, ownership.KeyState{Key: "k", Value: &ownership.Value{}})},
		ownership.Report{Keys: slicesOf(20, ownership.KeyState{Key: "k", Holders: make([]ownership.HolderState, 1024), Queue: make([]ownership.WaiterState, 1024)})},
		ownership.Report{Keys: []ownership.KeyState{{Key: "k", Waiting: 1 << 20, Queue: []ownership.WaiterState{{Waited: 1<<63 - 1}}}}},
		ownership.Revoke{Key: "k", Token: 1<<64 - 1, Name: long(256)},
		ownership.Notice{Items: slicesOf(4096, ownership.NoticeItem{})},
		ownership.Notice{Items: []ownership.NoticeItem{{By: long(256)}}},
	} {
		got, err := DecodeMessage(encode(t, m))
		if err != nil {
			t.Errorf("%T: %v", m, err)
		} else if !reflect.DeepEqual(got, m) {
			t.Errorf("%T changed on its way", m)
		}
	}
}

func slicesOf[T any](n int, v T) []T {
	s := make([]T, n)
	for i := range s {
		s[i] = v
	}
	return s
}

// What a peer would refuse never leaves.
func TestCannotBeSent(t *testing.T) {
	long := func(n int) string { return strings.Repeat("k", n) }
	for _, m := range []ownership.Message{
		&ownership.Renew{}, // not a value
		(*unknownMessage)(nil),
		ownership.Acquire{Key: "", TTL: 1},
		ownership.Acquire{Key: long(513), TTL: 1},
		ownership.Acquire{Key: "k", TTL: -1},
		ownership.Acquire{Key: "k", TTL: maxDuration + 1},
		ownership.Acquire{Key: "k", Name: long(257)},
		ownership.Acquire{Key: "k", Note: long(257)},
		ownership.Contact{Founders: -1},
		ownership.Refused{Detail: long(1025)},
		ownership.Decided{},
		ownership.Install{Records: []*ownership.Record{nil}},
		ownership.Install{Chunk: 3, Chunks: 3},
		ownership.Install{Records: []*ownership.Record{{}}},
		ownership.Accept{Writes: []ownership.Write{{Key: "a", Record: &ownership.Record{Key: "b"}}}},
		ownership.Accept{Writes: []ownership.Write{{Key: "a", Record: &ownership.Record{Key: "a", Holders: make([]ownership.Holder, ownership.MaxHolders+1)}}}},
		ownership.Stuck{Heard: make([]ownership.NodeID, 1025)},
		ownership.Acquire{Key: "k", Delay: -1},
		ownership.Acquire{Key: "k", Mode: ownership.Mode{Weight: 0, Of: 3}},
		ownership.Acquire{Key: "k", Mode: ownership.Mode{Weight: 1, Of: 0}},
		ownership.Acquire{Key: "k", Mode: ownership.Mode{Weight: 4, Of: 3}},
		ownership.Acquire{Key: "k", Mode: ownership.Mode{Weight: 1, Of: ownership.Whole + 1}},
		ownership.Release{Heir: long(257)},
		ownership.Alter{Value: make([]byte, 4097)},
		ownership.Query{},
		ownership.Query{Key: long(513), Page: true},
		ownership.Report{Keys: []ownership.KeyState{{}}},
		ownership.Report{Keys: []ownership.KeyState{{Key: "k", Value: &ownership.Value{Data: make([]byte, 4097)}}}},
		ownership.Report{Keys: []ownership.KeyState{{Key: "k", Holders: make([]ownership.HolderState, 1025)}}},
		ownership.Report{Keys: []ownership.KeyState{{Key: "k", Holders: []ownership.HolderState{{Left: -1}}}}},
		ownership.Report{Keys: []ownership.KeyState{{Key: "k", Queue: make([]ownership.WaiterState, 1025)}}},
		ownership.Report{Keys: []ownership.KeyState{{Key: "k", Queue: []ownership.WaiterState{{Note: long(257)}}}}},
		ownership.Report{Keys: []ownership.KeyState{{Key: "k", Queue: []ownership.WaiterState{{Waited: -1}}}}},
		ownership.Report{Keys: []ownership.KeyState{{Key: "k", Waiting: -1}}},
		ownership.Report{Keys: slicesOf(maxKeys+1, ownership.KeyState{Key: "k"})},
		ownership.Revoke{Name: "n"},
		ownership.Revoke{Key: "k", Name: long(257)},
		ownership.Notice{Items: make([]ownership.NoticeItem, maxItems+1)},
		ownership.Notice{Items: []ownership.NoticeItem{{By: long(257)}}},
	} {
		b, err := AppendMessage([]byte("before"), m)
		if err == nil {
			t.Errorf("%.300s was encoded", fmt.Sprintf("%#v", m))
		}
		if string(b) != "before" {
			t.Errorf("%T left %q behind", m, b)
		}
	}
}

// unknownMessage is a message of a newer version.
type unknownMessage struct{}

func (*unknownMessage) Kind() ownership.Kind { return 250 }

func TestNumbersThatDoNotFit(t *testing.T) {
	array := byte(0x90)
	head := func(k ownership.Kind, fields byte) []byte { return []byte{array | 3, byte(k), 0, array | fields} }
	alter := slices.Clip(append(head(ownership.KindAlter, 7), 0x92, 1, 2, 3, 4, 5, 6, 1))
	renew, askView := head(ownership.KindRenew, 3), head(ownership.KindAskView, 1)
	for what, b := range map[string][]byte{
		"epoch of 33 bits":       append(askView, 0xcf, 0, 0, 0, 1, 0, 0, 0, 0),
		"negative epoch":         append(askView, 0xff),
		"epoch as signed":        append(askView, 0xd1, 0, 1),
		"epoch as float":         append(askView, 0xca, 0, 0, 0, 0),
		"epoch as nil":           append(askView, 0xc0),
		"epoch as string":        append(askView, 0xa1, 'x'),
		"mode of nothing":        append(alter, 0x92, 0, 5),
		"mode of more than all":  append(alter, 0x92, 6, 5),
		"mode beyond all locks":  append(alter, 0x92, 1, 0xce, 0x80, 0, 0, 1),
		"mode of 33 bits":        append(alter, 0x92, 1, 0xcf, 0, 0, 0, 1, 0, 0, 0, 0),
		"mode without capacity":  append(alter, 0x91, 1),
		"mode as number":         append(alter, 1),
		"look without a key":     append(head(ownership.KindQuery, 5), 1, 2, 3, 4, 0xa0),
		"time of 64 bits":        append(renew, 1, 0xcf, 0xff, 0, 0, 0, 0, 0, 0, 0, 0xc2),
		"time as bool":           append(renew, 1, 0xc3, 0xc2),
		"bool as number":         append(renew, 1, 1, 1),
		"bool as nil":            append(renew, 1, 1, 0xc0),
		"kind of 9 bits":         {array | 3, 0xcd, 1, 1, 0, 0x90},
		"kind 0":                 {array | 3, 0, 0, 0x90},
		"body that is no array":  {array | 3, byte(ownership.KindAskView), 0, 1},
		"message that is a map":  {0x80},
		"message that is nil":    {0xc0},
		"nothing":                {},
		"half a number":          append(askView, 0xce, 0, 0),
		"missing elements":       {array | 3, byte(ownership.KindAskView), 0},
		"bytes after the end":    append(append(askView, 1), 0),
		"reserved code, skipped": {array | 4, byte(ownership.KindAskView), 0, array | 1, 1, 0xc1},
	} {
		if m, err := DecodeMessage(b); !errors.Is(err, errMalformed) {
			t.Errorf("%s: got %#v, %v", what, m, err)
		}
	}
}

// Lengths that lie, and nesting that kills who recurses, cost neither memory nor
// stack.
func TestHostile(t *testing.T) {
	huge32 := []byte{0xff, 0xff, 0xff, 0xff}
	acquire := []byte{0x93, byte(ownership.KindAcquire), 0, 0x95, 0x92, 1, 2, 3, 4, 5}
	confirm := []byte{0x93, byte(ownership.KindConfirm), 0, 0x91}
	extra := []byte{0x94, byte(ownership.KindAskView), 0, 0x91, 1}
	alter := []byte{0x93, byte(ownership.KindAlter), 0, 0x98, 0x92, 1, 2, 3, 4, 5, 6, 2, 0xc0}
	report := []byte{0x93, byte(ownership.KindReport), 0, 0x97, 1, 2, 3, 4, 3, 0}
	state := slices.Clip(append(report, 0x91, 0x93, 0xa1, 'k')) // without its holders and queue
	nested := bytes.Repeat([]byte{0x91}, 1<<19)
	for what, b := range map[string][]byte{
		"key of 4 GiB":                   append(append(acquire, 0xdb), huge32...),
		"key of 4 GiB as bytes":          append(append(acquire, 0xc6), huge32...),
		"key of 600 bytes":               append(append(acquire, 0xda, 2, 88), make([]byte, 600)...),
		"key longer than what is left":   append(acquire, 0xd9, 200, 'x'),
		"no key":                         append(acquire, 0xa0),
		"list of 4 G":                    append(append(confirm, 0xdd), huge32...),
		"list longer than what is left":  append(confirm, 0xdc, 0xff, 0xff, 0x90),
		"list of 100000":                 append(append(confirm, 0xdd, 0, 1, 0x86, 0xa0), bytes.Repeat([]byte{0x90}, 100_000)...),
		"array of 4 G fields":            append([]byte{0xdd}, huge32...),
		"message of 4 G fields":          append([]byte{0x93, 1, 0, 0xdd}, huge32...),
		"unknown string of 4 GiB":        append(append(extra, 0xdb), huge32...),
		"unknown bytes of 4 GiB":         append(append(extra, 0xc6), huge32...),
		"unknown list of 4 G":            append(append(extra, 0xdd), huge32...),
		"unknown map of 4 G":             append(append(extra, 0xdf), huge32...),
		"unknown extension of 4 GiB":     append(append(extra, 0xc9), huge32...),
		"unknown nesting without end":    append(extra, nested...),
		"nested body":                    append([]byte{0x93, byte(ownership.KindPropose), 0}, nested...),
		"nested unknown kind":            append([]byte{0x93, 0xcc, 250, 0}, nested...),
		"many empty records":             append([]byte{0x93, byte(ownership.KindInstall), 0, 0x96, 1, 1, 1, 0, 1, 0xdc, 0xff, 0xff}, bytes.Repeat([]byte{0x90}, 0xffff)...),
		"value of 4 GiB":                 append(append(alter, 0xc6), huge32...),
		"value of 5000 bytes":            append(append(alter, 0xc5, 0x13, 0x88), make([]byte, 5000)...),
		"value longer than what is left": append(alter, 0xc4, 200, 1),
		"value as string":                append(alter, 0xa1, 'x'),
		"value as number":                append(alter, 1),
		"holders beyond their number":    append(append(state, 0xdc, 4, 1), bytes.Repeat([]byte{0x90}, 1025)...),
		"waiters beyond their number":    append(append(state, 0x90, 0xdc, 4, 1), bytes.Repeat([]byte{0x90}, 1025)...),
		"many empty holders":             append(append(state, 0xdc, 4, 0), bytes.Repeat([]byte{0x90}, 1024)...),
		"many empty waiters":             append(append(state, 0x90, 0xdc, 4, 0), bytes.Repeat([]byte{0x90}, 1024)...),
		"many empty keys":                append(append(report, 0xdc, 0xff, 0xff), bytes.Repeat([]byte{0x90}, 0xffff)...),
		"keys beyond their number":       append(append(report, 0xdd, 0, 1, 0, 1), bytes.Repeat([]byte{0x90}, 0x10001)...),
		"many empty notices":             append([]byte{0x93, byte(ownership.KindNotice), 0, 0x92, 1, 0xdc, 0xff, 0xff}, bytes.Repeat([]byte{0x90}, 0xffff)...),
		"many empty held lists":          append([]byte{0x93, byte(ownership.KindHeartbeatAck), 0, 0x92, 1, 0xdc, 0xff, 0xff}, bytes.Repeat([]byte{0x90}, 0xffff)...),
	} {
		t.Run(what, func(t *testing.T) {
			c := newCoder()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			c.read(b)
			_, m, k, err := c.readMessage()
			runtime.ReadMemStats(&after)
			allocated := int64(after.TotalAlloc - before.TotalAlloc)
			if err == nil && m == nil {
				t.Errorf("unknown kind %d", k)
			}
			if !errors.Is(err, errMalformed) {
				t.Errorf("got %#v, %v", m, err)
			}
			if most := int64(allocSlack + allocBlowUp*len(b) + 64<<10); allocated > most {
				t.Errorf("allocated %d bytes for a message of %d", allocated, len(b))
			}
		})
	}
	// Deep nesting that is well formed is skipped like anything else.
	deep := append(append(extra, nested...), 0xc0)
	if m, err := DecodeMessage(deep); err != nil || m.Kind() != ownership.KindAskView {
		t.Errorf("deep and well formed: %v", err)
	}
	c := newCoder()
	if n := testing.AllocsPerRun(2, func() { c.read(deep); _, _, _, _ = c.readMessage() }); n > 1 {
		t.Errorf("skipping allocates: %v allocations", n)
	}
}

func TestViewsAreValidated(t *testing.T) {
	v := newView(rand.New(rand.NewPCG(1, 2)))
	v.Voters = []ownership.NodeID{v.Members[0].ID, v.Members[0].ID}
	if _, err := DecodeMessage(encode(t, ownership.Decided{View: v})); !errors.Is(err, errMalformed) {
		t.Errorf("a view with a voter twice: %v", err)
	}
}

func TestLongestView(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 3))
	v := &ownership.View{Mesh: 1, Epoch: 1 << 30, Params: ownership.Params{
		Partitions: ownership.MaxPartitions, Replicas: ownership.MaxReplicas, MaxTTL: time.Minute, MembershipTTL: time.Second,
	}}
	for range ownership.MaxMembers {
		v.Members = append(v.Members, ownership.Member{ID: ownership.NodeID(r.Uint64() | 1), Name: strings.Repeat("n", 256), Addr: strings.Repeat("a", 256), Zone: "z"})
	}
	var list []ownership.NodeID
	for i := range ownership.MaxReplicas {
		list = append(list, v.Members[i].ID)
	}
	v.Voters = list
	for range ownership.MaxPartitions {
		v.Groups = append(v.Groups, ownership.Group{Term: 1 << 29, Replicas: list, Prior: []ownership.Configuration{
			{}, {Term: 1, Replicas: list}, {Term: 2, Replicas: list}, {Term: 3, Replicas: list}, {Term: 4, Replicas: list},
		}})
	}
	b := encode(t, ownership.Decided{View: v})
	if len(b) > maxFrame {
		t.Errorf("the longest view takes %d bytes", len(b))
	}
	got, err := DecodeMessage(b)
	if err != nil || !reflect.DeepEqual(got.(ownership.Decided).View, v) {
		t.Errorf("%v", err)
	}
	t.Logf("%d bytes", len(b))
}
