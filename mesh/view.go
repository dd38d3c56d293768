package mesh

import (
	"slices"

	"github.com/lockmesh/lockmesh/ownership"
)

// NodeID names one run of one node: random, made at its start, never used
// again. A restarted process is a new node, and so is one that the others had
// given up and that joined again. The zero value names no node.
type NodeID uint64

// String is the ID in hexadecimal.
func (id NodeID) String() string { return hexID(id) }

// View is the agreed membership at one epoch. It is a copy: the caller's own.
type View struct {
	Epoch      uint32 // numbers the views; each one is higher than those before. 0: no view is known
	Members    []Member
	Voters     []NodeID        // the members that vote on the next view
	Partitions []PartitionInfo // by number; a key is in one of them for ever
}

// Member is a node of a view. Members are listed oldest first.
type Member struct {
	ID      NodeID
	Name    string // Config.Name
	Addr    string // host:port that others dial
	Zone    string // Config.Zone
	Leaving bool   // it has called Leave
}

// PartitionInfo says who holds one slice of the key space.
type PartitionInfo struct {
	Owner    NodeID   // grants its locks
	Replicas []NodeID // keep its state; the owner is the first
}

// View returns the newest view this node knows. It waits for nothing. After
// Close it is the last one that was known.
func (n *Node) View() View {
	v := n.view.Load()
	if v == nil {
		return View{}
	}
	view := View{
		Epoch:      uint32(v.Epoch),
		Members:    make([]Member, len(v.Members)),
		Voters:     publicIDs(v.Voters),
		Partitions: make([]PartitionInfo, len(v.Groups)),
	}
	for i, m := range v.Members {
		view.Members[i] = Member{NodeID(m.ID), m.Name, m.Addr, m.Zone, m.Leaving}
	}
	for i, g := range v.Groups {
		view.Partitions[i] = PartitionInfo{NodeID(g.Owner()), publicIDs(g.Replicas)}
	}
	return view
}

// Member returns the member with this ID.
func (v View) Member(id NodeID) (Member, bool) {
	if i := slices.IndexFunc(v.Members, func(m Member) bool { return m.ID == id }); i >= 0 {
		return v.Members[i], true
	}
	return Member{}, false
}

// ID is the node's present NodeID. It changes when a view has dropped the node
// and it joins again.
func (n *Node) ID() NodeID { return NodeID(n.id.Load()) }

// Addr is the host:port at which others dial this node.
func (n *Node) Addr() string { return n.addr }

func publicIDs(ids []ownership.NodeID) []NodeID {
	list := make([]NodeID, len(ids))
	for i, id := range ids {
		list[i] = NodeID(id)
	}
	return list
}
