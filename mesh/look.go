package mesh

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// look is a question to an owner that is open: a Look or an Evict of the core.
type look struct {
	handle    ownership.Handle
	partition int
	watch     bool                              // answered again and again, else once
	evict     bool                              // an Evict
	answers   chan answer                       // has room: of a watch it holds the newest alone
	pending   atomic.Pointer[ownership.Pending] // why there is no answer; nil if that is not known
}

// answer is what came of a look.
type answer struct {
	of      *look
	looked  ownership.Looked
	evicted ownership.Evicted
	read    time.Time // when it came
	err     error     // not nil: it is over
}

// put hands an answer over. Who is slow to take those of a watch misses the older
// ones. The loop alone calls it, so there is room.
func (q *look) put(a answer) {
	a.of = q
	if q.watch {
		select {
		case <-q.answers:
		default:
		}
	}
	q.answers <- a
}

// onLooked is called by the loop.
func (q *look) onLooked(l *loop, e ownership.Looked) {
	q.pending.Store(nil)
	a := answer{looked: e, read: l.n.env.Clock.Wall()}
	if q.watch {
		q.put(a)
		return
	}
	l.endLook(q.handle, a)
}

// end is the input that ends it before the core does.
func (q *look) end() ownership.Input {
	if q.evict {
		return ownership.Unlock{Handle: q.handle}
	}
	return ownership.Unlook{Handle: q.handle}
}

// newLook prepares a question about a key.
func (n *Node) newLook(key string) *look {
	return &look{handle: n.handle(), partition: n.partition(key), answers: make(chan answer, 1)}
}

// look hands a question to the core: in has its handle.
func (n *Node) look(q *look, in ownership.Input) error {
	if n.closing.Load() {
		return ErrClosed
	}
	if !n.mail.run(func() {
		n.loop.looks[q.handle] = q
		n.loop.again = append(n.loop.again, in)
	}) {
		return ErrClosed
	}
	return nil
}

// unlook ends a look whose caller has gone. It is fine if it is over.
func (n *Node) unlook(q *look) {
	n.mail.run(func() {
		if n.loop.looks[q.handle] != nil {
			delete(n.loop.looks, q.handle)
			n.loop.again = append(n.loop.again, q.end())
		}
	})
}

// next waits for the next answer to a look. The error is ctx's, ErrUnavailable if
// something is known to be in the way, ErrClosed, or ErrInvalid.
func (n *Node) next(ctx context.Context, q *look) (answer, error) {
	var a answer
	select {
	case a = <-q.answers:
		return a, a.err
	default:
	}
	select {
	case a = <-q.answers:
	case <-ctx.Done():
		return a, n.unanswered(ctx, q)
	case <-n.loop.ended:
		select {
		case a = <-q.answers:
		default: // it came too late for the loop
			a.err = ErrClosed
		}
	}
	return a, a.err
}

// unanswered is the error of a call that looks and whose ctx is over.
func (n *Node) unanswered(ctx context.Context, q *look) error {
	return ended(ctx, ErrUnavailable, n.openText(q))
}

// openText says in words why a look has no answer.
func (n *Node) openText(q *look) string {
	var last ownership.Pending
	if p := q.pending.Load(); p != nil {
		last = *p
	}
	return n.pendingText(q.partition, last)
}

// lookAt asks once for a key's state.
func (n *Node) lookAt(ctx context.Context, key string) (answer, error) {
	if wrong := checkKey(key); wrong != "" {
		return answer{}, invalid(wrong)
	}
	if ctx.Err() != nil {
		return answer{}, ended(ctx, ErrUnavailable, "ended before it was asked for")
	}
	q := n.newLook(key)
	if err := n.look(q, ownership.Look{Handle: q.handle, Key: key}); err != nil {
		return answer{}, err
	}
	a, err := n.next(ctx, q)
	if err != nil {
		n.unlook(q)
		return a, err
	}
	if len(a.looked.Keys) != 1 {
		err = because("its owner's answer was empty", ErrUnavailable)
	}
	return a, err
}
