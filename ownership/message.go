package ownership

import "time"

// Message is what one node's core says to another's. Messages are shared
// between sender and receiver in memory, so nobody changes one after it is sent.
//
// The comment on each says who sends it to whom and by which rule. A message
// may be lost, doubled, late or out of order: every rule holds then too.
type Message interface{ Kind() Kind }

// Kind is the number of a message type on the wire. Numbers are never reused.
type Kind uint8

// The kinds, in the order of the message table in doc.go.
const (
	KindContact Kind = iota + 1
	KindFound
	KindFoundAck
	KindJoin
	KindRefused
	KindPrepare
	KindPromise
	KindPropose
	KindAccepted
	KindDecided
	KindDecidedAck
	KindAskView
	KindRenew
	KindRenewAck
	KindAccept
	KindAcceptAck
	KindConfirm
	KindConfirmAck
	KindSeal
	KindSealAck
	KindInstall
	KindSettled
	KindSettledAck
	KindStuck
	KindAcquire
	KindRelease
	KindAnswer
	KindHeartbeat
	KindHeartbeatAck
	KindAlter
	KindQuery
	KindReport
	KindRevoke
	KindNotice
)

// Contact: a node without a view to everybody it hears of. "I have no view and
// am bound to none" (founding).
type Contact struct {
	Member   Member
	Params   Params
	Founders int
	Fresh    bool
}

// Found: the founder to the nodes of the first view it proposes. Accepting it
// binds the receiver for life.
type Found struct{ View *View }

// FoundAck: a founder-to-be accepts the first view of this mesh and epoch.
type FoundAck struct {
	Mesh  MeshID
	Epoch Epoch
}

// Join: a node that is no member to the voters: add me (V5).
type Join struct {
	Member Member
	Params Params
	Epoch  Epoch // of the view it knows: a late or doubled Join adds nobody (V6)
}

// RefusedCode says why a node may not take part.
type RefusedCode uint8

// The reasons of a Refused message.
const (
	RefusedParams   RefusedCode = iota + 1 // other Params than the mesh was founded with
	RefusedMesh                            // a member of another mesh
	RefusedFounders                        // another number of founders than mine
)

// Refused: the answer to a Join or Contact that can never succeed.
type Refused struct {
	Code   RefusedCode
	Detail string // for people: what the answerer has
}

// Prepare: a voter asks the voters of Epoch-1 for a promise (V2, phase 1a).
type Prepare struct {
	Epoch  Epoch
	Ballot Ballot
}

// Promise: the answer to Prepare (V2, phase 1b). Promised above Ballot is a refusal.
type Promise struct {
	Epoch    Epoch
	Ballot   Ballot // the one that is answered
	Promised Ballot
	Accepted Ballot // of Value
	Value    *View  // nil if nothing was accepted
}

// Propose: accept this view (V2, phase 2a).
type Propose struct {
	Epoch  Epoch
	Ballot Ballot
	Value  *View
}

// Accepted: the answer to Propose (V2, phase 2b). Promised above Ballot is a refusal.
type Accepted struct {
	Epoch    Epoch
	Ballot   Ballot
	Promised Ballot
}

// Decided: a view that is decided (V1, V2).
type Decided struct {
	View    *View
	WantAck bool // V7: a leaving node counts who knows the view that drops it
}

// DecidedAck: the sender knows this epoch or a later one (V7).
type DecidedAck struct{ Epoch Epoch }

// AskView: tell me your view if it is newer than Epoch.
type AskView struct{ Epoch Epoch }

// Renew: a member to all voters (L1).
type Renew struct {
	Epoch   Epoch
	Sent    Echo
	Leaving bool // V7: the sender wants to go
	// Without is how long the sender has had no membership lease: one that can
	// speak and not hear is as useless as one that is silent (V3).
	Without time.Duration
}

// RenewAck: a voter's answer repeats both (L1).
type RenewAck struct {
	Epoch Epoch
	Sent  Echo
	Stop  bool // V7: everybody resigned, nobody is left to take over: just stop
}

