package mesh

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
	"github.com/lockmesh/lockmesh/transport"
)

func campaign(t *testing.T, n *Node, value string, opts ...Option) *Term {
	t.Helper()
	term, err := n.Election("e").Campaign(within(t, time.Minute), []byte(value), opts...)
	if err != nil {
		t.Fatal(err)
	}
	return term
}

// leader is who leads, as "name value", "" if nobody does.
func leader(t *testing.T, n *Node) string {
	t.Helper()
	l, err := n.Election("e").Leader(within(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if l.Token == 0 {
		return ""
	}
	return l.Name + " " + string(l.Value)
}

func TestElection(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		if got := leader(t, nodes[0]); got != "" {
			t.Error("nobody campaigns, and the leader is", got)
		}
		value := []byte("at 1")
		began := time.Now()
		first, err := nodes[1].Election("e").Campaign(within(t, time.Second), value, Note("the note"), TTL(5*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		copy(value, "xxxx") // the caller's own again
		l, err := nodes[2].Election("e").Leader(within(t, time.Second))
		if err != nil || l.Name != "node-1" || string(l.Value) != "at 1" || l.Token != first.Token() || l.Note != "the note" {
			t.Error(l, err)
		}
		if l.Since.Before(began.Add(-time.Second)) || l.Since.After(time.Now().Add(time.Second)) {
			t.Error("since", l.Since)
		}
		if key := nodes[0].Election("e").Key(); key != "election/e" || isFree(t, nodes[0], key) {
			t.Error(key)
		}

		if err := first.Proclaim(within(t, time.Second), []byte("moved")); err != nil {
			t.Error(err)
		}
		if got := leader(t, nodes[0]); got != "node-1 moved" {
			t.Error(got)
		}
		second := make(chan *Term)
		value = []byte("at 2")
		go func() {
			term, err := nodes[2].Election("e").Campaign(within(t, time.Minute), value)
			if err != nil {
				t.Error(err)
			}
			second <- term
		}()
		pass(20 * time.Second) // it waits, and the term is renewed
		copy(value, "xxxx")
		if first.Err() != nil || isDone(first.Done()) || first.Context().Err() != nil || time.Until(first.Deadline()) > 5*time.Second {
			t.Error(first.Err(), first.Deadline())
		}
		if err := first.Resign(within(t, time.Second)); err != nil {
			t.Error(err)
		}
		next := <-second
		if !isDone(first.Done()) || !errors.Is(first.Err(), ErrReleased) || !errors.Is(context.Cause(first.Context()), ErrReleased) {
			t.Error(first.Err())
		}
		if got := leader(t, nodes[0]); got != "node-2 at 2" || next.Token() <= first.Token() {
			t.Error(got, next.Token(), first.Token())
		}
		if err := first.Proclaim(within(t, time.Second), []byte("late")); !errors.Is(err, ErrNotHolder) {
			t.Error(err)
		}
		if err := next.Resign(within(t, time.Second)); err != nil {
			t.Error(err)
		}
		// What the last leader proclaimed is still there, and makes nobody a leader.
		if v, err := nodes[0].Value(within(t, time.Second), "election/e"); err != nil || string(v.Data) != "at 2" {
			t.Error(v, err)
		}
		if got := leader(t, nodes[0]); got != "" {
			t.Error(got)
		}
	})
}

func TestElectionRefuses(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		n := w.fleet(1)[0]
		ctx := within(t, time.Second)
		for _, c := range []struct {
			name  string
			value []byte
			opt   Option
			text  string
		}{
			{"", []byte("v"), nil, "no name"},
			{strings.Repeat("x", 504), []byte("v"), nil, "513 bytes"},
			{"e", nil, nil, "nil"},
			{"e", make([]byte, 4097), nil, "4097"},
			{"e", []byte("v"), Shared(), "exclusive"},
			{"e", []byte("v"), Permits(1, 2), "exclusive"},
			{"e", []byte("v"), TTL(0), "TTL"},
		} {
			_, err := n.Election(c.name).Campaign(ctx, c.value, c.opt)
			var call *Error
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.text) || !errors.As(err, &call) || call.Op != "Campaign" {
				t.Errorf("%s: %v", c.text, err)
			}
		}
		if _, err := n.Election("").Leader(ctx); !errors.Is(err, ErrInvalid) {
			t.Error(err)
		}
		for _, err := range n.Election("").Observe(ctx) {
			if !errors.Is(err, ErrInvalid) {
				t.Error(err)
			}
		}
		term := campaign(t, n, "v")
		if err := term.Proclaim(ctx, nil); !errors.Is(err, ErrInvalid) || term.Err() != nil {
			t.Error(err)
		}
		if _, err := n.Election("e").Campaign(within(t, time.Second), []byte("v")); !errors.Is(err, ErrLocked) || !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

// A leader that is cut off hears of it by its own clock before another leads.
func TestLeaderCutOff(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		term := campaign(t, nodes[1], "old", TTL(4*time.Second))
		led := make(chan time.Time)
		var wg sync.WaitGroup
		for _, i := range []int{0, 2} {
			wg.Go(func() {
				next := campaign(t, nodes[i], "new", TTL(4*time.Second))
				led <- time.Now()
				if next.Token() <= term.Token() {
					t.Error(next.Token(), term.Token())
				}
				if err := next.Resign(within(t, time.Second)); err != nil {
					t.Error(err)
				}
			})
		}
		pass(time.Second)
		w.net.Isolate("host-1:1")
		end := make(chan time.Time, 1)
		go func() {
			<-term.Done()
			end <- time.Now()
		}()
		for range 2 {
			now := <-led
			select {
			case over := <-end:
				if !over.Before(now) {
					t.Errorf("the former leader heard of it at %v, the next one led at %v", over, now)
				}
				end <- over
			default:
				t.Error("the former leader has not heard of it")
			}
		}
		wg.Wait()
		if !errors.Is(term.Err(), ErrLost) {
			t.Error(term.Err())
		}
		if err := term.Resign(within(t, time.Second)); !errors.Is(err, ErrLost) {
			t.Error(err)
		}
		if err := term.Transfer(within(t, time.Second), "node-0"); !errors.Is(err, ErrLost) {
			t.Error(err)
		}
	})
}

