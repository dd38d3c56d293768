package explore

import (
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// Scenario is one small world and what of it is explored.
type Scenario struct {
	Name   string
	Claim  string // what holds in every state, and what is let loose to break it
	Bounds string // what is left out of the search, so that the rest can be searched far

	budget  Budget
	allowed Allowed
	// answers: where nothing is in flight, no script has more to do and nobody is due,
	// every call has its answer. So it is where nothing is lost and no time is needed.
	answers bool
	// twice lists the kinds that Budget.Twice may double; nil: all.
	twice []ownership.Kind
	// instant lists the kinds that arrive at once, in the step that sends them.
	// Their delays are not explored.
	instant []ownership.Kind
	// lost lists the kinds that never arrive.
	lost []ownership.Kind
	// jumps are leaps of the clock, as if all processes were paused together.
	// Timers on the way are late. They cost Budget.Jump.
	jumps []time.Duration

	// prepare plays the deterministic prefix, and writes the scripts.
	prepare func(*stage)
	// tamper makes an adversary of the network; for tests alone.
	tamper func(from, to ownership.NodeID, m ownership.Message) ownership.Message
}

// Budget is how many faults there may be on one path, and how often time may go
// on. Deliveries and scripts need none.
//
// A message that is not delivered is lost for all that a check can see, so Lose
// reaches nothing new; it is there for those who count what is left in flight.
type Budget struct {
	Advance uint8 // the clock goes to the next wake of any node, and all that are due tick
	Jump    uint8 // the clock leaps by one of the scenario's jumps
	Sleep   uint8 // with an advance or jump: one node oversleeps it, and ticks later
	Twice   uint8 // a packet arrives and stays in flight
	Lose    uint8
	Crash   uint8 // a node stops for good
	Rebirth uint8 // a node that fell silent starts over under a new NodeID (V6)
}

func (b Budget) packed() (v uint64) {
	for _, n := range [...]uint8{b.Advance, b.Jump, b.Sleep, b.Twice, b.Lose, b.Crash, b.Rebirth} {
		v = v<<8 | uint64(n)
	}
	return v
}

// Allowed lists what is wrong in most scenarios, and not in this one.
type Allowed struct {
	// Forget: as many replicas may crash as T6 gives up on, so that a lock may be
	// forgotten before its deadline. (Two believers are wrong even then.)
	Forget bool
}

// doing is one step of a script: what a client does, or what gossip tells.
type doing struct {
	node     int
	in       ownership.Input
	after    ownership.Handle // not before this call is granted or over; 0: at any time
	answered bool             // and not before its changes are answered
	hash     uint64
}

// Limits end a search that would go on. Zero is no limit.
type Limits struct {
	States int
	Depth  int // actions
	Time   time.Duration
	// Workers is how many goroutines expand a level; 0: one for each processor.
	// The result is the same for any number.
	Workers int
}

// Progress is how far a search is.
type Progress struct {
	Scenario    string
	States      int
	Transitions int
	Frontier    int // states of the level under way and the next that are not expanded yet
	Depth       int
	PerSecond   float64 // states
}

// Result is what a search found.
type Result struct {
	States      int
	Transitions int
	Depth       int    // all states that so many actions reach were expanded
	Exhausted   bool   // there are no others
	Stopped     string // why not: "states", "depth", "time" or "violation"
	Reached     string // what happened in some state, in words: see reach
	Elapsed     time.Duration
	PerSecond   float64 // states
	Violation   *Violation
}

// Violation is a run that ends in what must not be. No shorter one exists, since
// the search goes breadth first.
type Violation struct {
	What  string
	Start []string // the state that the prefix ends in
	Steps []string // numbered by the reader: Steps[0] is 1
}
