package mesh

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/lockmesh/lockmesh/transport"
)

// TestMeasureHeartbeats prints what 100,000 held locks cost: three nodes over TCP in
// one process, all locks held by one of them, TTL 15 s. The same nodes without locks
// are what it is compared with. That it is one message per owner and round is shown
// by TestHeartbeatsOf100000Locks of package simtest.
//
//	go test ./mesh -run TestMeasureHeartbeats -v -measure
func TestMeasureHeartbeats(t *testing.T) {
	if !*measure {
		t.Skip("without -measure")
	}
	addrs := freePorts(t, 3)
	nodes := make([]*Node, len(addrs))
	var wg sync.WaitGroup
	for i, addr := range addrs {
		wg.Go(func() {
			n, err := Join(t.Context(), Config{Bind: addr, Seeds: addrs, Founders: len(addrs), Fresh: true, Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
			if err != nil {
				t.Error(err)
				return
			}
			nodes[i] = n
		})
	}
	if wg.Wait(); t.Failed() {
		return
	}
	// traffic is what the holder sends and receives in a while.
	traffic := func() (messages, bytes float64) {
		const span = 30 * time.Second
		stats := func() transport.Stats { return nodes[0].net.(*transport.TCP).Stats() }
		before, begin := stats(), time.Now()
		<-time.After(span)
		after, s := stats(), time.Since(begin).Seconds()
		return float64(after.Sent+after.Received-before.Sent-before.Received) / s,
			float64(after.BytesOut+after.BytesIn-before.BytesOut-before.BytesIn) / s
	}
	<-time.After(3 * time.Second) // the founding is over
	messages, bytes := traffic()
	fmt.Printf("no locks:        %6.1f messages and %7.0f bytes a second, in and out\n", messages, bytes)
	held := 0
	for _, locks := range []int{1000, 100_000} {
		begin := time.Now()
		take(t, nodes[0], held, locks)
		held = locks
		took := time.Since(begin)
		m, b := traffic()
		fmt.Printf("%7d locks:   %6.1f messages and %7.0f bytes a second more (all were locked within %v)\n", locks, m-messages, b-bytes, took.Round(100*time.Millisecond))
	}
	for _, n := range nodes {
		if l := n.Health(); !l.Serving {
			t.Error(l)
		}
		n.Close()
	}
}

// take locks keys from … to with 64 callers.
func take(t *testing.T, n *Node, from, to int) {
	var wg sync.WaitGroup
	for c := range 64 {
		wg.Go(func() {
			for i := from + c; i < to; i += 64 {
				if _, err := n.Lock(context.Background(), fmt.Sprint("key-", i)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}
