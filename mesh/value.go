package mesh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// Value is what a holder of a key has left there for others to read. It stays when
// the key is free, and until it is written again or deleted; like everything in a
// mesh it is in memory alone.
type Value struct {
	// Data is a copy, the caller's own; nil if the key has no value.
	Data []byte

	// Token is the fencing token of the lock under which it was written: never 0,
	// unless the key has no value.
	Token uint64

	// Stale says that it may not be the last one that was written: more replicas of
	// its partition were lost at once than it can bear, and this is what was found.
	// It says so until it is written again.
	Stale bool
}

// Value reads the value of a key, whoever holds it. The answer is linearizable: a
// write that was confirmed before the call is seen. A key without a value, never
// written or deleted, is the zero Value and no error.
//
// When ctx ends first, the error is ErrUnavailable as well as ctx.Err(). Other
// errors: ErrInvalid (a key of 0 or more than 512 bytes), ErrClosed.
func (n *Node) Value(ctx context.Context, key string) (Value, error) {
	a, err := n.lookAt(ctx, key)
	if err != nil {
		return Value{}, &Error{"Value", key, err}
	}
	return valueOf(a.looked.Keys[0].Value), nil
}

func valueOf(v *ownership.Value) Value {
	if v == nil {
		return Value{}
	}
	return Value{append([]byte{}, v.Data...), uint64(v.Token), v.Stale}
}

// SetValue writes the value of the key, for anybody to read: see [Node.Value]. v
// has at most 4096 bytes and is copied; an empty one is a value. Only who holds all
// of the key writes it: an exclusive lock, or all permits of a semaphore. It
// returns when the owner has confirmed the write, and that this lock held the key
// then. The calls of one lock are carried out one after the other, so this one waits
// for an [Lock.Upgrade] under way: give that one up first, by its ctx.
//
// A lock that does not hold the key, or not all of it, is ErrNotHolder: nothing was
// written, and the text says who holds it now. If the lock had ended, the error is
// ErrLost or ErrReleased as well. A v that is nil or too long is ErrInvalid.
//
// When ctx ends first, the error is ErrUnavailable as well as ctx.Err(); when the
// lock ends first, ErrUnavailable as well as ErrLost or ErrReleased. The write may
// then have happened, or not; it does not happen after a later one of this lock.
func (l *Lock) SetValue(ctx context.Context, v []byte) error {
	if wrong := checkValue(v); wrong != "" {
		if v == nil {
			wrong += "; DeleteValue deletes it"
		}
		return &Error{"SetValue", l.key, invalid(wrong)}
	}
	if err := l.write(ctx, ownership.AlterValue, bytes.Clone(v)); err != nil {
		return &Error{"SetValue", l.key, err}
	}
	return nil
}

// DeleteValue deletes the value of the key: [Node.Value] is then the zero Value.
// Everything else is as with SetValue. That there is none is no error.
func (l *Lock) DeleteValue(ctx context.Context) error {
	if err := l.write(ctx, ownership.AlterNoValue, nil); err != nil {
		return &Error{"DeleteValue", l.key, err}
	}
	return nil
}

// checkValue says what is wrong with a value, "" if nothing is.
func checkValue(v []byte) string {
	switch {
	case v == nil:
		return "the value is nil; an empty one is []byte{}"
	case len(v) > maxValueBytes:
		return fmt.Sprintf("the value has %d bytes; a value has at most %d: keep a larger one elsewhere, and its address here", len(v), maxValueBytes)
	}
	return ""
}

func (l *Lock) write(ctx context.Context, what ownership.AlterCode, v []byte) error {
	a, err := l.startWrite(ctx, what, v)
	switch {
	case a == nil && ctx.Err() != nil && err == nil:
		return ended(ctx, ErrUnavailable, "ended before the call, so the owner was not asked; nothing was written")
	case a == nil:
		return l.notHolder(ctx, err)
	}
	const unknown = "; the value may have been written, or not"
	if !a.wait(ctx) {
		if last, gaveUp := l.leave(a, true); gaveUp {
			if l.unsent(last) {
				return ended(ctx, ErrUnavailable, l.behind(last)+"; nothing was written")
			}
			return ended(ctx, ErrUnavailable, l.node.pendingText(l.node.partition(l.key), last.Pending)+unknown)
		}
	}
	switch {
	case a.err != nil:
		return because(a.err.Error()+", before its owner confirmed the write"+unknown, a.err, ErrUnavailable)
	case a.result.Outcome == ownership.OutcomeNotHeld:
		return l.notHolder(ctx, l.Err())
	}
	return a.outcome()
}

// startWrite returns nil, and how the lock ended if it has, if there is nothing to
// wait for.
func (l *Lock) startWrite(ctx context.Context, what ownership.AlterCode, v []byte) (*alter, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expire()
	if l.err != nil || ctx.Err() != nil {
		return nil, l.err
	}
	return l.alter(what, ownership.Mode{}, v), nil
}

// notHolder is the error of a write by who may not. gone is how the lock ended, nil
// if it is held.
func (l *Lock) notHolder(ctx context.Context, gone error) error {
	who := l.node.whoHolds(ctx, l.key)
	if gone == nil {
		mode, advice := l.Mode(), "only who does writes its value"
		if mode.Kind == ModeShared || mode.Kind == ModeUpdate {
			advice = "Upgrade it first"
		}
		return because(fmt.Sprintf("this lock (%v) does not hold all of the key: %s; %s", mode, advice, who), ErrNotHolder)
	}
	return because("only who holds the key writes its value: "+gone.Error()+"; "+who, ErrNotHolder, gone)
}

// askFor bounds questions that only make an error say more.
const askFor = time.Second

// whoHolds says in words who holds a key now, if that can be known soon.
func (n *Node) whoHolds(ctx context.Context, key string) string {
	if ctx.Err() != nil {
		return "who holds it now is not known: ctx was over, so its owner was not asked"
	}
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	a, err := n.lookAt(ctx, key)
	switch {
	case errors.Is(err, ErrClosed):
		return "who holds it now is not known: the node is closed"
	case err != nil:
		return "who holds it now is not known: its owner has not answered"
	}
	return n.keyState(a).held()
}
