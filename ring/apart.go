package ring

import (
	"cmp"
	"slices"
)

// This file keeps apart what could not talk to each other. A note (Owner, Silent) says two things
// about its partition, and the first gives way to no other rule:
//
//   - Owner does not own it, unless every member is barred so.
//   - Owner and Silent are not both in its group, if the group can be filled otherwise; this goes
//     before zones, before staying put and before the owner that hashing names.
//
// If the first leaves only owners with which the second cannot hold, pairs are kept apart as far as
// choosing one node at a time goes.

// notes is what the notes in force say of one partition, with nodes as indices. Nil says nothing.
type notes struct {
	barred []int  // not to own it; sorted
	pairs  []pair // not to share it, each unordered pair once for each direction noted
	named  []int  // who is in a pair; sorted
	free   int    // how many members are in none
}

type pair struct{ owner, silent int }

// notesByPartition sorts the notes by partition. ids is sorted.
func notesByPartition(all []Apart, ids []NodeID) map[int]*notes {
	sorted := slices.Clone(all)
	slices.SortFunc(sorted, func(x, y Apart) int {
		return cmp.Or(
			cmp.Compare(x.Partition, y.Partition),
			cmp.Compare(x.Owner, y.Owner),
			cmp.Compare(x.Silent, y.Silent),
		)
	})
	byPartition := make(map[int]*notes)
	for _, note := range slices.Compact(sorted) {
		owner, ok := slices.BinarySearch(ids, note.Owner)
		if !ok {
			continue // neither owner nor in a pair
		}
		n := byPartition[note.Partition]
		if n == nil {
			n = &notes{free: len(ids)}
			byPartition[note.Partition] = n
		}
		n.barred = include(n.barred, owner)
		silent, ok := slices.BinarySearch(ids, note.Silent)
		if !ok || silent == owner {
			continue
		}
		n.pairs = append(n.pairs, pair{owner, silent})
		n.named = include(include(n.named, owner), silent)
		n.free = len(ids) - len(n.named)
	}
	return byPartition
}

// bars tells whether m must not be the owner.
func (n *notes) bars(m int) bool {
	return slices.Contains(n.barred, m)
}

// naming counts the pairs that m is in: how suspect it is.
func (n *notes) naming(m int) int {
	count := 0
	for _, p := range n.pairs {
		if p.owner == m || p.silent == m {
			count++
		}
	}
	return count
}

// clashes counts the pairs that m forms with nodes of group.
func (n *notes) clashes(group []int, m int) int {
	count := 0
	for _, p := range n.pairs {
		if p.owner == m && slices.Contains(group, p.silent) || p.silent == m && slices.Contains(group, p.owner) {
			count++
		}
	}
	return count
}

// separable tells whether group, which has no pair in it, can take m and then be filled to size
// without one.
func (n *notes) separable(group []int, m, size int) bool {
	if n.clashes(group, m) > 0 {
		return false
	}
	if n.free >= size { // the usual case in all but small meshes: who is in no pair could fill it
		return true
	}
	group = append(slices.Clone(group), m)
	free := n.free
	for _, g := range group {
		if !slices.Contains(n.named, g) {
			free--
		}
	}
	var pool []int
	for _, c := range n.named {
		if !slices.Contains(group, c) && n.clashes(group, c) == 0 {
			pool = append(pool, c)
		}
	}
	return n.fit(pool, size-len(group)-free)
}

// fit tells whether want nodes of pool make no pair. It tries them all (the question is that of an
// independent set), which is cheap for what there is: a mesh of little more than size members, or
// one where a partition's notes name nearly all.
func (n *notes) fit(pool []int, want int) bool {
	if want <= 0 {
		return true
	}
	for i := 0; i+want <= len(pool); i++ {
		var rest []int
		for _, c := range pool[i+1:] {
			if n.clashes(pool[i:i+1], c) == 0 {
				rest = append(rest, c)
			}
		}
		if n.fit(rest, want-1) {
			return true
		}
	}
	return false
}

// include adds m to a sorted list, once.
func include(list []int, m int) []int {
	if at, ok := slices.BinarySearch(list, m); !ok {
		return slices.Insert(list, at, m)
	}
	return list
}