// Write is one key's new record. Record nil is its deletion.
type Write struct {
	Key    string
	Record *Record
}

// Accept: the owner's writes First, First+1, … of its term (G1).
type Accept struct {
	Partition Partition
	Term      Term
	First     uint64
	Writes    []Write
}

// AcceptAck: a replica's answer to Accept and to Install (G1, T3). OK says that
// its conditions held: it has everything through Last of Term. Otherwise it is
// a refusal, and the rest says where the replica stands.
type AcceptAck struct {
	Partition Partition
	Term      Term // the one that is answered
	OK        bool
	Promised  Term
	Installed Term
	Last      uint64
}

// ConfirmItem is one partition of a confirm round (G2).
type ConfirmItem struct {
	Partition Partition
	Term      Term
	Round     uint64
}

// Confirm: the owner asks its replicas whether promised = installed = its term
// still (G2). The rounds of several partitions that begin together travel together.
type Confirm struct{ Items []ConfirmItem }

// ConfirmAck lists the rounds that the replica confirms (G2).
type ConfirmAck struct{ Items []ConfirmItem }

// Seal: a new owner asks for the state before its term (T1).
type Seal struct {
	Partition Partition
	Term      Term
	Installed Term   // what the asker has
	Last      uint64 // so that nobody sends it less
}

// SealAck: the answer to Seal (T1). With OK false Promised says why. Records
// come in chunks; those of one answer share everything but Chunk and Records.
type SealAck struct {
	Partition Partition
	Term      Term // the one that is answered
	OK        bool
	Promised  Term
	Installed Term
	Last      uint64
	// Served says that the answerer was the owner of Installed and served it,
	// Waiting whether anybody was queued there then: no queue, no grace (K2).
	Served  bool
	Waiting bool
	Chunk   int // 0 … Chunks-1
	Chunks  int // 0 when the asker has as much
	Records []*Record
}

// Install: the owner's state after write Number of its term, in chunks: the
// first state of a term (Number 0, T3) or a snapshot (G1).
type Install struct {
	Partition Partition
	Term      Term
	Number    uint64
	Chunk     int
	Chunks    int
	Records   []*Record
}

// SettledItem is a group whose state is installed on a write quorum (T5).
type SettledItem struct {
	Partition Partition
	Term      Term
}

// Settled: the owner to voters and to the replicas of Prior (T5).
type Settled struct{ Items []SettledItem }

// SettledAck: what of a Settled was noted (T5).
type SettledAck struct{ Items []SettledItem }

// Stuck: the owner to the voters: I cannot reach enough replicas (V5), or my
// count of tokens is nearly used up (T4).
type Stuck struct {
	Partition Partition
	Term      Term
	Heard     []NodeID // who does what the owner waits for
	Exhausted bool     // T4: give me a new term, nothing else
}

// Acquire: a client asks the owner for a lock, asks again, or refreshes its
// place in the queue (K1, K2, K3).
type Acquire struct {
	Request   RequestID
	Low       uint64 // the client's low-water mark: all lower Seqs are closed
	Partition Partition
	Term      Term
	Key       string
	Try       bool // answer busy instead of queueing
	Lease     uint32
	TTL       time.Duration
	Sent      Echo
	Ticket    Ticket
	Name      string
	Note      string
	Mode      Mode
	Delay     time.Duration
}

// Release: a client closes a request, whatever became of it: a queued one is
// cancelled, a granted one unlocked, an unknown one never evaluated (K1).
type Release struct {
	Request   RequestID
	Low       uint64
	Partition Partition
	Term      Term
	Heir      string // K14: the first waiter of this name goes before the others
	Lost      bool   // K9: its client has lost it, and did not let go of it in order
}

// AlterCode says what an Alter does.
type AlterCode uint8

