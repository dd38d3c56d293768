package linear

import (
	"fmt"
	"math"
	"time"
)

// Kind is what a client called.
type Kind uint8

// The kinds. Lock and Try open a call. Renew is whatever its client was told of a
// held lock: an Extended or a Lost event. Upgrade to Delete are what its client
// asked to change: those of one call are carried out in the order of Invoked. The
// last three belong to no call.
const (
	Lock Kind = iota + 1
	Try
	Unlock
	Renew
	Upgrade   // to Mode, which is all of the key
	Downgrade // to Mode, which is less than before
	Set       // Value.Data is written
	Delete    // the value
	Read      // of the value
	Inspect   // of holders and value at one moment
	Evict     // of the holder of Token, by an operator
)

// Outcome is what it was told.
type Outcome uint8

// The outcomes. The package comment says what each stands for.
const (
	Open      Outcome = iota // never answered
	Granted                  // Lock, Try: with Token and MayExpire
	Busy                     // Lock, Try: held by others, or others are before it in line
	Refused                  // all: invalid, nothing happened
	Cancelled                // Lock, Try: Unlock closed it before it was granted
	Released                 // Unlock: it ended the lock
	NotHeld                  // Unlock: the lock, or the request, was not there any more; Upgrade to Delete: it is not held, or not all of the key; Evict: nobody held it with Token
	GaveUp                   // Unlock, Upgrade to Delete, Evict: given up, nobody certified anything
	Renewed                  // Renew: with MayExpire
	Lost                     // Renew: the client lost it by itself; nobody certified anything
	Missing                  // Renew: the owner certified that it was gone
	Capacity                 // Lock, Try: the key is held with another capacity
	Done                     // Upgrade to Evict: carried out; the lock of an Evict is no longer held
	Conflict                 // Upgrade: refused, since another holder may go up too
)

// Forever is the return of what never returns.
const Forever = time.Duration(math.MaxInt64)

// Mode is how much of a key a lock takes: Weight of its capacity Of. The zero Mode
// is an exclusive lock: all of a key with the capacity Whole.
type Mode struct{ Weight, Of uint32 }

// Whole is the capacity of a key that is no semaphore.
const Whole = 1 << 31

// Modes of a key with the capacity Whole. Many shared locks stand beside each other
// and beside one for update.
var (
	Exclusive = Mode{}
	Shared    = Mode{1, Whole}
	ForUpdate = Mode{Whole/2 + 1, Whole}
)

// Value is what Set wrote, or what Read and Inspect saw. The zero Value says that
// there is none.
type Value struct {
	Data  string // different for each Set finds most
	Token uint64 // under which it was written; of a Set: not asked for
	Stale bool   // a lost configuration may have had a newer one
}

// Holder is one lock in the answer to an Inspect.
type Holder struct {
	Token uint64
	Mode  Mode
	Lost  bool // it was lost, and its place is closed for its Delay
}

// Op is one operation of a client, and its answer.
type Op struct {
	Call     int // which Lock or Try call: its Unlock, its Renews and its changes share it; Read, Inspect, Evict: for people
	Client   int // for people
	Kind     Kind
	Invoked  time.Duration // in true time, like all below
	Returned time.Duration // -1: never
	Outcome  Outcome
	Token    uint64        // Granted: of the grant; Upgrade, Done: the new one; Evict: whose lock; else not asked for
	Mode     Mode          // Lock, Try: what is asked for; Upgrade, Downgrade: the new one
	Delay    time.Duration // Lock, Try: how long its place stays closed if it is lost
	Value    Value         // Set: Data; Read, Inspect, Done: what was seen
	Holders  []Holder      // Inspect, Done: all of them, in any order

	// MayExpire is the earliest moment at which the owner may expire the lease that
	// this Granted or Renewed confirms: when the message that it answers was sent,
	// + TTL.
	MayExpire time.Duration
	// Late, of a Lock or Try, is the earliest moment at which its client can find
	// a grant too late and give it back: Invoked + TTL·(1−d)/(1+d). Set it always;
	// 0 says that no grant ever comes too late.
	Late time.Duration
	// Until, of a Lock or Try that was never granted and whose end nobody certified,
	// is the last moment at which it can hold the key silently, or wait for it. 0:
	// Forever. Who knows better finds more.
	Until time.Duration
}

// History is all that happened to one key, in any order. Other keys do not matter
// to it.
type History struct {
	Key string
	Ops []Op
	// Lost are the moments at which an owner began without the state of the one
	// before (T6; Activated with Lost), those of newly founded meshes too. Whoever
	// held the key does not any more; the value is none, or an old one that is Stale.
	Lost []time.Duration
}

func (k Kind) String() string {
	return name(k, "?", "Lock", "Try", "Unlock", "Renew", "Upgrade", "Downgrade", "Set", "Delete", "Read", "Inspect", "Evict")
}

func (o Outcome) String() string {
	return name(o, "no answer", "Granted", "Busy", "Refused", "Cancelled", "Released", "NotHeld", "GaveUp", "Renewed", "Lost", "Missing", "Capacity", "Done", "Conflict")
}

func name[T ~uint8](n T, names ...string) string {
	if int(n) < len(names) {
		return names[n]
	}
	return "?"
}

func (o Op) String() string {
	s := fmt.Sprintf("call %d (client %d) %v, %v", o.Call, o.Client, o.Kind, o.Outcome)
	if o.Outcome == Granted {
		s += fmt.Sprintf(" token %d", o.Token)
	}
	if o.Returned < 0 {
		return s + fmt.Sprintf(" [%v …]", o.Invoked)
	}
	return s + fmt.Sprintf(" [%v %v]", o.Invoked, o.Returned)
}

