package mesh

import (
	"context"
	"errors"
	"testing"
	"time"
)

// A rolling deployment calls Leave while a job runs under Do: the job is told, and
// nobody else has its lock before it has ended.
func TestLeaveWaitsForDo(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		began, done := make(chan struct{}), make(chan error)
		var ended, granted time.Time
		go func() {
			done <- nodes[0].Do(context.Background(), "job", func(ctx context.Context, l *Lock) error {
				close(began)
				<-ctx.Done() // Leave says so …
				if !errors.Is(context.Cause(ctx), ErrClosed) || l.State() != Held {
					t.Error(context.Cause(ctx), l.State())
				}
				pass(time.Second) // … and the job needs a while to stop
				ended = time.Now()
				return nil
			})
		}()
		<-began
		next := make(chan struct{})
		go func() {
			defer close(next)
			must(t, nodes[1], "job")
			granted = time.Now()
		}()
		pass(200 * time.Millisecond)
		if err := nodes[0].Leave(within(t, 20*time.Second)); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		<-next
		if granted.Before(ended) {
			t.Errorf("granted %v before the job ended", ended.Sub(granted))
		}
		if err := nodes[0].Do(context.Background(), "job", nil); err == nil {
			t.Error("Do after Leave")
		}
	})
}

// When Leave is not given the time, or Close is called, Do does not say that all
// went well.
func TestCloseEndsDo(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		for i, stop := range []func(*Node) error{
			func(n *Node) error { return n.Leave(within(t, 100*time.Millisecond)) },
			func(n *Node) error { return n.Close() },
		} {
			began, end, done := make(chan struct{}), make(chan struct{}), make(chan error)
			go func() {
				done <- nodes[i].Do(context.Background(), "job", func(context.Context, *Lock) error {
					close(began)
					<-end
					return nil
				})
			}()
			<-began
			err := stop(nodes[i])
			if i == 0 && (!errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded)) {
				t.Error(err)
			}
			close(end)
			if err := <-done; !errors.Is(err, ErrLost) || !errors.Is(err, ErrClosed) {
				t.Error(err)
			}
		}
	})
}

// fn may unlock early, with the ctx that it was given.
func TestUnlockInsideDo(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		err := nodes[0].Do(context.Background(), "job", func(ctx context.Context, l *Lock) error { return l.Unlock(ctx) })
		if err != nil {
			t.Error(err)
		}
	})
}

// Close cuts a Leave short that waits for what never comes.
func TestCloseDuringLeave(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		n := w.fleet(3)[0]
		w.net.Isolate("host-0:1")
		left := make(chan error)
		go func() { left <- n.Leave(context.Background()) }()
		pass(time.Second)
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		if err := <-left; !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
		if err := n.Leave(context.Background()); !errors.Is(err, ErrClosed) {
			t.Error("the second call says", err)
		}
	})
}

// A node that is cut off leaves in bounded time though a job ran under Do.
func TestLeaveCutOffDuringDo(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		n := w.fleet(3)[0]
		began, done := make(chan struct{}), make(chan error)
		go func() {
			done <- n.Do(context.Background(), "job", func(ctx context.Context, _ *Lock) error {
				close(began)
				<-ctx.Done()
				return nil
			})
		}()
		<-began
		w.net.Isolate("host-0:1")
		start := time.Now()
		if err := n.Leave(context.Background()); !errors.Is(err, ErrUnavailable) {
			t.Error(err)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("Leave took %v", took)
		}
		<-done
	})
}

// Called by the function that it would wait for, Leave refuses.
func TestLeaveInsideDo(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		n := w.fleet(3)[0]
		err := n.Do(context.Background(), "job", func(ctx context.Context, l *Lock) error {
			if err := n.Leave(ctx); !errors.Is(err, ErrInvalid) || l.State() != Held {
				t.Error(err, l.State())
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// A node that crashed twice within a minute votes again when it is back: three
// healthy nodes have three voters.
func TestVotersAfterACrashLoop(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		n := nodes[2]
		for range 2 {
			n.Close()
			for len(nodes[0].View().Members) != 2 {
				pass(100 * time.Millisecond)
			}
			n = w.join(w.config(2, 3))[0]
		}
		for start := time.Now(); len(nodes[0].View().Voters) < 3; pass(100 * time.Millisecond) {
			if time.Since(start) > 5*time.Second {
				t.Fatalf("%d voters", len(nodes[0].View().Voters))
			}
		}
	})
}
