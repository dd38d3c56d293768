package main

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestMain lets the test binary stand in for the program, which starts itself again for each candidate.
func TestMain(m *testing.M) {
	if os.Getenv("LEADER_MAIN") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestWholeRun(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 10 seconds")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "LEADER_MAIN=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	t.Logf("%s%s", stdout, stderr.Bytes())
	if err != nil {
		t.Fatal(err)
	}

	// The leaders, by their own words: one that is killed, another one, the first one again, and the third.
	var names []string
	var last uint64
	for _, m := range regexp.MustCompile(`(?m)^(\w+): I lead, with token (\d+)$`).FindAllStringSubmatch(string(stdout), -1) {
		token, err := strconv.ParseUint(m[2], 10, 64)
		if err != nil || token <= last {
			t.Errorf("%s leads with token %s after %d", m[1], m[2], last)
		}
		names, last = append(names, m[1]), token
	}
	if len(names) != 4 {
		t.Fatalf("leaders: %q, want 4", names)
	}
	first, second, third := names[0], names[1], names[3]
	if first == second || first == third || second == third || names[2] != first {
		t.Errorf("leaders: %q", names)
	}
	rest := string(stdout)
	for _, line := range []string{ // in this order, with others in between
		"observer: " + first + " leads, and serves at 127.0.0.1:",
		"observer: " + first + " is killed (SIGKILL); the others wait for its TTL of 3s to run out",
		"observer: " + second + " leads, ",
		"observer: " + first + " is started again, and " + second + " is asked to hand over to it by name\n",
		"observer: " + first + " leads, and serves at 127.0.0.1:",
		"observer: " + first + " is asked to resign\n",
		"observer: " + third + " leads, and serves at 127.0.0.1:",
		"observer: " + third + " is asked to resign\n",
		"observer: nobody leads\n",
		"leader: 4 terms, each with a higher token; 1 leader killed, 1 handed over, 2 resigned\n",
	} {
		var found bool
		if _, rest, found = strings.Cut(rest, line); !found {
			t.Fatalf("no line %q where it should be", line)
		}
	}
	if over := second + ": my term is over, after "; !strings.Contains(string(stdout), over) ||
		!strings.Contains(string(stdout), ": the term was handed over to "+first+"\n") {
		t.Errorf("%s does not say that it has handed over", second)
	}
}
