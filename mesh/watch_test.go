package mesh

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
	"github.com/lockmesh/lockmesh/transport"
)

// watching is a Watch in a goroutine of its own.
type watching struct {
	states chan KeyState // unbuffered: the loop is as slow as its reader
	err    chan error    // cap 1: what it ended with
	cancel context.CancelFunc
}

func watchLater(t *testing.T, ctx context.Context, n *Node, key string) *watching {
	ctx, cancel := context.WithCancel(ctx)
	t.Cleanup(cancel)
	w := &watching{make(chan KeyState), make(chan error, 1), cancel}
	go func() {
		for k, err := range n.Watch(ctx, key) {
			if err != nil {
				w.err <- err
				return
			}
			select {
			case w.states <- k:
			case <-ctx.Done():
			}
		}
		w.err <- errors.New("ended without an error")
	}()
	return w
}

// next is the next state, or fails after this long.
func (w *watching) next(t *testing.T, within time.Duration) KeyState {
	t.Helper()
	select {
	case k := <-w.states:
		return k
	case err := <-w.err:
		t.Fatal(err)
	case <-time.After(within):
		t.Fatal("no change was told within", within)
	}
	return KeyState{}
}

// none fails if there is another state.
func (w *watching) none(t *testing.T, within time.Duration) {
	t.Helper()
	select {
	case k := <-w.states:
		t.Fatalf("told without a change: %v", k)
	case <-time.After(within):
	}
}

func holders(k KeyState) string {
	var s string
	for _, h := range k.Holders {
		s += h.Node + " "
	}
	return fmt.Sprintf("%s| %d | %s", s, k.Waiting, k.Value.Data)
}

// The present state comes first, then each change, pushed: nobody polls.
func TestWatch(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		bg := context.Background()
		key := keyOf(t, nodes[0], nodes[0].ID())
		for _, n := range nodes { // its owner among them
			s := watchLater(t, bg, n, key)
			want := func(what string) {
				t.Helper()
				if got := holders(s.next(t, 200*time.Millisecond)); got != what {
					t.Fatalf("%v is told %q, want %q", n.cfg.Name, got, what)
				}
			}
			if got := holders(s.next(t, 5*time.Second)); got != "| 0 | " {
				t.Fatal(got)
			}
			l := must(t, nodes[1], key)
			want("node-1 | 0 | ")
			if err := l.SetValue(bg, []byte("v")); err != nil {
				t.Error(err)
			}
			want("node-1 | 0 | v")
			k := lockLater(bg, nodes[2], key)
			want("node-1 | 1 | v")
			s.none(t, 30*time.Second) // renewals and time are no change
			unlock(t, l)
			want("node-2 | 0 | v")
			if err := k.lock.DeleteValue(bg); err != nil {
				t.Error(err)
			}
			want("node-2 | 0 | ")
			unlock(t, k.lock)
			want("| 0 | ")
			s.cancel()
			<-s.err
		}
	})
}

// It goes on over the crash of the owner.
func TestWatchOverACrash(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		key := keyOf(t, nodes[1], nodes[0].ID())
		l := must(t, nodes[1], key)
		s := watchLater(t, context.Background(), nodes[2], key)
		if k := s.next(t, 5*time.Second); k.Owner != "node-0" {
			t.Error(k)
		}
		nodes[0].Close()
		k := s.next(t, 20*time.Second) // the new owner's first word
		if holders(k) != "node-1 | 0 | " || k.Owner == "node-0" {
			t.Error(k)
		}
		unlock(t, l)
		if got := holders(s.next(t, 5*time.Second)); got != "| 0 | " {
			t.Error(got)
		}
		nodes[2].Close()
		wantErr(t, <-s.err, []error{ErrClosed}, "Watch")
	})
}

// Who is slow gets the newest state, and keeps nobody waiting.
func TestWatchSlowly(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		bg := context.Background()
		s := watchLater(t, bg, nodes[1], "k")
		s.next(t, 5*time.Second)
		l := must(t, nodes[0], "k")
		begin := time.Now()
		for i := range 100 {
			if err := l.SetValue(bg, fmt.Append(nil, i)); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("the mesh was kept waiting: 100 writes took %v", took)
		}
		pass(time.Second)
		first, second := s.next(t, 5*time.Second), s.next(t, 5*time.Second) // one was on its way to the reader
		if string(second.Value.Data) != "99" {
			t.Errorf("%v, then %v", first, second)
		}
		s.none(t, time.Second)
		s.cancel()
		unlock(t, l)
	})
}

// A watch ends at the owner too, and in bounded ways.
func TestWatchEnds(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		bg := context.Background()
		key := keyOf(t, nodes[0], nodes[0].ID())
		var asked atomic.Int32
		w.net.Tap(func(f transport.Flight) bool {
			if _, is := f.Message.(ownership.Query); is {
				asked.Add(1)
			}
			return true
		})
		for range nodes[1].Watch(bg, key) {
			break
		}
		ctx, cancel := context.WithCancelCause(bg)
		s := watchLater(t, ctx, nodes[1], key)
		s.next(t, 5*time.Second)
		pass(3 * time.Second)
		if asked.Load() < 4 {
			t.Errorf("%d questions: nothing keeps a watch alive", asked.Load())
		}
		why := errors.New("enough")
		cancel(why)
		err := <-s.err
		wantErr(t, err, []error{context.Canceled, why}, "Watch")
		if errors.Is(err, ErrUnavailable) {
			t.Error("it was served until the end:", err)
		}
		pass(time.Second)
		before := asked.Load()
		pass(10 * time.Second)
		if n := asked.Load() - before; n != 0 {
			t.Errorf("%d questions of watches that are over", n)
		}
		nodes[1].ask(func(l *loop) {
			if len(l.looks) != 0 {
				t.Error(len(l.looks), "looks are left")
			}
		})

		w.net.Isolate("host-0:1")
		s = watchLater(t, within(t, 500*time.Millisecond), nodes[1], key)
		wantErr(t, <-s.err, []error{context.DeadlineExceeded, ErrUnavailable}, "node-0")
		s = watchLater(t, bg, nodes[1], "")
		wantErr(t, <-s.err, []error{ErrInvalid}, "empty")
		s = watchLater(t, bg, nodes[2], "k")
		s.next(t, 10*time.Second)
		go nodes[2].Leave(within(t, time.Minute))
		wantErr(t, <-s.err, []error{ErrClosed})
		<-nodes[2].closed
	})
}
