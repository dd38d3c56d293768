package mesh

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// locking is a Lock call in a goroutine of its own.
type locking struct {
	lock *Lock
	err  error
	done chan struct{}
}

// lockLater asks for a key and returns when the call waits, or has ended.
func lockLater(ctx context.Context, n *Node, key string, opts ...Option) *locking {
	k := &locking{done: make(chan struct{})}
	go func() {
		defer close(k.done)
		k.lock, k.err = n.Lock(ctx, key, opts...)
	}()
	pass(20 * time.Millisecond)
	return k
}

func (k *locking) has() bool { return isDone(k.done) && k.err == nil }

// unlock releases locks and lets what follows happen.
func unlock(t *testing.T, locks ...*Lock) {
	t.Helper()
	for _, l := range locks {
		if err := l.Unlock(within(t, 5*time.Second)); err != nil {
			t.Error(err)
		}
	}
	pass(20 * time.Millisecond)
}

// wantErr fails unless err is each of is and says each of texts.
func wantErr(t *testing.T, err error, is []error, texts ...string) {
	t.Helper()
	for _, want := range is {
		if !errors.Is(err, want) {
			t.Errorf("%v\nis not %v", err, want)
		}
	}
	for _, text := range texts {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v\ndoes not say %q", err, text)
		}
	}
}

// Readers hold a key together; a writer that waits is not starved by those who come
// after it, and a run of readers at the head of the line is granted together.
func TestShared(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		bg := context.Background()
		a, b := must(t, nodes[0], "k", Shared()), must(t, nodes[1], "k", Shared())
		if a.Mode() != (Mode{Kind: ModeShared}) || a.Token() == b.Token() {
			t.Error(a.Mode(), a.Token(), b.Token())
		}
		_, err := nodes[2].TryLock(bg, "k")
		wantErr(t, err, []error{ErrLocked}, "held by node-", "shared")

		writer := lockLater(bg, nodes[2], "k")
		late := []*locking{lockLater(bg, nodes[0], "k", Shared()), lockLater(bg, nodes[1], "k", Shared()), lockLater(bg, nodes[2], "k", Shared())}
		_, err = nodes[2].TryLock(bg, "k", Shared())
		wantErr(t, err, []error{ErrLocked}, "held by node-", "(shared), and others wait before it")
		last := lockLater(bg, nodes[0], "k")
		if _, err := nodes[1].TryLock(bg, "k", Shared()); !errors.Is(err, ErrLocked) {
			t.Error("a reader passed a writer that waits:", err)
		}
		unlock(t, a)
		if writer.has() {
			t.Fatal("a writer beside a reader")
		}
		unlock(t, b)
		if !writer.has() || late[0].has() {
			t.Fatal("the writer was first in line")
		}
		unlock(t, writer.lock)
		for i, k := range late {
			if !k.has() {
				t.Errorf("reader %d is not granted with the others", i)
			}
		}
		if last.has() {
			t.Error("two writers and readers at once")
		}
		unlock(t, late[0].lock, late[1].lock, late[2].lock)
		if !last.has() {
			t.Error("the last writer is not granted")
		}
	})
}

func TestPermits(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		bg := context.Background()
		one := must(t, nodes[0], "k", Permits(1, 3))
		two := must(t, nodes[1], "k", Permits(2, 3), Note("batch"))
		if two.Mode() != (Mode{ModePermits, 2, 3}) || two.Mode().String() != "2 of 3 permits" {
			t.Error(two.Mode())
		}
		_, err := nodes[2].TryLock(bg, "k", Permits(1, 3))
		wantErr(t, err, []error{ErrLocked}, "of 3 permits")

		// Another size is refused while the key is held, waiting or not.
		for _, opts := range [][]Option{{Permits(1, 4)}, {Shared()}, {}, {Update()}} {
			_, err := nodes[2].Lock(bg, "k", opts...)
			wantErr(t, err, []error{ErrCapacity}, "semaphore of 3 permits", "held by node-", "ask with the same number")
		}

		// A big one is not passed by small ones.
		big := lockLater(bg, nodes[2], "k", Permits(3, 3))
		small := lockLater(bg, nodes[0], "k", Permits(1, 3))
		unlock(t, two)
		if big.has() || small.has() {
			t.Error("granted out of turn")
		}
		unlock(t, one)
		if !big.has() || small.has() {
			t.Error("the big one was first in line")
		}
		unlock(t, big.lock)
		<-small.done
		unlock(t, small.lock)

		// When it is free whoever comes decides.
		other := must(t, nodes[1], "k", Permits(1, 2))
		unlock(t, other)
		exclusive := must(t, nodes[1], "k", Note("alone"))
		_, err = nodes[0].TryLock(bg, "k", Permits(1, 3))
		wantErr(t, err, []error{ErrCapacity}, "no semaphore", "held by node-1", "alone", "ask without Permits")
		unlock(t, exclusive)
	})
}

