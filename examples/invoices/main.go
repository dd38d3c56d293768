// Invoices: five worker processes race for the same 300 invoices. Each invoice is paid exactly once,
// although one worker is killed and another frozen, both in the middle of a payment.
//
//	go run ./examples/invoices
//
// It needs no flags and no services and takes about 20 seconds. One sees a bar that fills, how many
// partitions of the lock table each worker owns, and four events: a worker is killed (SIGKILL) with a
// lock in its hand, and the lock is granted again; a worker is frozen (SIGSTOP) for longer than its
// lease, and its late write is refused; a fresh worker joins. The last line is the account:
//
//	invoices: 300 processed, 0 twice, 0 missed, 1 worker killed, 1 frozen, N stale writes refused
//
// The exit status is 1 if an invoice was processed twice or missed, or if no stale write was seen.
//
// Where to look: worker.go is the code to copy. ledger.go is the shared resource, with the fence.
// story.go says what happens to the workers, fleet.go does it, show.go prints.
package main

import (
	"context"
	_ "embed"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// An invoice is one row of invoices.csv.
type invoice struct {
	Number, Customer, Currency string
	Amount                     string // decimal, two places
	Due                        string // yyyy-mm-dd
}

//go:embed invoices.csv
var invoicesCSV string

func readInvoices() ([]invoice, error) {
	rows, err := csv.NewReader(strings.NewReader(invoicesCSV)).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("invoices.csv: %w", err)
	}
	var list []invoice
	for _, r := range rows[1:] { // the first row is the header
		list = append(list, invoice{Number: r[0], Customer: r[1], Currency: r[2], Amount: r[3], Due: r[4]})
	}
	return list, nil
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "worker" { // the fleet starts this program again for each worker
		if err := runWorker(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	account, err := runFleet()
	if err != nil {
		fmt.Fprintln(os.Stderr, "invoices:", err)
	}
	fmt.Println(account)
	if err != nil || !account.good() {
		os.Exit(1)
	}
}

// runFleet is the parent process: it owns the ledger, runs the workers and draws up the account.
func runFleet() (account, error) {
	interrupt, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(interrupt, time.Minute, errors.New("not finished after a minute"))
	defer cancel()

	invoices, err := readInvoices()
	if err != nil {
		return account{}, err
	}
	dir, err := os.MkdirTemp("", "invoices-")
	if err != nil {
		return account{}, err
	}
	defer os.RemoveAll(dir)
	ledger, err := newLedger(filepath.Join(dir, "ledger.db"), invoices)
	if err != nil {
		return account{}, err
	}
	defer ledger.close()

	fleet := newFleet(ledger, len(invoices))
	err = fleet.run(ctx)
	if err != nil && interrupt.Err() == nil {
		err = errors.Join(err, fleet.lastWords())
	}
	sum, auditErr := fleet.account()
	return sum, errors.Join(err, auditErr)
}

// An account says what became of the invoices.
type account struct {
	processed, twice, missed int
	killed, frozen, refused  int
}

func (a account) String() string {
	return fmt.Sprintf("invoices: %d processed, %d twice, %d missed, %d worker killed, %d frozen, %d stale writes refused",
		a.processed, a.twice, a.missed, a.killed, a.frozen, a.refused)
}

// good reports whether every invoice was processed once, and the fence was seen at work.
func (a account) good() bool { return a.twice == 0 && a.missed == 0 && a.refused > 0 }
