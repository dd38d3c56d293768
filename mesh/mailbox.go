package mesh

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/lockmesh/lockmesh/ownership"
	"github.com/lockmesh/lockmesh/transport"
)

// maxReceived bounds the messages that wait for the loop. More are dropped, as
// a network would: the protocol sends again what matters.
const maxReceived = 1 << 16

// maxHints bounds the hints of each kind that wait for the loop: anybody who can
// reach the port causes hints. More are dropped, which a hint bears.
const maxHints = 1 << 10

// mailbox is the only way into the loop. Nobody who puts something in waits.
type mailbox struct {
	wake chan struct{} // cap 1: there is mail

	mu       sync.Mutex // held for moments
	mail     mail
	received int  // messages in mail
	dropped  int  // messages and hints dropped since the last take
	sealed   bool // no further calls
	closed   bool // no further mail

	hinted [transport.HintGarbage + 1]int // hints in mail, by kind
}

// mail is what the loop takes at once: first do, then calls, then in.
type mail struct {
	do    []func()          // run by the loop
	calls []*Lock           // new ones, so that events find them
	in    []ownership.Input // for the core, in order
}

func newMailbox() *mailbox { return &mailbox{wake: make(chan struct{}, 1)} }

// post hands an input to the core. It reports false when the loop has ended.
func (b *mailbox) post(in ownership.Input) bool {
	return b.put(func(m *mail) { m.in = append(m.in, in) })
}

// call hands a Lock call to the loop and its request to the core. It reports
// false when the mailbox is sealed or closed.
func (b *mailbox) call(l *Lock, in ownership.Lock) bool {
	ok := false
	b.put(func(m *mail) {
		if ok = !b.sealed; ok {
			m.calls = append(m.calls, l)
			m.in = append(m.in, in)
		}
	})
	return ok
}

// run makes the loop call f. It reports false when the loop has ended; then f
// is not called. f may also never be called if the loop ends meanwhile.
func (b *mailbox) run(f func()) bool {
	return b.put(func(m *mail) { m.do = append(m.do, f) })
}

// hint makes the loop call f with a hint of the transport, unless too many of
// its kind wait already.
func (b *mailbox) hint(h transport.Hint, f func(transport.Hint)) {
	b.put(func(m *mail) {
		if int(h.Kind) >= len(b.hinted) {
			return // no hint
		}
		if b.hinted[h.Kind] >= maxHints {
			b.dropped++
			return
		}
		b.hinted[h.Kind]++
		m.do = append(m.do, func() { f(h) })
	})
}

// deliver takes a message from the transport. It must be for the NodeID that the
// node has at this moment: an old one is silent (V6).
func (b *mailbox) deliver(r transport.Received, self *atomic.Uint64) {
	b.put(func(m *mail) {
		if r.To != ownership.NodeID(self.Load()) {
			return
		}
		if b.received >= maxReceived {
			b.dropped++
			return
		}
		b.received++
		m.in = append(m.in, ownership.Receive{From: r.From, Mesh: r.Mesh, Message: r.Message})
	})
}

func (b *mailbox) put(add func(*mail)) bool {
	b.mu.Lock()
	closed := b.closed
	if !closed {
		add(&b.mail)
	}
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return !closed
}

// take empties the mailbox. spare is an earlier mail that the loop is done
// with: its memory is used again.
func (b *mailbox) take(spare mail) (m mail, dropped int) {
	clear(spare.do)
	clear(spare.calls)
	clear(spare.in)
	b.mu.Lock()
	m, b.mail = b.mail, mail{spare.do[:0], spare.calls[:0], spare.in[:0]}
	dropped = b.dropped
	b.received, b.dropped = 0, 0
	clear(b.hinted[:])
	b.mu.Unlock()
	return m, dropped
}

// forgetReceived drops the messages that wait: they were for an old NodeID.
func (b *mailbox) forgetReceived() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mail.in = slices.DeleteFunc(b.mail.in, func(in ownership.Input) bool {
		_, is := in.(ownership.Receive)
		return is
	})
	b.received = 0
}

// seal refuses further calls; everything else still comes in.
func (b *mailbox) seal() {
	b.mu.Lock()
	b.sealed = true
	b.mu.Unlock()
}

// close refuses further mail and returns the calls that nobody has taken.
func (b *mailbox) close() []*Lock {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	calls := b.mail.calls
	b.mail = mail{}
	return calls
}