// A lock for update is held beside readers, excludes others for update, and is
// upgraded when the readers have gone: meanwhile nobody is let in.
func TestUpdate(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		bg := context.Background()
		u := must(t, nodes[0], "k", Update())
		r := must(t, nodes[1], "k", Shared())
		second := lockLater(bg, nodes[2], "k", Update())
		if second.has() || u.Mode().Kind != ModeUpdate {
			t.Fatal("two for update")
		}
		token := u.Token()
		up := make(chan error, 1)
		go func() { up <- u.Upgrade(within(t, time.Minute)) }()
		pass(20 * time.Millisecond)
		if _, err := nodes[2].TryLock(bg, "k", Shared()); !errors.Is(err, ErrLocked) {
			t.Error("a reader was let in before an upgrade:", err)
		}
		if u.Mode().Kind != ModeUpdate || len(up) != 0 {
			t.Error("upgraded beside a reader")
		}
		unlock(t, r)
		if err := <-up; err != nil || u.Mode() != (Mode{}) || u.Token() <= token {
			t.Errorf("%v, %v, token %d after %d", err, u.Mode(), u.Token(), token)
		}
		if err := u.Upgrade(bg); err != nil {
			t.Error("upgrade of an exclusive lock:", err)
		}
		if err := u.SetValue(bg, []byte("by the exclusive one")); err != nil {
			t.Error(err)
		}

		// Down again: those who wait for less come in.
		if err := u.Downgrade(bg); err != nil || u.Mode().Kind != ModeShared {
			t.Error(err, u.Mode())
		}
		<-second.done
		if !second.has() {
			t.Error(second.err)
		}
		if err := u.Downgrade(bg); err != nil {
			t.Error("downgrade of a shared lock:", err)
		}
		// For update to shared.
		if err := second.lock.Downgrade(bg); err != nil || second.lock.Mode().Kind != ModeShared {
			t.Error(err, second.lock.Mode())
		}
		must(t, nodes[1], "k", Update())
	})
}

// Of two shared locks that are upgraded at once each would wait for the other: the
// second is refused and stays shared, and the first gets through.
func TestUpgradeRefused(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		bg := context.Background()
		a, b := must(t, nodes[0], "k", Shared(), Note("first")), must(t, nodes[1], "k", Shared())
		up := make(chan error, 1)
		go func() { up <- a.Upgrade(within(t, time.Minute)) }()
		pass(20 * time.Millisecond)
		err := b.Upgrade(bg)
		wantErr(t, err, []error{ErrLocked}, "wait for the other", "node-0", "first")
		if b.Mode().Kind != ModeShared || b.Err() != nil {
			t.Error(b.Mode(), b.Err())
		}
		unlock(t, b)
		if err := <-up; err != nil || a.Mode() != (Mode{}) {
			t.Error(err, a.Mode())
		}
		unlock(t, a)

		// A holder for update may be upgraded at any time.
		u, r := must(t, nodes[0], "k", Update()), must(t, nodes[1], "k", Shared())
		wantErr(t, r.Upgrade(bg), []error{ErrLocked}, "node-0", "update")
		unlock(t, r)
		if err := u.Upgrade(bg); err != nil {
			t.Error(err)
		}
	})
}

