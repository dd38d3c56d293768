package transport

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// Memory is a network in memory: transports that keep the contract of TCP,
// without sockets, for tests and simulation. It is a supported part of the
// package. Its methods may be called from any goroutine, and while messages are
// under way.
//
// Between two nodes messages keep their order. What a peer of a TCP would learn
// from its connections is told here too: HintUp with the first message between
// two nodes, HintGone when an address has nobody or somebody else, HintRefused
// for another cluster.
//
// It uses no clock but timers, so inside a testing/synctest bubble its delays
// pass in virtual time. All goroutines of an endpoint end with its Close.
type Memory struct {
	codec bool
	rand  func() float64
	fault func(error)

	mu    sync.Mutex // guards what follows and the endpoints; nothing waits under it
	nodes map[string]*Endpoint
	past  []Presence // who was there; newest last
	cuts  map[way]bool
	delay func(from, to string) time.Duration
	loss  float64
	tap   func(Flight) bool
	seq   uint64
}

// way is one direction between two addresses.
type way struct{ from, to string }

// MemoryOption changes what NewMemory makes.
type MemoryOption func(*Memory)

// WithCodec sends every message through the wire format, so that a test also
// finds what does not survive it. fault is told of a message that cannot be
// sent; nil panics.
func WithCodec(fault func(error)) MemoryOption {
	return func(m *Memory) {
		m.codec = true
		if fault != nil {
			m.fault = fault
		}
	}
}

// WithRand sets where SetLoss takes its random numbers, from 0 up to 1.
func WithRand(f func() float64) MemoryOption {
	return func(m *Memory) { m.rand = f }
}

// NewMemory makes a network that loses and delays nothing.
func NewMemory(opts ...MemoryOption) *Memory {
	m := &Memory{
		rand:  rand.Float64,
		fault: func(err error) { panic(err) },
		nodes: make(map[string]*Endpoint),
		cuts:  make(map[way]bool),
	}
	for _, o := range opts {
		o(m)
	}
	return m
}

// Flight is a message on its way, as a tap sees it.
type Flight struct {
	FromAddr, ToAddr string
	From, To         ownership.NodeID
	Mesh             ownership.MeshID
	Message          ownership.Message // not to be changed
}

// Node makes the transport of a node at addr, which may be any text. Nobody
// reaches it before Start. One address has one node at a time: Start fails while
// another one is there.
func (m *Memory) Node(addr string) *Endpoint {
	return &Endpoint{
		net: m, addr: addr,
		known: make(map[ownership.NodeID]string),
		met:   make(map[ownership.NodeID]*Endpoint),
		no:    make(map[ownership.NodeID]bool),
		due:   make(map[*Endpoint]time.Time),
		wake:  make(chan struct{}, 1),
		done:  make(chan struct{}),
	}
}

// Cut loses all messages between two addresses, those under way included, until
// Heal. Neither side is told.
func (m *Memory) Cut(a, b string) { m.set(true, way{a, b}, way{b, a}) }

// CutOneWay loses the messages from one address to another.
func (m *Memory) CutOneWay(from, to string) { m.set(true, way{from, to}) }

// Heal undoes Cut and CutOneWay between two addresses, both ways.
func (m *Memory) Heal(a, b string) { m.set(false, way{a, b}, way{b, a}) }

// Isolate cuts an address from all that are attached now.
func (m *Memory) Isolate(addr string) {
	var ways []way
	for _, other := range m.addrs() {
		if other != addr {
			ways = append(ways, way{addr, other}, way{other, addr})
		}
	}
	m.set(true, ways...)
}

// HealAll undoes every cut.
func (m *Memory) HealAll() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.cuts)
	m.changed()
}

// SetDelay sets how long a message takes. Nil is no time at all. Messages from
// one node to another still keep their order.
func (m *Memory) SetDelay(f func(from, to string) time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.delay = f
}

// SetLoss loses a part of the messages, 0 to 1, by chance.
func (m *Memory) SetLoss(part float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.loss = part
}

// Tap shows every message that is sent to f, in the goroutine that sends it,
// before it is lost or delayed. If f returns false the message is lost. f may
// call the methods of m. Nil removes the tap.
func (m *Memory) Tap(f func(Flight) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tap = f
}

// Crash ends the node at an address as a killed process ends: see Endpoint.Close.
// The node itself is not told; what it sends is lost.
func (m *Memory) Crash(addr string) {
	m.mu.Lock()
	e := m.nodes[addr]
	m.mu.Unlock()
	if e != nil {
		e.Close()
	}
}

// Presence is a node as the roster shows it.
type Presence struct {
	ID      ownership.NodeID
	Addr    string
	Cluster string
	Name    string
	Payload []byte // what it announced; not to be changed
	Dead    bool   // it is gone, or out of reach of who asks
}

// Members lists the nodes that are attached, by address.
func (m *Memory) Members() []Presence {
	var list []Presence
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.nodes {
		list = append(list, e.presence())
	}
	slices.SortFunc(list, func(a, b Presence) int { return cmp.Compare(a.Addr, b.Addr) })
	return list
}

func (m *Memory) addrs() []string {
	var list []string
	for _, p := range m.Members() {
		list = append(list, p.Addr)
	}
	return list
}

func (m *Memory) set(cut bool, ways ...way) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range ways {
		if cut {
			m.cuts[w] = true
		} else {
			delete(m.cuts, w)
		}
	}
	m.changed()
}

// apart tells whether no connection between two addresses can be made or felt.
func (m *Memory) apart(a, b string) bool { return m.cuts[way{a, b}] || m.cuts[way{b, a}] }

// changed has every endpoint look at the roster again. m.mu is held.
func (m *Memory) changed() {
	for _, e := range m.nodes {
		e.stale = true
		e.poke()
	}
}

const maxPast = 256 // nodes that are gone and still listed

// bury notes a presence that ended. m.mu is held.
func (m *Memory) bury(p Presence) {
	p.Dead = true
	m.past = append(m.past, p)
	if len(m.past) > maxPast {
		m.past = slices.Delete(m.past, 0, 1)
	}
}
