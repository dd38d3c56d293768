package mesh

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// maxSetKeys bounds one LockAll: its keys are asked for one after the other.
const maxSetKeys = 1024

// LockAll waits until it holds all of keys: all or none. ctx bounds the waiting
// alone. opts count for each of the locks; with [InLease] all belong to the lease.
//
// Callers of LockAll never wait for each other in a circle, whatever their sets and
// in whatever order the keys are given: each asks for its keys in the order of
// their bytes, the next one when it has the one before, so whoever waits has no key
// that comes after the one it waits for (K11). Nobody starves, since it stands in
// line for each key and lines are served in order. What it has while it waits for
// the rest is kept from others, and renewed; so a set takes as long as its keys
// one after the other.
//
// The order holds within one LockAll. Who holds a lock already and then calls LockAll,
// or holds one set and asks for another, can still wait for somebody who waits for
// him: take all keys with one call, or let ctx end the wait.
//
// When a key is not to be had, everything granted so far is given back at once (if the
// process is killed, a TTL after its last renewal, as any lock), and
// the error names the key that it waited for (Error.Key) and who holds it. The
// errors are Lock's, and ErrLost if a lock that it had was lost meanwhile. With
// [NoRenew] a lock that it has runs out one TTL after it was granted, also while
// LockAll still waits. With [OnContended] f may run for a key that is held while
// LockAll still waits for the rest; if f unlocks it the call ends with ErrReleased.
//
// The errors of Lock are ErrLocked, ErrUnavailable, ErrCapacity, ErrInvalid, ErrClosed
// and what ended the lease. No keys, more than 1024, or one key twice are ErrInvalid.
func (n *Node) LockAll(ctx context.Context, keys []string, opts ...Option) (*LockSet, error) {
	sorted, o, err := n.setOptions(keys, opts)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, &Error{"LockAll", sorted[0], ended(ctx, ErrUnavailable, "ended before it was asked for")}
	}
	s := &LockSet{node: n, byKey: make(map[string]*Lock, len(keys)), live: len(keys), done: make(chan struct{})}
	o.set = s
	if key, err := s.acquire(ctx, sorted, o); err != nil {
		for _, l := range s.byKey {
			n.discard(l)
		}
		return nil, &Error{"LockAll", key, err}
	}
	for _, key := range keys {
		s.locks = append(s.locks, s.byKey[key])
	}
	return s, nil
}

// setOptions checks keys and opts, and returns the keys in the order of their bytes.
func (n *Node) setOptions(keys []string, opts []Option) (sorted []string, o options, err error) {
	switch {
	case len(keys) == 0:
		return nil, o, &Error{"LockAll", "", invalid("no keys are given")}
	case len(keys) > maxSetKeys:
		return nil, o, &Error{"LockAll", "", invalid(fmt.Sprintf("%d keys are given; at most %d can be locked with one call", len(keys), maxSetKeys))}
	}
	sorted = slices.Sorted(slices.Values(keys))
	for i, key := range sorted {
		if i > 0 && key == sorted[i-1] {
			return nil, o, &Error{"LockAll", key, invalid("the key is given twice; the second lock would wait for the first")}
		}
		if o, err = n.cfg.Params.resolve(key, opts); err != nil {
			return nil, o, &Error{"LockAll", key, err}
		}
	}
	return sorted, o, nil
}

// acquire asks for the keys and waits until all are held. Else it returns the key
// that it waited for, and why it does not have it; what it has is then the
// caller's to give back.
//
// K11: in the order of their bytes, each when the one before is held.
func (s *LockSet) acquire(ctx context.Context, sorted []string, o options) (key string, err error) {
	locks := make([]*Lock, len(sorted))
	for i, key := range sorted {
		l, err := s.node.request(key, false, o)
		if err != nil {
			return key, err
		}
		locks[i], s.byKey[key], o.after = l, l, l.handle
	}
	for i, key := range sorted {
		if err := s.await(ctx, locks[i], locks[:i]); err != nil {
			return key, err
		}
	}
	return "", nil
}

