package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"syscall"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// peer is what is known of another node. All of it is guarded by TCP.mu.
type peer struct {
	id    ownership.NodeID
	addr  string // "" if it is known only because it dialled us
	queue queue
	link  *link // the connection, nil if there is none

	gone      bool // removed
	dialling  bool // a goroutine runs dialPeer
	attempt   context.CancelFunc
	hurry     chan struct{} // wakes dialPeer from its pause
	dialAfter time.Time     // not before
	failures  int           // dials that failed, and short connections, in a row
	yield     bool          // our last dial failed: theirs goes first whoever has the lower ID
	probe     bool          // a connection broke: dial though nothing is queued
	seen      uint64        // the newest of its dials that became our connection
}

func (t *TCP) addPeer(id ownership.NodeID) *peer {
	p := &peer{id: id, hurry: make(chan struct{}, 1)}
	t.peers[id] = p
	return p
}

func (t *TCP) removePeer(p *peer) {
	delete(t.peers, p.id)
	p.gone = true
	t.stats.dropped.Add(uint64(p.queue.len()))
	p.queue.drop()
	if p.link != nil {
		p.link.close()
		p.link = nil
	}
	p.abort()
}

// abort ends an attempt or a pause of dialPeer, which then looks anew.
func (p *peer) abort() {
	if p.attempt != nil {
		p.attempt()
	}
	select {
	case p.hurry <- struct{}{}:
	default:
	}
}

// connect has the peer dialled if there is a reason to.
func (t *TCP) connect(p *peer) {
	if p.dialling || !p.wanted() {
		return
	}
	p.dialling = true
	t.spawn(func() { t.dialPeer(p) })
}

// wanted tells whether to dial.
func (p *peer) wanted() bool {
	return !p.gone && p.link == nil && p.addr != "" && (p.probe || !p.queue.empty())
}

// dialPeer dials until there is a connection or no reason for one.
func (t *TCP) dialPeer(p *peer) {
	for {
		t.mu.Lock()
		now := time.Now()
		t.stats.dropped.Add(uint64(p.queue.expire(now.Add(-keepFor))))
		if t.closed || !p.wanted() {
			p.dialling = false
			t.mu.Unlock()
			return
		}
		if pause := p.dialAfter.Sub(now); pause > 0 {
			t.mu.Unlock()
			t.pause(pause, p.hurry)
			continue
		}
		t.dials++
		a := attempt{
			t: t, peer: p, addr: p.addr, self: t.self,
			hello: greeting{
				version: version, oldest: oldestVersion,
				cluster: t.self.Cluster, from: t.self.ID, name: t.self.Name,
				to: p.id, dial: t.dials, seen: p.seen,
			},
		}
		ctx, cancel := context.WithCancel(t.ctx)
		p.attempt = cancel
		t.mu.Unlock()

		nc, answer, err := a.greet(ctx)
		cancel()
		l, h := a.end(nc, answer, err)
		t.tell(h)
		if l != nil {
			l.run()
		}
	}
}

func (t *TCP) pause(d time.Duration, hurry <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-hurry:
	case <-t.ctx.Done():
	}
}

// attempt is one dial of a peer.
type attempt struct {
	t     *TCP
	peer  *peer
	addr  string
	self  Identity // who dials
	hello greeting
}

// errAborted is the end of an attempt that this node itself ended. It says
// nothing of the peer.
var errAborted = errors.New("aborted")

// greet dials and exchanges greetings. nc is nil if err is not.
func (a *attempt) greet(ctx context.Context) (net.Conn, greeting, error) {
	dialling, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	nc, err := a.t.dial(dialling, a.addr)
	if ctx.Err() != nil && err != nil {
		err = errAborted
	}
	if err != nil {
		return nil, greeting{}, err
	}
	undo := context.AfterFunc(ctx, func() { nc.Close() })
	answer, err := exchange(nc, a.hello)
	if !undo() {
		err = errAborted
	}
	if err != nil {
		nc.Close()
		return nil, greeting{}, err
	}
	return nc, answer, nil
}