// A leader whose value cannot be written gives the term back.
func TestCampaignWithoutAValue(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		owner := partitionOwner(nodes[0], "election/e")
		nodes = slices.DeleteFunc(nodes, func(n *Node) bool { return n.ID() == owner })
		w.net.Tap(func(f transport.Flight) bool {
			_, alters := f.Message.(ownership.Alter)
			return !alters
		})
		_, err := nodes[0].Election("e").Campaign(within(t, 5*time.Second), []byte("new"))
		if !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "gives the term back") {
			t.Error(err)
		}
		pass(100 * time.Millisecond)
		if !isFree(t, nodes[1], "election/e") {
			t.Error("its lock is left behind")
		}
	})
}

// A holder leads from when its value is written.
func TestLeaderOf(t *testing.T) {
	state := func(value uint64, holder Holder) KeyState {
		return KeyState{Holders: []Holder{holder}, Value: Value{Data: []byte("v"), Token: value}}
	}
	stale := state(7, Holder{Node: "n", Token: 7})
	stale.Value.Stale = true
	for i, c := range []struct {
		state KeyState
		leads bool
	}{
		{state(7, Holder{Node: "n", Token: 7}), true},
		{state(6, Holder{Node: "n", Token: 7}), false},
		{state(7, Holder{Node: "n", Token: 7, Lost: true}), false},
		{stale, false},
		{KeyState{Value: Value{Data: []byte("v"), Token: 7}}, false},
		{KeyState{}, false},
	} {
		if l := leaderOf(c.state); (l.Token == 7) != c.leads || (l.Name == "n") != c.leads {
			t.Errorf("case %d: %+v", i, l)
		}
	}
}

func TestTransfer(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(4)
		term := campaign(t, nodes[0], "from 0")
		terms := make([]*Term, 4)
		var wg sync.WaitGroup
		for i := 1; i < 4; i++ { // they wait in this order
			wg.Go(func() { terms[i] = campaign(t, nodes[i], fmt.Sprint("from ", i)) })
			pass(100 * time.Millisecond)
		}

		// One that does not wait: nothing has changed.
		for _, name := range []string{"node-0", "nobody", ""} {
			err := term.Transfer(within(t, time.Second), name)
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "node-1, node-2, node-3") || term.Err() != nil {
				t.Error(err, term.Err())
			}
		}
		if got := leader(t, nodes[2]); got != "node-0 from 0" {
			t.Error(got)
		}
		over, cancel := context.WithCancel(context.Background())
		cancel()
		if err := term.Transfer(over, "node-2"); !errors.Is(err, context.Canceled) || term.Err() != nil {
			t.Error(err, term.Err())
		}

		// The second of three. The term is over before the next begins.
		if err := term.Transfer(within(t, time.Second), "node-2"); err != nil {
			t.Fatal(err)
		}
		if !isDone(term.Done()) || !errors.Is(term.Err(), ErrReleased) || !strings.Contains(term.Err().Error(), "node-2") {
			t.Error(term.Err())
		}
		if got := leader(t, nodes[1]); got != "node-2 from 2" {
			t.Error(got)
		}
		synctest.Wait()
		if terms[2] == nil || terms[2].Token() <= term.Token() {
			t.Fatal(terms)
		}
		if err := term.Transfer(within(t, time.Second), "node-1"); !errors.Is(err, ErrReleased) {
			t.Error(err)
		}
		// The others go on in their order.
		for _, i := range []int{2, 1, 3} {
			if got, want := leader(t, nodes[0]), fmt.Sprintf("node-%d from %d", i, i); got != want {
				t.Errorf("%q leads, not %q", got, want)
			}
			if err := terms[i].Resign(within(t, time.Second)); err != nil {
				t.Error(err)
			}
			pass(100 * time.Millisecond)
		}
		wg.Wait()
	})
}

