package mesh

import (
	"context"
	"fmt"
	"iter"

	"github.com/lockmesh/lockmesh/ownership"
)

// Watch yields the present state of a key, and then each new one: who holds it,
// who waits, its value. Changes are pushed by the key's owner. A loop that is slow
// gets the newest state and misses those before; it keeps nobody waiting. What
// counts down (Remaining, Waited) is no change. Who must know that a call of its own is
// in line waits here until Waiting says so.
//
// It goes on over changes of the mesh; while the owner cannot be reached nothing
// comes. It ends when the loop is left, or by yielding an error: when ctx is over
// (ctx.Err(), and ErrUnavailable if the owner could not be reached at the end),
// ErrClosed, or ErrInvalid for the key. Each range over it is a watch of its own.
func (n *Node) Watch(ctx context.Context, key string) iter.Seq2[KeyState, error] {
	return func(yield func(KeyState, error) bool) {
		fail := func(err error) { yield(KeyState{}, &Error{"Watch", key, err}) }
		if wrong := checkKey(key); wrong != "" {
			fail(invalid(wrong))
			return
		}
		q := n.newLook(key)
		q.watch = true
		if err := n.look(q, ownership.Look{Handle: q.handle, Key: key, Watch: true}); err != nil {
			fail(err)
			return
		}
		defer n.unlook(q)
		for seen := false; ; seen = true {
			if ctx.Err() != nil { // before a state that is there too
				fail(n.unwatched(ctx, q, seen))
				return
			}
			a, err := n.next(ctx, q)
			switch {
			case err != nil && ctx.Err() != nil:
				fail(n.unwatched(ctx, q, seen))
				return
			case err != nil:
				fail(err)
				return
			case len(a.looked.Keys) == 1 && !yield(n.keyState(a), nil):
				return
			}
		}
	}
}

// unwatched is the error of a watch whose ctx is over.
func (n *Node) unwatched(ctx context.Context, q *look, seen bool) error {
	if seen && q.pending.Load() == nil {
		return ended(ctx, nil, "")
	}
	return n.unanswered(ctx, q)
}

// Locks yields every key that somebody holds, anywhere in the mesh, in no order
// that means anything, and those that are closed for a [Delay]; keys that only have
// a value are left out. A [Lease] is held as a lock too, under the key "\x00lease/"
// and its ID. It asks the owner of each partition for a page at a time, so it is no
// picture of one moment: what each yields was true when its owner answered. A key
// that is held from before the call until its end is yielded once.
//
// It yields an error, and ends, when ctx is over before all partitions have
// answered: it is then ErrUnavailable as well as ctx.Err(), and says how many have
// not and why the first of them. Those that did answer have been yielded before.
// The error is ErrClosed if the node is.
func (n *Node) Locks(ctx context.Context) iter.Seq2[KeyState, error] {
	return func(yield func(KeyState, error) bool) {
		l := lister{n: n, open: map[*look]bool{}, answers: make(chan answer, n.cfg.Params.Partitions)}
		defer l.end()
		if err := l.run(ctx, yield); err != nil {
			yield(KeyState{}, &Error{"Locks", "", err})
		}
	}
}

// lister is one run of Locks: of each partition that is not done it has asked for
// one page.
type lister struct {
	n       *Node
	open    map[*look]bool
	answers chan answer // of all of them: one of each, so there is room
}

// run returns nil at the end, or when yield wants no more.
func (l *lister) run(ctx context.Context, yield func(KeyState, error) bool) error {
	if ctx.Err() != nil {
		return ended(ctx, ErrUnavailable, "ended before it was asked for")
	}
	for p := range l.n.cfg.Params.Partitions {
		if err := l.ask(p, ""); err != nil {
			return err
		}
	}
	for len(l.open) > 0 {
		var a answer
		select {
		case a = <-l.answers:
		case <-ctx.Done():
			return l.incomplete(ctx)
		case <-l.n.loop.ended:
			return ErrClosed
		}
		delete(l.open, a.of)
		if a.err != nil {
			return a.err
		}
		keys := l.n.keyStates(a)
		if a.looked.More && len(keys) > 0 {
			if err := l.ask(a.of.partition, keys[len(keys)-1].Key); err != nil {
				return err
			}
		}
		for _, k := range keys {
			if len(k.Holders) > 0 && !yield(k, nil) {
				return nil
			}
		}
	}
	return nil
}

// ask asks for the keys of a partition that come after this one.
func (l *lister) ask(partition int, after string) error {
	q := &look{handle: l.n.handle(), partition: partition, answers: l.answers}
	err := l.n.look(q, ownership.Look{Handle: q.handle, Page: true, Partition: ownership.Partition(partition), Key: after})
	if err == nil {
		l.open[q] = true
	}
	return err
}

// incomplete is the error of a Locks whose ctx is over.
func (l *lister) incomplete(ctx context.Context) error {
	var first *look
	for q := range l.open {
		if first == nil || q.partition < first.partition {
			first = q
		}
	}
	why := fmt.Sprintf("%d of %d partitions have not been listed to their end: ", len(l.open), l.n.cfg.Params.Partitions)
	return ended(ctx, ErrUnavailable, why+l.n.openText(first))
}

func (l *lister) end() {
	for q := range l.open {
		l.n.unlook(q)
	}
}
