package mesh

import (
	"fmt"
	"strings"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// Health is what a node knows of itself, for probes and people.
type Health struct {
	// Serving says that this node is a member of a view, that the voters
	// confirm it, and that none of its partitions waits for leases that may
	// still be held. It says nothing of the other nodes' partitions.
	Serving bool

	// Reason says why it is not serving, or what keeps calls waiting; "" when
	// there is nothing to say.
	Reason string

	// Until is when a wait that Reason speaks of is over; zero if it is not
	// known or there is none.
	Until time.Time

	Epoch   uint32 // of the newest view that is known; 0 for none
	Member  bool   // that view has this node
	Members int    // of that view
	Voters  int    // of that view
	Answer  int    // voters that answered this node lately

	// LeaseLeft is how long this node may serve without hearing from a majority
	// of the voters; 0 if it may not.
	LeaseLeft time.Duration

	Owned  int // partitions that this node owns
	Active int // those of them that it serves
	Held   int // keys of those partitions that somebody holds, on whatever node
	Queued int // calls that wait for such keys, on whatever node
}

// String is one line for people.
func (h Health) String() string {
	state := "serving"
	if !h.Serving {
		state = "not serving"
	}
	s := fmt.Sprintf("%s; view %d: %d members, %d of %d voters answer; %d of %d own partitions active, in them %d keys held and %d calls queued",
		state, h.Epoch, h.Members, h.Answer, h.Voters, h.Active, h.Owned, h.Held, h.Queued)
	if h.Reason != "" {
		s += ": " + h.Reason
	}
	return s
}

// Health says whether this node serves, and why not. It does not wait for the
// network. A closed node does not serve.
func (n *Node) Health() Health {
	var h Health
	if !n.ask(func(l *loop) { h = l.health() }) {
		return Health{Reason: "the node is closed"}
	}
	return h
}

func (l *loop) health() Health {
	s := l.core.Status(l.n.now())
	h := Health{
		Member:    s.Phase == ownership.PhaseMember || s.Phase == ownership.PhaseLeaving,
		LeaseLeft: max(0, s.LeaseLeft),
		Owned:     len(s.Partitions),
	}
	if s.View != nil {
		h.Epoch, h.Members, h.Voters = uint32(s.View.Epoch), len(s.View.Members), len(s.View.Voters)
		h.Answer = len(s.Heard)
	}
	var longest time.Duration
	for _, p := range s.Partitions {
		h.Held += p.Held
		h.Queued += p.Queued
		if p.Active {
			h.Active++
		} else if p.Reason.Code == ownership.ReasonLostWait {
			longest = max(longest, p.Reason.Left)
		}
	}
	switch {
	case !h.Member || !s.LeaseValid:
		h.Reason = l.waiting(s)
	case longest > 0:
		h.Until = l.n.env.Clock.Wall().Add(longest)
		h.Reason = fmt.Sprintf("own partitions wait %v more for leases that may still be held", longest.Round(time.Second))
		if l.foundAt != 0 {
			h.Reason = fmt.Sprintf("newly founded: calls wait %v more, since locks of a mesh before this one may still be held; set Config.Fresh where none can be", longest.Round(time.Second))
		}
	default:
		h.Serving = true
	}
	return h
}

// waiting says what Join waits for.
func (n *Node) waiting() string {
	text := "the node is closed"
	n.ask(func(l *loop) { text = l.waiting(l.core.Status(n.now())) })
	return text
}

func (l *loop) waiting(s ownership.Status) string {
	var text string
	switch s.Phase {
	case ownership.PhaseFounding:
		if s.Orphaned {
			text = "nobody answers of the mesh that this process was in, or asked to join. It founds no other, since that one may live beyond a partition, and joins any that answers. If it is gone for good, restart this process"
			break
		}
		need := l.n.cfg.Founders
		text = fmt.Sprintf("no view yet: found %d of %d founders", min(need, len(s.Heard)), need)
		var who []string
		for _, id := range s.Heard { // this node among them
			if id != l.roster.self {
				who = append(who, l.name(id))
			}
		}
		if len(who) > 0 {
			text += ": this node, " + strings.Join(who, ", ")
		}
		if more := need - len(s.Heard); more > 0 {
			text += fmt.Sprintf("; waiting for %d more", more)
		}
	case ownership.PhaseBound:
		text = "found the founders; waiting for all of them to accept the first view"
	case ownership.PhaseJoining:
		text = fmt.Sprintf("asked the voters of view %d to be added: %s", s.View.Epoch, votersOf(s.View))
	case ownership.PhaseMember, ownership.PhaseLeaving:
		if !s.LeaseValid && s.View != nil {
			text = fmt.Sprintf("member of view %d, but %d of its %d voters answer: no majority of %s. If they are gone for good, stop every node that still knows this view and start them all anew",
				s.View.Epoch, len(s.Heard), len(s.View.Voters), votersOf(s.View))
			if len(s.Heard) > len(s.View.Voters)/2 {
				text = fmt.Sprintf("member of view %d, whose voters answer, but this process was too slow to renew its lease in time (paused or overloaded)", s.View.Epoch)
			}
		}
	case ownership.PhaseSilent:
		text = "starting over as a new node"
	case ownership.PhaseGone:
		text = "this node has left"
	}
	if s.Refused != "" {
		text += "; turned away: " + s.Refused
	}
	if s.Phase != ownership.PhaseMember && len(l.trouble) > 0 {
		text += "; " + strings.Join(l.trouble, "; ")
	}
	return text
}

// votersOf names the voters, for people.
func votersOf(v *ownership.View) string {
	var who []string
	for _, id := range v.Voters {
		who = append(who, nodeName(v, id))
	}
	return strings.Join(who, ", ")
}

// nodeName says who a node is, for people.
func nodeName(v *ownership.View, id ownership.NodeID) string {
	if m := v.Member(id); m != nil {
		return m.Name + " (" + m.Addr + ")"
	}
	if id == 0 {
		return "(unknown)"
	}
	return "node " + hexID(id)
}
