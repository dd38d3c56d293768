package mesh_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"sync"
	"time"

	"github.com/lockmesh/lockmesh/mesh"
)

// alone is a mesh of one node, for the examples below. A real fleet sets Seeds
// and Founders instead: see ExampleJoin.
func alone() *mesh.Node {
	node, err := mesh.Join(context.Background(), mesh.Config{
		Name:   "worker-1",
		Bind:   "127.0.0.1:0",
		Fresh:  true, // nothing of this cluster ran before
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		log.Fatal(err)
	}
	return node
}

// Two nodes found a mesh. In a fleet each runs in a process of its own, with the
// same Seeds and Founders everywhere.
func ExampleJoin() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	seeds := []string{"127.0.0.1:17946", "127.0.0.1:17947"}
	nodes := make([]*mesh.Node, len(seeds))
	var wg sync.WaitGroup
	for i, bind := range seeds {
		wg.Go(func() {
			node, err := mesh.Join(ctx, mesh.Config{
				Name:     fmt.Sprint("payments-", i+1),
				Bind:     bind,
				Seeds:    seeds,
				Founders: 2, // the size of the fleet at its first start
				// Nothing of this cluster ran within the last Params.MaxTTL, so
				// nobody can still hold a lock of it. Without Fresh a newly founded
				// mesh waits that long before it grants.
				Fresh:  true,
				Logger: slog.New(slog.DiscardHandler),
			})
			if err != nil {
				log.Fatal(err)
			}
			nodes[i] = node
		})
	}
	wg.Wait()
	for _, node := range nodes {
		fmt.Println("a view of", len(node.View().Members), "members")
	}
	for _, node := range nodes {
		node.Close()
	}
	// Output:
	// a view of 2 members
	// a view of 2 members
}

func ExampleNode_Lock() {
	node := alone()
	defer node.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	lock, err := node.Lock(ctx, "orders/17", mesh.TTL(5*time.Second), mesh.Note("nightly export"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(lock.Key(), "is", lock.State())

	// Work, and stop when lock.Done() is closed. Send lock.Token() along with
	// what you write.
	select {
	case <-lock.Done():
		fmt.Println("lost:", lock.Err())
	default:
	}

	if err := lock.Unlock(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println(lock.Key(), "is", lock.State())
	// Output:
	// orders/17 is Held
	// orders/17 is Released
}

func ExampleNode_TryLock() {
	node := alone()
	defer node.Close()
	ctx := context.Background()

	lock, err := node.TryLock(ctx, "orders/17", mesh.Note("nightly export"))
	if err != nil {
		log.Fatal(err)
	}
	_, err = node.TryLock(ctx, "orders/17")
	fmt.Println(errors.Is(err, mesh.ErrLocked))
	fmt.Println(err)
	lock.Unlock(ctx)
	// Output:
	// true
	// lockmesh: TryLock "orders/17": held by worker-1, this node itself (locks are not reentrant) (note "nightly export")
}

func ExampleNode_Do() {
	node := alone()
	defer node.Close()

	err := node.Do(context.Background(), "orders/17", func(ctx context.Context, lock *mesh.Lock) error {
		// ctx ends when the lock is lost.
		fmt.Println("working on", lock.Key())
		return ctx.Err()
	})
	fmt.Println(err)
	// Output:
	// working on orders/17
	// <nil>
}

// A lock that is not renewed by itself runs out after its TTL.
func ExampleNoRenew() {
	node := alone()
	defer node.Close()
	ctx := context.Background()

	lock, err := node.Lock(ctx, "orders/17", mesh.TTL(50*time.Millisecond), mesh.NoRenew())
	if err != nil {
		log.Fatal(err)
	}
	<-lock.Done()
	fmt.Println(lock.Err())
	fmt.Println(errors.Is(lock.Unlock(ctx), mesh.ErrLost))
	// Output:
	// lock lost: its TTL has run out (it was taken with NoRenew)
	// true
}

// Leave hands everything over: no key waits for a timeout.
func ExampleNode_Leave() {
	node := alone()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	lock, err := node.Lock(ctx, "orders/17")
	if err != nil {
		log.Fatal(err)
	}
	if err := node.Leave(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println(lock.State())
	_, err = node.Lock(ctx, "orders/17")
	fmt.Println(err)
	// Output:
	// Released
	// lockmesh: Lock "orders/17": node closed
}

func ExampleNode_Health() {
	node := alone()
	defer node.Close()
	fmt.Println(node.Health().Serving)
	// Output: true
}
