package simtest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// Checker watches a world in true time and holds against it what the README
// promises. It sees everything: every call and answer of every client, every
// message, all clocks. Each check has a name, which a Failure carries; the package
// documentation lists them.
//
// With Wild set clocks are beyond the bound: what rests on clock rates is not
// checked then, tokens are.
type Checker struct {
	Wild     bool
	Grants   int
	Views    int
	Failures []Failure
	Goals    Goals
	Unknown  int // keys whose history Linear could not decide in its time

	w                    *World
	calls                map[callID]*Call
	open                 []*Call // those with an answer to come, by invocation
	keys                 map[string]*keyHistory
	releases             map[ownership.RequestID]bool // that were sent to an owner
	names                []string                     // of keys, in the order of their first use
	views                map[viewID]*ownership.View
	proposed             map[*ownership.View]bool
	learnedAt            map[viewID]time.Duration
	members              map[ownership.NodeID]bool // that ever were
	leaving              map[ownership.NodeID]bool // that a view called so
	left                 map[ownership.NodeID]bool // in order (V7)
	served               map[version]bool          // terms whose owner became active
	versions             map[version]uint64
	chain                *ownership.View // the newest
	lastView             time.Duration   // when it was first learned
	lost                 map[ownership.Partition]time.Duration
	mesh                 int              // how often the mesh was refounded
	serving              ownership.MeshID // the mesh that serves
	healedAt             time.Duration    // 0: not yet
	disturbed            time.Duration    // when something was last done but lock and unlock
	rested, restedBefore *ownership.View  // in which it was at rest at the last Rests
	letGo                func(*Call)      // is told of grants that somebody waited for, to end them
}

// Failure is a promise that was not kept.
type Failure struct {
	At    time.Duration
	Check string
	Text  string
	Calls []*Call // those it is about, if any
	form  string  // of Text, without names and numbers: shrinking must not change it
}

func (f Failure) String() string { return fmt.Sprintf("%v: %s: %s", f.At, f.Check, f.Text) }

type callID struct {
	node   *Node
	handle ownership.Handle
}

type viewID struct {
	mesh  ownership.MeshID
	epoch ownership.Epoch
}

// Call is one Lock or TryLock and what became of it. Times are true ones; 0 is
// "not yet", since nothing is called at the very beginning.
type Call struct {
	Node     *Node
	Handle   ownership.Handle
	Key      string
	TTL      time.Duration
	Try      bool
	Invoked  time.Duration
	Granted  time.Duration
	Sent     time.Duration // when what Granted answers was sent, at the earliest
	Token    ownership.Token
	Deadline ownership.Time // on the clock of Node
	Unlock   time.Duration  // when Unlock was called
	Believed bool           // it was held when Unlock was called
	Released time.Duration  // when the owner's answer to that came
	Held     bool           // and whether it said that this ended the lock
	Busy     bool
	Lost     time.Duration
	Cause    ownership.LostCause
	Ended    time.Duration // nothing more will come
	GaveUp   bool          // since nobody answered Unlock
	Invalid  bool          // it was refused for its form
	Extends  []Extension
	Renewals []Renewal       // all of them, asked for or not
	Ghosts   []time.Duration // when a grant came that could not be taken any more
	Queued   time.Duration   // when it first heard that it is in line
	queuedIn ownership.Term
	open     bool
}

// Extension is one Extend and its answer.
type Extension struct{ Invoked, Answered time.Duration }

// Renewal is one certified renewal: its heartbeat was not sent before Sent.
type Renewal struct{ Sent, Answered time.Duration }

type keyHistory struct {
	calls     []*Call
	believers []*Call // granted, not yet known ended
	top       ownership.Token
	topAt     time.Duration // when its grant was seen
	tokens    map[ownership.Token]*Call
	freed     time.Duration // when an Unlock that ended a lock was last answered; 0: somebody has had it since
}

// NewChecker attaches a checker to a world. Hooks that are set already go on.
func NewChecker(w *World) *Checker {
	ch := &Checker{
		w:         w,
		calls:     map[callID]*Call{},
		keys:      map[string]*keyHistory{},
		releases:  map[ownership.RequestID]bool{},
		views:     map[viewID]*ownership.View{},
		proposed:  map[*ownership.View]bool{},
		learnedAt: map[viewID]time.Duration{},
		members:   map[ownership.NodeID]bool{},
		left:      map[ownership.NodeID]bool{},
		leaving:   map[ownership.NodeID]bool{},
		served:    map[version]bool{},
		versions:  map[version]uint64{},
		lost:      map[ownership.Partition]time.Duration{},
	}
	event, send, deliver := w.OnEvent, w.OnSend, w.OnDeliver
	w.OnEvent = func(n *Node, e ownership.Event) {
		ch.event(n, e)
		if event != nil {
			event(n, e)
		}
	}
	w.OnSend = func(n *Node, e ownership.Envelope) {
		ch.sent(n, &e)
		if send != nil {
			send(n, e)
		}
	}
	w.OnDeliver = func(f Flight) {
		ch.delivered(&f)
		if deliver != nil {
			deliver(f)
		}
	}
	return ch
}

