package simtest

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// World is a set of simulated nodes and the network between them. It is
// deterministic and not safe for concurrent use.
//
// True time runs in the world alone; a node sees its own clock. What happens is
// in a queue: messages on their way, timers, gossip's news and calls of whoever
// directs the play. Events of one moment happen in the order of posting, calls
// first: so it does not matter when a call was planned.
type World struct {
	Now   time.Duration // true time
	Nodes []*Node
	Net   Net
	Wall  int64 // unix seconds at true time 0

	// Deliver may veto a message on its way (false loses it); nil lets all pass.
	Deliver func(from, to *Node, m ownership.Message) bool
	// OnStep sees every step of every core: when, with what, and what came of it.
	OnStep func(n *Node, now ownership.Time, in []ownership.Input, out ownership.Output)
	// OnEvent sees every event of every core.
	OnEvent func(n *Node, e ownership.Event)
	// OnSend sees every message that is sent, OnDeliver every one that arrives, and
	// OnLost every one that does not.
	OnSend    func(from *Node, e ownership.Envelope)
	OnDeliver func(f Flight)
	OnLost    func(f Flight, why string)

	Rand   *rand.Rand // of the network
	Events int        // that came off the queue so far
	Hash   uint64     // of each step so far, and what it sent to whom: equal runs have equal ones

	seed    uint64 // of NodeIDs; 0: they count from 1
	queue   queue
	calls   queue // those of whoever directs, which go first at their time
	byID    map[ownership.NodeID]*Node
	lastID  uint64
	still   int           // events at this very moment
	rough   bool          // something was cut or paused: writes may have waited for a quorum
	slowest time.Duration // delay of a message so far
	strays  time.Duration // when the last message arrives that took long
	choked  bool          // kinds of messages were kept or lost
	bad     bool          // the network has lost or kept a message: more than a cut
}

// Flight is a message on its way between two nodes.
type Flight struct {
	From, To *Node
	Message  ownership.Message
	Sent     time.Duration
	Copy     bool // a duplicate
}

// Node is one simulated process. Its name stays over rebirths.
type Node struct {
	Name    string
	Index   int // in World.Nodes
	World   *World
	Core    *ownership.Core
	Config  ownership.Config
	Crashed bool
	Frozen  bool          // SIGSTOP: messages and timers wait
	RatePPM int           // its clock runs by so many millionths too fast
	Sites   uint          // bits: the buggify sites that are on
	batched time.Duration // when its writes last waited for their batch (LateBatch)

	base    ownership.Time // its clock at the true time since
	since   time.Duration
	wake    time.Duration // when its core wants a tick
	armed   time.Duration // when its timer event comes, never if there is none
	backlog []event       // what waits for Thaw
	outside bool          // cut off for good: healing leaves it out

	leaving bool // it was asked to leave
	ailing  bool // outside for expectations alone
	lied    []lie
	deaf    bool // gossip tells it nothing
	told    bool // gossip's news are on their way to it
	late    time.Duration
	started time.Duration
	crashed time.Duration
	births  uint64
	gained  time.Duration // since when it has a membership lease, never if it has none
	frozen  time.Duration // when it was last paused,
	resumed time.Duration // and resumed,
	slept   time.Duration // after so long
	reborn  time.Duration // when it last got a NodeID
	stood   []standing    // what it has said of each partition
	had     []viewSince   // the views it has known, for the checker
}

type viewSince struct {
	view  *ownership.View
	since time.Duration
}

// lie is what a node's roster says of another whatever the truth is.
type lie struct {
	about *Node
	dead  bool
}

const never = time.Duration(1<<63 - 1)

// New returns an empty world.
func New(seed uint64) *World {
	return &World{Rand: rand.New(rand.NewPCG(seed, 0x10c4)), Wall: 1_700_000_000, byID: map[ownership.NodeID]*Node{},
		Net: Net{MinDelay: 200 * time.Microsecond, MeanDelay: 300 * time.Microsecond, RosterDelay: 500 * time.Millisecond}}
}

// Start adds a node whose clock shows an hour more than true time. Its roster
// shows it to the others, and them to it.
func (w *World) Start(name string, cfg ownership.Config) *Node {
	return w.start(name, cfg, 0, 0)
}

func (w *World) start(name string, cfg ownership.Config, offset time.Duration, ratePPM int) *Node {
	n := &Node{Name: name, Index: len(w.Nodes), World: w, RatePPM: ratePPM, armed: never,
		base: ownership.Time(time.Hour + w.Now + offset), since: w.Now, started: w.Now}
	w.Nodes = append(w.Nodes, n)
	w.Net.grow(len(w.Nodes))
	cfg.ID = w.newID(n)
	cfg.Client = ownership.ClientID(1001 + n.Index)
	cfg.Name, cfg.Addr = name, name
	cfg.Buggify = func(s ownership.Site) bool { return n.Sites>>s&1 != 0 }
	n.Config = cfg
	n.Core = ownership.New(cfg, n.Local())
	w.arm(n, w.Now)
	w.newsForAll(0)
	return n
}

