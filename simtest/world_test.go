package simtest

import (
	"fmt"
	"testing"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

var testParams = ownership.Params{Partitions: 4, Replicas: 3, MaxTTL: 20 * time.Second, MembershipTTL: 2 * time.Second, DriftPPM: 10000}

func TestThreeFoundAndLock(t *testing.T) {
	w := New(1)
	var log []string
	w.OnEvent = func(n *Node, e ownership.Event) { log = append(log, fmt.Sprintf("%v %s %T%+v", w.Now, n, e, e)) }
	for _, name := range []string{"a", "b", "c"} {
		w.Start(name, ownership.Config{Params: testParams, Founders: 3, Fresh: true})
	}
	granted := false
	w.After(3*time.Second, func() {
		w.Input(w.Node("b"), ownership.Lock{Handle: 1, Key: "k", TTL: 5 * time.Second})
	})
	on := w.OnEvent
	w.OnEvent = func(n *Node, e ownership.Event) {
		on(n, e)
		if _, ok := e.(ownership.Granted); ok {
			granted = true
		}
	}
	w.RunFor(10 * time.Second)
	if !granted {
		t.Fatal("not granted")
	}
	for _, l := range log[:min(len(log), 60)] {
		if len(l) > 200 {
			l = l[:200]
		}
		t.Log(l)
	}
	t.Log(w.Steps)
}
