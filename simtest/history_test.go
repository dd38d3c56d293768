package simtest

import (
	"flag"
	"testing"
	"time"
)

var linearSeeds = flag.Uint64("linear", 40, "how many seeds TestLinear plays")

// What random runs tell their clients is linearizable.
func TestLinear(t *testing.T) {
	keys, ops, wild, unknown := 0, 0, 0, 0
	var most time.Duration
	for seed := *first; seed < *first+*linearSeeds; seed++ {
		ch := Play(seed, Options{}).Checker
		if ch.Wild {
			wild++
			continue
		}
		began := time.Now()
		for _, f := range ch.Linear(20 * time.Second) {
			t.Errorf("seed %d: %s", seed, f)
		}
		most = max(most, time.Since(began))
		unknown += ch.Unknown
		for _, key := range ch.names {
			keys++
			ops += len(ch.History(key).Ops)
		}
	}
	t.Logf("%d keys, %d operations, %d keys undecided, %d runs with wild clocks left out; the slowest run took %v", keys, ops, unknown, wild, most)
}
