package simtest

import (
	"slices"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

type callID struct {
	node   *Node
	handle ownership.Handle
}

// Call is one Lock or TryLock and what became of it. Times are true ones; 0 is
// "not yet", since nothing is called at the very beginning.
type Call struct {
	Node     *Node
	Handle   ownership.Handle
	Key      string
	TTL      time.Duration
	Mode     ownership.Mode // as asked; once it is granted, what the holder may rely on
	Delay    time.Duration
	Try      bool
	NoRenew  bool
	Lease    *Call // the anchor whose fate it shares (K10), nil if none
	After    *Call // the lock of the same set that is to be held before (K11), nil if none
	Invoked  time.Duration
	Granted  time.Duration
	Sent     time.Duration     // when what Granted answers was sent, at the earliest
	Token    ownership.Token   // the newest
	Tokens   []ownership.Token // all: an upgrade gives another one
	Deadline ownership.Time    // on the clock of Node
	Unlock   time.Duration     // when Unlock was called
	Heir     string            // and whom it named
	Believed bool              // it was held when Unlock was called
	Released time.Duration     // when the owner's answer to that came
	Held     bool              // and whether it said that this ended the lock
	Busy     bool
	Denied   ownership.DeniedCode
	Lost     time.Duration
	Cause    ownership.LostCause
	Ended    time.Duration   // nothing more will come
	GaveUp   bool            // since nobody answered Unlock
	Invalid  bool            // it was refused for its form
	Extends  []time.Duration // when Extend was called
	Renewals []Renewal       // all of them, asked for or not
	Changes  []*Alteration   // in their order
	Ghosts   []time.Duration // when a grant came that could not be taken any more
	Queued   time.Duration   // when it first heard that it is in line
	Told     time.Duration   // when it first heard that somebody waits for what it holds
	queuedIn ownership.Term
	asked    ownership.Mode      // the Mode of the call
	modes    []modeSince         // what it has had, for a story
	request  ownership.RequestID // of the grant, if another node sent it
	fellows  []*Call             // of an anchor: the calls that name it
	evicted  bool                // somebody has asked for its eviction
	shown    ownership.Token     // with which somebody has seen it hold, before it was told itself,
	unheard  bool                // and somebody has asked for the eviction of that
	open     bool
}

// modeSince is what a holder has had since a moment.
type modeSince struct {
	at    time.Duration
	mode  ownership.Mode
	token ownership.Token
}

// Renewal is one certified renewal: its heartbeat was not sent before Sent.
type Renewal struct{ Sent, Answered time.Duration }

// Alteration is one Change of what a call holds, and its answer.
type Alteration struct {
	Call     *Call
	Op       uint64
	What     ownership.AlterCode
	Mode     ownership.Mode
	Value    string
	Invoked  time.Duration
	GivenUp  time.Duration // by Unchange
	Answered time.Duration
	Outcome  ownership.Outcome
	Token    ownership.Token // of the grant under which it was done
	waited   time.Duration   // when it first heard that it waits for other holders, 0 if never,
	waitedIn ownership.Term  // and from the owner of which term
	idle     bool            // the lock had that mode already
}

// isUp says that it asks for more than the holder has.
func (a *Alteration) isUp() bool {
	return a.What == ownership.AlterMode && a.Mode == ownership.Exclusive
}

func (a *Alteration) isDown() bool { return a.What == ownership.AlterMode && !a.isUp() }

// waits says that its answer is to come.
func (a *Alteration) waits() bool {
	return a.Answered == 0 && a.GivenUp == 0 && a.Call.Ended == 0 && a.Call.Unlock == 0
}

type keyHistory struct {
	name      string
	calls     []*Call
	believers []*Call // granted, not yet known ended
	top       ownership.Token
	topAt     time.Duration // when its grant was seen
	wall      ownership.Token
	wallAt    time.Duration // likewise of the newest grant beside which there is no other
	tokens    map[ownership.Token]*Call
	freed     time.Duration                      // when an Unlock that ended a lock was last answered; 0: somebody has had it since
	delayed   []*Call                            // granted with a Delay, and not known to be over in order (K9)
	closedIn  map[ownership.Token]ownership.Term // lost holders of which places were seen closed, and the first term of that
	writes    []*Alteration                      // of the value, and deletions
	heirs     []string                           // nodes that an Unlock has named
	heir      *Call                              // who named one when it let go; nil: somebody has had it since
	watches   []*Inquiry
	reads     []reading
	evictions []*Eviction
	changed   time.Duration // when somebody last called for, or was told of, a change of the key
	line      []*place      // who is in line at its owner, and some who were
	record    seenRecord    // the newest
	handed    *handOver     // on its way through the owner
}

// Call returns what a node's handle stands for, nil if it was never used.
func (ch *Checker) Call(n *Node, h ownership.Handle) *Call { return ch.calls[callID{n, h}] }

// used says that a handle is taken: no runtime uses one twice.
func (ch *Checker) used(id callID) bool {
	return ch.calls[id] != nil || ch.looks[id] != nil || ch.evictions[id] != nil
}

func (ch *Checker) key(name string) *keyHistory {
	k := ch.keys[name]
	if k == nil {
		k = &keyHistory{name: name, tokens: map[ownership.Token]*Call{}}
		ch.keys[name] = k
		ch.names = append(ch.names, name)
	}
	return k
}

// Lock calls the core and follows the call.
func (ch *Checker) Lock(n *Node, in ownership.Lock) *Call {
	id := callID{n, in.Handle}
	if ch.used(id) {
		return ch.calls[id]
	}
	c := &Call{Node: n, Handle: in.Handle, Key: in.Key, TTL: in.TTL, Mode: in.Mode, asked: in.Mode, Delay: in.Delay, Try: in.Try, NoRenew: in.NoRenew,
		Invoked: ch.w.Now, open: true}
	if c.Lease = ch.Call(n, in.Lease); c.Lease != nil {
		c.TTL, c.NoRenew = c.Lease.TTL, c.Lease.NoRenew
		c.Lease.fellows = append(c.Lease.fellows, c)
	}
	if c.After = ch.Call(n, in.After); c.After != nil {
		ch.sets[n] = true
	}
	ch.calls[id] = c
	k := ch.key(in.Key)
	k.calls = append(k.calls, c)
	k.changed = ch.w.Now
	ch.open = append(ch.open, c)
	ch.w.Input(n, in)
	return c
}

// Unlock closes a call.
func (ch *Checker) Unlock(c *Call) { ch.HandOver(c, "") }

// HandOver closes a call and names an heir.
func (ch *Checker) HandOver(c *Call, heir string) {
	if c.Unlock == 0 {
		ch.judgeContended(c)
		k := ch.keys[c.Key]
		c.Unlock, c.Believed, c.Heir = ch.w.Now, ch.believes(c), heir
		k.changed = ch.w.Now
		if k.heir = nil; heir != "" {
			k.heirs = append(k.heirs, heir)
			if c.Believed && whole(c.Mode) && c.Token == k.top {
				k.heir = c
			}
		}
		if !c.open && c.Ended == 0 {
			c.open = true
			ch.open = append(ch.open, c)
		}
		ch.letGoOfLease(c)
	}
	ch.w.Input(c.Node, ownership.Unlock{Handle: c.Handle, Heir: heir})
}

// Extend renews a call's lock.
func (ch *Checker) Extend(c *Call) {
	if ch.believes(c) {
		c.Extends = append(c.Extends, ch.w.Now)
	}
	ch.w.Input(c.Node, ownership.Extend{Handle: c.Handle})
}

// Change alters what a call holds. One that holds nothing as far as its client
// knows, and a number that does not rise, are nothing that a runtime calls with.
func (ch *Checker) Change(c *Call, in ownership.Change) *Alteration {
	if c.Granted == 0 || c.Ended != 0 || c.Unlock != 0 || len(c.Changes) > 0 && c.Changes[len(c.Changes)-1].Op >= in.Op {
		return nil
	}
	a := &Alteration{Call: c, Op: in.Op, What: in.What, Mode: in.Mode, Value: string(in.Value), Invoked: ch.w.Now}
	c.Changes = append(c.Changes, a)
	ch.alters = append(ch.alters, a)
	k := ch.keys[c.Key]
	k.changed = ch.w.Now
	if in.What == ownership.AlterMode {
		c.lower(in.Mode) // K8: from the moment that it asks it counts as being there
	} else {
		k.writes = append(k.writes, a)
	}
	in.Handle = c.Handle
	ch.w.Input(c.Node, in)
	return a
}

// lower notes that a holder may not rely on more than m any longer.
func (c *Call) lower(m ownership.Mode) {
	weight, of := weightOf(m)
	if now, capacity := weightOf(c.Mode); of == capacity && weight < now {
		c.Mode = m
		c.noteMode()
	}
}

func (c *Call) noteMode() {
	c.modes = append(c.modes, modeSince{c.Node.World.Now, c.Mode, c.Token})
}

// Unchange gives a change up that is not answered. As in the runtime, one that goes
// down is not given up: it counts since it was asked for.
func (ch *Checker) Unchange(c *Call, op uint64) {
	i := slices.IndexFunc(c.Changes, func(a *Alteration) bool { return a.Op == op })
	if i < 0 || !c.Changes[i].waits() || c.Changes[i].isDown() {
		return
	}
	c.Changes[i].GivenUp = ch.w.Now
	ch.givesUpGoingUp(ch.keys[c.Key], c.Changes[i])
	ch.keys[c.Key].changed = ch.w.Now
	ch.w.Input(c.Node, ownership.Unchange{Handle: c.Handle, Op: op})
}

// believes says that the holder thinks now that it holds the lock.
func (ch *Checker) believes(c *Call) bool {
	return c.Granted != 0 && c.Unlock == 0 && c.Lost == 0 && !c.Node.Crashed && c.Node.Local() < c.Deadline
}

// mayHoldSince says that a granted call may have been this holder after a moment: its
// unlock was not answered before (a place that is closed since it was lost stays so),
// it had no newer token, and nobody was told of a grant before that leaves no room
// for it.
func (ch *Checker) mayHoldSince(o *Call, h ownership.Holder, since time.Duration) bool {
	if o.Released != 0 && o.Released < since && !h.Lost || h.Lost && o.Delay == 0 {
		return false
	}
	for _, a := range o.Changes { // superseded by an upgrade
		if a.Answered != 0 && a.Answered < since && a.Outcome == ownership.OutcomeAltered && a.Token > h.Token {
			return false
		}
	}
	k := ch.keys[o.Key]
	return h.Token >= k.wall || k.wallAt >= since
}

// wellFormed says that a call is one that must not be refused for its form (K5).
func (ch *Checker) wellFormed(c *Call) bool {
	most := ch.params().MaxTTL
	weight, of := weightOf(c.asked)
	known := c.asked == ownership.Exclusive || c.asked == ownership.Shared || c.asked == ownership.ForUpdate
	return c.TTL > 0 && c.TTL <= most && c.Delay >= 0 && c.Delay <= most && (known || weight >= 1 && weight <= of && of <= ownership.MaxPermits)
}

// mayExpire is the earliest moment at which the owner may expire what a call holds:
// when the newest message that it has certified was sent, + TTL.
func (c *Call) mayExpire() time.Duration {
	at := c.Sent + c.TTL
	for _, r := range c.Renewals {
		at = max(at, r.Sent+c.TTL)
	}
	return at
}

// changing says that a change of what it holds is to be answered.
func (c *Call) changing() bool { return slices.ContainsFunc(c.Changes, (*Alteration).waits) }

func (ch *Checker) ended(c *Call) {
	c.Ended = ch.w.Now
	ch.keys[c.Key].changed = ch.w.Now
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
