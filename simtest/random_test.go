package simtest

import (
	"flag"
	"fmt"
	"testing"
)

var (
	seeds = flag.Uint64("seeds", 60, "how many seeds TestRandom plays")
	trace = flag.Bool("trace", false, "TestRandom prints every event and message")
	first = flag.Uint64("first", 1, "the first seed TestRandom plays")
)

func TestRandom(t *testing.T) {
	var steps, grants, views, faults, bad int
	var log func(string, ...any)
	if *trace {
		log = func(f string, args ...any) { fmt.Printf(f+"\n", args...) }
	}
	for seed := *first; seed < *first+*seeds; seed++ {
		r := Run(seed, log)
		steps, grants, views, faults = steps+r.Steps, grants+r.Grants, views+r.Views, faults+r.Faults
		if len(r.Failures) > 0 {
			bad++
			t.Errorf("seed %d: %s (replay: go test ./simtest -run TestRandom -first %d -seeds 1)", seed, r.Failures[0], seed)
			if r.Stack != "" && *seeds == 1 {
				t.Log(r.Stack)
			}
			if bad > 12 {
				t.FailNow()
			}
		}
	}
	t.Logf("%d seeds: %d steps, %d grants, %d views, %d faults", *seeds, steps, grants, views, faults)
}
