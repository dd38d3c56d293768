// Package ring places partitions on nodes: members in, groups out.
//
// Assign is a pure function. It reads no clock, no random source and no map order, so equal input
// gives equal groups on every node and in every run. A proposer calls it when it makes a view, and
// at each check whether a new view is due; the groups become part of the decided view, and all
// others read them there. A table that is never written after it was made needs no lock.
//
// How a group is made:
//
//  1. Its owner comes from consistent hashing with bounded loads (owner.go).
//  2. The others are chosen one at a time by rank: a node of the least used zone first; among those
//     one that already holds the partition, in the order of the list before; among the rest the one
//     with the highest rendezvous weight.
//  3. Nodes that could not reach each other in this partition are kept apart (apart.go).
//
// What follows, each held by a property test:
//
//   - Every partition has min(Replicas, members) distinct replicas, whatever else the input says.
//   - The order of the members does not matter.
//   - Assigning again over the result changes nothing: see assigner for why.
//   - In one zone and without notes, who holds a partition keeps it until it leaves, or until a new
//     owner from outside the group needs a seat; then the last of the list goes.
//
// The price of staying put: only ownership is balanced for ever. A node that joins gets its share
// of owners at once, but seats as a follower only as others leave (TestDrift prints how far).
package ring

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// NodeID names one run of one node: a random uint64 made at its start. Zero is an ID like any other
// here.
type NodeID uint64

// Member is a node that can hold partitions.
type Member struct {
	ID NodeID
	// Zone names what fails together: a rack, a data centre. Replicas spread over zones. The empty
	// zone is one like any other, so a mesh that names no zones has a single one.
	Zone string
}

// Apart notes that in one partition Owner, as its owner, could not reach Silent (the Stuck rule of
// view changes). Notes about partitions or nodes that do not exist have no effect, so they may
// outlive what they speak of.
type Apart struct {
	Partition     int
	Owner, Silent NodeID
}

// Input is what Assign depends on. It is only read.
type Input struct {
	// Members in any order. None may come twice.
	Members []Member
	// Partitions is the number of groups to make, Replicas the size of each while there are that
	// many members. Both are fixed when a mesh is founded; zero gives no groups, or empty ones.
	Partitions, Replicas int
	// Previous holds the groups of the view before, by partition, owner first. Nil at founding. It
	// may be shorter or longer than Partitions and name nodes that are no longer members.
	Previous [][]NodeID
	// Apart is the notes in force, in any order, repeated or not.
	Apart []Apart
	// Owners is what OwnersOf returned earlier, or nil. It changes nothing but the time that Assign
	// takes: one of other members or partitions is not used.
	Owners *Owners
}

// Assign returns the group of each partition, its owner first: min(Replicas, len(Members)) distinct
// members. The groups are the caller's and share no memory with the input.
//
// It panics if a member comes twice or if Partitions or Replicas is negative. Placing around such
// a fault would hide it: members are also counted for majorities.
//
// For 50 members and 271 partitions it takes about 4 ms (BenchmarkAssign), most of it spent in
// building consistent's circle, which Input.Owners saves.
func Assign(in Input) [][]NodeID {
	if in.Partitions < 0 || in.Replicas < 0 {
		panic(fmt.Sprintf("ring: %d partitions, %d replicas: must not be negative", in.Partitions, in.Replicas))
	}
	groups := make([][]NodeID, in.Partitions)
	a := newAssigner(in)
	if in.Partitions == 0 || a.size == 0 {
		for p := range groups {
			groups[p] = []NodeID{}
		}
		return groups
	}

	notes := notesByPartition(in.Apart, a.ids)
	for p, owner := range in.ownersOf(a.ids).index {
		var previous []NodeID
		if p < len(in.Previous) {
			previous = in.Previous[p]
		}
		groups[p] = a.group(p, owner, previous, notes[p])
	}
	return groups
}

// assigner makes one group after the other. Nodes are indices into ids.
//
// Why a second Assign over the result of a first changes nothing. A group is chosen node by node,
// each the best by a rank that compares, in this order: what does not depend on Previous (notes,
// zones, given the choices so far); the place in the previous list; the weight. Suppose the second
// run has made the first run's choices so far. Its previous list is those choices in order, so the
// first run's next choice has the least place of all not yet chosen; and it was among the best in
// all that is compared before the place. So the second run makes it too. (Where the first run kept
// the previous list as it was, the second has the same input.) The argument needs the order given:
// let nothing that depends on Previous be compared before the place.
type assigner struct {
	ids  []NodeID // sorted
	zone []int    // of each node, numbered as met
	size int      // of each group

	// Scratch of the partition in hand.
	place  []int    // of each node in the previous list, or nowhere
	weight []uint64 // of each node
	used   []int    // seats given to each zone
	chosen []int    // the group so far
}

