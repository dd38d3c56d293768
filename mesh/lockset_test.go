package mesh

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
	"github.com/lockmesh/lockmesh/transport"
)

// isFree says that anybody can have the key now.
func isFree(t *testing.T, n *Node, key string) bool {
	t.Helper()
	l, err := n.TryLock(within(t, 10*time.Second), key)
	if errors.Is(err, ErrLocked) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Unlock(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	return true
}

func mustAll(t *testing.T, n *Node, keys []string, opts ...Option) *LockSet {
	t.Helper()
	s, err := n.LockAll(within(t, 30*time.Second), keys, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLockAll(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		keys := []string{"c", "a", "b"}
		s := mustAll(t, nodes[0], keys, TTL(2*time.Second))
		ctx := s.Context()
		pass(10 * time.Second) // they are renewed
		var got []string
		for _, l := range s.Locks() {
			got = append(got, l.Key())
			if l.State() != Held || s.Lock(l.Key()) != l || s.Token(l.Key()) != l.Token() || l.Token() == 0 {
				t.Error(l.Key(), l.State())
			}
			if s.Deadline().After(l.Deadline()) {
				t.Error("the set outlives", l.Key())
			}
		}
		if !slices.Equal(got, keys) {
			t.Errorf("Locks are in the order %v", got)
		}
		if s.Lock("d") != nil || s.Token("d") != 0 {
			t.Error("a lock of a key that was not asked for")
		}
		for _, key := range keys {
			if isFree(t, nodes[1], key) {
				t.Error(key, "is free")
			}
		}

		// One that is released leaves the others.
		if err := s.Lock("a").Unlock(within(t, time.Second)); err != nil {
			t.Error(err)
		}
		if isDone(s.Done()) || s.Err() != nil || ctx.Err() != nil || !isFree(t, nodes[1], "a") || isFree(t, nodes[1], "b") {
			t.Error("after Unlock of one:", s.Err())
		}
		if err := s.Unlock(within(t, time.Second)); err != nil {
			t.Error(err)
		}
		if !isDone(s.Done()) || !errors.Is(s.Err(), ErrReleased) || !errors.Is(context.Cause(ctx), ErrReleased) {
			t.Error(s.Err(), context.Cause(ctx))
		}
		for _, key := range keys {
			if !isFree(t, nodes[1], key) {
				t.Error(key, "is not free")
			}
		}
		if err := s.Unlock(ctx); err != nil {
			t.Error("the second Unlock says", err)
		}
	})
}

func TestLockAllRefuses(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		n := w.fleet(1)[0]
		many := make([]string, maxSetKeys+1)
		for i := range many {
			many[i] = fmt.Sprint(i)
		}
		for _, c := range []struct {
			keys []string
			opts []Option
			key  string // that the error names
			text string
		}{
			{nil, nil, "", "no keys"},
			{many, nil, "", "1025 keys"},
			{[]string{"b", "a", "b"}, nil, "b", "twice"},
			{[]string{"b", ""}, nil, "", "empty"},
			{[]string{"b", leasePrefix + "1"}, nil, leasePrefix + "1", "leases"},
			{[]string{"b"}, []Option{TTL(0)}, "b", "TTL"},
		} {
			s, err := n.LockAll(context.Background(), c.keys, c.opts...)
			var call *Error
			if !errors.Is(err, ErrInvalid) || !errors.As(err, &call) || call.Key != c.key || !strings.Contains(err.Error(), c.text) || s != nil {
				t.Errorf("%.40q: %v", c.keys, err)
			}
		}
		if s := mustAll(t, n, many[:maxSetKeys]); len(s.Locks()) != maxSetKeys {
			t.Error(len(s.Locks()))
		}
	})
}

