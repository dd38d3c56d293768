package mesh

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// unlockFor bounds how long Do waits for the release once its ctx is over.
const unlockFor = 2 * time.Second

// Do locks key, calls fn, and unlocks. fn's ctx ends when ctx ends, when the lock
// is lost, or when the node leaves; its cause then is ctx's, the lock's Err, or
// ErrClosed. fn must return soon after: only then does Do, and only then does
// Leave give the lock away. fn must not call Leave itself and wait for it.
//
// Do returns the error of the locking, and then fn was not called; else fn's
// error, joined with what ended the lock if that was not fn itself: ErrLost,
// ErrReleased if its lease was revoked, or ErrClosed if the node was closed, or
// left without being given the time to wait for fn. So nil means that fn ran under
// the lock from its beginning to its end, or until the program itself let go of it:
// fn, or a function of [OnContended].
// Do waits for the release to be confirmed, once ctx is over two seconds at most;
// a release that is not confirmed goes on in the background and is no error. If
// fn panics, the lock is released and the panic goes on.
func (n *Node) Do(ctx context.Context, key string, fn func(ctx context.Context, l *Lock) error, opts ...Option) (err error) {
	if fn == nil {
		return &Error{"Do", key, invalid("fn is nil")}
	}
	l, err := n.acquire(ctx, "Do", key, false, opts)
	if err != nil {
		return err
	}
	inner, cancel := context.WithCancelCause(context.WithValue(ctx, jobOf{n}, true))
	job, ok := n.jobs.begin(cancel)
	if !ok { // Leave came between: fn must not begin
		cancel(ErrClosed)
		l.unlockFor(ctx, false)
		return &Error{"Do", key, ErrClosed}
	}
	if gone := l.Err(); gone != nil { // it was lost, or the node closed, before fn could begin
		cancel(gone)
		n.jobs.end(job)
		return &Error{"Do", key, gone}
	}
	stop := context.AfterFunc(l.Context(), func() { cancel(l.Err()) })
	returned := false
	defer func() {
		stop()
		cancel(nil)
		ended := l.Err()
		if l.release(errReleased) {
			n.mail.post(ownership.Unlock{Handle: l.handle})
		}
		n.jobs.end(job) // Leave need not wait for the owner's word too
		lost := l.unlockFor(ctx, returned)
		if lost == nil && (errors.Is(ended, ErrClosed) || ended == errRevoked) {
			lost = ended
		}
		if returned {
			err = joinLost(err, key, lost)
		}
	}()
	err = fn(inner, l)
	returned = true
	return err
}

// unlockFor is Unlock for Do. It returns an error only if the lock was lost.
func (l *Lock) unlockFor(ctx context.Context, patient bool) error {
	if ctx.Err() != nil || !patient {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), unlockFor)
		defer cancel()
	}
	l.unlock(ctx)
	select {
	case <-l.closed:
		if err := l.outcome(); isLost(err) {
			return err
		}
	default: // not confirmed; ctx may have ended for another lock's loss
	}
	return nil
}

// jobOf marks the ctx of what runs under a node's Do.
type jobOf struct{ node *Node }

// jobs are the running Do calls. The zero value has none.
type jobs struct {
	mu      sync.Mutex // held for moments
	last    int
	running map[int]context.CancelCauseFunc
	stopped chan struct{} // not nil once no more may begin; closed when none runs
}

// begin notes a call. It reports false when no more may begin.
func (j *jobs) begin(cancel context.CancelCauseFunc) (job int, ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.stopped != nil {
		return 0, false
	}
	if j.running == nil {
		j.running = map[int]context.CancelCauseFunc{}
	}
	j.last++
	j.running[j.last] = cancel
	return j.last, true
}

func (j *jobs) end(job int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.running, job)
	if j.stopped != nil && len(j.running) == 0 {
		close(j.stopped)
	}
}

// stop ends the ctx of every running call and returns a channel that is closed
// when all have returned. It is called once.
func (j *jobs) stop(cause error) <-chan struct{} {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.stopped = make(chan struct{})
	if len(j.running) == 0 {
		close(j.stopped)
	}
	for _, cancel := range j.running {
		cancel(cause)
	}
	return j.stopped
}
