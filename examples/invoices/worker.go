package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/lockmesh/lockmesh/mesh"
)

const (
	founders = 5               // workers at the fleet's first start
	leaseTTL = 2 * time.Second // short, so that a dead worker's lock is free again soon
	batch    = 20              // invoices that a worker asks the ledger for at a time
	patience = time.Second / 2 // with the mesh; then the worker goes on with the next invoice
)

type worker struct {
	node   *mesh.Node
	ledger ledgerClient
	log    *slog.Logger
}

// runWorker is a worker process. It ends when its standard input does, so it does not outlive the fleet.
func runWorker() error {
	flags := flag.NewFlagSet("worker", flag.ExitOnError)
	name := flags.String("name", "", "name of this worker")
	bind := flags.String("bind", "", "address of its mesh node")
	seeds := flags.String("seeds", "", "addresses of the mesh nodes")
	ledger := flags.String("ledger", "", "URL of the ledger")
	flags.Parse(os.Args[2:])

	ctx, stop := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	node, err := mesh.Join(ctx, mesh.Config{
		Name:     *name,
		Bind:     *bind,
		Seeds:    strings.Split(*seeds, ","),
		Founders: founders,
		Fresh:    true, // nothing of this mesh ran before, so nobody can still hold a lock: grant at once
		Logger:   log,
	})
	if err != nil {
		return err
	}
	defer node.Close()
	go reportViews(node)

	w := &worker{node: node, ledger: ledgerClient{url: *ledger, worker: *name}, log: log}
	if err := w.run(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	<-ctx.Done() // all are paid; but another worker, late, may need the locks that this node owns
	return nil
}

// run pays invoices until none is open. All workers ask for the same list and go through it in the same
// order, so they race for each invoice.
func (w *worker) run(ctx context.Context) error {
	for {
		open, err := w.ledger.open(ctx, batch)
		if err != nil || len(open) == 0 {
			return err
		}
		for _, inv := range open {
			// With the last few there is nothing to do but to wait for a turn: one may be a dead worker's.
			err := w.process(ctx, inv, len(open) <= founders)
			switch {
			case err == nil, errors.Is(err, mesh.ErrLocked): // it is paid, or another worker has it
			case ctx.Err() != nil:
				return err
			default: // the mesh is just replacing a node, or our write was refused: it may be on the next list again
				w.log.Warn("not paid", "invoice", inv.Number, "err", err)
			}
		}
	}
}

// process pays the invoice, unless it is paid. If another worker holds the lock it fails with
// mesh.ErrLocked, or waits its turn.
func (w *worker) process(ctx context.Context, inv invoice, wait bool) error {
	lockCtx, cancel := context.WithTimeout(ctx, patience) // bounds the waiting for the lock and for its release
	defer cancel()
	acquire := w.node.TryLock
	if wait {
		acquire = w.node.Lock
	}
	lock, err := acquire(lockCtx, "invoice/"+inv.Number, mesh.TTL(leaseTTL))
	if err != nil {
		return err
	}
	defer lock.Unlock(lockCtx)

	paid, err := w.ledger.check(ctx, inv, lock.Token())
	if err != nil || paid {
		return err
	}
	// Right here this process may stand still for longer than its lease lasts, and no look at lock.Done()
	// can rule that out: it may happen after the look. So the write carries the token, and the ledger judges.
	return w.ledger.pay(ctx, inv, lock.Token())
}
