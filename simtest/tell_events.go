package simtest

import (
	"fmt"
	"slices"

	"github.com/lockmesh/lockmesh/ownership"
	"github.com/lockmesh/lockmesh/simtest/story"
)

// event marks what a node told its program, as far as it is worth a look: what a
// run is full of (renewals, reasons to wait) is in the messages.
func (t *Teller) event(n *Node, e ownership.Event) {
	p := &printer{t: t, clock: n}
	note := func(format string, args ...any) { t.mark(n.Index, story.Event, format, args...) }
	key := func(h ownership.Handle) string { return t.keyOf(n, h) }
	switch e := e.(type) {
	case ownership.ViewLearned:
		t.viewLearned(n, e, p)
	case ownership.Granted:
		note("granted %s %s", key(e.Handle), p.token(e.Token))
	case ownership.Extended:
		if e.Asked {
			note("extended %s", key(e.Handle))
		}
	case ownership.Busy:
		note("busy %s: %s has it with %s", key(e.Handle), p.client(e.Holder.Request.Client), p.token(e.Holder.Token))
	case ownership.Invalid:
		note("refused %s: %s", key(e.Handle), e.Why)
	case ownership.Lost:
		note("lost %s: %s", key(e.Handle), causeNames[e.Cause])
	case ownership.Released:
		switch {
		case e.GaveUp:
			note("gave up %s: nobody answered Unlock", key(e.Handle))
		case e.Held:
			note("released %s, handle %d", key(e.Handle), e.Handle)
		default:
			note("closed %s, handle %d: it held nothing", key(e.Handle), e.Handle)
		}
	case ownership.Pending:
		if e.Reason.Code == ownership.ReasonTooLate {
			note("gave back %s: its grant came too late", key(e.Handle))
		}
	case ownership.Denied:
		note("denied %s, handle %d: %s", key(e.Handle), e.Handle, denials[e.Code])
	case ownership.Altered:
		note("change %d of %s, handle %d: %s, holds it %s", e.Op, key(e.Handle), e.Handle, name(outcomes[:], int(e.Outcome)), modeText(e.Mode))
	case ownership.Contended:
		note("somebody waits for %s, handle %d", key(e.Handle), e.Handle)
	case ownership.Looked:
		for i := range e.Keys {
			note("is told of %s", p.keyState(&e.Keys[i]))
		}
	case ownership.Evicted:
		note("eviction from %s over, it was held: %v", key(e.Handle), e.Done)
	default:
		t.memberEvent(n, e, p)
	}
}

// keyOf is the key that a node's handle is about.
func (t *Teller) keyOf(n *Node, h ownership.Handle) string {
	ch, id := t.s.Checker, callID{n, h}
	switch {
	case ch.calls[id] != nil:
		return ch.calls[id].Key
	case ch.looks[id] != nil:
		return ch.looks[id].Key
	case ch.evictions[id] != nil:
		return ch.evictions[id].Of.Key
	}
	return "?"
}

var denials = map[ownership.DeniedCode]string{
	ownership.DeniedCapacity: "it has another capacity",
	ownership.DeniedLease:    "its lease is over",
	ownership.DeniedSet:      "a lock before it in its set has ended",
}

var causeNames = map[ownership.LostCause]string{
	ownership.LostExpired:   "no renewal before the deadline",
	ownership.LostMissing:   "its owner does not have it",
	ownership.LostOtherMesh: "the node is of another mesh now",
	ownership.LostEvicted:   "an operator took it",
	ownership.LostLease:     "another lock of its lease was lost",
	ownership.LostRevoked:   "its lease was let go",
}

// memberEvent marks events about membership and groups.
func (t *Teller) memberEvent(n *Node, e ownership.Event, p *printer) {
	note := func(format string, args ...any) { t.mark(n.Index, story.Event, format, args...) }
	switch e := e.(type) {
	case ownership.Activated:
		if e.Lost {
			note("starts p%d in %s without the holders before", e.Partition, p.term(e.Term))
		} else {
			note("serves p%d in %s", e.Partition, p.term(e.Term))
		}
	case ownership.Waits:
		note("waits with p%d until %s: leases of before may last", e.Partition, p.localTime(n, e.Until))
	case ownership.Serving:
		if e.Valid {
			note("has a membership lease")
		} else {
			note("has no membership lease any more")
		}
	case ownership.Dropped:
		note("dropped by view %s, starts over", p.epoch(e.Epoch))
	case ownership.Abandoned:
		note("founding failed, starts over")
	case ownership.Left:
		note("has left, confirmed: %v", e.Confirmed)
	case ownership.TurnedAway:
		note("turned away by %s: %s", p.node(e.By), e.Detail)
	case ownership.OtherMesh:
		if m := (mesh{n, e.Mesh}); !t.meshes[m] {
			t.meshes[m] = true
			note("hears another mesh, that of %s, from %s", p.node(ownership.NodeID(e.Mesh)), p.node(e.From))
		}
	case ownership.Disagrees:
		note("disagrees with %s about view %s", p.node(e.From), p.epoch(e.Epoch))
	}
}

// viewLearned marks a view once for the world, and at each node that learns it.
func (t *Teller) viewLearned(n *Node, e ownership.ViewLearned, p *printer) {
	v := e.View
	t.sawEpoch(v.Epoch)
	if id := (viewID{v.Mesh, v.Epoch}); !t.views[id] {
		t.views[id] = true
		text := "view " + p.view(v)
		if before := t.s.Checker.views[viewID{v.Mesh, v.Epoch - 1}]; before != nil {
			text += difference(p, before, v)
		}
		t.mark(story.World, story.View, "%s", text)
	}
	if e.Member {
		t.mark(n.Index, story.View, "learns %s", p.epoch(v.Epoch))
	} else {
		t.mark(n.Index, story.View, "learns %s, not a member", p.epoch(v.Epoch))
	}
}

func difference(p *printer, before, v *ownership.View) string {
	var text string
	for _, m := range before.Members {
		if v.Member(m.ID) == nil {
			text += "; drops " + p.node(m.ID)
		}
	}
	for _, m := range v.Members {
		if before.Member(m.ID) == nil {
			text += "; adds " + p.node(m.ID)
		}
	}
	moved := 0
	for i, g := range v.Groups {
		if i < len(before.Groups) && !slices.Equal(g.Replicas, before.Groups[i].Replicas) {
			moved++
		}
	}
	if moved > 0 {
		text += fmt.Sprintf("; groups that move: %d", moved)
	}
	return text
}
