package mesh

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestJoinAlone(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		n := w.fleet(1)[0]
		l := must(t, n, "k")
		if l.Token() == 0 || l.State() != Held || l.Err() != nil || l.Key() != "k" {
			t.Errorf("token %d, state %v, err %v, key %q", l.Token(), l.State(), l.Err(), l.Key())
		}
		if err := l.Unlock(within(t, time.Second)); err != nil {
			t.Fatal(err)
		}
		if !isDone(l.Done()) || !errors.Is(l.Err(), ErrReleased) || l.State() != Released {
			t.Errorf("after Unlock: %v, %v", l.Err(), l.State())
		}
		if err := l.Unlock(within(t, time.Second)); err != nil {
			t.Errorf("second Unlock: %v", err)
		}
		if h := n.Health(); !h.Serving || h.Members != 1 || h.Active != 16 {
			t.Error(h)
		}
	})
}

func TestJoinThree(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		begin := time.Now()
		nodes := w.fleet(3)
		t.Log("founded after", time.Since(begin))
		for _, n := range nodes {
			v := n.View()
			if len(v.Members) != 3 || len(v.Voters) != 3 || len(v.Partitions) != 16 || len(v.Partitions[0].Replicas) != 3 {
				t.Errorf("%+v", v)
			}
			if _, ok := v.Member(n.ID()); !ok {
				t.Errorf("%v is not in its own view", n.ID())
			}
			for _, other := range nodes {
				key := keyOf(t, n, other.ID())
				l := must(t, n, key)
				if err := l.Unlock(within(t, time.Second)); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

// A node that comes later joins, whether or not it calls itself a founder.
func TestJoinLater(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		late := w.join(w.config(3, 3))[0]
		pass(time.Second)
		for _, n := range append(nodes, late) {
			if got := len(n.View().Members); got != 4 {
				t.Errorf("%d members", got)
			}
		}
		must(t, late, "k")
	})
}

func TestJoinSaysWhatItWaitsFor(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		other := make(chan error)
		ctx := within(t, 11*time.Second)
		second := w.config(1, 3)
		go func() {
			_, err := Join(ctx, second)
			other <- err
		}()
		_, err := Join(ctx, w.config(0, 3))
		<-other
		for _, want := range []error{ErrUnavailable, context.DeadlineExceeded} {
			if !errors.Is(err, want) {
				t.Errorf("%v is not %v", err, want)
			}
		}
		for _, want := range []string{"found 2 of 3 founders", "node-1 (host-1:1)", "waiting for 1 more"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v\ndoes not say %q", err, want)
			}
		}
		synctest.Wait()
		if !w.logs.has("joining: no view yet") {
			t.Error("no progress in the log")
		}
	})
}

// Without Fresh a newly founded mesh first waits, and says so.
func TestFoundingWaits(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		n := w.fleet(1, func(c *Config) { c.Fresh = false })[0]
		h := n.Health()
		if h.Serving || !strings.Contains(h.Reason, "newly founded") || h.Until.Before(time.Now().Add(time.Minute)) {
			t.Errorf("%v until %v", h, h.Until)
		}
		synctest.Wait()
		if !w.logs.has("set Config.Fresh") {
			t.Error("the log does not say it")
		}
		_, err := n.Lock(within(t, 10*time.Second), "k")
		if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "leases that may still be held") {
			t.Error(err)
		}
		begin := time.Now()
		l, err := n.Lock(within(t, 2*time.Minute), "k")
		if err != nil {
			t.Fatal(err)
		}
		t.Log("waited", time.Since(begin))
		if h := n.Health(); !h.Serving {
			t.Error(h)
		}
		l.Unlock(context.Background())
	})
}

func TestParamsDiffer(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.fleet(3)
		cfg := w.config(3, 3)
		cfg.Params.MaxTTL = 2 * time.Minute
		_, err := Join(within(t, time.Minute), cfg)
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "MaxTTL 1m0s") || !strings.Contains(err.Error(), "MaxTTL 2m0s") {
			t.Error(err)
		}
	})
}

func TestFoundersDiffer(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		one := make(chan error)
		ctx, first := within(t, time.Minute), w.config(0, 2)
		go func() {
			_, err := Join(ctx, first)
			one <- err
		}()
		_, err := Join(ctx, w.config(1, 3))
		// Which of the two is wrong is open, so neither is stopped before its time.
		for theirs, err := range map[string]error{"Founders 2": err, "Founders 3": <-one} {
			if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), theirs) {
				t.Error(err)
			}
		}
	})
}

