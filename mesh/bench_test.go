package mesh

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// What a Lock costs, beside what the network itself costs:
//
//	go test ./mesh -run '^$' -bench . -benchtime 2s
//
// Three nodes with three replicas in one process, on loopback. A Lock takes one
// message each way between the owner and a replica, and between the caller and
// the owner if those are two nodes.

var benchFleet = sync.OnceValue(func() []*Node {
	nodes := make([]*Node, 3)
	var listeners []net.Listener
	var seeds []string
	for range nodes {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		listeners = append(listeners, l)
		seeds = append(seeds, l.Addr().String())
	}
	for _, l := range listeners {
		l.Close()
	}
	var wg sync.WaitGroup
	for i := range nodes {
		wg.Go(func() {
			var err error
			nodes[i], err = Join(context.Background(), Config{
				Name: fmt.Sprint("node-", i), Bind: seeds[i], Seeds: seeds, Founders: 3, Fresh: true, Cluster: "bench",
				Logger: slog.New(slog.DiscardHandler),
			})
			if err != nil {
				panic(err)
			}
		})
	}
	wg.Wait()
	return nodes
})

// fleetFor closes the fleet of the benchmarks when the last of them is over.
func fleetFor(b *testing.B) []*Node {
	b.Helper()
	nodes := benchFleet()
	closeBenchFleet = func() {
		for _, n := range nodes {
			n.Close()
		}
	}
	return nodes
}

var closeBenchFleet = func() {}

// benchPair times Lock and Unlock of one caller, one after the other.
func benchPair(b *testing.B, n *Node, key string) {
	ctx := context.Background()
	var locking, unlocking time.Duration
	for b.Loop() {
		begin := time.Now()
		l, err := n.Lock(ctx, key)
		if err != nil {
			b.Fatal(err)
		}
		locked := time.Now()
		if err := l.Unlock(ctx); err != nil {
			b.Fatal(err)
		}
		locking += locked.Sub(begin)
		unlocking += time.Since(locked)
	}
	b.ReportMetric(float64(locking.Nanoseconds())/float64(b.N), "ns/Lock")
	b.ReportMetric(float64(unlocking.Nanoseconds())/float64(b.N), "ns/Unlock")
}

func BenchmarkCallerIsOwner(b *testing.B) {
	nodes := fleetFor(b)
	benchPair(b, nodes[0], benchKey(nodes[0], nodes[0].ID()))
}

func BenchmarkCallerIsNotOwner(b *testing.B) {
	nodes := fleetFor(b)
	benchPair(b, nodes[0], benchKey(nodes[0], nodes[1].ID()))
}

func benchKey(n *Node, owner NodeID) string {
	v := n.View()
	for p, at := range v.Partitions {
		if at.Owner == owner {
			return keyIn(p, len(v.Partitions))
		}
	}
	panic("it owns nothing")
}

// BenchmarkPairs64 is Lock and Unlock from 64 goroutines over three nodes, each
// with keys of its own.
func BenchmarkPairs64(b *testing.B) {
	nodes := fleetFor(b)
	ctx := context.Background()
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for g := range 64 {
		wg.Go(func() {
			n := nodes[g%len(nodes)]
			for i := 0; next.Add(1) <= int64(b.N); i++ {
				l, err := n.Lock(ctx, fmt.Sprintf("pair-%d-%d", g, i%16))
				if err != nil {
					b.Error(err)
					return
				}
				if err := l.Unlock(ctx); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pairs/s")
}

// BenchmarkLoopbackPingPong is the floor: 100 bytes there and back over one TCP
// connection, between two goroutines that wait for each other.
func BenchmarkLoopbackPingPong(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		io.Copy(conn, struct{ io.Reader }{conn})
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	buf := make([]byte, 100)
	for b.Loop() {
		if _, err := conn.Write(buf); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(conn, buf); err != nil {
			b.Fatal(err)
		}
	}
}