func (ch *Checker) fail(check string, calls []*Call, format string, args ...any) {
	ch.Failures = append(ch.Failures, Failure{ch.w.Now, check, fmt.Sprintf(format, args...), calls, formOf(format, args)})
}

// formOf tells two failures of one check apart: by the format of the text; a panic by
// the name of the invariant.
func formOf(format string, args []any) string {
	if format != "%v" || len(args) == 0 {
		return format
	}
	name, _, _ := strings.Cut(fmt.Sprint(args[0]), " violated:")
	return name
}

// Call returns what a node's handle stands for, nil if it was never used.
func (ch *Checker) Call(n *Node, h ownership.Handle) *Call { return ch.calls[callID{n, h}] }

// Lock calls the core and follows the call.
func (ch *Checker) Lock(n *Node, in ownership.Lock) *Call {
	if c := ch.calls[callID{n, in.Handle}]; c != nil {
		return c
	}
	c := &Call{Node: n, Handle: in.Handle, Key: in.Key, TTL: in.TTL, Try: in.Try, Invoked: ch.w.Now, open: true}
	ch.calls[callID{n, in.Handle}] = c
	k := ch.keys[in.Key]
	if k == nil {
		k = &keyHistory{tokens: map[ownership.Token]*Call{}}
		ch.keys[in.Key] = k
		ch.names = append(ch.names, in.Key)
	}
	k.calls = append(k.calls, c)
	ch.open = append(ch.open, c)
	ch.w.Input(n, in)
	return c
}

// Unlock closes a call.
func (ch *Checker) Unlock(c *Call) {
	if c.Unlock == 0 {
		c.Unlock, c.Believed = ch.w.Now, ch.believes(c)
		if !c.open && c.Ended == 0 {
			c.open = true
			ch.open = append(ch.open, c)
		}
	}
	ch.w.Input(c.Node, ownership.Unlock{Handle: c.Handle})
}

// Extend renews a call's lock.
func (ch *Checker) Extend(c *Call) {
	if ch.believes(c) {
		c.Extends = append(c.Extends, Extension{Invoked: ch.w.Now})
	}
	ch.w.Input(c.Node, ownership.Extend{Handle: c.Handle})
}

// believes says that the holder thinks now that it holds the lock.
func (ch *Checker) believes(c *Call) bool {
	return c.Granted != 0 && c.Unlock == 0 && c.Lost == 0 && !c.Node.Crashed && c.Node.Local() < c.Deadline
}

func (ch *Checker) event(n *Node, e ownership.Event) {
	switch e := e.(type) {
	case ownership.ViewLearned:
		ch.learned(n, e)
	case ownership.Serving:
		n.gained = ch.w.Now
		if !e.Valid {
			n.gained = never
			ch.Goals.Reach("lease lost and gained")
		}
	case ownership.Activated:
		ch.served[version{mesh: n.Core.View().Mesh, partition: e.Partition, term: e.Term}] = true
		ch.oneMesh(n)
		if e.Lost {
			ch.lost[e.Partition] = ch.w.Now
			ch.lostRightly(n, e.Partition)
		}
		ch.served[version{mesh: n.Core.View().Mesh, partition: e.Partition}] = true // in any term
		ch.Goals.activated(ch, n, e)
	case ownership.Granted:
		ch.granted(ch.calls[callID{n, e.Handle}], e)
	case ownership.Extended:
		ch.extended(ch.calls[callID{n, e.Handle}], e)
	case ownership.Busy:
		ch.busy(ch.calls[callID{n, e.Handle}], e.Holder)
	case ownership.Lost:
		ch.lostLock(ch.calls[callID{n, e.Handle}], e)
	case ownership.Released:
		if c := ch.calls[callID{n, e.Handle}]; c != nil {
			ch.released(c, e)
		}
	case ownership.Pending:
		ch.pending(ch.calls[callID{n, e.Handle}], e)
	case ownership.Invalid:
		c := ch.calls[callID{n, e.Handle}]
		c.Invalid = true
		ch.ended(c)
		if c.TTL <= ch.params().MaxTTL {
			ch.fail("memory", []*Call{c}, "%s: handle %d was refused: %s", n, e.Handle, e.Why)
		}
	case ownership.Left:
		if id := n.Core.ID(); e.Confirmed && ch.leaving[id] {
			ch.left[id] = true
			ch.leftBehind(n)
		}
		ch.Goals.event(e)
	case ownership.Disagrees:
		ch.fail("view", nil, "%s was sent a view of epoch %d that contradicts its own", n, e.Epoch)
	default:
		ch.Goals.event(e)
	}
}

