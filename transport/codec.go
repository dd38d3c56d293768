package transport

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// The files codec*.go are msgpack's one door.

// errMalformed is wrapped by all errors about bytes that are not what they must be.
var errMalformed = errors.New("malformed")

// A coder walks over the fields of a message in the order in which they travel,
// and either writes or reads each. So there is one description of a message, and
// both directions check the same limits: what a peer would refuse never leaves.
//
// The first error stays in err and turns all later calls into nothing. When
// reading, everything starts as its zero value, and a field that is missing
// stays that.
//
// A coder is used by one goroutine at a time, again and again: see write and read.
type coder struct {
	writing bool

	enc *msgpack.Encoder
	out output

	dec    *msgpack.Decoder
	in     input
	left   int // elements not yet read of the innermost open array
	budget int // bytes that lists may still allocate

	// A peer sends the same few names all the time, and a write has its key
	// twice: the last of each is kept, and equal bytes become the same string.
	lastName, lastKey string

	scratch [ownership.KindNotice + 1]any // by kind: a *T for the walks

	err error
}

func newCoder() *coder {
	c := new(coder)
	c.enc = msgpack.NewEncoder(&c.out)
	c.dec = msgpack.NewDecoder(&c.in)
	return c
}

// write makes the coder append to dst. The result is in c.out.b.
func (c *coder) write(dst []byte) {
	c.writing, c.out.b, c.err = true, dst, nil
}

// read makes the coder read from b, as an array of one element.
func (c *coder) read(b []byte) {
	c.writing, c.in, c.err = false, input{b: b}, nil
	c.left = 1
}

// Allocation by lists: a message of n bytes may allocate slack + blowUp*n. In
// every list of today's messages an element takes less than thirteen times in
// memory what it takes on the wire.
const (
	allocSlack  = 4 << 10
	allocBlowUp = 16
)

// allow sets the allocation budget for what n bytes may hold.
func (c *coder) allow(n int) { c.budget = allocSlack + allocBlowUp*n }

func (c *coder) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("%w: "+format, append([]any{errMalformed}, args...)...)
	}
}

func (c *coder) keep(err error) {
	if err != nil {
		c.fail("%v", err)
	}
}

// next tells whether the open array has another element, and takes it.
func (c *coder) next() bool {
	if c.err != nil || c.left == 0 {
		return false
	}
	c.left--
	return true
}

// open begins an array of fields. What it returns is for close.
func (c *coder) open(fields int) (outer int) {
	if c.writing {
		c.arrayHead(fields)
		return 0
	}
	if !c.next() {
		outer, c.left = c.left, 0
		return outer
	}
	n := c.arrayLen()
	outer, c.left = c.left, n
	return outer
}

// close ends an array and skips the fields that a newer sender put at its end.
func (c *coder) close(outer int) {
	if c.writing {
		return
	}
	for c.next() {
		c.skip()
	}
	c.left = outer
}

// arrayHead writes the head of an array.
func (c *coder) arrayHead(n int) {
	if n <= int(msgpcode.FixedArrayMask) {
		c.put(msgpcode.FixedArrayLow | byte(n))
	} else {
		c.keep(c.enc.EncodeArrayLen(n))
	}
}

// put writes what is one byte on the wire: most of what travels is, and is not
// worth the way through msgpack.
func (c *coder) put(code byte) { c.out.b = append(c.out.b, code) }

// arrayLen reads the head of an array. Each element needs a byte at least.
func (c *coder) arrayLen() int {
	code := c.in.peek()
	if !isArray(code) {
		c.fail("an array is due, not code %#x", code)
		return 0
	}
	var n int
	if msgpcode.IsFixedArray(code) { // see put
		c.in.at++
		n = int(code & msgpcode.FixedArrayMask)
	} else {
		var err error
		n, err = c.dec.DecodeArrayLen()
		c.keep(err)
	}
	if c.err == nil && n > c.in.remaining() {
		c.fail("an array of %d elements in %d bytes", n, c.in.remaining())
	}
	if c.err != nil {
		return 0
	}
	return n
}

