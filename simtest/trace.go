package simtest

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// Trace is what was done in one run: its actions, and what became of its messages
// where that is worth saying. It does not rest on a stream of random numbers, so it
// stays good when the code around it changes: a message of a run that goes a little
// otherwise is matched by its kind, its ends and the time at which it is sent.
type Trace struct {
	Seed    uint64 // names the NodeIDs
	Check   string // what failed, "" for a run that must pass
	Comment []string
	Params  ownership.Params
	Wall    int64
	Wild    bool          // clocks count as beyond the bound from the beginning; an action that makes them so does it as well
	Delay   time.Duration // of messages without a fate of their own
	Roster  time.Duration // Net.RosterDelay
	Actions []Action
	Fates   []SentFate
	End     time.Duration
}

// SentFate is the fate of one message.
type SentFate struct {
	At       time.Duration // when it was sent
	From, To string
	Kind     ownership.Kind
	Fate
}

// Len counts the steps of a trace.
func (t *Trace) Len() int { return len(t.Actions) + len(t.Fates) }

// recorder gathers a Trace from a stage that is directed by somebody else.
type recorder struct{ t Trace }

func record(s *Stage) *recorder {
	r := &recorder{Trace{Seed: s.seed, Params: s.Params, Delay: s.Net.MinDelay, Roster: s.Net.RosterDelay, Wall: s.Wall}}
	s.Log = &r.t.Actions
	s.Net.Record = func(from, to *Node, k ownership.Kind, f Fate) {
		r.t.Fates = append(r.t.Fates, SentFate{s.Now, from.Name, to.Name, k, f})
	}
	return r
}

func (r *recorder) trace(s *Stage) *Trace {
	r.t.End = s.Now
	if len(s.Checker.Failures) > 0 {
		f := s.Checker.Failures[0]
		r.t.Check, r.t.Comment = f.Check, []string{f.String()}
	}
	return &r.t
}

// Replay plays a trace. The run ends with the first failure, or at the trace's end.
func Replay(t *Trace, watch func(*Stage)) (res Result) {
	s := NewStage(0, t.Params)
	s.seed = t.Seed
	s.Wall, s.Checker.Wild = t.Wall, t.Wild
	s.Net.MinDelay, s.Net.RosterDelay = t.Delay, t.Roster
	s.Net.Fates = t.fates(s.World)
	ch := s.Checker
	if watch != nil {
		watch(s)
	}
	defer func() {
		if r := recover(); r != nil {
			ch.fail("panic", nil, "%v", r)
			res.Stack = string(debug.Stack())
		}
		res.Seed, res.Events, res.Simulated, res.Hash = t.Seed, s.Events, s.Now, s.Hash
		res.Grants, res.Views, res.Goals, res.Failures, res.Checker = ch.Grants, ch.Views, ch.Goals, ch.Failures, ch
	}()
	// One action is in the queue at a time, as with a director who decides when
	// the one before is done.
	next := 0
	var do func()
	do = func() {
		a := t.Actions[next]
		if next++; next < len(t.Actions) {
			defer s.At(t.Actions[next].At, do)
		}
		s.Do(a)
	}
	if len(t.Actions) > 0 {
		s.At(t.Actions[0].At, do)
	}
	s.RunUntil(t.End, ch.failed)
	if t.Check == "linear" && !ch.failed() {
		ch.Failures = append(ch.Failures, ch.Linear(LinearTimeout)...)
	}
	return
}

// matched is how far the time of sending may be off for a message to take a fate.
const matched = 20 * time.Millisecond

type wayKind struct {
	from, to string
	kind     ownership.Kind
}

// fates hands the fates out: a message takes the first one of its kind and way
// that is due about now, and each is taken once.
func (t *Trace) fates(w *World) func(from, to *Node, k ownership.Kind) (Fate, bool) {
	all := map[wayKind][]SentFate{}
	for _, f := range t.Fates {
		w := wayKind{f.From, f.To, f.Kind}
		all[w] = append(all[w], f)
	}
	return func(from, to *Node, k ownership.Kind) (Fate, bool) {
		way := wayKind{from.Name, to.Name, k}
		list := all[way]
		for len(list) > 0 && list[0].At < w.Now-matched {
			list = list[1:]
		}
		if len(list) > 0 && list[0].At <= w.Now+matched {
			all[way] = list[1:]
			return list[0].Fate, true
		}
		all[way] = list
		return Fate{}, false
	}
}

