package mesh

import (
	"context"
	"log/slog"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
	"github.com/lockmesh/lockmesh/ring"
	"github.com/lockmesh/lockmesh/transport"
)

// Node is one member of a mesh, run by this process. Its methods may be called
// from any goroutine. Several nodes may run in one process.
type Node struct {
	cfg  Config
	env  Env
	addr string // advertised
	log  *slog.Logger
	sink *logSink

	client  ownership.ClientID // of the locks; never changes
	id      atomic.Uint64      // the present NodeID
	handles atomic.Uint64      // the last Handle given out
	view    atomic.Pointer[ownership.View]

	mail     *mailbox
	loop     *loop
	net      transport.Transport
	detector detector

	jobs     jobs          // running Do calls
	closing  atomic.Bool   // Leave or Close was called
	abort    chan struct{} // closed when Close is called during Leave
	aborting sync.Once
	closed   chan struct{} // closed when everything has ended
	leaveErr error         // what Leave returned; written before closed is closed
}

// detector tells the loop who may be alive.
type detector interface {
	rename(self ownership.Member) // returns at once
	rejoinNow()
	leave(patience time.Duration)
	close()
}

// Join starts a node and returns when it is a member of a view and may serve.
//
// ctx bounds the joining alone. When it ends first, everything that was started
// is stopped, and the error (ErrUnavailable, and ctx.Err()) says what the node
// was waiting for; so do log lines meanwhile. The error is ErrInvalid, with what
// to write instead, if the configuration is refused: by itself, by this host, or
// by the mesh. A port that is taken is ErrUnavailable: in a rolling restart it
// soon becomes free.
//
// The node runs until Leave or Close.
func Join(ctx context.Context, cfg Config) (*Node, error) {
	n, err := open(ctx, cfg)
	if err != nil {
		return nil, &Error{"Join", "", err}
	}
	if err := n.awaitJoined(ctx); err != nil {
		n.Close()
		return nil, &Error{"Join", "", err}
	}
	return n, nil
}

// open starts a node.
func open(ctx context.Context, cfg Config) (*Node, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, env: *cfg.Env, mail: newMailbox(), abort: make(chan struct{}), closed: make(chan struct{})}
	n.log, n.sink = newLogger(cfg.Logger)
	n.log = n.log.With("self", cfg.Name)
	if err := n.start(ctx); err != nil {
		n.sink.close()
		return nil, err
	}
	return n, nil
}

func (n *Node) start(ctx context.Context) error {
	var world opener = realWorld{}
	if n.env.Network != nil {
		world = otherWorld{n.env.Network}
	}
	if err := world.listen(ctx, n); err != nil {
		return err
	}
	n.id.Store(uint64(nodeID(n.env.Rand)))
	self := n.self()
	n.client = ownership.ClientID(nodeID(n.env.Rand))
	core := ownership.New(ownership.Config{
		ID: self.ID, Client: n.client, Name: self.Name, Addr: self.Addr, Zone: self.Zone,
		Params: n.cfg.Params.core(), Founders: n.cfg.Founders, Fresh: n.cfg.Fresh,
	}, n.now())
	n.loop = newLoop(n, core, self)

	id := transport.Identity{ID: self.ID, Cluster: n.cfg.Cluster, Name: n.cfg.Name}
	hint := func(h transport.Hint) { n.mail.hint(h, n.loop.onHint) }
	deliver := func(r transport.Received) { n.mail.deliver(r, &n.id) }
	if err := n.net.Start(id, deliver, hint); err != nil {
		n.net.Close()
		return err
	}
	d, err := world.detect(n, self)
	if err != nil {
		n.net.Close()
		return err
	}
	n.detector = d
	n.log.Info("started", "id", hexID(self.ID), "addr", n.addr, "cluster", n.cfg.Cluster, "founders", n.cfg.Founders)
	go n.loop.run()
	return nil
}

// progressEvery is the pace of log lines while Join waits.
const progressEvery = 5 * time.Second

func (n *Node) awaitJoined(ctx context.Context) error {
	progress := time.NewTicker(progressEvery)
	defer progress.Stop()
	for {
		select {
		case <-n.loop.joined:
			return nil
		case err := <-n.loop.refused:
			return err
		case <-progress.C:
			n.log.Info("joining: " + n.waiting())
		case <-ctx.Done():
			return ended(ctx, ErrUnavailable, n.waiting())
		}
	}
}

// Lock waits until it holds the key: first come, first served, over all nodes.
// ctx bounds the waiting alone, not the lock.
//
// When ctx ends first, nothing is held and the error is ctx.Err() as well as
// ErrLocked, if all it waited for was its turn, or ErrUnavailable, if it could
// not be served: no view, no quorum, an owner that does not answer. Its text says
// what it was waiting for. ErrCapacity: the key is held as another semaphore than
// Permits asks for, or as none. Other errors: ErrInvalid, ErrClosed, and that of a
// lease that has ended (InLease). All are *Error.
//
// Without [Shared], [Update] or [Permits] the lock is exclusive. Two locks of one key
// in one process exclude each other like any two. A lock is not reentrant. A key has
// 1 to 512 bytes, of any value; keys that begin with "\x00lease/" are those of leases,
// and ErrInvalid here.
func (n *Node) Lock(ctx context.Context, key string, opts ...Option) (*Lock, error) {
	return n.acquire(ctx, "Lock", key, false, opts)
}

