package mesh

import (
	"context"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// Leave is the way out of a deployment: the node releases its locks, hands over
// what it owns, and stops. No key is unavailable for longer than a hand-over
// takes. In this order:
//
//   - Calls that wait end with ErrClosed, new ones are refused.
//   - The ctx of every running Do ends (its cause is ErrClosed), and Leave waits
//     for fn to return: what runs under Do is never given to somebody else while
//     it runs. Stop other work yourself first: locks that were taken with Lock
//     and TryLock are released under whoever holds them, and their Done is closed
//     with ErrReleased.
//   - The owners confirm the releases (half a second at most), the partitions go
//     to others, and the voters drop the node.
//
// When ctx ends first, the node stops at once, as by Close, and the error is
// ErrUnavailable as well as ctx.Err(). It is ErrUnavailable too if no majority of
// the voters answered within two MembershipTTL: the node then just goes, and to
// the others it has crashed. In any case everything has ended when Leave returns.
// A further call waits for the first one and returns the same; Close cuts it
// short. Called from within a Do it would wait for itself: with the ctx of that Do
// it is ErrInvalid and changes nothing.
func (n *Node) Leave(ctx context.Context) error {
	if ctx.Value(jobOf{n}) != nil {
		return &Error{"Leave", "", invalid("called with the ctx of a function that runs under Do: it would wait for itself; let that function return first")}
	}
	if n.closing.Swap(true) {
		<-n.closed
		return n.leaveErr
	}
	err := n.handOver(ctx)
	if err == nil {
		n.detector.leave(goodbyeFor)
	} else {
		n.leaveErr = &Error{"Leave", "", err}
	}
	n.shutdown()
	return n.leaveErr
}

const (
	releaseFor = 500 * time.Millisecond // bounds the wait for owners that do not answer
	goodbyeFor = 250 * time.Millisecond // bounds gossip's goodbye
)

func (n *Node) handOver(ctx context.Context) error {
	n.mail.seal()
	n.ask(func(l *loop) { l.turnAway() })
	select {
	case <-n.jobs.stop(because("the node is leaving", ErrClosed)):
	case <-ctx.Done():
		return ended(ctx, ErrUnavailable, "a function that runs under Do has not returned")
	case <-n.abort:
		return because("closed meanwhile", ErrClosed)
	}

	if ctx.Err() != nil { // nothing is released that nobody would hear of
		return ended(ctx, ErrUnavailable, "ended before the locks were released")
	}
	var empty <-chan struct{}
	n.ask(func(l *loop) { empty = l.releaseAll() })
	patience := time.NewTimer(releaseFor)
	defer patience.Stop()
	select {
	case <-empty:
	case <-patience.C:
	case <-ctx.Done():
	case <-n.abort:
	}

	n.mail.post(ownership.Leave{})
	select {
	case <-n.loop.left:
		if n.loop.confirmed {
			return nil
		}
		return because("no majority of the voters answers; to the others, if there are any, this node has crashed", ErrUnavailable)
	case <-ctx.Done():
		return ended(ctx, ErrUnavailable, "the mesh has not confirmed that this node is out, so to it the node has crashed; "+n.waiting())
	case <-n.abort:
		return because("closed meanwhile", ErrClosed)
	}
}
