package ownership

import "time"

// Config is what a core is made of. It never changes.
type Config struct {
	ID       NodeID   // random, never used before
	Client   ClientID // random; survives Rebirth
	Name     string   // for people
	Addr     string   // host:port that others dial
	Zone     string
	Params   Params
	Founders int  // nodes that must meet before the first view is formed; 1 founds alone
	Fresh    bool // nothing of this cluster ran within the last MaxTTL (founding does not wait)
	// Buggify, for simulators, says whether a site is on now; nil: none ever is. It
	// must answer by what was injected alone, and is shared by clones.
	Buggify func(Site) bool
}

// Input is one thing that happens to a core. See Core.Step.
type Input interface{ input() }

// Handle is the runtime's name for one Lock call and the lock it yields.
// The runtime never uses one twice in the life of a core.
type Handle uint64

// Tick tells nothing but the time. Wall is unix seconds, read by founders
// alone. WallMilli is unix milliseconds, for people alone (Holder.Since). 0 leaves
// the last value of either.
type Tick struct {
	Wall      int64
	WallMilli int64
}

// Receive delivers a message. Mesh is the sender's mesh, 0 if it has none.
// The transport vouches for From; Message was decoded without error.
type Receive struct {
	From    NodeID
	Mesh    MeshID
	Message Message
}

// Peer is one line of the roster.
type Peer struct {
	Member Member
	Dead   bool // gossip or the transport believes it is gone
}

// Roster replaces the whole roster: what gossip believes. A hint: nothing that
// it says is unsafe. A peer that is in none of its lines is unknown, not dead.
type Roster struct{ Peers []Peer }

// Lock asks for a key. Its end is a Granted, Busy, Denied or Invalid event, or the
// Released that follows Unlock.
type Lock struct {
	Handle  Handle
	Key     string
	TTL     time.Duration
	Mode    Mode
	Try     bool
	NoRenew bool
	Note    string
	Delay   time.Duration // K9: kept from others this long after its holder was lost; 0 to MaxTTL
	// Lease, if not 0, is the handle of a held lock, an anchor, whose fate this one
	// shares (K10). TTL and NoRenew are the anchor's then.
	Lease Handle
	// After, if not 0, is the handle of an earlier lock of the same set: this one is
	// asked for once that is held, and denied if that ends before (K11).
	After Handle
}

// Unlock closes a handle, whatever became of it: it releases a lock, or cancels
// a request. Released follows when the owner has certified it.
type Unlock struct {
	Handle Handle
	Heir   string // K14: the first waiter of this name goes before the others; "" for none
}

// Extend renews a held lock now. Extended (or Lost) follows.
type Extend struct{ Handle Handle }

// Change alters a held lock or its value (K6, K8): Altered follows, or the lock's
// end. Those of one handle are carried out one after the other.
type Change struct {
	Handle Handle
	Op     uint64 // the runtime's name for this call: rises with each Change of a handle
	What   AlterCode
	Mode   Mode   // AlterMode: the new one
	Value  []byte // AlterValue
}

// Unchange gives a Change up: it is not asked for any more. A change up is taken
// back, also if Altered was on its way; one down goes on. Nothing follows.
type Unchange struct {
	Handle Handle
	Op     uint64
}

// Look asks what an owner knows (K12). Looked follows: once, or with Watch on each
// change until Unlook.
type Look struct {
	Handle    Handle
	Key       string
	Page      bool // not Key, but those after it that have holders or a value, in Partition
	Partition Partition
	Watch     bool // not with Page
}

// Unlook ends a Look. Nothing follows.
type Unlook struct{ Handle Handle }

// Evict takes the lock of this token from whoever holds it (K13). Evicted follows
// when it is over, or Invalid. Unlock gives the call up, not the eviction.
type Evict struct {
	Handle Handle
	Key    string
	Token  Token
}

// Leave begins the way out (V7). Left follows.
type Leave struct{}

// Rebirth answers Dropped: the node starts over under a new NodeID (V6). Its
// client goes on.
type Rebirth struct{ ID NodeID }

func (Tick) input()     {}
func (Receive) input()  {}
func (Roster) input()   {}
func (Lock) input()     {}
func (Unlock) input()   {}
func (Extend) input()   {}
func (Change) input()   {}
func (Unchange) input() {}
func (Look) input()     {}
func (Unlook) input()   {}
func (Evict) input()    {}
func (Leave) input()    {}
func (Rebirth) input()  {}

