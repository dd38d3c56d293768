package simtest

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// V7: a fleet that stops as a whole: all nodes leave within a moment, each process
// ends as soon as it has left, and hardly ever is one left behind that finds nobody
// to tell it so. It was one run in ten.
func TestFleetLeavesAtOnce(t *testing.T) {
	const runs, most = 100, 2
	left, behind := 0, 0
	for seed := range uint64(runs) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := New(seed + 1)
		w.Net.MinDelay, w.Net.MeanDelay = 200*time.Microsecond, 300*time.Microsecond
		params := ownership.Params{Partitions: 31, Replicas: 3, MaxTTL: time.Minute, MembershipTTL: 2 * time.Second, DriftPPM: 10_000}
		n := 3 + int(seed%4)
		for i := range n {
			w.Start(fmt.Sprint("n", i+1), ownership.Config{Params: params, Founders: n, Fresh: true})
		}
		w.RunFor(3 * time.Second)
		w.OnEvent = func(n *Node, e ownership.Event) {
			if l, is := e.(ownership.Left); is {
				left++
				if !l.Confirmed {
					behind++
				}
				w.After(100*time.Microsecond, func() { w.Crash(n) })
			}
		}
		for _, n := range w.Nodes {
			w.After(time.Duration(r.Int64N(int64(300*time.Millisecond))), func() { w.Input(n, ownership.Leave{}) })
		}
		w.RunFor(20 * time.Second)
	}
	if left != 450 || behind > most {
		t.Errorf("%d of 450 have left, %d of them without a word from anybody; at most %d", left, behind, most)
	}
}
