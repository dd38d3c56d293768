package ownership

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/lockmesh/lockmesh/ring"
)

// founding is what a node without a view knows (see "Founding" in doc.go).
//
// Invariants: a node accepts one first view in its life (c.bound never changes
// once set, until Rebirth); a view forms only if all its nodes accepted it; a
// node that knows a view, or is bound to one, tells nobody that it is free.
type founding struct {
	contacts []contact // who told it directly that it is free, sorted by ID
	enough   Time      // since when there are enough contacts, 0 if not
	next     Time      // when to speak again
	boundAt  Time
	acks     []NodeID // the founder's: who accepted
	refused  string   // why this node was turned away, for people
}

// epochOrigin is the last second of 1999 in unix seconds. Epochs count from here,
// so that tokens (term<<32 | count) fit a signed 64-bit integer, the BIGINT of a
// database that a fence is kept in, until 2068; and not from later, since the
// clock of testing/synctest starts in 2000.
const epochOrigin = 946_684_799

// contact is a node that told this one directly that it has no view.
type contact struct {
	member Member
	fresh  bool
	at     Time
}

func (c *Core) self() Member {
	return Member{ID: c.id, Name: c.cfg.Name, Addr: c.cfg.Addr, Zone: c.cfg.Zone}
}

// tickFounding speaks to the roster until a view is known and has this node.
func (c *Core) tickFounding() {
	f := &c.founding
	switch c.phase {
	case PhaseFounding:
		c.tryFound()
	case PhaseJoining:
		if !c.heardMesh() {
			c.forgetMesh()
		}
	case PhaseBound, PhaseMember:
		// "A node bound to a first view that has had no membership lease within
		// some seconds starts over as a new NodeID (which equals a crash)."
		if c.bound != nil && c.lease.until == 0 {
			if end := f.boundAt.add(c.cfg.Params.boundFor()); c.now >= end {
				c.abandon()
				return
			} else {
				c.wakeAt(end)
			}
		}
	}
	if c.phase != PhaseFounding && c.phase != PhaseBound && c.phase != PhaseJoining {
		return
	}
	if c.now >= f.next {
		f.next = c.now.add(c.cfg.Params.contactEvery())
		c.speakUp()
	}
	c.wakeAt(f.next)
}

// speakUp is what a node says that is not a member yet.
func (c *Core) speakUp() {
	switch c.phase {
	case PhaseFounding:
		for _, p := range c.roster {
			switch {
			case p.Dead:
			case c.knows: // it is not free: it asks for a view to join
				c.send(p.Member.ID, AskView{})
			default:
				c.send(p.Member.ID, Contact{c.self(), c.cfg.Params, c.cfg.Founders, c.fresh()})
			}
		}
	case PhaseBound:
		for _, m := range c.bound.Members {
			switch {
			case m.ID == c.id:
			case c.bound.Mesh == MeshID(c.id):
				if !slices.Contains(c.founding.acks, m.ID) {
					c.send(m.ID, Found{c.bound})
				}
			default: // whoever knows that it is decided
				c.send(m.ID, AskView{})
			}
		}
	case PhaseJoining:
		for _, v := range c.view.Voters {
			c.send(v, Join{c.self(), c.cfg.Params, c.view.Epoch})
		}
	}
}

// onContact: whoever is a member says so; whoever is free too counts the
// contact towards founding.
func (c *Core) onContact(from NodeID, m Contact) {
	if m.Member.ID != from {
		return
	}
	switch {
	case c.isMember():
		if m.Params != c.view.Params {
			c.refuse(from, RefusedParams)
			return
		}
		c.send(from, Decided{View: c.view})
	case c.phase == PhaseFounding && c.cfg.Founders > 1:
		if m.Params != c.cfg.Params || m.Founders != c.cfg.Founders {
			c.refuse(from, RefusedFounders)
			return
		}
		k := contact{m.Member, m.Fresh, c.now}
		i, found := slices.BinarySearchFunc(c.founding.contacts, from, func(k contact, id NodeID) int { return cmp.Compare(k.member.ID, id) })
		if found {
			c.founding.contacts[i] = k
		} else {
			c.founding.contacts = slices.Insert(c.founding.contacts, i, k)
		}
		c.wake = c.now // tryFound
	}
}

// tryFound founds when the conditions hold: "A node without a view founds (if
// it has the least NodeID of those it proposes) a first view of n nodes, itself
// among them, each of which told it directly within the last second that it has
// no view and is bound to none."
func (c *Core) tryFound() {
	f := &c.founding
	if c.knows {
		return // "A node that hears of an existing view never founds: it joins."
	}
	f.contacts = slices.DeleteFunc(f.contacts, func(k contact) bool { return !k.at.within(directFresh, c.now) })
	if c.wall <= epochOrigin || c.wall-epochOrigin >= 1<<32-1 {
		if c.wall != 0 {
			f.refused = "the wall clock of this machine is wrong: a mesh cannot be founded before 2000"
		}
		return // no wall clock, no epoch
	}
	n := max(1, c.cfg.Founders)
	first, _ := slices.BinarySearchFunc(f.contacts, c.id, func(k contact, id NodeID) int { return cmp.Compare(k.member.ID, id) })
	above := f.contacts[first:]
	if len(above) < n-1 {
		f.enough = 0
		return
	}
	if f.enough == 0 {
		f.enough = c.now
	}
	// Only one of those that could found should: the others would bind nodes to
	// a view that cannot form. Each lower free node may go first.
	if at := f.enough.add(time.Duration(first) * c.cfg.Params.MembershipTTL / 2); c.now < at {
		c.wakeAt(at)
		return
	}
	c.found(above[:n-1])
}

// fresh: a node that was in a mesh knows that something of this cluster ran.
func (c *Core) fresh() bool { return c.cfg.Fresh && c.client.mesh == 0 }

