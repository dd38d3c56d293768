package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestMain lets the test binary stand in for the program: the test of the whole run starts it as the
// fleet, and the fleet starts it as its workers.
func TestMain(m *testing.M) {
	if os.Getenv("INVOICES_MAIN") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestWholeRun(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 20 seconds")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "INVOICES_MAIN=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	t.Logf("%s%s", stdout, stderr.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(stdout), "\n"), "\n")
	last := lines[len(lines)-1]
	want := regexp.MustCompile(`^invoices: 300 processed, 0 twice, 0 missed, 1 worker killed, 1 frozen, [1-9]\d* stale writes refused$`)
	if !want.MatchString(last) {
		t.Errorf("last line %q", last)
	}
	if bytes.ContainsRune(stdout, '\x1b') {
		t.Error("control sequences in an output that is no terminal")
	}
}

func TestInvoices(t *testing.T) {
	invoices, err := readInvoices()
	if err != nil {
		t.Fatal(err)
	}
	if len(invoices) != 300 {
		t.Errorf("%d invoices, want 300", len(invoices))
	}
	amount := regexp.MustCompile(`^\d+\.\d\d$`)
	seen := map[string]bool{}
	for _, inv := range invoices {
		if seen[inv.Number] || inv.Customer == "" || len(inv.Currency) != 3 || len(inv.Due) != 10 || !amount.MatchString(inv.Amount) {
			t.Errorf("bad row %+v", inv)
		}
		seen[inv.Number] = true
	}
}

// The database driver is for this example alone: a program that imports mesh does not compile it in.
func TestMeshDoesNotImportTheDriver(t *testing.T) {
	for _, pkg := range []string{"github.com/lockmesh/lockmesh/mesh", "github.com/lockmesh/lockmesh/examples/quickstart"} {
		deps, err := exec.Command("go", "list", "-deps", pkg).Output()
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(deps), pkg) {
			t.Errorf("go list -deps %s does not list it:\n%s", pkg, deps)
		}
		for dep := range strings.Lines(string(deps)) {
			if strings.HasPrefix(dep, "modernc.org/") || strings.HasPrefix(dep, "database/sql") {
				t.Errorf("%s depends on %s", pkg, dep)
			}
		}
	}
}

func TestFence(t *testing.T) {
	l := newTestLedger(t, "a", "b", "c")
	inv := func(number string, token uint64) request {
		return request{Worker: "w1", Token: token, Invoice: invoice{Number: number, Currency: "EUR", Amount: "1.00"}}
	}
	check := func(r request, wantPaid bool, want error) {
		t.Helper()
		if paid, err := l.check(r); paid != wantPaid || !errors.Is(err, want) {
			t.Errorf("check %s with token %d: %v, %v; want %v, %v", r.Invoice.Number, r.Token, paid, err, wantPaid, want)
		}
	}
	pay := func(r request, want error) {
		t.Helper()
		if err := l.pay(r); !errors.Is(err, want) {
			t.Errorf("pay %s with token %d: %v, want %v", r.Invoice.Number, r.Token, err, want)
		}
	}
	check(inv("a", 5), false, nil)
	pay(inv("a", 5), nil) // the token of the check
	check(inv("a", 5), true, nil)
	pay(inv("a", 4), errStale)
	check(inv("a", 4), false, errStale)

	// Each invoice has a fence of its own.
	check(inv("b", 4), false, nil)
	// A new holder's check is enough to shut the old holder out, before it has written anything.
	check(inv("b", 6), false, nil)
	pay(inv("b", 4), errStale)
	pay(inv("b", 6), nil)

	// Tokens are a term and a count: large numbers, which must not be compared as floats or text.
	const term = 1_795_000_000 << 32
	check(inv("c", term+2), false, nil)
	pay(inv("c", term+1), errStale)
	check(inv("c", term+10), false, nil)
	pay(inv("c", term+9), errStale)

	if open, err := l.open(10); len(open) != 1 || open[0].Number != "c" || err != nil {
		t.Errorf("open: %v, %v; want c", open, err)
	}
	// A refused write leaves nothing behind.
	got, err := l.audit()
	if want := (account{processed: 2, missed: 1}); got != want || err != nil {
		t.Errorf("audit: %+v, %v; want %+v", got, err, want)
	}
}

// A double payment is counted, not hidden: the account would show it.
func TestAuditCountsDoubles(t *testing.T) {
	l := newTestLedger(t, "once", "twice", "never")
	for _, number := range []string{"once", "twice", "twice"} {
		if err := l.pay(request{Token: 1, Invoice: invoice{Number: number}}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := l.audit()
	if want := (account{processed: 2, twice: 1, missed: 1}); got != want || err != nil {
		t.Errorf("audit: %+v, %v; want %+v", got, err, want)
	}
}

func TestAccount(t *testing.T) {
	good := account{processed: 300, killed: 1, frozen: 1, refused: 2}
	if got, want := good.String(), "invoices: 300 processed, 0 twice, 0 missed, 1 worker killed, 1 frozen, 2 stale writes refused"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if !good.good() {
		t.Error("a good account is called bad")
	}
	for _, bad := range []account{{processed: 300, twice: 1, refused: 1}, {processed: 299, missed: 1, refused: 1}, {processed: 300}} {
		if bad.good() {
			t.Errorf("%v is called good", bad)
		}
	}
}

func newTestLedger(t *testing.T, numbers ...string) *ledger {
	var invoices []invoice
	for _, number := range numbers {
		invoices = append(invoices, invoice{Number: number})
	}
	l, err := newLedger(filepath.Join(t.TempDir(), "ledger.db"), invoices)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	return l
}