// Write writes a trace as text that a person can read and edit.
func (t *Trace) Write(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "# A run of lockmesh in simulation: actions, then fates of messages.\n")
	for _, c := range t.Comment {
		fmt.Fprintf(b, "# %s\n", strings.ReplaceAll(c, "\n", "\n# "))
	}
	p := t.Params
	fmt.Fprintf(b, "seed %d\n", t.Seed)
	if t.Check != "" {
		fmt.Fprintf(b, "check %s\n", t.Check)
	}
	fmt.Fprintf(b, "params partitions=%d replicas=%d maxttl=%v membershipttl=%v driftppm=%d\n", p.Partitions, p.Replicas, p.MaxTTL, p.MembershipTTL, p.DriftPPM)
	fmt.Fprintf(b, "world delay=%v roster=%v wall=%d wild=%v end=%v\n", t.Delay, t.Roster, t.Wall, t.Wild, t.End)
	for _, a := range t.Actions {
		fmt.Fprintf(b, "%v\n", a)
	}
	for _, f := range t.Fates {
		fmt.Fprintf(b, "%v %s\n", f.At, f.text())
	}
	return b.Flush()
}

func (f SentFate) text() string {
	what := fmt.Sprintf("delay=%v", f.Delay)
	if f.Lost {
		what = "lost"
	}
	if f.Copy != 0 {
		what += fmt.Sprintf(" copy=%v", f.Copy)
	}
	return fmt.Sprintf("fate %s %s %s %s", f.From, f.To, KindName(f.Kind), what)
}

// ReadTrace reads what Write wrote.
func ReadTrace(r io.Reader) (*Trace, error) {
	t := &Trace{Delay: 200 * time.Microsecond}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" {
			continue
		}
		if err := t.line(line); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if t.End == 0 {
		return nil, fmt.Errorf("no line %q", "world …")
	}
	if t.Params.Partitions == 0 {
		return nil, fmt.Errorf("no line %q", "params …")
	}
	if err := t.Params.Validate(); err != nil {
		return nil, err
	}
	slices.SortStableFunc(t.Fates, func(a, b SentFate) int { return cmp.Compare(a.At, b.At) })
	slices.SortStableFunc(t.Actions, func(a, b Action) int { return cmp.Compare(a.At, b.At) })
	return t, lines.Err()
}

func (t *Trace) line(line string) (err error) {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "#":
		if !strings.HasPrefix(rest, "A run of lockmesh") {
			t.Comment = append(t.Comment, rest)
		}
	case "seed":
		_, err = fmt.Sscanf(rest, "%d", &t.Seed)
	case "check":
		t.Check = rest
	case "params":
		var ttl, member string
		if _, err = fmt.Sscanf(rest, "partitions=%d replicas=%d maxttl=%s membershipttl=%s driftppm=%d", &t.Params.Partitions, &t.Params.Replicas, &ttl, &member, &t.Params.DriftPPM); err == nil {
			err = durations(ttl, &t.Params.MaxTTL, member, &t.Params.MembershipTTL)
		}
	case "world":
		var delay, roster, end string
		if _, err = fmt.Sscanf(rest, "delay=%s roster=%s wall=%d wild=%t end=%s", &delay, &roster, &t.Wall, &t.Wild, &end); err == nil {
			err = durations(delay, &t.Delay, roster, &t.Roster, end, &t.End)
		}
	default:
		if strings.HasPrefix(rest, "fate ") {
			return t.fateLine(word, rest)
		}
		var a Action
		if a, err = ParseAction(line); err == nil {
			t.Actions = append(t.Actions, a)
		}
	}
	return err
}

// durations parses texts into what follows each.
func durations(pairs ...any) (err error) {
	for i := 0; i < len(pairs) && err == nil; i += 2 {
		*pairs[i+1].(*time.Duration), err = time.ParseDuration(pairs[i].(string))
	}
	return err
}

func (t *Trace) fateLine(at, rest string) (err error) {
	f := SentFate{}
	words := strings.Fields(rest)
	if len(words) < 5 {
		return fmt.Errorf("%q is no fate: it needs from, to, kind and what", rest)
	}
	if f.At, err = time.ParseDuration(at); err != nil {
		return err
	}
	f.From, f.To = words[1], words[2]
	var ok bool
	if f.Kind, ok = kindNamed(words[3]); !ok {
		return fmt.Errorf("no message kind is named %q", words[3])
	}
	for _, word := range words[4:] {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "lost":
			f.Lost = true
		case "delay":
			f.Delay, err = time.ParseDuration(value)
		case "copy":
			f.Copy, err = time.ParseDuration(value)
		default:
			err = fmt.Errorf("unknown word %q", word)
		}
		if err != nil {
			return err
		}
	}
	t.Fates = append(t.Fates, f)
	return nil
}
