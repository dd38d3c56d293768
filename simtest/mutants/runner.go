package mutants

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"
)

// Options say what to play and for how long. The zero value plays all.
type Options struct {
	Only     string        // a regular expression on "rule: name"
	Starts   int           // how many first seeds each mutation is played from; 3 if 0
	For      time.Duration // how long each start plays at most; 30 s if 0
	Seeds    uint64        // and how many seeds; 1<<20 if 0
	Parallel int           // how many simulators run at a time; 2 if 0
	Markdown string        // a file to write the table to; none if ""
	Sim      string        // the simulator's package, seen from the module's root; ./simtest/cmd/sim if ""
}

func (o *Options) setDefaults() {
	if o.Starts == 0 {
		o.Starts = 3
	}
	if o.For == 0 {
		o.For = 30 * time.Second
	}
	if o.Seeds == 0 {
		o.Seeds = seedStep
	}
	if o.Parallel == 0 {
		o.Parallel = 2
	}
	if o.Sim == "" {
		o.Sim = "./simtest/cmd/sim"
	}
}

// seedStep is how far the first seeds of two starts are apart, so that none plays
// what another has played.
const seedStep = 1 << 20

// Play is what one start came to: the last line that the simulator prints.
type Play struct {
	Caught  bool    `json:"caught"`
	Seeds   uint64  `json:"seeds"`   // played, the one that failed included
	Seconds float64 `json:"seconds"` // of processor time; of real time, if it crashed
	Events  uint64  `json:"events"`  // of the simulated worlds
	Check   string  `json:"check"`   // which check failed
	Seed    uint64  `json:"seed"`    // the one that failed
}

// Outcome is what became of one mutation.
type Outcome struct {
	Mutation
	Plays []Play
	Err   error // it could not be built or played
}

// Main plays the baselines and then the mutations. It returns an error if a
// baseline fails, if a mutation cannot be built, or if one is not caught that
// should be.
func Main(w io.Writer, opt Options) error {
	opt.setDefaults()
	only, err := regexp.Compile(opt.Only)
	if err != nil {
		return err
	}
	var chosen []Mutation
	for _, m := range Table() {
		if only.MatchString(m.ID()) {
			chosen = append(chosen, m)
		}
	}
	if len(chosen) == 0 {
		return fmt.Errorf("no planted fault is named like %q; the table is in package mutants", opt.Only)
	}
	r, err := newRunner(opt)
	if err != nil {
		return err
	}
	defer os.RemoveAll(r.tmp)

	fmt.Fprintf(w, "%d planted faults; first two runs without one, of which nothing may be caught\n", len(chosen))
	say := func(o Outcome) { fmt.Fprintln(w, o.line()) }
	for _, o := range r.playAll(Baselines(), say) {
		if o.Err != nil {
			return o.Err
		}
		if n := o.caught(); n > 0 {
			return fmt.Errorf("the simulator finds fault (%s, seed %d) where there is none: %s", o.checks(), o.firstSeed(), o.ID())
		}
	}
	outcomes := r.playAll(chosen, say)
	fmt.Fprintln(w)
	writeText(w, outcomes)
	if opt.Markdown != "" {
		if err := os.WriteFile(opt.Markdown, []byte(markdown(outcomes, opt)), 0o644); err != nil {
			return err
		}
	}
	return verdict(outcomes)
}

func verdict(outcomes []Outcome) error {
	var errs []error
	for _, o := range outcomes {
		switch {
		case o.Err != nil:
			errs = append(errs, o.Err)
		case o.caught() == 0 && o.Redundant == "":
			errs = append(errs, fmt.Errorf("not caught: %s", o.ID()))
		}
	}
	return errors.Join(errs...)
}

// runner builds and plays.
type runner struct {
	opt  Options
	root string // of the module
	tmp  string
}

func newRunner(opt Options) (*runner, error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	tmp, err := os.MkdirTemp("", "mutants")
	return &runner{opt, root, tmp}, err
}

// moduleRoot is the directory of go.mod, at or above the present one.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("no go.mod here or above")
		}
		dir = up
	}
}

