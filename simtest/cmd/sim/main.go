// Command sim runs the protocol of lockmesh in a simulated, hostile world, and
// says what it finds.
//
//	sim                         200 seeds on all cores
//	sim -seeds 5000             so many seeds; -first says from which on
//	sim -for 10m                as many as fit
//	sim -faults crash,pause     only these classes of faults (-faults list names them)
//	sim -habits readers,values  only these habits of clients (-habits list names them)
//	sim -goals                  also how often each situation occurred
//	sim -seed 4711              one seed
//	sim -replay 4711.trace      a run that was written to a file
//	sim -html run.html          with one of these two: draws the run, for a browser
//	sim -mutations              plants faults in the protocol and says how soon each is found
//	sim -explore                searches small configurations exhaustively
//
// A seed that fails is cut down to a trace, which is written to 4711.trace, if 4711 is
// the seed; of many that fail the first three are. Package simtest says what is
// played and what is checked.
//
// It exits with 1 if a run failed, or if a batch of simtest.GoalSeeds or more missed a
// situation; with 2 if it could not do what it was asked, if a planted fault was not
// found, or if the search found a violation. With -until-failure, which is for
// programs, a failure is an answer, and it exits with 0.
package main

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/lockmesh/lockmesh/simtest"
	"github.com/lockmesh/lockmesh/simtest/explore"
	"github.com/lockmesh/lockmesh/simtest/mutants"
)

type flags struct {
	seeds, first, seed uint64
	dur                time.Duration
	faults, habits     string
	replay             string
	html, out          string
	workers            int
	untilFailure       bool
	goals              bool

	mutations, explore bool
	only, table        string
	starts             int
}

func main() {
	var f flags
	flag.Uint64Var(&f.seeds, "seeds", 0, "how many seeds to play; 200 unless -for is given; with -mutations: from each start")
	flag.Uint64Var(&f.first, "first", 1, "the first seed")
	flag.DurationVar(&f.dur, "for", 0, "play seeds for so long; with -mutations and -explore: how long each one takes at most")
	flag.StringVar(&f.faults, "faults", "", "the fault `classes` that may be on, separated by commas; list names them")
	flag.StringVar(&f.habits, "habits", "", "the `habits` that clients may have, separated by commas; list names them, none is for plain clients")
	flag.Uint64Var(&f.seed, "seed", 0, "play this seed alone")
	flag.StringVar(&f.replay, "replay", "", "play this trace `file`")
	flag.StringVar(&f.html, "html", "", "draw the run of -seed or -replay, or else the last failure, into this `file`")
	flag.StringVar(&f.out, "out", ".", "the `folder` for the traces of failures")
	flag.IntVar(&f.workers, "workers", 0, "how many seeds are played at a time; 0: one a core (with -until-failure one); with -mutations: how many simulators; 0: two")
	flag.BoolVar(&f.untilFailure, "until-failure", false, "stop at the first failure, print one line of JSON and exit with 0")
	flag.BoolVar(&f.goals, "goals", false, "print how often each situation occurred")
	flag.BoolVar(&f.mutations, "mutations", false, "plant faults in the protocol, one after the other, and say how soon each is found")
	flag.BoolVar(&f.explore, "explore", false, "search small configurations exhaustively, each for -for (1m)")
	flag.StringVar(&f.only, "only", "", "with -mutations: those whose \"rule: name\" matches this regular expression; with -explore: scenarios with this in their name")
	flag.IntVar(&f.starts, "starts", 3, "with -mutations: from how many first seeds each is played, for -for (30s) at most")
	flag.StringVar(&f.table, "table", "", "with -mutations: also write the table to this `file`")
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), "sim runs the protocol of lockmesh in a simulated, hostile world, and says what it finds.\n",
			"Without flags: 200 seeds on all cores. See also go doc ./simtest/cmd/sim and go doc ./simtest.\n\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "sim: %q is no flag; see sim -h\n", flag.Arg(0))
		os.Exit(2)
	}
	debug.SetGCPercent(400) // worlds are small, and there is memory
	ok, err := f.run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "sim:", err)
		os.Exit(2)
	}
	if !ok {
		os.Exit(1)
	}
}

