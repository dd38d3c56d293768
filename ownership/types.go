package ownership

import (
	"fmt"
	"slices"
	"time"

	"github.com/lockmesh/lockmesh/ring"
)

// NodeID names one run of one process. It is random, made at start and never
// used again: a restarted process is a new node. The zero value names no node.
type NodeID = ring.NodeID

// ClientID names the holder's side of one process. Unlike the NodeID it
// survives a node that is dropped and joins anew (V6), so that locks and leases
// do. The zero value names no client.
type ClientID uint64

// MeshID names one founded mesh. It is the NodeID of the founder, which founds
// at most once in its life. The zero value is "no mesh yet".
type MeshID uint64

// Epoch numbers the views of a mesh. The first one is the founder's wall clock
// in seconds since 2000, each further one is one more.
type Epoch uint32

// Term is the epoch at which the replica list of a group last changed, or at
// which its owner asked for a new term. The zero value is "before founding".
type Term uint32

// Partition is a slice of the key space: ring.Partition(key, Params.Partitions).
type Partition uint32

// Token is a fencing token: term<<32 | count. It strictly rises over the grants
// of a key. The zero value is never granted.
type Token uint64

// Term returns the term in which the token was granted.
func (t Token) Term() Term { return Term(t >> 32) }

func makeToken(t Term, count uint32) Token { return Token(t)<<32 | Token(count) }

// Time is a reading of one node's local clock in nanoseconds. It counts the time
// that the machine was suspended, never goes back, and means nothing on another
// node: it is never sent.
type Time int64

// Echo is a client's or member's own Time on its way through somebody else, who
// can do nothing with it but send it back.
type Echo int64

func (t Time) add(d time.Duration) Time              { return t + Time(d) }
func (t Time) since(u Time) time.Duration            { return time.Duration(t - u) }
func (e Echo) time() Time                            { return Time(e) }
func earlier(a, b Time) Time                         { return min(a, b) }
func (t Time) within(d time.Duration, now Time) bool { return t != 0 && now.since(t) <= d }

// never is later than any reading of a clock.
const never = Time(1<<63 - 1)

// Limits of what a request may carry (K5) and of what a view may be.
const (
	MaxKeyBytes   = 512
	MaxNoteBytes  = 256
	MaxNameBytes  = 256 // names, addresses and zones
	MaxValueBytes = 4096
	MaxPermits    = 1 << 20 // of a semaphore
	MaxHolders    = 1024    // of one key at a time; more wait
	MaxPartitions = 4096
	MaxReplicas   = 7
	MaxMembers    = 1024
	MaxPrior      = 64 // configurations in one group's Prior
	MaxVoters     = 7
)

// Params are the fleet's constants, agreed at founding and carried in every
// view. A node that is configured otherwise is refused.
type Params struct {
	Partitions    int
	Replicas      int
	MaxTTL        time.Duration
	MembershipTTL time.Duration
	DriftPPM      int // the bound on a clock's rate error, in millionths: 10000 is 1 %
}

// Validate says what is wrong with p, or nil.
func (p Params) Validate() error {
	switch {
	case p.Partitions < 1 || p.Partitions > MaxPartitions:
		return fmt.Errorf("the field Partitions is %d; use 1 to %d", p.Partitions, MaxPartitions)
	case p.Replicas < 1 || p.Replicas > MaxReplicas:
		return fmt.Errorf("the field Replicas is %d; use 1 to %d", p.Replicas, MaxReplicas)
	case p.MembershipTTL < 50*time.Millisecond || p.MembershipTTL > time.Hour:
		return fmt.Errorf("the field MembershipTTL is %v; use 50ms to 1h", p.MembershipTTL)
	case p.MaxTTL < time.Millisecond || p.MaxTTL > 24*time.Hour:
		return fmt.Errorf("the field MaxTTL is %v; use 1ms to 24h", p.MaxTTL)
	case p.DriftPPM < 0 || p.DriftPPM > 200_000:
		return fmt.Errorf("the clock drift is %d ppm; use 0 to 200000 (20 %%)", p.DriftPPM)
	}
	return nil
}

