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

// Many read, one writes.
func ExampleShared() {
	node := alone()
	defer node.Close()
	ctx := context.Background()

	first, _ := node.Lock(ctx, "prices", mesh.Shared())
	second, _ := node.Lock(ctx, "prices", mesh.Shared())
	fmt.Println(first.Mode(), second.Mode())

	_, err := node.TryLock(ctx, "prices") // exclusively
	fmt.Println(errors.Is(err, mesh.ErrLocked))
	first.Unlock(ctx)
	second.Unlock(ctx)
	// Output:
	// shared shared
	// true
}

// A semaphore keeps a fleet to three calls at a time.
func ExamplePermits() {
	node := alone()
	defer node.Close()
	ctx := context.Background()

	for range 3 {
		if _, err := node.Lock(ctx, "api", mesh.Permits(1, 3)); err != nil {
			log.Fatal(err)
		}
	}
	_, err := node.TryLock(ctx, "api", mesh.Permits(1, 3))
	fmt.Println(errors.Is(err, mesh.ErrLocked))
	_, err = node.Lock(ctx, "api", mesh.Permits(1, 5)) // others think that there are three
	fmt.Println(errors.Is(err, mesh.ErrCapacity))
	// Output:
	// true
	// true
}

// Read first, and write only if that is needed: others read meanwhile, and no two
// that want to write wait for each other.
func ExampleUpdate() {
	node := alone()
	defer node.Close()
	ctx := context.Background()

	reader, _ := node.Lock(ctx, "catalogue", mesh.Shared())
	lock, err := node.Lock(ctx, "catalogue", mesh.Update())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(lock.Mode(), "beside", reader.Mode())
	reader.Unlock(ctx)

	before := lock.Token()
	if err := lock.Upgrade(ctx); err != nil { // waits for readers
		log.Fatal(err)
	}
	fmt.Println(lock.Mode(), lock.Token() > before)
	// Output:
	// update beside shared
	// exclusive true
}

// Of two shared locks that are to become exclusive each would wait for the other:
// the second is refused, and lets the first one through.
func ExampleLock_Upgrade() {
	node := alone()
	defer node.Close()
	ctx := context.Background()

	first, _ := node.Lock(ctx, "catalogue", mesh.Update())
	second, _ := node.Lock(ctx, "catalogue", mesh.Shared())
	fmt.Println(errors.Is(second.Upgrade(ctx), mesh.ErrLocked))
	second.Unlock(ctx)
	fmt.Println(first.Upgrade(ctx), first.Mode())
	// Output:
	// true
	// <nil> exclusive
}

// After writing let readers in, without letting another writer between.
func ExampleLock_Downgrade() {
	node := alone()
	defer node.Close()
	ctx := context.Background()

	lock, _ := node.Lock(ctx, "catalogue")
	if err := lock.Downgrade(ctx); err != nil {
		log.Fatal(err)
	}
	reader, err := node.TryLock(ctx, "catalogue", mesh.Shared())
	fmt.Println(lock.Mode(), reader.Mode(), err)
	// Output: shared shared <nil>
}

// The holder leaves a value that everybody can read, also when it has gone.
func ExampleLock_SetValue() {
	node := alone()
	defer node.Close()
	ctx := context.Background()

	lock, _ := node.Lock(ctx, "import/customers")
	if err := lock.SetValue(ctx, []byte("line 1200")); err != nil {
		log.Fatal(err)
	}
	lock.Unlock(ctx)

	value, err := node.Value(ctx, "import/customers")
	fmt.Printf("%s %v %v\n", value.Data, value.Token == lock.Token(), err)

	// Without the lock nothing is written.
	err = lock.SetValue(ctx, []byte("line 1300"))
	fmt.Println(errors.Is(err, mesh.ErrNotHolder), errors.Is(err, mesh.ErrReleased))
	// Output:
	// line 1200 true <nil>
	// true true
}

