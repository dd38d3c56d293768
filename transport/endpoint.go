package transport

import (
	"bytes"
	"cmp"
	"container/heap"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// Endpoint is the transport of one node of a Memory. Beside Transport it has a
// roster, which stands in for gossip: Announce and Watch.
type Endpoint struct {
	net  *Memory
	addr string

	wake chan struct{}
	done chan struct{}
	work sync.WaitGroup

	// Guarded by net.mu.
	self    Identity // zero before Start
	closed  bool
	deliver func(Received)
	hint    func(Hint)
	known   map[ownership.NodeID]string    // by Learn
	met     map[ownership.NodeID]*Endpoint // who a connection would stand with
	no      map[ownership.NodeID]bool      // refused for its cluster, and told so
	due     map[*Endpoint]time.Time        // when the last message from there arrives
	inbox   inbox
	hints   []Hint
	payload []byte
	watch   func([]Presence)
	stale   bool // the watcher has not seen the newest roster
}

var _ Transport = (*Endpoint)(nil)

// Addr is the address that Node was given.
func (e *Endpoint) Addr() string { return e.addr }

// Start implements Transport.
func (e *Endpoint) Start(id Identity, deliver func(Received), hint func(Hint)) error {
	if err := id.validate(); err != nil {
		return err
	}
	m := e.net
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case e.closed:
		return ErrClosed
	case e.self.ID != 0:
		return ErrStarted
	case m.nodes[e.addr] != nil:
		return fmt.Errorf("transport: address %s already in use in this Memory", e.addr)
	}
	e.self, e.deliver, e.hint = id, deliver, hint
	m.nodes[e.addr] = e
	m.changed()
	e.work.Go(e.run)
	return nil
}

// Send implements Transport.
func (e *Endpoint) Send(env ownership.Envelope) {
	m := e.net
	m.mu.Lock()
	to := e.reach(env.To)
	tap, delay := m.tap, m.delay
	from := e.self
	m.mu.Unlock()
	if to == nil {
		return
	}
	if tap != nil && !tap(Flight{
		FromAddr: e.addr, ToAddr: to.addr, From: from.ID, To: env.To, Mesh: env.Mesh, Message: env.Message,
	}) {
		return
	}
	msg, ok := m.travel(env.Message)
	if !ok {
		return
	}
	at := time.Now()
	if delay != nil {
		at = at.Add(delay(e.addr, to.addr))
	}

	m.mu.Lock()
	defer m.mu.Unlock()
	if m.loss > 0 && m.rand() < m.loss || len(to.inbox) >= maxQueued || to.closed {
		return
	}
	if last := to.due[e]; at.Before(last) {
		at = last
	}
	to.due[e] = at
	m.seq++
	heap.Push(&to.inbox, arrival{
		at: at, seq: m.seq, from: e,
		what: Received{From: from.ID, To: env.To, Mesh: env.Mesh, Message: msg},
	})
	to.poke()
}

// travel passes a message through the wire format, if that is wanted.
func (m *Memory) travel(msg ownership.Message) (ownership.Message, bool) {
	if !m.codec {
		return msg, true
	}
	b, err := AppendMessage(nil, msg)
	if err == nil {
		msg, err = DecodeMessage(b)
	}
	if err != nil {
		m.fault(fmt.Errorf("%T: %w", msg, err))
		return nil, false
	}
	return msg, true
}

// reach returns the endpoint of a node if messages get there, and otherwise
// tells what a dial would. m.mu is held.
func (e *Endpoint) reach(id ownership.NodeID) *Endpoint {
	m := e.net
	if e.closed || e.self.ID == 0 {
		return nil
	}
	addr, ok := e.known[id]
	if met := e.met[id]; met != nil {
		addr, ok = met.addr, true
	}
	if !ok || m.cuts[way{e.addr, addr}] {
		return nil
	}
	to := m.nodes[addr]
	if e.met[id] != nil && e.met[id] == to {
		return to
	}
	if m.apart(e.addr, addr) {
		return nil // half a link is enough for a connection that stands, not for a new one
	}
	switch {
	case to == nil:
		e.told(Hint{Kind: HintGone, ID: id, Addr: addr, Reason: "the address refuses connections"})
		return nil
	case to.self.ID != id:
		e.told(Hint{Kind: HintGone, ID: id, Addr: addr, Reason: otherNode(to.self.ID, to.self.Name)})
		return nil
	case to.self.Cluster != e.self.Cluster:
		if !e.no[id] {
			e.no[id] = true
			e.told(Hint{Kind: HintRefused, ID: id, Addr: addr, Reason: otherCluster(e.self.Cluster, to.self.Cluster)})
			to.told(Hint{Kind: HintRefused, ID: e.self.ID, Addr: e.addr, Reason: otherCluster(to.self.Cluster, e.self.Cluster)})
		}
		return nil
	}
	e.met[id], to.met[e.self.ID] = to, e
	e.told(Hint{Kind: HintUp, ID: id, Addr: addr})
	to.told(Hint{Kind: HintUp, ID: e.self.ID, Addr: e.addr})
	return to
}

// Learn implements Transport.
func (e *Endpoint) Learn(id ownership.NodeID, addr string) {
	e.net.mu.Lock()
	defer e.net.mu.Unlock()
	if id != 0 && addr != "" && id != e.self.ID {
		e.known[id] = addr
	}
}

