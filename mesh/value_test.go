package mesh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
	"github.com/lockmesh/lockmesh/transport"
)

// wantValue fails unless every node reads this value, written under this token.
func wantValue(t *testing.T, nodes []*Node, key, data string, token uint64) {
	t.Helper()
	for _, n := range nodes {
		v, err := n.Value(within(t, 5*time.Second), key)
		if err != nil || string(v.Data) != data || v.Token != token || v.Stale || (v.Data == nil) != (token == 0) {
			t.Errorf("%v reads %+v, %v; want %q under %d", n.cfg.Name, v, err, data, token)
		}
	}
}

// What is written is read by everybody, stays when the key is free, and is deleted.
func TestValue(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.net.SetDelay(func(_, _ string) time.Duration { return 3 * time.Millisecond })
		nodes := w.fleet(3)
		bg := context.Background()
		wantValue(t, nodes, "k", "", 0)
		l := must(t, nodes[0], "k")
		data := []byte("one")
		if err := l.SetValue(bg, data); err != nil {
			t.Fatal(err)
		}
		clear(data) // it was copied
		wantValue(t, nodes, "k", "one", l.Token())
		v, _ := nodes[0].Value(bg, "k")
		clear(v.Data) // a copy as well
		unlock(t, l)
		wantValue(t, nodes, "k", "one", l.Token())

		next := must(t, nodes[1], "k")
		wantValue(t, nodes, "k", "one", l.Token())
		for i := range 5 {
			if err := next.SetValue(bg, fmt.Append(nil, i)); err != nil {
				t.Error(err)
			}
			wantValue(t, nodes, "k", fmt.Sprint(i), next.Token())
		}
		if err := next.SetValue(bg, []byte{}); err != nil {
			t.Error(err)
		}
		wantValue(t, nodes, "k", "", next.Token())
		if err := next.SetValue(bg, bytes.Repeat([]byte("v"), 4096)); err != nil {
			t.Error(err)
		}
		for _, v := range [][]byte{nil, make([]byte, 4097)} {
			wantErr(t, next.SetValue(bg, v), []error{ErrInvalid}, "the value")
		}
		for range 2 {
			if err := next.DeleteValue(bg); err != nil {
				t.Error(err)
			}
			wantValue(t, nodes, "k", "", 0)
		}
	})
}

// The calls of one lock are carried out in their order.
func TestValuesInOrder(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		key := keyOf(t, nodes[0], nodes[0].ID())
		l := must(t, nodes[1], key)
		var n int
		w.net.Tap(func(f transport.Flight) bool { // each is sent twice at least
			if _, is := f.Message.(ownership.Alter); is {
				n++
				return n%2 == 0
			}
			return true
		})
		results := make(chan error)
		for i := range 20 {
			a, err := l.startWrite(context.Background(), ownership.AlterValue, fmt.Append(nil, i))
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				a.wait(context.Background())
				results <- a.outcome()
			}()
		}
		for range 20 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		w.net.Tap(nil)
		wantValue(t, nodes, key, "19", l.Token())
	})
}

// Only who holds all of the key writes; the error says who holds it now.
func TestNotHolder(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		bg := context.Background()
		key := keyOf(t, nodes[0], nodes[0].ID())

		a, b := must(t, nodes[1], key, Shared(), Note("reader a")), must(t, nodes[2], key, Update())
		for _, l := range []*Lock{a, b} {
			wantErr(t, l.SetValue(bg, []byte("v")), []error{ErrNotHolder}, "does not hold all of the key", "Upgrade it first", "node-1", "reader a", "node-2")
			wantErr(t, l.DeleteValue(bg), []error{ErrNotHolder})
		}
		unlock(t, a, b)
		wantErr(t, a.SetValue(bg, []byte("v")), []error{ErrNotHolder, ErrReleased}, "held by nobody")

		l := must(t, nodes[1], key, TTL(2*time.Second))
		w.net.Isolate("host-1:1")
		<-l.Done()
		w.net.HealAll()
		next := must(t, nodes[2], key, Note("the next"))
		err := l.SetValue(within(t, 10*time.Second), []byte("v"))
		wantErr(t, err, []error{ErrNotHolder, ErrLost}, "held by node-2", "the next")
		wantValue(t, nodes, key, "", 0)
		unlock(t, next)

		// Cut off it says so in bounded time, whatever the ctx.
		l = must(t, nodes[1], key, TTL(2*time.Second))
		w.net.Isolate("host-1:1")
		<-l.Done()
		begin := time.Now()
		wantErr(t, l.SetValue(bg, []byte("v")), []error{ErrNotHolder, ErrLost}, "not known")
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("took %v", took)
		}
		nodes[1].Close()
		wantErr(t, l.SetValue(bg, []byte("v")), []error{ErrNotHolder, ErrLost}, "the node is closed")
	})
}

