package mesh

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
	"github.com/lockmesh/lockmesh/transport"
)

// inspect reads a key's state or fails.
func inspect(t *testing.T, n *Node, key string) KeyState {
	t.Helper()
	k, err := n.Inspect(within(t, 5*time.Second), key)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Inspect says who holds a key, since when and how long still, who waits in which
// order, the value, and where the key lives.
func TestInspect(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		bg := context.Background()
		key := keyOf(t, nodes[0], nodes[1].ID())
		free := inspect(t, nodes[0], key)
		if len(free.Holders) != 0 || free.Waiting != 0 || free.Value.Data != nil || free.Owner != "node-1" || free.Key != key {
			t.Errorf("%+v", free)
		}
		if !strings.Contains(free.String(), "held by nobody") {
			t.Error(free)
		}

		pass(5 * time.Second) // clocks go on
		l := must(t, nodes[0], key, Note("nightly export"), TTL(10*time.Second))
		if err := l.SetValue(bg, []byte("v")); err != nil {
			t.Error(err)
		}
		granted := time.Now()
		pass(2 * time.Second)
		first := lockLater(bg, nodes[1], key, Note("next"))
		pass(time.Second)
		second := lockLater(bg, nodes[2], key, Shared())
		for _, n := range nodes {
			k := inspect(t, n, key)
			if len(k.Holders) != 1 || len(k.Queue) != 2 || k.Waiting != 2 {
				t.Fatalf("%+v", k)
			}
			h, a, b := k.Holders[0], k.Queue[0], k.Queue[1]
			if h.Node != "node-0" || h.Note != "nightly export" || h.Mode != (Mode{}) || h.Token != l.Token() || h.Lost || h.Evicted {
				t.Errorf("%+v", h)
			}
			if off := h.Since.Sub(granted).Abs(); off > 50*time.Millisecond {
				t.Errorf("since %v, granted %v", h.Since, granted)
			}
			if h.Remaining < 6*time.Second || h.Remaining > 10*time.Second+200*time.Millisecond {
				t.Errorf("%v remain", h.Remaining)
			}
			if a.Node != "node-1" || a.Note != "next" || a.Mode != (Mode{}) || a.Upgrades || b.Node != "node-2" || b.Mode.Kind != ModeShared {
				t.Errorf("%+v, %+v", a, b)
			}
			if a.Waited < time.Second || a.Waited > 2*time.Second || b.Waited > 500*time.Millisecond {
				t.Errorf("waiting for %v and %v", a.Waited, b.Waited)
			}
			if string(k.Value.Data) != "v" || k.Value.Token != l.Token() {
				t.Errorf("%+v", k.Value)
			}
			view := n.View()
			if k.Partition != partitionOf(key, 16) || k.Owner != "node-1" || len(k.Replicas) != 3 || k.Replicas[0] != "node-1" || k.Epoch != view.Epoch {
				t.Errorf("%+v", k)
			}
			text := k.String()
			for _, want := range []string{key, `held by node-0 (note "nightly export", token `, " for 3", `2 wait: node-1 (note "next", for 1`, "node-2 (shared, for",
				fmt.Sprintf("partition %d, owner node-1", k.Partition)} {
				if !strings.Contains(text, want) {
					t.Errorf("%s\ndoes not say %q", text, want)
				}
			}
			if n == nodes[0] {
				t.Log(text)
			}
		}
		unlock(t, l)
		unlock(t, first.lock)
		unlock(t, second.lock)
		if k := inspect(t, nodes[2], key); len(k.Holders) != 0 || len(k.Queue) != 0 || string(k.Value.Data) != "v" {
			t.Errorf("%+v", k)
		}

		_, err := nodes[0].Inspect(bg, strings.Repeat("k", 513))
		wantErr(t, err, []error{ErrInvalid}, "513 bytes")
		w.net.Isolate("host-1:1")
		_, err = nodes[0].Inspect(within(t, 500*time.Millisecond), key)
		wantErr(t, err, []error{ErrUnavailable, context.DeadlineExceeded}, "node-1", "Inspect")
	})
}

// steppedClock is one whose wall clock is set.
type steppedClock struct {
	bubbleClock
	step *atomic.Int64
}

func (c steppedClock) Wall() time.Time { return c.bubbleClock.Wall().Add(time.Duration(c.step.Load())) }

// Since follows the wall clock of the owner when that is set.
func TestSinceFollowsTheClock(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var step atomic.Int64
		n := w.fleet(1, func(c *Config) { c.Env.Clock = steppedClock{bubbleClock{w.start}, &step} })[0]
		step.Store(int64(time.Hour))
		pass(2 * time.Second)
		must(t, n, "k")
		if k := inspect(t, n, "k"); k.Read.Sub(k.Holders[0].Since).Abs() > 50*time.Millisecond || time.Until(k.Read) < 59*time.Minute {
			t.Error(k.Holders[0].Since, k.Read)
		}
	})
}

