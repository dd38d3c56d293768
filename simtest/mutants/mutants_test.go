package mutants

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const core = "../../ownership"

var builds = flag.Bool("builds", false, "TestBuilds also builds the simulator of every mutation")

// required are the conditions that must have a mutation. A rule that is written
// anew keeps its line here.
var required = []string{
	"V2: ignore accepted values", "V3: silence counted over a suspend", "V3: an acceptor judges the value",
	"V4: answer renewals of old epochs", "V4: answer after accepting",
	"V5: a late Join adds a ghost", "V5: voters chosen anew by each proposer", "V5: moving unsettled groups", "V5: a stuck owner is kept",
	"V6: answer Seal after forgetting", "V7: leave at once", "V7: a lone voter that leaves takes the chain with it",
	"founding: stale contact", "founding: a second acceptance", "founding: no wait", "founding: founding alone with seeds",
	"L1: margin at the giver alone", "L1: margin at the holder alone", "L1: an ack of another renewal", "L1: the lease used before promised is raised",
	"L2: all is done without a lease",
	"G1: ignore promised", "G1: ignore installed", "G1: ignore the number", "G1: ignore the lease", "G1: commit at W-1",
	"G2: answer before commit", "G2: no confirm round for a renewal", "G2: no confirm round for busy", "G2: an old round's acks counted",
	"G2: echo newer than the round", "snapshot: an older one applied", "snapshot: numbered 0",
	"T1: seal quorum S-1", "T1: only the newest configuration asked", "T1: answer below promised",
	"T2: skip configurations above e*", "T2: choose by last only", "T2: not the highest last",
	"T3: install again over a newer state of the same term", "T4: no full TTL at take-over", "T4: timers shared between partitions",
	"T5: prune Prior of unsettled groups", "T5: forget promised", "T5: live replicas emptied on Settled",
	"T6: no wait", "T6: MaxTTL alone", "T6: a second first state in one term",
	"K1: the outcome of a request is not fixed", "K1: closed requests are not remembered", "K1: answers of an older term are taken",
	"K1: a grant is adopted for a closed request", "K1: an unawaited grant is not given back",
	"K2: a lost waiter is kept and granted", "K2: no grace", "K2: last come, first served",
	"K3: owner expires early", "K3: holder's deadline from when the grant came",
	"K4: an open request's token is released", "K4: a released token is adopted", "K4: plain xor of numbers as digest",
	"K5: a TTL above MaxTTL", "tokens: from the owner's clock",
}

func TestTable(t *testing.T) {
	ids := map[string]bool{}
	for _, m := range Table() {
		if ids[m.ID()] {
			t.Errorf("two mutations are called %q", m.ID())
		}
		ids[m.ID()] = true
		if m.Why == "" || m.Needs == "" || len(m.Edits) == 0 {
			t.Errorf("%q lacks Why, Needs or Edits", m.ID())
		}
		for _, cell := range []string{m.Name, m.Why, m.Redundant} {
			if strings.ContainsAny(cell, "|\n") || strings.HasSuffix(cell, ".") {
				t.Errorf("%q: %q does not fit into the table", m.ID(), cell)
			}
		}
	}
	for _, id := range required {
		if !ids[id] {
			t.Errorf("no mutation is called %q", id)
		}
	}
}

// Every mutation applies to the core as it is, and compiles.
func TestApplies(t *testing.T) {
	fset := token.NewFileSet()
	plain := map[string]*ast.File{}
	names, err := filepath.Glob(core + "/*.go")
	if err != nil || len(names) == 0 {
		t.Fatal(err, names)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		plain[filepath.Base(name)] = parse(t, fset, name, nil)
	}
	imports := exports(t, fset)
	for _, m := range append(Baselines(), Table()...) {
		changed, err := m.Apply(core)
		if err != nil {
			t.Error(err)
			continue
		}
		var files []*ast.File
		for name, file := range plain {
			if text, ok := changed[name]; ok {
				file = parse(t, fset, m.ID()+"/"+name, text)
			}
			files = append(files, file)
		}
		if _, err := (&types.Config{Importer: imports}).Check("ownership", fset, files, nil); err != nil {
			t.Errorf("%s: %v", m.ID(), err)
		}
	}
}

func parse(t *testing.T, fset *token.FileSet, name string, text any) *ast.File {
	file, err := parser.ParseFile(fset, name, text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// exports imports what the core imports, from the build cache.
func exports(t *testing.T, fset *token.FileSet) types.Importer {
	list := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Export", core)
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct{ ImportPath, Export string }
		if err := d.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		files[p.ImportPath] = p.Export
	}
	return importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(files[path]) })
}

// With -builds: the whole way of every mutation up to the simulator's program.
func TestBuilds(t *testing.T) {
	if !*builds {
		t.Skip("TestApplies has them type-checked; -builds builds them")
	}
	opt := Options{}
	opt.setDefaults()
	r, err := newRunner(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(r.tmp) })
	for _, m := range append(Baselines(), Table()...) {
		if _, err := r.build(m, t.TempDir()); err != nil {
			t.Errorf("%s: %v", m.ID(), err)
		}
	}
}

// The runner, on the simulator itself: a fault that shows at once is caught, none is
// where none was planted.
func TestRunner(t *testing.T) {
	if testing.Short() {
		t.Skip("builds programs")
	}
	file := filepath.Join(t.TempDir(), "TABLE.md")
	var out bytes.Buffer
	err := Main(&out, Options{Only: "^tokens: from the owner's clock$", Starts: 2, Seeds: 20, For: time.Minute, Markdown: file})
	if err != nil {
		t.Error(err)
	}
	table, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| tokens | from the owner's clock | tokens fall when", "| 2 of 2 |"} {
		if !bytes.Contains(table, []byte(want)) {
			t.Errorf("the table lacks %q:\n%s\n%s", want, table, out.Bytes())
		}
	}
}

// What is not caught is an error, unless it is held redundant.
func TestVerdict(t *testing.T) {
	caught, missed := Play{Caught: true, Seeds: 3, Seconds: 1.5, Check: "exclusion", Seed: 7}, Play{Seeds: 9}
	for _, test := range []struct {
		o    Outcome
		fail bool
		by   string
	}{
		{Outcome{Plays: []Play{missed, caught}}, false, "exclusion"},
		{Outcome{Plays: []Play{missed, missed}}, true, "NOT CAUGHT"},
		{Outcome{Mutation: Mutation{Redundant: "since"}, Plays: []Play{missed}}, false, "redundant"},
		{Outcome{Mutation: Mutation{Redundant: "since"}, Plays: []Play{caught}}, false, "exclusion (held redundant!)"},
		{Outcome{Err: os.ErrInvalid}, true, "NOT PLAYED"},
	} {
		if err := verdict([]Outcome{test.o}); (err != nil) != test.fail {
			t.Errorf("%+v: %v", test.o, err)
		}
		if by := test.o.row()[0]; by != test.by {
			t.Errorf("%+v: %q", test.o, by)
		}
	}
}