// newID is a NodeID for a node that starts or is born again. With a seed it
// follows from the node's name and the count of its births alone, so that it does
// not depend on what else happens.
func (w *World) newID(n *Node) ownership.NodeID {
	w.lastID++
	n.births++
	id := ownership.NodeID(w.lastID)
	if w.seed != 0 {
		id = w.idOf(n.Name, n.births)
	}
	w.byID[id] = n
	n.reborn = w.Now
	return id
}

func (w *World) idOf(name string, births uint64) ownership.NodeID {
	return ownership.NodeID(mix(mix(w.seed, births), hashString(name)))
}

// Node returns the running node of this name, nil if there is none.
func (w *World) Node(name string) *Node {
	for _, n := range w.Nodes {
		if n.Name == name && !n.Crashed {
			return n
		}
	}
	return nil
}

// ByID returns the running node that has this NodeID now, nil if there is none.
func (w *World) ByID(id ownership.NodeID) *Node {
	if n := w.byID[id]; n != nil && !n.Crashed && n.Core.ID() == id {
		return n
	}
	return nil
}

// Local is the node's own clock.
func (n *Node) Local() ownership.Time { return n.LocalAt(n.World.Now) }

// LocalAt is the node's own clock at a true time.
func (n *Node) LocalAt(at time.Duration) ownership.Time {
	d := at - n.since
	return n.base + ownership.Time(d+d/1_000_000*time.Duration(n.RatePPM))
}

// trueAt is the first true time at which the node's clock shows t.
func (n *Node) trueAt(t ownership.Time) time.Duration {
	d, at := time.Duration(t-n.base), n.since
	rate := 1_000_000 + time.Duration(n.RatePPM)
	at += d/rate*1_000_000 + d%rate*1_000_000/rate
	for n.LocalAt(at) < t { // rounding, and LocalAt's own
		at += 1 + time.Duration(t-n.LocalAt(at))/2
	}
	return at
}

// SetClock lets a node's clock jump by so much and run at another rate from now.
func (w *World) SetClock(n *Node, jump time.Duration, ratePPM int) {
	n.base, n.since, n.RatePPM = n.Local()+ownership.Time(jump), w.Now, ratePPM
	w.arm(n, w.Now)
}

// At calls f at a true time.
func (w *World) At(at time.Duration, f func()) {
	w.calls.push(max(at, w.Now), event{kind: callDue, call: f})
}

// After calls f after d of true time.
func (w *World) After(d time.Duration, f func()) { w.At(w.Now+d, f) }

// arm makes sure that a node's timer comes at a true time, or before. A node has
// one timer event in the queue as a rule: one that comes too early is set again.
func (w *World) arm(n *Node, at time.Duration) {
	n.wake = max(at, w.Now)
	if n.wake < n.armed {
		n.armed = n.wake
		w.queue.push(n.wake, event{kind: timerDue, to: n})
	}
}

// Input gives a core an input now.
func (w *World) Input(n *Node, in ownership.Input) {
	switch {
	case n.Crashed:
	case n.Frozen:
		n.backlog = append(n.backlog, event{kind: callDue, call: func() { w.Input(n, in) }})
	default:
		w.step(n, in)
	}
}

// Step handles the next event and says whether there was one.
func (w *World) Step() bool {
	q := w.first()
	if q == nil {
		return false
	}
	at, e := q.pop()
	w.Events++
	if w.still++; at > w.Now {
		w.still = 0
		w.Now = at
	} else if w.still > 1_000_000 {
		panic(fmt.Sprintf("a million events at one moment, the last for %v", e.to))
	}
	w.handle(e)
	return true
}

// first is the queue with the next event, nil if there is none.
func (w *World) first() *queue {
	switch {
	case w.calls.len() == 0 && w.queue.len() == 0:
		return nil
	case w.queue.len() == 0 || w.calls.len() > 0 && w.calls.next() <= w.queue.next():
		return &w.calls
	}
	return &w.queue
}

// RunFor lets d of true time pass.
func (w *World) RunFor(d time.Duration) { w.RunUntil(w.Now+d, nil) }

// RunUntil runs until done says so, at the latest until the true time end, and
// returns whether it did. A done that is nil never does.
func (w *World) RunUntil(end time.Duration, done func() bool) bool {
	for done == nil || !done() {
		if q := w.first(); q == nil || q.next() > end {
			w.Now = max(w.Now, end)
			return done != nil && done()
		}
		w.Step()
	}
	return true
}