// The candidate has gone in the same moment: the error says who leads now.
func TestTransferToNobody(t *testing.T) {
	for _, others := range []bool{true, false} {
		inWorld(t, func(t *testing.T, w *world) {
			nodes := w.fleet(3)
			term := campaign(t, nodes[0], "from 0")
			if others {
				go func() { campaign(t, nodes[2], "from 2") }()
			}
			pass(100 * time.Millisecond)
			want := "nobody leads now"
			if others {
				want = "node-2 leads now"
			}
			// As transfer goes on when it has seen that node-1 waits.
			if !term.lock.giveBack(errReleased, "node-1") {
				t.Fatal(term.Err())
			}
			err := term.awaitHeir(within(t, 10*time.Second), "node-1")
			if !errors.Is(err, ErrReleased) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "node-1 has gone") {
				t.Error(err)
			}
			pass(100 * time.Millisecond)
		})
	}
}

// A node that waits for the key, and not in Campaign, holds it then and does not lead.
func TestTransferToALock(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		term := campaign(t, nodes[0], "from 0")
		k := lockLater(context.Background(), nodes[1], term.election.Key())
		pass(100 * time.Millisecond)
		err := term.Transfer(within(t, time.Second), "node-1")
		wantErr(t, err, []error{ErrReleased, ErrUnavailable, context.DeadlineExceeded}, "node-1 holds it and has proclaimed nothing yet")
		if strings.Contains(err.Error(), "Watch") || !k.has() {
			t.Error(err, k.err)
		}
	})
}

// A leader cannot delete its value, so no error says that it should.
func TestProclaimNil(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		n := w.fleet(1)[0]
		_, first := n.Election("e").Campaign(within(t, time.Second), nil)
		for _, err := range []error{first, campaign(t, n, "v").Proclaim(within(t, time.Second), nil)} {
			wantErr(t, err, []error{ErrInvalid}, "the value is nil")
			if strings.Contains(err.Error(), "DeleteValue") {
				t.Error(err)
			}
		}
	})
}

// The error names each who waits once, and not all of them.
func TestCandidates(t *testing.T) {
	k := KeyState{Waiting: 70}
	for i := range 64 {
		k.Queue = append(k.Queue, Waiter{Node: fmt.Sprint("n", i/2%7)})
	}
	if got := k.candidates("x"); !strings.HasSuffix(got, "the first 64 of 70 that wait in Campaign: n0, n1, n2, n3, n4, 2 more") {
		t.Error(got)
	}
	k.Queue, k.Waiting = k.Queue[:4], 4
	if got := k.candidates("x"); !strings.HasSuffix(got, "those who do: n0, n1") {
		t.Error(got)
	}
}

// Transfer returns when the candidate has proclaimed its value, not before.
func TestTransferWaitsForTheValue(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		owner := partitionOwner(nodes[0], "election/e")
		at := slices.IndexFunc(nodes, func(n *Node) bool { return n.ID() == owner })
		from, to := nodes[(at+1)%3], nodes[(at+2)%3]
		term := campaign(t, from, "old")
		next := make(chan *Term)
		go func() { next <- campaign(t, to, "new") }()
		pass(time.Second)
		w.net.SetDelay(func(from, to string) time.Duration {
			if from == fmt.Sprintf("host-%d:1", at) && to == fmt.Sprintf("host-%d:1", (at+2)%3) {
				return 200 * time.Millisecond
			}
			return 0
		})
		if err := term.Transfer(within(t, 5*time.Second), to.cfg.Name); err != nil {
			t.Error(err)
		}
		if got := leader(t, nodes[at]); got != to.cfg.Name+" new" {
			t.Errorf("%q leads", got)
		}
		<-next
	})
}

