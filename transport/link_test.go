package transport

import (
	"bufio"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// greetAs dials a TCP as a node made by hand, and returns the connection after
// the greetings.
func greetAs(t *testing.T, p *pipes, addr string, hello greeting) (net.Conn, greeting) {
	t.Helper()
	nc, err := p.dial(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	b, err := appendGreeting(nil, hello)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nc.Write(b); err != nil {
		t.Fatal(err)
	}
	answer, err := readGreeting(nc, nil)
	if err != nil {
		t.Fatal(err)
	}
	return nc, answer
}

func hello(from, to ownership.NodeID) greeting {
	return greeting{version: version, oldest: oldestVersion, cluster: "test", from: from, to: to, dial: 1}
}

// A peer that reads nothing delays nobody, and is given up in the end.
func TestSlowPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		a, b := start(t, p.node("a"), "a", node(1)), start(t, p.node("b"), "b", node(2))
		a.Learn(2, "b")
		_, answer := greetAs(t, p, "a", hello(9, 1))
		if answer.verdict != verdictWelcome {
			t.Fatalf("answer %+v", answer)
		}
		begin := time.Now()
		const n = 2 * maxQueued
		for i := range n {
			a.say(9, i)
			a.say(2, i)
			if i%1000 == 0 {
				synctest.Wait()
			}
		}
		for i := range n {
			if got := number(<-b.got); got != i {
				t.Fatalf("got %d, not %d", got, i)
			}
		}
		if d := time.Since(begin); d != 0 {
			t.Errorf("the good peer waited %v for the slow one", d)
		}
		tcp := a.Transport.(*TCP)
		if s := tcp.Stats(); s.Peers != 2 || s.Dropped == 0 || s.Dropped > n-maxQueued {
			t.Errorf("%+v", s)
		}
		<-time.After(silenceTimeout + time.Second)
		if s := tcp.Stats(); s.Peers != 1 {
			t.Errorf("the slow peer is still there: %+v", s)
		}
	})
}

// Two nodes that dial each other at once end with one connection, and lose no
// more than what was under way in the duel.
func TestDuel(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 4))
			p := newPipes()
			p.latency = func() time.Duration {
				p.mu.Lock()
				defer p.mu.Unlock()
				return time.Duration(r.IntN(3)) * time.Millisecond
			}
			a, b := start(t, p.node("a"), "a", node(1)), start(t, p.node("b"), "b", node(2))
			a.Learn(2, "b")
			b.Learn(1, "a")
			a.say(2, 1)
			b.say(1, 2)
			awaitSaid(a, b, 2, 3)
			awaitSaid(b, a, 1, 4)
			<-time.After(2 * time.Second)
			synctest.Wait()
			ta, tb := a.Transport.(*TCP), b.Transport.(*TCP)
			if ta.Stats().Peers != 1 || tb.Stats().Peers != 1 {
				t.Errorf("seed %d: not connected: %+v %+v", seed, ta.Stats(), tb.Stats())
			}
			before := p.count()
			if before > 4 {
				t.Errorf("seed %d: %d dials", seed, before)
			}
			for i := 100; i < 110; i++ {
				a.say(2, i)
				b.say(1, i)
			}
			<-time.After(10 * time.Second)
			if p.count() != before {
				t.Errorf("seed %d: it goes on dialling: %d, then %d dials", seed, before, p.count())
			}
		})
	}
}

// A node that cannot dial its peer is still dialled by it, whoever is lower.
func TestDuelOneWay(t *testing.T) {
	for _, id := range []ownership.NodeID{1, 3} {
		synctest.Test(t, func(t *testing.T) {
			p := newPipes()
			a := start(t, p.node("a"), "a", node(id))
			b := start(t, p.node("b"), "b", node(2))
			p.listen("nowhere")
			a.Learn(2, "nowhere") // a's dials vanish
			b.Learn(id, "a")
			go a.say(2, 1)
			awaitSaid(b, a, id, 2)
			awaitSaid(a, b, 2, 3)
		})
	}
}

