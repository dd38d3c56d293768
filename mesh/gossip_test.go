package mesh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
	"github.com/lockmesh/lockmesh/transport"
)

func TestMeta(t *testing.T) {
	for _, m := range []meta{
		{"lockmesh", ownership.Member{ID: 1, Name: "a", Addr: "10.0.0.1:7946", Zone: "z"}},
		{"c", ownership.Member{ID: 1<<64 - 1, Addr: "[fd00::1]:1"}},
		{strings.Repeat("c", maxClusterBytes), ownership.Member{ID: 7, Name: strings.Repeat("n", maxNameBytes), Addr: "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", Zone: strings.Repeat("z", maxZoneBytes)}},
	} {
		b := m.encode()
		if len(b) > 512 {
			t.Errorf("%d bytes", len(b))
		}
		for _, b := range [][]byte{b, append(bytes.Clone(b), 1, 2, 3)} { // a field to come
			if got, err := decodeMeta(b); err != nil || got != m {
				t.Errorf("%+v, %v; want %+v", got, err, m)
			}
		}
		for n := range b {
			if _, err := decodeMeta(b[:n]); err == nil {
				t.Errorf("%d of %d bytes are enough", n, len(b))
			}
		}
	}
}

func FuzzMeta(f *testing.F) {
	f.Add(meta{"lockmesh", ownership.Member{ID: 1, Name: "a", Addr: "10.0.0.1:7946", Zone: "z"}}.encode())
	f.Add([]byte{metaVersion, 0, 0, 0, 0, 0, 0, 0, 1, 255})
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMeta(b)
		if err != nil {
			return
		}
		if m.member.ID == 0 || m.cluster == "" {
			t.Fatalf("%+v", m)
		}
		if again := m.encode(); !bytes.HasPrefix(b, again) {
			t.Fatalf("%x becomes %x", b, again)
		}
	})
}

func peerLine(id ownership.NodeID, addr string) ownership.Member {
	return ownership.Member{ID: id, Name: fmt.Sprint("n", id), Addr: addr}
}

// deadOnes lists who the roster has, dead ones negative.
func deadOnes(r *roster) (ids []int) {
	for _, p := range r.lines() {
		id := int(p.Member.ID)
		if p.Dead {
			id = -id
		}
		ids = append(ids, id)
	}
	return ids
}

func TestRoster(t *testing.T) {
	r := &roster{self: 9, addr: "me:1"}
	for _, step := range []struct {
		what string
		do   func()
		want []int
		same bool // and the core need not be told
	}{
		{"gossip sees nodes", func() { r.alive(peerLine(2, "b:1"), 0); r.alive(peerLine(1, "a:1"), 0) }, []int{1, 2}, false},
		{"again", func() { r.alive(peerLine(1, "a:1"), 1) }, []int{1, 2}, true},
		{"itself", func() { r.alive(peerLine(9, "me:1"), 1) }, []int{1, 2}, true},
		{"nobody", func() { r.alive(peerLine(0, "x:1"), 1) }, []int{1, 2}, true},
		{"the transport finds one gone", func() { r.gone(1, 2) }, []int{-1, 2}, false},
		{"gossip says so too", func() { r.gone(1, 3) }, []int{-1, 2}, true},
		{"a handshake", func() { r.up(1, 4) }, []int{1, 2}, false},
		{"unknown ones", func() { r.up(5, 4); r.gone(6, 4) }, []int{1, 2}, true},
		{"a restart at its address", func() { r.alive(peerLine(3, "a:1"), 5) }, []int{-1, 2, 3}, false},
		{"gossip of the old one", func() { r.alive(peerLine(1, "a:2"), 5) }, []int{1, 2, 3}, false},
		{"an old self of this node", func() { r.alive(peerLine(8, "me:1"), 6) }, []int{1, 2, 3, -8}, false},
		{"again", func() { r.alive(peerLine(8, "me:1"), 7) }, []int{1, 2, 3, -8}, true},
		{"a new address", func() { r.alive(peerLine(2, "b:2"), 7) }, []int{1, 2, 3, -8}, false},
		{"too early to forget", func() { r.gone(3, 10); r.lines(); r.forget(9+forgetAfter-3, keepNone) }, []int{1, 2, -3, -8}, true},
		{"kept by the view", func() { r.forget(10+forgetAfter, func(id ownership.NodeID) bool { return id == 3 }) }, []int{1, 2, -3}, false},
		{"forgotten", func() { r.forget(10+forgetAfter, keepNone) }, []int{1, 2}, false},
		{"a network tells all", func() {
			r.replace([]ownership.Peer{{Member: peerLine(2, "b:2"), Dead: true}, {Member: peerLine(4, "d:1")}}, 20)
		}, []int{-1, -2, 4}, false},
	} {
		step.do()
		if r.changed == step.same {
			t.Errorf("%s: changed is %v", step.what, r.changed)
		}
		if got := deadOnes(r); !slices.Equal(got, step.want) {
			t.Errorf("%s: %v, want %v", step.what, got, step.want)
		}
	}
}

