package simtest

import (
	"testing"
	"time"
)

// The heap gives events in the order of their times, and of posting at one time.
func TestQueueOrder(t *testing.T) {
	var q queue
	s := newSwarm(1, Options{})
	for i := range 5000 {
		q.push(time.Duration(s.r.IntN(300)), event{sent: time.Duration(i)})
		if s.r.IntN(3) == 0 {
			q.pop()
		}
	}
	var last time.Duration = -1
	var order time.Duration = -1
	for q.len() > 0 {
		at, e := q.pop()
		if at < last || at == last && e.sent < order {
			t.Fatalf("event %d of %v after %d of %v", e.sent, at, order, last)
		}
		last, order = at, e.sent
	}
}
