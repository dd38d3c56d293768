package transport

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/lockmesh/lockmesh/ownership"
)

// The versions of the protocol that this node speaks. version rises with any
// change to a message, oldestVersion only when older nodes can no longer follow:
// those of version 1 know one holder of a key, and digest tokens.
const (
	version       = 2
	oldestVersion = 2
)

// magic begins a connection that carries lock traffic. Its first byte tells it
// from memberlist's streams (small numbers, or 244 before a label), from TLS
// (22) and from text.
const magic = "\xc5LKM"

const (
	greetingHead = len(magic) + 2 // and the length
	maxGreeting  = 2048           // bytes after the head
)

// verdict is what an acceptor answers.
type verdict uint8

const (
	verdictNone    verdict = iota // in the dialler's greeting
	verdictWelcome                // the connection stands
	verdictVersion                // we have no version of the protocol in common
	verdictCluster                // I belong to another cluster
	verdictOther                  // I am not the node you ask for
	verdictDuel                   // a connection between us goes before this one
	verdictFull                   // I have too many connections
)

// greeting is the first thing each side says, the dialler before the acceptor.
type greeting struct {
	version, oldest uint32 // of the protocol
	cluster         string
	from            ownership.NodeID
	name            string
	to              ownership.NodeID // whom the dialler wants, or the acceptor answers
	dial            uint64           // numbers the dials of the dialler, rising
	seen            uint64           // the newest dial of the acceptor's that the dialler took: see judge
	verdict         verdict          // the acceptor's
	reason          string           // why it is no welcome, for people
}

func (g *greeting) fields(c *coder) {
	outer := c.open(10)
	unsigned(c, &g.version)
	unsigned(c, &g.oldest)
	text(c, &g.cluster, ownership.MaxNameBytes)
	unsigned(c, &g.from)
	text(c, &g.name, ownership.MaxNameBytes)
	unsigned(c, &g.to)
	unsigned(c, &g.dial)
	unsigned(c, &g.seen)
	unsigned(c, &g.verdict)
	text(c, &g.reason, maxDetail)
	c.close(outer)
}

// appendGreeting appends a greeting with its head.
func appendGreeting(dst []byte, g greeting) ([]byte, error) {
	c := newCoder()
	start := len(dst)
	c.write(append(append(dst, magic...), 0, 0))
	g.fields(c)
	if c.err != nil {
		return dst, c.err
	}
	n := len(c.out.b) - start - greetingHead
	binary.BigEndian.PutUint16(c.out.b[start+len(magic):], uint16(n))
	return c.out.b, nil
}

// decodeGreeting reads a greeting without its head.
func decodeGreeting(b []byte) (greeting, error) {
	var g greeting
	c := newCoder()
	c.read(b)
	g.fields(c)
	switch {
	case c.err != nil:
		return greeting{}, c.err
	case c.in.remaining() > 0:
		return greeting{}, fmt.Errorf("%w: %d bytes after the greeting", errMalformed, c.in.remaining())
	case g.version == 0 || g.from == 0:
		return greeting{}, fmt.Errorf("%w: a greeting without a version or a node", errMalformed)
	}
	return g, nil
}

// readGreeting reads a greeting, and not a byte more, from r. begin is what of
// it was read before.
func readGreeting(r io.Reader, begin []byte) (greeting, error) {
	var head [greetingHead]byte
	n := copy(head[:], begin)
	if _, err := io.ReadFull(r, head[n:]); err != nil {
		return greeting{}, err
	}
	if string(head[:len(magic)]) != magic {
		return greeting{}, fmt.Errorf("%w: not a greeting of lock traffic", errMalformed)
	}
	size := binary.BigEndian.Uint16(head[len(magic):])
	if size > maxGreeting {
		return greeting{}, fmt.Errorf("%w: a greeting of %d bytes", errMalformed, size)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(r, b); err != nil {
		return greeting{}, err
	}
	return decodeGreeting(b)
}