// Output is what a step asks the runtime to do. Its slices are the core's own
// and valid until the next step.
type Output struct {
	Send   []Envelope
	Notify []Event
	Wake   Time // call Step with a Tick at this time at the latest
}

// Envelope is a message on its way. The runtime sends it at once or drops it.
type Envelope struct {
	To      NodeID
	Mesh    MeshID // of the sender, 0 if it has none
	Message Message
}

// Event is something that a step tells the node's runtime, in order.
type Event interface{ event() }

// Granted: the handle holds the lock until Deadline.
type Granted struct {
	Handle   Handle
	Token    Token
	Deadline Time
}

// Busy: TryLock's answer. The handle is closed.
type Busy struct {
	Handle Handle
	Holder Holder // who has it
}

// Invalid: the request was refused for its form. The handle is closed.
type Invalid struct {
	Handle Handle
	Why    string
}

// Denied: the request can not be served as it is. The handle is closed.
type Denied struct {
	Handle Handle
	Code   DeniedCode
	Holder Holder // DeniedCapacity: one of those whose capacity the key has
}

// DeniedCode says why a lock was denied.
type DeniedCode uint8

// The codes.
const (
	DeniedCapacity DeniedCode = iota + 1 // K7: the key has another capacity while it is held
	DeniedLease                          // K10: its lease is over
	DeniedSet                            // K11: a lock before it in its set has ended
)

// Altered: what became of a Change. With OutcomeAltered it is done: the lock has
// Mode and Token. With OutcomeBusy an upgrade is refused, since the holder and
// Holder would wait for each other; with OutcomeNotHeld a value is, since the lock
// is not, or not exclusively, held at its owner. Op 0 is no Change: one that was given
// up had been carried out and is taken back, and the token has risen.
type Altered struct {
	Handle  Handle
	Op      uint64
	Outcome Outcome
	Mode    Mode
	Token   Token
	Holder  Holder // OutcomeBusy: who is in the way
}

// Looked: what an owner knows (K12), certified. Of a watched key each one is newer
// than the one before.
type Looked struct {
	Handle Handle
	Owner  NodeID
	Term   Term
	Keys   []KeyState // one; with Page those of one page, in order
	More   bool       // Page: others follow the last one
}

// KeyState is one key as its owner knows it. It is shared and never changed.
type KeyState struct {
	Key     string
	Holders []HolderState
	Queue   []WaiterState // the first of those that wait
	Waiting int           // how many wait in all
	Value   *Value        // nil: none
}

// HolderState is one holder at the owner.
type HolderState struct {
	Holder
	Left    time.Duration // until its lease expires, or until its place opens if Lost, if nothing is heard
	Evicted bool          // it was told to let go (K13)
}

// WaiterState is one waiter at the owner, first in line first.
type WaiterState struct {
	Client   ClientID
	Name     string
	Note     string
	Mode     Mode
	Upgrades bool          // a holder that waits for the others to go (K8)
	Waited   time.Duration // since it is in line at this owner
}

// Evicted: an Evict is over. Done says that the lock is no longer held; else no
// holder had that token, and Holder is who has the key, if anybody.
type Evicted struct {
	Handle Handle
	Done   bool
	Holder Holder
}

// Contended: somebody has begun to wait for a lock that is held (K14). A hint: told
// again only when there was nobody in between.
type Contended struct{ Handle Handle }

// Extended: a renewal of a held lock was certified.
type Extended struct {
	Handle   Handle
	Deadline Time
	Asked    bool // it answers an Extend: the renewal was sent after that
}

// LostCause says why a lock was lost.
type LostCause uint8

// The causes.
const (
	LostExpired   LostCause = iota + 1 // no renewal was confirmed before the deadline
	LostMissing                        // the owner no longer has it: released by somebody else
	LostOtherMesh                      // the node now belongs to another mesh
	LostEvicted                        // K13: an operator released it
	LostLease                          // K10: its lease was lost, or another lock of it
	LostRevoked                        // K10: its lease was released
)

// Lost: the lock is no longer held. The handle is closed.
type Lost struct {
	Handle Handle
	Cause  LostCause
	By     string // LostEvicted: the operator's node
}

