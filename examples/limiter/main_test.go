package main

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"testing"
)

// TestMain lets the test binary stand in for the program, which starts itself again for its processes.
func TestMain(m *testing.M) {
	if os.Getenv("LIMITER_MAIN") != "" {
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
	cmd.Env = append(os.Environ(), "LIMITER_MAIN=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	t.Logf("%s%s", stdout, stderr.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`process \d is killed \(SIGKILL\) in the middle of a call; its permit is gone until its TTL of 2s is over`,
		`the permit is back, \d+\.\d seconds after the kill`,
		`limiter: 150 calls by 10 workers in 5 processes, never more than 3 at a time, in \d+\.\d seconds; 1 process killed`,
	} {
		if n := len(regexp.MustCompile(`(?m)^`+line+`$`).FindAll(stdout, -1)); n != 1 {
			t.Errorf("%d lines %q, want 1", n, line)
		}
	}
}