// The codes.
const (
	AlterMode    AlterCode = iota + 1 // K8: up or down
	AlterValue                        // K6: write the value
	AlterNoValue                      // K6: delete the value
	alterCodesEnd
)

// Alter: a holder to the owner: change my grant, or the value (K6, K8). It is sent
// again, under its number, until it is answered.
type Alter struct {
	Request   RequestID
	Low       uint64
	Partition Partition
	Term      Term
	Number    uint64 // from 1, rises over the alterations of one grant
	What      AlterCode
	Mode      Mode
	Value     []byte
}

// Query: a client asks an owner what it knows (K12). With Watch it is sent again
// and again, and answered at once whenever there is something newer than Seen.
type Query struct {
	Client    ClientID
	ID        uint64 // the client's number for it
	Partition Partition
	Term      Term
	Key       string
	Page      bool
	Watch     bool
	Seen      uint64 // Report.Number of the newest one received from this term
}

// Report: an owner to a client: what it knows, certified, or why it cannot say
// (Outcome and Reason as in Answer; OutcomeGranted stands for an answer) (K12).
type Report struct {
	Client    ClientID
	ID        uint64
	Partition Partition
	Term      Term
	Outcome   Outcome
	Number    uint64 // Watch: rises within the term
	Keys      []KeyState
	More      bool
	Reason    Reason // OutcomeWaiting
}

// Revoke: an operator's client to the owner: take the lock of this token from its
// holder (K13). Answered when it is free, or was not held.
type Revoke struct {
	Request   RequestID
	Low       uint64
	Partition Partition
	Term      Term
	Key       string
	Token     Token
	Name      string // the operator's node, for people
}

// Notice: an owner to a holder, of locks that it holds there (K13, K14). A hint that
// heartbeats repeat.
type Notice struct {
	Client ClientID
	Items  []NoticeItem
}

// NoticeItem is one lock of a Notice.
type NoticeItem struct {
	Partition Partition
	Term      Term
	Seq       uint64
	Evicted   bool   // K13: let go; else K14: somebody waits
	By        string // Evicted: the operator's node
}

// Outcome is what an Answer says of a request.
type Outcome uint8

// The outcomes. Waiting and Moved are hints that rest on nothing and decide
// nothing. Invalid rests on the request alone. All others are certified (G2).
const (
	OutcomeWaiting  Outcome = iota + 1 // still open: Reason says why
	OutcomeMoved                       // not the owner in this term
	OutcomeGranted                     // held, with Token
	OutcomeBusy                        // Try: held by Holder
	OutcomeGone                        // it was granted and expired, or its waiter was given up
	OutcomeReleased                    // answer to Release: closed by it
	OutcomeNotHeld                     // answer to Release: it held nothing
	OutcomeInvalid                     // K5: refused for its form
	OutcomeCapacity                    // K7: the key has another capacity, that of Holder
	OutcomeAltered                     // K6, K8: done; Token is the grant's
)

// ReasonCode says why a request is still open.
type ReasonCode uint8

// The reasons.
const (
	ReasonNone     ReasonCode = iota
	ReasonNoView              // this node knows no view yet
	ReasonNoAnswer            // the owner has not answered
	ReasonQueued              // held by Holder, waiters ahead
	ReasonTakeOver            // the owner collects the state from its predecessors (T1–T3)
	ReasonLostWait            // the state before is lost, or the mesh is newly founded: waiting out old leases (T6)
	ReasonGrace               // just taken over: waiting for those who queued before (K2)
	ReasonNoLease             // the owner has no membership lease (L2)
	ReasonNoQuorum            // the owner's replicas do not answer (G1)
	ReasonTooLate             // grants came after their deadline: the TTL is shorter than the way
	ReasonFull                // the owner's queue is full
)

// Reason explains an open request.
type Reason struct {
	Code   ReasonCode
	Left   time.Duration // ReasonLostWait, an Evict, a Holder that is Lost: how long still; ReasonNoLease: for how long already
	Ahead  int           // ReasonQueued: waiters before this one
	Holder Holder        // ReasonQueued: who has it, or one of those
	Others int           // ReasonQueued: holders beside Holder
}