// list writes or reads a slice of at most most elements. Empty is read as nil.
func list[T any](c *coder, v *[]T, most int, element func(*coder, *T)) {
	if c.writing {
		if len(*v) > most {
			c.fail("a list of %d, more than %d", len(*v), most)
			return
		}
		c.arrayHead(len(*v))
		for i := range *v {
			element(c, &(*v)[i])
		}
		return
	}
	if !c.next() {
		return
	}
	n := c.arrayLen()
	if n == 0 {
		return
	}
	if n > most {
		c.fail("a list of %d, more than %d", n, most)
		return
	}
	if !c.spend(n * int(reflect.TypeFor[T]().Size())) {
		return
	}
	s := make([]T, n)
	outer := c.left
	c.left = n
	for i := range s {
		element(c, &s[i])
	}
	c.left = outer
	*v = s
}

// spend takes n bytes from the allocation budget.
func (c *coder) spend(n int) bool {
	if c.budget -= n; c.budget < 0 {
		c.fail("a message that is small on the wire and huge in memory")
	}
	return c.err == nil
}

// pointer writes or reads what v points to; nil travels as nil.
func pointer[T any](c *coder, v **T, fields func(*coder, *T)) {
	if c.writing {
		if *v == nil {
			c.put(msgpcode.Nil)
		} else {
			fields(c, *v)
		}
		return
	}
	if c.absent() || !c.spend(int(reflect.TypeFor[T]().Size())) {
		return
	}
	*v = new(T)
	fields(c, *v)
}

// optional writes or reads a value that is mostly zero, and then travels as nil.
func optional[T comparable](c *coder, v *T, fields func(*coder, *T)) {
	if c.writing {
		var zero T
		if *v == zero {
			c.put(msgpcode.Nil)
		} else {
			fields(c, v)
		}
		return
	}
	if !c.absent() {
		fields(c, v)
	}
}

// absent tells whether the next element is missing or nil, and then takes it.
func (c *coder) absent() bool {
	if c.err != nil || c.left == 0 {
		return true
	}
	if c.in.peek() != msgpcode.Nil {
		return false
	}
	c.left--
	c.in.at++
	return true
}

// unsigned writes or reads a number that fits its type.
func unsigned[T ~uint8 | ~uint16 | ~uint32 | ~uint64](c *coder, v *T) {
	if c.writing {
		if n := uint64(*v); n <= fixedNumber {
			c.put(byte(n))
		} else {
			c.keep(c.enc.EncodeUint(n))
		}
		return
	}
	if !c.next() {
		return
	}
	code := c.in.peek()
	if code <= fixedNumber { // see put
		c.in.at++
		*v = T(code)
		return
	}
	if !isUnsigned(code) {
		c.fail("an unsigned number is due, not code %#x", code)
		return
	}
	c.in.at++
	n := c.length(1 << (code - msgpcode.Uint8))
	if n > uint64(^T(0)) {
		c.fail("%d does not fit its field", n)
		return
	}
	*v = T(n)
}

// whole writes or reads a count from 0 to most.
func whole(c *coder, v *int, most int) {
	n := uint64(*v)
	if c.writing && (*v < 0 || *v > most) {
		c.fail("%d is not in 0 to %d", *v, most)
		return
	}
	unsigned(c, &n)
	if n > uint64(most) {
		c.fail("%d is not in 0 to %d", n, most)
		return
	}
	if !c.writing {
		*v = int(n)
	}
}

// maxDuration is above all that travels: the longest is a lease wait (T6), of
// little more than a day. It keeps sums of a time and durations from overflowing.
const maxDuration = 7 * 24 * time.Hour

// duration writes or reads a duration from 0 to maxDuration.
func duration(c *coder, v *time.Duration) { durationTo(c, v, maxDuration) }

// elapsed is a duration without an upper bound, for people: nobody adds it to a time.
func elapsed(c *coder, v *time.Duration) { durationTo(c, v, math.MaxInt64) }

