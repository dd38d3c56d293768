package mesh

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
	"github.com/lockmesh/lockmesh/transport"
)

// A holder hears that somebody waits, and hands over.
func TestOnContended(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		for _, n := range nodes { // on the owner's node too
			var calls atomic.Int32
			l := must(t, n, "k", OnContended(func(l *Lock) {
				calls.Add(1)
				l.Unlock(context.Background())
			}))
			pass(time.Minute)
			if calls.Load() != 0 || l.State() != Held {
				t.Fatal("called though nobody waits")
			}
			begin := time.Now()
			next := must(t, nodes[0], "k")
			if took := time.Since(begin); calls.Load() != 1 || took > time.Second {
				t.Errorf("%d calls, handed over after %v", calls.Load(), took)
			}
			unlock(t, next)
		}
	})
}

// Who is granted a key that others wait for hears of them as well.
func TestOnContendedFromTheStart(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		first := must(t, nodes[0], "k")
		second := lockLater(context.Background(), nodes[1], "k", TTL(6*time.Second), OnContended(func(l *Lock) { l.Unlock(context.Background()) }))
		third := lockLater(context.Background(), nodes[2], "k")
		unlock(t, first)
		begin := time.Now()
		<-third.done
		if took := time.Since(begin); third.err != nil || second.lock.State() != Released || took > 3*time.Second {
			t.Errorf("%v, %v, handed over after %v", third.err, second.lock.State(), took)
		}
	})
}

// The word is lost on its way: the next renewal brings it.
func TestOnContendedByRenewal(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		key := keyOf(t, nodes[0], nodes[0].ID())
		w.net.Tap(func(f transport.Flight) bool {
			_, is := f.Message.(ownership.Notice)
			return !is
		})
		must(t, nodes[1], key, TTL(6*time.Second), OnContended(func(l *Lock) { l.Unlock(context.Background()) }))
		begin := time.Now()
		must(t, nodes[2], key)
		if took := time.Since(begin); took > 3*time.Second {
			t.Errorf("handed over after %v", took)
		}
	})
}

// It is not called while it runs, again when somebody new waits, and never after
// the end.
func TestOnContendedOneByOne(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		var mu sync.Mutex
		var running, calls, most int
		hold := make(chan struct{})
		l := must(t, nodes[0], "k", OnContended(func(*Lock) {
			mu.Lock()
			running++
			calls++
			most = max(most, running)
			mu.Unlock()
			<-hold
			mu.Lock()
			running--
			mu.Unlock()
		}))
		count := func() int {
			mu.Lock()
			defer mu.Unlock()
			return calls
		}
		var first *locking
		for range 3 { // comes, waits, goes
			ctx, cancel := context.WithCancel(context.Background())
			first = lockLater(ctx, nodes[1], "k")
			cancel()
			<-first.done
			pass(6 * time.Second) // a renewal says that nobody waits any more
		}
		if count() != 1 {
			t.Errorf("%d calls while the first one runs", count())
		}
		hold <- struct{}{} // somebody came meanwhile: once more
		pass(time.Second)
		if count() != 2 {
			t.Errorf("%d calls, want a second one", count())
		}
		waits := lockLater(context.Background(), nodes[1], "k")
		unlock(t, l)
		close(hold)
		<-waits.done
		pass(time.Minute)
		if count() != 2 || most != 1 {
			t.Errorf("%d calls, %d at once: called after the end", count(), most)
		}
	})
}

