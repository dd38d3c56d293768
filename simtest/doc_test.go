package simtest

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/lockmesh/lockmesh/ownership"
)

// What the documentation says there is, there is, and nothing else.

// section is the text of doc.go below a heading, without comment marks.
func section(t *testing.T, heading string) string {
	t.Helper()
	text := regexp.MustCompile(`(?m)^//[ ]?`).ReplaceAllString(read(t, "doc.go"), "")
	_, rest, ok := strings.Cut(text, "\n# "+heading+"\n")
	if !ok {
		t.Fatalf("doc.go has no heading %q", heading)
	}
	rest, _, _ = strings.Cut(rest, "\n# ")
	return rest
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// table is the table of a section whose first line begins with head, without
// that: the first column and what stands beside it.
func table(t *testing.T, heading, head string) map[string]string {
	t.Helper()
	rows, last, in := map[string]string{}, "", false
	for line := range strings.Lines(section(t, heading)) {
		cells, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "\t")
		switch {
		case !ok:
			in = false
		case head == "" || strings.HasPrefix(cells, head+" "):
			in = true
		}
		if !in || head != "" && strings.HasPrefix(cells, head+" ") {
			continue
		}
		if strings.HasPrefix(cells, " ") { // a row goes on
			rows[last] += " " + strings.TrimSpace(cells)
			continue
		}
		name, rest, _ := strings.Cut(cells, "  ")
		last = name
		rows[last] = strings.TrimSpace(rest)
	}
	return rows
}

// same compares names in the documentation with those in the code.
func same(t *testing.T, what string, doc, code []string) {
	t.Helper()
	for _, name := range code {
		if !slices.Contains(doc, name) {
			t.Errorf("doc.go lacks the %s %q", what, name)
		}
	}
	for i, name := range doc {
		if !slices.Contains(code, name) {
			t.Errorf("doc.go has a %s %q, which does not exist", what, name)
		}
		if slices.Contains(doc[:i], name) {
			t.Errorf("doc.go has the %s %q twice", what, name)
		}
	}
}

// sources are the files of this package but for tests.
func sources(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(files, func(f string) bool { return strings.HasSuffix(f, "_test.go") || f == "doc.go" })
}

func TestDocTables(t *testing.T) {
	same(t, "fault class", keys(table(t, "Fault classes", "class")), Classes())
	same(t, "habit", keys(table(t, "Habits", "habit")), Habits())

	failing := regexp.MustCompile(`(?:\.fail\(|Failure\{[^}"]*)"(\w+)"`)
	var checks []string
	for _, file := range sources(t) {
		for _, m := range failing.FindAllStringSubmatch(read(t, file), -1) {
			checks = append(checks, m[1])
		}
	}
	same(t, "check", keys(table(t, "Checks", "check")), slices.Compact(slices.Sorted(slices.Values(checks))))

	var goals []string
	for _, row := range table(t, "Goals", "rule") {
		goals = append(goals, strings.Split(row, "; ")...)
	}
	same(t, "goal", goals, goalNames)
	same(t, "file", keys(table(t, "The way through the files", "")), sources(t))
}

func keys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

// The trace in the documentation is one, and what it says happens.
func TestDocTrace(t *testing.T) {
	var text strings.Builder
	for line := range strings.Lines(section(t, "Traces")) {
		if line, ok := strings.CutPrefix(line, "\t"); ok {
			text.WriteString(line)
		}
	}
	trace, err := ReadTrace(strings.NewReader(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	var again bytes.Buffer
	if err := trace.Write(&again); err != nil || again.String() != text.String() {
		t.Errorf("written again it is\n%s", again.String())
	}
	var said []string
	fates := map[string]bool{}
	r := Replay(trace, func(s *Stage) {
		next := s.OnEvent
		s.OnEvent = func(n *Node, e ownership.Event) {
			if g, ok := e.(ownership.Granted); ok {
				said = append(said, fmt.Sprintf("%s gets %s", n.Name, s.Checker.Call(n, g.Handle).Key))
			}
			next(n, e)
		}
		s.OnLost = func(f Flight, why string) { fates[why] = true }
		deliver := s.OnDeliver
		s.OnDeliver = func(f Flight) {
			if f.Copy {
				fates["copy"] = true
			}
			deliver(f)
		}
	})
	if len(r.Failures) > 0 || !slices.Equal(said, []string{"n1 gets k0", "n3 gets k0"}) {
		t.Errorf("%v; %v", said, r.Failures)
	}
	if !fates["loss"] || !fates["copy"] {
		t.Errorf("its fates are not taken: %v", fates)
	}
}

// Every test, check, trace and flag of the simulator that the README names exists.
func TestDocReadme(t *testing.T) {
	readme := read(t, "../README.md")
	tests := ""
	for _, pattern := range []string{"../*/*_test.go", "../*/*/*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			tests += read(t, file)
		}
	}
	for _, name := range regexp.MustCompile(`\bTest[A-Z]\w*`).FindAllString(readme, -1) {
		if !strings.Contains(tests, "\nfunc "+name) {
			t.Errorf("the README names %s, which does not exist", name)
		}
	}
	checks := table(t, "Checks", "check")
	for _, m := range regexp.MustCompile(`TestRandom \((?:check )?([a-z, ]+)\)`).FindAllStringSubmatch(readme, -1) {
		for _, name := range strings.Split(m[1], ", ") {
			if checks[name] == "" {
				t.Errorf("the README names the check %q, which does not exist", name)
			}
		}
	}
	flags := read(t, "cmd/sim/main.go")
	for _, line := range regexp.MustCompile(`(?m)^go run ./simtest/cmd/sim[^#\n]*`).FindAllString(readme, -1) {
		for _, name := range regexp.MustCompile(` -([a-z-]+)`).FindAllStringSubmatch(line, -1) {
			if !strings.Contains(flags, `, "`+name[1]+`", `) {
				t.Errorf("the README names -%s, which is no flag", name[1])
			}
		}
	}
	for _, name := range regexp.MustCompile(`\b\w+\.txt\b`).FindAllString(readme, -1) {
		if _, err := os.Stat("../ownership/testdata/" + name); err != nil {
			t.Errorf("the README names a trace that does not exist: %v", err)
		}
	}
	if n := strings.Count(readme, "\n"); n > 250 {
		t.Errorf("the README has %d lines", n)
	}
}