func durationTo(c *coder, v *time.Duration, most time.Duration) {
	n := uint64(*v)
	if c.writing && (*v < 0 || *v > most) {
		c.fail("a duration of %v", *v)
		return
	}
	unsigned(c, &n)
	if n > uint64(most) {
		c.fail("a duration of %d ns", n)
		return
	}
	if !c.writing {
		*v = time.Duration(n)
	}
}

// signed writes or reads a number of either sign.
func signed[T ~int64](c *coder, v *T) {
	if *v >= 0 && c.writing {
		n := uint64(*v)
		unsigned(c, &n)
		return
	}
	if c.writing {
		c.keep(c.enc.EncodeInt(int64(*v)))
		return
	}
	if isUnsigned(c.in.peek()) { // DecodeInt64 would wrap the largest around
		var n uint64
		if unsigned(c, &n); n > math.MaxInt64 {
			c.fail("%d does not fit its field", n)
			return
		}
		*v = T(n)
		return
	}
	if !c.next() {
		return
	}
	switch code := c.in.peek(); {
	case isSigned(code):
		n, err := c.dec.DecodeInt64()
		c.keep(err)
		*v = T(n)
	default:
		c.fail("a number is due, not code %#x", code)
	}
}

func boolean(c *coder, v *bool) {
	if c.writing {
		code := msgpcode.False
		if *v {
			code = msgpcode.True
		}
		c.put(code)
		return
	}
	if !c.next() {
		return
	}
	switch code := c.in.peek(); code {
	case msgpcode.True, msgpcode.False: // DecodeBool would also take nil
		c.in.at++
		*v = code == msgpcode.True
	default:
		c.fail("true or false is due, not code %#x", code)
	}
}

// text writes or reads a string of at most most bytes.
func text(c *coder, v *string, most int) { str(c, v, most, nil) }

// name is text for what one peer sends again and again.
func name(c *coder, v *string, most int) { str(c, v, most, &c.lastName) }

func str(c *coder, v *string, most int, last *string) {
	if c.writing {
		if len(*v) > most {
			c.fail("a string of %d bytes, more than %d", len(*v), most)
			return
		}
		if n := len(*v); n <= int(msgpcode.FixedStrMask) { // see put
			c.out.b = append(append(c.out.b, msgpcode.FixedStrLow|byte(n)), *v...)
		} else {
			c.keep(c.enc.EncodeString(*v))
		}
		return
	}
	if !c.next() {
		return
	}
	b := c.bytes(most)
	if last == nil {
		*v = string(b)
		return
	}
	if *last != string(b) { // compares without a copy
		*last = string(b)
	}
	*v = *last
}

// data writes or reads at most most bytes. Unlike a list, an empty one is not read
// as nil: nil travels as nil, so a value that is empty stays one that is there.
func data(c *coder, v *[]byte, most int) {
	if c.writing {
		if len(*v) > most {
			c.fail("%d bytes, more than %d", len(*v), most)
			return
		}
		c.keep(c.enc.EncodeBytes(*v))
		return
	}
	if c.absent() || !c.next() {
		return
	}
	if !isBinary(c.in.peek()) {
		c.fail("bytes are due, not code %#x", c.in.peek())
		return
	}
	if b := c.sized(most); c.err == nil {
		*v = append([]byte{}, b...)
	}
}

// bytes returns the next string without a copy.
func (c *coder) bytes(most int) []byte {
	if !isString(c.in.peek()) {
		c.fail("a string is due, not code %#x", c.in.peek())
		return nil
	}
	return c.sized(most)
}

// sized returns the bytes of the next string or binary without a copy. Msgpack's
// own way is not used: it copies before anybody can look at the length.
func (c *coder) sized(most int) []byte {
	var n int
	if code := c.in.peek(); msgpcode.IsFixedString(code) { // see put
		c.in.at++
		n = int(code & msgpcode.FixedStrMask)
	} else {
		var err error
		n, err = c.dec.DecodeBytesLen()
		c.keep(err)
	}
	if c.err == nil && (n > most || n > c.in.remaining()) {
		c.fail("%d bytes, of %d that are left and %d allowed", n, c.in.remaining(), most)
	}
	if c.err != nil {
		return nil
	}
	return c.in.take(n)
}
