// Package simtest runs the protocol itself, not a model of it, in a simulated
// world: several ownership cores under virtual time, with a network that delays,
// loses, doubles and cuts, clocks that drift, nodes that crash and pause, and a
// roster that is late. Everything follows from one seed.
//
// World is the stage; Run (random.go) plays a random piece on it, and Checker
// watches. The golden traces of ownership use World by hand.
package simtest

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// World is a set of simulated nodes and the network between them. It is
// deterministic and not safe for concurrent use.
type World struct {
	Now   time.Duration // true time
	Nodes []*Node
	Net   Net
	// Deliver may veto a message on its way (false loses it); nil lets all pass.
	Deliver func(from, to *Node, m ownership.Message) bool
	// OnEvent sees every event of every core, OnSend every message that is sent.
	OnEvent func(n *Node, e ownership.Event)
	OnSend  func(from *Node, e ownership.Envelope)
	// OnDeliver sees every message that arrives.
	OnDeliver func(from, to *Node, m ownership.Message)
	// OnStep sees every step of every core: when, with what, and what came of it.
	OnStep func(n *Node, now ownership.Time, in []ownership.Input, out ownership.Output)

	Rand   *rand.Rand
	Steps  int
	events eventHeap
	order  uint64
	lastID uint64
	still  int   // events at this very moment
	Wall   int64 // unix seconds at true time 0
}

// Net is how the network treats messages.
type Net struct {
	MinDelay, MeanDelay time.Duration      // exponential above the minimum
	Loss, Twice         float64            // probabilities
	Cut                 map[[2]string]bool // from, to: nothing passes
	RosterDelay         time.Duration      // until gossip tells that a node died or came
}

// Node is one simulated process. Its name stays over rebirths.
type Node struct {
	Name    string
	World   *World
	Core    *ownership.Core
	Config  ownership.Config
	Crashed bool
	Frozen  bool // SIGSTOP: messages and timers wait
	Offset  time.Duration
	RatePPM int // its clock runs by so many millionths too fast

	wake    time.Duration
	backlog []event
	dead    map[string]bool // what its roster says of others
}

type event struct {
	at    time.Duration
	order uint64
	to    *Node
	id    ownership.NodeID // the receiver's NodeID when it was sent, for messages
	input ownership.Input  // nil: a timer
	from  *Node
	call  func()
}

type eventHeap []event

func (h eventHeap) Len() int { return len(h) }
func (h eventHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].order < h[j].order
}
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *eventHeap) Push(x any)   { *h = append(*h, x.(event)) }
func (h *eventHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	*h = old[:len(old)-1]
	return e
}

// New returns an empty world.
func New(seed uint64) *World {
	return &World{Rand: rand.New(rand.NewPCG(seed, 0x10c4)), Wall: 1_700_000_000,
		Net: Net{MinDelay: 200 * time.Microsecond, MeanDelay: 300 * time.Microsecond, Cut: map[[2]string]bool{}, RosterDelay: 500 * time.Millisecond}}
}