func keepNone(ownership.NodeID) bool { return false }

// Whatever comes in, lines are sorted, single, and bounded.
func TestRosterHolds(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	r := &roster{self: 1, addr: "me:1"}
	for i := range 5_000 {
		id := ownership.NodeID(random.IntN(2 * maxRoster))
		switch random.IntN(6) {
		case 0:
			r.gone(id, int64(i))
		case 1:
			r.up(id, int64(i))
		default:
			r.alive(peerLine(id, fmt.Sprint("host", random.IntN(4*maxRoster), ":1")), int64(i))
		}
	}
	lines := r.lines()
	if len(lines) > maxRoster {
		t.Errorf("%d lines", len(lines))
	}
	for i, p := range lines {
		if p.Member.ID == r.self || i > 0 && lines[i-1].Member.ID >= p.Member.ID {
			t.Fatalf("line %d: %+v", i, p)
		}
	}
}

func TestGossipLog(t *testing.T) {
	for line, want := range map[string]struct {
		level slog.Level
		text  string
	}{
		"[DEBUG] memberlist: Stream connection":                            {slog.LevelDebug, "Stream connection"},
		"[WARN] memberlist: Binding to public address without encryption!": {slog.LevelWarn, "Binding to public address without encryption!"},
		"[ERR] memberlist: Conflicting address for x":                      {slog.LevelError, "Conflicting address for x"},
		"[ERROR] memberlist: Failed to compress payload":                   {slog.LevelError, "Failed to compress payload"},
		"[ERR] memberlist: Push/Pull with x failed: timeout":               {slog.LevelDebug, "Push/Pull with x failed: timeout"},
		"[ERR] memberlist: Failed fallback TCP ping: EOF":                  {slog.LevelDebug, "Failed fallback TCP ping: EOF"},
		"[INFO] memberlist: Suspect x has failed, no acks received":        {slog.LevelDebug, "Suspect x has failed, no acks received"},
		"[WARN] memberlist: Refuting a suspect message (from: y)":          {slog.LevelDebug, "Refuting a suspect message (from: y)"},
		"Err: Could not set the deadline":                                  {slog.LevelInfo, "Err: Could not set the deadline"},
		"":                                                                 {slog.LevelInfo, ""},
	} {
		if level, text := gossipLevel(line); level != want.level || text != want.text {
			t.Errorf("%q: %v %q", line, level, text)
		}
	}
	book := newLogBook(t)
	w := newGossipLog(book.logger())
	for i := range 100 {
		fmt.Fprintf(w, "[ERR] memberlist: msg type (%d) not supported from=x\n", i)
	}
	if len(book.lines) != 1 {
		t.Errorf("%d lines", len(book.lines))
	}
}

// A log that blocks stops nobody: what it cannot take is dropped and counted.
func TestSlowLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		book := newLogBook(t)
		log, sink := newLogger(slog.New(slowHandler{book.logger().Handler(), gate}))
		log = log.With("a", 1).WithGroup("g")
		for i := range 2 * logQueue {
			log.Info("line", "i", i)
		}
		begin := time.Now()
		sink.close()
		if d := time.Since(begin); d != time.Second {
			t.Errorf("close waited %v", d)
		}
		close(gate)
		synctest.Wait()
		if len(book.lines) < logQueue || len(book.lines) > logQueue+2 || !book.has("log records dropped") || !book.has("a=1 g.i=7") {
			t.Errorf("%d lines", len(book.lines))
		}
	})
}