// A connection that the other side lost without a word is replaced by its next
// dial; one that it had not heard of when it dialled is kept.
func TestReplacedConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		a := start(t, p.node("a"), "a", node(1))
		first := hello(9, 1)
		first.dial = 5
		old, _ := greetAs(t, p, "a", first)
		late := first
		late.dial = 4
		if _, answer := greetAs(t, p, "a", late); answer.verdict != verdictDuel {
			t.Errorf("an older dial: %+v", answer)
		}
		next := first
		next.dial = 6
		nc, answer := greetAs(t, p, "a", next)
		if answer.verdict != verdictWelcome {
			t.Errorf("the next dial: %+v", answer)
		}
		if _, err := io.ReadAll(old); err != nil {
			t.Errorf("the old connection: %v", err)
		}
		a.say(9, 1)
		if _, err := io.ReadFull(nc, make([]byte, frameHead)); err != nil {
			t.Error(err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		a, b := start(t, p.node("a"), "a", node(1)), start(t, p.node("b"), "b", node(2))
		a.Learn(2, "b")
		awaitSaid(a, b, 2, 1)
		again := hello(2, 1) // b's, written before it heard of a's dial
		if _, answer := greetAs(t, p, "a", again); answer.verdict != verdictDuel {
			t.Errorf("a dial that crossed: %+v", answer)
		}
		again.seen = 1
		if _, answer := greetAs(t, p, "a", again); answer.verdict != verdictWelcome {
			t.Errorf("a dial by who lost the connection: %+v", answer)
		}
	})
}

// A connection that goes silent is closed, one with nothing to say is not.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		a, b := start(t, p.node("a"), "a", node(1)), start(t, p.node("b"), "b", node(2))
		a.Learn(2, "b")
		awaitSaid(a, b, 2, 1)
		nc, _ := greetAs(t, p, "a", hello(9, 1))
		go io.Copy(io.Discard, nc) // reads, says nothing
		<-time.After(time.Minute)
		tcp := a.Transport.(*TCP)
		if s := tcp.Stats(); s.Peers != 1 {
			t.Errorf("%+v", s)
		}
		if p.count() != 2 {
			t.Errorf("%d dials", p.count())
		}
	})
}

// Messages for a node that cannot be reached do not wait for ever, and it is
// dialled only while they do.
func TestUnreachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		a := start(t, p.node("a"), "a", node(1))
		a.Learn(2, "b")
		<-time.After(time.Minute)
		if p.count() != 0 {
			t.Errorf("%d dials with nothing to send", p.count())
		}
		a.say(2, 1)
		<-time.After(time.Minute)
		s := a.Transport.(*TCP).Stats()
		if s.Dropped != 1 || p.count() < 3 || p.count() > 12 {
			t.Errorf("%d dials for one message, %+v", p.count(), s)
		}
		begin := time.Now()
		a.say(2, 2)
		synctest.Wait()
		b := start(t, p.node("c"), "c", node(2))
		a.Learn(2, "c") // moved: no pause
		if got := number(<-b.got); got != 2 {
			t.Errorf("got %d", got)
		}
		if d := time.Since(begin); d != 0 {
			t.Errorf("it took %v to use the new address", d)
		}
	})
}

// A peer that greets well and hangs up at once is not dialled in a hot loop.
func TestHangsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		a := start(t, p.node("a"), "a", node(1))
		hand := p.listen("b")
		go func() {
			for {
				nc, err := hand.Accept()
				if err != nil {
					return
				}
				g, _ := readGreeting(nc, nil)
				g.from, g.to, g.verdict = g.to, g.from, verdictWelcome
				b, _ := appendGreeting(nil, g)
				nc.Write(b)
				nc.Close()
			}
		}()
		a.Learn(2, "b")
		a.say(2, 1)
		<-time.After(10 * time.Second)
		if p.count() < 2 || p.count() > 30 {
			t.Errorf("%d dials in ten seconds", p.count())
		}
		hand.Close()
	})
}

