package simtest

import (
	"slices"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
	"github.com/lockmesh/lockmesh/ring"
)

func partitionOf(key string, p ownership.Params) ownership.Partition {
	return ownership.Partition(ring.Partition(key, p.Partitions))
}

// learned: a mesh has one view at each epoch, and views form one chain.
func (ch *Checker) learned(n *Node, e ownership.ViewLearned) {
	v := e.View
	n.had = append(n.had, viewSince{v, ch.w.Now})
	id := viewID{v.Mesh, v.Epoch}
	if known := ch.views[id]; known != nil {
		if known != v && !sameView(known, v) {
			ch.fail("view", nil, "%s has learned another view of epoch %d", n, v.Epoch)
		}
		return
	}
	ch.views[id] = v
	ch.Views++
	ch.learnedAt[id] = ch.w.Now
	for _, m := range v.Members {
		ch.members[m.ID] = true
		ch.leaving[m.ID] = ch.leaving[m.ID] || m.Leaving
	}
	ch.lastView = ch.w.Now
	if !n.outside && (ch.chain == nil || ch.chain.Epoch < v.Epoch) {
		ch.chain = v
	}
	before := ch.views[viewID{v.Mesh, v.Epoch - 1}]
	ch.Goals.view(before, v)
	if err := v.Validate(); err != nil {
		ch.fail("view", nil, "epoch %d: %v", v.Epoch, err)
	}
	if before == nil {
		if v.Mesh != ch.firstMesh(v) {
			ch.fail("view", nil, "epoch %d of mesh %d follows nothing", v.Epoch, v.Mesh)
		}
		return
	}
	ch.follows(before, v)
}

// firstMesh is v's mesh if v can be a founders' view: all its groups are of its
// own term.
func (ch *Checker) firstMesh(v *ownership.View) ownership.MeshID {
	for _, g := range v.Groups {
		if g.Term != ownership.Term(v.Epoch) {
			return 0
		}
	}
	return v.Mesh
}

// follows holds the rules of V5 and V7 against two views that follow each other.
func (ch *Checker) follows(before, v *ownership.View) {
	if len(v.Voters)%2 == 0 {
		ch.fail("view", nil, "epoch %d has %d voters, an even number", v.Epoch, len(v.Voters))
	}
	for _, id := range v.Voters {
		if before.Member(id) == nil {
			ch.fail("view", nil, "epoch %d seats voter %d, who was no member", v.Epoch, id)
		}
	}
	dropped := slices.ContainsFunc(before.Members, func(m ownership.Member) bool { return v.Member(m.ID) == nil })
	if len(v.Voters) < len(before.Voters) && !dropped {
		ch.fail("view", nil, "epoch %d has %d voters after %d, and nobody was dropped", v.Epoch, len(v.Voters), len(before.Voters))
	}
	for _, id := range before.Voters {
		// V5: voters that stay members stay voters, but for the last seated.
		if v.Member(id) != nil && !slices.Contains(v.Voters, id) && id != before.Voters[len(before.Voters)-1] && !dropped {
			ch.fail("view", nil, "epoch %d takes the seat of voter %d, who stays", v.Epoch, id)
		}
	}
	for p, g := range v.Groups {
		b := before.Groups[p]
		if g.Term == b.Term && !slices.Equal(g.Replicas, b.Replicas) {
			ch.fail("view", nil, "epoch %d: partition %d has another list in the same term %d", v.Epoch, p, g.Term)
		}
		if g.Term != b.Term && (len(g.Prior) == 0 || g.Prior[len(g.Prior)-1].Term != b.Term) {
			ch.fail("view", nil, "epoch %d: the prior configurations of partition %d lack the last one", v.Epoch, p)
		}
		ch.moved(ownership.Partition(p), before, v)
	}
}

func sameView(a, b *ownership.View) bool {
	same := func(x, y ownership.Configuration) bool {
		return x.Term == y.Term && slices.Equal(x.Replicas, y.Replicas)
	}
	return a.Mesh == b.Mesh && a.Epoch == b.Epoch && a.Params == b.Params && slices.Equal(a.Members, b.Members) && slices.Equal(a.Voters, b.Voters) &&
		slices.Equal(a.Apart, b.Apart) && slices.EqualFunc(a.Groups, b.Groups, func(x, y ownership.Group) bool {
		return x.Term == y.Term && slices.Equal(x.Replicas, y.Replicas) && slices.EqualFunc(x.Prior, y.Prior, same)
	})
}

