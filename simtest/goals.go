package simtest

import (
	"slices"

	"github.com/lockmesh/lockmesh/ownership"
)

// Goals counts named situations that must occur somewhere in a batch of runs
// ("sometimes assertions"): a simulator that never meets them checks nothing
// there. A situation is only worth a goal if a rule exists because of it.
type Goals struct{ counts [goals]int }

// goalNames has every goal; the order is that of the table that is printed.
var goalNames = []string{
	"founded by several", "founding given up", "founding waits", "two founders race",
	"a ballot refused", "a value adopted from another's ballot", "a member dropped", "born again", "a joiner added",
	"left with confirmation", "voter's seat filled", "a stale renewal refused", "lease lost and gained",
	"take-over", "take-over of a take-over", "three configurations in Prior", "a lost configuration", "a Seal refused",
	"an Install again", "a snapshot", "a state in chunks", "a group told stuck", "a pair kept apart",
	"busy", "cancelled", "a cancelled waiter granted", "a grant that raced its expiry", "a waiter granted by a later owner",
	"lost by its deadline", "missing at its owner", "another mesh", "renewed by a later owner",
	"unlock given up", "a digest that does not match", "a heartbeat for an old term", "a late copy of a closed request",
	"refounded", "a refounded mesh grants", "a write refused",
	"a value read from a later owner", "a stale value", "a value refused", "another capacity refused", "a run of readers", "a writer before later readers",
	"an upgrade that waited", "an upgrade refused", "an upgrade taken back", "readers let in by a downgrade",
	"a place closed by a delay", "a closed place opened by a later owner",
	"a lease that took several locks down", "a lock denied by its lease", "a set held whole", "a set that fell apart",
	"a watch over a take-over", "a page of several keys", "a holder evicted", "a dead holder evicted", "an eviction that met nobody",
	"an heir served first", "a holder told of contention",
	"values of a lost configuration", "a waiter that died in line", "a lock denied by its lease whose grant came too late",
	"a change after a watch was forgotten", "an eviction before the grant was heard of", "a change asked for again after an eviction",
	"an heir served first after a grace",
}

const goals = 69

// GoalSeeds is how many seeds a batch has of which every goal must be reached.
const GoalSeeds = 3000

var goalNumbers = func() map[string]int {
	m := map[string]int{}
	for i, name := range goalNames {
		m[name] = i
	}
	if len(m) != goals {
		panic("simtest: goals and goalNames differ")
	}
	return m
}()

// Reach counts a situation by its name.
func (g *Goals) Reach(name string) {
	i, ok := goalNumbers[name]
	if !ok {
		panic("simtest: no goal is named " + name)
	}
	g.counts[i]++
}

// Add adds the counts of another run.
func (g *Goals) Add(o *Goals) {
	for i, n := range o.counts {
		g.counts[i] += n
	}
}

// Reached says how many situations occurred, of how many.
func (g *Goals) Reached() (n, of int) {
	for _, c := range g.counts {
		if c > 0 {
			n++
		}
	}
	return n, goals
}

// Missed lists those that never occurred.
func (g *Goals) Missed() []string {
	var missed []string
	for i, n := range g.counts {
		if n == 0 {
			missed = append(missed, goalNames[i])
		}
	}
	return missed
}

// Counts lists all by name.
func (g *Goals) Counts() map[string]int {
	m := map[string]int{}
	for i, n := range g.counts {
		m[goalNames[i]] = n
	}
	return m
}

// Names lists the goals in the order of the protocol.
func (g *Goals) Names() []string { return slices.Clone(goalNames) }

func (g *Goals) event(e ownership.Event) {
	switch e := e.(type) {
	case ownership.Abandoned:
		g.Reach("founding given up")
	case ownership.Dropped:
		g.Reach("born again")
	case ownership.Waits:
		if e.Founding {
			g.Reach("founding waits")
		}
	case ownership.Left:
		if e.Confirmed {
			g.Reach("left with confirmation")
		}
	case ownership.OtherMesh:
		g.Reach("another mesh")
	}
}

func (g *Goals) view(before, v *ownership.View) {
	if before == nil {
		if len(v.Members) > 1 {
			g.Reach("founded by several")
		}
		return
	}
	for _, m := range before.Members {
		if v.Member(m.ID) == nil {
			g.Reach("a member dropped")
		}
	}
	if slices.ContainsFunc(v.Members, func(m ownership.Member) bool { return before.Member(m.ID) == nil }) {
		g.Reach("a joiner added")
	}
	if slices.ContainsFunc(v.Voters, func(id ownership.NodeID) bool { return !slices.Contains(before.Voters, id) }) {
		g.Reach("voter's seat filled")
	}
	if len(v.Apart) > len(before.Apart) {
		g.Reach("a pair kept apart")
	}
}

func (g *Goals) activated(n *Node, e ownership.Activated) {
	if e.Lost {
		g.Reach("a lost configuration")
	}
	v := n.Core.View()
	switch prior := v.Groups[e.Partition].Prior; {
	case len(prior) >= 3:
		g.Reach("three configurations in Prior")
		fallthrough
	case len(prior) == 2:
		g.Reach("take-over of a take-over")
		fallthrough
	case len(prior) == 1 && prior[0].Term != 0:
		g.Reach("take-over")
	}
}