func (ch *Checker) granted(c *Call, e ownership.Granted) {
	ch.Grants++
	now, k := ch.w.Now, ch.keys[c.Key]
	if c.TTL > ch.params().MaxTTL {
		ch.fail("memory", []*Call{c}, "%s was granted %q for %v, which is more than MaxTTL (K5)", c.Node, c.Key, c.TTL)
	}
	if c.Unlock != 0 {
		ch.fail("memory", []*Call{c}, "%s was granted %q after it had closed the call", c.Node, c.Key)
	}
	c.Granted, c.Token, c.Deadline = now, e.Token, e.Deadline
	c.Sent = c.sentAt(e.Deadline)
	switch o := k.tokens[e.Token]; {
	case o != nil:
		ch.fail("token", []*Call{o, c}, "%s got token %s of %q, which %s has had", c.Node, tokenText(e.Token), c.Key, o.Node)
	case e.Token <= k.top && !ch.Wild:
		ch.fail("token", []*Call{k.tokens[k.top], c}, "%s got token %s of %q after %s", c.Node, tokenText(e.Token), c.Key, tokenText(k.top))
	case e.Token <= k.top && c.Invoked > k.topAt:
		// Whatever the clocks: it was asked for after the higher one was told.
		ch.fail("token", []*Call{k.tokens[k.top], c}, "%s asked for %q after %s was granted and got token %s", c.Node, c.Key, tokenText(k.top), tokenText(e.Token))
	}
	k.tokens[e.Token] = c
	if e.Token > k.top {
		k.top, k.topAt = e.Token, now
	}
	ch.exclusion(k, c, "got")
	k.believers = append(k.believers, c)
	ch.checkTurn(k, c)
	ch.checkFreed(k, c)
	ch.Goals.granted(ch, c)
	if c.Unlock == 0 {
		ch.close(c)
		if ch.letGo != nil {
			ch.letGo(c)
		}
	}
}

// exclusion: nobody else may believe in the key at this moment.
func (ch *Checker) exclusion(k *keyHistory, c *Call, what string) {
	k.believers = slices.DeleteFunc(k.believers, func(o *Call) bool { return !ch.believes(o) })
	if ch.Wild || !ch.believes(c) {
		return
	}
	for _, o := range k.believers {
		if o != c {
			ch.fail("exclusion", []*Call{o, c}, "%s %s %q (token %s) while %s holds it (token %s)", c.Node, what, c.Key, tokenText(c.Token), o.Node, tokenText(o.Token))
		}
	}
}

func (ch *Checker) extended(c *Call, e ownership.Extended) {
	if e.Deadline < c.Deadline {
		ch.fail("memory", []*Call{c}, "%s: the deadline of %q went back", c.Node, c.Key)
	}
	if !ch.believes(c) && !ch.Wild {
		ch.fail("exclusion", []*Call{c}, "%s renewed %q (token %s) after its deadline", c.Node, c.Key, tokenText(c.Token))
	}
	c.Deadline = e.Deadline
	c.Renewals = append(c.Renewals, Renewal{c.sentAt(e.Deadline), ch.w.Now})
	if v := c.Node.Core.View(); v != nil && v.Groups[partitionOf(c.Key, v.Params)].Term > c.Token.Term() {
		ch.Goals.Reach("renewed by a later owner")
	}
	ch.exclusion(ch.keys[c.Key], c, "renewed")
	if e.Asked {
		for i := range c.Extends {
			if c.Extends[i].Answered == 0 {
				c.Extends[i].Answered = ch.w.Now
			}
		}
	}
}