// Member is a node of a view. Members are listed oldest first.
type Member struct {
	ID      NodeID
	Name    string // for people
	Addr    string // host:port that others dial
	Zone    string // replicas of one partition are spread over zones
	Leaving bool   // V7: gets no groups, will be dropped when no group needs it
}

// Configuration is a replica list and the term in which it held. The
// configuration of term 0 has no replicas: it stands for whatever may have run
// before the mesh was founded, and can never answer a Seal.
type Configuration struct {
	Term     Term
	Replicas []NodeID
}

// Group says who holds one partition. Replicas[0] is the owner.
type Group struct {
	Term     Term
	Replicas []NodeID
	// Prior are the configurations whose state this group may still need (T1),
	// oldest first, with strictly rising terms below Term. Who takes the group
	// over reads them; they are dropped when the group is known settled (T5).
	Prior []Configuration
}

// Owner returns the one node that may write in the group's term, 0 if it has none.
func (g Group) Owner() NodeID {
	if len(g.Replicas) == 0 {
		return 0
	}
	return g.Replicas[0]
}

// names says that a node is a replica of the group or of a configuration whose state
// it may still need.
func (g Group) names(id NodeID) bool {
	return slices.Contains(g.Replicas, id) || slices.ContainsFunc(g.Prior, func(k Configuration) bool { return slices.Contains(k.Replicas, id) })
}

func (g Group) configuration() Configuration { return Configuration{g.Term, g.Replicas} }

// Apart notes that Owner could not reach Silent in one partition (V5, Stuck).
type Apart struct {
	Partition     Partition
	Owner, Silent NodeID
}

// View is the agreed membership at one epoch. A decided view is shared and
// never changed.
type View struct {
	Mesh    MeshID
	Epoch   Epoch
	Params  Params
	Members []Member // oldest first
	Voters  []NodeID // the members that vote on the next view, first seated first
	Groups  []Group  // by partition
	Apart   []Apart  // stuck pairs that ring keeps apart for a while

	owners *ring.Owners // what ring knows of Members; nil if the view was not made in this process
}

// Member returns the member with this ID, or nil.
func (v *View) Member(id NodeID) *Member {
	if v == nil {
		return nil
	}
	for i := range v.Members {
		if v.Members[i].ID == id {
			return &v.Members[i]
		}
	}
	return nil
}

func (v *View) has(id NodeID) bool     { return v.Member(id) != nil }
func (v *View) isVoter(id NodeID) bool { return v != nil && slices.Contains(v.Voters, id) }

// isFirst says that this is the view that a mesh was founded with: no group has
// another term than its epoch, and nothing ran before that is known.
func (v *View) isFirst() bool {
	return !slices.ContainsFunc(v.Groups, func(g Group) bool {
		return g.Term != Term(v.Epoch) || len(g.Prior) > 1 || len(g.Prior) == 1 && g.Prior[0].Term != 0
	})
}

// Validate refuses a view that no proposer makes: it guards what indexes into
// it, and is called on every view that comes from outside.
func (v *View) Validate() error {
	if err := v.Params.Validate(); err != nil {
		return err
	}
	switch {
	case v.Mesh == 0 || v.Epoch == 0:
		return fmt.Errorf("view without mesh or epoch")
	case len(v.Members) == 0 || len(v.Members) > MaxMembers:
		return fmt.Errorf("view of %d members", len(v.Members))
	case len(v.Voters) == 0 || len(v.Voters) > MaxVoters:
		return fmt.Errorf("view of %d voters", len(v.Voters))
	case len(v.Groups) != v.Params.Partitions:
		return fmt.Errorf("view of %d groups for %d partitions", len(v.Groups), v.Params.Partitions)
	}
	seen := make(map[NodeID]bool, len(v.Members))
	for _, m := range v.Members {
		if m.ID == 0 || seen[m.ID] {
			return fmt.Errorf("member %d twice or zero", m.ID)
		}
		seen[m.ID] = true
	}
	for i, id := range v.Voters {
		if !seen[id] || slices.Contains(v.Voters[:i], id) {
			return fmt.Errorf("voter %d is no member or stands twice", id)
		}
	}
	for p, g := range v.Groups {
		if err := g.validate(v.Epoch); err != nil {
			return fmt.Errorf("partition %d: %w", p, err)
		}
	}
	for _, a := range v.Apart {
		if int(a.Partition) >= len(v.Groups) {
			return fmt.Errorf("apart note for partition %d", a.Partition)
		}
	}
	return nil
}