// An Upgrade that is given up is taken back: who came meanwhile is let in, and a
// later one succeeds.
func TestUpgradeGivenUp(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		bg := context.Background()
		a, b := must(t, nodes[0], "k", Shared()), must(t, nodes[1], "k", Shared(), Note("the other"))
		err := a.Upgrade(within(t, time.Second))
		wantErr(t, err, []error{ErrLocked, context.DeadlineExceeded}, "held by node-1", "the other")
		if errors.Is(err, ErrUnavailable) || a.Mode().Kind != ModeShared {
			t.Error(err, a.Mode())
		}
		r := lockLater(bg, nodes[2], "k", Shared())
		if !r.has() {
			t.Fatal("the wait was not taken back")
		}
		unlock(t, b, r.lock)
		over, cancel := context.WithCancel(bg)
		cancel()
		wantErr(t, a.Upgrade(over), []error{ErrUnavailable, context.Canceled})
		if err := a.Upgrade(bg); err != nil || a.Mode() != (Mode{}) {
			t.Error(err, a.Mode())
		}
		// Whatever the core tells of it later, an ended lock stays as it ended.
		unlock(t, a)
		wantErr(t, a.Upgrade(bg), []error{ErrReleased})
		wantErr(t, a.Downgrade(bg), []error{ErrReleased})
	})
}

// Of two calls of one lock that upgrade it the one that gives up does not take it from
// the other.
func TestUpgradeTwice(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		a, b := must(t, nodes[0], "k", Shared()), must(t, nodes[1], "k", Shared())
		up := make(chan error, 3)
		for _, d := range []time.Duration{time.Second, time.Minute, 2 * time.Second} {
			go func() { up <- a.Upgrade(within(t, d)) }()
			pass(20 * time.Millisecond)
		}
		// What comes later is carried out later, and says why.
		const behind = "behind an Upgrade of this lock, which waits for: held by node-1 (shared)"
		err := a.SetValue(within(t, 100*time.Millisecond), []byte("v"))
		wantErr(t, err, []error{ErrUnavailable, context.DeadlineExceeded}, behind, "nothing was written")
		wantErr(t, <-up, []error{ErrLocked, context.DeadlineExceeded}, "Upgrade \"k\": held by node-1 (shared)")
		wantErr(t, <-up, []error{ErrLocked, context.DeadlineExceeded}, behind)
		unlock(t, b)
		if err := <-up; err != nil || a.Mode() != (Mode{}) {
			t.Error(err, a.Mode())
		}

		// A Downgrade counts here at once, and for the others once the Upgrade is over.
		unlock(t, a)
		a, b = must(t, nodes[0], "k", Update()), must(t, nodes[1], "k", Shared())
		ctx, giveUp := context.WithCancel(context.Background())
		go func() { up <- a.Upgrade(ctx) }()
		pass(20 * time.Millisecond)
		err = a.Downgrade(within(t, time.Second))
		wantErr(t, err, []error{ErrUnavailable, context.DeadlineExceeded}, behind, "goes on in the background")
		giveUp()
		wantErr(t, <-up, []error{ErrLocked, context.Canceled})
		if err := a.Downgrade(within(t, time.Second)); err != nil || a.Mode().Kind != ModeShared {
			t.Error(err, a.Mode())
		}
		unlock(t, a, b)
	})
}

// A lock that ends while it waits to be upgraded, or is cut off, says so.
func TestAlterWhileCutOff(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		key := keyOf(t, nodes[0], nodes[0].ID())
		a, b := must(t, nodes[1], key, Shared(), TTL(4*time.Second)), must(t, nodes[2], key, Shared())
		up := make(chan error, 1)
		go func() { up <- a.Upgrade(context.Background()) }()
		pass(20 * time.Millisecond)
		a.Unlock(context.Background())
		wantErr(t, <-up, []error{ErrReleased})

		c := must(t, nodes[1], key, Shared(), TTL(4*time.Second))
		w.net.Isolate("host-1:1")
		err := c.Upgrade(within(t, time.Second))
		wantErr(t, err, []error{ErrUnavailable, context.DeadlineExceeded}, "has not answered")
		wantErr(t, c.Upgrade(context.Background()), []error{ErrLost}, "deadline")
		w.net.HealAll()
		unlock(t, b)
	})
}

