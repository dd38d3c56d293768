package simtest

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"time"
)

// SoakOptions say how many seeds are played and how.
type SoakOptions struct {
	First        uint64        // the first seed
	Seeds        uint64        // how many; 0: until For is over
	For          time.Duration // 0: until all Seeds are played
	Workers      int           // 0: one a core
	Faults       []string      // see Options
	Habits       []string      // likewise
	UntilFailure bool          // stop at the first
	Progress     io.Writer     // a line each Every; nil: none
	Every        time.Duration // 0: 5 s
}

// Summary is what a soak came to.
type Summary struct {
	Seeds, Healed int
	Events        int
	Simulated     time.Duration
	Grants        int
	Views, Faults int
	Goals         Goals
	Failed        []Result // in the order of their seeds
	Twice         int      // seeds that were played twice, to compare
	Linear        int      // seeds whose histories were checked by porcupine
	Undecided     int      // keys for which that took too long
	Took          time.Duration
	CPU           time.Duration // of this process, meanwhile
}

// PerSecond is events per second of processor time: what one core does.
func (s *Summary) PerSecond() float64 { return float64(s.Events) / max(s.CPU.Seconds(), 1e-9) }

// one seed in a hundred is played twice, and one in sixteen is checked by
// porcupine, as is each that fails.
const (
	twiceEach  = 100
	linearEach = 16
)

// Soak plays seeds on all cores.
func Soak(opt SoakOptions) *Summary {
	k := &soak{SoakOptions: opt, next: opt.First, began: time.Now(), cpu: cpuTime()}
	workers := opt.Workers
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	if k.Every == 0 {
		k.Every = 5 * time.Second
	}
	k.said = k.began
	var all sync.WaitGroup
	for range workers {
		all.Go(k.work)
	}
	all.Wait()
	k.sum.Took, k.sum.CPU = time.Since(k.began), cpuTime()-k.cpu
	slices.SortFunc(k.sum.Failed, func(a, b Result) int { return cmp.Compare(a.Seed, b.Seed) })
	return &k.sum
}

type soak struct {
	SoakOptions
	mu    sync.Mutex // guards what follows
	next  uint64
	sum   Summary
	began time.Time
	said  time.Time
	cpu   time.Duration
	done  bool
}

func (k *soak) work() {
	for {
		seed, ok := k.take()
		if !ok {
			return
		}
		k.add(playSeed(seed, Options{Faults: k.Faults, Habits: k.Habits}, seed%twiceEach == 7, seed%linearEach == 3))
	}
}

// PlayAll plays a seed with every check there is: twice, to compare, and through
// porcupine. A run that fails there alone says so in its trace.
func PlayAll(seed uint64, opt Options) Result { return playSeed(seed, opt, true, true) }

func playSeed(seed uint64, opt Options, twice, linear bool) Result {
	r := Play(seed, opt)
	if twice {
		if again := Play(seed, Options{Faults: opt.Faults, Habits: opt.Habits}); again.Hash != r.Hash || again.Events != r.Events {
			r.Failures = append(r.Failures, Failure{At: r.Simulated, Check: "determinism",
				Text: fmt.Sprintf("played twice, the runs differ: %x after %d events, %x after %d", r.Hash, r.Events, again.Hash, again.Events)})
		}
	}
	if linear || len(r.Failures) > 0 {
		r.Failures = append(r.Failures, r.Checker.Linear(LinearTimeout)...)
	}
	if r.Trace != nil && r.Trace.Check == "" && len(r.Failures) > 0 {
		r.Trace.Check, r.Trace.Comment = r.Failures[0].Check, []string{r.Failures[0].String()}
	}
	return r
}

func (k *soak) take() (uint64, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	over := k.Seeds > 0 && k.next >= k.First+k.Seeds || k.For > 0 && time.Since(k.began) >= k.For
	if over || k.done {
		return 0, false
	}
	k.next++
	return k.next - 1, true
}

func (k *soak) add(r Result) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := &k.sum
	s.Seeds++
	s.Events += r.Events
	s.Simulated += r.Simulated
	s.Grants, s.Views, s.Faults = s.Grants+r.Grants, s.Views+r.Views, s.Faults+r.Faults
	s.Goals.Add(&r.Goals)
	if r.Healed {
		s.Healed++
	}
	if r.Seed%twiceEach == 7 {
		s.Twice++
		s.Events += r.Events
	}
	if r.Seed%linearEach == 3 {
		s.Linear++
	}
	if r.Checker != nil {
		s.Undecided += r.Checker.Unknown
	}
	if len(r.Failures) > 0 {
		r.Checker, r.Trace = nil, nil // a whole world: nobody asks for it any more
		s.Failed = append(s.Failed, r)
		k.done = k.done || k.UntilFailure
		if k.Progress != nil {
			fmt.Fprintf(k.Progress, "        seed %d failed at %s\n", r.Seed, r.Failures[0])
		}
	}
	if now := time.Now(); k.Progress != nil && now.Sub(k.said) >= k.Every {
		k.said = now
		s.Took, s.CPU = now.Sub(k.began), cpuTime()-k.cpu
		fmt.Fprintln(k.Progress, s.Line())
	}
}

// Line is the progress line.
func (s *Summary) Line() string {
	reached, of := s.Goals.Reached()
	return fmt.Sprintf("%6s  %d seeds  %.1f M events  %.2f M a second and core  %s simulated  %d grants  %d views  %d faults  %d/%d goals  %d failed",
		s.Took.Round(time.Second), s.Seeds, float64(s.Events)/1e6, s.PerSecond()/1e6, s.Simulated.Round(time.Second), s.Grants, s.Views, s.Faults, reached, of, len(s.Failed))
}