// The owner may hear who asks before it hears of the release: the term that it still
// knows is not the candidate's.
func TestTransferSeesTheOldTerm(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		term := campaign(t, nodes[0], "from 0")
		done := make(chan error, 1)
		go func() { done <- term.awaitHeir(within(t, 10*time.Second), "node-1") }()
		next := make(chan *Term)
		go func() { next <- campaign(t, nodes[1], "from 1") }()
		pass(time.Second)
		select {
		case err := <-done:
			t.Fatal(err)
		default:
		}
		term.lock.giveBack(errReleased, "node-1")
		if err := <-done; err != nil {
			t.Error(err)
		}
		<-next
	})
}

// When nobody says who leads now, ctx ends the wait, and the term is over.
func TestTransferUnconfirmed(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		owner := partitionOwner(nodes[0], "election/e")
		i := (slices.IndexFunc(nodes, func(n *Node) bool { return n.ID() == owner }) + 1) % 3
		term := campaign(t, nodes[i], "old")
		next := make(chan *Term)
		go func() { next <- campaign(t, nodes[(i+1)%3], "new") }()
		pass(time.Second)
		w.net.Isolate(fmt.Sprintf("host-%d:1", i))
		if !term.lock.giveBack(errReleased, "x") {
			t.Fatal(term.Err())
		}
		err := term.awaitHeir(within(t, time.Second), "x")
		if !errors.Is(err, ErrReleased) || !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		w.net.HealAll()
		<-next
	})
}

func TestObserve(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		ctx, cancel := context.WithCancel(context.Background())
		var seen []string
		ended := make(chan error)
		go func() {
			var last error
			for l, err := range nodes[2].Election("e").Observe(ctx) {
				if last = err; err != nil {
					continue
				}
				if l.Token == 0 {
					seen = append(seen, "-")
					continue
				}
				seen = append(seen, l.Name+" "+string(l.Value))
			}
			ended <- last
		}()
		pass(time.Second)
		first := campaign(t, nodes[0], "a")
		pass(time.Second)
		next := make(chan *Term)
		go func() { next <- campaign(t, nodes[1], "c") }() // who waits is no change
		pass(time.Second)
		for _, v := range []string{"b", "b"} { // the same again is none either
			if err := first.Proclaim(within(t, time.Second), []byte(v)); err != nil {
				t.Error(err)
			}
			pass(time.Second)
		}
		if err := first.Resign(within(t, time.Second)); err != nil {
			t.Error(err)
		}
		second := <-next
		pass(time.Minute) // renewals are none
		if err := second.Resign(within(t, time.Second)); err != nil {
			t.Error(err)
		}
		pass(time.Second)
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		want := []string{"-", "node-0 a", "node-0 b", "-", "node-1 c", "-"}
		if !slices.Equal(seen, want) {
			t.Errorf("saw  %q\nwant %q", seen, want)
		}
	})
}

// Who observes slowly sees the newest, and holds nobody up.
func TestObserveSlowly(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		term := campaign(t, nodes[0], "0")
		var seen []string
		for l, err := range nodes[1].Election("e").Observe(within(t, time.Minute)) {
			if err != nil {
				t.Fatal(err)
			}
			seen = append(seen, string(l.Value))
			if len(seen) == 1 {
				for i := 1; i <= 20; i++ {
					if err := term.Proclaim(within(t, time.Second), []byte(fmt.Sprint(i))); err != nil {
						t.Error(err)
					}
				}
				pass(time.Second)
			}
			if string(l.Value) == "20" {
				break
			}
		}
		if len(seen) != 2 {
			t.Errorf("saw %q", seen)
		}
	})
}

// OnContended is the base of a cooperative hand-over: the leader resigns when
// somebody campaigns.
func TestCampaignContended(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		wanted := make(chan struct{}, 1)
		term := campaign(t, nodes[0], "0", OnContended(func(*Lock) {
			select {
			case wanted <- struct{}{}:
			default:
			}
		}))
		next := make(chan *Term)
		go func() { next <- campaign(t, nodes[1], "1") }()
		<-wanted
		if err := term.Transfer(within(t, time.Second), "node-1"); err != nil {
			t.Error(err)
		}
		<-next
	})
}

// A term in a lease ends with it.
func TestTermInLease(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		lease := mustLease(t, nodes[0], 10*time.Second)
		term := campaign(t, nodes[0], "0", InLease(lease))
		if err := lease.Revoke(within(t, time.Second)); err != nil {
			t.Error(err)
		}
		if !errors.Is(term.Err(), ErrReleased) || leader(t, nodes[1]) != "" {
			t.Error(term.Err(), leader(t, nodes[1]))
		}
	})
}
