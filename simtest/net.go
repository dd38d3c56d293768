package simtest

import (
	"slices"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// Net is how the network treats messages. Each has its own delay, so they
// overtake each other freely: worse than TCP, which the protocol must not need.
type Net struct {
	MinDelay, MeanDelay time.Duration // exponential above the minimum
	Loss, Twice         float64       // probabilities
	LateCopy            time.Duration // mean additional delay of a duplicate; 0: none
	Echo                Kinds         // these are all sent twice,
	EchoDelay           time.Duration // the copy so much later on average
	RosterDelay         time.Duration // until gossip tells that a node died or came

	links [][]link
	// Fates, if not nil, decides what becomes of a message instead of chance; ok is
	// false for what is left to the minimum delay. Record is told what chance decided.
	Fates  func(from, to *Node, k ownership.Kind) (f Fate, ok bool)
	Record func(from, to *Node, k ownership.Kind, f Fate)
}

// Fate is what becomes of one message.
type Fate struct {
	Lost  bool
	Delay time.Duration
	Copy  time.Duration // delay of a duplicate, 0: there is none
}

// lively is the delay up to which a network is good.
const lively = 10 * time.Millisecond

// link is the way from one node to another.
type link struct {
	cut    bool    // nothing arrives, and gossip sees it
	lose   Kinds   // what is lost as it is sent; gossip sees nothing
	clog   Kinds   // what waits until the link is unclogged
	slow   float64 // factor of the mean delay, 0 is 1
	parked []parked
	heard  time.Duration // when the newest of what arrived was sent; 0: nothing has
	renew  time.Duration // when a Renew of the receiver's epoch last did
}

type parked struct {
	from ownership.NodeID
	env  ownership.Envelope
	sent time.Duration
}

func (net *Net) grow(n int) {
	for i := range net.links {
		for len(net.links[i]) < n {
			net.links[i] = append(net.links[i], link{})
		}
	}
	for len(net.links) < n {
		net.links = append(net.links, make([]link, n))
	}
}

func (net *Net) link(from, to *Node) *link { return &net.links[from.Index][to.Index] }

func (w *World) send(n *Node, id ownership.NodeID, e *ownership.Envelope) {
	if w.OnSend != nil {
		w.OnSend(n, *e)
	}
	to := w.ByID(e.To)
	if to == nil {
		if w.OnLost != nil {
			w.OnLost(Flight{n, w.byID[e.To], e.Message, w.Now, false}, "receiver gone")
		}
		return
	}
	l, k := w.Net.link(n, to), e.Message.Kind()
	switch {
	case l.lose.has(k):
		if w.OnLost != nil {
			w.OnLost(Flight{n, to, e.Message, w.Now, false}, "lost on the link")
		}
		return
	case l.clog.has(k):
		l.parked = append(l.parked, parked{id, *e, w.Now})
		return
	}
	w.post(n, to, id, e, w.Now)
}

// post sends a message on its way: lost, late or twice.
func (w *World) post(n, to *Node, id ownership.NodeID, e *ownership.Envelope, sent time.Duration) {
	f := w.fate(n, to, e.Message.Kind())
	w.slowest = max(w.slowest, f.Delay)
	w.bad = w.bad || f.Lost || f.Delay > lively || f.Copy > lively
	if late := max(f.Delay, f.Copy); late > lively {
		w.strays = max(w.strays, w.Now+late)
	}
	m := event{kind: messageArrives, to: to, from: n, id: e.To, sender: id, mesh: e.Mesh, sent: sent, msg: e.Message}
	if f.Copy > 0 {
		m.copied = true
		w.queue.push(w.Now+f.Copy, m)
		m.copied = false
	}
	if f.Lost {
		w.lost(&m, "loss")
		return
	}
	w.queue.push(w.Now+f.Delay, m)
}

func (w *World) lost(e *event, why string) {
	if w.OnLost != nil {
		w.OnLost(Flight{e.from, e.to, e.msg, e.sent, e.copied}, why)
	}
}

// fate draws what becomes of a message.
func (w *World) fate(n, to *Node, k ownership.Kind) Fate {
	net := &w.Net
	if net.Fates != nil {
		f, ok := net.Fates(n, to, k)
		if !ok {
			f.Delay = net.MinDelay
		}
		return f
	}
	f := Fate{Delay: w.delay(n, to)}
	if net.Loss > 0 {
		f.Lost = w.Rand.Float64() < net.Loss
	}
	if net.Twice > 0 && w.Rand.Float64() < net.Twice {
		f.Copy = w.delay(n, to)
		if net.LateCopy > 0 {
			f.Copy += time.Duration(w.Rand.ExpFloat64() * float64(net.LateCopy))
		}
	}
	if net.Echo.has(k) {
		f.Copy = w.delay(n, to) + time.Duration(w.Rand.ExpFloat64()*float64(net.EchoDelay))
	}
	if f.Lost {
		f.Delay = 0 // of which nobody learns, so a trace has none
	}
	if net.Record != nil {
		net.Record(n, to, k, f)
	}
	return f
}

func (w *World) delay(n, to *Node) time.Duration {
	net := &w.Net
	if net.MeanDelay == 0 {
		return net.MinDelay
	}
	mean := float64(net.MeanDelay)
	if s := net.link(n, to).slow; s != 0 {
		mean *= s
	}
	return net.MinDelay + time.Duration(w.Rand.ExpFloat64()*mean)
}

func (w *World) arrive(e *event) {
	n := e.to
	l := w.Net.link(e.from, n)
	switch {
	case e.id != n.Core.ID(): // sent to a NodeID of before
		w.lost(e, "receiver born again")
		return
	case l.cut:
		w.lost(e, "cut")
		return
	case w.Deliver != nil && !w.Deliver(e.from, n, e.msg):
		w.lost(e, "dropped")
		return
	}
	l.heard = max(l.heard, e.sent)
	if m, ok := e.msg.(ownership.Renew); ok && n.Core.View() != nil && m.Epoch == n.Core.View().Epoch {
		l.renew = w.Now
	}
	if w.OnDeliver != nil {
		w.OnDeliver(Flight{e.from, n, e.msg, e.sent, e.copied})
	}
	w.deliver(n, ownership.Receive{From: e.sender, Mesh: e.mesh, Message: e.msg})
}

// Cut stops messages between two nodes, both ways; Mend lets them pass again.
func (w *World) Cut(a, b string) {
	w.CutOneWay(a, b)
	w.CutOneWay(b, a)
}

// CutOneWay stops messages from a to b.
func (w *World) CutOneWay(a, b string) { w.setCut(w.named(a), w.named(b), true) }

func (w *World) setCut(a, b *Node, cut bool) {
	if a == nil || b == nil || w.Net.link(a, b).cut == cut {
		return
	}
	w.Net.link(a, b).cut, w.rough = cut, true
	w.newsForAll(w.Net.RosterDelay)
}

// IsCut says that nothing from a to b arrives.
func (w *World) IsCut(a, b *Node) bool { return w.Net.link(a, b).cut }

// Mend undoes every Cut.
func (w *World) Mend() {
	for _, from := range w.Net.links {
		for i := range from {
			from[i].cut = false
		}
	}
	w.newsForAll(w.Net.RosterDelay)
}

// Split cuts the named nodes off from all others.
func (w *World) Split(names ...string) {
	for _, n := range w.Nodes {
		for _, m := range w.Nodes {
			if slices.Contains(names, n.Name) != slices.Contains(names, m.Name) {
				w.Net.link(n, m).cut = true
			}
		}
	}
	w.newsForAll(w.Net.RosterDelay)
}

// Clog keeps messages of some kinds from a to b back until Unclog: then they all
// go on their way.
func (w *World) Clog(a, b *Node, kinds Kinds) {
	w.Net.link(a, b).clog |= kinds
	w.bad, w.choked = true, true
}

// Unclog ends every Clog of a link.
func (w *World) Unclog(a, b *Node) {
	l := w.Net.link(a, b)
	all := l.parked
	l.clog, l.parked = 0, nil
	for i := range all {
		w.post(a, b, all[i].from, &all[i].env, all[i].sent)
	}
}

// Lose loses messages of some kinds from a to b from now on; 0 ends it.
func (w *World) Lose(a, b *Node, kinds Kinds) {
	w.Net.link(a, b).lose = kinds
	w.bad, w.choked = true, true
}

func (w *World) named(name string) *Node {
	for i := len(w.Nodes) - 1; i >= 0; i-- {
		if w.Nodes[i].Name == name {
			return w.Nodes[i]
		}
	}
	return nil
}

// Gossip.

// newsForAll tells every node, after a while, what gossip has come to believe.
// With Node.late each learns it at another time.
func (w *World) newsForAll(after time.Duration) {
	for _, n := range w.Nodes {
		if n.Crashed {
			continue
		}
		if after == 0 && n.late == 0 {
			if n.Frozen {
				n.backlog = append(n.backlog, event{kind: gossipNews, to: n})
			} else {
				w.tellRoster(n)
			}
			continue
		}
		if n.told {
			continue // what is on its way will tell this too
		}
		n.told = true
		w.queue.push(w.Now+after+n.late, event{kind: gossipNews, to: n})
	}
}

// forgotten is how long gossip still shows a node that died.
const forgotten = time.Minute

func (w *World) tellRoster(n *Node) {
	n.told = false
	if n.deaf {
		return
	}
	peers := make([]ownership.Peer, 0, len(w.Nodes))
	for _, m := range w.Nodes {
		if m == n || m.Crashed && w.Now-m.crashed > forgotten {
			continue
		}
		dead := m.Crashed || m.Frozen || w.Net.link(m, n).cut
		for _, l := range n.lied {
			if l.about == m {
				dead = l.dead
			}
		}
		peers = append(peers, ownership.Peer{Member: ownership.Member{ID: m.Core.ID(), Name: m.Name, Addr: m.Name, Zone: m.Config.Zone}, Dead: dead})
	}
	w.step(n, ownership.Roster{Peers: peers})
}

// Lie makes a node's roster call another dead; Lie with dead false ends that.
func (w *World) Lie(n *Node, about string, dead bool) {
	n.lied = slices.DeleteFunc(n.lied, func(l lie) bool { return l.about.Name == about })
	if m := w.named(about); m != nil && dead {
		w.rough = true
		n.lied = append(n.lied, lie{m, true})
	}
	w.newsForAll(0)
}

// Deafen keeps gossip's news from a node: its roster grows stale.
func (w *World) Deafen(n *Node, deaf bool) {
	n.deaf = deaf
	w.newsForAll(0)
}