// nowhere is the place of a node that does not hold the partition: after all that do.
const nowhere = math.MaxInt

func newAssigner(in Input) *assigner {
	members := slices.Clone(in.Members)
	slices.SortFunc(members, func(x, y Member) int { return cmp.Compare(x.ID, y.ID) })

	n := len(members)
	a := &assigner{
		ids:    make([]NodeID, n),
		zone:   make([]int, n),
		size:   min(in.Replicas, n),
		place:  make([]int, n),
		weight: make([]uint64, n),
	}
	zones := make(map[string]int) // looked up, never ranged over
	for i, m := range members {
		if i > 0 && m.ID == members[i-1].ID {
			panic(fmt.Sprintf("ring: member %016x comes twice", uint64(m.ID)))
		}
		z, ok := zones[m.Zone]
		if !ok {
			z = len(zones)
			zones[m.Zone] = z
		}
		a.ids[i], a.zone[i] = m.ID, z
	}
	a.used = make([]int, len(zones))
	return a
}

// group chooses the group of partition p.
func (a *assigner) group(p, byHash int, previous []NodeID, n *notes) []NodeID {
	a.begin(p, previous)
	owner, separable := a.owner(byHash, n)
	a.choose(owner)
	for len(a.chosen) < a.size {
		a.choose(a.next(n, separable))
	}

	group := make([]NodeID, a.size)
	for i, m := range a.chosen {
		group[i] = a.ids[m]
	}
	if a.reorders(previous) {
		copy(group, previous)
	}
	return group
}

func (a *assigner) begin(p int, previous []NodeID) {
	// Rendezvous or highest random weight hashing (Thaler, Ravishankar: Using Name-Based Mappings to
	// Increase Hit Rates, 1998): each partition ranks all nodes in its own random order, so the
	// seats of one that leaves go to all others alike and no other seat moves. The inner mix parts
	// neighbouring partitions, the outer one neighbouring IDs; both are permutations, so no two
	// nodes weigh the same.
	seed := mix(uint64(p) + 1)
	for i, id := range a.ids {
		a.weight[i] = mix(seed ^ uint64(id))
		a.place[i] = nowhere
	}
	for at := len(previous) - 1; at >= 0; at-- { // backwards: the first of a repeated ID counts
		if i, ok := slices.BinarySearch(a.ids, previous[at]); ok {
			a.place[i] = at
		}
	}
	clear(a.used)
	a.chosen = a.chosen[:0]
}

func (a *assigner) choose(m int) {
	a.chosen = append(a.chosen, m)
	a.used[a.zone[m]]++
}

// rank orders candidates, the least first, compared from the left.
type rank [5]int

func (r rank) less(other rank) bool {
	for i := range r {
		if r[i] != other[i] {
			return r[i] < other[i]
		}
	}
	return false
}

// owner returns who owns the partition: the node byHash, unless a note is against it. It also tells
// whether the group can then be filled without two nodes that a note keeps apart.
func (a *assigner) owner(byHash int, n *notes) (owner int, separable bool) {
	if n == nil {
		return byHash, true
	}
	owner = a.best(func(m int) rank {
		return rank{
			number(n.bars(m)),
			number(!n.separable(nil, m, a.size)),
			number(m != byHash),
			// A stand-in is best a node that no pair names. Among those, one that holds the
			// partition has its state, and the one that stood in before comes first in the list.
			n.naming(m),
			a.place[m],
		}
	})
	return owner, n.separable(nil, owner, a.size)
}

// next returns who joins the nodes chosen so far.
func (a *assigner) next(n *notes, separable bool) int {
	return a.best(func(m int) rank {
		clash := 0
		switch {
		case n == nil:
		case separable: // and stays so with each choice
			clash = number(!n.separable(a.chosen, m, a.size))
		default:
			clash = n.clashes(a.chosen, m)
		}
		return rank{clash, a.used[a.zone[m]], a.place[m]}
	})
}

// best returns the node of the least rank, among equals that of the highest weight, that is not
// chosen yet.
func (a *assigner) best(rankOf func(m int) rank) int {
	best, least := -1, rank{}
	for m := range a.ids {
		if slices.Contains(a.chosen, m) {
			continue
		}
		r := rankOf(m)
		if best < 0 || r.less(least) || r == least && a.weight[m] > a.weight[best] {
			best, least = m, r
		}
	}
	return best
}

// reorders tells whether the group chosen is previous with only its followers in another order.
// That would cost a new term, for nothing: a list that changes is a new configuration.
func (a *assigner) reorders(previous []NodeID) bool {
	if len(previous) != len(a.chosen) || a.place[a.chosen[0]] != 0 {
		return false
	}
	for _, m := range a.chosen {
		if a.place[m] == nowhere {
			return false
		}
	}
	return true
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}
