package mesh

import (
	"context"
	"fmt"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// KeyState is what the owner of a key knows of it at one moment, for people and
// their tools. It is a copy: the caller's own.
type KeyState struct {
	Key     string
	Holders []Holder // in the order of their grants; none: the key is free
	Queue   []Waiter // those that wait, first in line first; the first 64 of them
	Waiting int      // how many wait in all
	Value   Value    // its Data is nil if there is none

	Partition int       // of the key, by number
	Owner     string    // Config.Name of the node that grants its locks
	Replicas  []string  // those of the nodes that keep its state, the owner first
	Epoch     uint32    // of the view that says so
	Read      time.Time // when the answer came, by this node's wall clock; durations are as of then
}

// Holder is one lock that is held.
type Holder struct {
	Node  string // Config.Name of the holder
	Note  string // Note
	Mode  Mode
	Token uint64

	// Since is when it was granted, by the wall clock of its owner then.
	Since time.Time

	// Remaining is how long the key stays locked if the owner hears nothing more of
	// the holder. Renewals set it back to a little more than TTL.
	Remaining time.Duration

	// Lost says that it was lost, and that the key stays closed for Remaining: see
	// Delay.
	Lost bool

	// Evicted says that an operator has told it to let go: see Node.Release.
	Evicted bool
}

// Waiter is one call that waits for a key.
type Waiter struct {
	Node     string        // Config.Name of the node on which it waits
	Note     string        // Note
	Mode     Mode          // what it wants
	Upgrades bool          // it holds the key, and waits in Upgrade for the others to go
	Waited   time.Duration // since it is in line at this owner
}

// Inspect asks who holds a key, who waits for it, what its value is, and where it
// lives. The answer is linearizable: what was confirmed before the call is seen.
//
// When ctx ends first, the error is ErrUnavailable as well as ctx.Err(), and its
// text says what was waited for. Other errors: ErrInvalid, ErrClosed.
func (n *Node) Inspect(ctx context.Context, key string) (KeyState, error) {
	a, err := n.lookAt(ctx, key)
	if err != nil {
		return KeyState{}, &Error{"Inspect", key, err}
	}
	return n.keyState(a), nil
}

// Release takes the lock of this token from whoever holds it: it is for operators,
// and Inspect and Locks tell tokens. A token is one grant, so a lock that was
// released meanwhile and taken anew is safe. The holder's Done closes with an
// ErrLost that names this node, and Release returns when it is certain that it has:
// the holder has said so, or its TTL has run out without its being renewed. The next
// in line then has the key, whatever its [Delay] was: whoever calls this answers for
// what may still be on its way. The token of a lease's key, "\x00lease/" and its ID, ends
// the lease: all its locks are lost, with their Delay.
//
// The error is ErrNotHolder, and says who holds the key, if nobody holds it with
// this token. When ctx ends first, it is ErrUnavailable as well as ctx.Err(), and
// the release goes on in the background. Other errors: ErrInvalid (the key, or a
// token of 0), ErrClosed.
func (n *Node) Release(ctx context.Context, key string, token uint64) error {
	if err := n.evict(ctx, key, token); err != nil {
		return &Error{"Release", key, err}
	}
	return nil
}

func (n *Node) evict(ctx context.Context, key string, token uint64) error {
	if wrong := checkKey(key); wrong != "" {
		return invalid(wrong)
	}
	if token == 0 {
		return invalid("the token is 0, which no lock has; Inspect says what the holder's is")
	}
	if ctx.Err() != nil {
		return ended(ctx, ErrUnavailable, "ended before it was asked for")
	}
	q := n.newLook(key)
	q.evict = true
	if err := n.look(q, ownership.Evict{Handle: q.handle, Key: key, Token: ownership.Token(token)}); err != nil {
		return err
	}
	a, err := n.next(ctx, q)
	switch {
	case err != nil && ctx.Err() != nil:
		n.unlook(q) // the call: the core goes on with the release (K13)
		why := "the holder has not let go yet"
		if p := q.pending.Load(); p != nil && p.Reason.Code == ownership.ReasonQueued {
			why = fmt.Sprintf("%s, who has been told to let go within %v", heldBy(p.Reason.Holder, n.client), span(p.Reason.Left))
		} else if p != nil {
			why = n.openText(q)
		}
		return ended(ctx, ErrUnavailable, why+"; it goes on in the background")
	case err != nil:
		return err
	case a.evicted.Done:
		return nil
	case a.evicted.Holder.Token == 0:
		return because("nobody holds the key with token "+utoa(token)+"; it is free", ErrNotHolder)
	}
	return because("nobody holds the key with token "+utoa(token)+"; "+heldBy(a.evicted.Holder, n.client)+" with token "+utoa(uint64(a.evicted.Holder.Token)), ErrNotHolder)
}

// keyState translates the answer about one key.
func (n *Node) keyState(a answer) KeyState { return n.keyStates(a)[0] }

// keyStates translates the answer about some keys of one partition.
func (n *Node) keyStates(a answer) []KeyState {
	view := n.view.Load()
	list := make([]KeyState, 0, len(a.looked.Keys))
	for _, from := range a.looked.Keys {
		k := KeyState{Key: from.Key, Waiting: from.Waiting, Value: valueOf(from.Value),
			Partition: n.partition(from.Key), Owner: shortName(view, a.looked.Owner), Read: a.read}
		if view != nil && k.Partition < len(view.Groups) {
			k.Epoch = uint32(view.Epoch)
			for _, id := range view.Groups[k.Partition].Replicas {
				k.Replicas = append(k.Replicas, shortName(view, id))
			}
		}
		for _, h := range from.Holders {
			k.Holders = append(k.Holders, Holder{Node: h.Name, Note: h.Note, Mode: modeOf(h.Mode), Token: uint64(h.Token),
				Since: time.UnixMilli(h.Since), Remaining: h.Left, Lost: h.Lost, Evicted: h.Evicted})
		}
		for _, w := range from.Queue {
			k.Queue = append(k.Queue, Waiter{Node: w.Name, Note: w.Note, Mode: modeOf(w.Mode), Upgrades: w.Upgrades, Waited: w.Waited})
		}
		list = append(list, k)
	}
	return list
}

// shortName is the name of a node of a view.
func shortName(v *ownership.View, id ownership.NodeID) string {
	if m := v.Member(id); m != nil {
		return m.Name
	}
	return nodeName(v, id)
}