// sent sees every message as it leaves. It maps requests to calls, and holds the
// promise about minorities: whoever sends a certified answer has, within
// MembershipTTL, heard of a majority of the voters of its view.
func (ch *Checker) sent(n *Node, e *ownership.Envelope) {
	switch m := e.Message.(type) {
	case ownership.Answer:
		ch.answersOusted(n, &m)
		switch m.Outcome {
		case ownership.OutcomeGranted:
			ch.deadGrant(n, &m)
			ch.certified(n, "Granted")
		case ownership.OutcomeBusy, ownership.OutcomeGone, ownership.OutcomeReleased, ownership.OutcomeNotHeld, ownership.OutcomeCapacity, ownership.OutcomeAltered:
			ch.certified(n, "Answer")
		}
	case ownership.Acquire:
		ch.asksInOrder(n, &m)
	case ownership.HeartbeatAck:
		ch.certified(n, "HeartbeatAck")
	case ownership.Report:
		if m.Outcome == ownership.OutcomeGranted {
			ch.certified(n, "Report")
			ch.tellsWatch(n, &m)
		}
	case ownership.Notice:
		ch.tellsToLetGo(&m)
	case ownership.ConfirmAck:
		ch.certified(n, "ConfirmAck")
	case ownership.Accept:
		ch.wrote(n, e.Mesh, &m)
	case ownership.AcceptAck:
		ch.stands(n, m.Partition, m.Promised, m.Installed, m.Last)
		if m.OK {
			ch.certified(n, "AcceptAck")
		}
		ch.Goals.sent(ch, e)
	case ownership.SealAck:
		if m.OK {
			ch.stands(n, m.Partition, m.Promised, m.Installed, m.Last)
			ch.holds(n, e.Mesh, m.Partition, m.Installed, m.Last, m.Chunk, m.Chunks, m.Records)
			ch.installedAlone(n, e.Mesh, &m)
		}
		ch.Goals.sent(ch, e)
	case ownership.Install:
		ch.installs(n, e.Mesh, &m)
		ch.holds(n, e.Mesh, m.Partition, m.Term, m.Number, m.Chunk, m.Chunks, m.Records)
		ch.Goals.sent(ch, e)
	case ownership.Found:
		ch.founds(n, m.View)
	case ownership.Propose:
		if !ch.proposed[m.Value] {
			ch.proposed[m.Value] = true
			ch.drops(n, m.Value)
			ch.newMembers(n, m.Value)
			ch.seats(n, m.Value)
		}
	default:
		ch.Goals.sent(ch, e)
	}
}

// certified: a membership lease rests on a majority of the voters of one view, and
// a view that is learned does not end the lease of the one before. So of one of
// the views that n had within MembershipTTL a majority must have been heard.
func (ch *Checker) certified(n *Node, what string) {
	if ch.Wild {
		return
	}
	ch.outlived(n, what)
	ttl := ch.params().MembershipTTL
	oldest := ch.w.Now - ttl
	if ch.heardMajority(n, n.Core.View(), oldest) { // learned in this very step, perhaps
		return
	}
	had := n.had
	for i := len(had) - 1; i >= 0; i-- {
		if i+1 < len(had) && had[i+1].since < oldest {
			break
		}
		if ch.heardMajority(n, had[i].view, oldest) {
			return
		}
	}
	ch.fail("minority", nil, "%s sends %s at epoch %d, and has not heard a majority of its voters within MembershipTTL", n, what, n.Core.View().Epoch)
}

func (ch *Checker) heardMajority(n *Node, v *ownership.View, since time.Duration) bool {
	heard := 0
	for _, id := range v.Voters {
		if o := ch.w.byID[id]; o == n {
			heard++
		} else if o != nil {
			if at := ch.w.Net.link(o, n).heard; at != 0 && at >= since {
				heard++
			}
		}
	}
	return heard > len(v.Voters)/2
}

// drops: V3: who is dropped has been silent to the proposer for MembershipTTL/2 at
// least of the time in which that was awake and had a lease itself, or has no lease
// though it renews. Where messages are withheld, an old one may tell it so.
func (ch *Checker) drops(n *Node, v *ownership.View) {
	if ch.Wild || ch.w.choked {
		return
	}
	ttl := v.Params.MembershipTTL
	least := ttl/2 - ttl/10
	for _, m := range n.Core.View().Members {
		o := ch.w.byID[m.ID]
		if v.Member(m.ID) != nil || m.Leaving || o == nil || o == n || o.Crashed || o.Core.ID() != m.ID {
			continue
		}
		silent := ch.w.Now - max(ch.w.Net.link(o, n).renew, n.gained)
		if n.slept > ttl/4+ttl/10 { // a shorter gap between its ticks counts
			silent = min(silent, ch.w.Now-n.resumed)
		}
		// It may have said, some time ago, that it has no lease: it is deaf.
		if deaf := o.gained == never || o.gained == 0 || ch.w.Now-o.gained < 4*ttl; silent < least && !deaf {
			ch.fail("drop", nil, "%s proposes to drop %s, of whom it has heard %v ago", n, o, silent)
		}
	}
}

