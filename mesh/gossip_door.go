package mesh

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/lockmesh/lockmesh/transport"
)

// gossipDoor is memberlist's transport on the node's own port. It lives as long
// as one memberlist; the port goes on to the next one.
type gossipDoor struct {
	port    transport.Gossip
	addr    netip.AddrPort // advertised
	packets chan *memberlist.Packet
	streams chan net.Conn
	done    chan struct{}
	pumps   sync.WaitGroup

	mu     sync.Mutex
	conns  map[*gossipConn]struct{}
	closed bool
}

var _ memberlist.NodeAwareTransport = (*gossipDoor)(nil)

func newGossipDoor(port transport.Gossip, addr netip.AddrPort) *gossipDoor {
	d := &gossipDoor{
		port:    port,
		addr:    addr,
		packets: make(chan *memberlist.Packet),
		streams: make(chan net.Conn),
		done:    make(chan struct{}),
		conns:   map[*gossipConn]struct{}{},
	}
	d.pumps.Add(2)
	go d.pumpPackets()
	go d.pumpStreams()
	return d
}

func (d *gossipDoor) pumpPackets() {
	defer d.pumps.Done()
	for {
		select {
		case <-d.done:
			return
		case p, ok := <-d.port.Packets():
			if !ok {
				return
			}
			select {
			case d.packets <- &memberlist.Packet{Buf: p.Data, From: p.From, Timestamp: p.At}:
			case <-d.done:
				return
			}
		}
	}
}

func (d *gossipDoor) pumpStreams() {
	defer d.pumps.Done()
	for {
		select {
		case <-d.done:
			return
		case conn, ok := <-d.port.Streams():
			if !ok {
				return
			}
			kept := d.keep(conn)
			if kept == nil {
				return
			}
			select {
			case d.streams <- kept:
			case <-d.done:
				kept.Close()
				return
			}
		}
	}
}

// keep makes sure that a connection ends with the door; nil if that is closed.
func (d *gossipDoor) keep(conn net.Conn) net.Conn {
	c := &gossipConn{conn, d}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		conn.Close()
		return nil
	}
	d.conns[c] = struct{}{}
	return c
}

// Shutdown ends the pumps and all connections; the port stays open.
func (d *gossipDoor) Shutdown() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	conns := d.conns
	d.conns = nil
	d.mu.Unlock()
	close(d.done)
	for c := range conns {
		c.Conn.Close()
	}
	d.pumps.Wait()
	return nil
}

func (d *gossipDoor) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return d.addr.Addr().AsSlice(), int(d.addr.Port()), nil
}

func (d *gossipDoor) PacketCh() <-chan *memberlist.Packet { return d.packets }
func (d *gossipDoor) StreamCh() <-chan net.Conn           { return d.streams }

func (d *gossipDoor) WriteTo(b []byte, addr string) (time.Time, error) {
	select {
	case <-d.done:
		return time.Time{}, net.ErrClosed
	default:
		return d.port.WritePacket(b, addr)
	}
}

func (d *gossipDoor) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	conn, err := d.port.DialStream(addr, timeout)
	if err != nil {
		return nil, err
	}
	if conn = d.keep(conn); conn == nil {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (d *gossipDoor) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	return d.WriteTo(b, a.Addr)
}

func (d *gossipDoor) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return d.DialTimeout(a.Addr, timeout)
}

// gossipConn leaves the door's books when it is closed.
type gossipConn struct {
	net.Conn
	door *gossipDoor
}

func (c *gossipConn) Close() error {
	c.door.mu.Lock()
	delete(c.door.conns, c)
	c.door.mu.Unlock()
	return c.Conn.Close()
}