// found binds this node to the first view of itself and the others, and asks
// them to accept.
func (c *Core) found(others []contact) {
	fresh := c.fresh()
	members := []Member{c.self()}
	for _, k := range others {
		members = append(members, k.member)
		fresh = fresh && k.fresh
	}
	v := firstView(MeshID(c.id), Epoch(c.wall-epochOrigin), c.cfg.Params, members, fresh)
	c.bind(v)
	c.founding.next = c.now.add(c.cfg.Params.contactEvery())
	c.speakUp()
	c.tryForm()
}

// firstView: founders are voters by having accepted. Founding is a lost
// configuration for every group, unless Fresh: whatever ran before cannot be
// asked, so its owner waits as in T6.
func firstView(mesh MeshID, e Epoch, params Params, members []Member, fresh bool) *View {
	v := &View{Mesh: mesh, Epoch: e, Params: params, Members: members}
	for _, m := range members[:seats(len(members))] {
		v.Voters = append(v.Voters, m.ID)
	}
	in := ringInput(v)
	v.owners = ring.OwnersOf(in)
	in.Owners = v.owners
	for _, list := range ring.Assign(in) {
		g := Group{Term: Term(e), Replicas: list}
		if !fresh {
			g.Prior = []Configuration{{Term: 0}}
		}
		v.Groups = append(v.Groups, g)
	}
	return v
}

func (c *Core) bind(v *View) {
	c.bound = v
	c.phase = PhaseBound
	c.founding.boundAt = c.now
	c.founding.acks = []NodeID{c.id}
	c.founding.next = c.now
	c.wake = c.now
}

// onFound: "a node accepts one first view in its life, and no other one whoever
// asks."
func (c *Core) onFound(from NodeID, m Found) {
	v := m.View
	if v == nil || v.Mesh != MeshID(from) || !v.has(c.id) || v.Params != c.cfg.Params || v.Validate() != nil {
		return
	}
	if c.phase == PhaseFounding && c.bound == nil && !c.knows {
		c.bind(v)
	}
	if c.bound != nil && c.bound.Mesh == v.Mesh {
		c.send(from, FoundAck{v.Mesh, v.Epoch})
	}
}

func (c *Core) onFoundAck(from NodeID, m FoundAck) {
	if c.phase != PhaseBound || m.Mesh != c.bound.Mesh || m.Mesh != MeshID(c.id) || !c.bound.has(from) {
		return
	}
	c.founding.acks = addID(c.founding.acks, from)
	c.tryForm()
}

// tryForm: "The view forms only if all n accept."
func (c *Core) tryForm() {
	if len(c.founding.acks) == len(c.bound.Members) {
		v := c.bound
		c.tellAll(v, nil) // before the first Renew and Seal, which mean nothing to who has no view
		c.learn(v)
	}
}

// abandon gives up a first view that did not come to be.
func (c *Core) abandon() {
	mesh := c.bound.Mesh
	c.fallSilent()
	c.view = nil
	c.notify(Abandoned{mesh})
}

// rebirth starts over under a new NodeID (V6). What was known of a mesh that
// lives stays: the node joins it, and its client goes on meanwhile.
func (c *Core) rebirth(id NodeID) {
	if c.phase != PhaseSilent || id == 0 || id == c.id {
		return
	}
	c.id = id
	c.bound = nil
	c.founding = founding{}
	c.phase = PhaseFounding
	if c.view != nil {
		c.phase = PhaseJoining
		c.hear(c.view.Voters[0]) // gives the mesh time to answer
	}
	c.client.reborn(c)
	c.wake = c.now
}

// heardMesh: a node that is no member believes in its mesh as long as somebody
// in it speaks.
func (c *Core) heardMesh() bool {
	return slices.ContainsFunc(c.heard, func(h hearing) bool {
		return c.view.has(h.id) && h.at.within(c.cfg.Params.meshSilent(), c.now)
	})
}

// forgetMesh lets a node that never was a member under its NodeID, and hears
// nobody of the mesh any more, look for another one to join. It founds none, since
// the mesh that it hears nobody of may live beyond a partition.
func (c *Core) forgetMesh() {
	c.view = nil
	c.parts, c.owners, c.absent = nil, nil, nil
	c.sinceView = 0
	for _, h := range c.client.asking {
		h.term = 0 // what a mesh that was forgotten still answers is not believed
	}
	c.phase = PhaseFounding
	c.founding.next = c.now
	c.wake = c.now
}

// otherMesh: two meshes that meet refuse each other by MeshID, loudly.
func (c *Core) otherMesh(in Receive) {
	c.notify(OtherMesh{in.From, in.Mesh})
	if _, ok := in.Message.(Refused); !ok {
		c.refuse(in.From, RefusedMesh)
	}
}

func (c *Core) refuse(to NodeID, code RefusedCode) {
	p := c.cfg.Params
	if c.view != nil {
		p = c.view.Params
	}
	detail := fmt.Sprintf("Partitions %d, Replicas %d, MaxTTL %v, MembershipTTL %v, ClockDrift %g", p.Partitions, p.Replicas, p.MaxTTL, p.MembershipTTL, float64(p.DriftPPM)/1e6)
	switch code {
	case RefusedFounders:
		detail = fmt.Sprintf("Founders %d, %s", c.cfg.Founders, detail)
	case RefusedMesh:
		detail = fmt.Sprintf("mesh %016x", uint64(c.mesh()))
	}
	c.send(to, Refused{code, detail})
}

func (c *Core) onRefused(from NodeID, m Refused) {
	if c.isMember() || c.phase == PhaseBound {
		return
	}
	c.founding.refused = m.Detail
	c.notify(TurnedAway{from, m.Code, m.Detail})
}
