package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
	"time"
)

// gossip is the half of a TCP that carries the failure detector.
type gossip struct {
	conn    net.PacketConn // nil in tests
	packets chan Packet
	streams chan net.Conn
}

func newGossip(conn net.PacketConn) gossip {
	return gossip{conn: conn, packets: make(chan Packet, 1024), streams: make(chan net.Conn, 64)}
}

func (g gossip) close() error {
	if g.conn == nil {
		return nil
	}
	return g.conn.Close()
}

// closeStreams closes the streams that nobody took.
func (g gossip) closeStreams() {
	for {
		select {
		case nc := <-g.streams:
			nc.Close()
		default:
			return
		}
	}
}

// stream hands a connection over whose first byte was read. It returns false if
// nobody takes streams.
func (g gossip) stream(nc net.Conn, first byte) bool {
	select {
	case g.streams <- &peekedConn{Conn: nc, first: []byte{first}}:
		return true
	default:
		return false
	}
}

// peekedConn is a connection of which the first byte was read.
type peekedConn struct {
	net.Conn
	first []byte
}

func (c *peekedConn) Read(b []byte) (int, error) {
	if len(c.first) > 0 && len(b) > 0 {
		n := copy(b, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}

// Addr implements Gossip.
func (t *TCP) Addr() *net.TCPAddr {
	addr, _ := t.listener.Addr().(*net.TCPAddr)
	return addr
}

// Packets implements Gossip.
func (t *TCP) Packets() <-chan Packet { return t.gossip.packets }

// Streams implements Gossip.
func (t *TCP) Streams() <-chan net.Conn { return t.gossip.streams }

// WritePacket implements Gossip.
func (t *TCP) WritePacket(b []byte, addr string) (time.Time, error) {
	to, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return time.Time{}, err
	}
	_, err = t.gossip.conn.WriteTo(b, to)
	return time.Now(), err
}

// DialStream implements Gossip.
func (t *TCP) DialStream(addr string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(t.ctx, timeout)
	defer cancel()
	return t.dial(ctx, addr)
}

// maxPacket bounds the packets that are kept for gossip, which stays below what
// an Ethernet frame carries.
const maxPacket = 4 << 10

// readPackets reads until Close.
func (t *TCP) readPackets() {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := t.gossip.conn.ReadFrom(buf)
		now := time.Now()
		if err != nil {
			if t.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			t.pause(backoffLeast, nil)
			continue
		}
		if n == 0 || n > maxPacket {
			continue
		}
		select {
		case t.gossip.packets <- Packet{Data: append([]byte(nil), buf[:n]...), From: from, At: now}:
		default: // nobody keeps up: gossip copes with loss
		}
	}
}

// bind binds one port for TCP and UDP.
func bind(addr string) (net.Listener, net.PacketConn, error) {
	if addr == "" {
		addr = ":0"
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, nil, fmt.Errorf("listen %s: it must be host:port: %w", addr, err)
	}
	const tries = 16 // of a free TCP port that may not be free for UDP
	for try := 1; ; try++ {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, nil, bindError(addr, "tcp", err)
		}
		bound := net.JoinHostPort(host, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
		p, err := net.ListenPacket("udp", bound)
		if err == nil {
			// Gossip comes in bursts. If the system allows less, it is less.
			_ = p.(*net.UDPConn).SetReadBuffer(2 << 20)
			return l, p, nil
		}
		l.Close()
		if (port != "0" && port != "") || try == tries || !inUse(err) {
			return nil, nil, bindError(bound, "udp", err)
		}
	}
}

// wsaeAddrInUse is what Windows says for EADDRINUSE.
const wsaeAddrInUse = syscall.Errno(10048)

func inUse(err error) bool {
	return errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, wsaeAddrInUse)
}

// ErrInUse is wrapped by the error of Listen when somebody else has the port.
var ErrInUse = errors.New("address already in use")

func bindError(addr, network string, err error) error {
	if inUse(err) {
		return fmt.Errorf("listen %s %s: %w by another process or node", network, addr, ErrInUse)
	}
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		err = op.Err // without the address, which it would say again
	}
	return fmt.Errorf("listen %s %s: %w", network, addr, err)
}
