package main

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"testing"
)

// TestMain lets the test binary stand in for the program.
func TestMain(m *testing.M) {
	if os.Getenv("DEPLOY_MAIN") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// What one sees, in this order, with other lines between.
var story = regexp.MustCompile(`(?s)^staging: the nightly test runs
.*staging: the nightly test hears that somebody waits, and lets go
staging: #1841 by dan deploys; the nightly test is over: lock released
production: #1842 by ann deploys, and hangs; .*
production: #1843 by ben waits
production: #1844 by cleo waits
.*
   has it +#1842 by ann +build-1 +\S+ +\S+ +(?P<old>\d+)
   waits +#1843 by ben +build-2 +\S+
   waits +#1844 by cleo +build-3 +\S+

in one sentence: "deploy/production" is held by build-1 .* 2 wait: build-2 .* and build-3 .*
the operator releases token (?P<released>\d+)
production: #1842 by ann hears: lock lost: an operator at node console released it
production: #1843 by ben deploys, with token (?P<new>\d+)
the operator .* nobody holds the key with token (?P<again>\d+); held by build-2 \(note "#1843 by ben"\) with token (?P<holds>\d+)
production: #1843 by ben is done
production: #1844 by cleo deploys, with token \d+
production: #1844 by cleo is done
at the end: "deploy/production" is free: .*\n$`)

func TestDeploy(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 7 seconds")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "DEPLOY_MAIN=1")
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
	if old := token("old"); token("released") != old || token("again") != old {
		t.Errorf("the token %s of the hung deployment was released as %s and again as %s", old, token("released"), token("again"))
	}
	if token("new") != token("holds") || token("new") == token("old") {
		t.Errorf("the next one deploys with %s, after %s; the refusal names %s", token("new"), token("old"), token("holds"))
	}
}