// Released: the owner has certified that the request is closed. Held says that
// this Unlock is what ended the lock. GaveUp says that nobody certified anything:
// no owner has answered for so long that the lease is over. The handle is closed.
type Released struct {
	Handle Handle
	Held   bool
	GaveUp bool
}

// Pending: why a request is still open changed.
type Pending struct {
	Handle Handle
	Op     uint64 // of a Change, 0 for the Lock, Look or Evict itself
	Owner  NodeID // whom it waits for, 0 if nobody
	Reason Reason
}

// ViewLearned: the node knows a newer view. Member says whether it is in it.
type ViewLearned struct {
	View   *View
	Member bool
}

// Serving: the node's membership lease became valid or ended.
type Serving struct{ Valid bool }

// Activated: the node serves a partition as its owner from now on.
type Activated struct {
	Partition Partition
	Term      Term
	Lost      bool // without the holders before: the lease wait of T6 was sat out
}

// Waits: the node owns the partition but must wait before it serves (T6).
type Waits struct {
	Partition Partition
	Term      Term
	Until     Time
	Founding  bool // since the mesh is newly founded and not Fresh
}

// Dropped: a view dropped this node. It is silent until Rebirth (V6).
type Dropped struct{ Epoch Epoch }

// Abandoned: the first view that this node was bound to did not come to be. It
// is silent until Rebirth.
type Abandoned struct{ Mesh MeshID }

// Left: the node is out of the mesh and may stop (V7). Confirmed is false if
// nobody was there to say so: to the others, if there are any, it has crashed.
type Left struct{ Confirmed bool }

// TurnedAway: this node can never join the mesh it hears (see RefusedCode).
type TurnedAway struct {
	By     NodeID
	Code   RefusedCode
	Detail string
}

// OtherMesh: a member of another mesh spoke to this node and was ignored.
type OtherMesh struct {
	From NodeID
	Mesh MeshID
}

// Disagrees: a node sent a view that no decided chain has, and was ignored: it
// is broken, or a copy of another node.
type Disagrees struct {
	From  NodeID
	Epoch Epoch
}

// Proposing: this node, as a voter, had this view decided; told for the log.
type Proposing struct {
	Epoch   Epoch
	Dropped []Member
	Added   []Member
}

func (Granted) event()     {}
func (Busy) event()        {}
func (Invalid) event()     {}
func (Denied) event()      {}
func (Altered) event()     {}
func (Looked) event()      {}
func (Evicted) event()     {}
func (Contended) event()   {}
func (Extended) event()    {}
func (Lost) event()        {}
func (Released) event()    {}
func (Pending) event()     {}
func (ViewLearned) event() {}
func (Serving) event()     {}
func (Activated) event()   {}
func (Waits) event()       {}
func (Dropped) event()     {}
func (Abandoned) event()   {}
func (Left) event()        {}
func (TurnedAway) event()  {}
func (OtherMesh) event()   {}
func (Disagrees) event()   {}
func (Proposing) event()   {}

// Phase is where a node stands on its way into and out of a mesh.
type Phase uint8

// The phases.
const (
	PhaseFounding Phase = iota + 1 // knows no view; looks for one, or for its fellow founders
	PhaseBound                     // accepted a first view that is not known decided
	PhaseJoining                   // knows a view and asks to be added
	PhaseMember
	PhaseLeaving // member, or dropped and telling the voters (V7)
	PhaseSilent  // dropped or abandoned: waits for Rebirth
	PhaseGone    // Left
)

// Status is what a node knows of its own health, for people and probes.
type Status struct {
	Phase      Phase
	View       *View             // newest known, nil if none
	LeaseValid bool              // L1
	LeaseLeft  time.Duration     // how long the membership lease still lasts; negative: since when it is over
	Heard      []NodeID          // founding: who else is there; otherwise voters that answer
	Refused    string            // why this node was turned away, "" if it was not
	Orphaned   bool              // nobody of the mesh that it knew answers: it founds none, and joins any that does
	Partitions []PartitionStatus // those this node owns
}

// PartitionStatus is one partition at its owner.
type PartitionStatus struct {
	Partition Partition
	Term      Term
	Active    bool
	Reason    Reason // why not, if not
	Held      int    // keys with a holder
	Queued    int    // waiters
}
