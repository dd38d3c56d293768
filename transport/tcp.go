package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// Options are what Listen takes. The zero value listens on a free port of all
// interfaces.
type Options struct {
	// Bind is the host:port of the lock traffic (TCP) and the gossip (TCP and
	// UDP). Port 0 or "" picks a free one; see Addr.
	Bind string
	// Logger gets faults of peers, no more than one line of a kind about a peer
	// in ten seconds. Nil discards them.
	Logger *slog.Logger
	// Dial opens TCP connections, those of gossip too. Nil dials by package net.
	// An error that is syscall.ECONNREFUSED is taken for a dead process.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	// Rand spreads the times at which peers are dialled again: a number from 0
	// up to 1, called from any goroutine. Nil takes one from math/rand.
	Rand func() float64
}

// Times. A test has them in virtual time (testing/synctest).
const (
	dialTimeout     = time.Second
	greetingTimeout = 2 * time.Second
	// A connection on which a write makes no progress, or nothing is read, for
	// this long is dead: a partition that heals must not wait for the
	// retransmissions of TCP, which come ever more rarely.
	silenceTimeout = 5 * time.Second
	// beat is how often who has nothing to say gives a sign of life.
	beat = time.Second

	backoffLeast = 50 * time.Millisecond
	backoffMost  = time.Second
	// keepFor is how long a message waits for a connection.
	keepFor = 3 * time.Second
	// A connection that ends younger than this counts as a failed dial, or a
	// peer that welcomes us and hangs up would be dialled without a pause.
	shortLife = time.Second
)

// Limits of what strangers may have open.
const (
	maxGreetings = 256  // accepted connections that have not said what they are
	maxPeers     = 8192 // nodes known at once
	maxWelcome   = 4096 // as many, and only those that were learnt are let in
)

// TCP carries messages over TCP, one connection per pair of nodes, and gossip on
// the same port. It implements Transport and Gossip.
//
// Each known peer that has something queued has a goroutine that dials it, or
// one that writes and one that reads.
type TCP struct {
	log      *faultLog
	dial     func(ctx context.Context, addr string) (net.Conn, error)
	rand     func() float64
	listener net.Listener
	gossip   gossip
	stats    counters

	ctx  context.Context // until Close
	stop context.CancelFunc
	work sync.WaitGroup

	mu       sync.Mutex // guards what follows, and the peers; nothing waits under it
	self     Identity   // zero before Start
	deliver  func(Received)
	hint     func(Hint)
	closed   bool
	peers    map[ownership.NodeID]*peer
	dials    uint64              // attempts so far
	accepts  uint64              // connections so far
	greeting map[net.Conn]uint64 // accepted, not yet known for what they are: by accepts
}

var (
	_ Transport = (*TCP)(nil)
	_ Gossip    = (*TCP)(nil)
)

// Listen binds the port. Gossip works at once, lock traffic from Start on.
func Listen(opts Options) (*TCP, error) {
	l, p, err := bind(opts.Bind)
	if err != nil {
		return nil, err
	}
	return newTCP(opts, l, p), nil
}

// newTCP takes the sockets over. p may be nil in tests.
func newTCP(opts Options, l net.Listener, p net.PacketConn) *TCP {
	t := &TCP{
		log:      newFaultLog(opts.Logger),
		dial:     opts.Dial,
		rand:     opts.Rand,
		listener: l,
		gossip:   newGossip(p),
		peers:    make(map[ownership.NodeID]*peer),
		greeting: make(map[net.Conn]uint64),
	}
	if t.dial == nil {
		t.dial = func(ctx context.Context, addr string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", addr)
		}
	}
	if t.rand == nil {
		t.rand = rand.Float64
	}
	t.ctx, t.stop = context.WithCancel(context.Background())
	t.work.Go(t.acceptAll)
	if p != nil {
		t.work.Go(t.readPackets)
	}
	return t
}

// Errors of a Transport's life.
var (
	ErrClosed  = errors.New("transport: closed")
	ErrStarted = errors.New("transport: started before")
)

// validate refuses an identity that does not fit a greeting.
func (id Identity) validate() error {
	switch {
	case id.ID == 0:
		return fmt.Errorf("transport: an identity without an ID")
	case len(id.Cluster) > ownership.MaxNameBytes:
		return fmt.Errorf("transport: a cluster name of %d bytes; use %d at most", len(id.Cluster), ownership.MaxNameBytes)
	case len(id.Name) > ownership.MaxNameBytes:
		return fmt.Errorf("transport: a node name of %d bytes; use %d at most", len(id.Name), ownership.MaxNameBytes)
	}
	return nil
}

// Start implements Transport. It returns ErrStarted, ErrClosed, or what is wrong
// with id.
func (t *TCP) Start(id Identity, deliver func(Received), hint func(Hint)) error {
	if err := id.validate(); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.closed:
		return ErrClosed
	case t.self.ID != 0:
		return ErrStarted
	}
	t.self, t.deliver, t.hint = id, deliver, hint
	return nil
}

// Send implements Transport.
func (t *TCP) Send(e ownership.Envelope) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.peers[e.To]
	if p == nil || t.self.ID == 0 || t.closed {
		t.stats.dropped.Add(1)
		return
	}
	t.stats.dropped.Add(uint64(p.queue.push(e, now)))
	if p.link != nil {
		p.link.poke()
		return
	}
	t.connect(p)
}

// Learn implements Transport. A new address is dialled at once if anything waits
// for the peer.
func (t *TCP) Learn(id ownership.NodeID, addr string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || id == 0 || addr == "" || id == t.self.ID {
		return
	}
	p := t.peers[id]
	if p == nil {
		if len(t.peers) >= maxPeers {
			return
		}
		p = t.addPeer(id)
	}
	if p.addr == addr {
		return
	}
	p.addr = addr
	p.failures, p.dialAfter = 0, time.Time{}
	p.abort() // an attempt at the old address
	t.connect(p)
}

// Forget implements Transport.
func (t *TCP) Forget(id ownership.NodeID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.peers[id]; p != nil {
		t.removePeer(p)
	}
}

// Rename implements Transport. What a reader had in hand may still be delivered
// afterwards: Received.To tells to whom it was sent.
func (t *TCP) Rename(id Identity) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.self = id
	for _, p := range slices.Collect(maps.Values(t.peers)) {
		t.removePeer(p)
		if p.addr != "" && p.id != id.ID {
			t.addPeer(p.id).addr = p.addr
		}
	}
}

// Close implements Transport. It must not be called from deliver or hint.
func (t *TCP) Close() error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		t.work.Wait()
		return nil
	}
	t.closed = true
	t.stop()
	for _, p := range t.peers {
		t.removePeer(p)
	}
	for nc := range t.greeting {
		nc.Close()
	}
	t.mu.Unlock()
	err := errors.Join(t.listener.Close(), t.gossip.close())
	t.work.Wait()
	t.gossip.closeStreams()
	return err
}

// spawn runs f until Close at the latest. t.mu is held.
func (t *TCP) spawn(f func()) {
	if !t.closed {
		t.work.Go(f)
	}
}

// tell passes hints on. t.mu is not held.
func (t *TCP) tell(hints ...Hint) {
	t.mu.Lock()
	hint := t.hint
	t.mu.Unlock()
	for _, h := range hints {
		if hint != nil && h.Kind != 0 {
			hint(h)
		}
	}
}
