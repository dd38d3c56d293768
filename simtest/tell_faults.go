package simtest

import (
	"fmt"
	"strings"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
	"github.com/lockmesh/lockmesh/simtest/story"
)

// faultSpans are the faults that last, as the actions begin and end them.
type faultSpans struct {
	spans []story.Span
	open  map[faultID]int // indices of spans that have not ended
}

type faultID struct {
	kind        story.SpanKind
	lane, other int
}

// Kinds of spans beyond those that package story knows by name.
const (
	spanLose    story.SpanKind = "lose"    // messages from Lane to Other are lost
	spanOutside story.SpanKind = "cut off" // for good
	spanNetwork story.SpanKind = "network" // chance, everywhere
	spanAlone                  = -1        // no other node
)

func (f *faultSpans) begin(at time.Duration, id faultID, text string) {
	f.end(at, id)
	f.open[id] = len(f.spans)
	f.spans = append(f.spans, story.Span{Lane: id.lane, Other: id.other, From: at, Kind: id.kind, Text: text})
}

func (f *faultSpans) end(at time.Duration, id faultID) {
	if i, ok := f.open[id]; ok {
		f.spans[i].To = at
		delete(f.open, id)
	}
}

// endAll ends every fault that which says.
func (f *faultSpans) endAll(at time.Duration, which func(faultID) bool) {
	for i := range f.spans { // not over the map: the order shows
		s := &f.spans[i]
		id := faultID{s.Kind, s.Lane, s.Other}
		if n, ok := f.open[id]; ok && n == i && which(id) {
			f.end(at, id)
		}
	}
}

// network tells what chance does to messages.
func (t *Teller) network() {
	net := &t.s.Net
	text := fmt.Sprintf("delays %v + %v on average", net.MinDelay, net.MeanDelay)
	if net.Fates != nil {
		text = fmt.Sprintf("as it was recorded, else delays of %v", net.MinDelay)
	}
	if net.Loss > 0 {
		text += fmt.Sprintf(", %.0f %% of all messages are lost", 100*net.Loss)
	}
	if net.Twice > 0 {
		text += fmt.Sprintf(", %.0f %% come twice", 100*net.Twice)
	}
	t.faults.begin(t.s.Now, faultID{spanNetwork, story.World, spanAlone}, text)
}

// act tells an action. Calls for locks are told by the checker, which sees those too
// that are no actions.
func (t *Teller) act(a Action) {
	now := t.s.Now
	switch a.Verb {
	case Heal:
		t.mark(story.World, story.Fault, "all faults end")
		t.faults.endAll(now, func(id faultID) bool { return id.kind != spanOutside })
		return
	case MendAll:
		t.mark(story.World, story.Fault, "all cuts end")
		t.faults.endAll(now, func(id faultID) bool { return id.kind == story.Cut })
		return
	case Rest:
		t.mark(story.World, story.Event, "must be at rest")
		return
	}
	if n := t.s.Node(a.Node); n != nil {
		t.actOn(n, a)
	}
}