// Everybody gets the lock, one at a time, and tokens rise.
func TestContention(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.net.SetDelay(func(_, _ string) time.Duration { return time.Millisecond })
		nodes := w.fleet(3)
		var inside, total atomic.Int32
		var last atomic.Uint64
		var wg sync.WaitGroup
		for _, n := range nodes {
			for range 5 {
				wg.Go(func() {
					for range 4 {
						l, err := n.Lock(within(t, time.Minute), "contended")
						if err != nil {
							t.Error(err)
							return
						}
						if inside.Add(1) != 1 {
							t.Error("two holders")
						}
						if before := last.Swap(l.Token()); before >= l.Token() {
							t.Errorf("token %d after %d", l.Token(), before)
						}
						<-time.After(3 * time.Millisecond)
						inside.Add(-1)
						total.Add(1)
						if err := l.Unlock(within(t, time.Minute)); err != nil {
							t.Error(err)
						}
					}
				})
			}
		}
		wg.Wait()
		if total.Load() != 60 {
			t.Error(total.Load())
		}
	})
}

// First come, first served, over all nodes.
func TestFirstCome(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		l := must(t, nodes[0], "k")
		var mu sync.Mutex
		var got []int
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				k, err := nodes[(i*2)%3].Lock(within(t, time.Minute), "k")
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				got = append(got, i)
				mu.Unlock()
				k.Unlock(context.Background())
			})
			pass(20 * time.Millisecond)
		}
		l.Unlock(context.Background())
		wg.Wait()
		if !slices.Equal(got, []int{0, 1, 2, 3, 4, 5}) {
			t.Error(got)
		}
	})
}

func TestTryLock(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		l := must(t, nodes[0], "k", Note("batch 7"))
		for _, n := range nodes {
			_, err := n.TryLock(within(t, time.Second), "k")
			if !errors.Is(err, ErrLocked) || errors.Is(err, ErrUnavailable) {
				t.Error(err)
			}
			want := `lockmesh: TryLock "k": held by node-0 (note "batch 7")`
			if n == nodes[0] {
				want = `lockmesh: TryLock "k": held by node-0, this node itself (locks are not reentrant) (note "batch 7")`
			}
			if err.Error() != want {
				t.Errorf("%v, want %v", err, want)
			}
			var e *Error
			if !errors.As(err, &e) || e.Op != "TryLock" || e.Key != "k" {
				t.Errorf("%#v", e)
			}
		}
		l.Unlock(context.Background())
		if k, err := nodes[2].TryLock(within(t, time.Second), "k"); err != nil {
			t.Error(err)
		} else if k.Token() <= l.Token() {
			t.Errorf("token %d after %d", k.Token(), l.Token())
		}
	})
}