// Answer: the owner to a client, for Acquire, Release, Alter and Revoke (G2).
type Answer struct {
	Request   RequestID
	Partition Partition
	Term      Term
	Release   bool // answers a Release, not an Acquire
	Outcome   Outcome
	Token     Token
	Echo      Echo
	Ticket    Ticket
	Holder    Holder // OutcomeBusy, OutcomeCapacity; OutcomeNotHeld of a Revoke: who has the key
	Reason    Reason // OutcomeWaiting
	Alters    uint64 // answers the Alter of this number, 0 for none
}

// HeartbeatItem is one lease in one partition (K4).
type HeartbeatItem struct {
	Partition Partition
	Term      Term
	Lease     uint32
	TTL       time.Duration
	Beat      uint64 // numbers the heartbeats of this item
	Count     int    // the digest of what the client holds
	Xor       uint64
}

// Heartbeat: a client to an owner: renew these leases (K4).
type Heartbeat struct {
	Client ClientID
	Sent   Echo
	Items  []HeartbeatItem
}

// HeartbeatAckItem answers one HeartbeatItem when it is certified (K4, G2).
type HeartbeatAckItem struct {
	Partition Partition
	Term      Term
	Lease     uint32
	Beat      uint64 // the newest that came before the round began
	Echo      Echo
	Match     bool     // the digest of that beat is the owner's
	Held      []uint64 // the Seqs of all that the owner renews under the lease, if not; no evicted ones (K13)
	Contended []uint64 // the Seqs of those for whose key somebody waits (K14)
}

// HeartbeatAck: an owner's answer; items come as their partitions certify them.
type HeartbeatAck struct {
	Client ClientID
	Items  []HeartbeatAckItem
}

func (Contact) Kind() Kind      { return KindContact }
func (Found) Kind() Kind        { return KindFound }
func (FoundAck) Kind() Kind     { return KindFoundAck }
func (Join) Kind() Kind         { return KindJoin }
func (Refused) Kind() Kind      { return KindRefused }
func (Prepare) Kind() Kind      { return KindPrepare }
func (Promise) Kind() Kind      { return KindPromise }
func (Propose) Kind() Kind      { return KindPropose }
func (Accepted) Kind() Kind     { return KindAccepted }
func (Decided) Kind() Kind      { return KindDecided }
func (DecidedAck) Kind() Kind   { return KindDecidedAck }
func (AskView) Kind() Kind      { return KindAskView }
func (Renew) Kind() Kind        { return KindRenew }
func (RenewAck) Kind() Kind     { return KindRenewAck }
func (Accept) Kind() Kind       { return KindAccept }
func (AcceptAck) Kind() Kind    { return KindAcceptAck }
func (Confirm) Kind() Kind      { return KindConfirm }
func (ConfirmAck) Kind() Kind   { return KindConfirmAck }
func (Seal) Kind() Kind         { return KindSeal }
func (SealAck) Kind() Kind      { return KindSealAck }
func (Install) Kind() Kind      { return KindInstall }
func (Settled) Kind() Kind      { return KindSettled }
func (SettledAck) Kind() Kind   { return KindSettledAck }
func (Stuck) Kind() Kind        { return KindStuck }
func (Acquire) Kind() Kind      { return KindAcquire }
func (Release) Kind() Kind      { return KindRelease }
func (Answer) Kind() Kind       { return KindAnswer }
func (Heartbeat) Kind() Kind    { return KindHeartbeat }
func (HeartbeatAck) Kind() Kind { return KindHeartbeatAck }
func (Alter) Kind() Kind        { return KindAlter }
func (Query) Kind() Kind        { return KindQuery }
func (Report) Kind() Kind       { return KindReport }
func (Revoke) Kind() Kind       { return KindRevoke }
func (Notice) Kind() Kind       { return KindNotice }
