package simtest

import (
	"fmt"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// Checker watches the holders of a world in true time. What it holds against
// them is the list of promises in the README: tokens rise, no two holders at
// once, busy means held, an answered unlock frees.
type Checker struct {
	Grants   int
	Failures []string
	w        *World
	calls    map[callID]*Call
	keys     map[string]*keyHistory
}

type callID struct {
	node   *Node
	handle ownership.Handle
}

// Call is one Lock or TryLock and what became of it.
type Call struct {
	Node     *Node
	Handle   ownership.Handle
	Key      string
	Try      bool
	Invoked  time.Duration
	Granted  time.Duration // 0: not yet
	Token    ownership.Token
	Deadline ownership.Time
	Unlock   time.Duration // when Unlock was called, 0: not
	Released time.Duration // when it was answered
	Ended    time.Duration // busy, lost or released
	Busy     bool
	Lost     bool
}

type keyHistory struct {
	calls []*Call
	top   ownership.Token
}

// NewChecker attaches a checker to a world.
func NewChecker(w *World) *Checker {
	ch := &Checker{w: w, calls: map[callID]*Call{}, keys: map[string]*keyHistory{}}
	next := w.OnEvent
	w.OnEvent = func(n *Node, e ownership.Event) {
		ch.event(n, e)
		if next != nil {
			next(n, e)
		}
	}
	return ch
}

func (ch *Checker) fail(format string, args ...any) {
	ch.Failures = append(ch.Failures, fmt.Sprintf("%v: ", ch.w.Now)+fmt.Sprintf(format, args...))
}

// Lock calls the core and follows the call.
func (ch *Checker) Lock(n *Node, in ownership.Lock) *Call {
	c := &Call{Node: n, Handle: in.Handle, Key: in.Key, Try: in.Try, Invoked: ch.w.Now}
	ch.calls[callID{n, in.Handle}] = c
	k := ch.keys[in.Key]
	if k == nil {
		k = &keyHistory{}
		ch.keys[in.Key] = k
	}
	k.calls = append(k.calls, c)
	ch.w.Input(n, in)
	return c
}

// Unlock ends a call.
func (ch *Checker) Unlock(c *Call) {
	if c.Unlock == 0 {
		c.Unlock = ch.w.Now
	}
	ch.w.Input(c.Node, ownership.Unlock{Handle: c.Handle})
}

// believes says that the holder thinks now that it holds the lock.
func (ch *Checker) believes(c *Call) bool {
	return c.Granted != 0 && c.Unlock == 0 && !c.Lost && !c.Node.Crashed && c.Node.Local() < c.Deadline
}

func (ch *Checker) event(n *Node, e ownership.Event) {
	switch e := e.(type) {
	case ownership.Granted:
		c := ch.calls[callID{n, e.Handle}]
		ch.Grants++
		c.Granted, c.Token, c.Deadline = ch.w.Now, e.Token, e.Deadline
		k := ch.keys[c.Key]
		if e.Token <= k.top {
			ch.fail("%s got token %d of %q after %d", n, e.Token, c.Key, k.top)
		}
		k.top = max(k.top, e.Token)
		for _, o := range k.calls {
			if o != c && ch.believes(o) && ch.believes(c) {
				ch.fail("%s got %q (token %d) while %s holds it (token %d)", n, c.Key, e.Token, o.Node, o.Token)
			}
		}
	case ownership.Extended:
		c := ch.calls[callID{n, e.Handle}]
		if e.Deadline < c.Deadline {
			ch.fail("%s: deadline of %q went back", n, c.Key)
		}
		c.Deadline = e.Deadline
		for _, o := range ch.keys[c.Key].calls {
			if o != c && ch.believes(o) && ch.believes(c) {
				ch.fail("%s renewed %q (token %d) while %s holds it (token %d)", n, c.Key, c.Token, o.Node, o.Token)
			}
		}
	case ownership.Busy:
		c := ch.calls[callID{n, e.Handle}]
		c.Busy, c.Ended = true, ch.w.Now
		if !ch.couldBeHeld(c) {
			ch.fail("%s: %q busy, but nobody can have held it since %v", n, c.Key, c.Invoked)
		}
	case ownership.Lost:
		c := ch.calls[callID{n, e.Handle}]
		c.Lost, c.Ended = true, ch.w.Now
	case ownership.Released:
		if c := ch.calls[callID{n, e.Handle}]; c != nil {
			c.Ended = ch.w.Now
			if !e.GaveUp {
				c.Released = ch.w.Now
			}
		}
	}
}

// couldBeHeld says that some call may have held the key at its owner between
// c's invocation and now. Of lost ones and crashed clients nothing is known.
func (ch *Checker) couldBeHeld(c *Call) bool {
	for _, o := range ch.keys[c.Key].calls {
		if o != c && !o.Busy && (o.Released == 0 || o.Released >= c.Invoked) {
			return true
		}
	}
	return false
}

// Open lists the calls of running nodes that wait for an answer.
func (ch *Checker) Open() []*Call {
	var open []*Call
	for _, k := range ch.keys {
		for _, c := range k.calls {
			if !c.Node.Crashed && (c.Granted == 0 && c.Ended == 0 || c.Unlock != 0 && c.Ended == 0) {
				open = append(open, c)
			}
		}
	}
	return open
}
