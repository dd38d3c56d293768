// Leases: several locks that share one fate, a value that only the holder of its key writes, and a
// resource that refuses whoever comes late.
//
//	go run ./examples/leases
//
// It takes about 2 seconds. Two workers, here in one process, form a mesh. One sees worker-2 fall
// asleep over a report until its lock has run out; worker-1 take the report over under a lease, and
// leave word of how far it is; worker-2 wake up and be refused, by the mesh and by the report itself;
// worker-1 lock three more keys with one call; and all four come free at once when it revokes the
// lease. The word that it left is still there.
package main

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

const job = "job/report"

func main() {
	slog.SetLogLoggerLevel(slog.LevelWarn) // nodes log to slog.Default unless Config.Logger is set
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	nodes, err := joinAll(ctx, "worker-1", "worker-2")
	if err == nil {
		err = run(ctx, nodes[0], nodes[1])
	}
	for _, n := range nodes {
		n.Leave(ctx)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, one, two *mesh.Node) error {
	report := &document{}
	asleep, err := fallAsleep(ctx, two, report)
	if err != nil {
		return err
	}
	lease, err := takeOver(ctx, one, two, report)
	if err != nil {
		return err
	}
	if err := wakeUp(ctx, asleep, report); err != nil {
		return err
	}
	return revoke(ctx, one, two, lease)
}

// A document is a resource that the lock of its job guards. Its fence refuses the token of a holder
// when a later one has been there: the lock alone cannot stop somebody who does not know that it is lost.
type document struct {
	fence mesh.Fence
	mu    sync.Mutex // from the question to the end of the write
	text  string
}

func (d *document) write(token uint64, text string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.fence.Admit(job, token); err != nil {
		return err
	}
	d.text = text
	return nil
}

// fallAsleep is a worker that holds the job and does nothing more: its lock runs out.
func fallAsleep(ctx context.Context, two *mesh.Node, report *document) (*mesh.Lock, error) {
	lock, err := two.Lock(ctx, job, mesh.TTL(time.Second), mesh.NoRenew())
	if err != nil {
		return nil, err
	}
	fmt.Println("worker-2 has the report for a second, with token", lock.Token(), "- and falls asleep")
	return lock, report.write(lock.Token(), "chapter 1, by worker-2")
}

// takeOver locks the job under a lease, and says in its value how far the work is.
func takeOver(ctx context.Context, one, two *mesh.Node, report *document) (*mesh.Lease, error) {
	lease, err := one.Lease(ctx, 10*time.Second)
	if err != nil {
		return nil, err
	}
	lock, err := one.Lock(ctx, job, mesh.InLease(lease), mesh.Note("report for May"))
	if err != nil {
		return nil, err
	}
	fmt.Println("worker-1 has it when that second is over, under a lease, with token", lock.Token())
	if err := report.write(lock.Token(), "chapter 2, by worker-1"); err != nil {
		return nil, err
	}
	if err := lock.SetValue(ctx, []byte("2 of 9 chapters")); err != nil {
		return nil, err
	}
	value, err := two.Value(ctx, job)
	if err != nil {
		return nil, err
	}
	fmt.Printf("it says how far it is, and worker-2 reads: %q, written with token %d\n", value.Data, value.Token)
	return lease, nil
}

// wakeUp is the worker that does not know yet: late.Done() is closed, but it has not looked. Both of its
// writes are refused.
func wakeUp(ctx context.Context, late *mesh.Lock, report *document) error {
	fmt.Println("worker-2 wakes up, and goes on")
	err := late.SetValue(ctx, []byte("1 of 9 chapters"))
	if !errors.Is(err, mesh.ErrNotHolder) {
		return fmt.Errorf("worker-2 expected ErrNotHolder, got: %v", err)
	}
	fmt.Println("what it says of the progress is refused:", err)
	err = report.write(late.Token(), "chapter 1 again, by worker-2")
	if !errors.Is(err, mesh.ErrFenced) {
		return fmt.Errorf("worker-2 expected ErrFenced, got: %v", err)
	}
	fmt.Println("the report refuses what it writes:", err)
	fmt.Println("the report has:", report.text)
	return nil
}

// revoke locks more under the lease, and then ends it.
func revoke(ctx context.Context, one, two *mesh.Node, lease *mesh.Lease) error {
	more := []string{"printer/2", "paper/A4", "binder"}
	set, err := one.LockAll(ctx, more, mesh.InLease(lease)) // all or none, and no deadlock in whatever order others ask
	if err != nil {
		return err
	}
	fmt.Println("worker-1 locks three more keys with one call; each key counts its own tokens")
	for _, lock := range set.Locks() {
		fmt.Printf("   %-10s token %d\n", lock.Key(), lock.Token())
	}
	for _, lock := range lease.Locks() {
		if _, err := two.TryLock(ctx, lock.Key()); !errors.Is(err, mesh.ErrLocked) {
			return fmt.Errorf("worker-2 expected ErrLocked for %s, got: %v", lock.Key(), err)
		}
	}
	fmt.Println("worker-2 tries all", len(lease.Locks()), "keys of the lease: locked")

	if err := lease.Revoke(ctx); err != nil {
		return err
	}
	fmt.Println("worker-1 revokes the lease:", lease.Err())
	for _, key := range append(more, job) {
		if _, err := two.TryLock(ctx, key); err != nil {
			return err
		}
		fmt.Println("worker-2 tries", key+": it is free")
	}
	if _, err = one.Lock(ctx, "scanner", mesh.InLease(lease)); err == nil {
		return errors.New("a lease that was revoked took a lock")
	}
	fmt.Println("no lock can be taken into it any more:", err)
	value, err := one.Value(ctx, job)
	if err != nil {
		return err
	}
	fmt.Printf("what it said is still there: %q, written with token %d\n", value.Data, value.Token)
	return nil
}

// joinAll starts a node of each name. The first is a mesh of one, at a free port, that the others join;
// a real fleet gives all nodes the same Seeds and Founders, as the quickstart does.
func joinAll(ctx context.Context, names ...string) ([]*mesh.Node, error) {
	cfg := mesh.Config{Bind: "127.0.0.1:0", Cluster: "leases", Founders: 1, Fresh: true}
	var nodes []*mesh.Node
	for _, name := range names {
		cfg.Name = name
		n, err := mesh.Join(ctx, cfg)
		if err != nil {
			return nodes, err
		}
		nodes = append(nodes, n)
		cfg.Seeds, cfg.Founders = []string{nodes[0].Addr()}, 2
	}
	return nodes, nil
}