func (g Group) validate(e Epoch) error {
	if g.Term == 0 || Epoch(g.Term) > e {
		return fmt.Errorf("term %d at epoch %d", g.Term, e)
	}
	if len(g.Replicas) == 0 {
		return fmt.Errorf("no replicas")
	}
	if len(g.Prior) > MaxPrior {
		return fmt.Errorf("%d prior configurations", len(g.Prior))
	}
	last := -1
	for _, c := range append(slices.Clip(g.Prior), g.configuration()) {
		if int(c.Term) <= last {
			return fmt.Errorf("prior terms do not rise")
		}
		last = int(c.Term)
		if len(c.Replicas) > MaxReplicas || (len(c.Replicas) == 0) != (c.Term == 0) {
			return fmt.Errorf("configuration of term %d has %d replicas", c.Term, len(c.Replicas))
		}
		for i, id := range c.Replicas {
			if id == 0 || slices.Contains(c.Replicas[:i], id) {
				return fmt.Errorf("replica %d twice or zero", id)
			}
		}
	}
	return nil
}

// Ballot orders the proposals of one view instance (V2).
type Ballot struct {
	Round uint32
	Node  NodeID
}

func (b Ballot) less(o Ballot) bool {
	if b.Round != o.Round {
		return b.Round < o.Round
	}
	return b.Node < o.Node
}

// RequestID names one request of one client for ever. Its outcome is fixed when
// it is first evaluated (K1).
type RequestID struct {
	Client ClientID
	Seq    uint64 // rises per client
}

// LeaseID names the time-bound right that keeps locks held. All automatically
// renewed locks of a client with one TTL share a lease (K4); a lock that is not
// renewed by itself has one of its own.
type LeaseID struct {
	Client ClientID
	Number uint32
}

// Ticket is a waiter's place in line: the term and number under which it was
// first queued. It keeps its place at a new owner (K2). The zero value is "not
// queued yet" and comes last.
type Ticket struct {
	Term   Term
	Number uint32
}

func (t Ticket) isZero() bool { return t == Ticket{} }

func (t Ticket) before(o Ticket) bool {
	switch {
	case t.isZero() || o.isZero():
		return !t.isZero()
	case t.Term != o.Term:
		return t.Term < o.Term
	}
	return t.Number < o.Number
}

// Holder is one grant in a record.
type Holder struct {
	Request RequestID
	Token   Token  // an upgrade raises it (K8)
	Lease   uint32 // LeaseID.Number of Request.Client
	TTL     time.Duration
	Name    string // the holder's node, for people
	Note    string // Lock's Note, for people
	Mode    Mode
	Delay   time.Duration // how long its place stays closed if it is lost (K9)
	Lost    bool          // it was lost, and its place is closed (K9)
	Altered uint64        // the number of the last Alter that changed the record (K6, K8)
	Since   int64         // when it was granted, by the owner's wall clock: unix milliseconds, for people
}

// Value is what the exclusive holder of a key has left there (K6).
type Value struct {
	Data  []byte
	Token Token // that of the grant under which it was written
	Stale bool  // a lost configuration may have had a newer one (T6)
}

// Record is the replicated state of one key. A record is never changed once it
// is sent or stored: a write carries the whole new one (G1). A key without a
// record is free and has no value; one whose record has no holders is free.
type Record struct {
	Key     string
	Holders []Holder // in the order of their grants, all of one capacity
	Value   *Value   // nil: none
}
