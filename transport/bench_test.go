package transport

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// typical are the messages of which there are most, as a fleet sends them.
func typical() []ownership.Message {
	const key, name = "orders/2026/0042", "node-7"
	request := ownership.RequestID{Client: 1 << 63, Seq: 70_000}
	token := ownership.Token(1_790_000_000<<32 | 77)
	heartbeat := ownership.Heartbeat{Client: 1 << 63, Sent: 1 << 50}
	for p := range 20 {
		heartbeat.Items = append(heartbeat.Items, ownership.HeartbeatItem{
			Partition: ownership.Partition(p), Term: 1_790_000_000, Lease: 1, TTL: 15 * time.Second, Beat: 1000, Count: 50, Xor: 1 << 63,
		})
	}
	return []ownership.Message{
		ownership.Acquire{Request: request, Low: 69_990, Partition: 7, Term: 1_790_000_000, Key: key, Lease: 1, TTL: 15 * time.Second, Sent: 1 << 50, Name: name},
		ownership.Answer{Request: request, Partition: 7, Term: 1_790_000_000, Outcome: ownership.OutcomeGranted, Token: token, Echo: 1 << 50},
		ownership.Accept{Partition: 7, Term: 1_790_000_000, First: 12345, Writes: []ownership.Write{{
			Key: key, Record: &ownership.Record{Key: key, Holders: []ownership.Holder{{Request: request, Token: token, Lease: 1, TTL: 15 * time.Second, Name: name, Since: 1_790_000_000_000}}},
		}}},
		ownership.AcceptAck{Partition: 7, Term: 1_790_000_000, OK: true, Promised: 1_790_000_000, Installed: 1_790_000_000, Last: 12345},
		heartbeat,
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, m := range typical() {
		b.Run(fmt.Sprintf("%T", m)[len("ownership."):], func(b *testing.B) {
			c := newCoder()
			buf := make([]byte, 0, 4096)
			mesh := ownership.MeshID(1 << 63)
			b.ReportAllocs()
			for b.Loop() {
				c.write(buf)
				c.message(&mesh, m)
			}
			b.ReportMetric(float64(len(c.out.b)), "B/message")
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, m := range typical() {
		b.Run(fmt.Sprintf("%T", m)[len("ownership."):], func(b *testing.B) {
			c := newCoder()
			encoded := encode(b, m)
			b.ReportAllocs()
			for b.Loop() {
				c.read(encoded)
				if _, _, _, err := c.readMessage(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRoundTrip is one message there and one back over loopback.
func BenchmarkRoundTrip(b *testing.B) {
	b.Run("Transport", func(b *testing.B) {
		x, y := listen(b), listen(b)
		back := make(chan struct{}, 1)
		answer := ownership.AcceptAck{OK: true, Last: 1}
		if err := y.Start(node(2), func(Received) { y.Send(ownership.Envelope{To: 1, Message: answer}) }, func(Hint) {}); err != nil {
			b.Fatal(err)
		}
		if err := x.Start(node(1), func(Received) { back <- struct{}{} }, func(Hint) {}); err != nil {
			b.Fatal(err)
		}
		x.Learn(2, y.Addr().String())
		request := typical()[2]
		b.ReportAllocs()
		for b.Loop() {
			x.Send(ownership.Envelope{To: 2, Message: request})
			<-back
		}
	})
	b.Run("RawTCP", func(b *testing.B) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer l.Close()
		go func() {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			defer nc.Close()
			io.Copy(struct{ io.Writer }{nc}, struct{ io.Reader }{nc}) // no splice
		}()
		nc, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		defer nc.Close()
		buf := make([]byte, 100)
		for b.Loop() {
			if _, err := nc.Write(buf); err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(nc, buf); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkThroughput sends as fast as the other side takes, a window at a time.
func BenchmarkThroughput(b *testing.B) {
	x, y := listen(b), listen(b)
	const window = 1000
	got := make(chan struct{}, window)
	if err := y.Start(node(2), func(Received) { got <- struct{}{} }, func(Hint) {}); err != nil {
		b.Fatal(err)
	}
	if err := x.Start(node(1), func(Received) {}, func(Hint) {}); err != nil {
		b.Fatal(err)
	}
	x.Learn(2, y.Addr().String())
	request := typical()[2]
	under := 0
	b.ReportAllocs()
	for b.Loop() {
		if under == window {
			<-got
			under--
		}
		x.Send(ownership.Envelope{To: 2, Message: request})
		under++
	}
	for ; under > 0; under-- {
		<-got
	}
}
