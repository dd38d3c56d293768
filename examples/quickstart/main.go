// Quickstart: a lock on one node, then one lock that three nodes compete for.
//
//	go run ./examples/quickstart
//
// One sees a token granted by a mesh of one node. Then three nodes, here in one process, form a mesh:
// while a holds the lock b is refused, c waits its turn and gets it when a lets go, with a higher token.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/lockmesh/lockmesh/mesh"
)

func main() {
	slog.SetLogLoggerLevel(slog.LevelWarn) // nodes log to slog.Default unless Config.Logger is set
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := one(ctx); err != nil {
		log.Fatal("one node: ", err)
	}
	if err := three(ctx); err != nil {
		log.Fatal("three nodes: ", err)
	}
}

// one is the program of the README.
func one(ctx context.Context) error {
	// README begin
	node, err := mesh.Join(ctx, mesh.Config{Bind: "127.0.0.1:0", Founders: 1, Fresh: true})
	if err != nil {
		return err
	}
	defer node.Leave(ctx)

	lock, err := node.Lock(ctx, "invoice/1001")
	if err != nil {
		return err
	}
	fmt.Println("one node: the lock is ours, with token", lock.Token())
	// Here goes the work. Stop it when lock.Done() is closed, and send the token along with each write:
	// the resource refuses a token lower than one it has seen.
	return lock.Unlock(ctx)
	// README end
}

func three(ctx context.Context) error {
	nodes, err := joinAll(ctx, "127.0.0.1:27941", "127.0.0.1:27942", "127.0.0.1:27943")
	if err != nil {
		return err
	}
	defer leaveAll(ctx, nodes)
	a, b, c := nodes[0], nodes[1], nodes[2]
	fmt.Println("three nodes: a mesh of", len(a.View().Members))

	lock, err := a.Lock(ctx, "invoice/1001")
	if err != nil {
		return err
	}
	fmt.Println("a holds the lock, with token", lock.Token())

	if _, err := b.TryLock(ctx, "invoice/1001"); !errors.Is(err, mesh.ErrLocked) {
		return fmt.Errorf("b expected ErrLocked, got: %v", err)
	}
	fmt.Println("b tries: locked")

	time.AfterFunc(time.Second, func() {
		fmt.Println("a lets go")
		lock.Unlock(ctx)
	})
	fmt.Println("c waits")
	next, err := c.Lock(ctx, "invoice/1001")
	if err != nil {
		return err
	}
	fmt.Println("c holds the lock, with token", next.Token(), "- higher:", next.Token() > lock.Token())
	return next.Unlock(ctx)
}

// leaveAll stops the nodes; each hands over what it owns.
func leaveAll(ctx context.Context, nodes []*mesh.Node) {
	for _, n := range nodes {
		n.Leave(ctx)
	}
}

// joinAll starts a node at each address. They start together, for each waits until all have met.
func joinAll(ctx context.Context, addrs ...string) ([]*mesh.Node, error) {
	nodes := make([]*mesh.Node, len(addrs))
	joined := make(chan error)
	for i, addr := range addrs {
		go func() {
			var err error
			nodes[i], err = mesh.Join(ctx, mesh.Config{
				Name:     string(rune('a' + i)),
				Bind:     addr,
				Seeds:    addrs,
				Founders: len(addrs),
				Fresh:    true, // no mesh of these nodes ran within the last minute, so no lock of it can be held
			})
			joined <- err
		}()
	}
	var errs []error
	for range addrs {
		errs = append(errs, <-joined)
	}
	return nodes, errors.Join(errs...)
}