// K11: whoever waits for a key has none that comes after it. When ctx ends it gives
// back what it has.
func TestLockAllAsksInOrder(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		held := must(t, nodes[2], "b", Note("the holder"))
		failed := make(chan error)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			_, err := nodes[0].LockAll(ctx, []string{"c", "b", "a"}, TTL(time.Second))
			failed <- err
		}()
		pass(5 * time.Second)
		if isFree(t, nodes[1], "a") || !isFree(t, nodes[1], "c") {
			t.Error("it waits for b, and should have a and not c")
		}
		err := <-failed
		var call *Error
		if !errors.Is(err, ErrLocked) || !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &call) || call.Key != "b" || call.Op != "LockAll" {
			t.Error(err)
		}
		if !strings.Contains(err.Error(), "held by node-2") || !strings.Contains(err.Error(), "the holder") {
			t.Error(err)
		}
		pass(100 * time.Millisecond)
		if !isFree(t, nodes[1], "a") || !isFree(t, nodes[1], "c") {
			t.Error("not given back")
		}
		if err := held.Unlock(within(t, time.Second)); err != nil {
			t.Error(err)
		}
		if !isFree(t, nodes[1], "b") {
			t.Error("the wait for b goes on")
		}
		// A ctx that is over asks for nothing.
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := nodes[0].LockAll(ctx, []string{"a"}); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// One key that is not to be had gives everything back.
func TestLockAllCapacity(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		must(t, nodes[2], "b", Permits(1, 3))
		_, err := nodes[0].LockAll(within(t, 10*time.Second), []string{"c", "b", "a"}, Permits(1, 5))
		var call *Error
		if !errors.Is(err, ErrCapacity) || !errors.As(err, &call) || call.Key != "b" {
			t.Error(err)
		}
		pass(100 * time.Millisecond)
		if !isFree(t, nodes[1], "a") || !isFree(t, nodes[1], "c") {
			t.Error("not given back")
		}
		// Shared sets stand beside each other.
		first := mustAll(t, nodes[0], []string{"x", "y"}, Shared())
		mustAll(t, nodes[1], []string{"y", "z", "x"}, Shared())
		if isFree(t, nodes[2], "x") || first.Err() != nil {
			t.Error(first.Err())
		}
	})
}

// Callers with overlapping sets, each in an order of its own: all come to their end, and
// whoever has one has all of it. Some give up on the way.
func TestLockAllOverlapping(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		var keys []string
		for i := range 6 {
			keys = append(keys, fmt.Sprintf("key-%d", i))
		}
		var (
			mu    sync.Mutex
			in    = map[string]int{} // who is inside, by key
			sets  int
			gone  int
			wg    sync.WaitGroup
			start = time.Now()
		)
		enter := func(who int, mine []string, by int) {
			mu.Lock()
			defer mu.Unlock()
			for _, key := range mine {
				if by > 0 && in[key] != 0 {
					t.Errorf("%d and %d have %s", who, in[key], key)
				}
				in[key] = who * by
			}
		}
		for who := 1; who <= 12; who++ {
			wg.Go(func() {
				random := rand.New(rand.NewPCG(uint64(who), 1))
				for range 15 {
					mine := slices.Clone(keys)
					random.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
					mine = mine[:2+random.IntN(4)]
					patience := 10 * time.Minute
					if random.IntN(4) == 0 {
						patience = time.Duration(random.IntN(300)) * time.Millisecond
					}
					ctx, cancel := context.WithTimeout(context.Background(), patience)
					s, err := nodes[random.IntN(3)].LockAll(ctx, mine)
					cancel()
					if err != nil {
						if !errors.Is(err, context.DeadlineExceeded) || patience > time.Minute {
							t.Error(patience, err)
						}
						mu.Lock()
						gone++
						mu.Unlock()
						continue
					}
					enter(who, mine, 1)
					<-time.After(time.Duration(random.IntN(20)) * time.Millisecond)
					if s.Err() != nil {
						t.Error(s.Err())
					}
					enter(who, mine, 0)
					if err := s.Unlock(context.Background()); err != nil {
						t.Error(err)
					}
					mu.Lock()
					sets++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if took := time.Since(start); took > time.Minute {
			t.Errorf("took %v", took)
		}
		if sets < 100 || gone == 0 {
			t.Errorf("%d sets were had, and %d calls gave up", sets, gone)
		}
		pass(time.Second)
		for _, key := range keys {
			if !isFree(t, nodes[0], key) {
				t.Error(key, "was left behind")
			}
		}
	})
}

// Nobody starves: a large set is had though each of its keys is in demand all the
// time.
func TestLockAllDoesNotStarve(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		keys := []string{"a", "b", "c", "d"}
		ctx, stop := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		for i := range 12 { // three for each key, 50 ms each
			wg.Go(func() {
				for ctx.Err() == nil {
					nodes[i%3].Do(ctx, keys[i%4], func(context.Context, *Lock) error {
						<-time.After(50 * time.Millisecond)
						return nil
					})
				}
			})
		}
		pass(time.Second)
		start := time.Now()
		s := mustAll(t, nodes[0], keys)
		if took := time.Since(start); took > 4*3*50*time.Millisecond+100*time.Millisecond {
			t.Errorf("it waited %v, longer than for those ahead of it in four lines", took)
		}
		stop()
		if err := s.Unlock(within(t, time.Second)); err != nil {
			t.Error(err)
		}
		wg.Wait()
	})
}