// Events that come after the end of a lock, or for something that it never asked,
// change nothing.
func TestEventsAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &Node{env: Env{Clock: bubbleClock{time.Now()}}, mail: newMailbox()}
		called := 0
		l := newLock(n, "k", 1, options{ttl: time.Second, called: func(*Lock) { called++ }})
		late := func() {
			l.onGranted(grantedAt(n, time.Hour))
			l.onExtended(ownership.Extended{Handle: 1, Deadline: n.now() + ownership.Time(time.Hour), Asked: true})
			l.onAltered(ownership.Altered{Handle: 1, Op: 1, Outcome: ownership.OutcomeAltered, Mode: ownership.Shared, Token: 9 << 32})
			l.onAltered(ownership.Altered{Handle: 1, Op: 7, Outcome: ownership.OutcomeNotHeld})
			l.onPending(ownership.Pending{Handle: 1, Op: 3})
			l.onContended()
			l.onLost(ownership.Lost{Handle: 1, Cause: ownership.LostEvicted, By: "x"})
			l.onReleased(ownership.Released{Handle: 1})
			l.onClosed()
		}
		l.onGranted(grantedAt(n, time.Second))
		up := make(chan error, 1)
		go func() { up <- l.Downgrade(context.Background()) }()
		synctest.Wait()
		pass(time.Second)
		if err := l.Err(); !errors.Is(err, ErrLost) {
			t.Error(err)
		}
		if err := <-up; !errors.Is(err, ErrLost) {
			t.Error(err)
		}
		token, err := l.Token(), l.Err()
		late()
		synctest.Wait()
		if l.Token() != token || l.Err() != err || l.State() != Lost || called != 0 {
			t.Error(l.Token(), l.Err(), l.State(), called)
		}
	})
}

// Renewals stop with Unlock, whatever becomes of the release.
func TestNoRenewalAfterUnlock(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		key := keyOf(t, nodes[0], nodes[0].ID())
		var beats, releases atomic.Int32
		w.net.Tap(func(f transport.Flight) bool {
			switch f.Message.(type) {
			case ownership.Heartbeat:
				beats.Add(1)
			case ownership.Release:
				releases.Add(1)
				return false
			}
			return true
		})
		l := must(t, nodes[1], key, TTL(6*time.Second))
		pass(time.Minute)
		if beats.Load() < 20 {
			t.Errorf("%d renewals in a minute", beats.Load())
		}
		over, cancel := context.WithCancel(context.Background())
		cancel()
		l.Unlock(over)
		before := beats.Load()
		next := must(t, nodes[2], key) // the lease runs out
		if n := beats.Load() - before; n != 0 || releases.Load() == 0 {
			t.Errorf("%d renewals after Unlock, %d releases lost", n, releases.Load())
		}
		w.net.Tap(nil)
		unlock(t, next)
	})
}

// A renewal that fails once, or for a while, is tried again: what is lost is lost at
// the deadline alone.
func TestRenewalSurvivesErrors(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		key := keyOf(t, nodes[0], nodes[0].ID())
		l := must(t, nodes[1], key, TTL(4*time.Second))
		var n atomic.Int32
		w.net.Tap(func(f transport.Flight) bool {
			_, is := f.Message.(ownership.Heartbeat)
			return !is || n.Add(1)%3 == 0 // two of three are lost
		})
		for range 60 {
			pass(time.Second)
			if l.Err() != nil {
				t.Fatal(l.Err())
			}
		}
		w.net.Tap(nil)
		for range 5 { // cut off for most of the TTL, again and again
			w.net.Cut("host-1:1", "host-0:1")
			pass(2300 * time.Millisecond)
			w.net.HealAll()
			pass(3 * time.Second)
			if l.State() != Held {
				t.Fatal(l.State(), l.Err())
			}
		}
	})
}

// Two handles of one process are two holders.
func TestHandlesExclude(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		n := w.fleet(3)[0]
		a := must(t, n, "k")
		b := lockLater(context.Background(), n, "k")
		if b.has() {
			t.Fatal("one process holds a key twice")
		}
		unlock(t, a)
		<-b.done
		if err := a.Unlock(context.Background()); err != nil { // again: it is not b's
			t.Error(err)
		}
		pass(time.Minute)
		if b.lock.Err() != nil || b.lock.Token() <= a.Token() {
			t.Error(b.lock.Err(), b.lock.Token(), a.Token())
		}
		wantErr(t, a.SetValue(context.Background(), []byte("v")), []error{ErrNotHolder, ErrReleased}, "node-0")
		if _, err := n.TryLock(context.Background(), "k"); !errors.Is(err, ErrLocked) {
			t.Error(err)
		}
	})
}
