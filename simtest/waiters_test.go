package simtest

import (
	"fmt"
	"testing"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// K2: first come, first served, over all nodes and over a change of the owner:
// 1,000 callers on the four other nodes wait for one key, and its owner dies when 300
// have had it. All get it, in the order in which they came, each with a higher token.
func TestThousandWaitersOverACrash(t *testing.T) {
	const waiters, before = 1000, 300
	w := New(1)
	ch := NewChecker(w)
	params := ownership.Params{Partitions: 1, Replicas: 3, MaxTTL: time.Minute, MembershipTTL: 2 * time.Second, DriftPPM: 10_000}
	for i := range 5 {
		w.Start(fmt.Sprint("n", i+1), ownership.Config{Params: params, Founders: 5, Fresh: true})
	}
	w.RunFor(5 * time.Second)
	owner := w.ByID(w.Nodes[0].Core.View().Groups[0].Owner())

	var nodes []*Node // those that stay
	for _, n := range w.Nodes {
		if n != owner {
			nodes = append(nodes, n)
		}
	}
	var granted []*Call
	last := time.Duration(0) // when the last one was granted
	check := w.OnEvent
	w.OnEvent = func(n *Node, e ownership.Event) {
		check(n, e)
		if g, is := e.(ownership.Granted); is {
			c := ch.Call(n, g.Handle)
			granted = append(granted, c)
			last = w.Now
			if c.Handle <= waiters {
				w.After(2*time.Millisecond, func() { ch.Unlock(c) })
			}
		}
	}
	first := ch.Lock(nodes[0], ownership.Lock{Handle: waiters + 1, Key: "k", TTL: 15 * time.Second})
	w.RunFor(time.Second)
	for i := range waiters { // all come while the first one holds it
		ch.Lock(nodes[i%4], ownership.Lock{Handle: ownership.Handle(i + 1), Key: "k", TTL: 15 * time.Second})
		w.RunFor(3 * time.Millisecond)
	}
	if first.Granted == 0 || len(granted) != 1 {
		t.Fatalf("%d granted while the first one holds the key", len(granted))
	}
	granted = nil
	ch.Unlock(first)
	if !w.RunUntil(w.Now+time.Minute, func() bool { return len(granted) == before }) {
		t.Fatalf("%d of %d were granted", len(granted), before)
	}
	w.Crash(owner)
	crashed := w.Now
	if !w.RunUntil(w.Now+5*time.Minute, func() bool { return len(granted) == waiters }) {
		t.Fatalf("%d of %d were granted", len(granted), waiters)
	}
	caller := -1
	for i, c := range granted {
		n := int(c.Handle) - 1
		if n <= caller {
			t.Errorf("grant %d went to caller %d after %d", i, n, caller)
		}
		if i > 0 && c.Token <= granted[i-1].Token {
			t.Errorf("caller %d has token %s after %s", n, tokenText(c.Token), tokenText(granted[i-1].Token))
		}
		caller = n
	}
	for _, f := range ch.Failures {
		t.Error(f)
	}
	t.Logf("%d of %d granted in order, %d of them after the owner crashed; the last one %v after the crash", len(granted), waiters, len(granted)-before, last-crashed)
}