// A message that cannot travel is dropped; those around it arrive.
func TestUnsendable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		a, b := start(t, p.node("a"), "a", node(1)), start(t, p.node("b"), "b", node(2))
		a.Learn(2, "b")
		a.say(2, 1)
		big := &ownership.Record{Key: "k", Holders: make([]ownership.Holder, ownership.MaxHolders)}
		for i := range big.Holders {
			big.Holders[i].Note = string(make([]byte, 256))
		}
		a.Send(ownership.Envelope{To: 2, Message: ownership.Install{Records: slicesOf(20, big)}}) // 5 MiB
		a.Send(ownership.Envelope{To: 2, Message: ownership.Acquire{}})                           // no key
		a.Send(ownership.Envelope{To: 2, Message: new(unknownMessage)})
		a.say(2, 2)
		for want := 1; want <= 2; want++ {
			if got := number(<-b.got); got != want {
				t.Errorf("got %d, not %d", got, want)
			}
		}
		if s := a.Transport.(*TCP).Stats(); s.Dropped != 3 {
			t.Errorf("%+v", s)
		}
		// Large ones that do fit go in frames of their own.
		const large = 4 // as many as one queue takes
		for range large {
			a.Send(ownership.Envelope{To: 2, Message: ownership.Install{Records: slicesOf(10, big)}})
		}
		for range large {
			if m, ok := (<-b.got).Message.(ownership.Install); !ok || len(m.Records) != 10 {
				t.Errorf("got %#v", m)
			}
		}
	})
}

// While both dial, the lower NodeID goes first, unless its last dial failed.
func TestWhoGoesFirst(t *testing.T) {
	for _, c := range []struct {
		what   string
		peer   ownership.NodeID
		failed bool // the first dial of node 5
		want   verdict
	}{
		{"lower", 9, false, verdictDuel},
		{"higher", 3, false, verdictWelcome},
		{"lower, and cannot dial", 9, true, verdictWelcome},
		{"higher, and cannot dial", 3, true, verdictWelcome},
	} {
		t.Run(c.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPipes()
				a := start(t, p.node("a"), "a", node(5))
				hand := p.listen("hand")
				a.Learn(c.peer, "hand")
				a.say(c.peer, 1)
				dialled, _ := hand.Accept()
				if c.failed {
					dialled.Close()
					dialled, _ = hand.Accept()
				}
				defer dialled.Close()
				if _, err := readGreeting(dialled, nil); err != nil {
					t.Fatal(err)
				}
				// Its dial waits for our answer; ours comes instead.
				nc, answer := greetAs(t, p, "a", hello(c.peer, 5))
				if answer.verdict != c.want {
					t.Fatalf("answer %+v", answer)
				}
				if c.want != verdictWelcome {
					return
				}
				begin := time.Now()
				if _, err := dialled.Read(make([]byte, 1)); err != io.EOF || time.Since(begin) > 0 {
					t.Errorf("its own dial goes on for %v, %v", time.Since(begin), err)
				}
				if frame, err := (&frameReader{r: bufio.NewReaderSize(nc, readBuffer)}).next(); err != nil || len(frame) < 2 {
					t.Errorf("what was queued does not come: %x, %v", frame, err)
				}
			})
		})
	}
}

// Reader and writer fail both when a connection ends, in any order: the first
// cause counts.
func TestFirstCauseCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		a := start(t, p.node("a"), "a", node(1))
		greetAs(t, p, "a", hello(9, 1))
		synctest.Wait()
		tcp := a.Transport.(*TCP)
		tcp.mu.Lock()
		l := tcp.peers[9].link
		tcp.mu.Unlock()
		l.end(errMalformed)
		l.broke(net.ErrClosed)
		if a.awaitHint(HintGarbage, 9).Reason == "" {
			t.Error("no reason")
		}
	})
}
