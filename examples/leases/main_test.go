package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"testing"

	"github.com/lockmesh/lockmesh/mesh"
)

// TestMain lets the test binary stand in for the program.
func TestMain(m *testing.M) {
	if os.Getenv("LEASES_MAIN") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// What one sees, line by line.
var story = regexp.MustCompile(`^worker-2 has the report .* token (?P<two>\d+) - and falls asleep
worker-1 has it .* token (?P<one>\d+)
it says .* "2 of 9 chapters", written with token (?P<read>\d+)
worker-2 wakes up, and goes on
what it says of the progress is refused: .* its TTL has run out .* held by worker-1 \(note "report for May", token (?P<holds>\d+)\) .*
the report refuses .* token (?P<late>\d+) is fenced off: a later holder has come with (?P<later>\d+)
the report has: chapter 2, by worker-1
worker-1 locks three more keys .*
   printer/2 +token \d+
   paper/A4 +token \d+
   binder +token \d+
worker-2 tries all 4 keys of the lease: locked
worker-1 revokes the lease: lease revoked
worker-2 tries printer/2: it is free
worker-2 tries paper/A4: it is free
worker-2 tries binder: it is free
worker-2 tries job/report: it is free
no lock can be taken into it any more: .* the lease is over: lease revoked
what it said is still there: "2 of 9 chapters", written with token (?P<kept>\d+)
$`)

func TestLeases(t *testing.T) {
	if testing.Short() {
		t.Skip("starts nodes on loopback")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "LEASES_MAIN=1")
	var stderr bytes.Buffer // the log of the nodes, which may have something to say on a busy machine
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	t.Logf("%s%s", out, stderr.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	m := story.FindSubmatch(out)
	if m == nil {
		t.Fatal("the output is not that of the story")
	}
	token := func(name string) string { return string(m[story.SubexpIndex(name)]) }
	one, two := token("one"), token("two")
	if one <= two { // of one length
		t.Errorf("worker-1 has token %s after worker-2's %s", one, two)
	}
	for _, name := range []string{"read", "holds", "later", "kept"} {
		if token(name) != one {
			t.Errorf("%s token: %s, want worker-1's, %s", name, token(name), one)
		}
	}
	if token("late") != two {
		t.Errorf("token %s was refused, want worker-2's, %s", token("late"), two)
	}
}

// A document that was written by a later holder is not changed by an earlier one.
func TestDocument(t *testing.T) {
	var d document
	for _, w := range []struct {
		token uint64
		text  string
		want  error
		after string
	}{
		{7, "a", nil, "a"},
		{7, "b", nil, "b"},
		{8, "c", nil, "c"},
		{7, "d", mesh.ErrFenced, "c"},
	} {
		if err := d.write(w.token, w.text); !errors.Is(err, w.want) || d.text != w.after {
			t.Errorf("write %q with token %d: %v, and the text is %q; want %v and %q", w.text, w.token, err, d.text, w.want, w.after)
		}
	}
}