// A write whose outcome is not known says that, and never happens after a later
// one.
func TestValueUnconfirmed(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		bg := context.Background()
		key := keyOf(t, nodes[0], nodes[0].ID())
		l := must(t, nodes[1], key)
		var late []transport.Flight
		w.net.Tap(func(f transport.Flight) bool {
			if a, is := f.Message.(ownership.Alter); is && string(a.Value) == "first" {
				late = append(late, f)
				return false
			}
			return true
		})
		err := l.SetValue(within(t, time.Second), []byte("first"))
		wantErr(t, err, []error{ErrUnavailable, context.DeadlineExceeded}, "may have been written, or not")
		if err := l.SetValue(bg, []byte("second")); err != nil {
			t.Error(err)
		}
		w.net.Tap(nil)
		if len(late) == 0 {
			t.Fatal("nothing was on its way")
		}
		for _, f := range late { // it arrives after all
			nodes[1].net.Send(ownership.Envelope{To: f.To, Mesh: f.Mesh, Message: f.Message})
		}
		pass(time.Second)
		wantValue(t, nodes, key, "second", l.Token())

		over, cancel := context.WithCancel(bg)
		cancel()
		wantErr(t, l.SetValue(over, []byte("third")), []error{ErrUnavailable, context.Canceled}, "the owner was not asked; nothing was written")
		wantValue(t, nodes, key, "second", l.Token())

		// The lock ends first.
		w.net.CutOneWay("host-1:1", "host-0:1")
		set := make(chan error, 1)
		go func() { set <- l.SetValue(bg, []byte("fourth")) }()
		pass(100 * time.Millisecond)
		over, cancel = context.WithCancel(bg)
		cancel()
		l.Unlock(over)
		wantErr(t, <-set, []error{ErrUnavailable, ErrReleased}, "may have been written, or not")
		w.net.HealAll()
	})
}

// A read that cannot be certified waits, and says for what.
func TestValueWaits(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		key := keyOf(t, nodes[0], nodes[0].ID())
		l := must(t, nodes[0], key)
		if err := l.SetValue(context.Background(), []byte("v")); err != nil {
			t.Fatal(err)
		}
		w.net.Isolate("host-0:1")
		// The owner that is cut off has the value, and must not tell it.
		_, err := nodes[0].Value(within(t, 10*time.Second), key)
		wantErr(t, err, []error{ErrUnavailable, context.DeadlineExceeded}, "partition", "node-0")
		// The others do when they have taken over.
		wantValue(t, nodes[1:], key, "v", l.Token())
		_, err = nodes[1].Value(context.Background(), "")
		wantErr(t, err, []error{ErrInvalid})
		over, cancel := context.WithCancel(context.Background())
		cancel()
		_, err = nodes[1].Value(over, key)
		wantErr(t, err, []error{ErrUnavailable, context.Canceled})
		nodes[1].Close()
		_, err = nodes[1].Value(context.Background(), key)
		wantErr(t, err, []error{ErrClosed})
	})
}

// A value that is found where more replicas were lost than a partition can bear is
// marked, until it is written again.
func TestValueStale(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(5, func(c *Config) { c.Params.MaxTTL = 20 * time.Second })
		info := nodes[0].View().Partitions[partitionOf("k", 16)]
		var left *Node
		for _, n := range nodes {
			if n.ID() == info.Replicas[2] {
				left = n
			}
		}
		l := must(t, left, "k")
		if err := l.SetValue(context.Background(), []byte("v")); err != nil {
			t.Fatal(err)
		}
		token := l.Token()
		pass(time.Second)
		for _, n := range nodes {
			if n.ID() == info.Replicas[0] || n.ID() == info.Replicas[1] {
				n.Close()
			}
		}
		v, err := left.Value(within(t, 5*time.Minute), "k")
		if err != nil || string(v.Data) != "v" || v.Token != token || !v.Stale {
			t.Errorf("%+v, %v", v, err)
		}
		if k, err := left.Inspect(within(t, time.Second), "k"); err != nil || !k.Value.Stale || len(k.Holders) != 0 {
			t.Errorf("%+v, %v", k, err)
		}
		l = must(t, left, "k")
		if err := l.SetValue(context.Background(), []byte("w")); err != nil {
			t.Error(err)
		}
		wantValue(t, []*Node{left}, "k", "w", l.Token())
	})
}

// A question that the loop has no time left to take is answered too.
func TestLookTooLate(t *testing.T) {
	n := &Node{cfg: Config{Params: Params{}.withDefaults()}, mail: newMailbox(), loop: &loop{ended: make(chan struct{})}}
	close(n.loop.ended)
	_, err := n.Value(context.Background(), "k")
	wantErr(t, err, []error{ErrClosed})
}

// Leave ends those that wait.
func TestValueLeaves(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		key := keyOf(t, nodes[0], nodes[0].ID())
		w.net.CutOneWay("host-0:1", "host-1:1")
		asked := make(chan error, 1)
		go func() {
			_, err := nodes[1].Value(context.Background(), key)
			asked <- err
		}()
		pass(100 * time.Millisecond)
		begin := time.Now()
		go nodes[1].Leave(within(t, time.Second))
		if err := <-asked; !errors.Is(err, ErrClosed) || time.Since(begin) != 0 {
			t.Error(err, time.Since(begin))
		}
		<-nodes[1].closed
	})
}
