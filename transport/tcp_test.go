package transport

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

func TestListenErrors(t *testing.T) {
	taken := listen(t)
	_, err := Listen(Options{Bind: taken.Addr().String()})
	if err == nil || !strings.Contains(err.Error(), "address already in use") || !strings.Contains(err.Error(), taken.Addr().String()) {
		t.Errorf("a port that is taken: %v", err)
	}
	for _, bind := range []string{"7946", "127.0.0.1:port", "256.0.0.1:0"} {
		if tr, err := Listen(Options{Bind: bind}); err == nil {
			tr.Close()
			t.Errorf("Listen(%q) succeeded", bind)
		}
	}
	if !errors.Is(err, ErrInUse) || strings.Count(err.Error(), taken.Addr().String()) != 1 || strings.Count(err.Error(), "in use") != 1 {
		t.Errorf("a port that is taken: %v", err)
	}
	if _, err := Listen(Options{Bind: "192.0.2.1:0"}); !errors.Is(err, syscall.EADDRNOTAVAIL) || strings.Count(err.Error(), "192.0.2.1") != 1 {
		t.Errorf("an address of another host: %v", err)
	}
	// The port taken for UDP alone is as bad.
	p, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if tr, err := Listen(Options{Bind: p.LocalAddr().String()}); err == nil {
		tr.Close()
		t.Error("Listen on a port that is taken for UDP succeeded")
	} else if !strings.Contains(err.Error(), "udp") {
		t.Error(err)
	}
	if tr, err := Listen(Options{}); err != nil {
		t.Error(err)
	} else if tr.Addr().Port == 0 {
		t.Error("no port")
	} else if err := tr.Close(); err != nil {
		t.Error(err)
	}
}