// When the lock is lost, not when it is unlocked, the key stays closed for a while.
func ExampleDelay() {
	node := alone()
	defer node.Close()
	ctx := context.Background()

	lost, _ := node.Lock(ctx, "valve", mesh.TTL(100*time.Millisecond), mesh.NoRenew(), mesh.Delay(300*time.Millisecond))
	<-lost.Done()
	end := time.Now()
	if _, err := node.Lock(ctx, "valve"); err != nil {
		log.Fatal(err)
	}
	fmt.Println(time.Since(end) > 300*time.Millisecond)
	// Output: true
}

// Who holds a key, who waits for it, and what its value is.
func ExampleNode_Inspect() {
	node := alone()
	defer node.Close()
	ctx := context.Background()

	lock, _ := node.Lock(ctx, "deploy/production", mesh.Note("release 42"))
	lock.SetValue(ctx, []byte("step 3 of 5"))
	state, err := node.Inspect(ctx, "deploy/production")
	if err != nil {
		log.Fatal(err)
	}
	for _, h := range state.Holders {
		fmt.Printf("%s (%s), %s\n", h.Node, h.Note, h.Mode)
	}
	fmt.Printf("%d wait; %s\n", state.Waiting, state.Value.Data)
	// Output:
	// worker-1 (release 42), exclusive
	// 0 wait; step 3 of 5
}

// The present state, and then every change: nobody polls.
func ExampleNode_Watch() {
	node := alone()
	defer node.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	var lock *mesh.Lock
	for state, err := range node.Watch(ctx, "orders/17") {
		switch {
		case err != nil:
			log.Fatal(err)
		case lock == nil:
			fmt.Println(len(state.Holders), "holders")
			lock, _ = node.Lock(ctx, "orders/17")
		case len(state.Holders) > 0:
			fmt.Println("held by", state.Holders[0].Node)
			lock.Unlock(ctx)
		default:
			fmt.Println("free again")
			return
		}
	}
	// Output:
	// 0 holders
	// held by worker-1
	// free again
}

// Everything that is held anywhere in the mesh.
func ExampleNode_Locks() {
	node := alone()
	defer node.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	node.Lock(ctx, "orders/17")
	node.Lock(ctx, "orders/18", mesh.Shared())
	held := map[string]mesh.Mode{}
	for state, err := range node.Locks(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		held[state.Key] = state.Holders[0].Mode
	}
	fmt.Println(held)
	// Output: map[orders/17:exclusive orders/18:shared]
}

// An operator takes a lock from whoever holds it, by its token.
func ExampleNode_Release() {
	node := alone()
	defer node.Close()
	ctx := context.Background()

	lock, _ := node.Lock(ctx, "deploy/production")
	state, _ := node.Inspect(ctx, "deploy/production")
	if err := node.Release(ctx, "deploy/production", state.Holders[0].Token); err != nil {
		log.Fatal(err)
	}
	<-lock.Done()
	fmt.Println(lock.Err())

	// That token is nobody's any more.
	err := node.Release(ctx, "deploy/production", state.Holders[0].Token)
	fmt.Println(errors.Is(err, mesh.ErrNotHolder))
	// Output:
	// lock lost: an operator at node worker-1 released it
	// true
}

// A holder that can be interrupted hands over when somebody waits.
func ExampleOnContended() {
	node := alone()
	defer node.Close()
	ctx := context.Background()

	background, _ := node.Lock(ctx, "index", mesh.OnContended(func(lock *mesh.Lock) {
		lock.Unlock(ctx)
	}))
	if _, err := node.Lock(ctx, "index"); err != nil {
		log.Fatal(err)
	}
	fmt.Println(background.State())
	// Output: Released
}

// One sentence says why a request would wait.
func ExampleNode_Explain() {
	node := alone()
	defer node.Close()
	ctx := context.Background()

	fmt.Println(node.Explain(ctx, "orders/17"))
	// Output: "orders/17" is free: a request is granted at once (partition 186, owner worker-1)
}
