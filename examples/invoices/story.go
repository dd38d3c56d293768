package main

import (
	"context"
	"fmt"
	"time"
)

// The story is what happens to the fleet, in order. The accidents need exact timing, and get it without
// any help from the workers: a worker that asks the ledger whether an invoice is open holds its lock,
// and while the ledger holds back the answer it has not paid yet.
func (f *fleet) story(ctx context.Context) error {
	seeds, err := freeAddrs(founders)
	if err != nil {
		return err
	}
	f.seeds = seeds
	f.show.event("%d workers start, each a process with a mesh node, to pay %d invoices", founders, f.total)
	for i, addr := range seeds {
		if err := f.start(fmt.Sprintf("w%d", i+1), addr); err != nil {
			return err
		}
	}
	if err := f.killOne(ctx); err != nil {
		return err
	}
	if err := f.freezeOne(ctx); err != nil {
		return err
	}
	return f.until(ctx, func() bool { return len(f.paid) == f.total })
}

// killOne kills a worker that holds a lock, and waits until the lock is granted again.
func (f *fleet) killOne(ctx context.Context) error {
	dead, err := f.await(ctx, f.catchAsking(f.total/4))
	if err != nil {
		return err
	}
	again := f.catch(func(c call) bool { return c.Invoice.Number == dead.Invoice.Number && c.Token > dead.Token })
	killed := time.Now()
	if err := f.kill(dead.Worker); err != nil {
		return err
	}
	f.show.alert("%s killed (SIGKILL) holding %s", dead.Worker, dead.Invoice.Number)

	next, err := f.await(ctx, again)
	if err != nil {
		return err
	}
	next.answer()
	f.show.event("%s granted again, to %s, %.1f s after the kill (lease %v)",
		next.Invoice.Number, next.Worker, time.Since(killed).Seconds(), leaseTTL)

	// A lock's state is kept by three nodes and outlives one of them. So before the next accident wait
	// until the mesh has replaced the dead one.
	return f.until(ctx, func() bool { return !f.view.has(dead.Worker) })
}

// freezeOne freezes a worker between its look at the ledger and its write, until its lock was granted to
// another. Meanwhile a fresh worker joins.
func (f *fleet) freezeOne(ctx context.Context) error {
	late, err := f.await(ctx, f.catchAsking(f.total/2))
	if err != nil {
		return err
	}
	ofOther := f.catch(func(c call) bool {
		return c.op == "pay" && c.err == nil && c.Invoice.Number == late.Invoice.Number && c.Token > late.Token
	})
	ofLate := f.catch(func(c call) bool {
		return c.op == "pay" && c.Invoice.Number == late.Invoice.Number && c.Token == late.Token
	})
	frozen := time.Now()
	if err := f.freeze(late.Worker); err != nil {
		return err
	}
	f.show.alert("%s frozen (SIGSTOP) holding %s; token %d", late.Worker, late.Invoice.Number, late.Token)

	fresh := fmt.Sprintf("w%d", founders+1)
	if err := f.until(ctx, func() bool { return len(f.paid) >= f.total*6/10 }); err != nil {
		return err
	}
	if err := f.start(fresh, "127.0.0.1:0"); err != nil {
		return err
	}
	f.show.event("%s starts, a fresh worker", fresh)

	other, err := f.await(ctx, ofOther)
	if err != nil {
		return err
	}
	other.answer()
	f.show.event("%s granted to %s, which pays it; token %d", other.Invoice.Number, other.Worker, other.Token)

	if err := f.until(ctx, func() bool { return f.view.has(fresh) && time.Since(frozen) > leaseTTL+2*time.Second }); err != nil {
		return err
	}
	late.answer()
	if err := f.thaw(late.Worker); err != nil {
		return err
	}
	f.show.alert("%s thawed (SIGCONT) after %.1f s; it pays, as if it still held the lock", late.Worker, time.Since(frozen).Seconds())
	write, err := f.await(ctx, ofLate)
	if err != nil {
		return err
	}
	write.answer()
	verdict := "accepted: a second payment"
	if write.err != nil {
		verdict = "refused: " + write.err.Error()
	}
	f.show.alert("late payment of %s with token %d %s", write.Worker, write.Token, verdict)
	return nil
}

// catchAsking catches a worker that holds the lock of an open invoice, once so many invoices are paid.
func (f *fleet) catchAsking(paid int) <-chan heldCall {
	return f.catch(func(c call) bool { return c.op == "check" && c.err == nil && !c.paid && len(f.paid) >= paid })
}
