package simtest

import (
	"fmt"
	"testing"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// K4: one heartbeat per owner and round, however many locks: a client of three
// nodes that holds 100,000 locks sends as many messages as one that holds 1,000.
func TestHeartbeatsOf100000Locks(t *testing.T) {
	const ttl, rounds = 15 * time.Second, 12
	count := func(locks int) map[ownership.Kind]int {
		w := New(1)
		w.Net.MinDelay, w.Net.MeanDelay = 200*time.Microsecond, 0
		params := ownership.Params{Partitions: 271, Replicas: 3, MaxTTL: time.Minute, MembershipTTL: 2 * time.Second, DriftPPM: 10_000}
		for i := range 3 {
			w.Start(fmt.Sprint("n", i+1), ownership.Config{Params: params, Founders: 3, Fresh: true})
		}
		w.RunFor(10 * time.Second)
		holder := w.Nodes[0]
		held := 0
		sent := map[ownership.Kind]int{}
		w.OnEvent = func(_ *Node, e ownership.Event) {
			switch e.(type) {
			case ownership.Granted:
				held++
			case ownership.Lost:
				t.Fatalf("%+v", e)
			}
		}
		for i := range locks {
			w.Input(holder, ownership.Lock{Handle: ownership.Handle(i + 1), Key: fmt.Sprint("key-", i), TTL: ttl})
			if i%1000 == 0 {
				w.RunFor(time.Millisecond)
			}
		}
		w.RunFor(2 * ttl)
		if held != locks {
			t.Fatalf("%d of %d locks were granted", held, locks)
		}
		w.OnSend = func(_ *Node, e ownership.Envelope) { sent[e.Message.Kind()]++ }
		w.RunFor(rounds * ttl / 3)
		return sent
	}
	most := 100_000
	if fixedSeeds < 100 { // under the race detector
		most = 10_000
	}
	few, many := count(1000), count(most)
	for _, k := range []ownership.Kind{ownership.KindHeartbeat, ownership.KindHeartbeatAck, ownership.KindConfirm, ownership.KindConfirmAck} {
		t.Logf("%s: %d messages with 1,000 locks, %d with %d, in %d rounds", KindName(k), few[k], many[k], most, rounds)
	}
	// Two owners are other nodes; what goes to itself is not sent.
	if n := many[ownership.KindHeartbeat]; n > 2*(rounds+1) || n > few[ownership.KindHeartbeat]+2 {
		t.Errorf("%d heartbeats in %d rounds to two owners", n, rounds)
	}
}