// A node that crashes while it has a part of a set keeps it for its TTL, no longer.
func TestLockAllCrash(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		must(t, nodes[2], "b")
		failed := make(chan error)
		go func() {
			_, err := nodes[0].LockAll(context.Background(), []string{"a", "b"}, TTL(4*time.Second))
			failed <- err
		}()
		pass(time.Second)
		if isFree(t, nodes[1], "a") {
			t.Error("it has nothing yet")
		}
		nodes[0].Close()
		if err := <-failed; !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
		start := time.Now()
		must(t, nodes[1], "a")
		if took := time.Since(start); took > 10*time.Second { // a TTL, and that again if the owner was lost with it
			t.Errorf("locked for %v", took)
		}
	})
}

// What it has is lost while it waits for the rest: it has nothing, and says so.
func TestLockAllLosesWhatItHas(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		a := keyOf(t, nodes[0], nodes[0].ID())
		must(t, nodes[1], a+"z")
		failed := make(chan error)
		go func() {
			_, err := nodes[2].LockAll(context.Background(), []string{a + "z", a}, TTL(4*time.Second))
			failed <- err
		}()
		pass(time.Second)
		if isFree(t, nodes[1], a) {
			t.Error("it has nothing yet")
		}
		w.net.Isolate("host-2:1")
		err := <-failed
		var call *Error
		if !errors.Is(err, ErrLost) || !errors.As(err, &call) || call.Key != a+"z" || !strings.Contains(err.Error(), quote(a)) {
			t.Error(err)
		}
		w.net.HealAll()
		must(t, nodes[0], a)
	})
}

// So it is if that is not the one before the one that it waits for.
func TestLockAllLosesTheFirst(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		b := must(t, nodes[1], "b")
		must(t, nodes[1], "c")
		failed := make(chan error)
		start := time.Now()
		go func() {
			_, err := nodes[0].LockAll(context.Background(), []string{"a", "b", "c"}, TTL(4*time.Second), NoRenew())
			failed <- err
		}()
		pass(2 * time.Second)
		if err := b.Unlock(within(t, time.Second)); err != nil {
			t.Error(err)
		}
		err := <-failed
		var call *Error
		if !errors.Is(err, ErrLost) || !errors.As(err, &call) || call.Key != "c" || !strings.Contains(err.Error(), `"a"`) {
			t.Error(err)
		}
		if took := time.Since(start); took > 4*time.Second {
			t.Errorf("noticed after %v", took)
		}
		pass(100 * time.Millisecond)
		if !isFree(t, nodes[2], "b") {
			t.Error("b is not given back")
		}
	})
}

