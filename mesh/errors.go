package mesh

import (
	"context"
	"errors"
	"strings"
	"unicode/utf8"
)

// The errors of this package, for errors.Is. What is returned says more: see
// [Error].
var (
	// ErrLocked: somebody else holds the key, or is before the caller in line.
	// TryLock returns it at once; Lock, LockAll, Do, Campaign and Upgrade when ctx
	// ended while they waited their turn; Upgrade also at once, when it would wait
	// for one that waits for it.
	ErrLocked = errors.New("locked by another holder")

	// ErrLost: the lock, lease or term is no longer held, and its holder has not
	// given it back: it has run out, an operator has released it, its lease was
	// lost, or the node was closed. The text says which.
	ErrLost = errors.New("lock lost")

	// ErrReleased: the lock, lease or term was given back: by Unlock, Leave, Revoke,
	// Resign or Transfer.
	ErrReleased = errors.New("lock released")

	// ErrUnavailable: the call could not be served before its ctx ended: no
	// view, no quorum, or an owner that does not answer. errors.Is holds for
	// the error of the ctx as well. Two have no ctx that ended: a write whose lock
	// ended before it was confirmed (ErrLost or ErrReleased as well), and a Leave
	// that no majority of the voters answered.
	ErrUnavailable = errors.New("unavailable")

	// ErrCapacity: the key is held with another capacity than the one asked for:
	// as a semaphore of another size, or as none. When it is free again, whoever
	// comes first decides.
	ErrCapacity = errors.New("capacity differs")

	// ErrNotHolder: only the exclusive holder may do that (SetValue,
	// DeleteValue), or nobody holds the key with that token (Release). Nothing
	// was changed, and the text says who holds the key.
	ErrNotHolder = errors.New("not the holder")

	// ErrClosed: the node has been closed or is leaving.
	ErrClosed = errors.New("node closed")

	// ErrInvalid: an argument or the configuration is refused. Nothing was
	// changed.
	ErrInvalid = errors.New("invalid")
)

// Error is what the calls of this package fail with. Use errors.Is to tell
// causes apart and Error for people; errors.As gives the call and its key.
type Error struct {
	Op  string // the method or function that failed: "Lock", "Join", …
	Key string // the key it was for, "" if none
	Err error  // why
}

// Error says what failed, on which key, and why.
func (e *Error) Error() string {
	if e.Key == "" {
		return "lockmesh: " + e.Op + ": " + e.Err.Error()
	}
	key := e.Key
	if len(key) > 64 {
		cut := 64
		for cut > 64-utf8.UTFMax && !utf8.RuneStart(key[cut]) { // not within a character
			cut--
		}
		key = key[:cut] + "…"
	}
	return "lockmesh: " + e.Op + " " + quote(key) + ": " + e.Err.Error()
}

// Unwrap returns why.
func (e *Error) Unwrap() error { return e.Err }

// reason is an error that says one thing to people and is several to errors.Is.
type reason struct {
	text string
	is   []error
}

func (r *reason) Error() string   { return r.text }
func (r *reason) Unwrap() []error { return r.is }

// because returns an error with this text for which errors.Is holds with each of is.
func because(text string, is ...error) error { return &reason{text, is} }

// invalid returns an ErrInvalid that names all of whats, of which there is at
// least one.
func invalid(whats ...string) error { return because(strings.Join(whats, "; "), ErrInvalid) }

// ended is the error of a call whose ctx is over: ctx.Err(), its cause if that
// says more, kind, and text, which says what the call was waiting for.
func ended(ctx context.Context, kind error, text string) error {
	is := []error{ctx.Err()}
	why := ctx.Err().Error()
	if cause := context.Cause(ctx); cause != ctx.Err() {
		is = append(is, cause)
		why = cause.Error()
	}
	if kind != nil {
		is = append(is, kind)
	}
	if text != "" {
		why = text + " (" + why + ")"
	}
	return because(why, is...)
}

func isLost(err error) bool { return errors.Is(err, ErrLost) }

// joinLost adds to the error of Do's fn that the lock was lost.
func joinLost(err error, key string, lost error) error {
	if lost == nil {
		return err
	}
	return errors.Join(err, &Error{"Do", key, lost})
}