// TryLock is Lock without waiting for a turn: the error is ErrLocked, and says
// who holds the key, when somebody does. It waits as Lock does for a mesh that
// cannot answer.
func (n *Node) TryLock(ctx context.Context, key string, opts ...Option) (*Lock, error) {
	return n.acquire(ctx, "TryLock", key, true, opts)
}

func (n *Node) acquire(ctx context.Context, op, key string, try bool, opts []Option) (*Lock, error) {
	o, err := n.cfg.Params.resolve(key, opts)
	if err != nil {
		return nil, &Error{op, key, err}
	}
	if ctx.Err() != nil {
		return nil, &Error{op, key, ended(ctx, ErrUnavailable, "ended before it was asked for")}
	}
	l, err := n.request(key, try, o)
	if err == nil {
		err = n.await(ctx, l)
	}
	if err != nil {
		return nil, &Error{op, key, err}
	}
	return l, nil
}

// request asks for a key and waits for nothing: await has the answer. The error
// is ErrClosed, or says what is wrong with the lease of o.
func (n *Node) request(key string, try bool, o options) (*Lock, error) {
	if n.closing.Load() {
		return nil, ErrClosed
	}
	in := ownership.Lock{Handle: n.handle(), Key: key, TTL: o.ttl, Mode: o.mode.core(), Try: try,
		NoRenew: o.noRenew, Note: o.note, Delay: o.delay, After: o.after}
	l := newLock(n, key, in.Handle, o)
	if o.lease != nil {
		if err := o.lease.join(l, &in); err != nil {
			return nil, err
		}
	}
	if !n.mail.call(l, in) {
		if o.lease != nil {
			o.lease.gone(l)
		}
		return nil, ErrClosed
	}
	return l, nil
}

// await returns when l is held, or will not be: then it is given up.
func (n *Node) await(ctx context.Context, l *Lock) error {
	select {
	case err := <-l.granted:
		return err
	case <-ctx.Done():
	}
	last, gaveUp := l.giveUp()
	if !gaveUp {
		return <-l.granted
	}
	n.mail.post(ownership.Unlock{Handle: l.handle})
	return n.unserved(ctx, l.key, last)
}

// discard gives a lock back in the background, whether it is held or still
// asked for.
func (n *Node) discard(l *Lock) {
	_, gaveUp := l.giveUp()
	if gaveUp || l.release(errReleased) {
		n.mail.post(ownership.Unlock{Handle: l.handle})
	}
}

// Close stops the node at once, as a crash would look to the others: what it
// holds stays locked to them until its TTL has run out. Calls that wait end with
// ErrClosed; Done of held locks is closed with an error that is both ErrLost and
// ErrClosed, and so do ctx of running Do calls. A Leave under way is cut short.
//
// Everything has ended when Close returns, but for one goroutine of memberlist
// that may be in the middle of a probe and ends within 0.3 s; it touches nothing.
// It returns nil; calling it again is fine.
func (n *Node) Close() error {
	if n.closing.Swap(true) {
		n.aborting.Do(func() { close(n.abort) })
		<-n.closed
		return nil
	}
	n.shutdown()
	return nil
}

// shutdown ends all goroutines and sockets. It is called once.
func (n *Node) shutdown() {
	defer close(n.closed)
	n.mail.seal()
	close(n.loop.stop)
	<-n.loop.ended
	// At once: gossip may be dialling, and the transport ends that.
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.detector.close()
	}()
	if err := n.net.Close(); err != nil {
		n.log.Warn("closing the network", "err", err)
	}
	<-done
	n.log.Info("stopped")
	n.sink.close()
}

// ask runs f on the loop and returns when it has. It reports false, and f may
// not have been called, if the loop has ended.
func (n *Node) ask(f func(*loop)) bool {
	done := make(chan struct{})
	n.mail.run(func() {
		defer close(done)
		f(n.loop)
	})
	select {
	case <-done:
		return true
	case <-n.loop.ended:
	}
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// now reads the local clock. 0 means "never" to the core.
func (n *Node) now() ownership.Time {
	return ownership.Time(max(1, n.env.Clock.Now()))
}

// wallAt converts a reading of the local clock for people.
func (n *Node) wallAt(t ownership.Time) time.Time {
	return n.env.Clock.Wall().Add(time.Duration(t - n.now()))
}

// self is what the node says of itself.
func (n *Node) self() ownership.Member {
	return ownership.Member{ID: ownership.NodeID(n.id.Load()), Name: n.cfg.Name, Addr: n.addr, Zone: n.cfg.Zone}
}

// nodeID draws an identity.
func nodeID(random func() uint64) ownership.NodeID {
	for {
		if id := random(); id != 0 {
			return ownership.NodeID(id)
		}
	}
}

// handle draws a name for something that is asked of the core.
func (n *Node) handle() ownership.Handle { return ownership.Handle(n.handles.Add(1)) }

// partition is that of a key.
func (n *Node) partition(key string) int { return ring.Partition(key, n.cfg.Params.Partitions) }

func itoa(i int) string { return strconv.Itoa(i) }

func utoa(u uint64) string { return strconv.FormatUint(u, 10) }

// listenAddr is where a transport listens.
func listenAddr(g transport.Gossip) netip.AddrPort {
	a := g.Addr().AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
