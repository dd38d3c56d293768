package ownership

import (
	"cmp"
	"slices"
)

// writeQuorum is W: how many of n replicas a write must reach. n = 1…5: 1 2 2 3 3.
func writeQuorum(n int) int { return n/2 + 1 }

// sealQuorum is S: how many of n replicas meet every write quorum. n = 1…5: 1 1 2 2 3.
func sealQuorum(n int) int { return n - writeQuorum(n) + 1 }

// majority of n voters.
func majority(n int) int { return n/2 + 1 }

// seats is how many voters a view of n members has: the greatest odd number up
// to n and 7. An even number tolerates no more than the odd one below it.
func seats(n int) int {
	n = min(n, MaxVoters)
	if n%2 == 0 && n > 0 {
		n--
	}
	return n
}

// kthHighest returns the k-th highest of vs (k from 1): the highest that k of them
// reach. There are few of them.
func kthHighest[T cmp.Ordered](vs []T, k int) T {
	best, found := vs[0], false
	for _, v := range vs {
		reach := 0
		for _, u := range vs {
			if u >= v {
				reach++
			}
		}
		if reach >= k && (!found || v > best) {
			best, found = v, true
		}
	}
	return best
}

// count returns how many of ids are in set.
func count(ids []NodeID, set []NodeID) int {
	n := 0
	for _, id := range ids {
		if slices.Contains(set, id) {
			n++
		}
	}
	return n
}

// addID appends id unless it is there.
func addID(ids []NodeID, id NodeID) []NodeID {
	if slices.Contains(ids, id) {
		return ids
	}
	return append(ids, id)
}