// All are released at once: one whose owner does not answer keeps no other waiting.
func TestLockSetUnlocksAtOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		slow := []string{keyOf(t, nodes[0], nodes[0].ID()), ""}
		for i := 0; slow[1] == "" || partitionOf(slow[1], 16) != partitionOf(slow[0], 16); i++ {
			slow[1] = fmt.Sprint("slow-", i)
		}
		quick := keyOf(t, nodes[0], nodes[2].ID())
		s := mustAll(t, nodes[1], []string{slow[0], slow[1], quick})
		w.net.Tap(func(f transport.Flight) bool {
			_, answers := f.Message.(ownership.Answer)
			return !answers || f.FromAddr != "host-0:1"
		})
		start := time.Now()
		done := make(chan error)
		go func() { done <- s.Unlock(s.Context()) }() // a ctx that ends with the release itself
		pass(500 * time.Millisecond)
		if !isFree(t, nodes[2], quick) {
			t.Error("its release waits for another one")
		}
		err := <-done
		if !errors.Is(err, ErrUnavailable) || strings.Contains(err.Error(), quote(quick)) {
			t.Error(err)
		}
		if took := time.Since(start); took > unlockFor {
			t.Errorf("Unlock took %v", took)
		}
	})
}

// Err is exact where the loop is late, as after a suspend.
func TestLockSetExpiresWithoutTheLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &Node{env: Env{Clock: bubbleClock{time.Now()}}, mail: newMailbox()}
		s := &LockSet{node: n, live: 2, done: make(chan struct{})}
		for i := range 2 {
			l, err := n.request(fmt.Sprint(i), false, options{ttl: time.Second, set: s})
			if err != nil {
				t.Fatal(err)
			}
			l.onGranted(grantedAt(n, time.Duration(i+1)*time.Second))
			s.locks = append(s.locks, l)
		}
		if s.Err() != nil {
			t.Error(s.Err())
		}
		pass(time.Second)
		if !errors.Is(s.Err(), ErrLost) || !isDone(s.Done()) || s.locks[1].State() != Held {
			t.Error(s.Err(), s.locks[1].State())
		}
	})
}

// Done closes with the first that is lost; the others are held until Unlock.
func TestLockSetLosesOne(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		s := mustAll(t, nodes[0], []string{"a", "b"}, TTL(2*time.Second), NoRenew())
		ctx := s.Context()
		pass(time.Second)
		if err := s.Lock("b").Renew(within(t, time.Second)); err != nil {
			t.Fatal(err)
		}
		end := s.Deadline()
		if !end.Equal(s.Lock("a").Deadline()) || !end.Before(s.Lock("b").Deadline()) {
			t.Error(end, s.Lock("a").Deadline(), s.Lock("b").Deadline())
		}
		<-s.Done()
		if late := time.Since(end); late > 0 {
			t.Errorf("Done %v after the deadline", late)
		}
		if err := s.Err(); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), `"a"`) || !errors.Is(context.Cause(ctx), ErrLost) {
			t.Error(err)
		}
		if s.Lock("b").State() != Held || isFree(t, nodes[1], "b") {
			t.Error("b has gone too")
		}
		if err := s.Unlock(within(t, time.Second)); !errors.Is(err, ErrLost) || strings.Contains(err.Error(), `"b"`) {
			t.Error(err)
		}
		if !isFree(t, nodes[1], "b") {
			t.Error("b is held after Unlock")
		}
	})
}

// Leave and Close end sets as they end locks.
func TestLockSetLeaveAndClose(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		left := mustAll(t, nodes[0], []string{"a", "b"})
		if err := nodes[0].Leave(within(t, 20*time.Second)); err != nil {
			t.Error(err)
		}
		if err := left.Err(); !errors.Is(err, ErrReleased) || !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
		if _, err := nodes[0].LockAll(context.Background(), []string{"a"}); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
		closed := mustAll(t, nodes[1], []string{"a", "b"})
		nodes[1].Close()
		if err := closed.Err(); !errors.Is(err, ErrLost) || !errors.Is(err, ErrClosed) || !isDone(closed.Done()) {
			t.Error(err)
		}
	})
}