// From the call on the lock is shared, and what the call does goes on when its ctx
// is over.
func TestDowngradeInTheBackground(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		key := keyOf(t, nodes[0], nodes[0].ID())
		l := must(t, nodes[1], key)
		token := l.Token()
		r := lockLater(context.Background(), nodes[2], key, Shared())
		over, cancel := context.WithCancel(context.Background())
		cancel()
		w.net.CutOneWay("host-1:1", "host-0:1")
		wantErr(t, l.Downgrade(over), []error{ErrUnavailable, context.Canceled}, "goes on in the background")
		pass(time.Second)
		if l.Mode().Kind != ModeShared || r.has() {
			t.Error(l.Mode(), r.has())
		}
		w.net.HealAll()
		<-r.done
		if !r.has() || l.Err() != nil || l.Token() != token {
			t.Error(r.err, l.Err(), l.Token(), token)
		}
		if err := l.Downgrade(context.Background()); err != nil {
			t.Error(err)
		}
		// Its calls are carried out in their order: what follows finds it shared.
		wantErr(t, l.SetValue(context.Background(), []byte("v")), []error{ErrNotHolder}, "(shared)", "node-2")
	})
}

// What the owner says late does not undo what was decided here since.
func TestAlteredLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &Node{cfg: Config{Params: Params{}.withDefaults()}, env: Env{Clock: bubbleClock{time.Now()}}, mail: newMailbox()}
		n.loop = &loop{ended: make(chan struct{})}
		close(n.loop.ended) // so nobody explains anything
		done := func(op uint64, m ownership.Mode) ownership.Altered {
			return ownership.Altered{Handle: 1, Op: op, Outcome: ownership.OutcomeAltered, Mode: m, Token: 2 << 32}
		}
		ask := func(f func(context.Context) error) (context.CancelFunc, chan error) {
			ctx, cancel := context.WithCancel(context.Background())
			result := make(chan error, 1)
			go func() { result <- f(ctx) }()
			synctest.Wait()
			return cancel, result
		}
		l := newLock(n, "k", 1, options{ttl: time.Hour, mode: Mode{Kind: ModeUpdate}})
		l.onGranted(grantedAt(n, time.Hour))

		// An upgrade that is given up in the moment in which it succeeds is taken back.
		cancel, up := ask(l.Upgrade)
		cancel()
		wantErr(t, <-up, []error{context.Canceled})
		l.onAltered(done(1, ownership.Exclusive))
		m, _ := n.mail.take(mail{})
		want := []ownership.Input{
			ownership.Change{Handle: 1, Op: 1, What: ownership.AlterMode, Mode: ownership.Exclusive},
			ownership.Unchange{Handle: 1, Op: 1},
		} // the core does the rest
		if !reflect.DeepEqual(m.in, want) || l.Mode().Kind != ModeUpdate || l.Token() != 2<<32 {
			t.Error(m.in, l.Mode(), l.Token())
		}

		// A downgrade that was asked for counts, whatever was asked for before.
		_, up = ask(l.Upgrade)
		_, down := ask(l.Downgrade)
		l.onAltered(done(2, ownership.Exclusive))
		if err := <-up; err != nil || l.Mode().Kind != ModeShared {
			t.Error(err, l.Mode())
		}
		l.onAltered(done(3, ownership.Shared))
		if err := <-down; err != nil || l.Mode().Kind != ModeShared {
			t.Error(err, l.Mode())
		}
		n.mail.take(mail{})
	})
}

// Semaphores have no upgrade and no downgrade.
func TestAlterPermits(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		n := w.fleet(1)[0]
		s := must(t, n, "k", Permits(1, 1))
		wantErr(t, s.Upgrade(context.Background()), []error{ErrInvalid}, "1 of 1 permits")
		wantErr(t, s.Downgrade(context.Background()), []error{ErrInvalid}, "1 of 1 permits")
		if err := s.SetValue(context.Background(), []byte("all of it")); err != nil {
			t.Error(err)
		}
	})
}