// exchange says hello on a connection and returns the answer.
func exchange(nc net.Conn, hello greeting) (greeting, error) {
	if err := nc.SetDeadline(time.Now().Add(greetingTimeout)); err != nil {
		return greeting{}, err
	}
	b, err := appendGreeting(nil, hello)
	if err != nil {
		return greeting{}, err
	}
	if _, err := nc.Write(b); err != nil {
		return greeting{}, err
	}
	answer, err := readGreeting(nc, nil)
	if err != nil {
		return greeting{}, err
	}
	return answer, nc.SetDeadline(time.Time{})
}

// end draws the conclusions of an attempt: a connection that stands, or a pause
// before the next attempt, and what to tell of it.
func (a *attempt) end(nc net.Conn, answer greeting, err error) (*link, Hint) {
	t, p := a.t, a.peer
	t.mu.Lock()
	defer t.mu.Unlock()
	p.attempt = nil
	p.probe = false
	if err == nil && a.welcome(answer) && !t.closed && !p.gone && p.link == nil {
		p.yield = false
		l := t.newLink(p, nc)
		l.dialled = a.hello.dial
		return l, Hint{Kind: HintUp, ID: p.id, Addr: a.addr}
	}
	if nc != nil {
		nc.Close()
	}
	if t.closed || p.gone || p.link != nil || p.addr != a.addr || err == errAborted {
		return nil, Hint{} // overtaken: its end says nothing
	}
	if err == nil && answer.verdict == verdictDuel {
		p.dialAfter = time.Now().Add(t.backoff(1)) // their connection is on its way
		return nil, Hint{}
	}
	p.failures++
	p.yield = true
	p.dialAfter = time.Now().Add(t.backoff(p.failures))
	h := a.failed(answer, err)
	t.log.fault(slog.LevelInfo, "cannot connect", a.addr, "id", hexID(p.id), "reason", h.Reason)
	if h.Kind == 0 {
		return nil, Hint{}
	}
	return nil, h
}

func (a *attempt) welcome(answer greeting) bool {
	return answer.verdict == verdictWelcome && answer.from == a.peer.id &&
		answer.cluster == a.self.Cluster && answer.oldest <= version
}

// wsaeConnRefused is what Windows says for ECONNREFUSED.
const wsaeConnRefused = syscall.Errno(10061)

// failed says why an attempt failed. Its hint has no kind if it proves nothing.
func (a *attempt) failed(answer greeting, err error) Hint {
	h := Hint{ID: a.peer.id, Addr: a.addr}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, wsaeConnRefused):
		h.Kind, h.Reason = HintGone, "the address refuses connections"
	case errors.Is(err, errMalformed):
		h.Kind, h.Reason = HintGarbage, err.Error()
	case err != nil:
		h.Reason = err.Error()
	case answer.verdict == verdictOther || answer.from != a.peer.id:
		h.Kind, h.Reason = HintGone, otherNode(answer.from, answer.name)
	case answer.verdict == verdictCluster || answer.cluster != a.self.Cluster:
		h.Kind, h.Reason = HintRefused, otherCluster(a.self.Cluster, answer.cluster)
	case answer.verdict == verdictVersion || answer.oldest > version:
		h.Kind, h.Reason = HintRefused, otherVersion(answer)
	default:
		h.Kind, h.Reason = HintRefused, fmt.Sprintf("it answered: %q", answer.reason)
	}
	return h
}

func otherNode(id ownership.NodeID, name string) string {
	return fmt.Sprintf("node %q (id %s) answers at the address", name, hexID(id))
}

func otherCluster(ours, theirs string) string {
	return fmt.Sprintf("this node belongs to cluster %q, the other one to %q: give both one Cluster name, or take the other's address out of the seeds", ours, theirs)
}

func otherVersion(g greeting) string {
	return fmt.Sprintf("this node speaks versions %d to %d of the protocol, the other one %d to %d: upgrade the older", oldestVersion, version, g.oldest, g.version)
}

// backoff returns the pause after n failures.
func (t *TCP) backoff(n int) time.Duration {
	d := backoffMost
	if n < 10 {
		d = min(backoffLeast<<(n-1), backoffMost)
	}
	return d/2 + time.Duration(t.rand()*float64(d/2))
}
