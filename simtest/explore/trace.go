package explore

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// writer writes down what happens in one action after the other.
type writer struct {
	*machine
	now   ownership.Time // when the search began
	lines []string
	title string
}

// start describes the state that a search begins in.
func (w *writer) start(s *state) (lines []string) {
	for i, v := range s.nodes {
		if v == nil {
			continue
		}
		st := v.core.Status(s.now)
		line := fmt.Sprintf("%s: %s", w.names[i], phases[st.Phase])
		if st.View != nil {
			line += ", knows " + w.view(st.View)
		}
		if st.LeaseValid {
			line += fmt.Sprintf(", may serve for %v", st.LeaseLeft)
		}
		for _, p := range st.Partitions {
			line += fmt.Sprintf(", owner in term %d (active: %v, held %d, queued %d)", p.Term, p.Active, p.Held, p.Queued)
		}
		lines = append(lines, line)
	}
	for _, f := range s.flight {
		line := fmt.Sprintf("in flight: %s → %s %s", w.name(f.from), w.name(f.to), w.message(f.message))
		if f.copies > 1 {
			line += fmt.Sprintf(" (%d times)", f.copies)
		}
		lines = append(lines, line)
	}
	for _, c := range s.memory.calls {
		line := fmt.Sprintf("lock %d: %s asked for %q", c.handle, w.names[c.node], c.key)
		if c.granted {
			line += fmt.Sprintf(" and was granted token %s until +%v", token(c.token), time.Duration(c.deadline-w.now))
		}
		lines = append(lines, line)
	}
	return lines
}

var phases = map[ownership.Phase]string{ownership.PhaseFounding: "founding", ownership.PhaseBound: "bound", ownership.PhaseJoining: "joining",
	ownership.PhaseMember: "member", ownership.PhaseLeaving: "leaving", ownership.PhaseSilent: "silent", ownership.PhaseGone: "gone"}

// begin notes an action that is about to be played, end what came of it.
func (w *writer) begin(s *state, a action) {
	i := a.arg()
	way := func() string {
		f := s.flight[i]
		return fmt.Sprintf("%s → %s %s", w.name(f.from), w.name(f.to), w.message(f.message))
	}
	sleeper := func() string {
		if k := i & 0xff; k > 0 {
			return "; " + w.names[k-1] + " oversleeps"
		}
		return ""
	}
	switch a.kind() {
	case actDeliver:
		w.title = way()
	case actTwice:
		w.title = way() + " (a copy stays in flight)"
	case actLose:
		w.title = way() + " is lost"
	case actScript:
		d := w.lanes[i][s.lanes[i]]
		w.title = fmt.Sprintf("%s: %s", w.names[d.node], w.input(d.in))
	case actAdvance:
		w.title = "the clock goes to the next wake" + sleeper()
	case actJump:
		w.title = fmt.Sprintf("the clock leaps by %v", w.scenario.jumps[i>>8]) + sleeper()
	case actTick:
		w.title = w.names[i] + " wakes up"
	case actCrash:
		w.title = w.names[i] + " crashes"
	case actRebirth:
		w.title = w.names[i] + " starts over under a new NodeID"
	}
	w.lines = nil
	w.heed = w.stepped
}

func (w *writer) stepped(node int, in ownership.Input, o *outcome) {
	who := w.names[node]
	if r, ok := in.(ownership.Receive); ok && len(w.lines) > 0 {
		w.lines = append(w.lines, fmt.Sprintf("%s gets at once, from %s, %s", who, w.name(r.From), w.message(r.Message)))
	}
	for _, e := range o.told {
		w.lines = append(w.lines, fmt.Sprintf("%s tells %s", who, w.event(e)))
	}
	for _, p := range o.sends {
		w.lines = append(w.lines, fmt.Sprintf("%s sends to %s %s", who, w.name(p.to), w.message(p.message)))
	}
	if o.panic != "" {
		w.lines = append(w.lines, who+" panics: "+o.panic)
	}
}

func (w *writer) end(next *state) string {
	w.heed = nil
	head := fmt.Sprintf("+%-6v %s", time.Duration(next.now-w.now), w.title)
	return strings.Join(append([]string{head}, w.lines...), "\n           ")
}

// Write prints the violation for people.
func (v *Violation) Write(to io.Writer) {
	fmt.Fprintf(to, "VIOLATION: %s\n\nThe search begins with\n", v.What)
	for _, l := range v.Start {
		fmt.Fprintf(to, "      %s\n", l)
	}
	fmt.Fprintf(to, "\nand the shortest way is\n")
	for i, l := range v.Steps {
		fmt.Fprintf(to, "%3d. %s\n", i+1, l)
	}
}
