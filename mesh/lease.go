package mesh

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// leasePrefix begins the keys of anchors: a lease is a lock of a key of its own, and
// the locks that name it (K10).
const leasePrefix = "\x00lease/"

// Lease keeps several locks that share one fate: a session. Locks are taken into
// it with [InLease]; they are renewed together, automatically. It lives until
// Revoke, or until it, or any lock of it, is lost; then all its locks are
// released. Unlocking one of them leaves it alive.
//
// Locks of one lease exclude each other like any two: a lease is no owner that may
// have a key twice. The methods may be called from any goroutine, and for ever. The
// zero value is no lease: [Node.Lease] makes one.
type Lease struct {
	node   *Node
	id     string
	ttl    time.Duration
	anchor *Lock
	done   chan struct{} // closed with err

	mu     sync.Mutex     // held for moments, and under a Lock's
	locks  map[*Lock]bool // held, asked for, or being released; without the anchor
	err    error          // not nil once it is over, or being revoked
	loses  error          // what its locks are lost with, if it is lost
	closed bool           // done is
	ctx    context.Context
	cancel context.CancelCauseFunc // nil until Context was called
}

// Lease starts a lease, which takes one round trip as a lock does. ctx bounds that
// alone. ttl is how long the lease and its locks outlive the last confirmed renewal:
// 10 milliseconds to Params.MaxTTL, else the error is ErrInvalid. Further errors:
// ErrUnavailable with ctx.Err(), ErrClosed.
func (n *Node) Lease(ctx context.Context, ttl time.Duration) (*Lease, error) {
	if wrong := n.cfg.Params.checkTTL(ttl); wrong != "" {
		return nil, &Error{"Lease", "", invalid(wrong)}
	}
	if ctx.Err() != nil {
		return nil, &Error{"Lease", "", ended(ctx, ErrUnavailable, "ended before it was asked for")}
	}
	l := &Lease{node: n, id: fmt.Sprintf("%016x", n.env.Rand()), ttl: ttl, done: make(chan struct{}), locks: map[*Lock]bool{}}
	anchor, err := n.request(leasePrefix+l.id, false, options{ttl: ttl, lease: l})
	if err == nil {
		err = n.await(ctx, anchor)
	}
	if err != nil {
		return nil, &Error{"Lease", "", err}
	}
	return l, nil
}

// InLease lets the lock share the fate of a lease of the same node: it has the
// lease's TTL, and lives no longer. A lease that is nil or another node's, a TTL that
// is not the lease's, and NoRenew are ErrInvalid. If the lease is over, or ends before
// the lock is granted, the error is what its Err says: ErrLost or ErrReleased.
func InLease(l *Lease) Option {
	return func(o *options) {
		o.lease, o.noLease = l, l == nil
	}
}

// checkLease fills in what a lock has of its lease.
func (o *options) checkLease() {
	switch {
	case o.noLease:
		o.wrong = "InLease(nil): there is no such lease"
		return
	case o.lease == nil:
		return
	case o.lease.node == nil:
		o.wrong = "InLease: the Lease is no lease of this node; Node.Lease makes one"
	case o.ttl != ttlUnset && o.ttl != o.lease.ttl:
		o.wrong = fmt.Sprintf("TTL is %v and that of the lease %v; a lock of a lease has the lease's: leave TTL out", o.ttl, o.lease.ttl)
	case o.noRenew:
		o.wrong = "NoRenew does not go with InLease: the locks of a lease are renewed with it"
	}
	o.ttl = o.lease.ttl
}

// ID names the lease: 16 hexadecimal digits that no other lease has. In [Node.Locks]
// and [Node.Inspect] it shows as the key "\x00lease/" and the ID, which its node holds;
// [Node.Release] of that key's token ends the lease, as a loss of it.
func (l *Lease) ID() string { return l.id }

// TTL is that of the lease and of all its locks.
func (l *Lease) TTL() time.Duration { return l.ttl }

// Done is closed when the lease is over: by Revoke and Leave after Done of its locks,
// by a loss at once. It is closed at the latest one TTL after the last confirmed
// renewal was sent, network or not; Done of its locks then follows within moments, and
// what their Err and State say is exact at once.
func (l *Lease) Done() <-chan struct{} { return l.done }

// Err is nil until the lease ends. Afterwards errors.Is finds ErrReleased in it, after
// Revoke and Leave, or ErrLost; its text says how it came to that, and names the
// lock that was lost first if it was not the lease itself.
func (l *Lease) Err() error {
	l.anchor.Err() // lets its deadline pass, however late the loop is
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Context returns a context that ends with Done; its cause is Err. It carries no
// values and no deadline. Each call returns the same one.
func (l *Lease) Context() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx == nil {
		l.ctx, l.cancel = context.WithCancelCause(context.Background())
		if l.closed {
			l.cancel(l.err)
		}
	}
	return l.ctx
}

