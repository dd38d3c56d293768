package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	_ "modernc.org/sqlite" // an SQL database in pure Go; only this example uses it, package mesh does not
)

// The ledger is the resource that the locks protect: an SQL database. It trusts no worker to know whether
// it still holds a lock. Instead it keeps a fence: the highest fencing token it has seen for each invoice.
// A request with a lower token is refused, for somebody else was granted the lock since.
//
// Reads present their token too, and raise the fence. If only writes did, an old holder's write could
// still slip in between a new holder's read ("not paid yet") and its write.
type ledger struct {
	db *sql.DB

	// decided, if set, is told of every request after the ledger has decided it and before the worker
	// hears of it. It may hold back the answer: so the fleet knows what a worker is doing when it kills it.
	decided func(context.Context, call)
}

// The payments have no unique key on purpose: it would hide a double payment. Here one would be counted.
const schema = `
	CREATE TABLE fence (invoice TEXT PRIMARY KEY, token INTEGER NOT NULL);
	CREATE TABLE payments (invoice TEXT NOT NULL, amount TEXT NOT NULL, currency TEXT NOT NULL, worker TEXT NOT NULL);`

// raiseFence changes one row, or none if the token is lower than one seen before.
const raiseFence = `
	INSERT INTO fence (invoice, token) VALUES (?, ?)
	ON CONFLICT (invoice) DO UPDATE SET token = excluded.token WHERE excluded.token >= fence.token`

var errStale = errors.New("stale token")

// A request is what a worker sends about an invoice whose lock it holds, or believes it holds.
type request struct {
	Worker  string
	Token   uint64 // of the lock
	Invoice invoice
}

func openLedger(path string) (*ledger, error) {
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // one request at a time
	if _, err := db.Exec(schema); err != nil {
		db.Close()
		return nil, err
	}
	return &ledger{db: db}, nil
}

func (l *ledger) close() { l.db.Close() }

// check raises the fence to the token of r and reports whether its invoice is paid.
func (l *ledger) check(r request) (paid bool, err error) {
	err = l.fenced(r, func(tx *sql.Tx) error {
		return tx.QueryRow(`SELECT count(*) > 0 FROM payments WHERE invoice = ?`, r.Invoice.Number).Scan(&paid)
	})
	return paid, err
}

// pay books one payment of the invoice. It does not look whether there is one already: whoever holds the
// lock has asked check, and the fence stands for that.
func (l *ledger) pay(r request) error {
	return l.fenced(r, func(tx *sql.Tx) error {
		_, err := tx.Exec(`INSERT INTO payments VALUES (?, ?, ?, ?)`, r.Invoice.Number, r.Invoice.Amount, r.Invoice.Currency, r.Worker)
		return err
	})
}

// fenced raises the fence and runs fn in one transaction, or fails with errStale and changes nothing.
func (l *ledger) fenced(r request, fn func(*sql.Tx) error) error {
	tx, err := l.db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after Commit
	res, err := tx.Exec(raiseFence, r.Invoice.Number, r.Token)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, errStale)
	}
	if err := fn(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// audit compares the payments with the invoices.
func (l *ledger) audit(invoices []invoice) (account, error) {
	var a account
	for _, inv := range invoices {
		var payments int
		if err := l.db.QueryRow(`SELECT count(*) FROM payments WHERE invoice = ?`, inv.Number).Scan(&payments); err != nil {
			return a, err
		}
		switch {
		case payments == 0:
			a.missed++
		case payments > 1:
			a.twice++
			fallthrough
		default:
			a.processed++
		}
	}
	return a, nil
}

// A call is a request and what the ledger decided.
type call struct {
	op string // "check" or "pay"
	request
	paid bool // check: it is paid
	err  error
}

// bookTime is how long the ledger takes to look up an open invoice. It stands for the work that an
// invoice makes, and paces the show.
const bookTime = 150 * time.Millisecond

// ServeHTTP serves the workers: POST /check and POST /pay with a request in JSON. The answer is a JSON
// bool, paid or not; or the status 409 Conflict if the token is stale.
func (l *ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := call{op: r.PathValue("op")}
	if err := json.NewDecoder(r.Body).Decode(&c.request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	switch c.op {
	case "check":
		if c.paid, c.err = l.check(c.request); c.err == nil && !c.paid {
			time.Sleep(bookTime)
		}
	case "pay":
		c.err = l.pay(c.request)
		c.paid = c.err == nil
	default:
		http.NotFound(w, r)
		return
	}
	if l.decided != nil {
		l.decided(r.Context(), c)
	}
	switch {
	case errors.Is(c.err, errStale):
		http.Error(w, c.err.Error(), http.StatusConflict)
	case c.err != nil:
		http.Error(w, c.err.Error(), http.StatusInternalServerError)
	default:
		json.NewEncoder(w).Encode(c.paid)
	}
}

// A ledgerClient is how a worker reaches the ledger.
type ledgerClient struct{ url, worker string }

func (c ledgerClient) check(ctx context.Context, inv invoice, token uint64) (paid bool, err error) {
	return c.ask(ctx, "check", inv, token)
}

func (c ledgerClient) pay(ctx context.Context, inv invoice, token uint64) error {
	_, err := c.ask(ctx, "pay", inv, token)
	return err
}

func (c ledgerClient) ask(ctx context.Context, op string, inv invoice, token uint64) (paid bool, err error) {
	body, err := json.Marshal(request{Worker: c.worker, Token: token, Invoice: inv})
	if err != nil {
		return false, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+"/"+op, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		return false, fmt.Errorf("ledger: %s", bytes.TrimSpace(text))
	}
	err = json.NewDecoder(resp.Body).Decode(&paid)
	return paid, err
}
