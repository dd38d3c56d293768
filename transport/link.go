package transport

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// link is the connection with a peer, from the greetings on.
type link struct {
	t       *TCP
	peer    *peer
	nc      net.Conn
	self    ownership.NodeID // who we are on it
	deliver func(Received)
	dialled uint64 // the number of our dial, 0 if the peer dialled
	since   time.Time

	wake  chan struct{} // something is queued
	done  chan struct{} // closed by end
	once  sync.Once
	cause error // why it ended; set before done is closed
}

// newLink makes nc the peer's connection. t.mu is held.
func (t *TCP) newLink(p *peer, nc net.Conn) *link {
	l := &link{
		t: t, peer: p, nc: nc, self: t.self.ID, deliver: t.deliver,
		since: time.Now(),
		wake:  make(chan struct{}, 1),
		done:  make(chan struct{}),
	}
	p.link = l
	if !p.queue.empty() {
		l.poke()
	}
	return l
}

// poke tells the writer that something is queued.
func (l *link) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *link) close() { l.end(net.ErrClosed) }

// end closes the connection. The first cause given is the one that counts: its
// end makes reader and writer fail too, with errors that say less.
func (l *link) end(cause error) {
	l.once.Do(func() {
		l.cause = cause
		close(l.done)
		l.nc.Close()
	})
}

// run carries messages both ways. Its goroutines end with the connection.
func (l *link) run() {
	l.t.mu.Lock()
	defer l.t.mu.Unlock()
	if l.t.closed {
		l.close()
		return
	}
	l.t.log.Debug("connected", "id", hexID(l.peer.id), "addr", l.nc.RemoteAddr(), "dialled", l.dialled > 0)
	l.t.spawn(func() { l.broke(l.readAll()) })
	l.t.spawn(func() { l.broke(l.writeAll()) })
}

// broke ends the connection and, if it was still the peer's, looks what became
// of the peer.
func (l *link) broke(err error) {
	l.end(err)
	err = l.cause
	t, p := l.t, l.peer
	garbage := errors.Is(err, errMalformed)
	t.mu.Lock()
	if p.link != l {
		t.mu.Unlock()
		return
	}
	p.link = nil
	p.failures, p.dialAfter = p.failures+1, time.Time{}
	if time.Since(l.since) >= shortLife && !garbage {
		p.failures = 0
	} else {
		p.dialAfter = time.Now().Add(t.backoff(p.failures))
	}
	p.probe = !garbage
	if p.addr == "" {
		t.removePeer(p)
	} else {
		t.connect(p)
	}
	t.mu.Unlock()

	if garbage {
		t.log.fault(slog.LevelWarn, "disconnected a node that sent garbage", host(l.nc), "id", hexID(p.id), "error", err)
		t.tell(Hint{Kind: HintGarbage, ID: p.id, Addr: l.nc.RemoteAddr().String(), Reason: err.Error()})
	} else {
		t.log.Debug("disconnected", "id", hexID(p.id), "error", err)
	}
}

// writeAll writes what is queued, all of it in one go, until the connection ends.
func (l *link) writeAll() error {
	var (
		c        = newCoder()
		buf      []byte
		messages []ownership.Envelope
		silence  = time.NewTimer(beat)
	)
	defer silence.Stop()
	for {
		select {
		case <-l.wake:
		case <-silence.C: // then a frame without messages
		case <-l.done:
			return net.ErrClosed
		}
		messages = l.take(messages[:0])
		rest := messages
		for more := true; more; more = len(rest) > 0 {
			buf, rest = c.appendFrames(buf[:0], rest, l.drop)
			if err := l.write(buf); err != nil {
				return err
			}
		}
		l.t.stats.sent.Add(uint64(len(messages)))
		clear(messages)
		if cap(buf) > keepBuffer {
			buf = nil
		}
		silence.Reset(beat)
	}
}

func (l *link) take(dst []ownership.Envelope) []ownership.Envelope {
	l.t.mu.Lock()
	defer l.t.mu.Unlock()
	if l.peer.link != l {
		return dst
	}
	return l.peer.queue.take(dst)
}

func (l *link) drop(e ownership.Envelope, err error) {
	l.t.stats.dropped.Add(1)
	l.t.log.fault(slog.LevelError, "a message cannot be sent", host(l.nc),
		"id", hexID(e.To), "kind", e.Message.Kind(), "error", err)
}

// write writes b in pieces, each of which must make it within silenceTimeout: a
// slow network is not a dead peer.
func (l *link) write(b []byte) error {
	for len(b) > 0 {
		n := min(len(b), 64<<10)
		if err := l.nc.SetWriteDeadline(time.Now().Add(silenceTimeout)); err != nil {
			return err
		}
		if _, err := l.nc.Write(b[:n]); err != nil {
			return err
		}
		l.t.stats.bytesOut.Add(uint64(n))
		b = b[n:]
	}
	return nil
}

// readAll delivers what the peer sends until the connection ends.
func (l *link) readAll() error {
	c := newCoder()
	r := frameReader{r: bufio.NewReaderSize(live{l}, readBuffer)}
	told := false
	for {
		frame, err := r.next()
		if err != nil {
			return err
		}
		err = c.readFrame(frame, func(mesh ownership.MeshID, m ownership.Message) {
			l.t.stats.received.Add(1)
			l.deliver(Received{From: l.peer.id, To: l.self, Mesh: mesh, Message: m})
		}, func(k ownership.Kind) {
			l.t.stats.unknown.Add(1)
			if !told {
				told = true
				l.t.log.fault(slog.LevelInfo, "a node sends messages of a kind that this version does not know", host(l.nc), "id", hexID(l.peer.id), "kind", k)
			}
		})
		if err != nil {
			return err
		}
	}
}

// live reads from a link that is not silent for long.
type live struct{ *link }

func (l live) Read(b []byte) (int, error) {
	if err := l.nc.SetReadDeadline(time.Now().Add(silenceTimeout)); err != nil {
		return 0, err
	}
	n, err := l.nc.Read(b)
	l.t.stats.bytesIn.Add(uint64(n))
	return n, err
}

// A node has as many links as peers: what each keeps is small.
const (
	readBuffer = 16 << 10
	keepBuffer = 64 << 10
)

// frameReader cuts a stream into frames.
type frameReader struct {
	r    *bufio.Reader // of readBuffer bytes
	have int           // bytes of the reader's buffer that the last frame took
	big  []byte        // for frames that the reader's buffer does not hold
}

// next returns the next frame without its length. It is valid until the next
// call.
func (f *frameReader) next() ([]byte, error) {
	f.r.Discard(f.have)
	f.have = 0
	if cap(f.big) > keepBuffer {
		f.big = nil
	}
	head, err := f.r.Peek(lengthBytes)
	if err != nil {
		return nil, err
	}
	n, err := frameLen(head)
	if err != nil {
		return nil, err
	}
	f.r.Discard(lengthBytes)
	if n <= f.r.Size() {
		frame, err := f.r.Peek(n)
		if err != nil {
			return nil, err
		}
		f.have = n
		return frame, nil
	}
	// Memory is taken as the bytes arrive, not because a length says so.
	f.big = f.big[:0]
	for len(f.big) < n {
		step := min(n-len(f.big), max(readBuffer, len(f.big)))
		at := len(f.big)
		f.big = append(f.big, make([]byte, step)...)
		if _, err := io.ReadFull(f.r, f.big[at:]); err != nil {
			return nil, err
		}
	}
	return f.big, nil
}