// Packets and streams of gossip pass on the port of the lock traffic, before
// Start too.
func TestGossip(t *testing.T) {
	a, b := listen(t), listen(t)
	if _, err := a.WritePacket([]byte("ping"), b.Addr().String()); err != nil {
		t.Fatal(err)
	}
	p := <-b.Packets()
	if string(p.Data) != "ping" || p.From.String() != a.Addr().String() || p.At.IsZero() {
		t.Errorf("got %q from %v at %v", p.Data, p.From, p.At)
	}
	if _, err := a.WritePacket(nil, "no address"); err == nil {
		t.Error("a packet to nowhere was sent")
	}

	// A large packet is not kept.
	a.WritePacket(make([]byte, maxPacket+1), b.Addr().String())
	a.WritePacket([]byte("after"), b.Addr().String())
	if p := <-b.Packets(); string(p.Data) != "after" {
		t.Errorf("got %d bytes", len(p.Data))
	}

	// memberlist's types, its label, its encryption, and what a browser says.
	for _, begin := range []string{"\x00push", "\x06pull", "\xf4label", "\x0aenc", "GET / HTTP/1.1"} {
		near, err := a.DialStream(b.Addr().String(), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(near, begin)
		far := <-b.Streams()
		got := make([]byte, len(begin))
		if _, err := io.ReadFull(far, got); err != nil || string(got) != begin {
			t.Errorf("got %q, %v", got, err)
		}
		io.WriteString(far, "back")
		far.Close()
		if back, err := io.ReadAll(near); err != nil || string(back) != "back" {
			t.Errorf("got %q, %v", back, err)
		}
		near.Close()
	}
}

// Streams that nobody takes hold up neither gossip's packets nor lock traffic.
func TestStreamsNobodyTakes(t *testing.T) {
	a, b := listen(t), listen(t)
	var open []net.Conn
	for range 2 * cap(b.gossip.streams) {
		nc, err := a.DialStream(b.Addr().String(), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		io.WriteString(nc, "\x00")
		open = append(open, nc)
	}
	na, nb := start(t, a, a.Addr().String(), node(1)), start(t, b, b.Addr().String(), node(2))
	na.Learn(2, nb.addr)
	na.say(2, 1)
	<-nb.got
	closed := 0
	b.Close()
	for _, nc := range open {
		if _, err := nc.Read(make([]byte, 1)); err != nil {
			closed++
		}
	}
	if closed != len(open) {
		t.Errorf("%d of %d streams were closed", closed, len(open))
	}
}

// syncBuffer is a log that may be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// A node that sends garbage is disconnected, told of once, and nobody else
// notices.
func TestGarbage(t *testing.T) {
	var log syncBuffer
	tr, err := Listen(Options{Bind: "127.0.0.1:0", Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	a := start(t, tr, tr.Addr().String(), node(1))
	tb := listen(t)
	b := start(t, tb, tb.Addr().String(), node(2))
	b.Learn(1, a.addr)
	awaitSaid(b, a, 1, 1)

	dial := func() net.Conn {
		nc, err := net.Dial("tcp", a.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		return nc
	}
	for _, garbage := range []string{
		magic + "\xff\xff",                         // a greeting of 64 KiB
		magic + "\x00\x01\x93",                     // cut off inside
		magic + "\x00\x05\x95\xff\xff\xff\xff",     // wrong types
		magic[:2] + "XX\x00\x00",                   // another protocol
		magic + "\x00\x02\x92\x01",                 // too few fields
		magic + "\x00\x00",                         // none
		magic + "\x00\x06\xdd\xff\xff\xff\xff\x00", // many fields
	} {
		nc := dial()
		io.WriteString(nc, garbage)
		nc.(*net.TCPConn).CloseWrite()
		if n, _ := io.Copy(io.Discard, nc); n > 0 {
			t.Errorf("%q was answered", garbage)
		}
		if h := a.awaitHint(HintGarbage, 0); h.Reason == "" || h.Addr == "" {
			t.Errorf("%q: hint %+v", garbage, h)
		}
	}
	for i, garbage := range []string{
		"\x00\x00\x00\x00",                 // no version
		"\x7f\xff\xff\xff\x01",             // 2 GiB
		"\x00\x00\x00\x01\x00",             // version 0
		"\x00\x00\x00\x03\x01\xc1\xc1",     // no message
		"\x00\x00\x00\x05\x01\x93\x0c\x00", // a view of nothing, then more
	} {
		id := ownership.NodeID(100 + i)
		nc := dial()
		hi, _ := appendGreeting(nil, hello(id, 1))
		nc.Write(hi)
		if g, err := readGreeting(nc, nil); err != nil || g.verdict != verdictWelcome || g.from != 1 {
			t.Fatalf("answer %+v, %v", g, err)
		}
		io.WriteString(nc, garbage+"\xff\xff\xff")
		io.Copy(io.Discard, nc) // until it is closed
		a.awaitHint(HintGarbage, id)
	}
	awaitSaid(b, a, 1, 2)
	if s := tr.Stats(); s.Peers != 1 {
		t.Errorf("%+v", s)
	}
	if text := log.String(); strings.Count(text, "bad greeting") != 1 || strings.Count(text, "sent garbage") != 1 {
		t.Errorf("the log repeats itself, or says nothing:\n%s", text)
	}
}

// Messages of kinds that only newer nodes know are skipped.
func TestUnknownKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		a := start(t, p.node("a"), "a", node(1))
		nc, _ := greetAs(t, p, "a", hello(9, 1))
		c := newCoder()
		known, _ := AppendMessage(nil, ownership.Seal{Last: 1})
		c.write(beginFrame(nil))
		c.out.b = append(c.out.b, 0x94, 0xcc, 250, 5, 0x92, 0x81, 1, 2, 0xa1, 'x', 0xc0)
		c.out.b = append(c.out.b, known...)
		endFrame(c.out.b)
		c.out.b[lengthBytes] = version + 1
		nc.Write(c.out.b)
		if r := <-a.got; number(r) != 1 || r.From != 9 {
			t.Errorf("got %+v", r)
		}
		if s := a.Transport.(*TCP).Stats(); s.Unknown != 1 || s.Received != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// Versions that have nothing in common refuse each other, and say so.
func TestOtherVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		a := start(t, p.node("a"), "a", node(1))
		newer := hello(9, 1)
		newer.version, newer.oldest = version+5, version+3
		if _, answer := greetAs(t, p, "a", newer); answer.verdict != verdictVersion || answer.version != version {
			t.Errorf("answer %+v", answer)
		}
		if h := a.awaitHint(HintRefused, 9); !strings.Contains(h.Reason, fmt.Sprintf("%d to %d", version+3, version+5)) {
			t.Errorf("hint %+v", h)
		}
		newer.oldest = version
		if _, answer := greetAs(t, p, "a", newer); answer.verdict != verdictWelcome {
			t.Errorf("answer %+v", answer)
		}
	})
}

// Connections that say nothing are closed, and never more than a few are open:
// the oldest go first, so that a peer is heard however many there are.
func TestSilentConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		var log syncBuffer
		quiet := p.node("a")
		quiet.log = newFaultLog(slog.New(slog.NewTextHandler(&log, nil)))
		a, b := start(t, quiet, "a", node(1)), start(t, p.node("b"), "b", node(2))
		var open []net.Conn
		for range maxGreetings + 10 {
			nc, err := p.dial(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			open = append(open, nc)
		}
		synctest.Wait()
		tcp := a.Transport.(*TCP)
		tcp.mu.Lock()
		if n := len(tcp.greeting); n != maxGreetings {
			t.Errorf("%d connections wait", n)
		}
		tcp.mu.Unlock()
		for i, nc := range open {
			nc.SetReadDeadline(time.Now().Add(time.Millisecond))
			if _, err := nc.Read(make([]byte, 1)); (err == io.EOF) != (i < 10) {
				t.Errorf("connection %d: %v", i, err)
			}
		}
		if _, answer := greetAs(t, p, "a", hello(9, 1)); answer.verdict != verdictWelcome {
			t.Errorf("answer %+v", answer)
		}
		open[20].Write([]byte(magic)) // and no more
		<-time.After(greetingTimeout + time.Millisecond)
		synctest.Wait()
		tcp.mu.Lock()
		if n := len(tcp.greeting); n != 0 {
			t.Errorf("%d connections still wait", n)
		}
		tcp.mu.Unlock()
		b.Learn(1, "a")
		awaitSaid(b, a, 1, 1)
		if n := strings.Count(log.String(), "say nothing"); n != 1 {
			t.Errorf("%d lines:\n%s", n, log.String())
		}
		tcp.Close()
		near, far := net.Pipe()
		defer near.Close()
		tcp.accept(far)
		if _, err := far.Write([]byte{0}); err != io.ErrClosedPipe {
			t.Errorf("accepted after Close: %v", err)
		}
	})
}

