package simtest

import (
	"slices"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// The line of a key at its owner, as messages show it: who is in it, and who goes on
// when somebody leaves it. What an owner sends to itself nobody sees.

// place is a request that has come to the owner of its key.
type place struct {
	key, name string
	owner     *Node
	term      ownership.Term
	mode      ownership.Mode
	ttl       time.Duration
	first     time.Duration // when it came,
	last      time.Duration // and when its newest copy did
	stale     bool          // the owner may have given it up in between
	over      bool          // it was closed, or granted
}

// seenRecord is the newest record of a key that an owner has sent to a replica.
type seenRecord struct {
	owner   *Node
	term    ownership.Term
	holders []ownership.Holder
}

// handOver is a Release that has come to an owner and names an heir who is in line.
type handOver struct {
	from ownership.RequestID
	heir string
	ttl  time.Duration // of the lock that is let go
	at   time.Duration
	term ownership.Term
}

// longest is the true time at which a right of length d is over at the latest by any
// clock within the bound, shortest that at which it may be.
func (ch *Checker) longest(d time.Duration) time.Duration {
	return d + time.Duration(int64(d)/1_000_000*int64(3*ch.params().DriftPPM))
}

func (ch *Checker) shortest(d time.Duration) time.Duration {
	return d - time.Duration(int64(d)/1_000_000*int64(2*ch.params().DriftPPM))
}

// ownerAt says that a node owns a partition in a term, as far as it knows.
func ownerAt(n *Node, p ownership.Partition, t ownership.Term) bool {
	v := n.Core.View()
	return v != nil && int(p) < len(v.Groups) && v.Groups[p].Term == t && v.Groups[p].Owner() == n.Core.ID()
}

// comes notes that a request has come to its owner.
func (ch *Checker) comes(n *Node, m *ownership.Acquire) {
	if m.Try || !ownerAt(n, m.Partition, m.Term) {
		return
	}
	p := ch.places[m.Request]
	if p == nil || p.owner != n || p.term != m.Term {
		p = &place{key: m.Key, name: m.Name, owner: n, term: m.Term, mode: m.Mode, ttl: m.TTL, first: ch.w.Now, last: ch.w.Now}
		ch.places[m.Request] = p
		k := ch.key(m.Key)
		k.line = append(slices.DeleteFunc(k.line, func(o *place) bool { return o.over || o.term < m.Term }), p)
		return
	}
	p.stale = p.stale || ch.w.Now-p.last >= ch.shortest(p.ttl)
	p.last = ch.w.Now
}

// goes notes that a request is closed at its owner, and whom it names.
func (ch *Checker) goes(n *Node, m *ownership.Release) {
	if !ownerAt(n, m.Partition, m.Term) {
		return
	}
	p := ch.places[m.Request]
	if p == nil || p.owner != n || p.term != m.Term { // a copy of its Acquire may come yet
		p = &place{owner: n, term: m.Term}
		ch.places[m.Request] = p
	}
	p.over = true
	k := ch.keys[ch.heldKey[m.Request]]
	if k == nil {
		return
	}
	if k.handed = nil; m.Heir == "" || m.Lost || ch.healedAt == 0 || ch.w.Now < ch.healedAt+ch.params().MembershipTTL || len(k.evictions) > 0 {
		return
	}
	// Of all of the key, by who believes in it: so its owner knows it as a holder.
	holders := k.record.holders
	if !ch.sees(n, m.Partition, m.Term) || len(holders) != 1 || holders[0].Request != m.Request || holders[0].Lost || !whole(holders[0].Mode) ||
		k.record.term > m.Term || ch.mayBeLost(m.Partition, k.record.term, m.Term) || !ch.oneCapacity(k) {
		return
	}
	if from := k.tokens[holders[0].Token]; from == nil || !from.Believed {
		return
	}
	if o := (&handOver{m.Request, m.Heir, holders[0].TTL, ch.w.Now, m.Term}); ch.heirWaits(k, n, o) {
		k.handed = o
	}
}

// heirWaits says that somebody of the heir's name is in line, as the owner knows.
func (ch *Checker) heirWaits(k *keyHistory, n *Node, h *handOver) bool {
	return slices.ContainsFunc(k.line, func(p *place) bool {
		return p.name == h.heir && p.owner == n && p.term == h.term && !p.over && !p.stale && p.first <= h.at && ch.w.Now-p.last < ch.shortest(p.ttl)
	})
}

// oneCapacity says that nobody ever asked for a key with another capacity.
func (ch *Checker) oneCapacity(k *keyHistory) bool {
	_, of := weightOf(k.calls[0].asked)
	return !slices.ContainsFunc(k.calls, func(c *Call) bool { _, other := weightOf(c.asked); return other != of })
}

// sees says that all writes of an owner were seen: that it sent none as a part of a
// snapshot alone.
func (ch *Checker) sees(n *Node, p ownership.Partition, t ownership.Term) bool {
	return !ch.snapshots[version{mesh: n.Core.View().Mesh, partition: p, term: t}]
}

// wroteRecord follows the holders of a key. K14: who is named heir goes first.
func (ch *Checker) wroteRecord(n *Node, m *ownership.Accept, w *ownership.Write) {
	k := ch.key(w.Key)
	if k.record.term > m.Term {
		return
	}
	k.record = seenRecord{owner: n, term: m.Term}
	if w.Record != nil {
		k.record.holders = w.Record.Holders
	}
	for i := range k.record.holders {
		id := k.record.holders[i].Request
		ch.heldKey[id] = w.Key
		if _, is := ch.writtenAt[id]; !is {
			ch.writtenAt[id] = ch.w.Now
		}
		if p := ch.places[id]; p != nil {
			p.over = p.over || p.term == m.Term
		}
	}
	if ch.healedAt != 0 {
		ch.changesUnwatched(n, k)
	}
	h := k.handed
	if h == nil || slices.ContainsFunc(k.record.holders, func(o ownership.Holder) bool { return o.Request == h.from }) {
		return
	}
	k.handed = nil
	first := slices.ContainsFunc(k.record.holders, func(o ownership.Holder) bool { return o.Name == h.heir })
	switch {
	case h.term != m.Term || ch.Wild:
	case first:
		if ch.w.Now > h.at {
			ch.Goals.Reach("an heir served first after a grace")
		}
	case ch.heirWaits(k, n, h) && ch.letsGoNow(n, m, h):
		ch.fail("queue", nil, "%s has %q let go for %s, who is in line, and does not give it to it", n, w.Key, h.heir)
	}
}

// letsGoNow says that a holder leaves because of the Release that names its heir: in the
// same step, or so soon after a take-over that no lease can have ended (T4).
func (ch *Checker) letsGoNow(n *Node, m *ownership.Accept, h *handOver) bool {
	if ch.w.Now == h.at {
		return true
	}
	at, ok := ch.activeAt[version{mesh: n.Core.View().Mesh, partition: m.Partition, term: m.Term}]
	return ok && ch.w.Now-at < ch.shortest(h.ttl)
}

// diesInLine: K2, K7: who dies in line holds it up until it is lost for not refreshing
// itself, and no longer.
func (ch *Checker) diesInLine(n *Node) {
	if ch.healedAt == 0 || ch.Wild {
		return
	}
	since := ch.w.Now
	for _, key := range ch.names {
		k := ch.keys[key]
		for _, p := range k.line {
			if p.over || p.name != n.Name || p.owner.Crashed || !ownerAt(p.owner, partitionOf(key, ch.params()), p.term) {
				continue
			}
			ch.w.At(p.last+ch.longest(p.ttl)+ch.params().MembershipTTL/4, func() {
				if ch.movesUp(k, since, "since who was before it has died") {
					ch.Goals.Reach("a waiter that died in line")
				}
			})
		}
	}
}

// givesUpGoingUp: K8: a holder that has given up going up holds up nobody.
func (ch *Checker) givesUpGoingUp(k *keyHistory, a *Alteration) {
	if ch.healedAt != 0 && !ch.Wild && a.isUp() && a.waited != 0 {
		ch.w.After(ch.params().MembershipTTL, func() { ch.movesUp(k, a.GivenUp, "since a holder has given up going up") })
	}
}

// movesUp: K7: whoever is first in line, and has room beside the holders, is granted the
// key. It looks where that is certain: one alone is in line that is alive, nothing has
// happened since a moment but what let it move up, and the holders are known. It returns
// whether somebody else that was in line is lost.
func (ch *Checker) movesUp(k *keyHistory, since time.Duration, why string) (lost bool) {
	params := ch.params()
	if ch.Wild || ch.restedAt == 0 || ch.disturbed > since || ch.w.Net.MeanDelay > params.MembershipTTL/40 || ch.chain == nil {
		return false
	}
	p := partitionOf(k.name, params)
	g := ch.chain.Groups[p]
	n := ch.w.ByID(g.Owner())
	if n == nil || k.record.owner != n || k.record.term != g.Term || n.gained > since || n.outside || !ch.sees(n, p, g.Term) || !ch.oneCapacity(k) {
		return false
	}
	var next *place
	for _, p := range k.line {
		silent := ch.w.Now - p.last
		switch {
		case p.over || p.term != g.Term || p.owner != n:
		case silent > ch.longest(p.ttl)+params.MembershipTTL/8:
			lost = true
		case next != nil || p.stale || p.first > since || silent >= ch.shortest(p.ttl):
			return false
		default:
			next = p
		}
	}
	var taken, of uint64
	for i := range k.record.holders {
		h := &k.record.holders[i]
		if o := k.tokens[h.Token]; o == nil || !ch.believes(o) {
			return false
		}
		var weight uint64
		weight, of = weightOf(h.Mode)
		taken += weight
	}
	for _, c := range k.calls {
		unseen := c.Node == n && c.Granted == 0 && c.Ended == 0
		if unseen || slices.ContainsFunc(c.Changes, func(a *Alteration) bool { return a.isUp() && (a.waits() || a.GivenUp > since) }) {
			return false
		}
	}
	if next == nil {
		return lost
	}
	if weight, capacity := weightOf(next.mode); of == 0 || capacity == of && taken+weight <= of {
		ch.fail("queue", nil, "%s is in line for %q %v since %v, alone, and there is room %s", next.name, k.name, next.mode, next.first, why)
	}
	return lost
}
