package mesh

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"
)

// Whoever reaches the port can speak to memberlist, and memberlist believes
// lengths: a header of 40 bytes makes it allocate 112 MB, a packet of 60 KB
// unpacks to 39 MB. So the door lets through only what nodes of ours send, and
// of that no more than a fleet of the largest size needs.

// The first byte of memberlist's messages, as its version 0.7 numbers them.
const (
	kindPing     = 0
	kindIndirect = 1
	kindAck      = 2
	kindSuspect  = 3
	kindAlive    = 4
	kindDead     = 5
	kindPushPull = 6 // streams only: the whole state, each way
	kindCompound = 7 // packets only: several messages
	kindNack     = 11
	kindCRC      = 12 // packets only: a sum before the rest
	kindErr      = 13 // streams only: the answer to what was not understood

	// Never sent by a node of ours: 8 (user, the delegates have nothing to say),
	// 9 (compress, off), 10 (encrypt, no key), 244 (label, none).
)

// Limits of what passes the door.
const (
	maxPacket    = 2 << 10   // bytes; memberlist packs 1400 and a sum
	maxEntry     = 1 << 10   // bytes of a node in an exchange of states, of which metadata is maxMeta
	maxMeta      = 512       // what memberlist grants each node
	maxAnswer    = 4 << 10   // bytes of a message in a stream that is no state
	maxStates    = maxRoster // nodes in an exchange
	maxStreams   = 16        // accepted and open at once
	maxGossipKey = len("UserStateLen")

	// streamFor bounds the life of a stream, and streamGrace what it has of that
	// for certain when others wait.
	streamFor   = 5 * time.Second
	streamGrace = 500 * time.Millisecond
)

// errForeign is wrapped by the errors about gossip that no node of ours sends.
var errForeign = errors.New("not what a node sends")

