package simtest

import (
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// event is one thing that will happen: a message arrives, a node's timer is due,
// gossip has news, or a call of the play.
type event struct {
	kind   eventKind
	copied bool // of a message: a duplicate
	to     *Node
	from   *Node
	id     ownership.NodeID // of a message: the receiver's when it was sent
	sender ownership.NodeID
	mesh   ownership.MeshID
	sent   time.Duration
	msg    ownership.Message
	call   func()
}

type eventKind uint8

const (
	timerDue eventKind = iota
	messageArrives
	gossipNews
	callDue
)

// queue is a heap of events by time, and by order of posting at one time. The
// heap holds 16 bytes an event and has four children to a node, since it is the
// simulator's busiest structure; the events lie still in slots.
type queue struct {
	heap  []entry
	slots []event
	free  []uint32
	order uint32
}

type entry struct {
	at    time.Duration
	order uint32 // differences count, so that it may wrap
	slot  uint32
}

func (a entry) before(b entry) bool {
	return a.at < b.at || a.at == b.at && int32(a.order-b.order) < 0
}

func (q *queue) len() int { return len(q.heap) }

// next is when the first event is due; there must be one.
func (q *queue) next() time.Duration { return q.heap[0].at }

func (q *queue) push(at time.Duration, e event) {
	var slot uint32
	if n := len(q.free); n > 0 {
		slot = q.free[n-1]
		q.free = q.free[:n-1]
		q.slots[slot] = e
	} else {
		slot = uint32(len(q.slots))
		q.slots = append(q.slots, e)
	}
	q.order++
	x := entry{at, q.order, slot}
	q.heap = append(q.heap, x)
	i := len(q.heap) - 1
	for i > 0 {
		up := (i - 1) / 4
		if !x.before(q.heap[up]) {
			break
		}
		q.heap[i] = q.heap[up]
		i = up
	}
	q.heap[i] = x
}

func (q *queue) pop() (time.Duration, event) {
	top := q.heap[0]
	e := q.slots[top.slot]
	q.slots[top.slot] = event{}
	q.free = append(q.free, top.slot)
	n := len(q.heap) - 1
	x := q.heap[n]
	q.heap = q.heap[:n]
	if n > 0 {
		q.sink(x)
	}
	return top.at, e
}

func (q *queue) sink(x entry) {
	h, i := q.heap, 0
	for {
		least := 4*i + 1
		if least >= len(h) {
			break
		}
		for c := least + 1; c < min(4*i+5, len(h)); c++ {
			if h[c].before(h[least]) {
				least = c
			}
		}
		if !h[least].before(x) {
			break
		}
		h[i] = h[least]
		i = least
	}
	h[i] = x
}