// Locks are the locks that are held in the lease, in the order in which they were
// asked for.
func (l *Lease) Locks() []*Lock {
	return slices.DeleteFunc(l.all(), func(k *Lock) bool { return !k.held() })
}

// all are the locks that the core knows, first asked for first.
func (l *Lease) all() []*Lock {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]*Lock, 0, len(l.locks))
	for k := range l.locks {
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b *Lock) int { return cmp.Compare(a.handle, b.handle) })
	return all
}

// Revoke ends the lease: it releases all its locks, turns away the calls that still
// wait for one, and returns when the owners have confirmed that. From the call on
// nothing of it is held here, no lock can be taken into it, and renewals have
// stopped.
//
// When ctx ends first, the error is ErrUnavailable as well as ctx.Err(), and the
// node goes on trying. The error is ErrLost if the lease was lost before. Calling it
// again is fine.
func (l *Lease) Revoke(ctx context.Context) error {
	l.anchor.Err()
	l.mu.Lock()
	if l.err == nil {
		l.err = errLeaseRevoked
	}
	err := l.err
	l.mu.Unlock()
	if isLost(err) {
		return &Error{"Revoke", "", err}
	}
	over := l.over()
	all := append(l.all(), l.anchor) // it goes last: the core lets the others go with it
	for _, k := range all {
		if k.turnAway(over) || k.release(errRevoked) {
			l.node.mail.post(ownership.Unlock{Handle: k.handle})
		}
	}
	if cause := context.Cause(ctx); cause == errRevoked || cause == errLeaseRevoked { // of one of its locks, or its own
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), unlockFor)
		defer cancel()
	}
	if err := confirmed(ctx, all); err != nil {
		return &Error{"Revoke", "", err}
	}
	return nil
}

// confirmed returns when the releases of locks are confirmed, or ctx is over.
func confirmed(ctx context.Context, locks []*Lock) error {
	for i, k := range locks {
		select {
		case <-k.closed:
			continue
		default:
		}
		select {
		case <-k.closed:
		case <-ctx.Done():
			return ended(ctx, ErrUnavailable, fmt.Sprintf("the release of %s is not confirmed, nor those of up to %d more locks; they go on in the background", quote(k.key), len(locks)-i-1))
		}
	}
	for _, k := range locks {
		if err := k.outcome(); err != nil {
			return because(quote(k.key)+": "+err.Error(), err)
		}
	}
	return nil
}

// What Err of a lease is after Revoke, and what that of its locks is.
var (
	errLeaseRevoked = because("lease revoked", ErrReleased)
	errRevoked      = because("lock released: its lease was revoked", ErrReleased)
)

// isAnchor says that the lock is a lease and not one of its locks.
func (l *Lock) isAnchor() bool { return l.lease != nil && l.lease.anchor == l }

// over is the error of a call for a lock of a lease that has ended.
func (l *Lease) over() error {
	if err := l.Err(); err != nil {
		return because("the lease is over: "+err.Error(), err)
	}
	return because("the lease is over", ErrLost)
}

// join notes that k is about to be asked for: as the anchor if there is none yet.
func (l *Lease) join(k *Lock, in *ownership.Lock) error {
	if l.node != k.node {
		return invalid("the lease is another node's; a lease and its locks belong to one node")
	}
	if l.anchor == nil { // nobody else has the lease yet
		l.anchor = k
		return nil
	}
	if l.Err() != nil {
		return l.over()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.locks[k] = true
	in.Lease = l.anchor.handle // one that ends meanwhile is the core's to refuse
	return nil
}

// The following are called under the mu of a Lock.

// loss is what a lock of the lease is lost with, nil while the lease is not lost.
func (l *Lease) loss() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.loses
}

// ended notes that a lock, or the anchor, is no longer held.
func (l *Lease) ended(k *Lock, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.err == nil && isLost(err):
		// K10: all others go too. The core may not know yet, if k's own clock told it.
		l.lose(k, err)
		l.node.mail.post(ownership.Unlock{Handle: l.anchor.handle})
	case l.err == nil && k == l.anchor:
		l.err = err // the node leaves
	case k == l.anchor && !l.closed: // Revoke has come to its end
	default:
		return
	}
	if !l.closed {
		l.closed = true
		close(l.done)
		if l.cancel != nil {
			l.cancel(l.err)
		}
	}
}

// lose says why the lease is lost. The caller holds mu.
func (l *Lease) lose(k *Lock, err error) {
	why := strings.TrimPrefix(err.Error(), "lock lost: ")
	if k != l.anchor {
		why = "its lock " + quote(k.key) + " was lost: " + why
	}
	l.err = because("lease lost: "+why, err)
	l.loses = because("lock lost: its lease was lost: "+why, err)
}

// gone notes that the core knows k no more.
func (l *Lease) gone(k *Lock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.locks, k)
}
