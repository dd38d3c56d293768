package transport

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/lockmesh/lockmesh/ownership"
)

const (
	maxFrame    = 4 << 20 // bytes of a frame after its length
	lengthBytes = 4
	frameHead   = lengthBytes + 1 // and the version
)

// message writes or reads one message: [kind, mesh, body]. Reading one of an
// unknown kind passes over it and returns nil.
func (c *coder) message(mesh *ownership.MeshID, m ownership.Message) (ownership.Message, ownership.Kind) {
	var k ownership.Kind
	if c.writing {
		k = m.Kind()
	}
	outer := c.open(3)
	unsigned(c, &k)
	unsigned(c, mesh)
	if c.err == nil && k == 0 {
		c.fail("a message without a kind")
	}
	b := bodyOf(k)
	switch {
	case c.err != nil:
	case b == nil && c.writing:
		c.fail("message kind %d has no codec", k)
	case b == nil: // close skips it
	case c.writing:
		b.write(c, m)
	default:
		m = b.read(c)
	}
	c.close(outer)
	if c.err != nil {
		return nil, k
	}
	return m, k
}

// enough is how many bytes are written at once: beyond it a longer write only
// takes memory.
const enough = 256 << 10

// appendFrames appends messages in frames that are as full as they may be, until
// they are enough, and returns the messages that are left. A message that cannot
// travel is left out and reported to drop.
func (c *coder) appendFrames(dst []byte, messages []ownership.Envelope, drop func(ownership.Envelope, error)) ([]byte, []ownership.Envelope) {
	begin, start := len(dst), len(dst)
	dst = beginFrame(dst)
	for len(messages) > 0 && len(dst)-begin < enough {
		e := messages[0]
		messages = messages[1:]
		end := len(dst)
		c.write(dst)
		c.message(&e.Mesh, e.Message)
		dst = c.out.b
		size := len(dst) - end
		switch {
		case c.err != nil:
			drop(e, c.err)
			dst = dst[:end]
		case 1+size > maxFrame:
			drop(e, fmt.Errorf("%d bytes, more than a frame takes", size))
			dst = dst[:end]
		case len(dst)-start-lengthBytes > maxFrame:
			// It begins the next frame: make room for that one's head before it.
			endFrame(dst[start:end])
			start = end
			dst = append(dst, make([]byte, frameHead)...)
			copy(dst[start+frameHead:], dst[start:start+size])
			beginFrame(dst[:start])
		}
	}
	endFrame(dst[start:])
	return dst, messages
}

func beginFrame(dst []byte) []byte { return append(dst, 0, 0, 0, 0, version) }

func endFrame(frame []byte) {
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-lengthBytes))
}

// frameLen reads the length of a frame.
func frameLen(head []byte) (int, error) {
	n := binary.BigEndian.Uint32(head)
	if n < 1 || n > maxFrame {
		return 0, fmt.Errorf("%w: a frame of %d bytes", errMalformed, n)
	}
	return int(n), nil
}

// readFrame hands the messages of a frame, without its length, to deliver, and
// the unknown kinds to unknown.
func (c *coder) readFrame(frame []byte, deliver func(ownership.MeshID, ownership.Message), unknown func(ownership.Kind)) error {
	if len(frame) == 0 || frame[0] == 0 {
		return fmt.Errorf("%w: a frame without a version", errMalformed)
	}
	for c.read(frame[1:]); c.in.remaining() > 0; c.left = 1 {
		mesh, m, k, err := c.readMessage()
		switch {
		case err != nil:
			return err
		case m == nil:
			unknown(k)
		default:
			deliver(mesh, m)
		}
	}
	return nil
}

func (c *coder) readMessage() (mesh ownership.MeshID, m ownership.Message, k ownership.Kind, err error) {
	c.allow(c.in.remaining())
	m, k = c.message(&mesh, nil)
	return mesh, m, k, c.err
}

var coders = sync.Pool{New: func() any { return newCoder() }}

// AppendMessage appends a message as it travels to dst. It fails on a message
// that no peer would take; dst is then returned as it was.
func AppendMessage(dst []byte, m ownership.Message) ([]byte, error) {
	c := coders.Get().(*coder)
	defer coders.Put(c)
	c.write(dst)
	var none ownership.MeshID
	c.message(&none, m)
	out := c.out.b
	c.out.b = nil
	if c.err != nil {
		return dst, c.err
	}
	return out, nil
}

// DecodeMessage reads what AppendMessage wrote. The message shares no memory
// with b.
func DecodeMessage(b []byte) (ownership.Message, error) {
	c := coders.Get().(*coder)
	defer coders.Put(c)
	c.read(b)
	_, m, k, err := c.readMessage()
	rest := c.in.remaining()
	c.in = input{}
	switch {
	case err != nil:
		return nil, err
	case rest > 0:
		return nil, fmt.Errorf("%w: %d bytes after the message", errMalformed, rest)
	case m == nil:
		return nil, fmt.Errorf("%w: a message of unknown kind %d", errMalformed, k)
	}
	return m, nil
}
