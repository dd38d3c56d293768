package simtest

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

var (
	seeds = flag.Uint64("seeds", 60, "how many seeds TestRandom plays")
	first = flag.Uint64("first", 1, "the first seed TestRandom plays")
	talk  = flag.Bool("talk", false, "TestRandom prints every event and message")
)

// Random runs under random faults keep what the README promises.
func TestRandom(t *testing.T) {
	var events, grants, views, faults, healed, bad int
	var opt Options
	if *talk {
		opt.Watch = func(s *Stage) {
			ev, dl := s.OnEvent, s.OnDeliver
			s.OnEvent = func(n *Node, e ownership.Event) { fmt.Printf("%v %v ! %T%+v\n", s.Now, n, e, e); ev(n, e) }
			s.OnDeliver = func(f Flight) { fmt.Printf("%v %v <- %v %T%+v\n", s.Now, f.To, f.From, f.Message, f.Message); dl(f) }
		}
	}
	var goals Goals
	began := time.Now()
	for seed := *first; seed < *first+*seeds; seed++ {
		r := Play(seed, opt)
		events, grants, views, faults = events+r.Events, grants+r.Grants, views+r.Views, faults+r.Faults
		goals.Add(&r.Goals)
		if r.Healed {
			healed++
		}
		if len(r.Failures) > 0 {
			bad++
			t.Errorf("seed %d: %s", seed, r.Failures[0])
			if r.Stack != "" && *seeds == 1 {
				t.Log(r.Stack)
			}
			if bad > 12 {
				break
			}
		}
	}
	t.Logf("%d seeds: %d events (%.0f a second), %d grants, %d views, %d faults, %d healed", *seeds, events, float64(events)/time.Since(began).Seconds(), grants, views, faults, healed)
	t.Logf("missed: %q", goals.Missed())
}
