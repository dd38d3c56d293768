package mesh

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestRenewal(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		l := must(t, nodes[0], "k", TTL(2*time.Second))
		for range 100 {
			pass(time.Second)
			if l.State() != Held || l.Err() != nil {
				t.Fatal(l.State(), l.Err())
			}
			if left := time.Until(l.Deadline()); left < time.Second || left > 2*time.Second {
				t.Fatalf("deadline in %v", left)
			}
		}
		if _, err := nodes[1].TryLock(within(t, time.Second), "k"); !errors.Is(err, ErrLocked) {
			t.Error(err)
		}
	})
}

func TestNoRenew(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		l := must(t, nodes[0], "k", TTL(2*time.Second), NoRenew())
		pass(time.Second)
		if l.State() != Held {
			t.Error(l.State())
		}
		before := l.Deadline()
		if err := l.Renew(within(t, time.Second)); err != nil {
			t.Fatal(err)
		}
		if got := l.Deadline().Sub(before); got < 900*time.Millisecond {
			t.Errorf("Renew won %v", got)
		}
		end := l.Deadline()
		<-l.Done()
		if late := time.Since(end); late > 0 {
			t.Errorf("Done %v after the deadline", late)
		}
		if !errors.Is(l.Err(), ErrLost) || l.State() != Lost {
			t.Error(l.Err(), l.State())
		}
		if err := l.Renew(context.Background()); !errors.Is(err, ErrLost) {
			t.Error(err)
		}
		if err := l.Unlock(context.Background()); !errors.Is(err, ErrLost) {
			t.Error(err)
		}
		must(t, nodes[1], "k")
	})
}

// A holder that is cut off knows by its own clock, before anybody else can have
// the lock.
func TestDoneAtTheDeadline(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		key := keyOf(t, nodes[0], nodes[0].ID())
		l := must(t, nodes[1], key, TTL(4*time.Second))
		pass(500 * time.Millisecond)
		w.net.Isolate("host-1:1")
		var sawJeopardy bool
		other := make(chan time.Time)
		go func() {
			must(t, nodes[2], key)
			other <- time.Now()
		}()
		for !isDone(l.Done()) {
			end := l.Deadline()
			if !time.Now().Before(end) {
				t.Fatal("past its deadline and not done")
			}
			sawJeopardy = sawJeopardy || l.State() == Jeopardy
			pass(10 * time.Millisecond)
		}
		lost := time.Now()
		if !sawJeopardy {
			t.Error("lost without Jeopardy")
		}
		if !errors.Is(l.Err(), ErrLost) || !errors.Is(context.Cause(l.Context()), ErrLost) {
			t.Error(l.Err())
		}
		if granted := <-other; granted.Before(lost) {
			t.Errorf("granted %v before its holder lost it", lost.Sub(granted))
		}
	})
}

// State and Err are exact even where the loop is late, as after a suspend.
func TestExpireWithoutTheLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &Node{env: Env{Clock: bubbleClock{time.Now()}}, mail: newMailbox()}
		l := newLock(n, "k", 1, options{ttl: time.Second})
		ctx := l.Context()
		l.onGranted(grantedAt(n, time.Second))
		if l.State() != Held || ctx.Err() != nil {
			t.Error(l.State())
		}
		pass(time.Second)
		if l.State() != Lost || !errors.Is(l.Err(), ErrLost) || !isDone(l.Done()) || !errors.Is(context.Cause(ctx), ErrLost) {
			t.Error(l.State(), l.Err())
		}
		if err := l.Unlock(context.Background()); !errors.Is(err, ErrLost) {
			t.Error(err)
		}
	})
}

func TestUnlockUnconfirmed(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		key := keyOf(t, nodes[0], nodes[0].ID())
		l := must(t, nodes[1], key)
		w.net.CutOneWay("host-0:1", "host-1:1")
		err := l.Unlock(within(t, time.Second))
		if !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if l.State() != Released {
			t.Error(l.State())
		}
		// It goes on, and a second call waits for the same outcome.
		w.net.HealAll()
		if err := l.Unlock(within(t, 10*time.Second)); err != nil {
			t.Error(err)
		}
	})
}

func TestDo(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		boom := errors.New("boom")
		if err := nodes[0].Do(context.Background(), "k", func(ctx context.Context, l *Lock) error {
			if l.State() != Held || ctx.Err() != nil {
				t.Error(l.State())
			}
			if _, err := nodes[1].TryLock(ctx, "k"); !errors.Is(err, ErrLocked) {
				t.Error(err)
			}
			return boom
		}); err != boom {
			t.Error(err)
		}
		if err := nodes[1].Do(context.Background(), "k", func(context.Context, *Lock) error { return nil }); err != nil {
			t.Error(err)
		}

		// A panic releases and goes on.
		func() {
			defer func() {
				if recover() != "ouch" {
					t.Error("the panic is gone")
				}
			}()
			nodes[0].Do(context.Background(), "k", func(context.Context, *Lock) error { panic("ouch") })
		}()

		// The end of ctx ends fn's ctx, and the release still happens.
		ctx, cancel := context.WithCancel(context.Background())
		if err := nodes[0].Do(ctx, "k", func(inner context.Context, l *Lock) error {
			cancel()
			<-inner.Done()
			return inner.Err()
		}); err != context.Canceled {
			t.Error(err)
		}
		if l, err := nodes[1].TryLock(within(t, time.Second), "k"); err != nil {
			t.Error(err)
		} else {
			l.Unlock(context.Background())
		}
	})
}

func TestDoLosesTheLock(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		key := keyOf(t, nodes[0], nodes[0].ID())
		boom := errors.New("boom")
		err := nodes[1].Do(context.Background(), key, func(ctx context.Context, l *Lock) error {
			w.net.Isolate("host-1:1")
			<-ctx.Done()
			if !errors.Is(context.Cause(ctx), ErrLost) {
				t.Error(context.Cause(ctx))
			}
			return boom
		}, TTL(3*time.Second))
		if !errors.Is(err, boom) || !errors.Is(err, ErrLost) {
			t.Error(err)
		}
	})
}

// suspendClock is the clock of a machine that can be suspended: the clock jumps,
// timers do not.
type suspendClock struct {
	bubbleClock
	slept *atomic.Int64
}

func (c suspendClock) Now() time.Duration { return c.bubbleClock.Now() + time.Duration(c.slept.Load()) }

// After a resume State and Err are right at once, and Done soon.
func TestSuspend(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var slept atomic.Int64
		cfgs := []Config{w.config(0, 3), w.config(1, 3), w.config(2, 3)}
		cfgs[1].Env.Clock = suspendClock{bubbleClock{w.start}, &slept}
		nodes := w.join(cfgs...)
		first, second := must(t, nodes[1], "k"), must(t, nodes[1], "j")
		pass(time.Second)
		slept.Add(int64(time.Minute))
		if first.State() != Lost || !errors.Is(first.Err(), ErrLost) {
			t.Error(first.State(), first.Err())
		}
		resumed := time.Now()
		<-second.Done()
		if late := time.Since(resumed); late > heldTick {
			t.Errorf("Done %v after the resume", late)
		}
	})
}