// Its text says why the first in line waits where that is not plain.
func TestInspectText(t *testing.T) {
	now := time.Now()
	hold := func(h Holder) Holder {
		h.Since, h.Remaining, h.Token = now.Add(-90*time.Second), 12345*time.Millisecond, 7
		return h
	}
	for _, c := range []struct {
		k    KeyState
		want string
	}{
		{KeyState{Holders: []Holder{hold(Holder{Node: "a"})}}, `"k" is held by a (token 7) for 1m30s, 12s left unless renewed; partition 17, owner x, replicas x, y, view 3`},
		{KeyState{Holders: []Holder{hold(Holder{Node: "a", Lost: true})}}, "closed for 12s more, since its holder a was lost (lock-delay);"},
		{KeyState{Holders: []Holder{hold(Holder{Node: "a", Mode: Mode{Kind: ModeShared}}), hold(Holder{Node: "b", Lost: true})}},
			"held by a (shared, token 7) for 1m30s, 12s left unless renewed, and closed for 12s more, since its holder b was lost (lock-delay);"},
		{KeyState{Holders: []Holder{hold(Holder{Node: "a", Evicted: true})}}, "held by a (token 7) for 1m30s, told by an operator to let go within 12s;"},
		{KeyState{Holders: []Holder{hold(Holder{Node: "a", Mode: Mode{ModePermits, 2, 3}}), hold(Holder{Node: "b", Mode: Mode{ModePermits, 1, 3}})},
			Waiting: 1, Queue: []Waiter{{Node: "c", Mode: Mode{ModePermits, 2, 3}, Waited: 1500 * time.Millisecond}}},
			"; 1 waits: c (2 of 3 permits, for 1.5s) (c wants 2 permits, 0 of 3 are free);"},
		{KeyState{Holders: []Holder{hold(Holder{Node: "a", Mode: Mode{Kind: ModeShared}}), hold(Holder{Node: "b", Mode: Mode{Kind: ModeUpdate}})},
			Waiting: 2, Queue: []Waiter{{Node: "b", Upgrades: true}, {Node: "c"}}},
			"; 2 wait: b (for 0s) and c (for 0s) (b holds it and waits for the others to go);"},
		{KeyState{Holders: []Holder{hold(Holder{Node: "a", Mode: Mode{Kind: ModeShared}})}, Waiting: 9, Queue: make([]Waiter, 8)}, "and 4 more ("},
	} {
		c.k.Key, c.k.Partition, c.k.Owner, c.k.Replicas, c.k.Epoch, c.k.Read = "k", 17, "x", []string{"x", "y"}, 3, now
		if got := c.k.String(); !strings.Contains(got, c.want) {
			t.Errorf("%s\ndoes not say\n%s", got, c.want)
		}
	}
}

// An operator takes a lock by its token. Its holder is told why, and the next in
// line has it.
func TestRelease(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		bg := context.Background()
		l := must(t, nodes[0], "k", Note("stuck job"))
		next := lockLater(bg, nodes[1], "k")

		// Only by its token.
		err := nodes[2].Release(bg, "k", l.Token()-1)
		wantErr(t, err, []error{ErrNotHolder}, fmt.Sprint("token ", l.Token()-1), "held by node-0", "stuck job", fmt.Sprint("with token ", l.Token()))
		wantErr(t, nodes[2].Release(bg, "free", 7), []error{ErrNotHolder}, "free")
		wantErr(t, nodes[2].Release(bg, "k", 0), []error{ErrInvalid}, "Inspect says")
		wantErr(t, nodes[2].Release(bg, "", 7), []error{ErrInvalid})
		pass(100 * time.Millisecond)
		if l.Err() != nil || next.has() {
			t.Fatal(l.Err(), next.has())
		}

		if err := nodes[2].Release(bg, "k", l.Token()); err != nil {
			t.Fatal(err)
		}
		wantErr(t, l.Err(), []error{ErrLost}, "operator at node node-2")
		if !isDone(l.Done()) || l.State() != Lost {
			t.Error(l.State())
		}
		wantErr(t, l.Unlock(bg), []error{ErrLost}, "operator")
		<-next.done
		if !next.has() {
			t.Error(next.err)
		}
		wantErr(t, nodes[2].Release(bg, "k", l.Token()), []error{ErrNotHolder}, "held by node-1")

		// An upgrade has a new token, and the old one is nobody's.
		unlock(t, next.lock)
		r := must(t, nodes[0], "k", Shared())
		old := r.Token()
		if err := r.Upgrade(bg); err != nil {
			t.Error(err)
		}
		wantErr(t, nodes[1].Release(bg, "k", old), []error{ErrNotHolder})
		if err := nodes[1].Release(bg, "k", r.Token()); err != nil {
			t.Error(err)
		}
		nodes[2].Close()
		wantErr(t, nodes[2].Release(bg, "k", 1), []error{ErrClosed})
	})
}

