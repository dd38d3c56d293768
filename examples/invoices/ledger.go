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
	"strconv"
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
	CREATE TABLE invoices (number TEXT PRIMARY KEY, customer TEXT NOT NULL, currency TEXT NOT NULL, amount TEXT NOT NULL, due TEXT NOT NULL);
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

// newLedger makes a ledger with these invoices in it, in a new file.
func newLedger(path string, invoices []invoice) (*ledger, error) {
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // one request at a time
	l := &ledger{db: db}
	if err := l.load(invoices); err != nil {
		db.Close()
		return nil, err
	}
	return l, nil
}

func (l *ledger) load(invoices []invoice) error {
	tx, err := l.db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after Commit
	if _, err := tx.Exec(schema); err != nil {
		return err
	}
	for _, i := range invoices {
		if _, err := tx.Exec(`INSERT INTO invoices VALUES (?, ?, ?, ?, ?)`, i.Number, i.Customer, i.Currency, i.Amount, i.Due); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func (l *ledger) close() { l.db.Close() }

// open lists the first invoices that are not paid. It is a hint, asked without a lock and without a token.
func (l *ledger) open(limit int) ([]invoice, error) {
	rows, err := l.db.Query(`SELECT number, customer, currency, amount, due FROM invoices
		WHERE number NOT IN (SELECT invoice FROM payments) ORDER BY due, number LIMIT ?`, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := []invoice{}
	for rows.Next() {
		var i invoice
		if err := rows.Scan(&i.Number, &i.Customer, &i.Currency, &i.Amount, &i.Due); err != nil {
			return nil, err
		}
		list = append(list, i)
	}
	return list, rows.Err()
}

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

// audit counts the payments of each invoice.
func (l *ledger) audit() (account, error) {
	var a account
	err := l.db.QueryRow(`
		SELECT count(*) FILTER (WHERE n > 0), count(*) FILTER (WHERE n > 1), count(*) FILTER (WHERE n = 0)
		FROM (SELECT count(p.invoice) AS n FROM invoices i LEFT JOIN payments p ON p.invoice = i.number GROUP BY i.number)`,
	).Scan(&a.processed, &a.twice, &a.missed)
	return a, err
}

// A call is a request and what the ledger decided.
type call struct {
	op string // "check" or "pay"
	request
	paid bool // check: it is paid
	err  error
}

// workTime is how long the ledger takes to answer a check of an open invoice. It stands for the work that
// an invoice makes, and paces the show.
const workTime = 150 * time.Millisecond

// handler serves the workers: GET /open?limit=n answers a list of invoices. POST /check and POST /pay take
// a request; check answers whether the invoice is paid. The status is 409 Conflict if the token is stale.
func (l *ledger) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /open", func(w http.ResponseWriter, r *http.Request) {
		limit, err := strconv.Atoi(r.FormValue("limit"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		list, err := l.open(limit)
		reply(w, list, err)
	})
	mux.HandleFunc("POST /check", func(w http.ResponseWriter, r *http.Request) {
		l.serve(w, r, "check", func(c *call) {
			if c.paid, c.err = l.check(c.request); c.err == nil && !c.paid {
				time.Sleep(workTime)
			}
		})
	})
	mux.HandleFunc("POST /pay", func(w http.ResponseWriter, r *http.Request) {
		l.serve(w, r, "pay", func(c *call) { c.err = l.pay(c.request) })
	})
	return mux
}

func (l *ledger) serve(w http.ResponseWriter, r *http.Request, op string, decide func(*call)) {
	c := call{op: op}
	if err := json.NewDecoder(r.Body).Decode(&c.request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	decide(&c)
	if l.decided != nil {
		l.decided(r.Context(), c)
	}
	reply(w, c.paid, c.err)
}

func reply(w http.ResponseWriter, answer any, err error) {
	switch {
	case errors.Is(err, errStale):
		http.Error(w, err.Error(), http.StatusConflict)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		json.NewEncoder(w).Encode(answer)
	}
}

// A ledgerClient is how a worker reaches the ledger.
type ledgerClient struct{ url, worker string }

func (c ledgerClient) open(ctx context.Context, limit int) (list []invoice, err error) {
	err = c.do(ctx, http.MethodGet, "/open?limit="+strconv.Itoa(limit), nil, &list)
	return list, err
}

func (c ledgerClient) check(ctx context.Context, inv invoice, token uint64) (paid bool, err error) {
	err = c.do(ctx, http.MethodPost, "/check", request{Worker: c.worker, Token: token, Invoice: inv}, &paid)
	return paid, err
}

func (c ledgerClient) pay(ctx context.Context, inv invoice, token uint64) error {
	return c.do(ctx, http.MethodPost, "/pay", request{Worker: c.worker, Token: token, Invoice: inv}, new(any))
}

func (c ledgerClient) do(ctx context.Context, method, path string, question, answer any) error {
	body, err := json.Marshal(question)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("ledger: %s", bytes.TrimSpace(text))
	}
	return json.NewDecoder(resp.Body).Decode(answer)
}
