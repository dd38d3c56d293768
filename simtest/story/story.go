package story

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// World is the lane of what concerns no single node.
const World = -1

// Story is one run. All times are true time since the run's start. The zero
// value of whatever is optional leaves it out.
type Story struct {
	Title    string        `json:"title"`             // "seed 4711: exclusion"
	Failure  string        `json:"failure,omitempty"` // what was violated, one sentence
	Replay   string        `json:"replay,omitempty"`  // the command that plays it again
	End      time.Duration `json:"end"`               // 0: the last thing that happened
	Lanes    []Lane        `json:"lanes"`
	Messages []Message     `json:"messages,omitempty"`
	Holds    []Hold        `json:"holds,omitempty"`
	Marks    []Mark        `json:"marks,omitempty"`
	Spans    []Span        `json:"spans,omitempty"`
}

// Lane is one node. Others refer to it by its index in Story.Lanes.
type Lane struct {
	Name string `json:"name"`
	Sub  string `json:"sub,omitempty"` // a few words below the name: "clock +0.4 %"
}

// Message is one message on its way.
type Message struct {
	From    int           `json:"from"`
	To      int           `json:"to"`
	Kind    string        `json:"kind"` // "Acquire": the family follows from it
	Sent    time.Duration `json:"sent"`
	Arrived time.Duration `json:"arrived,omitempty"` // before Sent: unless lost, still under way at the end
	Lost    bool          `json:"lost,omitempty"`    // at Arrived if that is known
	Why     string        `json:"why,omitempty"`     // it was lost: "cut", "loss", "receiver gone"
	Key     string        `json:"key,omitempty"`     // what lock it is about, for the page's filter of keys
	Detail  string        `json:"detail,omitempty"`  // its full text
	Copy    bool          `json:"copy,omitempty"`    // a duplicate
}

// HoldEnd is why a hold ended.
type HoldEnd string

// The ends of a hold.
const (
	Held     HoldEnd = ""       // it did not, within the run
	Changed  HoldEnd = "change" // it goes on in another mode
	Unlock   HoldEnd = "unlock"
	Lost     HoldEnd = "lost"
	Crash    HoldEnd = "crash"
	Deadline HoldEnd = "deadline"
)

// Hold is a time in which a node believes that it holds a lock in one mode. Holds of
// one key that overlap, and have no room beside each other, are found and drawn as a
// violation, with Bad or without.
type Hold struct {
	Lane  int           `json:"lane"`
	Key   string        `json:"key"`
	Token string        `json:"token,omitempty"`
	Mode  string        `json:"mode,omitempty"` // "shared", "2/5"; "": it takes all of the key
	From  time.Duration `json:"from"`
	To    time.Duration `json:"to,omitempty"` // 0: the end of the run
	End   HoldEnd       `json:"end,omitempty"`
	Bad   bool          `json:"bad,omitempty"` // part of the violation

	// Weight of Of is how much of the key it takes. 0: all.
	Weight uint64 `json:"-"`
	Of     uint64 `json:"-"`
}

// besides says that two holds of one key have room beside each other.
func (h Hold) besides(o Hold) bool {
	return h.Of == o.Of && h.Weight > 0 && o.Weight > 0 && h.Weight+o.Weight <= h.Of
}

// MarkKind is what kind of a moment it is.
type MarkKind string

// The kinds of marks.
const (
	Fault   MarkKind = "fault"
	View    MarkKind = "view"
	Call    MarkKind = "call"  // what the program asked of its node
	Event   MarkKind = "event" // what a node told its program
	Failure MarkKind = "failure"
)

// Mark is a moment of one lane, or of the World.
type Mark struct {
	Lane int           `json:"lane"`
	At   time.Duration `json:"at"`
	Kind MarkKind      `json:"kind"`
	Text string        `json:"text"`
}

// SpanKind is what lasts. A kind that is not listed is drawn as a strip.
type SpanKind string

// The kinds of spans.
const (
	Absent      SpanKind = "absent" // it does not run yet: there is no lane
	Crashed     SpanKind = "crashed"
	Paused      SpanKind = "paused"
	Cut         SpanKind = "cut"     // what Lane sends to Other is lost
	Clogged     SpanKind = "clogged" // what Lane sends to Other is slow
	Withheld    SpanKind = "held"    // what Lane sends to Other waits
	Lie         SpanKind = "lie"     // the roster of Lane is wrong about Other
	StaleGossip SpanKind = "stale gossip"
	Buggify     SpanKind = "buggify"
)

// Span is a condition of one lane, or of the World, that lasts.
type Span struct {
	Lane  int           `json:"lane"`
	Other int           `json:"other"` // the other node, -1 if there is none
	From  time.Duration `json:"from"`
	To    time.Duration `json:"to,omitempty"` // 0: the end of the run
	Kind  SpanKind      `json:"kind"`
	Text  string        `json:"text,omitempty"`
}

// Overlap is a time in which two holds are of one key: A and B are indices into
// Story.Holds, A began first.
type Overlap struct {
	A    int           `json:"a"`
	B    int           `json:"b"`
	From time.Duration `json:"from"`
	To   time.Duration `json:"to"`
}

// Overlaps returns every pair of holds of one key that overlap and have no room
// beside each other, in the order in which they begin to.
func (s *Story) Overlaps() []Overlap {
	end := s.end()
	until := func(h Hold) time.Duration {
		if h.To == 0 {
			return end
		}
		return h.To
	}
	order := make([]int, len(s.Holds))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(s.Holds[a].From, s.Holds[b].From) })
	var found []Overlap
	open := map[string][]int{} // holds of a key that may still be held
	for _, i := range order {
		h := s.Holds[i]
		still := slices.DeleteFunc(open[h.Key], func(j int) bool { return until(s.Holds[j]) <= h.From })
		for _, j := range still {
			if to := min(until(s.Holds[j]), until(h)); to > h.From && !h.besides(s.Holds[j]) {
				found = append(found, Overlap{A: j, B: i, From: h.From, To: to})
			}
		}
		open[h.Key] = append(still, i)
	}
	return found
}

// end is when the run ended.
func (s *Story) end() time.Duration {
	end := s.End
	for _, m := range s.Messages {
		end = max(end, m.Sent, m.Arrived)
	}
	for _, h := range s.Holds {
		end = max(end, h.From, h.To)
	}
	for _, m := range s.Marks {
		end = max(end, m.At)
	}
	for _, p := range s.Spans {
		end = max(end, p.From, p.To)
	}
	return end
}

// check says what cannot be drawn.
func (s *Story) check() error {
	lane := func(what string, i, lane, lowest int) error {
		if lane < lowest || lane >= len(s.Lanes) {
			return fmt.Errorf("story: %s %d is of lane %d, there are %d", what, i, lane, len(s.Lanes))
		}
		return nil
	}
	for i, m := range s.Messages {
		if err := cmp.Or(lane("message", i, m.From, 0), lane("message", i, m.To, 0)); err != nil {
			return err
		}
	}
	for i, h := range s.Holds {
		if err := lane("hold", i, h.Lane, 0); err != nil {
			return err
		}
	}
	for i, m := range s.Marks {
		if err := lane("mark", i, m.Lane, World); err != nil {
			return err
		}
	}
	for i, p := range s.Spans {
		if err := cmp.Or(lane("span", i, p.Lane, World), lane("span", i, p.Other, -1)); err != nil {
			return err
		}
	}
	return nil
}
