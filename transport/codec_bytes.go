package transport

import (
	"encoding/binary"
	"io"

	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// output is what the encoder writes to. It never fails.
type output struct{ b []byte }

func (o *output) Write(p []byte) (int, error) {
	o.b = append(o.b, p...)
	return len(p), nil
}

func (o *output) WriteByte(x byte) error {
	o.b = append(o.b, x)
	return nil
}

// input is what the decoder reads from. It is an io.ByteScanner, or the decoder
// would put a buffer of its own around it and lose the place.
type input struct {
	b  []byte
	at int
}

func (in *input) remaining() int { return len(in.b) - in.at }

// peek returns the next byte, at the end the one that msgpack never uses.
func (in *input) peek() byte {
	if in.at == len(in.b) {
		return neverUsed
	}
	return in.b[in.at]
}

// take returns the next n bytes, which must be there.
func (in *input) take(n int) []byte {
	in.at += n
	return in.b[in.at-n : in.at]
}

func (in *input) Read(p []byte) (int, error) {
	if in.at == len(in.b) {
		return 0, io.EOF
	}
	n := copy(p, in.b[in.at:])
	in.at += n
	return n, nil
}

func (in *input) ReadByte() (byte, error) {
	if in.at == len(in.b) {
		return 0, io.EOF
	}
	in.at++
	return in.b[in.at-1], nil
}

func (in *input) UnreadByte() error {
	in.at--
	return nil
}

// Of msgpack's codes, as constants.
const (
	fixedNumber = 0x7f // and less: the code is the number
	neverUsed   = 0xc1
)

func isArray(c byte) bool {
	return msgpcode.IsFixedArray(c) || c == msgpcode.Array16 || c == msgpcode.Array32
}

func isString(c byte) bool {
	return msgpcode.IsFixedString(c) || c == msgpcode.Str8 || c == msgpcode.Str16 || c == msgpcode.Str32
}

func isBinary(c byte) bool {
	return c == msgpcode.Bin8 || c == msgpcode.Bin16 || c == msgpcode.Bin32
}

func isUnsigned(c byte) bool {
	return c <= fixedNumber || c >= msgpcode.Uint8 && c <= msgpcode.Uint64
}

func isSigned(c byte) bool {
	return c >= msgpcode.NegFixedNumLow || c >= msgpcode.Int8 && c <= msgpcode.Int64
}

// skip passes over one value of any type. It counts the values that are still to
// come instead of calling itself, so deep nesting costs no stack, and msgpack's
// own Skip, which recurses and copies, is not used.
func (c *coder) skip() {
	for values := 1; values > 0 && c.err == nil; values-- {
		bytes, inner := c.measure()
		if c.err != nil {
			return
		}
		if bytes > uint64(c.in.remaining()) || inner > uint64(c.in.remaining()) {
			c.fail("a value that goes beyond the end")
			return
		}
		c.in.at += int(bytes)
		values += int(inner)
	}
}

// measure takes the head of a value. It returns how many bytes follow that are
// the value's own, and how many values it holds.
func (c *coder) measure() (bytes, inner uint64) {
	code := c.in.peek()
	if code == neverUsed {
		c.fail("no value")
		return 0, 0
	}
	c.in.at++
	switch {
	case code <= msgpcode.PosFixedNumHigh || code >= msgpcode.NegFixedNumLow:
		return 0, 0
	case msgpcode.IsFixedMap(code):
		return 0, 2 * uint64(code&msgpcode.FixedMapMask)
	case msgpcode.IsFixedArray(code):
		return 0, uint64(code & msgpcode.FixedArrayMask)
	case msgpcode.IsFixedString(code):
		return uint64(code & msgpcode.FixedStrMask), 0
	}
	switch code {
	case msgpcode.Nil, msgpcode.False, msgpcode.True:
		return 0, 0
	case msgpcode.Uint8, msgpcode.Int8:
		return 1, 0
	case msgpcode.Uint16, msgpcode.Int16:
		return 2, 0
	case msgpcode.Uint32, msgpcode.Int32, msgpcode.Float:
		return 4, 0
	case msgpcode.Uint64, msgpcode.Int64, msgpcode.Double:
		return 8, 0
	case msgpcode.Str8, msgpcode.Bin8:
		return c.length(1), 0
	case msgpcode.Str16, msgpcode.Bin16:
		return c.length(2), 0
	case msgpcode.Str32, msgpcode.Bin32:
		return c.length(4), 0
	case msgpcode.Array16:
		return 0, c.length(2)
	case msgpcode.Array32:
		return 0, c.length(4)
	case msgpcode.Map16:
		return 0, 2 * c.length(2)
	case msgpcode.Map32:
		return 0, 2 * c.length(4)
	case msgpcode.FixExt1, msgpcode.FixExt2, msgpcode.FixExt4, msgpcode.FixExt8, msgpcode.FixExt16:
		return 1 + 1<<(code-msgpcode.FixExt1), 0
	case msgpcode.Ext8:
		return 1 + c.length(1), 0
	case msgpcode.Ext16:
		return 1 + c.length(2), 0
	case msgpcode.Ext32:
		return 1 + c.length(4), 0
	}
	c.fail("code %#x", code)
	return 0, 0
}

// length takes a length of size bytes.
func (c *coder) length(size int) uint64 {
	if c.in.remaining() < size {
		c.fail("cut off")
		return 0
	}
	b := c.in.take(size)
	switch size {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.BigEndian.Uint16(b))
	case 4:
		return uint64(binary.BigEndian.Uint32(b))
	}
	return binary.BigEndian.Uint64(b)
}