type slowHandler struct {
	slog.Handler
	gate chan struct{}
}

func (h slowHandler) Handle(ctx context.Context, r slog.Record) error {
	<-h.gate
	return h.Handler.Handle(ctx, r)
}

func (h slowHandler) WithAttrs(a []slog.Attr) slog.Handler {
	return slowHandler{h.Handler.WithAttrs(a), h.gate}
}
func (h slowHandler) WithGroup(g string) slog.Handler {
	return slowHandler{h.Handler.WithGroup(g), h.gate}
}

func TestErrorText(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("shutting down")
	cancel(why)
	err := &Error{"Lock", "k", ended(ctx, ErrUnavailable, "partition 3: its owner a (b:1) does not answer")}
	if got, want := err.Error(), `lockmesh: Lock "k": partition 3: its owner a (b:1) does not answer (shutting down)`; got != want {
		t.Errorf("%s\n%s", got, want)
	}
	for _, is := range []error{context.Canceled, why, ErrUnavailable} {
		if !errors.Is(err, is) {
			t.Errorf("not %v", is)
		}
	}
	long := &Error{"Lock", strings.Repeat("ä", 200), ErrClosed}
	if n := len(long.Error()); n > 300 {
		t.Errorf("%d bytes", n)
	}
}

// Every reason has words, and none of them is left out.
func TestPendingText(t *testing.T) {
	v := &ownership.View{Members: []ownership.Member{{ID: 5, Name: "payments-2", Addr: "127.0.0.1:7001"}}}
	seen := map[string]bool{}
	for code := ownership.ReasonNone; code <= ownership.ReasonFull; code++ {
		text := pendingText(v, 17, ownership.Pending{Owner: 5, Reason: ownership.Reason{Code: code, Left: time.Second, Ahead: 2,
			Holder: ownership.Holder{Name: "worker-3", Note: "night run"}}}, 1)
		if seen[text] || text == "" {
			t.Errorf("%d: %q", code, text)
		}
		seen[text] = true
		t.Log(text)
	}
	if !seen[`held by worker-3 (note "night run"), 2 ahead in line`] {
		t.Error(seen)
	}
	for want, r := range map[string]ownership.Reason{
		`held by a (note "x") and 2 others, 3 ahead in line`: {Code: ownership.ReasonQueued, Others: 2, Ahead: 3, Holder: ownership.Holder{Name: "a", Note: "x"}},
		`held by a (shared, note "x") and 1 other`:           {Code: ownership.ReasonQueued, Others: 1, Holder: ownership.Holder{Name: "a", Note: "x", Mode: ownership.Shared}},
		"held by a, this node itself (2 of 3 permits)":       {Code: ownership.ReasonQueued, Holder: ownership.Holder{Name: "a", Request: ownership.RequestID{Client: 1}, Mode: ownership.Permits(2, 3)}},
		"closed for 3s more after its holder x was lost (lock-delay)": {Code: ownership.ReasonQueued, Left: 3 * time.Second,
			Holder: ownership.Holder{Name: "x", Lost: true}},
		"closed after its holder x was lost (lock-delay), 1 ahead in line": {Code: ownership.ReasonQueued, Ahead: 1, Holder: ownership.Holder{Name: "x", Lost: true}},
		"partition 17: its owner payments-2 (127.0.0.1:7001) has lost its membership lease 1.2s ago: the voters do not answer it": {Code: ownership.ReasonNoLease,
			Left: 1234 * time.Millisecond},
	} {
		if got := pendingText(v, 17, ownership.Pending{Owner: 5, Reason: r}, 1); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestMailboxBounds(t *testing.T) {
	n := &Node{mail: newMailbox()}
	n.id.Store(7)
	for range maxReceived + 5 {
		n.mail.deliver(received(7), &n.id)
	}
	n.mail.deliver(received(8), &n.id) // for an old NodeID
	m, dropped := n.mail.take(mail{})
	if len(m.in) != maxReceived || dropped != 5 {
		t.Error(len(m.in), dropped)
	}
	n.mail.deliver(received(7), &n.id)
	n.mail.post(ownership.Leave{})
	n.mail.forgetReceived()
	if m, _ = n.mail.take(m); !reflect.DeepEqual(m.in, []ownership.Input{ownership.Leave{}}) {
		t.Error(m.in)
	}
	// Hints of one kind do not crowd out those of another.
	called := 0
	for range maxHints + 3 {
		n.mail.hint(transport.Hint{Kind: transport.HintGarbage}, func(transport.Hint) { called++ })
	}
	n.mail.hint(transport.Hint{Kind: transport.HintGone, ID: 5}, func(h transport.Hint) { called += 10_000 * int(h.ID) })
	m, dropped = n.mail.take(m)
	for _, f := range m.do {
		f()
	}
	if called != maxHints+50_000 || dropped != 3 {
		t.Error(called, dropped)
	}
	n.mail.seal()
	if n.mail.call(&Lock{}, ownership.Lock{}) || !n.mail.post(ownership.Leave{}) {
		t.Error("a sealed mailbox takes calls, or nothing else")
	}
	n.mail.close()
	if n.mail.post(ownership.Leave{}) || n.mail.run(func() {}) {
		t.Error("a closed mailbox takes mail")
	}
}

// Gossip among many nodes on one host: everybody hears of everybody, also after
// a rename, and hears of the end of one.
func TestGossip(t *testing.T) {
	noLeaks(t)
	addrs := freePorts(t, 3)
	var all []*heardBook
	for i, a := range addrs {
		all = append(all, startTestGossip(t, ownership.NodeID(i+1), a, addrs))
	}
	for _, h := range all {
		h.await(t, func(alive map[ownership.NodeID]bool) bool { return len(alive) >= 2 })
	}
	all[0].rename(t, 11)
	for _, h := range all[1:] {
		h.await(t, func(alive map[ownership.NodeID]bool) bool { return alive[11] && !alive[1] })
	}
	all[2].gossip.leave(time.Second)
	all[1].await(t, func(alive map[ownership.NodeID]bool) bool { return !alive[3] })
	for _, h := range all {
		if h.book.has("refused gossip") {
			t.Error("the guard refuses what a node sends")
		}
	}
}

type heardBook struct {
	gossip *gossip
	book   *logBook
	member ownership.Member
	mu     sync.Mutex
	alive  map[ownership.NodeID]bool
	change chan struct{}
}

func (h *heardBook) await(t *testing.T, ok func(map[ownership.NodeID]bool) bool) {
	t.Helper()
	timeout := time.After(patience)
	for {
		h.mu.Lock()
		done := ok(h.alive)
		h.mu.Unlock()
		if done {
			return
		}
		select {
		case <-h.change:
		case <-timeout:
			t.Fatalf("node %d believes alive: %v", h.member.ID, h.alive)
		}
	}
}

func (h *heardBook) rename(t *testing.T, id ownership.NodeID) {
	h.member.ID = id
	h.gossip.rename(h.member)
}

func startTestGossip(t *testing.T, id ownership.NodeID, addr string, seeds []string) *heardBook {
	t.Helper()
	h := &heardBook{book: newLogBook(t), member: peerLine(id, addr), alive: map[ownership.NodeID]bool{}, change: make(chan struct{}, 1)}
	port := listenTest(t, addr)
	var err error
	h.gossip, err = startGossip(gossipConfig{
		cluster: "test", self: h.member, addr: netip.MustParseAddrPort(addr), port: port, seeds: seeds,
		rand: randomBits, log: h.book.logger(),
		round: func(rejoinResult) (bool, []string) { return true, nil },
		tell: func(news []gossipNews) {
			h.mu.Lock()
			for _, n := range news {
				h.alive[n.member.ID] = !n.dead
			}
			h.mu.Unlock()
			select {
			case h.change <- struct{}{}:
			default:
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		h.gossip.close()
		port.Close()
	})
	return h
}
