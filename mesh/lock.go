package mesh

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// Lock is a lock that was granted. Its methods may be called from any
// goroutine, and for ever: also after the lock is lost and the node closed. The zero
// value is no lock, and not to be used: a Lock comes from [Node.Lock] and its like.
//
// A Lock is held until it is released or lost. Unless it was taken with NoRenew
// it is renewed automatically until then, so it is lost only if no renewal was
// confirmed for one TTL, if an operator takes it ([Node.Release]), or with the lease
// that it shares the fate of (InLease). Its holder learns of a loss from Done, by its own clock
// and at the latest at Deadline, whatever the network does.
type Lock struct {
	node   *Node
	key    string
	handle ownership.Handle
	ttl    time.Duration
	renews bool
	lease  *Lease   // whose fate it shares, nil if nobody's
	set    *LockSet // it was taken with, nil if by itself

	granted chan error    // cap 1: how the call ended; nil is granted
	done    chan struct{} // closed with err
	closed  chan struct{} // closed with closedErr: the owner has confirmed the release, or will not

	mu        sync.Mutex // held for moments
	phase     lockPhase
	token     ownership.Token
	deadline  ownership.Time
	err       error // not nil once done is closed
	closedErr error // Unlock's result once closed is closed
	pending   ownership.Pending
	beats     []chan<- error // waiting Renew calls, each of cap 1
	mode      ownership.Mode // as confirmed; a Downgrade counts from its call (K8)
	alters    []*alter       // under way, in the order of their numbers
	ops       uint64         // the last number of an alter
	down      uint64         // that of the last Downgrade
	contended contention
	ctx       context.Context
	cancel    context.CancelCauseFunc // nil until Context was called
}

// lockPhase is where a Lock stands.
type lockPhase uint8

const (
	lockPending   lockPhase = iota // asked for, not answered
	lockCancelled                  // given up before it was answered
	lockHeld
	lockReleasing // released here, the owner has not confirmed it
	lockOver
)

// State is what the holder knows of its lock.
type State uint8

// The states of a Lock. Only Held and Jeopardy mean that it is held.
const (
	Held     State = iota + 1
	Jeopardy       // held, but renewals have failed: more than half of the TTL is gone
	Lost           // no longer held; Err says why
	Released       // given back: by Unlock, Leave, Revoke, Resign or Transfer
)

// String returns the name of the state.
func (s State) String() string {
	switch s {
	case Held:
		return "Held"
	case Jeopardy:
		return "Jeopardy"
	case Lost:
		return "Lost"
	case Released:
		return "Released"
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

func newLock(n *Node, key string, h ownership.Handle, o options) *Lock {
	return &Lock{
		node: n, key: key, handle: h, ttl: o.ttl, renews: !o.noRenew, lease: o.lease, set: o.set,
		mode: o.mode.core(), contended: contention{call: o.called},
		granted: make(chan error, 1), done: make(chan struct{}), closed: make(chan struct{}),
	}
}

// Key is the key that is locked.
func (l *Lock) Key() string { return l.key }

// Token is the fencing token: it strictly rises over the grants of the key, and
// an Upgrade is one: it raises the token of this lock. Tokens of different keys do
// not compare.
// Whoever writes to something that the lock protects sends it along, and the
// receiver refuses a token below the highest it has seen: no clock is then
// needed for the protection to hold. (Kleppmann, "How to do distributed
// locking", 2016; the sequencer of Chubby, section 2.4.)
func (l *Lock) Token() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return uint64(l.token)
}

// Done is closed when the lock is released or lost, at the latest at Deadline.
// After a suspend of the machine it may be late by 50 ms; State and Err are not.
func (l *Lock) Done() <-chan struct{} { return l.done }

// Err is nil while the lock is held. Afterwards errors.Is finds ErrReleased or
// ErrLost in it, and its text says how it came to that.
func (l *Lock) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expire()
	return l.err
}

// Context returns a context that ends with Done; its cause is Err. It carries
// no values and no deadline. Each call returns the same one.
func (l *Lock) Context() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expire()
	if l.ctx == nil {
		l.ctx, l.cancel = context.WithCancelCause(context.Background())
		if l.err != nil {
			l.cancel(l.err)
		}
	}
	return l.ctx
}

// Deadline is until when the lock is held if no further renewal succeeds: TTL,
// less the clock drift that is allowed for, after the last confirmed renewal
// was sent. It is converted to time.Time by the clock of the call, so it is
// wrong if the machine is suspended or its wall clock set afterwards; Done,
// State and Err are not.
func (l *Lock) Deadline() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.node.wallAt(l.deadline)
}

