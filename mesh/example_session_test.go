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
	"github.com/lockmesh/lockmesh/transport"
)

// pair is a mesh of the nodes worker-1 and worker-2 in this process, without sockets.
func pair(ctx context.Context) (a, b *mesh.Node) {
	net := transport.NewMemory()
	var nodes [2]*mesh.Node
	var wg sync.WaitGroup
	for i := range nodes {
		wg.Go(func() {
			name := fmt.Sprint("worker-", i+1)
			node, err := mesh.Join(ctx, mesh.Config{
				Name: name, Bind: name + ":7946", Seeds: []string{"worker-1:7946"}, Founders: 2, Fresh: true,
				Logger: slog.New(slog.DiscardHandler),
				Env:    &mesh.Env{Network: mesh.InMemory(net)},
			})
			if err != nil {
				log.Fatal(err)
			}
			nodes[i] = node
		})
	}
	wg.Wait()
	return nodes[0], nodes[1]
}

// A session: locks that are held together and released together.
func ExampleNode_Lease() {
	node := alone()
	defer node.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	lease, err := node.Lease(ctx, 5*time.Second)
	if err != nil {
		log.Fatal(err)
	}
	for _, key := range []string{"camera/1", "camera/2"} {
		if _, err := node.Lock(ctx, key, mesh.InLease(lease)); err != nil {
			log.Fatal(err)
		}
	}
	// Work, and stop when lease.Done() is closed: nothing of it is held then.
	for _, lock := range lease.Locks() {
		fmt.Println(lock.Key(), "is", lock.State())
	}
	if err := lease.Revoke(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println(lease.Err())

	_, err = node.Lock(ctx, "camera/1", mesh.InLease(lease))
	fmt.Println(errors.Is(err, mesh.ErrReleased))
	// Output:
	// camera/1 is Held
	// camera/2 is Held
	// lease revoked
	// true
}

// Money goes from one account to another: both are locked, or none. Two transfers in
// opposite directions do not wait for each other for ever.
func ExampleNode_LockAll() {
	node := alone()
	defer node.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	balance := map[string]int{"alice": 100, "bob": 100}
	transfer := func(from, to string, amount int) {
		locks, err := node.LockAll(ctx, []string{from, to})
		if err != nil {
			log.Fatal(err)
		}
		balance[from] -= amount
		balance[to] += amount
		if err := locks.Unlock(ctx); err != nil {
			log.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() { transfer("alice", "bob", 5) })
		wg.Go(func() { transfer("bob", "alice", 3) })
	}
	wg.Wait()
	fmt.Println(balance)

	// An error names the key that was waited for, and says who holds it.
	if _, err := node.Lock(ctx, "bob", mesh.Note("audit")); err != nil {
		log.Fatal(err)
	}
	soon, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	_, err := node.LockAll(soon, []string{"bob", "alice"})
	fmt.Println(errors.Is(err, mesh.ErrLocked))
	var e *mesh.Error
	if errors.As(err, &e) {
		fmt.Println("waited for", e.Key)
	}
	// Output:
	// map[alice:80 bob:120]
	// true
	// waited for bob
}

func ExampleElection_Campaign() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	one, two := pair(ctx)
	defer one.Close()
	defer two.Close()

	term, err := one.Election("scheduler").Campaign(ctx, []byte("10.0.0.1:80"))
	if err != nil {
		log.Fatal(err)
	}
	// Lead, and stop when term.Done() is closed. Send term.Token() along with what
	// you write: see Fence.

	// Everybody else can see who leads, and hear of each change with Observe.
	leader, err := two.Election("scheduler").Leader(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s leads at %s\n", leader.Name, leader.Value)

	if err := term.Resign(ctx); err != nil {
		log.Fatal(err)
	}
	leader, err = two.Election("scheduler").Leader(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("somebody leads:", leader.Token != 0)
	// Output:
	// worker-1 leads at 10.0.0.1:80
	// somebody leads: false
}

func ExampleElection_Observe() {
	node := alone()
	defer node.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	election := node.Election("scheduler")
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := election.Campaign(ctx, []byte("10.0.0.1:80")); err != nil {
			log.Fatal(err)
		}
	})
	for leader, err := range election.Observe(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		if leader.Token != 0 {
			fmt.Printf("%s leads at %s\n", leader.Name, leader.Value)
			break
		}
	}
	wg.Wait()
	// Output: worker-1 leads at 10.0.0.1:80
}

// A leader hands over to a certain node before it is shut down.
func ExampleTerm_Transfer() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	one, two := pair(ctx)
	defer one.Close()
	defer two.Close()

	term, err := one.Election("scheduler").Campaign(ctx, []byte("10.0.0.1:80"))
	if err != nil {
		log.Fatal(err)
	}
	err = term.Transfer(ctx, "worker-2")
	fmt.Println(err)
	fmt.Println("the term goes on:", term.Err() == nil)

	next := make(chan *mesh.Term)
	go func() {
		term, err := two.Election("scheduler").Campaign(ctx, []byte("10.0.0.2:80"))
		if err != nil {
			log.Fatal(err)
		}
		next <- term
	}()
	for state, err := range one.Watch(ctx, one.Election("scheduler").Key()) {
		if err != nil {
			log.Fatal(err)
		}
		if state.Waiting > 0 {
			break
		}
	}
	if err := term.Transfer(ctx, "worker-2"); err != nil {
		log.Fatal(err)
	}
	fmt.Println(term.Err())
	fmt.Println("a higher token:", (<-next).Token() > term.Token())
	// Output:
	// lockmesh: Transfer "election/scheduler": "worker-2" does not wait in Campaign; nobody does
	// the term goes on: true
	// lock released: the term was handed over to worker-2
	// a higher token: true
}

// A holder that was paused beyond its deadline writes late.
func ExampleFence() {
	var (
		fence mesh.Fence
		mu    sync.Mutex
		state string
	)
	write := func(token uint64, v string) error {
		mu.Lock()
		defer mu.Unlock()
		if err := fence.Admit("orders/17", token); err != nil {
			return err
		}
		state = v
		return nil
	}

	fmt.Println(write(33, "packed"))
	fmt.Println(write(34, "sent")) // the next holder
	err := write(33, "packed again")
	fmt.Println(err)
	fmt.Println(errors.Is(err, mesh.ErrFenced), state)
	// Output:
	// <nil>
	// <nil>
	// lockmesh: Admit "orders/17": token 33 is fenced off: a later holder has come with 34
	// true sent
}