// An attempt that this node itself ends says nothing about the peer: no line, no
// pause, no failure.
func TestAbortedDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		var log syncBuffer
		a := p.node("a")
		a.log = newFaultLog(slog.New(slog.NewTextHandler(&log, nil)))
		na := start(t, a, "a", node(1))
		deaf := p.listen("b")
		na.Learn(2, "b")
		na.say(2, 1)
		first := <-deaf.accepted // and no greeting
		defer first.Close()
		synctest.Wait()
		begin := time.Now()
		a.mu.Lock()
		a.peers[2].abort()
		a.mu.Unlock()
		second := <-deaf.accepted
		defer second.Close()
		a.mu.Lock()
		failures := a.peers[2].failures
		a.mu.Unlock()
		if failures != 0 || time.Since(begin) > 0 || log.String() != "" {
			t.Errorf("%d failures, %v\n%s", failures, time.Since(begin), log.String())
		}
		<-time.After(greetingTimeout + time.Millisecond) // it counts when the peer is at fault
		if text := log.String(); !strings.Contains(text, "cannot connect") || !strings.Contains(text, "id=0000000000000002") {
			t.Errorf("the log does not say it, or of whom:\n%s", text)
		}
	})
}

func TestQueue(t *testing.T) {
	now := time.Unix(0, 0)
	at := func(s int) time.Time { return now.Add(time.Duration(s) * time.Second) }
	put := func(q *queue, s int, m ownership.Message) int {
		return q.push(ownership.Envelope{To: 1, Message: m}, at(s))
	}
	seal := func(n int) ownership.Message { return ownership.Seal{Last: uint64(n)} }

	// Of what supersedes, the newest; of Decided, the highest; the rest in order.
	var q queue
	put(&q, 0, ownership.Renew{Epoch: 1})
	put(&q, 0, seal(1))
	put(&q, 0, ownership.Decided{View: &ownership.View{Epoch: 9}})
	put(&q, 0, ownership.Renew{Epoch: 2})
	put(&q, 0, seal(2))
	put(&q, 0, ownership.Decided{View: &ownership.View{Epoch: 8}})
	got := q.take(nil)
	if len(got) != 4 || got[0].Message.(ownership.Seal).Last != 1 || got[1].Message.(ownership.Decided).View.Epoch != 9 ||
		got[2].Message.(ownership.Renew).Epoch != 2 || got[3].Message.(ownership.Seal).Last != 2 {
		t.Errorf("got %v", got)
	}
	if !q.empty() || q.bytes != 0 {
		t.Errorf("%d left, %d bytes", q.len(), q.bytes)
	}
	put(&q, 0, ownership.Renew{Epoch: 3}) // the one that was taken is no more
	put(&q, 0, ownership.Renew{Epoch: 4})
	if got := q.take(nil); len(got) != 1 || got[0].Message.(ownership.Renew).Epoch != 4 {
		t.Errorf("got %v", got)
	}

	// Too many: the oldest go.
	lost := 0
	for i := range maxQueued + 1000 {
		lost += put(&q, 0, seal(i))
	}
	put(&q, 0, ownership.Renew{Epoch: 5})
	put(&q, 0, ownership.Renew{Epoch: 6})
	if got := q.take(nil); lost != 1000 || got[0].Message.(ownership.Seal).Last != 1002 || len(got) != maxQueued-1 {
		t.Errorf("lost %d, %d left from %v on", lost, len(got), got[0].Message)
	}

	// Too large: the same.
	big := ownership.Install{}
	for range 1000 {
		big.Records = append(big.Records, &ownership.Record{Key: "k", Holders: make([]ownership.Holder, 10)})
	}
	for range 100 {
		put(&q, 0, big)
	}
	if q.bytes > maxQueuedBytes || q.len() < 10 || q.len() > 20 {
		t.Errorf("%d messages of %d bytes", q.len(), q.bytes)
	}
	q.drop()

	// Old: gone, however often a Renew is renewed.
	for s := range 10 {
		put(&q, s, seal(s))
		put(&q, s, ownership.Renew{Epoch: ownership.Epoch(s)})
	}
	if lost := q.expire(at(8)); lost != 8 || q.empty() {
		t.Errorf("lost %d", lost)
	}
	if got := q.take(nil); len(got) != 3 {
		t.Errorf("got %v", got)
	}
}

func TestFaultLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := newFaultLog(slog.New(slog.NewTextHandler(&out, nil)))
		for range 3 {
			for range 100 {
				l.fault(slog.LevelWarn, "bad", "10.0.0.1")
				l.fault(slog.LevelDebug, "not wanted", "10.0.0.1")
			}
			<-time.After(logEvery)
		}
		if n := strings.Count(out.String(), "msg=bad"); n != 3 || strings.Count(out.String(), "repeated=99") != 2 {
			t.Errorf("%d lines:\n%s", n, out.String())
		}
		for i := range 3 * maxFaults {
			l.fault(slog.LevelWarn, "bad", strings.Repeat("x", i))
		}
		if len(l.faults) > maxFaults {
			t.Errorf("%d faults are kept", len(l.faults))
		}
	})
}