func (ch *Checker) busy(c *Call, h ownership.Holder) {
	c.Busy = true
	ch.ended(c)
	ch.Goals.Reach("busy")
	k := ch.keys[c.Key]
	switch o := k.tokens[h.Token]; {
	case o == c || o == nil && ch.isItself(c, h):
		ch.fail("busy", []*Call{c}, "%s: %q busy with itself: request %d, token %s", c.Node, c.Key, h.Request.Seq, tokenText(h.Token))
	case o != nil && !ch.mayHoldSince(o, c.Invoked):
		ch.fail("busy", []*Call{o, c}, "%s: %q busy with token %s of %s, which had ended at %v", c.Node, c.Key, tokenText(h.Token), o.Node, c.Invoked)
	case o == nil && h.Token < k.top && k.topAt < c.Invoked:
		ch.fail("busy", []*Call{c}, "%s: %q busy with token %s, which nobody was told of, after %s was", c.Node, c.Key, tokenText(h.Token), tokenText(k.top))
	}
}

// mayHoldSince says that a granted call may have held the key after a moment: its
// unlock was not answered before, nor was a higher token seen.
func (ch *Checker) mayHoldSince(o *Call, since time.Duration) bool {
	if o.Released != 0 {
		return o.Released >= since
	}
	k := ch.keys[o.Key]
	return o.Token == k.top || k.topAt >= since
}

// isItself says that the holder that a call was told of can be nobody but that call:
// it is of the same client, which has no other one that may hold unseen.
func (ch *Checker) isItself(c *Call, h ownership.Holder) bool {
	if int(h.Request.Client) != 1001+c.Node.Index {
		return false
	}
	return !slices.ContainsFunc(ch.keys[c.Key].calls, func(o *Call) bool {
		return o != c && o.Node == c.Node && (len(o.Ghosts) > 0 || o.Granted == 0 && (o.Ended == 0 || o.Ended >= c.Invoked || !o.Busy))
	}) && len(c.Ghosts) == 0
}

func (ch *Checker) lostLock(c *Call, e ownership.Lost) {
	c.Lost, c.Cause = ch.w.Now, e.Cause
	ch.ended(c)
	ch.Goals.lost(e.Cause)
	// An answered grant is not forgotten while a write quorum of its group lives:
	// only a start without holders (T6) may let a lock be missing at its owner.
	if e.Cause == ownership.LostMissing && !ch.Wild && ch.lostSince(c) < c.Granted {
		ch.fail("memory", []*Call{c}, "%s: the owner of %q has forgotten the grant of token %s", c.Node, c.Key, tokenText(c.Token))
	}
}

// lostSince is when the state of a call's partition was last lost (T6).
func (ch *Checker) lostSince(c *Call) time.Duration {
	return ch.lost[partitionOf(c.Key, c.Node.Config.Params)]
}

func (ch *Checker) released(c *Call, e ownership.Released) {
	if c.Ended != 0 {
		return
	}
	ch.ended(c)
	if c.GaveUp = e.GaveUp; e.GaveUp {
		ch.Goals.Reach("unlock given up")
		return
	}
	c.Released, c.Held = ch.w.Now, e.Held
	if k := ch.keys[c.Key]; e.Held && c.Token == k.top {
		k.freed = ch.w.Now
	}
	if c.Granted == 0 {
		ch.Goals.Reach("cancelled")
	}
	if c.Believed && !e.Held && !ch.Wild && c.Node.Local() < c.Deadline && ch.lostSince(c) < c.Granted {
		ch.fail("memory", []*Call{c}, "%s unlocked %q (token %s) before its deadline and was told that it held nothing", c.Node, c.Key, tokenText(c.Token))
	}
}

func (ch *Checker) pending(c *Call, e ownership.Pending) {
	switch e.Reason.Code {
	case ownership.ReasonTooLate:
		c.Ghosts = append(c.Ghosts, ch.w.Now)
		ch.Goals.Reach("a grant that raced its expiry")
	case ownership.ReasonQueued:
		if v := c.Node.Core.View(); c.Queued == 0 && v != nil {
			c.Queued, c.queuedIn = ch.w.Now, v.Groups[partitionOf(c.Key, v.Params)].Term
		}
	}
}

func (ch *Checker) ended(c *Call) {
	c.Ended = ch.w.Now
	ch.close(c)
}

// close takes a call off the list of those with an answer to come.
func (ch *Checker) close(c *Call) {
	if !c.open {
		return
	}
	c.open = false
	if i := slices.Index(ch.open, c); i >= 0 {
		ch.open = slices.Delete(ch.open, i, i+1)
	}
}

// Open lists the calls of running nodes that wait for an answer, oldest first.
func (ch *Checker) Open() []*Call {
	ch.open = slices.DeleteFunc(ch.open, func(c *Call) bool {
		c.open = !c.Node.Crashed
		return c.Node.Crashed
	})
	return ch.open
}

func tokenText(t ownership.Token) string { return fmt.Sprintf("%d.%d", t.Term(), uint32(t)) }
