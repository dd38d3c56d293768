package transport

import (
	"context"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testNode is a started transport with what it heard.
type testNode struct {
	Transport
	addr  string
	got   chan Received
	hints chan Hint
}

func start(t testing.TB, tr Transport, addr string, id Identity) *testNode {
	t.Helper()
	n := &testNode{tr, addr, make(chan Received, 100_000), make(chan Hint, 100_000)}
	if err := tr.Start(id, func(r Received) { n.got <- r }, func(h Hint) { n.hints <- h }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.Close() })
	return n
}

func node(id ownership.NodeID) Identity { return Identity{ID: id, Cluster: "test", Name: "n"} }

// say sends an AskView with a number.
func (n *testNode) say(to ownership.NodeID, number int) {
	n.Send(ownership.Envelope{To: to, Mesh: 5, Message: ownership.Seal{Partition: 1, Last: uint64(number)}})
}

func number(r Received) int { return int(r.Message.(ownership.Seal).Last) }

// awaitHint waits for a hint of a kind about a node, and passes over others.
func (n *testNode) awaitHint(kind HintKind, id ownership.NodeID) Hint {
	for {
		if h := <-n.hints; h.Kind == kind && h.ID == id {
			return h
		}
	}
}

// awaitSaid waits until a message from a node has arrived, which is sent again
// and again: a single one may be lost.
func awaitSaid(from *testNode, to *testNode, toID ownership.NodeID, number int) Received {
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		from.say(toID, number)
		select {
		case r := <-to.got:
			if r.Message.(ownership.Seal).Last == uint64(number) {
				return r
			}
		case <-again.C:
		}
	}
}

func listen(t testing.TB) *TCP {
	t.Helper()
	tr, err := Listen(Options{Bind: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.Close() })
	return tr
}

// pipes is a network of net.Pipes, for TCP in virtual time.
type pipes struct {
	latency func() time.Duration // of a dial; nil for none

	mu        sync.Mutex
	listeners map[string]*pipeListener
	dials     int
}

func newPipes() *pipes { return &pipes{listeners: make(map[string]*pipeListener)} }

// node makes a TCP that listens at addr.
func (p *pipes) node(addr string) *TCP {
	return newTCP(Options{Dial: p.dial, Rand: func() float64 { return 0.5 }}, p.listen(addr), nil)
}

func (p *pipes) listen(addr string) *pipeListener {
	l := &pipeListener{net: p, addr: addr, accepted: make(chan net.Conn), closed: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listeners[addr] = l
	return l
}

// count returns how many dials there were.
func (p *pipes) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dials
}

func (p *pipes) dial(ctx context.Context, addr string) (net.Conn, error) {
	p.mu.Lock()
	l := p.listeners[addr]
	p.dials++
	p.mu.Unlock()
	if p.latency != nil {
		select {
		case <-time.After(p.latency()):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	refused := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	if l == nil {
		return nil, refused
	}
	near, far := net.Pipe()
	select {
	case l.accepted <- far:
		return near, nil
	case <-l.closed:
		return nil, refused
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type pipeListener struct {
	net      *pipes
	addr     string
	accepted chan net.Conn
	once     sync.Once
	closed   chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case nc := <-l.accepted:
		return nc, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.net.mu.Lock()
		defer l.net.mu.Unlock()
		delete(l.net.listeners, l.addr)
	})
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }
