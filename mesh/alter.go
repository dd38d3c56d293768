package mesh

import (
	"context"
	"slices"

	"github.com/lockmesh/lockmesh/ownership"
)

// alter is an alteration of a held lock or of its key's value that its owner has
// not confirmed: one Change of the core. Those of one Lock are carried out in the
// order in which they were asked for.
type alter struct {
	op      uint64 // rises over those of one Lock
	what    ownership.AlterCode
	pending ownership.Pending // what it waits for; guarded by the Lock's mu

	done   chan struct{} // closed when the following is set
	result ownership.Altered
	err    error // how the lock ended before this was confirmed; nil if it did not
}

// Mode is how much of the key the lock takes at present. A Downgrade counts from
// its call on, an Upgrade from when it has succeeded.
func (l *Lock) Mode() Mode {
	l.mu.Lock()
	defer l.mu.Unlock()
	return modeOf(l.mode)
}

// Upgrade makes a lock exclusive that is shared or for update. It goes before
// everybody who waits for the key, and returns when the other holders have gone;
// meanwhile nobody is let in. The lock then has a new, higher [Lock.Token]: read it
// again. An exclusive lock is what it should be: the error is nil at once.
//
// The error is ErrLocked, and says who it is, if another holder may be upgraded as
// well: it holds the key for update or waits in Upgrade itself. Each would wait for
// the other, so this one is refused at once, and stays what it was: unlock it, and
// lock anew. A lock for update is never refused.
//
// The calls of one lock that change it (Upgrade, Downgrade, SetValue, DeleteValue) are
// carried out one after the other: those that come later wait until this Upgrade has
// succeeded or is given up, which the end of its ctx does.
//
// When ctx ends first, nothing has changed and the error is ctx.Err() as well as
// ErrLocked, if all it waited for was the other holders, or ErrUnavailable. It is
// ErrLost or ErrReleased if the lock has ended, and ErrInvalid for a semaphore.
func (l *Lock) Upgrade(ctx context.Context) error {
	if err := l.upgrade(ctx); err != nil {
		return &Error{"Upgrade", l.key, err}
	}
	return nil
}

func (l *Lock) upgrade(ctx context.Context) error {
	a, err := l.startMode(ctx, "upgraded", ownership.Exclusive)
	if a == nil {
		return err
	}
	if !a.wait(ctx) {
		if last, gaveUp := l.leave(a, true); gaveUp {
			if last.upgrade != nil {
				return ended(ctx, ErrLocked, l.behind(last))
			}
			return l.node.unserved(ctx, l.key, last.Pending)
		}
	}
	if a.err == nil && a.result.Outcome == ownership.OutcomeBusy {
		return because("another holder may be upgraded as well, and each would wait for the other: "+heldBy(a.result.Holder, l.node.client)+
			"; unlock this lock and take it anew, with Update where it is to be upgraded", ErrLocked)
	}
	if gone := l.Err(); gone != nil { // by the clock of now: the answer may have been long on its way
		return gone
	}
	return a.outcome()
}

// Downgrade makes a lock shared that is exclusive or for update, at once: from the
// call on it is shared here, and those who wait for that are let in. The token
// stays. It returns when the owner has confirmed that; when ctx ends first, the
// error is ErrUnavailable as well as ctx.Err(), and the node goes on trying. A
// shared lock is what it should be: the error is nil. It is carried out after an
// Upgrade of this lock that waits: give that one up first, by its ctx.
//
// The error is ErrLost or ErrReleased if the lock has ended, and ErrInvalid for a
// semaphore.
func (l *Lock) Downgrade(ctx context.Context) error {
	if err := l.downgrade(ctx); err != nil {
		return &Error{"Downgrade", l.key, err}
	}
	return nil
}

func (l *Lock) downgrade(ctx context.Context) error {
	a, err := l.startMode(ctx, "downgraded", ownership.Shared)
	if a == nil {
		return err
	}
	if !a.wait(ctx) {
		if last, left := l.leave(a, false); left {
			if last.upgrade != nil {
				return ended(ctx, ErrUnavailable, l.behind(last)+"; it goes on in the background")
			}
			return ended(ctx, ErrUnavailable, "the owner has not confirmed that the lock is shared; it goes on in the background")
		}
	}
	return a.outcome()
}

// outcome is what a call that waited for it returns.
func (a *alter) outcome() error {
	switch {
	case a.err != nil:
		return a.err
	case a.result.Outcome == ownership.OutcomeAltered:
		return nil
	case a.result.Outcome == ownership.OutcomeNotHeld:
		return because("its owner no longer has the lock", ErrLost)
	}
	return because("its owner refused it: are all nodes of one version?", ErrUnavailable)
}

// startMode begins a change of mode. It returns nil, and the result of the call, if
// there is nothing to wait for.
func (l *Lock) startMode(ctx context.Context, verb string, to ownership.Mode) (*alter, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expire()
	if l.err != nil {
		return nil, l.err
	}
	switch l.mode {
	case ownership.Exclusive, ownership.Shared, ownership.ForUpdate:
	default:
		return nil, invalid("a lock of " + l.mode.String() + " is not " + verb + "; only exclusive and shared locks and those for update are")
	}
	changing := slices.ContainsFunc(l.alters, func(a *alter) bool { return a.what == ownership.AlterMode })
	switch {
	case !changing && l.mode == to:
		return nil, nil
	case to == ownership.Exclusive && ctx.Err() != nil:
		return nil, ended(ctx, ErrUnavailable, "ended before it was asked for")
	}
	a := l.alter(ownership.AlterMode, to, nil)
	if to == ownership.Shared { // K8: from the moment that it is asked for it counts
		l.mode, l.down = to, a.op
	}
	return a, nil
}

// alter hands a Change to the core. The caller holds mu, so that the core gets
// them in the order of their numbers.
func (l *Lock) alter(what ownership.AlterCode, mode ownership.Mode, value []byte) *alter {
	l.ops++
	a := &alter{op: l.ops, what: what, done: make(chan struct{})}
	l.alters = append(l.alters, a)
	l.node.mail.post(ownership.Change{Handle: l.handle, Op: a.op, What: what, Mode: mode, Value: value}) // the end of the loop ends the lock, and so this
	return a
}

// wait reports false when ctx ended first.
func (a *alter) wait(ctx context.Context) bool {
	select {
	case <-a.done:
		return true
	default:
	}
	select {
	case <-a.done:
		return true
	case <-ctx.Done():
		return false
	}
}

// waited is what an alteration waited for whose call is over.
type waited struct {
	ownership.Pending
	upgrade *alter // an Upgrade of the same lock, ahead of it, that waits for this; nil if none does
}

// behind says in words what an alteration waited for that is behind an Upgrade.
func (l *Lock) behind(w waited) string {
	return "it waits behind an Upgrade of this lock, which waits for: " + l.node.pendingText(l.node.partition(l.key), w.Pending)
}

// leave is for a call whose ctx is over. Its alteration is given up if undo says so,
// else it goes on. It reports false when it was confirmed, or the lock ended, in the
// same moment.
func (l *Lock) leave(a *alter, undo bool) (last waited, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.alters, a)
	if i < 0 {
		return last, false
	}
	if undo {
		l.alters = slices.Delete(l.alters, i, i+1)
		l.node.mail.post(ownership.Unchange{Handle: l.handle, Op: a.op})
	}
	last.Pending = a.pending
	for _, b := range l.alters[:i] {
		if b.pending.Reason.Code == ownership.ReasonQueued {
			last = waited{b.pending, b}
		}
	}
	return last, true
}

// unsent reports that an alteration that was given up behind an Upgrade was never
// sent: then the Upgrade had not succeeded when the core heard of that.
func (l *Lock) unsent(w waited) bool {
	if w.upgrade == nil {
		return false
	}
	for range 2 { // the first may come in the turn of the loop that hands over the Unchange, the second after it
		l.node.ask(func(*loop) {})
	}
	select {
	case <-w.upgrade.done:
		return w.upgrade.err != nil // the lock ended, and what waited with it
	default:
		return true
	}
}

// endAlters ends those under way when the lock ends. The caller holds mu.
func (l *Lock) endAlters(err error) {
	for _, a := range l.alters {
		a.err = err
		close(a.done)
	}
	l.alters = nil
}

// onAltered is called by the loop, when the core says so.
func (l *Lock) onAltered(e ownership.Altered) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.phase != lockHeld {
		return
	}
	i := slices.IndexFunc(l.alters, func(a *alter) bool { return a.op == e.Op })
	if e.Outcome == ownership.OutcomeAltered {
		l.token = max(l.token, e.Token)
	}
	if i < 0 { // given up: the core takes it back (K8)
		return
	}
	a := l.alters[i]
	if a.what == ownership.AlterMode && e.Outcome == ownership.OutcomeAltered && e.Op >= l.down {
		l.mode = e.Mode
	}
	l.alters = slices.Delete(l.alters, i, i+1)
	a.result = e
	close(a.done)
}

// onAlterPending is called by the loop: what an alteration waits for has changed.
func (l *Lock) onAlterPending(e ownership.Pending) {
	for _, a := range l.alters {
		if a.op == e.Op {
			a.pending = e
		}
	}
}