// playAll plays several mutations at a time and returns their outcomes in order.
func (r *runner) playAll(ms []Mutation, done func(Outcome)) []Outcome {
	outcomes := make([]Outcome, len(ms))
	next := make(chan int)
	var workers sync.WaitGroup
	var mu sync.Mutex // one line at a time
	for range r.opt.Parallel {
		workers.Go(func() {
			for i := range next {
				outcomes[i] = r.play(ms[i])
				mu.Lock()
				done(outcomes[i])
				mu.Unlock()
			}
		})
	}
	for i := range ms {
		next <- i
	}
	close(next)
	workers.Wait()
	return outcomes
}

// play builds one mutation and plays it from each first seed.
func (r *runner) play(m Mutation) Outcome {
	o := Outcome{Mutation: m}
	dir, err := os.MkdirTemp(r.tmp, "m")
	if err != nil {
		o.Err = err
		return o
	}
	defer os.RemoveAll(dir)
	binary, err := r.build(m, dir)
	if err != nil {
		o.Err = fmt.Errorf("%s: %w", m.ID(), err)
		return o
	}
	for i := range r.opt.Starts {
		p, err := r.start(binary, uint64(i)*seedStep+1)
		if err != nil {
			o.Err = fmt.Errorf("%s: %w", m.ID(), err)
			return o
		}
		o.Plays = append(o.Plays, p)
	}
	// One that no start has caught gets one long one: rare is not never.
	if caught := slices.ContainsFunc(o.Plays, func(p Play) bool { return p.Caught }); !caught && m.Redundant == "" && m.Rule != "baseline" {
		p, err := r.startFor(binary, uint64(r.opt.Starts)*seedStep+1, longStart*r.opt.For)
		if err != nil {
			o.Err = fmt.Errorf("%s: %w", m.ID(), err)
			return o
		}
		o.Plays = append(o.Plays, p)
	}
	return o
}

// longStart is how many times longer the last start of a fault plays that none of
// those before has caught.
const longStart = 8

// build makes the simulator with the fault planted. All but the changed package
// and what imports it comes from the build cache.
func (r *runner) build(m Mutation, dir string) (string, error) {
	core := filepath.Join(r.root, "ownership")
	files, err := m.Apply(core)
	if err != nil {
		return "", err
	}
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for name, text := range files {
		changed := filepath.Join(dir, name)
		if err := os.WriteFile(changed, []byte(text), 0o644); err != nil {
			return "", err
		}
		overlay.Replace[filepath.Join(core, name)] = changed
	}
	list := filepath.Join(dir, "overlay.json")
	text, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(list, text, 0o644); err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "sim")
	build := exec.Command("go", "build", "-overlay", list, "-o", binary, r.opt.Sim)
	build.Dir = r.root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return binary, nil
}

// start plays until a check fails, or to the end. A simulator that dies, or that
// does not come to an end, has been broken by the fault: that counts as caught.
func (r *runner) start(binary string, first uint64) (Play, error) {
	return r.startFor(binary, first, r.opt.For)
}

func (r *runner) startFor(binary string, first uint64, d time.Duration) (Play, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*d+30*time.Second)
	defer cancel()
	run := exec.CommandContext(ctx, binary, "-until-failure", "-first", fmt.Sprint(first), "-seeds", fmt.Sprint(r.opt.Seeds), "-for", d.String())
	run.Env = append(os.Environ(), "GOMAXPROCS=1")
	var out, log bytes.Buffer
	run.Stdout, run.Stderr = &out, &log
	began := time.Now()
	err := run.Run()
	if p, ok := lastLine(out.Bytes()); ok {
		return p, nil
	}
	p := Play{Caught: true, Seconds: time.Since(began).Seconds(), Check: "crash"}
	switch {
	case ctx.Err() != nil:
		p.Check = "hang"
	case err == nil:
		return Play{}, fmt.Errorf("the simulator printed no result:\n%s", out.Bytes())
	case bytes.Contains(log.Bytes(), []byte("flag provided but not defined")):
		return Play{}, fmt.Errorf("the simulator does not know how it is called:\n%s", log.Bytes())
	}
	return p, nil
}

// lastLine reads the result.
func lastLine(out []byte) (Play, bool) {
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	var p Play
	err := json.Unmarshal(lines[len(lines)-1], &p)
	return p, err == nil
}
