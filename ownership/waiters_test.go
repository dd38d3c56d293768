package ownership_test

import (
	"testing"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// TestK2LostWaiters: "A waiter refreshes itself … and is lost when TTL·(1+d)
// passed without." It is, too, behind a lock that is held for long: else every
// candidate that crashed would stand in an election's queue for ever.
func TestK2LostWaiters(t *testing.T) {
	params := ownership.Params{Partitions: 1, Replicas: 1, MaxTTL: 10 * time.Second, MembershipTTL: time.Second, DriftPPM: 10_000}
	now := ownership.Time(time.Hour)
	c := ownership.New(ownership.Config{ID: 1, Client: 1, Params: params, Founders: 1, Fresh: true}, now)
	pass := func(d time.Duration) {
		for end := now + ownership.Time(d); now < end; {
			out := c.Step(now, ownership.Tick{Wall: 1_700_000_000})
			now = min(max(out.Wake, now+1), end)
		}
	}
	pass(time.Second)
	c.Step(now, ownership.Lock{Handle: 1, Key: "leader", TTL: 3 * time.Second})
	wait := func(client ownership.ClientID) {
		v := c.Status(now).View
		c.Step(now, ownership.Receive{From: 100, Mesh: v.Mesh, Message: ownership.Acquire{Request: ownership.RequestID{Client: client, Seq: 1},
			Low: 1, Term: v.Groups[0].Term, Key: "leader", Lease: 1, TTL: 5 * time.Second, Sent: 1}})
	}
	for client := range ownership.ClientID(20) { // they crash at once
		wait(1000 + client)
	}
	for range 30 { // this one does not
		wait(2000)
		pass(time.Second)
	}
	s := c.Status(now).Partitions[0]
	if s.Held != 1 || s.Queued != 1 {
		t.Fatalf("%d held, %d queued; want the leader and the one that waits still", s.Held, s.Queued)
	}
	if s := c.Step(now, ownership.Unlock{Handle: 1}); len(s.Notify) != 1 {
		t.Fatalf("unlock: %+v", s.Notify)
	}
	if s := c.Status(now).Partitions[0]; s.Held != 1 || s.Queued != 0 {
		t.Errorf("%d held, %d queued; want the waiter as the next leader", s.Held, s.Queued)
	}
}
