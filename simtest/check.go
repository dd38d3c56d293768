package simtest

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// Checker watches a world in true time and holds against it what the README
// promises. It sees everything: every call and answer of every client, every
// message, all clocks. Each check has a name, which a Failure carries; the package
// documentation lists them.
//
// With Wild set clocks are beyond the bound: what rests on clock rates is not
// checked then, tokens are.
type Checker struct {
	Wild     bool
	Grants   int
	Views    int
	Failures []Failure
	Goals    Goals
	Unknown  int // keys whose history Linear could not decide in its time

	w                    *World
	calls                map[callID]*Call
	open                 []*Call              // those with an answer to come, by invocation
	alters               []*Alteration        // likewise
	looks                map[callID]*Inquiry  // all,
	looking              []*Inquiry           // and those that are not over
	evictions            map[callID]*Eviction // all,
	evicting             []*Eviction          // and those that are not over
	sets                 map[*Node]bool       // who has asked for several keys in their order
	adopted              adopted              // the grant that was delivered last
	keys                 map[string]*keyHistory
	releases             map[ownership.RequestID]bool // that were sent to an owner
	names                []string                     // of keys, in the order of their first use
	views                map[viewID]*ownership.View
	proposed             map[*ownership.View]bool
	learnedAt            map[viewID]time.Duration
	members              map[ownership.NodeID]bool // that ever were
	leaving              map[ownership.NodeID]bool // that a view called so
	left                 map[ownership.NodeID]bool // in order (V7)
	served               map[version]bool          // terms whose owner became active
	installed            map[version]bool          // terms whose first state was sent
	versions             map[version]uint64
	places               map[ownership.RequestID]*place        // requests that have come to the owners of their keys
	heldKey              map[ownership.RequestID]string        // the key of each holder that was written
	writtenAt            map[ownership.RequestID]time.Duration // when it was, first
	ousted               map[ownership.RequestID]ousted        // holders that were told to let go (K13),
	asksAgain            map[ownership.RequestID]uint64        // and the change that one has asked for since
	altering             map[ownership.RequestID]uint64        // the newest change that a holder has asked for
	activeAt             map[version]time.Duration             // when the owner of a term became active
	snapshots            map[version]bool                      // terms of which a snapshot was sent
	found                map[version]foundState                // what the owner of a term has found
	chain                *ownership.View                       // the newest
	lastView             time.Duration                         // when it was first learned
	losses               map[ownership.Partition][]loss
	newest               map[ownership.Partition]ownership.Term // the highest whose owner became active
	mesh                 int                                    // how often the mesh was refounded
	serving              ownership.MeshID                       // the mesh that serves
	healedAt             time.Duration                          // 0: not yet
	restedAt             time.Duration                          // when it was last at rest after that; 0: not yet
	emptyAt              time.Duration                          // when it last was, and nobody held anything
	disturbed            time.Duration                          // when something was last done but lock and unlock
	rested, restedBefore *ownership.View                        // in which it was at rest at the last Rests
	heard                func(*Call, ownership.Event)           // is told what a client was told of a call
}

// Failure is a promise that was not kept.
type Failure struct {
	At    time.Duration
	Check string
	Text  string
	Calls []*Call // those it is about, if any
	form  string  // of Text, without names and numbers: shrinking must not change it
}

func (f Failure) String() string { return fmt.Sprintf("%v: %s: %s", f.At, f.Check, f.Text) }

type viewID struct {
	mesh  ownership.MeshID
	epoch ownership.Epoch
}

