package transport

import (
	"bufio"
	"bytes"
	"io"
	"math/rand/v2"
	"reflect"
	"testing"
	"testing/iotest"

	"github.com/lockmesh/lockmesh/ownership"
)

// seedMessages are some of every kind, and some that lie.
func seedMessages(f *testing.F) (seeds [][]byte) {
	r := rand.New(rand.NewPCG(3, 1))
	for _, sample := range everyKind {
		for range 2 {
			seeds = append(seeds, encode(f, newMessage(r, sample)))
		}
	}
	for _, m := range []ownership.Message{
		ownership.Alter{What: ownership.AlterValue, Value: []byte{}},
		ownership.Alter{What: ownership.AlterMode, Mode: ownership.ForUpdate},
		ownership.Query{Page: true},
		ownership.Report{Keys: []ownership.KeyState{{Key: "k", Value: &ownership.Value{Data: []byte{}}}}},
	} {
		seeds = append(seeds, encode(f, m))
	}
	return append(seeds,
		[]byte{0x93, 0xcc, 250, 0, 0x91, 0x81, 1, 2}, // a kind to come
		[]byte{0x93, byte(ownership.KindAlter), 0, 0x98, 0x92, 1, 2, 3, 4, 5, 6, 2, 0x92, 9, 8, 0xc6, 0xff, 0xff, 0xff, 0xff},
		[]byte{0x93, byte(ownership.KindReport), 0, 0x97, 1, 2, 3, 4, 3, 0, 0xdd, 0, 1, 0, 0, 0x90},
		[]byte{0x93, byte(ownership.KindConfirm), 0, 0x91, 0xdd, 0xff, 0xff, 0xff, 0xff},
		[]byte{0x94, byte(ownership.KindAskView), 0, 0x91, 1, 0xc9, 0xff, 0xff, 0xff, 0xff},
	)
}

func FuzzDecodeMessage(f *testing.F) {
	for _, b := range seedMessages(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := DecodeMessage(b)
		if err != nil {
			return
		}
		again, err := AppendMessage(nil, m)
		if err != nil {
			t.Fatalf("%#v arrived and cannot be sent: %v", m, err)
		}
		got, err := DecodeMessage(again)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Fatalf("%#v became %#v, %v", m, got, err)
		}
	})
}

// seedFrames are frames with their length.
func seedFrames(f *testing.F) (seeds [][]byte) {
	r := rand.New(rand.NewPCG(3, 2))
	c := newCoder()
	var all []ownership.Envelope
	for _, sample := range everyKind {
		e := ownership.Envelope{Mesh: 7, Message: newMessage(r, sample)}
		all = append(all, e)
		frame, _ := c.appendFrames(nil, []ownership.Envelope{e, e}, nil)
		seeds = append(seeds, frame)
	}
	frame, _ := c.appendFrames(nil, all, nil)
	beat, _ := c.appendFrames(nil, nil, nil)
	return append(seeds, frame, beat, append(bytes.Clone(beat), frame...))
}

func FuzzFrame(f *testing.F) {
	for _, b := range seedFrames(f) {
		f.Add(b[lengthBytes:])
	}
	c := newCoder()
	f.Fuzz(func(t *testing.T, b []byte) {
		var got []ownership.Envelope
		err := c.readFrame(b,
			func(mesh ownership.MeshID, m ownership.Message) {
				got = append(got, ownership.Envelope{Mesh: mesh, Message: m})
			},
			func(ownership.Kind) {})
		if err != nil {
			return
		}
		frames := newCoder()
		for rest := got; len(rest) > 0; {
			var out []byte
			out, rest = frames.appendFrames(nil, rest, func(e ownership.Envelope, err error) {
				t.Fatalf("%#v arrived and cannot be sent: %v", e.Message, err)
			})
			r := frameReader{r: bufio.NewReaderSize(bytes.NewReader(out), readBuffer)}
			for {
				if _, err := r.next(); err == io.EOF {
					break
				} else if err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

func FuzzGreeting(f *testing.F) {
	for _, g := range []greeting{
		{version: 1, oldest: 1, cluster: "lockmesh", from: 1 << 63, name: "a", to: 2, dial: 1},
		{version: 9, oldest: 7, from: 1, verdict: verdictCluster, reason: "other"},
		{},
	} {
		b, err := appendGreeting(nil, g)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := readGreeting(bytes.NewReader(b), b[:0])
		if err != nil {
			return
		}
		again, err := appendGreeting(nil, g)
		if err != nil {
			t.Fatalf("%+v arrived and cannot be sent: %v", g, err)
		}
		if got, err := readGreeting(bytes.NewReader(again[1:]), again[:1]); err != nil || got != g {
			t.Fatalf("%+v became %+v, %v", g, got, err)
		}
	})
}

// A stream is cut into the same frames however its bytes arrive.
func FuzzStream(f *testing.F) {
	for _, b := range seedFrames(f) {
		f.Add(b)
	}
	f.Add([]byte{0, 0x40, 0, 0, 1})          // longer than what comes
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1}) // too long
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 1, 1}) // empty
	f.Fuzz(func(t *testing.T, b []byte) {
		cut := func(r io.Reader) (frames [][]byte, err error) {
			fr := frameReader{r: bufio.NewReaderSize(r, readBuffer)}
			for {
				frame, err := fr.next()
				if err != nil {
					return frames, err
				}
				frames = append(frames, bytes.Clone(frame))
			}
		}
		whole, err1 := cut(bytes.NewReader(b))
		slow, err2 := cut(iotest.OneByteReader(bytes.NewReader(b)))
		if !reflect.DeepEqual(whole, slow) || (err1 == io.EOF) != (err2 == io.EOF) {
			t.Fatalf("%d frames and %v, by bytes %d and %v", len(whole), err1, len(slow), err2)
		}
	})
}
