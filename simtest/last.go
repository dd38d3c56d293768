package simtest

import (
	"fmt"

	"github.com/lockmesh/lockmesh/ownership"
)

// LastEvents plays a trace and tells the last events of each node, in words.
func LastEvents(t *Trace, each int) []string {
	last := map[*Node][]string{}
	var order []*Node
	Replay(t, func(s *Stage) {
		next := s.OnEvent
		s.OnEvent = func(n *Node, e ownership.Event) {
			if last[n] == nil {
				order = append(order, n)
			}
			lines := append(last[n], fmt.Sprintf("%-12v %-4s %s", s.Now, n.Name, eventText(e)))
			last[n] = lines[max(0, len(lines)-each):]
			next(n, e)
		}
	})
	var all []string
	for _, n := range order {
		all = append(all, last[n]...)
	}
	return all
}

// eventText is an event for people.
func eventText(e ownership.Event) string {
	switch e := e.(type) {
	case ownership.ViewLearned:
		return fmt.Sprintf("learns view %d: %d members, %d voters", e.View.Epoch, len(e.View.Members), len(e.View.Voters))
	case ownership.Granted:
		return fmt.Sprintf("granted handle %d, token %s", e.Handle, tokenText(e.Token))
	case ownership.Proposing:
		return fmt.Sprintf("has view %d decided: %d dropped, %d added", e.Epoch, len(e.Dropped), len(e.Added))
	}
	return fmt.Sprintf("%T%+v", e, e)[len("ownership."):]
}