// Forget implements Transport.
func (e *Endpoint) Forget(id ownership.NodeID) {
	e.net.mu.Lock()
	defer e.net.mu.Unlock()
	delete(e.known, id)
	if met := e.met[id]; met != nil {
		delete(e.met, id)
		delete(met.met, e.self.ID)
	}
}

// Rename implements Transport.
func (e *Endpoint) Rename(id Identity) {
	m := e.net
	m.mu.Lock()
	defer m.mu.Unlock()
	if e.closed || e.self.ID == 0 {
		return
	}
	e.end("another node answers at the address")
	e.self = id
	e.inbox = nil
	clear(e.no)
	m.changed()
}

// end does what the end of a node's identity does to others. m.mu is held.
func (e *Endpoint) end(reason string) {
	m := e.net
	m.bury(e.presence())
	for _, met := range e.met {
		delete(met.met, e.self.ID)
		if !m.apart(e.addr, met.addr) {
			met.told(Hint{Kind: HintGone, ID: e.self.ID, Addr: e.addr, Reason: reason})
		}
	}
	clear(e.met)
}

// Close implements Transport. To the others it looks as a crash does. It must
// not be called from deliver, hint or a watcher.
func (e *Endpoint) Close() error {
	m := e.net
	m.mu.Lock()
	if !e.closed {
		e.closed = true
		close(e.done)
		if e.self.ID != 0 {
			delete(m.nodes, e.addr)
			e.end("the address refuses connections")
			m.changed()
		}
		e.inbox = nil
		for _, other := range m.nodes {
			delete(other.due, e)
		}
	}
	m.mu.Unlock()
	e.work.Wait()
	return nil
}

// Announce sets what the roster shows of this node beside its identity.
func (e *Endpoint) Announce(payload []byte) {
	e.net.mu.Lock()
	defer e.net.mu.Unlock()
	e.payload = bytes.Clone(payload)
	e.net.changed()
}

// Watch has f called, from a goroutine of the endpoint, with the roster as this
// node sees it: now if it is started, and after each change. What f gets is its
// own.
func (e *Endpoint) Watch(f func([]Presence)) {
	e.net.mu.Lock()
	defer e.net.mu.Unlock()
	e.watch, e.stale = f, true
	e.poke()
}

// roster is the other nodes of the cluster by ID, those that are cut off or gone
// as dead. m.mu is held.
func (e *Endpoint) roster() []Presence {
	var list []Presence
	for _, p := range e.net.past {
		if p.Cluster == e.self.Cluster && p.Addr != e.addr {
			list = append(list, p)
		}
	}
	for _, other := range e.net.nodes {
		if other == e || other.self.Cluster != e.self.Cluster {
			continue
		}
		p := other.presence()
		p.Dead = e.net.apart(e.addr, other.addr)
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b Presence) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

func (e *Endpoint) presence() Presence {
	return Presence{ID: e.self.ID, Addr: e.addr, Cluster: e.self.Cluster, Name: e.self.Name, Payload: e.payload}
}

func (e *Endpoint) told(h Hint) {
	e.hints = append(e.hints, h)
	e.poke()
}

func (e *Endpoint) poke() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// run calls the node back until Close.
func (e *Endpoint) run() {
	for {
		call, pause := e.next(time.Now())
		if call != nil {
			call()
			continue
		}
		var due <-chan time.Time // no timer without need: it would hide a deadlock from synctest
		if pause > 0 {
			due = time.After(pause)
		}
		select {
		case <-due:
		case <-e.wake:
		case <-e.done:
			return
		}
	}
}

// next returns the next call to make, or nil and the time until there is one, 0
// if there is none to come.
func (e *Endpoint) next(now time.Time) (call func(), pause time.Duration) {
	m := e.net
	m.mu.Lock()
	defer m.mu.Unlock()
	if e.closed {
		return nil, 0
	}
	if len(e.hints) > 0 {
		h := e.hints[0]
		e.hints = e.hints[1:]
		return func() { e.hint(h) }, 0
	}
	if e.stale && e.watch != nil {
		e.stale = false
		list, watch := e.roster(), e.watch
		return func() { watch(list) }, 0
	}
	for len(e.inbox) > 0 {
		if wait := e.inbox[0].at.Sub(now); wait > 0 {
			return nil, wait
		}
		a := heap.Pop(&e.inbox).(arrival)
		if !m.cuts[way{a.from.addr, e.addr}] {
			return func() { e.deliver(a.what) }, 0
		}
	}
	return nil, 0
}

// arrival is a message that is under way to an endpoint.
type arrival struct {
	at   time.Time
	seq  uint64
	from *Endpoint
	what Received
}

// inbox is a heap of arrivals, the next one first.
type inbox []arrival

func (b inbox) Len() int      { return len(b) }
func (b inbox) Swap(i, j int) { b[i], b[j] = b[j], b[i] }
func (b inbox) Less(i, j int) bool {
	if !b[i].at.Equal(b[j].at) {
		return b[i].at.Before(b[j].at)
	}
	return b[i].seq < b[j].seq
}
func (b *inbox) Push(x any) { *b = append(*b, x.(arrival)) }
func (b *inbox) Pop() any {
	last := len(*b) - 1
	a := (*b)[last]
	(*b)[last] = arrival{}
	*b = (*b)[:last]
	return a
}