// State is what the holder knows now.
func (l *Lock) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	left := l.expire()
	switch {
	case l.err == nil && l.renews && left < l.ttl/2:
		return Jeopardy
	case l.err == nil:
		return Held
	case !isLost(l.err):
		return Released
	}
	return Lost
}

// Renew renews the lock now and returns when that is confirmed: Deadline is then
// later. It is needed with NoRenew only. When ctx ends first, the error is
// ErrUnavailable as well as ctx.Err(), and the lock still held until Deadline.
// The error is ErrLost or ErrReleased when the lock is no longer held.
func (l *Lock) Renew(ctx context.Context) error {
	beat := make(chan error, 1)
	l.mu.Lock()
	l.expire()
	if l.err != nil {
		defer l.mu.Unlock()
		return &Error{"Renew", l.key, l.err}
	}
	l.beats = append(l.beats, beat)
	l.mu.Unlock()
	l.node.mail.post(ownership.Extend{Handle: l.handle}) // the end of the loop ends the lock, and so this call
	select {
	case err := <-beat:
		if err != nil {
			return &Error{"Renew", l.key, err}
		}
		return nil
	case <-ctx.Done():
		return &Error{"Renew", l.key, ended(ctx, ErrUnavailable, "the owner has not confirmed the renewal")}
	}
}

// Unlock releases the lock and returns when its owner has confirmed that: the
// next in line then has it. From the call on the lock is not held here, Done is
// closed and renewals have stopped.
//
// When ctx ends first, the error is ErrUnavailable as well as ctx.Err(), and the
// node goes on trying; a ctx that is over at the start is a way to release
// without waiting. The error is ErrLost when the lock had been lost before.
// Calling it again waits for the same outcome.
func (l *Lock) Unlock(ctx context.Context) error {
	if err := l.unlock(ctx); err != nil {
		return &Error{"Unlock", l.key, err}
	}
	return nil
}

func (l *Lock) unlock(ctx context.Context) error {
	l.giveBack(errReleased, "")
	select {
	case <-l.closed:
		return l.outcome()
	default:
	}
	select {
	case <-l.closed:
		return l.outcome()
	case <-ctx.Done():
	}
	if context.Cause(ctx) == errReleased {
		// ctx is that of a Do whose fn unlocks early: this release has ended it.
		patience := time.NewTimer(unlockFor)
		defer patience.Stop()
		select {
		case <-l.closed:
			return l.outcome()
		case <-patience.C:
		}
	}
	return ended(ctx, ErrUnavailable, "the owner has not confirmed the release; it goes on in the background")
}

func (l *Lock) outcome() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closedErr
}

// What Err is after Unlock and after Leave.
var (
	errReleased = because("lock released", ErrReleased)
	errLeft     = because("lock released: the node left the mesh", ErrReleased, ErrClosed)
)

func (l *Lock) held() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expire()
	return l.phase == lockHeld
}

// giveBack releases the lock and waits for nothing. It reports whether it was held.
// heir, if it is not "", is the node among those that wait that has it next (K14).
func (l *Lock) giveBack(cause error, heir string) bool {
	held := l.release(cause)
	if held {
		l.node.mail.post(ownership.Unlock{Handle: l.handle, Heir: heir})
	}
	return held
}

// release ends a held lock and reports whether the core must be told.
func (l *Lock) release(cause error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expire()
	if l.phase != lockHeld {
		return false
	}
	l.phase = lockReleasing
	l.end(cause)
	return true
}

// end closes done. The caller holds mu and sets the phase.
func (l *Lock) end(err error) {
	l.err = err
	if l.lease != nil {
		l.lease.ended(l, err)
	}
	if l.set != nil {
		l.set.ended(l, err)
	}
	close(l.done)
	for _, beat := range l.beats {
		beat <- err
	}
	l.beats = nil
	l.endAlters(err)
	if l.cancel != nil {
		l.cancel(err)
	}
}

// finish closes closed. The caller holds mu.
func (l *Lock) finish(err error) {
	if l.phase == lockPending { // every call gets an answer
		l.granted <- because("the request was dropped", ErrUnavailable)
	}
	if l.phase != lockOver {
		if l.lease != nil {
			l.lease.gone(l)
		}
		l.phase = lockOver
		l.closedErr = err
		close(l.closed)
	}
}

// expire ends a lock whose deadline has passed, however late the loop is, and
// returns what is left of it. The caller holds mu.
//
// K3: past the deadline Done closes, whatever the network does.
func (l *Lock) expire() (left time.Duration) {
	if l.phase != lockHeld {
		return 0
	}
	left = time.Duration(l.deadline - l.node.now())
	if l.lease.loss() != nil {
		left = 0
	}
	if left <= 0 {
		l.lost(ownership.Lost{Handle: l.handle, Cause: ownership.LostExpired})
		// A renewal that came at the last moment may have kept it in the core.
		l.node.mail.post(ownership.Unlock{Handle: l.handle})
	}
	return left
}