func (t *Teller) actOn(n *Node, a Action) {
	now, f := t.s.Now, &t.faults
	alone := func(k story.SpanKind) faultID { return faultID{k, n.Index, spanAlone} }
	switch a.Verb {
	case Look:
		what := "Look at " + a.Key
		if a.Page {
			what = fmt.Sprintf("List p%d after %q", a.N, a.Key)
		} else if a.Watch {
			what = "Watch " + a.Key
		}
		t.mark(n.Index, story.Call, "%s, handle %d", what, a.Handle)
	case Unlook:
		t.mark(n.Index, story.Call, "End the look, handle %d", a.Handle)
	case Evict:
		t.mark(n.Index, story.Call, "Evict handle %d of %s, handle %d", a.Whose, a.Other, a.Handle)
	case Crash:
		t.mark(n.Index, story.Fault, "crash")
		f.endAll(now, func(id faultID) bool { return id.lane == n.Index && id.other == spanAlone })
	case Pause:
		if !n.Frozen {
			t.mark(n.Index, story.Fault, "SIGSTOP")
			f.begin(now, alone(story.Paused), "timers and messages wait, the clock runs on")
		}
	case Resume:
		f.end(now, alone(story.Paused))
	case LeaveNow:
		t.mark(n.Index, story.Call, "Leave")
	case Deafen:
		f.begin(now, alone(story.StaleGossip), "gossip tells it nothing")
	case Listen:
		f.end(now, alone(story.StaleGossip))
	case Clock:
		t.mark(n.Index, story.Fault, "clock jumps by %v and runs by %+.1f %% too fast", a.For, float64(a.Rate)/10_000)
	case Outside:
		t.mark(n.Index, story.Fault, "cut off for good")
		f.begin(now, alone(spanOutside), "nothing reaches it or comes from it any more")
	case Site:
		f.end(now, alone(story.Buggify))
		if a.N != 0 {
			f.begin(now, alone(story.Buggify), siteNames(uint(a.N)))
		}
	default:
		if o := t.s.named(a.Other); o != nil {
			t.actOnLink(n, o, a)
		}
	}
}

func (t *Teller) actOnLink(n, o *Node, a Action) {
	now, f := t.s.Now, &t.faults
	id := func(k story.SpanKind) faultID { return faultID{k, n.Index, o.Index} }
	switch a.Verb {
	case Cut:
		if !t.s.IsCut(n, o) {
			t.mark(n.Index, story.Fault, "cut: to %s", o.Name)
			f.begin(now, id(story.Cut), "nothing arrives, and gossip sees it")
		}
	case Mend:
		f.end(now, id(story.Cut))
	case Clog:
		kinds := a.Kinds | t.s.Net.link(n, o).clog
		t.mark(n.Index, story.Fault, "withheld: to %s", o.Name)
		f.begin(now, id(story.Withheld), "waits: "+kinds.String())
	case Unclog:
		f.end(now, id(story.Withheld))
	case Lose:
		f.end(now, id(spanLose))
		if a.Kinds != 0 {
			t.mark(n.Index, story.Fault, "lose: to %s", o.Name)
			f.begin(now, id(spanLose), "lost unseen: "+a.Kinds.String())
		}
	case Slow:
		f.end(now, id(story.Clogged))
		if a.N != 0 {
			f.begin(now, id(story.Clogged), fmt.Sprintf("%d times slower", a.N))
		}
	case LieDead:
		t.mark(n.Index, story.Fault, "lie: %s is dead", o.Name)
		f.begin(now, id(story.Lie), "its roster calls the other dead")
	case Truth:
		f.end(now, id(story.Lie))
	}
}

// tellSpans tells what lasts: faults, and when nodes ran.
func (t *Teller) tellSpans(st *story.Story) {
	for _, n := range t.s.Nodes {
		if at := n.started; at > 0 {
			st.Spans = append(st.Spans, story.Span{Lane: n.Index, Other: spanAlone, To: at, Kind: story.Absent})
		}
		if n.Crashed {
			st.Spans = append(st.Spans, story.Span{Lane: n.Index, Other: spanAlone, From: n.crashed, Kind: story.Crashed})
		}
	}
	for _, s := range t.faults.spans {
		if s.Lane >= 0 && s.To == 0 && t.s.Nodes[s.Lane].Crashed {
			s.To = max(s.From, t.s.Nodes[s.Lane].crashed)
		}
		if s.To == 0 || s.To > s.From {
			st.Spans = append(st.Spans, s)
		}
	}
}

func siteNames(bits uint) string {
	var names []string
	for s := ownership.Site(0); s < ownership.Sites; s++ {
		if bits>>s&1 != 0 {
			names = append(names, s.String())
		}
	}
	return strings.Join(names, ", ")
}
