package simtest

import (
	"testing"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// Everything follows from the seed.
func TestSameSeedSameRun(t *testing.T) {
	for seed := uint64(1); seed <= 5; seed++ {
		a, b := Play(seed, Options{}), Play(seed, Options{})
		if a.Hash != b.Hash || a.Events != b.Events {
			t.Errorf("seed %d gives %x, then %x", seed, a.Hash, b.Hash)
		}
	}
}

// A frozen holder goes on as if nothing had happened; another has the lock, with
// a higher token, and neither believed in it while the other did.
func TestFrozenHolder(t *testing.T) {
	w := New(1)
	ch := NewChecker(w)
	params := ownership.Params{Partitions: 4, Replicas: 3, MaxTTL: 20 * time.Second, MembershipTTL: 2 * time.Second, DriftPPM: 10000}
	for _, name := range []string{"a", "b", "c"} {
		w.Start(name, ownership.Config{Params: params, Founders: 3, Fresh: true})
	}
	w.RunFor(2 * time.Second)
	first := ch.Lock(w.Node("a"), ownership.Lock{Handle: 1, Key: "k", TTL: 3 * time.Second})
	w.RunFor(time.Second)
	w.Freeze(w.Node("a"))
	second := ch.Lock(w.Node("b"), ownership.Lock{Handle: 1, Key: "k", TTL: 3 * time.Second})
	if !w.RunUntil(w.Now+20*time.Second, func() bool { return second.Granted != 0 }) {
		t.Fatal("the lock of a frozen holder was never granted again")
	}
	w.Thaw(w.Node("a"))
	w.RunFor(time.Second)
	if first.Lost == 0 || second.Token <= first.Token || len(ch.Failures) > 0 {
		t.Errorf("first %+v, second %+v, failures %v", first, second, ch.Failures)
	}
}
