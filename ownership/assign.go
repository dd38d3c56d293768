package ownership

import (
	"slices"

	"github.com/lockmesh/lockmesh/ring"
)

// assignment is what ring answered last, and what it was asked: a proposer looks
// again and again whether the rules give another view, mostly with the same
// members. It is never changed.
type assignment struct {
	after   *View // its Params and its lists are what ring went on from
	members []Member
	apart   []Apart
	lists   [][]NodeID
	owners  *ring.Owners
}

// assign is ring's answer for the next view.
func (c *Core) assign(next *View) *assignment {
	a := c.assigned
	if a != nil && a.after == c.view && slices.Equal(a.members, next.Members) && slices.Equal(a.apart, next.Apart) {
		return a
	}
	in := ringInput(next)
	in.Owners = c.view.owners
	if in.Owners == nil && a != nil { // the view came over the network
		in.Owners = a.owners
	}
	in.Owners = ring.OwnersOf(in)
	in.Previous = make([][]NodeID, len(c.view.Groups))
	for p, g := range c.view.Groups {
		in.Previous[p] = g.Replicas
	}
	c.assigned = &assignment{c.view, next.Members, next.Apart, ring.Assign(in), in.Owners}
	return c.assigned
}

// ringInput is what ring is asked for a view: groups of the members that are not
// leaving.
func ringInput(v *View) ring.Input {
	in := ring.Input{Partitions: v.Params.Partitions, Replicas: v.Params.Replicas}
	for _, m := range v.Members {
		if !m.Leaving {
			in.Members = append(in.Members, ring.Member{ID: m.ID, Zone: m.Zone})
		}
	}
	for _, a := range v.Apart {
		in.Apart = append(in.Apart, ring.Apart{Partition: int(a.Partition), Owner: a.Owner, Silent: a.Silent})
	}
	return in
}
