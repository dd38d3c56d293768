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
	if n, why := ch.waiting(up, ch.w.Now+1); n > 0 {
		return fmt.Sprintf("%d calls are open, the first: %s", n, why)
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

// waiting counts the calls of some nodes that wait for an answer since before a moment,
// and tells the first. A watch waits for none.
func (ch *Checker) waiting(of []*Node, before time.Duration) (n int, first string) {
	note := func(who *Node, key string, invoked time.Duration, format string, args ...any) {
		if slices.Contains(of, who) && invoked < before && !ch.cutFromOwner(who, key) {
			if n++; n == 1 {
				first = fmt.Sprintf("%s %s invoked %v", who, fmt.Sprintf(format, args...), invoked)
			}
		}
	}
	for _, c := range ch.Open() {
		note(c.Node, c.Key, c.Invoked, "%q %v handle %d", c.Key, c.Mode, c.Handle)
	}
	ch.alters = slices.DeleteFunc(ch.alters, func(a *Alteration) bool { return !a.waits() || a.Call.Node.Crashed })
	for _, a := range ch.alters {
		note(a.Call.Node, a.Call.Key, a.Invoked, "change %d of %q handle %d", a.Op, a.Call.Key, a.Call.Handle)
	}
	for _, q := range ch.Looking() {
		if !q.Watch {
			note(q.Node, q.Key, q.Invoked, "look at %q handle %d", q.Key, q.Handle)
		}
	}
	for _, x := range ch.Evicting() {
		note(x.Node, x.Of.Key, x.Invoked, "eviction from %q handle %d", x.Of.Key, x.Handle)
	}
	return n, first
}

// cutFromOwner says that the one fault that stays is between a node and the owner of a
// key: to all others that one is a member as it should be.
func (ch *Checker) cutFromOwner(n *Node, key string) bool {
	if ch.chain == nil {
		return false
	}
	own := ch.w.ByID(ch.chain.Groups[partitionOf(key, ch.params())].Owner())
	return own != nil && own.ailing && (ch.w.IsCut(own, n) || ch.w.IsCut(n, own))
}

func (ch *Checker) unrestOf(v *ownership.View, p ownership.Partition) string {
	g := v.Groups[p]
	own, _ := ch.w.ByID(g.Owner()).Core.Inspect(p)
	held, holders, valued := ch.keptIn(p)
	switch {
	case !own.Owner || !own.Active:
		return fmt.Sprintf("partition %d is not served", p)
	case !own.Settled:
		return fmt.Sprintf("partition %d is not settled", p)
	case own.Unacked > 0:
		return fmt.Sprintf("partition %d: %d writes are not on every replica", p, own.Unacked)
	case own.Keys != own.Records || own.Records-own.Values != held || own.Values > valued:
		return fmt.Sprintf("partition %d keeps %d keys and %d records, of which %d only have a value; %d are held, and %d were written to", p, own.Keys, own.Records, own.Values, held, valued)
	case own.Queued > 0 || own.Leases > holders:
		return fmt.Sprintf("partition %d has %d requests and %d leases of %d holders", p, own.Queued, own.Leases, holders)
	}
	for _, id := range g.Replicas {
		n := ch.w.ByID(id)
		if in, _ := n.Core.Inspect(p); in.Installed != g.Term || in.Last != own.Last || in.Records != own.Records || in.Values != own.Values {
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

// keptIn counts the keys of a partition that somebody believes to hold, those who do,
// and the keys that may have a value.
func (ch *Checker) keptIn(p ownership.Partition) (held, holders, valued int) {
	for _, key := range ch.names {
		if partitionOf(key, ch.params()) != p {
			continue
		}
		k, before := ch.keys[key], holders
		for _, c := range k.believers {
			if ch.believes(c) {
				holders++
			}
		}
		if holders > before {
			held++
		}
		if slices.ContainsFunc(k.writes, func(a *Alteration) bool {
			return a.What == ownership.AlterValue && ch.mayBeDone(a)
		}) {
			valued++
		}
	}
	return held, holders, valued
}

func (ch *Checker) params() ownership.Params { return ch.w.Nodes[0].Config.Params }

func seats(n int) int {
	n = min(n, ownership.MaxVoters)
	return n - (n+1)%2
}

// Bound is how long a healed mesh may take to come to rest: silent members are
// found (3 MembershipTTL), some views follow each other with the ballots'
// patience, a lost configuration is waited out (T6), leases run out after a
// take-over has begun them anew (T4), and so do the delays of those that were lost
// (K9), and a node that was dropped repeatedly waits before it is added again (V5: up
// to a minute).
func Bound(p ownership.Params) time.Duration {
	return 30*p.MembershipTTL + 3*(p.MembershipTTL+p.MaxTTL) + 2*p.MaxTTL + 70*time.Second
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
		ch.rested, ch.restedAt = ch.chain, ch.w.Now
		if !ch.stillHeld() && ch.w.strays < ch.w.Now {
			ch.emptyAt = ch.w.Now
		}
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
	if n, why := ch.waiting(ch.running(), ch.w.Now-Bound(ch.params())); n > 0 {
		ch.fail("heal", nil, "though one fault alone is left since %v, %d calls wait, the first: %s", ch.disturbed, n, why)
		return
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