// lost ends a held lock for this cause. The caller holds mu.
func (l *Lock) lost(e ownership.Lost) {
	err := lostBecause(e)
	if e.Cause == ownership.LostExpired && !l.renews {
		err = because("lock lost: its TTL has run out (it was taken with NoRenew)", ErrLost)
	}
	if loss := l.lease.loss(); loss != nil {
		err = loss
	}
	l.end(err)
	l.finish(lossOf(err))
}

// lossOf is what Unlock says of a lock that ended before: one that was released
// is where Unlock wants it.
func lossOf(err error) error {
	if isLost(err) {
		return err
	}
	return nil
}

func lostBecause(e ownership.Lost) error {
	text := "lock lost"
	switch e.Cause {
	case ownership.LostExpired:
		text = "lock lost: no renewal was confirmed before its deadline"
	case ownership.LostMissing:
		text = "lock lost: its owner no longer has it"
	case ownership.LostOtherMesh:
		text = "lock lost: this node now belongs to another mesh"
	case ownership.LostEvicted:
		text = "lock lost: an operator at node " + e.By + " released it"
	case ownership.LostLease:
		text = "lock lost: its lease was lost, or another lock of that"
	case ownership.LostRevoked:
		return errRevoked
	}
	return because(text, ErrLost)
}

// denied says why the core does not serve the request as it is.
func (l *Lock) denied(e ownership.Denied) error {
	switch e.Code {
	case ownership.DeniedCapacity:
		return because(capacityText(e.Holder, l.node.client), ErrCapacity)
	case ownership.DeniedLease:
		return l.lease.over()
	case ownership.DeniedSet:
		return because("an earlier lock of the same call has ended", ErrLost)
	}
	return because("the request was denied", ErrUnavailable)
}

// The following are called by the loop, when the core says so.

func (l *Lock) onGranted(e ownership.Granted) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.phase == lockPending { // else the core is about to learn that it was cancelled
		l.phase, l.token, l.deadline = lockHeld, e.Token, e.Deadline
		l.granted <- nil
	}
}

// onRefused ends a call that gets no lock.
func (l *Lock) onRefused(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.phase == lockPending {
		l.phase = lockCancelled
		l.granted <- err
	}
	l.finish(nil)
}

func (l *Lock) onExtended(e ownership.Extended) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.phase != lockHeld {
		return
	}
	l.deadline = max(l.deadline, e.Deadline)
	if !e.Asked {
		return // a heartbeat that was sent before Renew was called
	}
	for _, beat := range l.beats {
		beat <- nil
	}
	l.beats = nil
}

func (l *Lock) onLost(e ownership.Lost) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch l.phase {
	case lockHeld:
		l.lost(e)
	case lockReleasing:
		l.finish(lossOf(lostBecause(e)))
	default:
		l.finish(nil)
	}
}

func (l *Lock) onReleased(e ownership.Released) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.phase == lockReleasing && e.GaveUp:
		l.finish(because("no owner has confirmed the release; the lock has run out meanwhile", ErrUnavailable))
		return
	case l.phase == lockReleasing && !e.Held:
		l.finish(because("the lock had run out before its release arrived", ErrLost))
		return
	}
	l.finish(nil)
}

func (l *Lock) onPending(e ownership.Pending) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.Op != 0 {
		l.onAlterPending(e)
		return
	}
	l.pending = e
}

// onClosed ends whatever is still open when the node stops.
func (l *Lock) onClosed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch l.phase {
	case lockPending:
		l.phase = lockCancelled
		l.granted <- ErrClosed
		l.finish(nil)
	case lockHeld:
		l.end(because("lock lost: the node was closed", ErrLost, ErrClosed))
		l.finish(l.err)
	case lockReleasing:
		l.finish(because("the node was closed before the owner confirmed the release", ErrUnavailable, ErrClosed))
	default:
		l.finish(nil)
	}
}

// turnAway ends a call that waits with this error, and reports whether the core
// must be told.
func (l *Lock) turnAway(err error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.phase != lockPending {
		return false
	}
	l.phase = lockCancelled
	l.granted <- err
	return true
}

// giveUp ends a call whose ctx is over. It reports false when the lock was
// granted or refused in the same moment: granted has the answer then.
func (l *Lock) giveUp() (last ownership.Pending, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.phase != lockPending {
		return last, false
	}
	l.phase = lockCancelled
	return l.pending, true
}
