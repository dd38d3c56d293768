package linear

import (
	"fmt"
	"math"
	"slices"
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
	Closes   bool          // Renew, Lost: it was lost, not let go, so that its place is closed for its Delay also when the client gives it back (K9)

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

func (m Mode) String() string {
	switch m {
	case Exclusive:
		return "exclusive"
	case Shared:
		return "shared"
	case ForUpdate:
		return "for update"
	}
	return fmt.Sprintf("%d of %d", m.Weight, m.Of)
}

func (v Value) String() string {
	switch {
	case v == Value{}:
		return "no value"
	case v.Stale:
		return fmt.Sprintf("%q of token %d, stale", v.Data, v.Token)
	}
	return fmt.Sprintf("%q of token %d", v.Data, v.Token)
}

func (o Op) String() string {
	s := fmt.Sprintf("call %d (client %d) %v", o.Call, o.Client, o.Kind)
	switch {
	case o.Kind == Set:
		s += fmt.Sprintf(" %q", o.Value.Data)
	case o.Kind == Evict:
		s += fmt.Sprintf(" token %d", o.Token)
	case o.Mode != Exclusive:
		s += " " + o.Mode.String()
	}
	s += ", " + o.Outcome.String()
	switch {
	case o.Outcome == Granted || o.Kind == Upgrade && o.Outcome == Done:
		s += fmt.Sprintf(" token %d", o.Token)
	case (o.Kind == Read || o.Kind == Inspect) && o.Outcome == Done:
		for _, h := range o.Holders {
			s += fmt.Sprintf(" token %d %v,", h.Token, h.Mode)
			if h.Lost {
				s += " lost,"
			}
		}
		s += " " + o.Value.String()
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

// weight and of are what the mode takes, and of how much.
func (m Mode) weight() uint32 {
	if m == Exclusive {
		return Whole
	}
	return m.Weight
}

func (m Mode) of() uint32 {
	if m == Exclusive {
		return Whole
	}
	return m.Of
}

func (m Mode) valid() bool { return m == Exclusive || m.Weight > 0 && m.Weight <= m.Of }

// answered says that somebody certified what became of it.
func (o *Op) answered() bool { return o.Outcome != Open && o.Outcome != GaveUp && o.Outcome != Refused }

// wrong says what is impossible about an operation by itself.
func (o *Op) wrong() string {
	switch {
	case !o.fits():
		return fmt.Sprintf("no outcome of a %v", o.Kind)
	case o.Invoked < 0 || o.Outcome == Open && o.Returned >= 0 || o.Outcome != Open && o.Outcome != GaveUp && o.Returned < o.Invoked:
		return "its times are impossible"
	case (o.Outcome == Granted || o.Outcome == Renewed) && o.MayExpire <= 0:
		return "MayExpire is missing"
	case !o.Mode.valid() || o.Delay < 0:
		return "there is no such lock"
	case o.Token == 0 && (o.Outcome == Granted || o.Kind == Upgrade && o.Outcome == Done):
		return "0 is no token"
	case o.Kind == Inspect:
		return o.impossible()
	}
	return ""
}

// impossible says what no key can look like.
func (o *Op) impossible() string {
	sum := uint64(0)
	for i, h := range o.Holders {
		sum += uint64(h.Mode.weight())
		switch {
		case h.Token == 0 || slices.ContainsFunc(o.Holders[:i], func(g Holder) bool { return g.Token == h.Token }):
			return fmt.Sprintf("token %d is not that of one holder", h.Token)
		case h.Mode.of() != o.Holders[0].Mode.of():
			return "its holders have different capacities"
		case sum > uint64(h.Mode.of()):
			return "its holders have more than there is"
		}
	}
	return ""
}
