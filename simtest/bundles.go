package simtest

import (
	"fmt"
	"slices"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// What clients do with several locks: leases (K10) and sets (K11).

// anchorKey is a key that nobody else asks for: that of a lease.
func anchorKey(h ownership.Handle) string { return fmt.Sprintf("lease%d", h) }

// lockInLease makes a lease, or asks for a lock that shares the fate of one.
func (s *swarm) lockInLease(n *Node) {
	mine := s.leases[n]
	if len(mine) == 0 || s.r.IntN(3) == 0 {
		key := anchorKey(s.handle + 1)
		if s.r.IntN(3) == 0 {
			key = s.someKey()
		}
		s.leases[n] = append(mine, s.lock(n, Action{Key: key}))
		return
	}
	anchor := mine[len(mine)-1]
	if s.r.IntN(8) == 0 {
		anchor = mine[s.r.IntN(len(mine))] // may be long over
	}
	for range 1 + s.r.IntN(3) {
		c := s.lock(n, Action{Key: s.someKey(), Try: s.r.IntN(2) == 0, Lease: anchor.Handle})
		if s.on("hold") && s.r.IntN(4) == 0 {
			s.holdGrant(c)
		}
	}
}

// holdGrant keeps the grant of a lock from its client for about its TTL, and what that
// asks again from the owner: it comes too late, while the lease lives.
func (s *swarm) holdGrant(c *Call) {
	n := c.Node
	if s.Checker.chain == nil || c.Ended != 0 || s.over || c.TTL > 2*s.Params.MembershipTTL {
		return
	}
	own := s.ByID(s.Checker.chain.Groups[partitionOf(c.Key, s.Params)].Owner())
	if own == nil || own == n {
		return
	}
	s.awaited[c] = true
	s.Do(Action{Verb: Clog, Node: own.Name, Other: n.Name, Kinds: KindSet(ownership.KindAnswer)})
	s.Do(Action{Verb: Clog, Node: n.Name, Other: own.Name, Kinds: KindSet(ownership.KindAcquire)})
	d := c.TTL + time.Duration(s.r.Float64()*0.2*float64(c.TTL))
	s.later(d, Action{Verb: Unclog, Node: own.Name, Other: n.Name})
	s.later(d, Action{Verb: Unclog, Node: n.Name, Other: own.Name})
	s.After(2*d, func() { s.awaited[c] = false; s.giveUp(c) })
}

// lockedSet is several locks that a client wants all of, or none.
type lockedSet struct {
	size  int
	calls []*Call
	fails bool // one of them was not to be had, or it has waited long enough
}

func (set *lockedSet) whole() bool {
	return len(set.calls) == set.size && !slices.ContainsFunc(set.calls, func(c *Call) bool { return c.Granted == 0 })
}

// lockSet asks for several keys in their order (K11). What it got it gives back when it
// does not get all.
func (s *swarm) lockSet(n *Node) {
	var keys []string
	for range 2 + s.r.IntN(3) {
		if key := s.someKey(); !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	set, shared := &lockedSet{size: len(keys)}, s.habits["lease"] && s.r.IntN(2) == 0
	var first, last *Call
	for _, key := range keys {
		a := Action{Key: key}
		if last != nil {
			a.After = last.Handle
		}
		if shared && first != nil && first.Granted != 0 {
			a.Lease = first.Handle
		}
		s.sets[s.handle+1] = set // it may be granted at once
		last = s.lock(n, a)
		if set.calls = append(set.calls, last); first == nil {
			first = last
		}
	}
	s.allSets = append(s.allSets, set)
	if set.whole() {
		s.grantedOf(set)
	}
	s.After(s.exp(s.patience), func() {
		if !set.whole() && !s.lets {
			s.endSet(set)
		}
	})
}

// grantedOf goes on when the set is whole.
func (s *swarm) grantedOf(set *lockedSet) {
	switch {
	case set.fails:
		s.After(time.Millisecond, func() { s.endSet(set) })
	case !set.whole():
	case s.lets:
		s.After(time.Millisecond, func() { s.endSet(set) })
	default:
		hold := s.exp(s.grip)
		for _, c := range set.calls {
			s.useLock(c, hold)
		}
		s.After(hold, func() { s.endSet(set) })
	}
}

// endSet gives all of a set back, as far as it was got.
func (s *swarm) endSet(set *lockedSet) {
	set.fails = true
	for _, i := range s.r.Perm(len(set.calls)) {
		s.end(set.calls[i])
	}
}