// seats: V5: a free seat goes only to a member whose renewals the proposer answered
// of late, or to itself.
func (ch *Checker) seats(n *Node, v *ownership.View) {
	if ch.Wild {
		return
	}
	for _, id := range v.Voters {
		o := ch.w.byID[id]
		if slices.Contains(n.Core.View().Voters, id) || o == nil || o == n {
			continue
		}
		at := ch.w.Net.link(o, n).renew
		if ttl := v.Params.MembershipTTL; at == 0 || ch.w.Now-at > 2*ttl+time.Duration(int64(ttl)/1_000_000*int64(4*v.Params.DriftPPM)) && n.slept < ttl/4 {
			ch.fail("view", nil, "%s proposes a seat for %s, of whom it last heard at %v", n, o, at)
		}
	}
}

// oneMesh: two meshes never serve at a time. (A first view in which nobody ever got
// a lease may be followed by another one, and a mesh that died by a new one.)
func (ch *Checker) oneMesh(n *Node) {
	mesh := n.Core.View().Mesh
	if n.outside {
		return
	}
	lives := slices.ContainsFunc(ch.running(), func(o *Node) bool {
		return o.Core.Phase() == ownership.PhaseMember && o.Core.View().Mesh == ch.serving
	})
	if mesh != ch.serving && lives && !ch.Wild {
		ch.fail("view", nil, "%s serves in mesh %d, beside mesh %d", n, mesh, ch.serving)
	}
	ch.serving = mesh
}

// leftBehind: V7: who has left in order has made sure that a majority of the voters
// of the view that drops it know that view. Those that have died may have known; and if
// all have resigned nobody need know.
func (ch *Checker) leftBehind(n *Node) {
	v := n.Core.View()
	if v.Member(n.Core.ID()) != nil { // it just stops: in a view that somebody knows all others must have resigned too
		stays := ch.staysIn(v)
		for e := v.Epoch + 1; stays != nil && ch.views[viewID{v.Mesh, e}] != nil; e++ {
			if ch.staysIn(ch.views[viewID{v.Mesh, e}]) == nil {
				stays = nil
			}
		}
		if stays != nil {
			ch.fail("heal", nil, "%s just stops at epoch %d, and %s has not resigned", n, v.Epoch, stays)
		}
		return
	}
	for i, h := range n.had { // the view that drops it may have been followed by another
		if h.view.Member(n.Core.ID()) != nil && i+1 < len(n.had) {
			v = n.had[i+1].view
		}
	}
	know := 0
	for _, id := range v.Voters {
		o := ch.w.ByID(id)
		if o == nil || o.Core.View() != nil && o.Core.View().Epoch >= v.Epoch {
			know++
		}
	}
	if know <= len(v.Voters)/2 && ch.staysIn(v) != nil {
		ch.fail("heal", nil, "%s has left, and of %d voters of epoch %d, which drops it, %d know that", n, len(v.Voters), v.Epoch, know)
	}
}

// staysIn is a member of a view that runs and has not resigned, nil if there is none.
func (ch *Checker) staysIn(v *ownership.View) *Node {
	for _, m := range v.Members {
		if o := ch.w.ByID(m.ID); o != nil && !o.leaving {
			return o
		}
	}
	return nil
}

// founds: a first view is proposed with nodes that said within the last second that
// they are free, so none of them is gone for long.
func (ch *Checker) founds(n *Node, v *ownership.View) {
	if ch.Wild || ch.w.bad || ch.w.rough { // what it said may have been on its way for long
		return
	}
	for _, m := range v.Members {
		o := ch.w.byID[m.ID]
		if o != nil && o.Crashed && ch.w.Now-o.crashed > 2*time.Second && ch.views[viewID{v.Mesh, v.Epoch}] == nil && !ch.proposed[v] {
			ch.fail("view", nil, "%s founds with %s, which has been dead for %v", n, o, ch.w.Now-o.crashed)
		}
	}
	ch.proposed[v] = true // sent again and again
}

func (ch *Checker) delivered(f *Flight) {
	switch m := f.Message.(type) {
	case ownership.Answer:
		if m.Outcome == ownership.OutcomeGranted {
			ch.adopted = adopted{f.To, m.Token, m.Request}
		}
	case ownership.Acquire:
		ch.comes(f.To, &m)
	case ownership.Release:
		ch.goes(f.To, &m)
	case ownership.Alter:
		ch.asksToAlter(f.To, &m)
	case ownership.Query:
		ch.refreshes(f, &m)
	case ownership.SealAck:
		ch.isToldState(f.To, &m)
	}
	ch.Goals.delivered(ch, f)
}
