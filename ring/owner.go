package ring

import (
	"slices"
	"strconv"

	"github.com/buraksezer/consistent"
)

// This file is the one door to package consistent: consistent hashing with bounded loads
// (Mirrokni, Thorup, Zadimoghaddam: Consistent Hashing with Bounded Loads, 2016, arXiv:1608.01350).
// Only its owners are used. Its GetClosestN walks one circle of nodes, the same for all partitions,
// so a leave shifts the replica sets of all who stood before the leaver: see TestMovement.

const (
	// loadBound limits what a node owns to ceil(loadBound × the mean). Higher balances worse, lower
	// moves more owners when a node comes or goes. Above 1 there is always room, which is what keeps
	// consistent from its panic "not enough room to distribute partitions".
	loadBound = 1.25

	// pointsPerNode is how often each node stands on consistent's circle (its ReplicationFactor,
	// which has nothing to do with replicas). 20 is its default.
	pointsPerNode = 20
)

// Owners says who owns each partition by hash, for one set of members: nearly all of the work of
// Assign, and the same as long as nobody comes or goes. It is never changed, so it may be shared.
type Owners struct {
	ids   []NodeID // sorted, without duplicates
	index []int    // by partition: its owner, in ids
}

// OwnersOf returns the owners by hash for in's members and partitions: in.Owners if it is that,
// otherwise new ones. It panics if a member comes twice.
func OwnersOf(in Input) *Owners {
	return in.ownersOf(newAssigner(in).ids)
}

// ownersOf wants ids sorted and without duplicates.
func (in Input) ownersOf(ids []NodeID) *Owners {
	if o := in.Owners; o != nil && len(o.index) == in.Partitions && slices.Equal(o.ids, ids) {
		return o
	}
	return &Owners{ids, owners(ids, in.Partitions)}
}

// owners returns the owner of each partition as an index into ids. ids is sorted, without
// duplicates; consistent would read no partitions as its default, 271.
func owners(ids []NodeID, partitions int) []int {
	out := make([]int, partitions)
	if len(ids) == 0 || partitions == 0 {
		return out
	}
	circle := newCircle(ids, partitions)
	for p := range out {
		out[p] = circle.GetPartitionOwner(p).(*point).index
	}
	return out
}

// newCircle depends on the order of ids in one case only, when two points fall on one hash: the
// later one stays. That is why ids must be sorted.
func newCircle(ids []NodeID, partitions int) *consistent.Consistent {
	members := make([]consistent.Member, len(ids))
	for i, id := range ids {
		members[i] = &point{index: i, name: strconv.FormatUint(uint64(id), 16)}
	}
	return consistent.New(members, consistent.Config{
		Hasher:            hasher{},
		PartitionCount:    partitions,
		ReplicationFactor: pointsPerNode,
		Load:              loadBound,
	})
}

// point is a node on consistent's circle. The name is made once, since consistent asks for it in
// its inner loop.
type point struct {
	index int
	name  string
}

func (p *point) String() string { return p.name }

type hasher struct{}

func (hasher) Sum64(b []byte) uint64 { return Hash(string(b)) }