func (w *World) handle(e event) {
	if e.kind == callDue {
		e.call()
		return
	}
	n := e.to
	if e.kind == timerDue {
		n.armed = never
	}
	if n.Crashed {
		if e.kind == messageArrives {
			w.lost(&e, "receiver gone")
		}
		return
	}
	if n.Frozen {
		if e.kind != timerDue { // Thaw begins with a tick
			n.backlog = append(n.backlog, e)
		}
		return
	}
	switch e.kind {
	case timerDue:
		if w.Now < n.wake { // a later step has moved it
			w.arm(n, n.wake)
			return
		}
		w.step(n, ownership.Tick{Wall: w.Wall + int64(w.Now/time.Second)})
	case gossipNews:
		w.tellRoster(n)
	case messageArrives:
		w.arrive(&e)
	}
}

// step and deliver are the two places where a core moves.
func (w *World) step(n *Node, in ownership.Input) {
	now := n.Local()
	out := n.Core.Step(now, in)
	if w.OnStep != nil {
		w.OnStep(n, now, []ownership.Input{in}, out)
	}
	w.follow(n, out)
}

func (w *World) deliver(n *Node, in ownership.Receive) {
	now := n.Local()
	out := n.Core.Deliver(now, in)
	if w.OnStep != nil {
		w.OnStep(n, now, []ownership.Input{in}, out)
	}
	w.follow(n, out)
}

// follow does what a step asks for.
func (w *World) follow(n *Node, out ownership.Output) {
	w.Hash = mix(w.Hash, uint64(w.Now)<<8^uint64(n.Index)<<4^uint64(len(out.Send))<<1^uint64(len(out.Notify)))
	if out.Wake < 1<<62 {
		w.arm(n, n.trueAt(out.Wake))
	} else {
		n.wake = never
	}
	from := n.Core.ID()
	for i := range out.Send {
		e := &out.Send[i]
		w.Hash = mix(w.Hash, uint64(e.To)^uint64(e.Message.Kind()))
		w.send(n, from, e)
	}
	if len(out.Notify) > 0 {
		// What an event starts may step this core again, and its Output is its own.
		for _, e := range append([]ownership.Event(nil), out.Notify...) {
			w.notified(n, e)
		}
	}
}

func (w *World) notified(n *Node, e ownership.Event) {
	switch e.(type) {
	case ownership.Dropped, ownership.Abandoned:
		w.After(time.Millisecond, func() { w.rebirth(n) })
	}
	if w.OnEvent != nil {
		w.OnEvent(n, e)
	}
}

// rebirth gives a node that was dropped its new NodeID (V6), as the runtime does.
func (w *World) rebirth(n *Node) {
	if n.Crashed {
		return
	}
	old := n.Core.ID()
	w.Input(n, ownership.Rebirth{ID: w.newID(n)})
	if n.Core.ID() != old {
		w.newsForAll(0)
	}
}

// Crash stops a node for good. The others' rosters learn it later.
func (w *World) Crash(n *Node) {
	if n.Crashed {
		return
	}
	n.Crashed, n.crashed, n.backlog = true, w.Now, nil
	w.newsForAll(w.Net.RosterDelay)
}

// Freeze stops a node's execution until Thaw, as SIGSTOP does: its clock runs
// on, what is sent to it waits.
func (w *World) Freeze(n *Node) {
	n.Frozen, n.frozen, w.rough = true, w.Now, true
	w.newsForAll(w.Net.RosterDelay)
}

// Thaw lets a frozen node go on: first its timers, then what has waited.
func (w *World) Thaw(n *Node) { w.thaw(n, false) }

// thaw: which of the two comes first is up to the operating system.
func (w *World) thaw(n *Node, messagesFirst bool) {
	if !n.Frozen || n.Crashed {
		return
	}
	n.Frozen, n.resumed, n.slept = false, w.Now, w.Now-n.frozen
	n.armed = never
	if !messagesFirst {
		w.arm(n, w.Now)
	}
	for _, e := range n.backlog {
		w.queue.push(w.Now, e)
	}
	n.backlog = nil
	w.arm(n, w.Now)
	w.newsForAll(w.Net.RosterDelay)
}

func (n *Node) String() string { return fmt.Sprintf("%s/%d", n.Name, n.Core.ID()) }

// mix folds v into a hash: the finalizer of splitmix64 (Steele, Lea, Flood 2014).
func mix(h, v uint64) uint64 {
	x := h + v + 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func hashString(s string) uint64 {
	h := uint64(14695981039346656037) // FNV-1a
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}