// A holder that cannot be told keeps the key until it is certain that it has seen
// the end, and no longer, though it renews.
func TestReleaseCutOff(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		bg := context.Background()
		key := keyOf(t, nodes[0], nodes[0].ID())
		l := must(t, nodes[1], key, TTL(6*time.Second))
		w.net.Tap(func(f transport.Flight) bool { // the word to let go never arrives
			_, is := f.Message.(ownership.Notice)
			return !is
		})
		begin := time.Now()
		err := nodes[2].Release(within(t, time.Second), key, l.Token())
		wantErr(t, err, []error{ErrUnavailable, context.DeadlineExceeded}, "held by node-1", "let go within", "in the background")
		if k := inspect(t, nodes[2], key); len(k.Holders) != 1 || !k.Holders[0].Evicted || l.Err() != nil {
			t.Errorf("%+v, %v", k, l.Err())
		}
		next := lockLater(bg, nodes[2], key)
		if err := nodes[0].Release(bg, key, l.Token()); err != nil { // a second one waits for the same
			t.Error(err)
		}
		if took := time.Since(begin); !isDone(l.Done()) || took < 5*time.Second || took > 7*time.Second {
			t.Errorf("released after %v, done %v", took, isDone(l.Done()))
		}
		<-next.done
		if !next.has() || !errors.Is(l.Err(), ErrLost) {
			t.Error(next.err, l.Err())
		}
	})
}

// Locks yields everything that is held, on whatever node and in whatever partition,
// and nothing else.
func TestLocks(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		want := map[string]uint64{}
		for i := range 200 {
			key := fmt.Sprint("key-", i)
			l := must(t, nodes[i%3], key)
			if i%2 == 0 {
				want[key] = l.Token()
				continue
			}
			if i%4 == 1 {
				if err := l.SetValue(context.Background(), []byte("only a value")); err != nil {
					t.Error(err)
				}
			}
			l.Unlock(context.Background())
		}
		for _, n := range nodes {
			seen := map[string]bool{}
			for k, err := range n.Locks(within(t, 10*time.Second)) {
				if err != nil {
					t.Fatal(err)
				}
				if seen[k.Key] || len(k.Holders) != 1 || k.Holders[0].Token != want[k.Key] {
					t.Fatalf("%v twice: %+v", seen[k.Key], k)
				}
				seen[k.Key] = true
			}
			if len(seen) != len(want) {
				t.Errorf("%d keys of %d", len(seen), len(want))
			}
		}

		// Left early it asks for nothing more.
		noneOpen := func() {
			t.Helper()
			synctest.Wait()
			var open int
			nodes[0].ask(func(l *loop) { open = len(l.looks) })
			if open != 0 {
				t.Error(open, "questions are still open")
			}
		}
		for range nodes[0].Locks(context.Background()) {
			break
		}
		noneOpen()

		// Who can be listed is; then the error says what is missing.
		w.net.Isolate("host-1:1")
		n, missing := 0, 0
		for _, p := range nodes[0].View().Partitions {
			if p.Owner == nodes[1].ID() {
				missing++
			}
		}
		var last error
		for _, err := range nodes[0].Locks(within(t, 500*time.Millisecond)) {
			if last = err; err == nil {
				n++
			}
		}
		noneOpen()
		wantErr(t, last, []error{ErrUnavailable, context.DeadlineExceeded}, fmt.Sprintf("%d of 16 partitions", missing), "node-1")
		if n == 0 || n == len(want) || missing == 0 {
			t.Errorf("%d keys without %d partitions", n, missing)
		}
		nodes[2].Close()
		for _, err := range nodes[2].Locks(context.Background()) {
			wantErr(t, err, []error{ErrClosed})
		}
	})
}

// A partition with more keys than a page holds.
func TestLocksPages(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(1, func(c *Config) { c.Params.Partitions = 1 })
		for i := range 2500 {
			must(t, nodes[0], fmt.Sprint("key-", i))
		}
		var keys []string
		for k, err := range nodes[0].Locks(within(t, 10*time.Second)) {
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, k.Key)
		}
		if !slices.IsSorted(keys) || len(keys) != 2500 || len(slices.Compact(keys)) != 2500 {
			t.Error(len(keys))
		}
	})
}
