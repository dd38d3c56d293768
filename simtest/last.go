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
	case ownership.Pending:
		if e.Reason.Code == ownership.ReasonQueued {
			return fmt.Sprintf("handle %d, change %d: waits for token %s, %d ahead", e.Handle, e.Op, tokenText(e.Reason.Holder.Token), e.Reason.Ahead)
		}
		return fmt.Sprintf("handle %d, change %d: reason %s", e.Handle, e.Op, name(reasons[:], int(e.Reason.Code)))
	case ownership.Busy:
		return fmt.Sprintf("busy handle %d: token %s of %s has it %v", e.Handle, tokenText(e.Holder.Token), e.Holder.Name, e.Holder.Mode)
	case ownership.Looked:
		text := fmt.Sprintf("is told, handle %d:", e.Handle)
		for i := range e.Keys {
			text += fmt.Sprintf(" %s %s, value %s;", e.Keys[i].Key, holdersText(&e.Keys[i]), valueText(e.Keys[i].Value))
		}
		return text
	case ownership.Proposing:
		return fmt.Sprintf("has view %d decided: %d dropped, %d added", e.Epoch, len(e.Dropped), len(e.Added))
	}
	return fmt.Sprintf("%T%+v", e, e)[len("ownership."):]
}