// checkPacket tells whether memberlist may see a packet.
func checkPacket(b []byte) error {
	if len(b) > maxPacket {
		return fmt.Errorf("%w: a packet of %d bytes", errForeign, len(b))
	}
	if len(b) > 5 && b[0] == kindCRC {
		b = b[5:] // memberlist checks the sum
	}
	if len(b) == 0 || b[0] != kindCompound {
		return checkMessage(b)
	}
	b = b[1:]
	if len(b) == 0 || len(b) < 1+2*int(b[0]) {
		return fmt.Errorf("%w: a compound that is cut off", errForeign)
	}
	lengths, rest := b[1:1+2*int(b[0])], b[1+2*int(b[0]):]
	for ; len(lengths) > 0; lengths = lengths[2:] {
		n := int(binary.BigEndian.Uint16(lengths))
		if n > len(rest) {
			return fmt.Errorf("%w: a compound that is cut off", errForeign)
		}
		if err := checkMessage(rest[:n]); err != nil { // a compound in it is none
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// checkMessage checks a plain message of a packet: its kind, and that it is one
// msgpack map whose lengths are true, since memberlist allocates by them.
func checkMessage(b []byte) error {
	if len(b) == 0 {
		return fmt.Errorf("%w: an empty message", errForeign)
	}
	switch b[0] {
	case kindPing, kindIndirect, kindAck, kindSuspect, kindAlive, kindDead, kindNack:
	default:
		return fmt.Errorf("%w: a message of kind %d in a packet", errForeign, b[0])
	}
	if b = b[1:]; len(b) == 0 || !isMap(b[0]) {
		return fmt.Errorf("%w: a message without fields", errForeign)
	}
	for values := uint64(1); values > 0; values-- { // each takes a byte at least
		own, inner, ok := measureValue(b)
		if !ok || own > uint64(len(b)) {
			return fmt.Errorf("%w: a message with false lengths", errForeign)
		}
		b = b[own:]
		values += inner
	}
	if len(b) > 0 {
		return fmt.Errorf("%w: %d bytes after a message", errForeign, len(b))
	}
	return nil
}

func isMap(c byte) bool { return c&0xf0 == 0x80 || c == 0xde || c == 0xdf }

// measureValue reads the head of a msgpack value: how many bytes it takes, head
// and content, and how many values follow that are in it.
func measureValue(b []byte) (own, inner uint64, ok bool) {
	if len(b) == 0 {
		return 0, 0, false
	}
	length := func(size uint64) uint64 { // after the first byte
		if uint64(len(b)) < 1+size {
			return 1 << 32
		}
		n := uint64(0)
		for _, x := range b[1 : 1+size] {
			n = n<<8 | uint64(x)
		}
		return n
	}
	switch c := b[0]; {
	case c <= 0x7f || c >= 0xe0: // small numbers
		return 1, 0, true
	case c <= 0x8f: // small maps
		return 1, 2 * uint64(c&0xf), true
	case c <= 0x9f: // small arrays
		return 1, uint64(c & 0xf), true
	case c <= 0xbf: // short strings
		return 1 + uint64(c&0x1f), 0, true
	case c == 0xc0, c == 0xc2, c == 0xc3: // nil, false, true
		return 1, 0, true
	case c >= 0xc4 && c <= 0xc6: // bytes
		size := uint64(1) << (c - 0xc4)
		return 1 + size + length(size), 0, true
	case c >= 0xcc && c <= 0xcf: // unsigned
		return 1 + 1<<(c-0xcc), 0, true
	case c >= 0xd0 && c <= 0xd3: // signed
		return 1 + 1<<(c-0xd0), 0, true
	case c >= 0xd9 && c <= 0xdb: // strings
		size := uint64(1) << (c - 0xd9)
		return 1 + size + length(size), 0, true
	case c == 0xdc, c == 0xdd: // arrays
		size := uint64(2) << (c - 0xdc)
		return 1 + size, length(size), true
	case c == 0xde, c == 0xdf: // maps
		size := uint64(2) << (c - 0xde)
		return 1 + size, 2 * length(size), true
	}
	return 0, 0, false // floats and extensions: none of gossip's fields is one
}

// readHead reads the beginning of a stream up to where its bytes are no more
// than data. It returns what memberlist is to read in its place, and how many
// bytes may follow. accepted tells the streams that others dialled.
func readHead(r *bufio.Reader, accepted bool) (head []byte, rest int, err error) {
	kind, err := r.ReadByte()
	if err != nil {
		return nil, 0, err
	}
	switch {
	case kind == kindPushPull:
		nodes, join, err := readPushPull(r)
		if err != nil {
			return nil, 0, err
		}
		return appendPushPull(nil, nodes, join), nodes * maxEntry, nil
	case accepted && kind == kindPing, !accepted && (kind == kindAck || kind == kindErr):
		return []byte{kind}, maxAnswer, nil
	}
	return nil, 0, fmt.Errorf("%w: a message of kind %d in a stream", errForeign, kind)
}

// readPushPull reads the header of an exchange of states: a map with how many
// nodes follow, how many bytes of the delegates' state (none of ours has any),
// and whether the sender is new.
func readPushPull(r *bufio.Reader) (nodes int, join bool, err error) {
	fields, err := r.ReadByte()
	if err != nil {
		return 0, false, err
	}
	if fields < 0x81 || fields > 0x83 {
		return 0, false, fmt.Errorf("%w: a header of code %#x", errForeign, fields)
	}
	for range fields & 0xf {
		key, err := readKey(r)
		if err != nil {
			return 0, false, err
		}
		n, err := readCount(r)
		if err != nil {
			return 0, false, err
		}
		switch {
		case key == "Nodes" && n <= maxStates:
			nodes = int(n)
		case key == "UserStateLen" && n == 0:
		case key == "Join" && n <= 1:
			join = n == 1
		default:
			return 0, false, fmt.Errorf("%w: a header with %q %d", errForeign, key, n)
		}
	}
	return nodes, join, nil
}

func readKey(r *bufio.Reader) (string, error) {
	c, err := r.ReadByte()
	if err != nil {
		return "", err
	}
	n := int(c) - 0xa0
	if n < 0 || n > maxGossipKey {
		return "", fmt.Errorf("%w: a header with a key of code %#x", errForeign, c)
	}
	b := make([]byte, n)
	_, err = io.ReadFull(r, b)
	return string(b), err
}

// readCount reads a number that is not negative, or a truth value as 0 or 1.
func readCount(r *bufio.Reader) (uint64, error) {
	c, err := r.ReadByte()
	if err != nil {
		return 0, err
	}
	size := 0
	switch {
	case c <= 0x7f:
		return uint64(c), nil
	case c == 0xc2, c == 0xc3:
		return uint64(c - 0xc2), nil
	case c >= 0xcc && c <= 0xcf:
		size = 1 << (c - 0xcc)
	case c >= 0xd0 && c <= 0xd3:
		size = 1 << (c - 0xd0)
	default:
		return 0, fmt.Errorf("%w: a header with a value of code %#x", errForeign, c)
	}
	var b [8]byte
	if _, err = io.ReadFull(r, b[8-size:]); err == nil && c >= 0xd0 && b[8-size] >= 0x80 {
		err = fmt.Errorf("%w: a header with a negative number", errForeign)
	}
	return binary.BigEndian.Uint64(b[:]), err
}

// appendPushPull writes the header that readPushPull has read: memberlist sees
// what was checked and not what was sent.
func appendPushPull(b []byte, nodes int, join bool) []byte {
	b = append(b, kindPushPull, 0x83)
	b = binary.BigEndian.AppendUint16(append(b, "\xa5Nodes\xcd"...), uint16(nodes))
	b = append(b, "\xacUserStateLen\x00\xa4Join\xc2"...)
	if join {
		b[len(b)-1] = 0xc3
	}
	return b
}

// makeRoom waits until there is room for another accepted stream. The oldest is
// closed for it once it had its streamGrace: an exchange takes far less, and who
// opens streams to say nothing keeps nobody out. It returns false when the door
// is closed.
func (d *gossipDoor) makeRoom() bool {
	for {
		var oldest *gossipConn
		n := 0
		d.mu.Lock()
		for c := range d.conns {
			if c.accepted {
				n++
				if oldest == nil || c.since.Before(oldest.since) {
					oldest = c
				}
			}
		}
		d.mu.Unlock()
		if n < maxStreams {
			return true
		}
		wait := streamGrace - time.Since(oldest.since)
		if wait <= 0 {
			oldest.Close()
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-d.freed:
		case <-d.done:
		}
		timer.Stop()
		select {
		case <-d.done:
			return false
		default:
		}
	}
}

// keep makes sure that a connection ends with the door; nil if that is closed.
func (d *gossipDoor) keep(conn net.Conn, accepted bool) net.Conn {
	c := newGossipConn(conn, d, accepted)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		conn.Close()
		return nil
	}
	d.conns[c] = struct{}{}
	return c
}

// gossipConn is a stream behind the door: of bounded length and life. It leaves
// the door's books when it is closed. memberlist reads it from one goroutine.
type gossipConn struct {
	net.Conn
	door     *gossipDoor
	accepted bool
	since    time.Time

	r    *bufio.Reader // nil before the first Read
	head []byte        // to be read before r
	rest int           // bytes that may still be read from r
	err  error         // of the head
}

func newGossipConn(conn net.Conn, d *gossipDoor, accepted bool) *gossipConn {
	c := &gossipConn{Conn: conn, door: d, accepted: accepted, since: time.Now()}
	c.SetDeadline(time.Time{})
	return c
}

// SetDeadline never goes beyond streamFor: memberlist sets a new one with each
// step.
func (c *gossipConn) SetDeadline(t time.Time) error {
	if last := c.since.Add(streamFor); t.IsZero() || t.After(last) {
		t = last
	}
	return c.Conn.SetDeadline(t)
}

func (c *gossipConn) Read(b []byte) (int, error) {
	if c.r == nil {
		c.r = bufio.NewReaderSize(c.Conn, 64)
		c.head, c.rest, c.err = readHead(c.r, c.accepted)
		c.door.foreign.note(c.RemoteAddr(), c.err)
	}
	switch {
	case c.err != nil:
		return 0, c.err
	case len(c.head) > 0:
		n := copy(b, c.head)
		c.head = c.head[n:]
		return n, nil
	case c.rest == 0 && len(b) > 0:
		return 0, io.EOF
	}
	n, err := c.r.Read(b[:min(len(b), c.rest)])
	c.rest -= n
	return n, err
}

func (c *gossipConn) Close() error {
	c.door.mu.Lock()
	delete(c.door.conns, c)
	c.door.mu.Unlock()
	select {
	case c.door.freed <- struct{}{}:
	default:
	}
	return c.Conn.Close()
}

// foreignLog tells of refused packets and streams, of all together once in ten
// seconds: the addresses of packets may be false, and any number of them.
type foreignLog struct {
	to *slog.Logger

	mu   sync.Mutex // held for moments
	said seldom
	held int // since the last line
}

func newForeignLog(to *slog.Logger) *foreignLog {
	return &foreignLog{to: to, said: seldom{every: 10 * time.Second}}
}

// note logs err if it is an errForeign.
func (l *foreignLog) note(from net.Addr, err error) {
	if !errors.Is(err, errForeign) {
		return
	}
	l.mu.Lock()
	held := l.held
	say := l.said.ok(time.Now(), "")
	if l.held++; say {
		l.held = 0
	}
	l.mu.Unlock()
	if say {
		l.to.Warn("refused gossip from a stranger", "addr", from, "reason", err, "repeated", held)
	}
}
