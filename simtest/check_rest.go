package simtest

import (
	"fmt"
	"slices"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// After healing.

func (ch *Checker) healed() {
	if ch.healedAt == 0 {
		ch.healedAt = ch.w.Now
	}
}

// refounded says that the mesh so far has ended: what is alive of it is outside.
func (ch *Checker) refounded() {
	ch.chain, ch.serving = nil, 0
	ch.Goals.Reach("refounded")
	ch.mesh++
}

// Alive says that the mesh must come to rest: a majority of the voters of its
// newest view runs and is not cut off. Else it stops, as it must. A mesh that
// was never founded must be, if all its founders run.
func (ch *Checker) Alive() bool {
	var v *ownership.View
	free, founders := 0, 0
	for _, n := range ch.running() {
		if nv := n.Core.View(); nv != nil {
			if v == nil || nv.Epoch > v.Epoch {
				v = nv
			}
		} else if p := n.Core.Phase(); p == ownership.PhaseFounding || p == ownership.PhaseBound {
			if n.Config.Founders != joiner && !ch.knowsMesh(n) {
				free++
				founders = max(founders, n.Config.Founders)
			}
		}
	}
	if v == nil {
		return free > 0 && free >= founders
	}
	alive := 0
	for _, id := range v.Voters {
		if n := ch.w.ByID(id); n != nil && slices.Contains(ch.running(), n) && n.Core.Phase() != ownership.PhaseGone {
			alive++
		}
	}
	return alive > len(v.Voters)/2
}

// knowsMesh says that a node founds no more: it had a lease in a mesh, or has known
// more than a first view of it.
func (ch *Checker) knowsMesh(n *Node) bool {
	return n.gained != 0 || slices.ContainsFunc(n.had, func(h viewSince) bool { return ch.views[viewID{h.view.Mesh, h.view.Epoch - 1}] != nil })
}

// running lists the nodes that run, or will when they are resumed, and are not cut off
// from the others for good.
func (ch *Checker) running() []*Node {
	var up []*Node
	for _, n := range ch.w.Nodes {
		if !n.Crashed && !n.outside && n.Core.Phase() != ownership.PhaseGone {
			up = append(up, n)
		}
	}
	return up
}

// Unrest says why the mesh has not come to rest, "" if it has: every node that
// runs is a member and nobody else is, every seat is taken, every group serves
// and is settled, nothing is left of keys that nobody holds, nobody waits.
func (ch *Checker) Unrest() string {
	up := ch.running()
	if open := ch.Open(); len(open) > 0 {
		for _, c := range open {
			if slices.Contains(up, c.Node) {
				return fmt.Sprintf("%d calls are open, the first: %s %q handle %d invoked %v", len(open), c.Node, c.Key, c.Handle, c.Invoked)
			}
		}
	}
	var v *ownership.View
	for _, n := range up {
		nv := n.Core.View()
		if nv == nil || n.Core.Phase() != ownership.PhaseMember {
			return fmt.Sprintf("%s is no member", n)
		}
		if v != nil && nv.Epoch != v.Epoch {
			return fmt.Sprintf("%s knows epoch %d, another %d", n, nv.Epoch, v.Epoch)
		}
		v = nv
	}
	if v == nil {
		return "nobody runs"
	}
	for _, m := range v.Members {
		if n := ch.w.ByID(m.ID); n == nil || !slices.Contains(up, n) {
			return fmt.Sprintf("%s/%d is still a member", m.Name, m.ID)
		}
	}
	if want := seats(len(v.Members)); len(v.Voters) != want {
		return fmt.Sprintf("%d members have %d voters", len(v.Members), len(v.Voters))
	}
	for p := range v.Groups {
		if why := ch.unrestOf(v, ownership.Partition(p)); why != "" {
			return why
		}
	}
	return ""
}

func (ch *Checker) unrestOf(v *ownership.View, p ownership.Partition) string {
	g := v.Groups[p]
	own, _ := ch.w.ByID(g.Owner()).Core.Inspect(p)
	held := ch.heldIn(p)
	switch {
	case !own.Owner || !own.Active:
		return fmt.Sprintf("partition %d is not served", p)
	case !own.Settled:
		return fmt.Sprintf("partition %d is not settled", p)
	case own.Unacked > 0:
		return fmt.Sprintf("partition %d: %d writes are not on every replica", p, own.Unacked)
	case own.Keys != held || own.Records != held:
		return fmt.Sprintf("partition %d keeps %d keys and %d records of %d held", p, own.Keys, own.Records, held)
	case own.Queued > 0 || own.Leases > held:
		return fmt.Sprintf("partition %d has %d requests and %d leases of %d held", p, own.Queued, own.Leases, held)
	}
	for _, id := range g.Replicas {
		n := ch.w.ByID(id)
		if in, _ := n.Core.Inspect(p); in.Installed != g.Term || in.Last != own.Last || in.Records != held {
			return fmt.Sprintf("%s has state (%d, %d) with %d records of partition %d; its owner (%d, %d)", n, in.Installed, in.Last, in.Records, p, g.Term, own.Last)
		}
	}
	for _, n := range ch.running() { // T5: others have forgotten
		if in, _ := n.Core.Inspect(p); !slices.Contains(g.Replicas, n.Core.ID()) && in.Records > 0 {
			return fmt.Sprintf("%s keeps %d records of partition %d, which it has no part in", n, in.Records, p)
		}
	}
	return ""
}

// heldIn counts the keys of a partition that somebody believes to hold.
func (ch *Checker) heldIn(p ownership.Partition) int {
	held := 0
	for _, key := range ch.names {
		k := ch.keys[key]
		if partitionOf(key, ch.params()) == p && slices.ContainsFunc(k.believers, ch.believes) {
			held++
		}
	}
	return held
}

func (ch *Checker) params() ownership.Params { return ch.w.Nodes[0].Config.Params }

func seats(n int) int {
	n = min(n, ownership.MaxVoters)
	return n - (n+1)%2
}

// Bound is how long a healed mesh may take to come to rest: silent members are
// found (3 MembershipTTL), some views follow each other with the ballots'
// patience, a lost configuration is waited out (T6), leases run out after a
// take-over has begun them anew (T4), and a node that was dropped repeatedly
// waits before it is added again (V5: up to a minute).
func Bound(p ownership.Params) time.Duration {
	return 30*p.MembershipTTL + 3*(p.MembershipTTL+p.MaxTTL) + 70*time.Second
}

// atRest is the check at the end of a healed run. It judges only who has had its
// time: a trace that was cut down may ask too early, or leave out the unlock that
// others wait for.
func (ch *Checker) atRest() {
	if !ch.judges() {
		return
	}
	if why := ch.Unrest(); why != "" {
		ch.fail("heal", nil, "%v after healing: %s", ch.w.Now-ch.healedAt, why)
	}
}

// calm says that the mesh is at rest now: what follows is judged as such.
func (ch *Checker) calm() {
	ch.restedBefore, ch.rested = ch.rested, nil
	if ch.healedAt != 0 && ch.Unrest() == "" {
		ch.rested = ch.chain
	}
}

func (ch *Checker) judges() bool {
	return ch.Alive() && ch.healedAt != 0 && ch.w.Now-ch.disturbed >= Bound(ch.params()) && !ch.stillHeld() && !ch.meets()
}

// meets says that what is left of a mesh before this one can be heard. A node that
// starts then may join that one: it is to be stopped before (README).
func (ch *Checker) meets() bool {
	for _, n := range ch.w.Nodes {
		for _, m := range ch.w.Nodes {
			if ch.mesh > 0 && n != m && n.outside && !n.Crashed && !m.Crashed && !m.outside && !ch.w.IsCut(n, m) {
				return true
			}
		}
	}
	return false
}

func (ch *Checker) stillHeld() bool {
	for _, name := range ch.names {
		if slices.ContainsFunc(ch.keys[name].believers, ch.believes) {
			return true
		}
	}
	return false
}

// priorShort: at rest every group was settled, so once a view has followed no Prior
// has a configuration that is older than the group's of then.
func (ch *Checker) priorShort() {
	if !ch.Alive() || ch.chain == nil || ch.rested == nil || ch.restedBefore == nil {
		return
	}
	for p, g := range ch.chain.Groups {
		then := ch.restedBefore.Groups[p]
		if g.Term == then.Term && ch.chain.Epoch == ch.restedBefore.Epoch {
			continue
		}
		for _, k := range g.Prior {
			if k.Term < then.Term {
				ch.fail("heal", nil, "partition %d keeps the configuration of term %d, though that of %d was settled", p, k.Term, then.Term)
			}
		}
	}
}

// atWork is the check of a mesh in which one fault still stands: whoever is not
// its victim is served, and the views do not come and go for ever.
func (ch *Checker) atWork() {
	if !ch.judges() {
		return
	}
	for _, c := range ch.Open() {
		if slices.Contains(ch.running(), c.Node) && ch.w.Now-c.Invoked > Bound(ch.params()) {
			ch.fail("heal", []*Call{c}, "%s waits for %q since %v, though one fault alone is left since %v", c.Node, c.Key, c.Invoked, ch.disturbed)
			return
		}
	}
	views := 0
	for id, at := range ch.learnedAt {
		if id.mesh != 0 && at > ch.disturbed+Bound(ch.params())/4 {
			views++
		}
	}
	// V5 lets a member that flaps come back at once, and ever later up to a minute.
	if views > 20+int(20*(ch.w.Now-ch.disturbed).Minutes()) {
		ch.fail("heal", nil, "%d views followed each other in %v, with one fault left", views, ch.w.Now-ch.disturbed)
	}
}

// checkFreed: an answered unlock frees the key without a wait for any lease: who was in
// line then has it a moment later, if the mesh is at peace.
func (ch *Checker) checkFreed(k *keyHistory, c *Call) {
	freed, ttl := k.freed, ch.params().MembershipTTL
	k.freed = 0
	if ch.healedAt == 0 || ch.Wild || freed == 0 || c.Queued == 0 || c.Queued > freed {
		return
	}
	// Somebody who died in line is granted first, and has it for a TTL.
	quiet := min(freed-ch.disturbed, freed-ch.lastView) > 2*ttl+2*ch.params().MaxTTL
	if ch.lastView > freed || !quiet || ch.w.Net.MeanDelay > ttl/40 {
		return
	}
	if waited := ch.w.Now - freed; waited > ttl {
		ch.fail("queue", []*Call{c}, "%s was in line for %q, which was unlocked %v before it got it", c.Node, c.Key, waited)
	}
}

// checkTurn: first come, first served. It is held against what happens after healing,
// with sane clocks: who was told that it is in line before another even asked goes first.
func (ch *Checker) checkTurn(k *keyHistory, c *Call) {
	if ch.healedAt == 0 || ch.Wild { // a clock that jumped back stands still for a while, and so does its waiter
		return
	}
	for _, o := range ch.open {
		if o != c && o.Key == c.Key && !o.Try && o.Queued > ch.healedAt && o.Queued < c.Invoked && o.Unlock == 0 && o.Granted == 0 && !o.Node.Crashed && !o.Node.outside && o.Node.Core.Phase() == ownership.PhaseMember {
			ch.fail("queue", []*Call{o, c}, "%s got %q, which it asked for at %v; %s has been in line since %v", c.Node, c.Key, c.Invoked, o.Node, o.Queued)
		}
	}
}
