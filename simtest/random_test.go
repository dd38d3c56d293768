package simtest

import (
	"flag"
	"testing"
)

var (
	seeds = flag.Uint64("seeds", fixedSeeds, "how many seeds TestRandom plays")
	first = flag.Uint64("first", 1, "the first seed TestRandom plays")
)

// Runs under random faults keep what the README promises. The set of seeds is fixed:
// what fails here fails for everybody, and every situation that should occur does.
func TestRandom(t *testing.T) {
	s := Soak(SoakOptions{First: *first, Seeds: *seeds})
	for i, r := range s.Failed {
		if i == 12 {
			break
		}
		t.Errorf("seed %d: %s (go run ./simtest/cmd/sim -seed %d)", r.Seed, r.Failures[0], r.Seed)
		if r.Stack != "" {
			t.Log(r.Stack)
		}
	}
	t.Log(s.Line())
	t.Logf("%d came to rest, %d were played twice, %d histories went through porcupine", s.Healed, s.Twice, s.Linear)
	if missed := s.Goals.Missed(); len(missed) > 0 && *first == 1 && *seeds >= goalSeedsHere {
		t.Errorf("never reached: %q", missed)
	}
}

// goalSeedsHere is how many seeds from 1 on reach every goal.
const goalSeedsHere = 400
