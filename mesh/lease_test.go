package mesh

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
	"github.com/lockmesh/lockmesh/transport"
)

func mustLease(t *testing.T, n *Node, ttl time.Duration) *Lease {
	t.Helper()
	l, err := n.Lease(within(t, 30*time.Second), ttl)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLease(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		lease := mustLease(t, nodes[0], 2*time.Second)
		other := mustLease(t, nodes[0], 2*time.Second)
		if len(lease.ID()) != 16 || lease.ID() == other.ID() || lease.TTL() != 2*time.Second {
			t.Error(lease.ID(), other.ID(), lease.TTL())
		}
		a, b := must(t, nodes[0], "a", InLease(lease)), must(t, nodes[0], "b", InLease(lease), TTL(2*time.Second))
		pass(10 * time.Second) // they are renewed
		if lease.Err() != nil || a.State() != Held || b.State() != Held || isDone(lease.Done()) {
			t.Error(lease.Err(), a.State(), b.State())
		}
		if left := time.Until(a.Deadline()); left > 2*time.Second {
			t.Errorf("a lock of the lease has %v left", left)
		}
		if locks := lease.Locks(); len(locks) != 2 || locks[0] != a || locks[1] != b {
			t.Error(locks)
		}

		// Unlocking one leaves the rest.
		if err := a.Unlock(within(t, time.Second)); err != nil {
			t.Error(err)
		}
		pass(5 * time.Second)
		if lease.Err() != nil || b.State() != Held || !isFree(t, nodes[1], "a") || isFree(t, nodes[1], "b") {
			t.Error(lease.Err(), b.State())
		}
		if locks := lease.Locks(); len(locks) != 1 || locks[0] != b || len(lease.all()) != 1 {
			t.Error(locks, lease.all())
		}
	})
}

// Two handles of one lease never share a lock: the second waits like anybody.
func TestLeaseLocksExcludeEachOther(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		n := w.fleet(3)[0]
		lease := mustLease(t, n, 5*time.Second)
		first := must(t, n, "k", InLease(lease))
		if _, err := n.TryLock(within(t, time.Second), "k", InLease(lease)); !errors.Is(err, ErrLocked) {
			t.Error(err)
		}
		second := make(chan *Lock)
		go func() { second <- must(t, n, "k", InLease(lease)) }()
		pass(10 * time.Second)
		select {
		case <-second:
			t.Fatal("both have it")
		default:
		}
		token := first.Token()
		if err := first.Unlock(within(t, time.Second)); err != nil {
			t.Error(err)
		}
		if l := <-second; l.Token() <= token || l.State() != Held || lease.Err() != nil {
			t.Error(l.Token(), l.State(), lease.Err())
		}
	})
}

func TestLeaseRefuses(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(2)
		for _, ttl := range []time.Duration{0, -time.Second, 2 * time.Minute} {
			if _, err := nodes[0].Lease(context.Background(), ttl); !errors.Is(err, ErrInvalid) {
				t.Errorf("TTL %v: %v", ttl, err)
			}
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := nodes[0].Lease(ctx, time.Second); !errors.Is(err, context.Canceled) || !errors.Is(err, ErrUnavailable) {
			t.Error(err)
		}
		lease := mustLease(t, nodes[0], time.Second)
		for _, c := range []struct {
			node *Node
			key  string
			opts []Option
			text string
		}{
			{nodes[0], "k", []Option{InLease(nil)}, "nil"},
			{nodes[0], "k", []Option{InLease(&Lease{})}, "no lease of this node"},
			{nodes[1], "k", []Option{InLease(lease)}, "another node"},
			{nodes[0], "k", []Option{InLease(lease), TTL(2 * time.Second)}, "TTL"},
			{nodes[0], "k", []Option{TTL(2 * time.Second), InLease(lease)}, "TTL"},
			{nodes[0], "k", []Option{InLease(lease), NoRenew()}, "NoRenew"},
			{nodes[0], leasePrefix + lease.ID(), nil, "leases"},
		} {
			if _, err := c.node.TryLock(within(t, time.Second), c.key, c.opts...); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%q: %v", c.text, err)
			}
		}
		if lease.Err() != nil || !isFree(t, nodes[0], "k") {
			t.Error(lease.Err())
		}
	})
}