// NewChecker attaches a checker to a world. Hooks that are set already go on.
func NewChecker(w *World) *Checker {
	ch := &Checker{
		w:         w,
		calls:     map[callID]*Call{},
		looks:     map[callID]*Inquiry{},
		evictions: map[callID]*Eviction{},
		sets:      map[*Node]bool{},
		keys:      map[string]*keyHistory{},
		releases:  map[ownership.RequestID]bool{},
		views:     map[viewID]*ownership.View{},
		proposed:  map[*ownership.View]bool{},
		learnedAt: map[viewID]time.Duration{},
		members:   map[ownership.NodeID]bool{},
		left:      map[ownership.NodeID]bool{},
		leaving:   map[ownership.NodeID]bool{},
		served:    map[version]bool{},
		installed: map[version]bool{},
		versions:  map[version]uint64{},
		places:    map[ownership.RequestID]*place{},
		heldKey:   map[ownership.RequestID]string{},
		writtenAt: map[ownership.RequestID]time.Duration{},
		ousted:    map[ownership.RequestID]ousted{},
		asksAgain: map[ownership.RequestID]uint64{},
		altering:  map[ownership.RequestID]uint64{},
		activeAt:  map[version]time.Duration{},
		snapshots: map[version]bool{},
		found:     map[version]foundState{},
		losses:    map[ownership.Partition][]loss{},
		newest:    map[ownership.Partition]ownership.Term{},
	}
	event, send, deliver := w.OnEvent, w.OnSend, w.OnDeliver
	w.OnEvent = func(n *Node, e ownership.Event) {
		ch.event(n, e)
		if event != nil {
			event(n, e)
		}
	}
	w.OnSend = func(n *Node, e ownership.Envelope) {
		ch.sent(n, &e)
		if send != nil {
			send(n, e)
		}
	}
	w.OnDeliver = func(f Flight) {
		ch.delivered(&f)
		if deliver != nil {
			deliver(f)
		}
	}
	return ch
}

func (ch *Checker) fail(check string, calls []*Call, format string, args ...any) {
	ch.Failures = append(ch.Failures, Failure{ch.w.Now, check, fmt.Sprintf(format, args...), calls, formOf(format, args)})
}

// formOf tells two failures of one check apart: by the format of the text; a panic by
// the name of the invariant.
func formOf(format string, args []any) string {
	if format != "%v" || len(args) == 0 {
		return format
	}
	name, _, _ := strings.Cut(fmt.Sprint(args[0]), " violated:")
	return name
}

func (ch *Checker) event(n *Node, e ownership.Event) {
	switch e := e.(type) {
	case ownership.ViewLearned:
		ch.learned(n, e)
	case ownership.Serving:
		n.gained = ch.w.Now
		if !e.Valid {
			n.gained = never
			ch.Goals.Reach("lease lost and gained")
		}
	case ownership.Activated:
		ch.activated(n, e)
	case ownership.Left:
		if id := n.Core.ID(); e.Confirmed && ch.leaving[id] {
			ch.left[id] = true
			ch.leftBehind(n)
		}
		ch.Goals.event(e)
	case ownership.Disagrees:
		ch.fail("view", nil, "%s was sent a view of epoch %d that contradicts its own", n, e.Epoch)
	case ownership.Waits:
		ch.awaitsLost(n, e)
		ch.Goals.event(e)
	case ownership.Looked:
		ch.looked(ch.looks[callID{n, e.Handle}], e)
	case ownership.Evicted:
		ch.evictionOver(ch.evictions[callID{n, e.Handle}], e)
	default:
		if h, ok := handleOf(e); ok {
			if c := ch.calls[callID{n, h}]; c != nil {
				ch.told(c, e)
			} else {
				ch.toldOther(callID{n, h}, e)
			}
			return
		}
		ch.Goals.event(e)
	}
}

// told is what a client is told of a call.
func (ch *Checker) told(c *Call, e ownership.Event) {
	switch e := e.(type) {
	case ownership.Granted:
		ch.granted(c, e)
	case ownership.Extended:
		ch.extended(c, e)
	case ownership.Busy:
		ch.busy(c, e.Holder)
	case ownership.Denied:
		ch.denied(c, e)
	case ownership.Lost:
		ch.lostLock(c, e)
	case ownership.Released:
		ch.released(c, e)
	case ownership.Altered:
		ch.altered(c, e)
	case ownership.Contended:
		ch.contended(c)
	case ownership.Pending:
		ch.pending(c, e)
	case ownership.Invalid:
		c.Invalid = true
		ch.ended(c)
		if ch.wellFormed(c) {
			ch.fail("memory", []*Call{c}, "%s: handle %d was refused: %s", c.Node, c.Handle, e.Why)
		}
	}
	if ch.heard != nil {
		ch.heard(c, e)
	}
}

// toldOther is what a client is told of a look or an eviction.
func (ch *Checker) toldOther(id callID, e ownership.Event) {
	switch e := e.(type) {
	case ownership.Invalid:
		ch.fail("look", nil, "%s: handle %d was refused: %s", id.node, id.handle, e.Why)
	case ownership.Released, ownership.Pending:
	default:
		ch.fail("memory", nil, "%s is told %T of handle %d, which asked for no lock", id.node, e, id.handle)
	}
}

