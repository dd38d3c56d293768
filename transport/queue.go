package transport

import (
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// Limits of what waits for one peer. What is beyond them is lost, oldest first:
// the protocol sends again what still matters, and the newest is what matters.
const (
	maxQueued      = 8192     // messages
	maxQueuedBytes = 16 << 20 // of memory, about
)

// queue holds what waits for one peer, oldest first.
//
// Of the kinds that supersede it keeps the newest one alone, so a peer that is
// away for long costs a few messages, not what they would have been.
type queue struct {
	items []queued
	head  int // items before it are gone
	bytes int
	last  [len(bodies)]int // 1 + the index of the queued message of a kind that supersedes; stale if gone
}

type queued struct {
	envelope ownership.Envelope // without a message: superseded
	since    time.Time
	bytes    int
}

// supersedes tells of which kinds only the newest message matters: each says
// where its sender stands, and the next one says it all again.
var supersedes = [len(bodies)]bool{
	ownership.KindContact:    true,
	ownership.KindJoin:       true,
	ownership.KindDecided:    true, // the highest epoch
	ownership.KindDecidedAck: true,
	ownership.KindAskView:    true,
	ownership.KindRenew:      true,
	ownership.KindRenewAck:   true,
}

func (q *queue) empty() bool { return q.head == len(q.items) }
func (q *queue) len() int    { return len(q.items) - q.head }

// push queues a message and returns how many were lost for it.
func (q *queue) push(e ownership.Envelope, now time.Time) (lost int) {
	k := int(e.Message.Kind())
	if k < len(supersedes) && supersedes[k] {
		if i := q.last[k] - 1; i >= q.head && i < len(q.items) && q.items[i].kind() == k {
			if older(e.Message, q.items[i].envelope.Message) {
				return 0
			}
			q.bytes -= q.items[i].bytes
			q.items[i].envelope.Message, q.items[i].bytes = nil, 0
		}
		q.last[k] = len(q.items) + 1
	}
	n := weight(e.Message)
	q.items = append(q.items, queued{e, now, n})
	q.bytes += n
	for q.len() > maxQueued || q.bytes > maxQueuedBytes && q.len() > 1 {
		lost += q.pop()
	}
	q.compact()
	return lost
}

func (i *queued) kind() int {
	if i.envelope.Message == nil {
		return 0
	}
	return int(i.envelope.Message.Kind())
}

// older tells whether message a says less than b, of the same kind.
func older(a, b ownership.Message) bool {
	x, ok := a.(ownership.Decided)
	if !ok {
		return false
	}
	y, ok := b.(ownership.Decided)
	return ok && x.View != nil && y.View != nil && x.View.Mesh == y.View.Mesh && x.View.Epoch < y.View.Epoch
}

// pop removes the oldest. It returns 1 if that was a message.
func (q *queue) pop() int {
	item := &q.items[q.head]
	n := 1
	if item.envelope.Message == nil {
		n = 0
	}
	q.bytes -= item.bytes
	*item = queued{}
	q.head++
	return n
}

// compact moves the items to the front when as many are gone before them.
func (q *queue) compact() {
	if q.head < 64 || q.head < q.len() {
		return
	}
	n := copy(q.items, q.items[q.head:])
	clear(q.items[n:])
	q.items = q.items[:n]
	for k := range q.last {
		q.last[k] = max(0, q.last[k]-q.head)
	}
	q.head = 0
}

// expire drops what was queued before a time, and returns how many.
func (q *queue) expire(before time.Time) (lost int) {
	for !q.empty() && q.items[q.head].since.Before(before) {
		lost += q.pop()
	}
	if q.empty() {
		q.drop()
	}
	return lost
}

// take moves all messages to dst.
func (q *queue) take(dst []ownership.Envelope) []ownership.Envelope {
	for i := range q.items[q.head:] {
		if e := q.items[q.head+i].envelope; e.Message != nil {
			dst = append(dst, e)
		}
	}
	clear(q.items)
	q.items, q.head, q.bytes = q.items[:0], 0, 0
	if cap(q.items) > 1024 {
		q.items = nil
	}
	return dst
}

// drop forgets all messages and the memory that they took.
func (q *queue) drop() { *q = queue{} }

// weight is about how much memory a message takes. A view is shared by all who
// send or keep it, so it weighs nothing here.
func weight(m ownership.Message) int {
	const message, perItem, perNumber = 384, 80, 8
	n := message
	switch m := m.(type) {
	case ownership.Accept:
		for i := range m.Writes {
			n += perItem + recordWeight(m.Writes[i].Record)
		}
	case ownership.SealAck:
		for _, r := range m.Records {
			n += recordWeight(r)
		}
	case ownership.Install:
		for _, r := range m.Records {
			n += recordWeight(r)
		}
	case ownership.Heartbeat:
		n += perItem * len(m.Items)
	case ownership.HeartbeatAck:
		for i := range m.Items {
			n += perItem + perNumber*(len(m.Items[i].Held)+len(m.Items[i].Contended))
		}
	case ownership.Confirm:
		n += perItem * len(m.Items)
	case ownership.ConfirmAck:
		n += perItem * len(m.Items)
	case ownership.Alter:
		n += len(m.Value)
	case ownership.Report:
		for i := range m.Keys {
			n += keyWeight(&m.Keys[i])
		}
	case ownership.Notice:
		n += perItem * len(m.Items)
	}
	return n
}

const (
	recordSize = 80
	holderSize = 140
	waiterSize = 64
)

func recordWeight(r *ownership.Record) int {
	if r == nil {
		return 0
	}
	n := recordSize + len(r.Key) + valueWeight(r.Value)
	for i := range r.Holders {
		n += holderSize + len(r.Holders[i].Note)
	}
	return n
}

func keyWeight(k *ownership.KeyState) int {
	n := recordSize + len(k.Key) + valueWeight(k.Value)
	for i := range k.Holders {
		n += holderSize + len(k.Holders[i].Note)
	}
	for i := range k.Queue {
		n += waiterSize + len(k.Queue[i].Note)
	}
	return n
}

func valueWeight(v *ownership.Value) int {
	if v == nil {
		return 0
	}
	return 40 + len(v.Data)
}
