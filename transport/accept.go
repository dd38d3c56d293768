package transport

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"time"
)

// acceptAll accepts connections until Close.
func (t *TCP) acceptAll() {
	failures := 0
	for {
		nc, err := t.listener.Accept()
		if err == nil {
			failures = 0
			t.accept(nc)
			continue
		}
		if t.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return
		}
		failures++ // out of file descriptors, most likely
		t.log.fault(slog.LevelError, "cannot accept connections", "", "error", err)
		t.pause(t.backoff(failures), nil)
	}
}

// accept takes a connection in. If too many say nothing the oldest has to go: a
// node greets at once, so it is most likely not one of ours.
func (t *TCP) accept(nc net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		nc.Close()
		return
	}
	if len(t.greeting) >= maxGreetings {
		var oldest net.Conn
		for c, number := range t.greeting {
			if oldest == nil || number < t.greeting[oldest] {
				oldest = c
			}
		}
		delete(t.greeting, oldest)
		oldest.Close()
		t.log.fault(slog.LevelWarn, "too many connections that say nothing: the oldest is closed", "", "limit", maxGreetings)
	}
	t.accepts++
	t.greeting[nc] = t.accepts
	t.spawn(func() { t.greet(nc) })
}

// greet finds out what an accepted connection is.
func (t *TCP) greet(nc net.Conn) {
	nc.SetDeadline(time.Now().Add(greetingTimeout))
	var first [1]byte
	if _, err := io.ReadFull(nc, first[:]); err != nil {
		t.reject(nc)
		return
	}
	if first[0] != magic[0] {
		nc.SetDeadline(time.Time{})
		t.greeted(nc)
		if !t.gossip.stream(nc, first[0]) {
			nc.Close()
		}
		return
	}
	hello, err := readGreeting(nc, first[:])
	if err != nil {
		t.reject(nc)
		if errors.Is(err, errMalformed) {
			t.log.fault(slog.LevelWarn, "bad greeting", host(nc), "error", err)
			t.tell(Hint{Kind: HintGarbage, Addr: nc.RemoteAddr().String(), Reason: err.Error()})
		}
		return
	}
	answer, l, h := t.judge(nc, hello)
	b, err := appendGreeting(nil, answer)
	if err == nil && answer.verdict != verdictNone {
		_, err = nc.Write(b)
	}
	t.greeted(nc)
	if l == nil {
		nc.Close()
		t.tell(h)
		return
	}
	if err != nil {
		l.broke(err)
		return
	}
	nc.SetDeadline(time.Time{})
	t.tell(h)
	l.run()
}

// greeted ends the time in which Close has to end a connection for greet.
func (t *TCP) greeted(nc net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.greeting, nc)
}

func (t *TCP) reject(nc net.Conn) {
	t.greeted(nc)
	nc.Close()
}

// judge answers a greeting, and makes the connection that of its peer if the
// answer is a welcome.
func (t *TCP) judge(nc net.Conn, hello greeting) (greeting, *link, Hint) {
	t.mu.Lock()
	defer t.mu.Unlock()
	answer := greeting{
		version: version, oldest: oldestVersion,
		cluster: t.self.Cluster, from: t.self.ID, name: t.self.Name,
		to: hello.from, dial: hello.dial,
	}
	h := Hint{ID: hello.from, Addr: nc.RemoteAddr().String()}
	refuse := func(v verdict, reason string) (greeting, *link, Hint) {
		answer.verdict, answer.reason = v, reason
		return answer, nil, h
	}
	p := t.peers[hello.from]
	switch {
	case t.closed || t.self.ID == 0:
		return answer, nil, Hint{} // no answer
	case hello.cluster != t.self.Cluster:
		h.Kind, h.Reason = HintRefused, otherCluster(t.self.Cluster, hello.cluster)
		t.log.fault(slog.LevelWarn, "refused a node", host(nc), "id", hexID(hello.from), "node", hello.name, "reason", h.Reason)
		return refuse(verdictCluster, otherCluster(hello.cluster, t.self.Cluster))
	case hello.oldest > version || hello.version < oldestVersion:
		h.Kind, h.Reason = HintRefused, otherVersion(hello)
		t.log.fault(slog.LevelWarn, "refused a node", host(nc), "id", hexID(hello.from), "node", hello.name, "reason", h.Reason)
		return refuse(verdictVersion, "")
	case hello.to != t.self.ID || hello.from == t.self.ID:
		return refuse(verdictOther, "this is node "+hexID(t.self.ID))
	case p == nil && len(t.peers) >= maxWelcome:
		return refuse(verdictFull, "too many peers")
	case p != nil && p.prefersOwn(t.self, hello):
		return refuse(verdictDuel, "another connection goes first")
	}
	if p == nil {
		p = t.addPeer(hello.from)
	}
	if p.link != nil {
		p.link.close()
	}
	p.seen = hello.dial
	p.probe, p.yield = false, false
	answer.verdict = verdictWelcome
	l := t.newLink(p, nc)
	p.abort() // our own dial, if any
	h.Kind = HintUp
	return answer, l, h
}

// prefersOwn tells whether a dial of the peer must give way.
//
// To a connection that stands it gives way if the peer did not know of that one
// when it dialled: dials cross, and then the one that stands is as good. If it
// knew, the connection is dead at its end, and the dial replaces it. Of the dials
// of this node a peer knows by their numbers (seen); its own it knows.
//
// If none stands and both dial, the lower NodeID goes first, unless its last dial
// failed: a node that cannot be dialled must still be able to dial.
func (p *peer) prefersOwn(self Identity, hello greeting) bool {
	switch {
	case p.link != nil && p.link.dialled > 0:
		return hello.seen < p.link.dialled
	case p.link != nil:
		return hello.dial < p.seen
	}
	return p.attempt != nil && self.ID < p.id && !p.yield
}

func host(nc net.Conn) string {
	addr := nc.RemoteAddr().String()
	if h, _, err := net.SplitHostPort(addr); err == nil {
		return h
	}
	return addr
}