func TestRevoke(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		lease := mustLease(t, nodes[0], 30*time.Second)
		ctx := lease.Context()
		var locks []*Lock
		keys := []string{"a", "b", "c", "d", "e"}
		for _, key := range keys {
			locks = append(locks, must(t, nodes[0], key, InLease(lease)))
		}
		busy := keyOf(t, nodes[0], nodes[1].ID())
		held := must(t, nodes[1], busy)
		waiting := make(chan error)
		go func() {
			_, err := nodes[0].Lock(context.Background(), busy, InLease(lease))
			waiting <- err
		}()
		pass(time.Second)
		if err := lease.Revoke(within(t, time.Second)); err != nil {
			t.Fatal(err)
		}

		// When it has returned, the locks are free, long before their TTL.
		for i, key := range keys {
			if !isFree(t, nodes[1], key) {
				t.Error(key, "is held")
			}
			if l := locks[i]; !isDone(l.Done()) || l.State() != Released || !errors.Is(l.Err(), ErrReleased) || !strings.Contains(l.Err().Error(), "lease") {
				t.Error(l.State(), l.Err())
			}
			if err := locks[i].Unlock(within(t, time.Second)); err != nil {
				t.Error(err)
			}
		}
		if err := <-waiting; !errors.Is(err, ErrReleased) || !strings.Contains(err.Error(), "lease") {
			t.Error(err)
		}
		if !isDone(lease.Done()) || !errors.Is(lease.Err(), ErrReleased) || !errors.Is(context.Cause(ctx), ErrReleased) || len(lease.Locks()) != 0 {
			t.Error(lease.Err(), context.Cause(ctx))
		}
		if _, err := nodes[0].Lock(within(t, time.Second), "a", InLease(lease)); !errors.Is(err, ErrReleased) {
			t.Error("a lock of a lease that is over:", err)
		}
		if err := lease.Revoke(within(t, time.Second)); err != nil {
			t.Error("again:", err)
		}

		// The call that was turned away waits no more.
		if err := held.Unlock(within(t, time.Second)); err != nil {
			t.Error(err)
		}
		if !isFree(t, nodes[2], busy) {
			t.Error("the wait went on")
		}
	})
}

// Revoke returns when its calls that waited are out of line, too.
func TestRevokeTurnsAway(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		key := keyOf(t, nodes[0], nodes[1].ID())
		must(t, nodes[1], key)
		lease := mustLease(t, nodes[0], 30*time.Second)
		for partitionOwner(nodes[0], lease.anchor.Key()) == nodes[1].ID() {
			lease = mustLease(t, nodes[0], 30*time.Second)
		}
		waiting := make(chan error)
		go func() {
			_, err := nodes[0].Lock(context.Background(), key, InLease(lease))
			waiting <- err
		}()
		pass(time.Second)
		w.net.SetDelay(func(from, to string) time.Duration {
			if from == "host-0:1" && to == "host-1:1" {
				return 50 * time.Millisecond
			}
			return 0
		})
		if err := lease.Revoke(within(t, time.Second)); err != nil {
			t.Error(err)
		}
		if state, err := nodes[1].Inspect(within(t, time.Second), key); err != nil || state.Waiting != 0 {
			t.Error("the wait goes on:", state.Queue, err)
		}
		if err := <-waiting; !errors.Is(err, ErrReleased) {
			t.Error(err)
		}
	})
}

// partitionOwner is the node that grants a key.
func partitionOwner(n *Node, key string) NodeID {
	v := n.View()
	return v.Partitions[partitionOf(key, len(v.Partitions))].Owner
}

// Revoke that nobody answers ends with its ctx and goes on.
func TestRevokeUnconfirmed(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		key := keyOf(t, nodes[0], nodes[0].ID())
		lease := mustLease(t, nodes[1], 30*time.Second)
		l := must(t, nodes[1], key, InLease(lease))
		w.net.CutOneWay("host-0:1", "host-1:1")
		err := lease.Revoke(within(t, time.Second))
		if !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if !isDone(lease.Done()) || l.State() != Released {
			t.Error(lease.Err(), l.State())
		}
		w.net.HealAll()
		if err := lease.Revoke(within(t, 10*time.Second)); err != nil {
			t.Error(err)
		}
		if !isFree(t, nodes[2], key) {
			t.Error("held after Revoke")
		}
	})
}

// A renewal that fails is not the end: a lease lives as long as one is confirmed
// within its TTL.
func TestLeaseOutlivesShortCuts(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		lease := mustLease(t, nodes[1], 10*time.Second)
		a := must(t, nodes[1], keyOf(t, nodes[0], nodes[0].ID()), InLease(lease))
		for range 5 {
			w.net.Isolate("host-1:1")
			pass(4 * time.Second)
			w.net.HealAll()
			pass(6 * time.Second)
		}
		if lease.Err() != nil || a.State() != Held {
			t.Error(lease.Err(), a.State())
		}
	})
}