func (f *flags) run() (bool, error) {
	opt, err := f.options()
	switch {
	case err != nil:
		return false, err
	case f.faults == "list":
		fmt.Println(strings.Join(simtest.Classes(), "\n"))
		return true, nil
	case f.habits == "list":
		fmt.Println(strings.Join(simtest.Habits(), "\n"))
		return true, nil
	case f.mutations:
		return true, mutants.Main(os.Stdout, mutants.Options{Only: f.only, Starts: f.starts, For: f.dur, Seeds: f.seeds, Parallel: f.workers, Markdown: f.table})
	case f.explore:
		debug.SetGCPercent(200) // what is explored stays in memory
		return true, explore.Main(os.Stdout, explore.Limits{Time: cmp.Or(f.dur, time.Minute)}, f.only)
	case f.replay != "":
		return f.replayFile()
	case f.seed != 0:
		return f.one(f.seed, opt)
	}
	return f.soak(opt)
}

// options are what the flags say of each run.
func (f *flags) options() (opt simtest.Options, err error) {
	if opt.Faults, err = names(f.faults, "fault class", "faults", simtest.Classes()); err == nil {
		opt.Habits, err = names(f.habits, "habit", "habits", simtest.Habits())
	}
	return opt, err
}

// names are those that a flag lists, nil if it lists none.
func names(list, what, flag string, known []string) ([]string, error) {
	if list == "" || list == "list" {
		return nil, nil
	}
	if list == "none" {
		return []string{}, nil
	}
	all := strings.Split(list, ",")
	for _, n := range all {
		if !slices.Contains(known, n) {
			return nil, fmt.Errorf("no %s is named %q; -%s list names them", what, n, flag)
		}
	}
	return all, nil
}

func (f *flags) soak(run simtest.Options) (bool, error) {
	opt := simtest.SoakOptions{First: f.first, Seeds: f.seeds, For: f.dur, Faults: run.Faults, Habits: run.Habits, Workers: f.workers, UntilFailure: f.untilFailure}
	if f.untilFailure {
		opt.Workers = max(1, f.workers)
	} else {
		opt.Progress = os.Stdout
		if f.dur > 5*time.Minute {
			opt.Every = 30 * time.Second
		}
	}
	if opt.Seeds == 0 && opt.For == 0 {
		opt.Seeds = 200
	}
	s := simtest.Soak(opt)
	if f.untilFailure {
		return true, f.verdict(s)
	}
	fmt.Println(s.Line())
	same := "and were the same"
	if slices.ContainsFunc(s.Failed, func(r simtest.Result) bool { return r.Failures[0].Check == "determinism" }) {
		same = "and DIFFERED"
	}
	fmt.Printf("%d seeds came to rest or worked after healing, %d were played twice %s, %d histories went through porcupine (%d keys undecided)\n", s.Healed, s.Twice, same, s.Linear, s.Undecided)
	if f.goals {
		counts := s.Goals.Counts()
		for _, name := range s.Goals.Names() {
			fmt.Printf("%10d  %s\n", counts[name], name)
		}
	}
	good := len(s.Failed) == 0
	if missed := s.Goals.Missed(); len(missed) > 0 && s.Seeds >= simtest.GoalSeeds && run.Faults == nil && run.Habits == nil {
		good = false
		fmt.Printf("never reached: %s\n", strings.Join(missed, "; "))
	}
	for i, r := range s.Failed {
		if i == 3 {
			fmt.Printf("… and %d more seeds failed\n", len(s.Failed)-i)
			break
		}
		if _, err := f.one(r.Seed, run); err != nil {
			return false, err
		}
	}
	return good, nil
}

// verdict is for programs: what the search for one failure came to.
func (f *flags) verdict(s *simtest.Summary) error {
	v := struct {
		Caught  bool    `json:"caught"`
		Seeds   int     `json:"seeds"`
		Seconds float64 `json:"seconds"` // of processor time
		Events  int     `json:"events"`
		Check   string  `json:"check"`
		Seed    uint64  `json:"seed"`
		Text    string  `json:"text"`
	}{Seeds: s.Seeds, Seconds: s.CPU.Seconds(), Events: s.Events}
	if len(s.Failed) > 0 {
		r := s.Failed[0]
		v.Caught, v.Check, v.Seed, v.Text = true, r.Failures[0].Check, r.Seed, r.Failures[0].String()
	}
	return json.NewEncoder(os.Stdout).Encode(v)
}
