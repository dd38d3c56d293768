package mesh

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"net"
	"net/netip"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
	"github.com/lockmesh/lockmesh/transport"
)

// Env is what a node gets from outside. Programs leave it out; tests and
// simulations put their own world in. A field that is nil is the real one.
//
// Timers come from package time and goroutines from the go statement, so a
// testing/synctest bubble covers both; the Clock of a node in a bubble must be
// the bubble's: time.Since of a moment in it.
type Env struct {
	// Clock reads the time.
	Clock Clock

	// Rand gives 64 random bits. Identities are made of them: two nodes that
	// draw the same are taken for one. Safe for concurrent use.
	Rand func() uint64

	// Network takes the place of sockets and gossip. Seeds and Bind are then
	// only names: no name is looked up.
	Network Network

	// Lookup resolves a host name of Seeds, Discover, Bind or Advertise.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
}

// Clock is a node's view of time. Its methods are called from any goroutine.
type Clock interface {
	// Now is the time since some fixed moment. It is above 0, never goes back,
	// counts the time that the machine was suspended, and its rate is off by
	// at most Params.ClockDrift.
	Now() time.Duration

	// Wall is the time of day. Nothing exact rests on it: it is read when a
	// mesh is founded, and for Lock.Deadline and the log.
	Wall() time.Time
}

// Network is a world in which nodes reach each other without sockets. See
// [InMemory].
type Network interface {
	// Open makes the port of the node that others reach at addr.
	Open(addr string) (Port, error)
}

// Port is a node's place in a Network. The node starts it and closes it.
type Port interface {
	transport.Transport

	// Announce says what others are told of this node. It is called once
	// about when the port starts, and again after each Rename.
	Announce(self ownership.Member)

	// Watch has report called with all that is known of the other nodes, soon
	// after Start and on each change, from any goroutine; it returns at once.
	// What it is told is a hint: nothing exact rests on it. It is called once.
	Watch(report func([]ownership.Peer))
}

// InMemory makes a Network of a transport's in-memory one: several nodes in one
// process, whose links a test can delay and cut.
func InMemory(m *transport.Memory) Network { return memory{m} }

type memory struct{ *transport.Memory }

func (m memory) Open(addr string) (Port, error) { return memoryPort{m.Node(addr)}, nil }

type memoryPort struct{ *transport.Endpoint }

func (p memoryPort) Announce(self ownership.Member) {
	p.Endpoint.Announce(meta{cluster: "memory", member: self}.encode())
}

func (p memoryPort) Watch(report func([]ownership.Peer)) {
	p.Endpoint.Watch(func(list []transport.Presence) {
		peers := make([]ownership.Peer, 0, len(list))
		for _, at := range list {
			if m, err := decodeMeta(at.Payload); err == nil && m.member.ID == at.ID {
				peers = append(peers, ownership.Peer{Member: m.member, Dead: at.Dead})
			}
		}
		report(peers)
	})
}

// withDefaults returns a copy without nil fields, Network excepted.
func (e *Env) withDefaults() Env {
	var env Env
	if e != nil {
		env = *e
	}
	if env.Clock == nil {
		env.Clock = realClock{}
	}
	if env.Rand == nil {
		env.Rand = randomBits
	}
	if env.Lookup == nil {
		env.Lookup = lookup
	}
	return env
}

type realClock struct{}

func (realClock) Now() time.Duration { return sinceBoot() }
func (realClock) Wall() time.Time    { return time.Now() }

func randomBits() uint64 {
	var b [8]byte
	rand.Read(b[:]) // never fails: see its documentation
	return binary.LittleEndian.Uint64(b[:])
}

func lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}
