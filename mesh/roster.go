package mesh

import (
	"cmp"
	"slices"

	"github.com/lockmesh/lockmesh/ownership"
)

// maxRoster bounds the roster: its lines come from outside.
const maxRoster = 2 * ownership.MaxMembers

// forgetAfter is how long a peer stays known after it was last believed alive.
const forgetAfter = 10 * 60 // seconds

// roster is who this node believes alive: gossip and the transport say so, the
// later one counts. Nothing that it holds is agreed or unsafe. It belongs to
// the loop and knows no clock but what it is told.
//
// Three things make a peer dead: gossip says it died or left, the transport
// finds nobody or somebody else at its address, or a newer node takes over its
// address. Gossip about it or a handshake with it make it alive again.
type roster struct {
	self    ownership.NodeID // is in none of the lines
	addr    string           // of this node: whoever else is said to be there is an old self of it
	peers   []rosterPeer     // sorted by ID
	changed bool             // since the last call of lines
}

type rosterPeer struct {
	ownership.Peer
	since int64 // unix seconds of the last change, for forget
}

func (r *roster) find(id ownership.NodeID) (int, bool) {
	return slices.BinarySearchFunc(r.peers, id, func(p rosterPeer, id ownership.NodeID) int { return cmp.Compare(p.Member.ID, id) })
}

// alive notes that gossip has seen m alive.
func (r *roster) alive(m ownership.Member, now int64) {
	if m.ID == 0 || m.ID == r.self {
		return
	}
	for i := range r.peers {
		if p := &r.peers[i]; p.Member.Addr == m.Addr && p.Member.ID != m.ID && !p.Dead {
			p.Dead, p.since, r.changed = true, now, true
		}
	}
	i, known := r.find(m.ID)
	switch {
	case !known && len(r.peers) >= maxRoster && !r.evict():
		return
	case !known:
		i, _ = r.find(m.ID) // evict may have moved it
		r.peers = slices.Insert(r.peers, i, rosterPeer{Peer: ownership.Peer{Member: m}})
	case r.peers[i].Member == m && (!r.peers[i].Dead || m.Addr == r.addr):
		r.peers[i].since = now
		return
	}
	r.peers[i] = rosterPeer{ownership.Peer{Member: m, Dead: m.Addr == r.addr}, now}
	r.changed = true
}

// up notes that the transport has spoken with a peer.
func (r *roster) up(id ownership.NodeID, now int64) { r.mark(id, false, now) }

// gone notes that gossip or the transport believes that a peer has ended.
func (r *roster) gone(id ownership.NodeID, now int64) { r.mark(id, true, now) }

func (r *roster) mark(id ownership.NodeID, dead bool, now int64) {
	if i, known := r.find(id); known && r.peers[i].Dead != dead {
		r.peers[i].Dead, r.peers[i].since, r.changed = dead, now, true
	}
}

// replace takes over a whole roster from a Network.
func (r *roster) replace(peers []ownership.Peer, now int64) {
	seen := make(map[ownership.NodeID]bool, len(peers))
	for _, p := range peers {
		seen[p.Member.ID] = true
		r.alive(p.Member, now)
		if p.Dead {
			r.gone(p.Member.ID, now)
		}
	}
	for i := range r.peers {
		if !seen[r.peers[i].Member.ID] {
			r.mark(r.peers[i].Member.ID, true, now)
		}
	}
}

// evict makes room by dropping a dead peer, if there is one.
func (r *roster) evict() bool {
	i := slices.IndexFunc(r.peers, func(p rosterPeer) bool { return p.Dead })
	if i >= 0 {
		r.peers = slices.Delete(r.peers, i, i+1)
	}
	return i >= 0
}

// forget drops peers that have been dead for long, except those that keep
// wants, and returns them.
func (r *roster) forget(now int64, keep func(ownership.NodeID) bool) []ownership.NodeID {
	var ids []ownership.NodeID
	r.peers = slices.DeleteFunc(r.peers, func(p rosterPeer) bool {
		old := p.Dead && now-p.since >= forgetAfter && !keep(p.Member.ID)
		if old {
			ids = append(ids, p.Member.ID)
		}
		return old
	})
	r.changed = r.changed || len(ids) > 0
	return ids
}

// lines is the roster as the core wants it.
func (r *roster) lines() []ownership.Peer {
	r.changed = false
	lines := make([]ownership.Peer, len(r.peers))
	for i, p := range r.peers {
		lines[i] = p.Peer
	}
	return lines
}

// member returns what is known of a peer.
func (r *roster) member(id ownership.NodeID) (ownership.Member, bool) {
	if i, known := r.find(id); known {
		return r.peers[i].Member, true
	}
	return ownership.Member{}, false
}