// A lease that is cut off ends with its locks at its deadline, before anybody else
// has one of them.
func TestLeaseLost(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		lease := mustLease(t, nodes[1], 4*time.Second)
		ctx := lease.Context()
		a := must(t, nodes[1], keyOf(t, nodes[0], nodes[0].ID()), InLease(lease))
		b := must(t, nodes[1], keyOf(t, nodes[0], nodes[2].ID()), InLease(lease))
		w.net.Isolate("host-1:1")
		other := make(chan time.Time)
		for _, l := range []*Lock{a, b} {
			go func() {
				must(t, nodes[0], l.Key())
				other <- time.Now()
			}()
		}
		start := time.Now()
		<-lease.Done()
		for _, l := range []*Lock{a, b} {
			if err := l.Err(); !errors.Is(err, ErrLost) || l.State() != Lost {
				t.Error(err, l.State())
			}
			<-l.Done()
		}
		lost := time.Now()
		if took := lost.Sub(start); took > 4*time.Second {
			t.Errorf("lost after %v", took)
		}
		if err := lease.Err(); !errors.Is(err, ErrLost) || !strings.HasPrefix(err.Error(), "lease lost: ") || !errors.Is(context.Cause(ctx), ErrLost) {
			t.Error(err)
		}
		for range 2 {
			if granted := <-other; granted.Before(lost) {
				t.Errorf("granted %v before it was lost", lost.Sub(granted))
			}
		}
		w.net.HealAll()
		if _, err := nodes[1].Lock(within(t, 10*time.Second), "k", InLease(lease)); !errors.Is(err, ErrLost) {
			t.Error("a lock of a lease that is lost:", err)
		}
		if err := lease.Revoke(within(t, time.Second)); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), lease.Err().Error()) {
			t.Error(err)
		}
	})
}

// The loss of one lock ends the lease: all others are released at once, long before
// their TTL. So does the loss of the lease itself.
func TestLeaseLosesOneLock(t *testing.T) {
	for _, what := range []string{"lock", "lease"} {
		inWorld(t, func(t *testing.T, w *world) {
			nodes := w.fleet(3)
			lease := mustLease(t, nodes[0], 30*time.Second)
			a, b := must(t, nodes[0], "a", InLease(lease)), must(t, nodes[0], "b", InLease(lease))
			key, token, text := "a", a.Token(), `lease lost: its lock "a" was lost: an operator`
			if what == "lease" {
				key, token, text = leasePrefix+lease.ID(), lease.anchor.Token(), "lease lost: an operator"
			}
			start := time.Now()
			if err := nodes[1].Release(within(t, 10*time.Second), key, token); err != nil {
				t.Fatal(err)
			}
			<-lease.Done()
			if err := lease.Err(); !errors.Is(err, ErrLost) || !strings.HasPrefix(err.Error(), text) {
				t.Error(err)
			}
			for _, l := range []*Lock{a, b} {
				<-l.Done()
				if l.State() != Lost || !errors.Is(l.Err(), ErrLost) {
					t.Error(l.State(), l.Err())
				}
			}
			if err := b.Err(); !strings.HasPrefix(err.Error(), "lock lost: its lease was lost: ") || !strings.Contains(err.Error(), "an operator") {
				t.Error(err)
			}
			must(t, nodes[1], "a")
			must(t, nodes[1], "b")
			if took := time.Since(start); took > time.Second {
				t.Errorf("free after %v", took)
			}
		})
	}
}

// Err of a lease and of its locks is exact where the loop is late, and the core is told
// what it may not know.
func TestLeaseExpiresWithoutTheLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &Node{env: Env{Clock: bubbleClock{time.Now()}}, mail: newMailbox()}
		lease := &Lease{node: n, done: make(chan struct{}), locks: map[*Lock]bool{}}
		var locks []*Lock
		for i, key := range []string{"anchor", "a", "b"} {
			l, err := n.request(key, false, options{ttl: 5 * time.Second, lease: lease})
			if err != nil {
				t.Fatal(err)
			}
			l.onGranted(ownership.Granted{Handle: l.handle, Token: 1, Deadline: n.now() + ownership.Time(5-i)*ownership.Time(time.Second)})
			locks = append(locks, l)
		}
		a, b := locks[1], locks[2]
		pass(3 * time.Second)
		if lease.Err() != nil || a.Err() != nil || b.State() != Lost {
			t.Fatal(lease.Err(), a.Err(), b.State())
		}
		told := map[ownership.Handle]bool{}
		m, _ := n.mail.take(mail{})
		for _, in := range m.in {
			if u, is := in.(ownership.Unlock); is {
				told[u.Handle] = true
			}
		}
		if !told[lease.anchor.handle] || !told[b.handle] {
			t.Error("the core may keep the lease, or b:", told)
		}
		if !errors.Is(lease.Err(), ErrLost) || a.State() != Lost || !strings.Contains(a.Err().Error(), `its lock "b"`) || !isDone(a.Done()) || !isDone(lease.Done()) {
			t.Error(lease.Err(), a.Err())
		}
		if _, err := n.request("c", false, options{ttl: 5 * time.Second, lease: lease}); !errors.Is(err, ErrLost) {
			t.Error("a lock of a lease that is lost:", err)
		}
	})
}