// fits says which outcomes a kind can have.
func (o Op) fits() bool {
	lock, change := o.Kind == Lock || o.Kind == Try, o.Kind >= Upgrade && o.Kind <= Delete
	switch o.Outcome {
	case Open, Refused:
		return true
	case Granted, Busy, Cancelled, Capacity:
		return lock
	case Released:
		return o.Kind == Unlock
	case NotHeld, GaveUp:
		return o.Kind == Unlock || o.Kind == Evict || change
	case Done:
		return o.Kind >= Upgrade
	case Conflict:
		return o.Kind == Upgrade
	}
	return o.Kind == Renew
}

// call is one Lock or Try with all that followed.
type call struct {
	lock   Op
	unlock *Op
	renews []Op
	rank   int           // of its token among those granted; -1: not granted
	ends   time.Duration // the earliest moment at which it may have ended unseen
}

// silent is a hold that nobody was told of: between from and to, and not over
// before ends.
type silent struct {
	call           int
	from, to, ends time.Duration
}

// gather sorts operations by call. It says what is wrong with a history that
// contradicts itself.
func gather(h History) ([]*call, string) {
	var calls []*call
	byID := map[int]*call{}
	for _, o := range h.Ops {
		switch {
		case !o.fits():
			return nil, fmt.Sprintf("%v: no outcome of a %v", o, o.Kind)
		case o.Invoked < 0 || o.Outcome == Open && o.Returned >= 0 || o.Outcome != Open && o.Outcome != GaveUp && o.Returned < o.Invoked:
			return nil, fmt.Sprintf("%v: its times are impossible", o)
		case (o.Outcome == Granted || o.Outcome == Renewed) && o.MayExpire <= 0:
			return nil, fmt.Sprintf("%v: MayExpire is missing", o)
		}
		if o.Kind == Lock || o.Kind == Try {
			if byID[o.Call] != nil {
				return nil, fmt.Sprintf("%v: the call exists", o)
			}
			c := &call{lock: o, rank: -1}
			byID[o.Call] = c
			calls = append(calls, c)
		}
	}
	for _, o := range h.Ops {
		c := byID[o.Call]
		switch o.Kind {
		case Unlock:
			if c == nil || c.unlock != nil {
				return nil, fmt.Sprintf("%v: there is no such Lock, or an Unlock before", o)
			}
			c.unlock = &o
		case Renew:
			if c == nil || c.lock.Outcome != Granted {
				return nil, fmt.Sprintf("%v: it was never granted", o)
			}
			c.renews = append(c.renews, o)
		}
	}
	for _, c := range calls {
		if why := c.settle(); why != "" {
			return nil, why
		}
	}
	return calls, ""
}

// settle checks a call as a whole and finds when it may end unseen.
func (c *call) settle() string {
	o, u := &c.lock, c.unlock
	switch {
	case o.Outcome == Open && u != nil && u.Outcome == NotHeld:
		o.Outcome, o.Returned = Cancelled, u.Returned
	case o.Outcome == Cancelled && u != nil && u.Outcome != NotHeld:
		o.Outcome, o.Returned = Open, -1
	}
	switch {
	case u != nil && u.Invoked < o.Invoked:
		return fmt.Sprintf("%v: before its Lock", *u)
	case o.Outcome != Granted && u != nil && u.Outcome == Released:
		return fmt.Sprintf("%v: released, but never granted", *u)
	case o.Outcome != Granted:
		c.ends = max(o.Invoked, o.Late)
		if u != nil {
			c.ends = min(c.ends, u.Invoked)
		} else if o.Outcome == Cancelled { // nobody says since when
			c.ends = o.Invoked
		}
		return ""
	case o.Token == 0:
		return fmt.Sprintf("%v: 0 is no token", *o)
	case u != nil && u.Invoked < o.Returned:
		return fmt.Sprintf("%v: granted after its Unlock", *o)
	}
	c.ends = o.MayExpire
	for _, r := range c.renews {
		if r.Outcome == Renewed {
			c.ends = max(c.ends, r.MayExpire)
		}
	}
	for _, r := range c.renews {
		if r.Outcome == Lost {
			c.ends = min(c.ends, r.Returned)
		}
	}
	if u != nil && (u.Outcome == Open || u.Outcome == GaveUp) {
		c.ends = min(c.ends, u.Invoked)
	}
	return ""
}

// lost says that the client knew by itself that it had lost the lock: what it was
// told of it later rests on nothing.
func (c *call) lost() bool {
	for _, r := range c.renews {
		if r.Outcome == Lost {
			return true
		}
	}
	return false
}

// sure is when the call holds the key in every order.
func (c *call) sure() (from, to time.Duration) {
	from, to = c.lock.Returned, c.ends
	if c.unlock != nil && c.unlock.Outcome == Released {
		to = min(to, c.unlock.Invoked)
	}
	return from, to
}

// silences lists the holds that this call may have had without being told.
func (c *call) silences(n int) []silent {
	o := c.lock
	s := silent{call: n, from: o.Invoked, to: Forever, ends: c.ends}
	if o.Until > 0 {
		s.to = o.Until
	}
	switch o.Outcome {
	case Refused:
		return nil
	case Open:
		return []silent{s}
	case Cancelled:
		s.to = o.Returned
		return []silent{s}
	}
	// It has held before its outcome only if it had time to find a grant too late.
	if o.Late == 0 || o.Returned <= o.Late {
		return nil
	}
	s.to, s.ends = o.Returned, o.Late
	return []silent{s}
}
