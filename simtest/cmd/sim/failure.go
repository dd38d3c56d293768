package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/lockmesh/lockmesh/simtest"
)

// shrinkRuns is how often a failing trace is played to cut it down.
const shrinkRuns = 1500

// one plays a seed by itself. One that fails is cut down, and written to a file
// with what it takes to play it again.
func (f *flags) one(seed uint64, run simtest.Options) (bool, error) {
	run.Record = true
	r := simtest.PlayAll(seed, run)
	if len(r.Failures) == 0 {
		fmt.Printf("seed %d is fine: %d events, %v simulated, %d grants, %d views, %d faults\n", seed, r.Events, r.Simulated, r.Grants, r.Views, r.Faults)
		return true, f.draw(r.Trace, fmt.Sprintf("go run ./simtest/cmd/sim -seed %d", seed))
	}
	before := r.Trace.Len()
	opt := simtest.ShrinkOptions{Runs: shrinkRuns}
	if terminal() {
		opt.Progress = func(left, steps int) {
			fmt.Fprintf(os.Stderr, "\r\033[Kcutting down: %d steps, %d runs left ", steps, left)
		}
		defer fmt.Fprint(os.Stderr, "\r\033[K")
	}
	small := simtest.Shrink(r.Trace, opt)
	file := filepath.Join(f.out, fmt.Sprintf("%d.trace", seed))
	if err := writeTrace(file, small); err != nil {
		return false, err
	}
	fmt.Printf("FAIL seed=%d events=%d→%d\n", seed, before, small.Len())
	f.tell(simtest.Replay(small, nil), small)
	fmt.Printf("  at first: %s\n", oneLine(r.Failures[0]))
	replay := "go run ./simtest/cmd/sim -replay " + file
	fmt.Printf("  replay: %s\n     all: go run ./simtest/cmd/sim -seed %d\n", replay, seed)
	return false, f.draw(small, replay)
}

// terminal says that somebody is looking at the standard error.
func terminal() bool {
	info, err := os.Stderr.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// tell prints what was violated and what each node saw last.
func (f *flags) tell(r simtest.Result, small *simtest.Trace) {
	for i, x := range r.Failures {
		if i < 3 {
			fmt.Printf("  violated at %v: %s: %s\n", x.At, x.Check, x.Text)
		}
	}
	fmt.Println("  the last events of each node:")
	lines := simtest.LastEvents(small, 6)
	fmt.Print("  ", strings.Join(lines, "\n  "), "\n")
	if r.Stack != "" {
		fmt.Printf("  the panic came from\n%s", r.Stack)
	}
}

// oneLine is a failure without the explanation that may follow.
func oneLine(x simtest.Failure) string {
	line, _, _ := strings.Cut(x.String(), "\n")
	return line
}

func writeTrace(file string, t *simtest.Trace) error {
	w, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := t.Write(w); err != nil {
		w.Close()
		return err
	}
	return w.Close()
}

func (f *flags) replayFile() (bool, error) {
	file, err := os.Open(f.replay)
	if err != nil {
		return false, err
	}
	defer file.Close()
	t, err := simtest.ReadTrace(file)
	if err != nil {
		return false, fmt.Errorf("%s: %w", f.replay, err)
	}
	r := simtest.Replay(t, nil)
	r.Failures = append(r.Failures, r.Checker.Linear(simtest.LinearTimeout)...)
	if len(r.Failures) == 0 {
		fmt.Printf("%s is fine: %d steps, %d events, %v simulated, %d grants, %d views\n", f.replay, t.Len(), r.Events, r.Simulated, r.Grants, r.Views)
	} else {
		fmt.Printf("FAIL %s events=%d\n", f.replay, t.Len())
		f.tell(r, t)
	}
	return len(r.Failures) == 0, f.draw(t, "go run ./simtest/cmd/sim -replay "+f.replay)
}

// draw writes the run as a page, if one is wanted.
func (f *flags) draw(t *simtest.Trace, replay string) error {
	if f.html == "" {
		return nil
	}
	w, err := os.Create(f.html)
	if err != nil {
		return err
	}
	if err := simtest.Draw(w, t, replay); err != nil {
		w.Close()
		return err
	}
	fmt.Printf("   drawn: %s\n", f.html)
	return w.Close()
}