// So it is for the lease itself. A lock that is not asked for any more is none of it.
func TestAnchorExpiresWithoutTheLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &Node{env: Env{Clock: bubbleClock{time.Now()}}, mail: newMailbox()}
		lease := &Lease{node: n, done: make(chan struct{}), locks: map[*Lock]bool{}}
		if _, err := n.request("anchor", false, options{ttl: time.Second, lease: lease}); err != nil {
			t.Fatal(err)
		}
		lease.anchor.onGranted(grantedAt(n, time.Second))
		n.mail.seal()
		if _, err := n.request("k", false, options{ttl: time.Second, lease: lease}); !errors.Is(err, ErrClosed) || len(lease.all()) != 0 {
			t.Error(err, lease.all())
		}
		pass(time.Second)
		if !errors.Is(lease.Err(), ErrLost) || !isDone(lease.Done()) {
			t.Error(lease.Err())
		}
	})
}

// The releases of a lease's locks are confirmed before the node goes.
func TestLeaveReleasesLeases(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		lease := mustLease(t, nodes[0], 30*time.Second)
		key := keyOf(t, nodes[0], nodes[1].ID())
		must(t, nodes[0], key, InLease(lease))
		hushed := time.Now().Add(400 * time.Millisecond)
		w.net.Tap(func(f transport.Flight) bool {
			_, releases := f.Message.(ownership.Release)
			return !releases || time.Now().After(hushed)
		})
		if err := nodes[0].Leave(within(t, 20*time.Second)); err != nil {
			t.Error(err)
		}
		if !isFree(t, nodes[1], key) {
			t.Error("its release was never heard")
		}
	})
}

func TestLeaseLeaveAndClose(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		left := mustLease(t, nodes[0], 30*time.Second)
		l := must(t, nodes[0], "a", InLease(left))
		if err := nodes[0].Leave(within(t, 20*time.Second)); err != nil {
			t.Error(err)
		}
		for _, err := range []error{left.Err(), l.Err()} {
			if !errors.Is(err, ErrReleased) || !errors.Is(err, ErrClosed) {
				t.Error(err)
			}
		}
		if !isDone(left.Done()) || l.State() != Released || !isFree(t, nodes[1], "a") {
			t.Error(l.State())
		}
		if _, err := nodes[0].Lease(context.Background(), time.Second); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
		if err := left.Revoke(context.Background()); err != nil {
			t.Error(err)
		}

		closed := mustLease(t, nodes[1], 30*time.Second)
		l = must(t, nodes[1], "a", InLease(closed))
		nodes[1].Close()
		for _, err := range []error{closed.Err(), l.Err(), closed.Revoke(context.Background())} {
			if !errors.Is(err, ErrLost) || !errors.Is(err, ErrClosed) {
				t.Error(err)
			}
		}
	})
}

// The ctx of a Do in a lease ends with the lease, and Do says that it did not run
// to its end under the lock.
func TestDoInLease(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		n := w.fleet(3)[0]
		lease := mustLease(t, n, 30*time.Second)
		began := make(chan struct{})
		done := make(chan error)
		go func() {
			done <- n.Do(context.Background(), "k", func(ctx context.Context, _ *Lock) error {
				close(began)
				<-ctx.Done()
				return nil
			}, InLease(lease))
		}()
		<-began
		if err := lease.Revoke(within(t, time.Second)); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, ErrReleased) {
			t.Error(err)
		}
	})
}

// A set in a lease shares its fate, and a set that waits for a key when its lease
// ends has nothing.
func TestLockAllInLease(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		lease := mustLease(t, nodes[0], 30*time.Second)
		s := mustAll(t, nodes[0], []string{"b", "a"}, InLease(lease))
		must(t, nodes[1], "d")
		waiting := make(chan error)
		go func() {
			_, err := nodes[0].LockAll(context.Background(), []string{"c", "d", "e"}, InLease(lease))
			waiting <- err
		}()
		pass(time.Second)
		if len(lease.Locks()) != 3 {
			t.Error(lease.Locks())
		}
		if err := lease.Revoke(within(t, time.Second)); err != nil {
			t.Error(err)
		}
		if err := <-waiting; !errors.Is(err, ErrReleased) {
			t.Error(err)
		}
		if !isDone(s.Done()) || !errors.Is(s.Err(), ErrReleased) {
			t.Error(s.Err())
		}
		for _, key := range []string{"a", "b", "c", "e"} {
			if !isFree(t, nodes[2], key) {
				t.Error(key, "is held")
			}
		}
	})
}
