package explore

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// Every scenario begins where it says, and its first states hold.
func TestScenarios(t *testing.T) {
	for _, sc := range Scenarios() {
		t.Run(sc.Name, func(t *testing.T) {
			r, err := sc.Run(Limits{States: 5000}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if r.Violation != nil {
				var w strings.Builder
				r.Violation.Write(&w)
				t.Error(w.String())
			}
			if r.States < 5000 && !r.Exhausted {
				t.Errorf("stopped by %q after %d states", r.Stopped, r.States)
			}
		})
	}
}

// The same scenario has the same states, in whatever order workers find them.
func TestSameStates(t *testing.T) {
	type count struct {
		states, transitions, depth int
		stopped                    string
	}
	run := func(sc Scenario, workers int) count {
		r, err := sc.Run(Limits{States: 6000, Workers: workers}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return count{r.States, r.Transitions, r.Depth, r.Stopped}
	}
	for _, sc := range []Scenario{handOver, renewal} {
		first := run(sc, 1)
		for _, workers := range []int{1, 3} {
			if again := run(sc, workers); again != first {
				t.Errorf("%s: %+v with one worker, then %+v with %d", sc.Name, first, again, workers)
			}
		}
	}
}

// Without faults a scenario of two nodes is exhausted here and now, and has come
// to all that its script can come to.
func TestExhausted(t *testing.T) {
	sc := regrantOwner
	sc.budget = Budget{}
	r, err := sc.Run(Limits{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Exhausted || r.Violation != nil || r.Depth < 20 || r.Reached != "grant busy release" {
		t.Errorf("%+v", r)
	}
}

// What people are shown: a line for each scenario, and an error if there is none.
func TestMainTable(t *testing.T) {
	var w strings.Builder
	if err := Main(&w, Limits{States: 1000}, "founding"); err != nil {
		t.Fatal(err)
	}
	for _, words := range []string{"founding-2", "founding-3", "no: states"} {
		if !strings.Contains(w.String(), words) {
			t.Errorf("%q is not in\n%s", words, w.String())
		}
	}
	if Main(&w, Limits{}, "no such scenario") == nil {
		t.Error("a filter that leaves nothing is not an error")
	}
}

// A state that is reached in two ways is one, and what differs in a budget is not.
func TestFingerprint(t *testing.T) {
	m, s, err := handOver.ready()
	if err != nil {
		t.Fatal(err)
	}
	play := func(s *state, hash uint64) *state {
		for _, a := range m.actions(s, nil) {
			if a.kind() == actDeliver && s.flight[a.arg()].hash == hash {
				next := &state{}
				if wrong := m.apply(s, a, next); wrong != "" {
					t.Fatal(wrong)
				}
				return next
			}
		}
		t.Fatal("the packet is not in flight")
		return nil
	}
	first := s.flight[0].packet
	var second *packet // for another node: the two deliveries commute
	for _, f := range s.flight {
		if f.to != first.to {
			second = f.packet
		}
	}
	one := play(play(s, first.hash), second.hash)
	other := play(play(s, second.hash), first.hash)
	if one.fingerprint() != other.fingerprint() {
		t.Error("two deliveries to two nodes do not commute")
	}
	poorer := one.clone()
	poorer.left.Crash++
	if poorer.fingerprint() == one.fingerprint() {
		t.Error("the budget is not in the fingerprint")
	}
}

// adversary is a network that rewrites messages, and what must come of it.
type adversary struct {
	name     string
	scenario Scenario
	tamper   func(from, to ownership.NodeID, m ownership.Message) ownership.Message
	budget   *Budget
	want     string // in the violation
	steps    int    // of the shortest way
}

// A check that cannot fail is none: each of these breaks one promise.
func TestAdversaries(t *testing.T) {
	for _, a := range adversaries() {
		t.Run(a.name, func(t *testing.T) {
			a.scenario.tamper = a.tamper
			if a.budget != nil {
				a.scenario.budget = *a.budget
			}
			r, err := a.scenario.Run(Limits{States: 200_000}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if r.Violation == nil {
				t.Fatalf("nothing is wrong in %d states", r.States)
			}
			var w strings.Builder
			r.Violation.Write(&w)
			if !strings.Contains(r.Violation.What, a.want) || len(r.Violation.Steps) != a.steps {
				t.Errorf("want %q after %d steps, got\n%s", a.want, a.steps, w.String())
			}
			if strings.Contains(r.Violation.What, "played again") {
				t.Error(r.Violation.What)
			}
			t.Log(w.String())
		})
	}
}

func adversaries() []adversary {
	return []adversary{
		{name: "a replica that accepts after it sealed", scenario: handOver, want: "after it answered a Seal", steps: 2,
			tamper: func(_, _ ownership.NodeID, m ownership.Message) ownership.Message {
				if k, ok := m.(ownership.AcceptAck); ok {
					k.OK = true
					return k
				}
				return m
			}},
		{name: "replicas that answer Seal with nothing", scenario: takeOvers, want: "the owner has forgotten c's lock", steps: 8,
			tamper: func(_, _ ownership.NodeID, m ownership.Message) ownership.Message {
				if k, ok := m.(ownership.SealAck); ok && k.Chunks > 0 && k.Term == 103 {
					k.Records = nil
					return k
				}
				return m
			}},
		{name: "an owner that grants what is held", scenario: regrant, want: "two believe", steps: 3,
			tamper: func(_, _ ownership.NodeID, m ownership.Message) ownership.Message {
				if k, ok := m.(ownership.Answer); ok && k.Outcome == ownership.OutcomeWaiting {
					k.Outcome, k.Token, k.Echo = ownership.OutcomeGranted, 100<<32|9, ownership.Echo(begin+ownership.Time(3*time.Second))
					return k
				}
				return m
			}},
		{name: "voters that forget what they accepted", scenario: proposers, want: "decided at epoch", steps: 8, budget: &Budget{},
			tamper: func(_, _ ownership.NodeID, m ownership.Message) ownership.Message {
				if k, ok := m.(ownership.Promise); ok {
					k.Value = nil
					return k
				}
				return m
			}},
		{name: "an owner that grants the same token twice", scenario: regrant, want: "was granted to two requests", steps: 6, budget: &Budget{},
			tamper: func(_, _ ownership.NodeID, m ownership.Message) ownership.Message {
				if k, ok := m.(ownership.Answer); ok && k.Outcome == ownership.OutcomeGranted {
					k.Token = 100<<32 | 1
					return k
				}
				return m
			}},
		{name: "an owner that says busy of a free key", scenario: regrant, want: "nobody can hold it", steps: 10, budget: &Budget{},
			tamper: func(_, _ ownership.NodeID, m ownership.Message) ownership.Message {
				if k, ok := m.(ownership.Answer); ok && k.Outcome == ownership.OutcomeGranted && k.Token > 100<<32|1 {
					k.Outcome = ownership.OutcomeBusy
					return k
				}
				return m
			}},
		{name: "an owner that lets two go up", scenario: upgrades, want: "two believe", steps: 3,
			tamper: func(_, _ ownership.NodeID, m ownership.Message) ownership.Message {
				if k, ok := m.(ownership.Answer); ok && k.Alters == 1 && k.Outcome == ownership.OutcomeWaiting {
					k.Outcome, k.Token = ownership.OutcomeAltered, 100<<32|9
					return k
				}
				return m
			}},
		{name: "an owner that keeps the token", scenario: upgrades, want: "not above its own", steps: 6,
			tamper: func(_, _ ownership.NodeID, m ownership.Message) ownership.Message {
				if k, ok := m.(ownership.Answer); ok && k.Alters == 1 && k.Outcome == ownership.OutcomeAltered {
					k.Token = 100<<32 | 1
					return k
				}
				return m
			}},
		{name: "an owner that lets nobody go up", scenario: upgrades, want: "nobody else ever would", steps: 3,
			tamper: func(_, _ ownership.NodeID, m ownership.Message) ownership.Message {
				if k, ok := m.(ownership.Answer); ok && k.Alters == 1 {
					k.Outcome = ownership.OutcomeBusy
					return k
				}
				return m
			}},
		{name: "an owner that answers another change than was asked", scenario: upgrades, want: "nobody answers call", steps: 13, budget: &Budget{},
			tamper: func(_, _ ownership.NodeID, m ownership.Message) ownership.Message {
				if k, ok := m.(ownership.Answer); ok && k.Alters == 1 {
					k.Alters = 2
					return k
				}
				return m
			}},
		{name: "an owner that says of a held lock that it is not held", scenario: values, want: "holds nothing", steps: 3,
			tamper: func(_, _ ownership.NodeID, m ownership.Message) ownership.Message {
				if k, ok := m.(ownership.Answer); ok && k.Alters == 1 {
					k.Outcome = ownership.OutcomeNotHeld
					return k
				}
				return m
			}},
		{name: "an owner that tells of no value", scenario: values, want: "does not know of", steps: 6,
			tamper: func(_, _ ownership.NodeID, m ownership.Message) ownership.Message {
				if k, ok := m.(ownership.Report); ok && len(k.Keys) == 1 {
					k.Keys = slices.Clone(k.Keys)
					k.Keys[0].Value = nil
					return k
				}
				return m
			}},
		{name: "an owner that is done with an eviction at once", scenario: values, want: "the operator was told", steps: 3,
			tamper: func(_, _ ownership.NodeID, m ownership.Message) ownership.Message {
				if k, ok := m.(ownership.Answer); ok && k.Outcome == ownership.OutcomeWaiting && k.Reason.Code == ownership.ReasonQueued && k.Alters == 0 {
					k.Outcome = ownership.OutcomeReleased
					return k
				}
				return m
			}},
	}
}
