package simtest

import (
	"slices"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// The replicated state, as its messages show it.

// version names one state of a partition, or one write of its stream.
type version struct {
	mesh      ownership.MeshID
	partition ownership.Partition
	term      ownership.Term
	number    uint64
	state     bool // after the write, rather than the write itself
}

// wrote: all messages that carry a write of one stream carry the same one.
func (ch *Checker) wrote(n *Node, mesh ownership.MeshID, m *ownership.Accept) {
	for i := range m.Writes {
		w := &m.Writes[i]
		ch.closed(m, w.Record)
		id := version{mesh, m.Partition, m.Term, m.First + uint64(i), false}
		h := mix(hashString(w.Key), hashRecord(w.Record))
		if _, seen := ch.versions[id]; !seen {
			ch.wroteRecord(n, m, w)
		}
		if ch.sameAsBefore(id, h) {
			continue
		}
		ch.fail("state", nil, "%s sends another write %d of partition %d in term %d than was sent before", n, id.number, m.Partition, m.Term)
	}
}

// holds: all messages that carry the whole state after one write carry the same.
// Chunks are told apart by their number.
func (ch *Checker) holds(n *Node, mesh ownership.MeshID, p ownership.Partition, t ownership.Term, number uint64, chunk, chunks int, records []*ownership.Record) {
	if chunks != 1 {
		return // sizes of chunks may change in between
	}
	h := uint64(len(records))
	for _, r := range records {
		h = mix(h, mix(hashString(r.Key), hashRecord(r)))
	}
	if !ch.sameAsBefore(version{mesh, p, t, number, true}, h) {
		ch.fail("state", nil, "%s sends another state (%d, %d) of partition %d than was sent before", n, t, number, p)
	}
}

func (ch *Checker) sameAsBefore(id version, h uint64) bool {
	known, seen := ch.versions[id]
	if !seen {
		ch.versions[id] = h
	}
	return !seen || known == h
}

func hashRecord(r *ownership.Record) uint64 {
	if r == nil {
		return 1
	}
	h := uint64(2)
	for _, holder := range r.Holders {
		h = mix(h, uint64(holder.Token)^uint64(holder.Request.Client)<<32^holder.Request.Seq)
		h = mix(h, uint64(holder.TTL)^uint64(holder.Lease)<<40^hashString(holder.Name)^hashString(holder.Note))
		h = mix(h, uint64(holder.Mode.Weight)<<32^uint64(holder.Mode.Of)^uint64(holder.Delay))
		h = mix(h, holder.Altered<<1^uint64(holder.Since)<<8)
		if holder.Lost {
			h++
		}
	}
	if v := r.Value; v != nil {
		h = mix(h, uint64(v.Token)^hashString(string(v.Data)))
		if v.Stale {
			h++
		}
	}
	return h
}

// standing is what a replica has said of itself under its present NodeID.
type standing struct {
	id        ownership.NodeID
	promised  ownership.Term
	installed ownership.Term
	last      uint64
}

// stands: promised never falls, nor does the number of the last write of a stream.
func (ch *Checker) stands(n *Node, p ownership.Partition, promised, installed ownership.Term, last uint64) {
	for len(n.stood) <= int(p) {
		n.stood = append(n.stood, standing{})
	}
	s := &n.stood[p]
	if s.id != n.Core.ID() {
		*s = standing{id: n.Core.ID()}
	}
	if promised < s.promised {
		ch.fail("state", nil, "%s has promised %d of partition %d, and says %d", n, s.promised, p, promised)
	}
	if installed == s.installed && last < s.last {
		ch.fail("state", nil, "%s had write %d of term %d of partition %d, and says %d", n, s.last, installed, p, last)
	}
	if installed != 0 && installed < s.installed {
		ch.fail("state", nil, "%s had installed term %d of partition %d, and says %d", n, s.installed, p, installed)
	}
	s.promised = promised
	if installed != 0 { // T5 forgets; what it had stays known here
		s.installed, s.last = installed, last
	}
}

// outlived: every lease of an epoch ends within MembershipTTL of true time after the
// next one was decided (V4). That it was learned is the sign that it was.
func (ch *Checker) outlived(n *Node, what string) {
	v := n.Core.View()
	if ch.Wild || v == nil {
		return
	}
	at, learned := ch.learnedAt[viewID{v.Mesh, v.Epoch + 1}]
	ttl := v.Params.MembershipTTL
	if learned && ch.w.Now-at > ttl {
		ch.fail("lease", nil, "%s sends %s at epoch %d; the next one was decided %v ago", n, what, v.Epoch, ch.w.Now-at)
	}
}

// deadGrant: nobody is granted a lock who has been dead for longer than a waiter may
// be silent (K2).
func (ch *Checker) deadGrant(n *Node, m *ownership.Answer) {
	i := int(m.Request.Client) - 1001
	if ch.Wild || ch.w.bad || ch.w.rough || i < 0 || i >= len(ch.w.Nodes) || !ch.w.Nodes[i].Crashed {
		return
	}
	who, p := ch.w.Nodes[i], ch.params()
	if n.Sites>>ownership.LateBatch&1 != 0 || n.batched > who.crashed {
		return // the write of its grant may have waited since
	}
	at := ch.w.Now
	if written, is := ch.writtenAt[m.Request]; is { // it may have waited for its quorum
		at = written
	}
	if dead := at - who.crashed; dead > p.MaxTTL+time.Duration(int64(p.MaxTTL)/1_000_000*int64(3*p.DriftPPM))+p.MembershipTTL {
		ch.fail("queue", nil, "%s grants a lock to %s, which died %v ago", n, who.Name, dead)
	}
}

// newMembers: nobody is added again who was a member and is gone: it can have asked
// only in an epoch that is over (V5). Gone for a moment does not count.
func (ch *Checker) newMembers(n *Node, v *ownership.View) {
	for _, m := range v.Members {
		o := ch.w.byID[m.ID]
		if n.Core.View().Member(m.ID) != nil || o == nil || !ch.members[m.ID] {
			continue
		}
		since := o.crashed
		if !o.Crashed {
			since = o.reborn
		}
		if gone := o.Crashed || o.Core.ID() != m.ID; gone && ch.w.Now-since > 1500*time.Millisecond {
			ch.fail("view", nil, "%s adds %s/%d again, which was a member and is gone since %v", n, m.Name, m.ID, since)
		}
	}
}

// moved holds V5 and T5 against a group of two views that follow each other: one
// whose state is not known to be installed moves only if its owner or more than n−W
// of its replicas go, or it is stuck; and it keeps what it may still need.
func (ch *Checker) moved(p ownership.Partition, before, v *ownership.View) {
	b, g := before.Groups[p], v.Groups[p]
	if ch.served[version{mesh: v.Mesh, partition: p, term: b.Term}] || g.Term == b.Term && len(g.Prior) == len(b.Prior) {
		return
	}
	gone := 0
	for _, id := range b.Replicas {
		if v.Member(id) == nil {
			gone++
		}
	}
	stuck := slices.ContainsFunc(v.Apart, func(a ownership.Apart) bool { return a.Partition == p && a.Owner == b.Owner() })
	if n := len(b.Replicas); !slices.Equal(g.Replicas, b.Replicas) && v.Member(b.Owner()) != nil && gone <= n-(n/2+1) && !stuck {
		ch.fail("view", nil, "epoch %d moves partition %d, which was not settled in term %d", v.Epoch, p, b.Term)
	}
	for _, k := range b.Prior {
		kept := slices.ContainsFunc(g.Prior, func(x ownership.Configuration) bool { return x.Term == k.Term })
		if !kept && !sameNodes(k.Replicas, b.Replicas) {
			ch.fail("view", nil, "epoch %d forgets the configuration of term %d of partition %d, which was not settled", v.Epoch, k.Term, p)
		}
	}
}

func sameNodes(a, b []ownership.NodeID) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(id ownership.NodeID) bool { return !slices.Contains(b, id) })
}

// lostRightly: a group starts without holders (T6) only if more of a configuration
// are gone than it can miss, and not all of those have left in order (V7).
func (ch *Checker) lostRightly(n *Node, p ownership.Partition) {
	if ch.w.rough || ch.w.choked || ch.w.slowest > ch.params().MembershipTTL/10 {
		return // who was not heard when it left may have been dropped as silent
	}
	v := n.Core.View()
	if !ch.served[version{mesh: v.Mesh, partition: p}] {
		return // nobody has served it yet: it waited for what ran before founding
	}
	founding := false
	for _, k := range v.Groups[p].Prior {
		founding = founding || k.Term == 0
		gone, left := 0, 0
		for _, id := range k.Replicas {
			if v.Member(id) == nil {
				gone++
				if ch.left[id] {
					left++
				}
			}
		}
		if size := len(k.Replicas); size > 0 && gone >= size/2+1 && left < gone {
			return
		}
	}
	if !founding {
		ch.fail("memory", nil, "%s starts partition %d without holders, and of no configuration were too many lost", n, p)
	}
}
