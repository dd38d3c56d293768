package linear

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// Verdict is what a check came to.
type Verdict uint8

// The verdicts. Unknown is not Ok: the time was too short.
const (
	Ok Verdict = iota + 1
	Illegal
	Unknown
)

func (v Verdict) String() string { return name(v, "?", "Ok", "Illegal", "Unknown") }

// Check looks for an order that explains a history, for as long as timeout (0:
// however long it takes; less: no time is left). The explanation of what is not Ok is a few lines: a
// longest order that was found, its last steps, and what it cannot go on with.
// A history that contradicts itself is Illegal too.
func Check(h History, timeout time.Duration) (Verdict, string) {
	m, why := newModel(h)
	if why != "" {
		return Illegal, fmt.Sprintf("key %q: %s", h.Key, why)
	}
	ops := m.operations()
	result := porcupine.Unknown
	if timeout >= 0 { // less than 0: its time is over already
		result = porcupine.CheckOperationsTimeout(m.porcupine(), ops, timeout)
	}
	switch result {
	case porcupine.Ok:
		return Ok, ""
	case porcupine.Illegal:
		return Illegal, m.explain(h, ops, timeout)
	}
	return Unknown, fmt.Sprintf("key %q: undecided after %v: %d operations, of which %d had to be ordered", h.Key, timeout, len(h.Ops), len(ops))
}

// explain searches again and remembers the way, which Check does not for speed.
func (m *model) explain(h History, ops []porcupine.Operation, timeout time.Duration) string {
	_, info := porcupine.CheckOperationsVerbose(m.porcupine(), ops, timeout)
	var longest []int
	for _, order := range info.PartialLinearizations()[0] {
		if len(order) > len(longest) || len(order) == len(longest) && slices.Compare(order, longest) < 0 {
			longest = order
		}
	}
	s := *m.init()
	placed := map[int]bool{}
	for _, i := range longest {
		s, _ = m.next(s, &m.steps[i])
		placed[i] = true
	}
	// The search turns back at the first answer that has no place: there it stands.
	stuck := -1
	for i := range m.steps {
		if !placed[i] && (stuck < 0 || m.steps[i].to < m.steps[stuck].to) {
			stuck = i
		}
	}
	_, why := m.next(s, &m.steps[stuck])
	if why.text == "" { // it fits here, but an earlier answer came first
		why.text = "no order reaches it in time"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "key %q: no order explains what clients were told\n", h.Key)
	fmt.Fprintf(&b, "  no place for %v: %s\n", m.steps[stuck].describe(), m.say(&s, why))
	if len(longest) > 0 {
		last := longest[max(0, len(longest)-4):]
		fmt.Fprintf(&b, "  after %d steps of %d, the last of them:\n", len(longest), len(m.steps))
		for _, i := range last {
			fmt.Fprintf(&b, "    %v\n", m.steps[i].describe())
		}
	}
	fmt.Fprintf(&b, "  then: %s", m.describe(&s))
	if len(s.holders) == 1 {
		if u := m.holderCall(s.holders[0]).unlock; u != nil {
			fmt.Fprintf(&b, ", and later: %v", *u)
		}
	}
	return b.String()
}

// WriteVisualization writes a history and the orders that were found for it as a
// page for a browser. Operations that have a place in every order, and silent
// holds, are notes on it.
func WriteVisualization(w io.Writer, h History, timeout time.Duration) error {
	m, why := newModel(h)
	if why != "" {
		return fmt.Errorf("key %q: %s", h.Key, why)
	}
	_, info := porcupine.CheckOperationsVerbose(m.porcupine(), m.operations(), timeout)
	var notes []porcupine.Annotation
	end := time.Duration(0)
	for _, o := range h.Ops {
		end = max(end, o.Invoked, o.Returned)
	}
	for _, o := range m.sure {
		notes = append(notes, porcupine.Annotation{Tag: "in every order", Start: int64(o.Invoked), End: int64(o.Returned), Description: o.String()})
	}
	for _, g := range m.silent {
		notes = append(notes, porcupine.Annotation{Tag: "may hold silently", Start: int64(g.from), End: int64(min(g.to, end)), Description: m.calls[g.call].lock.String()})
	}
	info.AddAnnotations(notes)
	return porcupine.Visualize(m.porcupine(), info, w)
}