// After its holder was lost a key with a Delay stays closed that long; after Unlock
// it does not.
func TestDelay(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		bg := context.Background()
		key := keyOf(t, nodes[0], nodes[0].ID())
		l := must(t, nodes[1], key, TTL(2*time.Second), Delay(10*time.Second))
		unlock(t, l)
		l = must(t, nodes[1], key, TTL(2*time.Second), Delay(10*time.Second))
		w.net.Isolate("host-1:1")
		<-l.Done()
		ended := time.Now()
		pass(5 * time.Second) // the view drops the holder, which begins its lease anew
		_, err := nodes[2].TryLock(bg, key)
		wantErr(t, err, []error{ErrLocked}, "node-1 was lost (lock-delay)")
		_, err = nodes[2].Lock(within(t, time.Second), key)
		wantErr(t, err, []error{ErrLocked}, "node-1 was lost (lock-delay)")
		k := must(t, nodes[2], key)
		if after := time.Since(ended); after < 10*time.Second || after > 15*time.Second {
			t.Errorf("granted %v after the loss", after)
		}
		unlock(t, k)
	})
}

func TestModeOptions(t *testing.T) {
	p := Params{}.withDefaults()
	for _, c := range []struct {
		opts []Option
		want string
	}{
		{[]Option{Permits(0, 3)}, "1 to 3"},
		{[]Option{Permits(4, 3)}, "1 to 3"},
		{[]Option{Permits(-1, 3)}, "1 to 3"},
		{[]Option{Permits(1, 0)}, "1 to 1048576"},
		{[]Option{Permits(1, 1<<20+1)}, "1 to 1048576"},
		{[]Option{Permits(1<<33, 1<<33)}, "1 to 1048576"},
		{[]Option{Delay(-1)}, "Delay is -1ns; it may be from 0 to 1m0s (Params.MaxTTL)"},
		{[]Option{Delay(p.MaxTTL + 1)}, "Params.MaxTTL"},
	} {
		if _, err := p.resolve("k", c.opts); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
	// The later one counts, and every mode is the core's and back.
	for _, m := range []Mode{{}, {Kind: ModeShared}, {Kind: ModeUpdate}, {ModePermits, 2, 3}, {ModePermits, 1, 1}} {
		if got := modeOf(m.core()); got != m || m.String() != m.core().String() {
			t.Errorf("%v is %v", m, got)
		}
	}
	o, err := p.resolve("k", []Option{Permits(9, 3), Shared(), nil, Update(), Delay(time.Second), Delay(0)})
	if err != nil || o.mode.Kind != ModeUpdate || o.delay != 0 {
		t.Error(o, err)
	}
}

// An Upgrade that was given up when it had just been carried out is taken back, but
// not from under another Upgrade of the same lock that has succeeded.
func TestUpgradeGivenUpTooLate(t *testing.T) {
	for _, again := range []string{"succeeds", "is given up as well", "was never called"} {
		t.Run(again, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				n := w.fleet(1)[0]
				bg := context.Background()
				l := must(t, n, "k", Shared())
				stands, first, second := make(chan bool), make(chan bool), make(chan bool)
				n.mail.run(func() { stands <- true; <-first })
				<-stands // the loop
				one, _ := l.startMode(bg, "upgraded", ownership.Exclusive)
				n.mail.run(func() { stands <- true; <-second })
				first <- true
				<-stands // it has taken the first Upgrade, and will carry it out in this turn
				l.leave(one, true)
				var two *alter
				if again != "was never called" {
					two, _ = l.startMode(bg, "upgraded", ownership.Exclusive)
				}
				if again == "is given up as well" {
					l.leave(two, true)
				}
				second <- true
				pass(time.Second)
				r, err := n.TryLock(bg, "k", Shared())
				if again == "succeeds" {
					<-two.done
					if two.outcome() != nil || l.Mode() != (Mode{}) {
						t.Fatal(two.outcome(), l.Mode())
					}
					wantErr(t, err, []error{ErrLocked})
					unlock(t, l)
					return
				}
				if err != nil || l.Mode().String() != "shared" {
					t.Fatal(err, l.Mode())
				}
				if err := l.Upgrade(within(t, time.Second)); !errors.Is(err, ErrLocked) { // there is the other reader
					t.Error(err)
				}
				unlock(t, r)
				if err := l.Upgrade(bg); err != nil {
					t.Error(err)
				}
				_, err = n.TryLock(bg, "k", Shared())
				wantErr(t, err, []error{ErrLocked})
			})
		})
	}
}