// await returns when l is held as well as those before it, or why it will not be.
func (s *LockSet) await(ctx context.Context, l *Lock, before []*Lock) (err error) {
	select {
	case err = <-l.granted:
	case <-s.done:
	case <-ctx.Done():
		err = s.node.await(ctx, l)
	}
	for _, k := range before {
		if gone := k.Err(); gone != nil { // K11: then l was denied for that
			return because("while it waited for this key another one ended, "+quote(k.key)+": "+gone.Error(), gone)
		}
	}
	return err
}

// LockSet is what LockAll returns: several locks that were granted together. From
// then on each is a lock like any other, to be renewed, looked at and released by
// itself; the methods of the set speak of all of them. They may be called from any
// goroutine, and for ever. The zero value is no set: [Node.LockAll] makes one.
type LockSet struct {
	node  *Node
	locks []*Lock // in the caller's order
	byKey map[string]*Lock
	done  chan struct{} // closed with err

	mu     sync.Mutex // held for moments, and under a Lock's
	live   int        // locks that have not ended
	err    error      // not nil once done is closed
	ctx    context.Context
	cancel context.CancelCauseFunc // nil until Context was called
}

// Locks are the locks in the order in which LockAll was given their keys.
func (s *LockSet) Locks() []*Lock { return slices.Clone(s.locks) }

// Lock is the lock of this key, nil if it is not of the set.
func (s *LockSet) Lock(key string) *Lock { return s.byKey[key] }

// Token is the fencing token of this key's lock: see [Lock.Token]. Each key has its
// own. It is 0 if the key is not of the set.
func (s *LockSet) Token(key string) uint64 {
	if l := s.byKey[key]; l != nil {
		return l.Token()
	}
	return 0
}

// Done is closed when the first of the locks is lost, or all are released. The
// others of a lost one are still held: release them with Unlock.
func (s *LockSet) Done() <-chan struct{} { return s.done }

// Err is nil until Done is closed. Afterwards errors.Is finds ErrLost in it, and its
// text names the first key that was lost and why; or ErrReleased, if all were
// released.
func (s *LockSet) Err() error {
	for _, l := range s.locks {
		l.Err() // lets its deadline pass, however late the loop is
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Context returns a context that ends with Done; its cause is Err. It carries no
// values and no deadline. Each call returns the same one.
func (s *LockSet) Context() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx == nil {
		s.ctx, s.cancel = context.WithCancelCause(context.Background())
		if s.err != nil {
			s.cancel(s.err)
		}
	}
	return s.ctx
}

// Deadline is until when all are held if no further renewal succeeds: the first of
// their deadlines. See [Lock.Deadline].
func (s *LockSet) Deadline() time.Time {
	first := s.locks[0].Deadline()
	for _, l := range s.locks[1:] {
		if d := l.Deadline(); d.Before(first) {
			first = d
		}
	}
	return first
}

// Unlock releases all locks at once and returns when their owners have confirmed
// that. The error joins what [Lock.Unlock] says of each: nil if all were held, or
// released before; ErrLost for those that were lost. When ctx ends first the releases
// go on in the background, as there. Calling it again is fine.
func (s *LockSet) Unlock(ctx context.Context) error {
	for _, l := range s.locks {
		l.giveBack(errReleased, "")
	}
	if context.Cause(ctx) == errReleased { // of a lock, or of this set: the release has ended it
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), unlockFor)
		defer cancel()
	}
	var errs []error
	for _, l := range s.locks {
		errs = append(errs, l.Unlock(ctx))
	}
	return errors.Join(errs...)
}

// ended notes that a lock of the set is no longer held. The caller holds the lock's
// mu.
func (s *LockSet) ended(l *Lock, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live--
	switch {
	case s.err != nil:
		return
	case isLost(err):
		s.err = because(quote(l.key)+": "+err.Error(), err)
	case s.live == 0:
		s.err = err
	default:
		return
	}
	close(s.done)
	if s.cancel != nil {
		s.cancel(s.err)
	}
}