// handleOf is the handle that an event is about, if it is about one.
func handleOf(e ownership.Event) (ownership.Handle, bool) {
	switch e := e.(type) {
	case ownership.Granted:
		return e.Handle, true
	case ownership.Extended:
		return e.Handle, true
	case ownership.Busy:
		return e.Handle, true
	case ownership.Denied:
		return e.Handle, true
	case ownership.Lost:
		return e.Handle, true
	case ownership.Released:
		return e.Handle, true
	case ownership.Altered:
		return e.Handle, true
	case ownership.Contended:
		return e.Handle, true
	case ownership.Pending:
		return e.Handle, true
	case ownership.Invalid:
		return e.Handle, true
	}
	return 0, false
}

func (ch *Checker) activated(n *Node, e ownership.Activated) {
	id := version{mesh: n.Core.View().Mesh, partition: e.Partition, term: e.Term}
	ch.served[id], ch.activeAt[id] = true, ch.w.Now
	ch.oneMesh(n)
	ch.newest[e.Partition] = max(ch.newest[e.Partition], e.Term)
	if e.Lost {
		ch.startedAnew(e.Partition, e.Term, true)
		ch.lostRightly(n, e.Partition)
	}
	ch.served[version{mesh: n.Core.View().Mesh, partition: e.Partition}] = true // in any term
	ch.Goals.activated(n, e)
}

// loss is an owner's beginning without the state of the one before (T6).
type loss struct {
	at     time.Duration
	term   ownership.Term
	active bool // it serves; else it has sent its first state, which nobody need have taken
}

func (ch *Checker) startedAnew(p ownership.Partition, t ownership.Term, active bool) {
	ch.losses[p] = append(ch.losses[p], loss{ch.w.Now, t, active})
}

// mayBeLost says that the state of one term may be missing in a later one. It is a matter
// of terms, not of times.
func (ch *Checker) mayBeLost(p ownership.Partition, of, in ownership.Term) bool {
	return slices.ContainsFunc(ch.losses[p], func(l loss) bool { return of < l.term && l.term <= in })
}

// isLost says that what there is in a later term rests on a beginning without the state
// of the first: one in between became active, and so whoever came after has met it.
func (ch *Checker) isLost(p ownership.Partition, of, in ownership.Term) bool {
	return slices.ContainsFunc(ch.losses[p], func(l loss) bool { return l.active && of < l.term && l.term <= in })
}

// mayBeForgotten says that an owner has begun without the grant of a call (T6).
func (ch *Checker) mayBeForgotten(c *Call) bool {
	return ch.mayBeLost(partitionOf(c.Key, ch.params()), c.Token.Term(), math.MaxUint32)
}

// installs notes that when an owner sends its first state: it may die before it is
// active, and the next one goes on from there. From one that begins when a later term is
// served already, since it was stopped meanwhile, nobody does: every owner to come finds
// the later one (T2).
func (ch *Checker) installs(n *Node, mesh ownership.MeshID, m *ownership.Install) {
	id := version{mesh: mesh, partition: m.Partition, term: m.Term}
	ch.snapshots[id] = ch.snapshots[id] || m.Number != 0
	if m.Number != 0 || ch.installed[id] || m.Term < ch.newest[m.Partition] {
		return
	}
	ch.installed[id] = true
	if in, _ := n.Core.Inspect(m.Partition); in.Lost {
		ch.startedAnew(m.Partition, m.Term, false)
		ch.keepsValues(n, id, m)
	}
}

// installedAlone notes a first state that its owner sent to nobody: it is the only
// replica, was stopped while it waited for what is lost (T6), and is sealed before it
// serves.
func (ch *Checker) installedAlone(n *Node, mesh ownership.MeshID, m *ownership.SealAck) {
	id := version{mesh: mesh, partition: m.Partition, term: m.Installed}
	in, _ := n.Core.Inspect(m.Partition)
	if own := n.Core.View(); in.Lost && !ch.installed[id] && !ch.served[id] && own.Groups[m.Partition].Term == m.Installed && m.Installed >= ch.newest[m.Partition] {
		ch.installed[id] = true
		ch.startedAnew(m.Partition, m.Installed, false)
	}
}

func tokenText(t ownership.Token) string { return fmt.Sprintf("%d.%d", t.Term(), uint32(t)) }