// A Lock whose ctx ends while it waits its turn is ErrLocked, and leaves the
// queue.
func TestCancel(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		l := must(t, nodes[0], "k")
		ctx, cancel := context.WithCancelCause(context.Background())
		result := make(chan error)
		go func() {
			_, err := nodes[1].Lock(ctx, "k")
			result <- err
		}()
		pass(time.Second)
		why := errors.New("operator said no")
		cancel(why)
		err := <-result
		if !errors.Is(err, context.Canceled) || !errors.Is(err, ErrLocked) || !errors.Is(err, why) || errors.Is(err, ErrUnavailable) {
			t.Error(err)
		}
		if !strings.Contains(err.Error(), "held by node-0") {
			t.Error(err)
		}
		pass(time.Second)
		l.Unlock(context.Background())
		must(t, nodes[2], "k") // else the cancelled one would have it
		over, cancelOver := context.WithCancel(context.Background())
		cancelOver()
		if _, err := nodes[2].Lock(over, "k"); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestInvalidCalls(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		n := w.fleet(1)[0]
		for name, c := range map[string]struct {
			key  string
			opts []Option
			want string
		}{
			"empty key":   {"", nil, "the key is empty"},
			"long key":    {strings.Repeat("k", 513), nil, "513 bytes"},
			"no TTL":      {"k", []Option{TTL(0)}, "TTL is 0s"},
			"no unit":     {"k", []Option{TTL(15)}, "TTL is 15ns; at least 10ms are needed to renew a lock, and 15s is the default: is its unit missing"},
			"least TTL":   {"k", []Option{TTL(math.MinInt64)}, "at least 10ms are needed"},
			"TTL below 0": {"k", []Option{TTL(-1)}, "at least 10ms are needed"},
			"long TTL":    {"k", []Option{TTL(61 * time.Second)}, "MaxTTL is 1m0s"},
			"long note":   {"k", []Option{Note(strings.Repeat("n", 257))}, "257 bytes"},
			"odd note":    {"k", []Option{Note("\xff")}, "UTF-8"},
		} {
			for _, f := range []func() error{
				func() error { _, err := n.Lock(context.Background(), c.key, c.opts...); return err },
				func() error { _, err := n.TryLock(context.Background(), c.key, c.opts...); return err },
				func() error {
					return n.Do(context.Background(), c.key, func(context.Context, *Lock) error { return nil }, c.opts...)
				},
			} {
				if err := f(); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		if err := n.Do(context.Background(), "k", nil); !errors.Is(err, ErrInvalid) {
			t.Error(err)
		}
		must(t, n, strings.Repeat("k", 512), TTL(time.Minute), Note(strings.Repeat("n", 256)))
	})
}

func TestClose(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		l := must(t, nodes[1], "k", TTL(5*time.Second))
		waiting := make(chan error)
		go func() {
			_, err := nodes[1].Lock(context.Background(), "k")
			waiting <- err
		}()
		pass(time.Second)
		nodes[1].Close()
		if err := <-waiting; !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
		if err := l.Err(); !isDone(l.Done()) || !errors.Is(err, ErrLost) || !errors.Is(err, ErrClosed) || l.State() != Lost {
			t.Error(err, l.State())
		}
		if err := l.Unlock(context.Background()); !errors.Is(err, ErrLost) {
			t.Error(err)
		}
		if err := l.Renew(context.Background()); !errors.Is(err, ErrLost) {
			t.Error(err)
		}
		if _, err := nodes[1].Lock(context.Background(), "j"); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
		if h := nodes[1].Health(); h.Serving || h.Reason == "" {
			t.Error(h)
		}
		nodes[1].Close()
		nodes[1].Leave(context.Background())
		// To the others it crashed: the lock stays until its TTL is over.
		if _, err := nodes[0].TryLock(within(t, 3*time.Second), "k"); err == nil {
			t.Error("granted before the TTL was over")
		}
		must(t, nodes[0], "k")
	})
}

// After Leave the locks are free at once and the rest serves every key.
func TestLeave(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.net.SetDelay(func(_, _ string) time.Duration { return time.Millisecond })
		nodes := w.fleet(3)
		l := must(t, nodes[1], "k")
		begin := time.Now()
		if err := nodes[1].Leave(within(t, 10*time.Second)); err != nil {
			t.Fatal(err)
		}
		t.Log("Leave took", time.Since(begin))
		if err := l.Err(); !isDone(l.Done()) || !errors.Is(err, ErrReleased) || l.State() != Released {
			t.Error(err)
		}
		if err := l.Unlock(context.Background()); err != nil {
			t.Error(err)
		}
		pass(10 * time.Millisecond) // it goes when a majority of the voters know: the one voter of two
		for _, n := range []*Node{nodes[0], nodes[2]} {
			if got := len(n.View().Members); got != 2 {
				t.Errorf("%d members", got)
			}
			begin := time.Now()
			for p := range 16 {
				k := must(t, n, keyIn(p, 16))
				if err := k.Unlock(within(t, time.Second)); err != nil {
					t.Error(err)
				}
			}
			t.Log("all partitions after", time.Since(begin))
		}
		must(t, nodes[0], "k")
		if _, err := nodes[1].Lock(context.Background(), "k"); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
}

func TestLeaveEndsCalls(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(2)
		must(t, nodes[0], "k")
		waiting := make(chan error)
		go func() {
			_, err := nodes[1].Lock(context.Background(), "k")
			waiting <- err
		}()
		pass(time.Second)
		if err := nodes[1].Leave(within(t, 10*time.Second)); err != nil {
			t.Error(err)
		}
		if err := <-waiting; !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
}