// Start adds a node. Its roster shows it to the others, and them to it.
func (w *World) Start(name string, cfg ownership.Config) *Node {
	w.lastID++
	cfg.ID = ownership.NodeID(w.lastID)
	cfg.Client = ownership.ClientID(1000 + w.lastID)
	cfg.Name, cfg.Addr = name, name
	n := &Node{Name: name, World: w, Config: cfg, dead: map[string]bool{}}
	w.Nodes = append(w.Nodes, n)
	n.Core = ownership.New(cfg, n.Local())
	w.rosterChanged()
	w.post(event{at: w.Now, to: n})
	return n
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

// Local is the node's own clock.
func (n *Node) Local() ownership.Time { return n.LocalAt(n.World.Now) }

// LocalAt is the node's own clock at a true time.
func (n *Node) LocalAt(at time.Duration) ownership.Time {
	return ownership.Time(n.Offset + time.Hour + at + at/1_000_000*time.Duration(n.RatePPM))
}

// trueAt is the first true time at which the node's clock shows t.
func (n *Node) trueAt(t ownership.Time) time.Duration {
	d := time.Duration(t) - n.Offset - time.Hour
	at := d - d/1_000_000*time.Duration(n.RatePPM)
	for n.LocalAt(at) < t {
		at += time.Duration(t-n.LocalAt(at)) + 1
	}
	return at
}

func (w *World) post(e event) {
	w.order++
	e.order = w.order
	heap.Push(&w.events, e)
}

// At calls f at a true time.
func (w *World) At(at time.Duration, f func()) { w.post(event{at: max(at, w.Now), call: f}) }

// After calls f after d of true time.
func (w *World) After(d time.Duration, f func()) { w.At(w.Now+d, f) }

// Input gives a core an input now.
func (w *World) Input(n *Node, in ...ownership.Input) {
	if n.Crashed {
		return
	}
	if n.Frozen {
		for _, i := range in {
			n.backlog = append(n.backlog, event{to: n, id: n.Core.ID(), input: i})
		}
		return
	}
	w.step(n, in...)
}

// Step handles the next event and says whether there was one.
func (w *World) Step() bool {
	if len(w.events) == 0 {
		return false
	}
	e := heap.Pop(&w.events).(event)
	if w.still++; e.at > w.Now {
		w.still = 0
	} else if w.still > 1_000_000 {
		panic(fmt.Sprintf("a million events at one moment, the last for %v", e.to))
	}
	w.Now = e.at
	w.handle(e)
	return true
}

// RunFor lets d of true time pass.
func (w *World) RunFor(d time.Duration) { w.RunUntil(w.Now+d, func() bool { return false }) }

// RunUntil runs until done says so, at the latest until the true time end, and
// returns whether it did.
func (w *World) RunUntil(end time.Duration, done func() bool) bool {
	for !done() {
		if len(w.events) == 0 || w.events[0].at > end {
			w.Now = end
			return done()
		}
		w.Step()
	}
	return true
}

func (w *World) handle(e event) {
	if e.call != nil {
		e.call()
		return
	}
	n := e.to
	if n.Crashed {
		return
	}
	if n.Frozen {
		n.backlog = append(n.backlog, e)
		return
	}
	if e.input == nil { // a timer, unless a later step has moved it
		if w.Now >= n.wake {
			w.step(n, ownership.Tick{Wall: w.Wall + int64(w.Now/time.Second)})
		}
		return
	}
	if e.from != nil {
		if e.id != n.Core.ID() { // sent to a NodeID of before
			return
		}
		if w.Net.Cut[[2]string{e.from.Name, n.Name}] {
			return
		}
		if m := e.input.(ownership.Receive); w.Deliver != nil && !w.Deliver(e.from, n, m.Message) {
			return
		}
		if w.OnDeliver != nil {
			w.OnDeliver(e.from, n, e.input.(ownership.Receive).Message)
		}
	}
	w.step(n, e.input)
}

func (w *World) step(n *Node, in ...ownership.Input) {
	w.Steps++
	now := n.Local()
	out := n.Core.Step(now, in...)
	if w.OnStep != nil {
		w.OnStep(n, now, in, out)
	}
	n.wake = 1 << 62
	if out.Wake < 1<<62 {
		n.wake = n.trueAt(out.Wake)
		w.post(event{at: max(n.wake, w.Now), to: n})
	}
	from := n.Core.ID()
	for _, e := range out.Send {
		w.send(n, from, e)
	}
	for _, e := range slices.Clone(out.Notify) {
		w.notified(n, e)
	}
}

func (w *World) send(n *Node, id ownership.NodeID, e ownership.Envelope) {
	if w.OnSend != nil {
		w.OnSend(n, e)
	}
	for _, to := range w.Nodes {
		if to.Crashed || to.Core.ID() != e.To {
			continue
		}
		if w.Net.Loss > 0 && w.Rand.Float64() < w.Net.Loss {
			return
		}
		copies := 1
		if w.Net.Twice > 0 && w.Rand.Float64() < w.Net.Twice {
			copies = 2
		}
		for range copies {
			w.post(event{at: w.Now + w.delay(), to: to, id: e.To, from: n,
				input: ownership.Receive{From: id, Mesh: e.Mesh, Message: e.Message}})
		}
		return
	}
}

func (w *World) delay() time.Duration {
	if w.Net.MeanDelay == 0 {
		return w.Net.MinDelay
	}
	return w.Net.MinDelay + time.Duration(w.Rand.ExpFloat64()*float64(w.Net.MeanDelay))
}

func (w *World) notified(n *Node, e ownership.Event) {
	switch e.(type) {
	case ownership.Dropped, ownership.Abandoned:
		w.After(time.Millisecond, func() {
			if n.Crashed {
				return
			}
			w.lastID++
			w.Input(n, ownership.Rebirth{ID: ownership.NodeID(w.lastID)})
			w.rosterChanged()
		})
	}
	if w.OnEvent != nil {
		w.OnEvent(n, e)
	}
}

// Crash stops a node for good. The others' rosters learn it later.
func (w *World) Crash(n *Node) {
	n.Crashed = true
	w.After(w.Net.RosterDelay, w.rosterChanged)
}

// Freeze stops a node's execution until Thaw, as SIGSTOP does: its clock runs
// on, what is sent to it waits.
func (w *World) Freeze(n *Node) {
	n.Frozen = true
	w.After(w.Net.RosterDelay, w.rosterChanged)
}

// Thaw lets a frozen node go on: first its timers, then what has waited.
func (w *World) Thaw(n *Node) {
	if !n.Frozen {
		return
	}
	n.Frozen = false
	w.post(event{at: w.Now, to: n})
	n.wake = w.Now
	for _, e := range n.backlog {
		e.at = w.Now
		w.post(e)
	}
	n.backlog = nil
	w.After(w.Net.RosterDelay, w.rosterChanged)
}

// Cut stops messages between two nodes, both ways; Mend lets them pass again.
func (w *World) Cut(a, b string) {
	w.CutOneWay(a, b)
	w.CutOneWay(b, a)
}

// CutOneWay stops messages from a to b.
func (w *World) CutOneWay(a, b string) {
	w.Net.Cut[[2]string{a, b}] = true
	w.After(w.Net.RosterDelay, w.rosterChanged)
}

// Mend undoes every Cut.
func (w *World) Mend() {
	clear(w.Net.Cut)
	w.After(w.Net.RosterDelay, w.rosterChanged)
}

// Split cuts the named nodes off from all others.
func (w *World) Split(names ...string) {
	for _, n := range w.Nodes {
		for _, m := range w.Nodes {
			if slices.Contains(names, n.Name) != slices.Contains(names, m.Name) {
				w.Net.Cut[[2]string{n.Name, m.Name}] = true
			}
		}
	}
	w.After(w.Net.RosterDelay, w.rosterChanged)
}

// rosterChanged tells every node what gossip has come to believe.
func (w *World) rosterChanged() {
	for _, n := range w.Nodes {
		if n.Crashed {
			continue
		}
		var peers []ownership.Peer
		for _, m := range w.Nodes {
			if m == n {
				continue
			}
			dead := m.Crashed || m.Frozen || w.Net.Cut[[2]string{m.Name, n.Name}] || n.dead[m.Name]
			id := m.Core.ID()
			peers = append(peers, ownership.Peer{Member: ownership.Member{ID: id, Name: m.Name, Addr: m.Name, Zone: m.Config.Zone}, Dead: dead})
		}
		w.Input(n, ownership.Roster{Peers: peers})
	}
}

// Lie makes a node's roster call another dead, or stop doing so.
func (w *World) Lie(n *Node, about string, dead bool) {
	n.dead[about] = dead
	w.rosterChanged()
}

func (n *Node) String() string { return fmt.Sprintf("%s/%d", n.Name, n.Core.ID()) }