func (g *Goals) granted(ch *Checker, c *Call) {
	if c.Queued != 0 && c.Token.Term() > c.queuedIn {
		g.Reach("a waiter granted by a later owner")
	}
	if ch.mesh > 0 && !c.Node.outside {
		g.Reach("a refounded mesh grants")
	}
	if c.After != nil && slices.ContainsFunc(ch.keys[c.After.Key].believers, func(o *Call) bool { return o == c.After }) {
		g.Reach("a set held whole")
	}
	g.modes(ch, c)
}

// modes looks for situations of K7 and K8 in a grant.
func (g *Goals) modes(ch *Checker, c *Call) {
	k := ch.keys[c.Key]
	if c.Queued == 0 || len(k.calls) < 2 {
		return
	}
	if whole(c.Mode) {
		for _, o := range ch.open {
			if o.Key == c.Key && o.Mode == ownership.Shared && o.Queued > c.Queued && o.Unlock == 0 && o.Granted == 0 {
				g.Reach("a writer before later readers")
				return
			}
		}
		return
	}
	for _, o := range k.believers {
		switch {
		case o == c || !ch.believes(o):
		case o.Granted == ch.w.Now || o.Queued != 0 && ch.w.Now-o.Granted < ch.w.Net.MinDelay:
			if o.Mode == ownership.Shared && c.Mode == ownership.Shared {
				g.Reach("a run of readers")
			}
		case o.Token < c.Token && whole(o.asked) && !whole(o.Mode):
			g.Reach("readers let in by a downgrade")
		}
	}
}

// altered looks for situations of K8 in a change that was done.
func (g *Goals) altered(a *Alteration) {
	c := a.Call
	if a.isUp() && a.waited != 0 {
		g.Reach("an upgrade that waited")
	}
	if a.Op > 1 && slices.ContainsFunc(c.Changes, func(b *Alteration) bool { return b.isUp() && b.GivenUp != 0 && b.waited != 0 }) {
		g.Reach("an upgrade taken back")
	}
}

// read looks for situations of K6 in a value that was read.
func (g *Goals) read(t ownership.Term, w *Alteration, v *ownership.Value) {
	if w.Answered != 0 && t > v.Token.Term() {
		g.Reach("a value read from a later owner")
	}
	if v.Stale {
		g.Reach("a stale value")
	}
}

// evicted looks for situations of K13 in an eviction that is over.
func (g *Goals) evicted(x *Eviction) {
	switch {
	case !x.Done:
		g.Reach("an eviction that met nobody")
	case x.Of.Node.Crashed || x.Of.Node.Frozen:
		g.Reach("a dead holder evicted")
	case x.Of.Cause == ownership.LostEvicted:
		g.Reach("a holder evicted")
	}
}

// heirFirst looks for somebody who was passed by an heir (K14).
func (g *Goals) heirFirst(ch *Checker, c *Call) {
	for _, o := range ch.open {
		if o != c && o.Key == c.Key && o.Queued != 0 && o.Queued < c.Queued && o.Granted == 0 && o.Unlock == 0 {
			g.Reach("an heir served first")
			return
		}
	}
}

func (g *Goals) lost(cause ownership.LostCause) {
	switch cause {
	case ownership.LostExpired:
		g.Reach("lost by its deadline")
	case ownership.LostMissing:
		g.Reach("missing at its owner")
	}
}

// sent looks for situations in what is sent.
func (g *Goals) sent(ch *Checker, e *ownership.Envelope) {
	switch m := e.Message.(type) {
	case ownership.Promise:
		switch {
		case m.Promised != m.Ballot:
			g.Reach("a ballot refused")
		case m.Value != nil:
			g.Reach("a value adopted from another's ballot")
		}
	case ownership.SealAck:
		if !m.OK {
			g.Reach("a Seal refused")
		}
		if m.Chunks > 1 {
			g.Reach("a state in chunks")
		}
	case ownership.Install:
		if m.Number > 0 {
			g.Reach("a snapshot")
		}
	case ownership.AcceptAck:
		if !m.OK {
			g.Reach("a write refused")
		}
	case ownership.Stuck:
		g.Reach("a group told stuck")
	case ownership.Release:
		ch.releases[m.Request] = true
	}
}

// delivered looks for situations in what arrives.
func (g *Goals) delivered(ch *Checker, f *Flight) {
	switch m := f.Message.(type) {
	case ownership.Found:
		if f.To.Core.Phase() == ownership.PhaseBound && m.View.Mesh != ownership.MeshID(f.From.Core.ID()) {
			g.Reach("two founders race")
		}
	case ownership.Renew:
		if v := f.To.Core.View(); v != nil && m.Epoch < v.Epoch {
			g.Reach("a stale renewal refused")
		}
	case ownership.Install:
		if in, ok := f.To.Core.Inspect(m.Partition); ok && in.Installed >= m.Term && f.Copy {
			g.Reach("an Install again")
		}
	case ownership.Heartbeat:
		for _, i := range m.Items {
			if v := f.To.Core.View(); v != nil && int(i.Partition) < len(v.Groups) && v.Groups[i.Partition].Term > i.Term {
				g.Reach("a heartbeat for an old term")
			}
		}
	case ownership.HeartbeatAck:
		for _, i := range m.Items {
			if !i.Match {
				g.Reach("a digest that does not match")
			}
		}
	case ownership.Answer:
		if m.Outcome == ownership.OutcomeGranted && ch.releases[m.Request] && !f.Copy {
			g.Reach("a cancelled waiter granted")
		}
	case ownership.Acquire:
		if f.Copy && ch.w.Now-f.Sent > m.TTL {
			g.Reach("a late copy of a closed request")
		}
	}
}