func TestLeaveCutOff(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		w.net.Isolate("host-1:1")
		err := nodes[1].Leave(within(t, 100*time.Millisecond))
		if !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

func TestLeaveAllAtOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var wg sync.WaitGroup
		for _, n := range w.fleet(3) {
			wg.Go(func() {
				if err := n.Leave(within(t, 20*time.Second)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}

// A node whose peers dropped it joins again as a new one and keeps its locks.
func TestDroppedComesBack(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		l := must(t, nodes[1], "k", TTL(time.Minute))
		before := nodes[1].ID()
		w.net.Isolate("host-1:1")
		pass(10 * time.Second)
		if got := len(nodes[0].View().Members); got != 2 {
			t.Fatalf("%d members", got)
		}
		if h := nodes[1].Health(); h.Serving || !strings.Contains(h.Reason, "no majority") {
			t.Error(h)
		}
		if l.State() != Held && l.State() != Jeopardy {
			t.Error(l.State(), l.Err())
		}
		w.net.HealAll()
		pass(20 * time.Second)
		if nodes[1].ID() == before {
			t.Error("it has kept its NodeID")
		}
		if got := len(nodes[0].View().Members); got != 3 {
			t.Errorf("%d members", got)
		}
		pass(2 * time.Minute)
		if l.State() != Held {
			t.Error(l.State(), l.Err())
		}
		if _, err := nodes[0].TryLock(within(t, time.Second), "k"); !errors.Is(err, ErrLocked) {
			t.Error(err)
		}
		if err := l.Unlock(within(t, time.Second)); err != nil {
			t.Error(err)
		}
	})
}

// The minority of a split says why it cannot serve.
func TestUnavailable(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		mine, other := keyOf(t, nodes[1], nodes[1].ID()), keyOf(t, nodes[1], nodes[0].ID())
		w.net.Isolate("host-1:1")
		pass(5 * time.Second)
		for key, want := range map[string]string{mine: "has lost its membership lease", other: "does not answer; next view needs node-0 or node-2"} {
			_, err := nodes[1].Lock(within(t, 3*time.Second), key)
			if !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), want) {
				t.Error(err)
			}
			t.Log(err)
		}
	})
}

// Whatever goes on, Close ends it: no call hangs, no lock stays held.
func TestCloseUnderLoad(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.net.SetDelay(func(_, _ string) time.Duration { return time.Millisecond })
		nodes := w.fleet(3)
		var wg sync.WaitGroup
		for i := range 30 {
			n := nodes[i%3]
			key := keyIn(i%4, 16)
			wg.Go(func() {
				for {
					l, err := n.Lock(context.Background(), key)
					if err != nil {
						if !errors.Is(err, ErrClosed) {
							t.Error(err)
						}
						return
					}
					n.View()
					n.Health()
					if i%2 == 0 {
						l.Renew(context.Background())
					}
					if err := l.Unlock(context.Background()); err != nil && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrLost) {
						t.Error(err)
					}
					if l.Err() == nil || !isDone(l.Done()) {
						t.Error("still held")
					}
				}
			})
		}
		pass(500 * time.Millisecond)
		for _, n := range nodes {
			n.Close()
		}
		wg.Wait()
	})
}

// Messages that are lost are sent again: slower, never wrong.
func TestLoss(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		w.net.SetDelay(func(_, _ string) time.Duration { return time.Millisecond })
		w.net.SetLoss(0.2)
		var wg sync.WaitGroup
		var inside [4]atomic.Int32
		for i := range 12 {
			wg.Go(func() {
				for range 10 {
					k := i % 4
					if err := nodes[i%3].Do(context.Background(), keyIn(k, 16), func(context.Context, *Lock) error {
						if inside[k].Add(1) != 1 {
							t.Error("two holders")
						}
						<-time.After(2 * time.Millisecond)
						inside[k].Add(-1)
						return nil
					}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
	})
}

// Members that gossip has lost are contacted as seeds are: after a partition
// longer than gossip remembers nobody else would look for them.
func TestLostMembers(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		lost := func() (addrs []string) {
			nodes[0].ask(func(l *loop) { addrs = l.lostMembers(3) })
			return addrs
		}
		pass(time.Second)
		if got := lost(); len(got) != 0 {
			t.Error(got)
		}
		w.net.Cut("host-0:1", "host-2:1")
		pass(time.Second)
		if got := lost(); !slices.Equal(got, []string{"host-2:1"}) {
			t.Error(got)
		}
	})
}
