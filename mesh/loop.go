package mesh

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
	"github.com/lockmesh/lockmesh/transport"
)

const (
	// heldTick is the longest sleep of the loop while somebody waits for or
	// holds a lock. Timers stand still while the machine is suspended; this is
	// how late Done may be after a resume.
	heldTick = 50 * time.Millisecond
	// idleTick is the longest sleep otherwise.
	idleTick = time.Second
)

// loop is the one goroutine that owns the core: mail in, messages and events
// out. It waits for nothing but mail and time. What it does not own is n, and of
// the Locks what their mutex guards.
type loop struct {
	n    *Node
	core *ownership.Core
	wake ownership.Time // when the core wants to be called at the latest

	locks    map[ownership.Handle]*Lock // whose handles the core knows
	looks    map[ownership.Handle]*look // likewise
	roster   roster
	addrs    map[ownership.NodeID]string // what the transport has learned
	again    []ownership.Input           // for the step after this one
	swept    ownership.Time              // when addrs was last swept
	told     ownership.Time              // when the core was last told the wall clock
	status   ownership.Status            // of the core at statusAt, for texts
	statusAt ownership.Time
	foundAt  ownership.Time // until when a newly founded mesh waits, 0 if it does not
	member   bool           // the newest view has this node
	serving  bool           // the membership lease is valid
	trouble  []string       // what the last contact with the seeds met with
	said     seldom         // log lines about peers

	joined    chan struct{} // closed when the node first serves
	refused   chan error    // cap 1: why it never will
	left      chan struct{} // closed when the node is out of the mesh
	confirmed bool          // the mesh has said so; read after left is closed
	empty     chan struct{} // closed, if not nil, when locks is empty
	stop      chan struct{} // closed to end the loop
	ended     chan struct{} // closed when it has ended
}

func newLoop(n *Node, core *ownership.Core, self ownership.Member) *loop {
	return &loop{
		n: n, core: core,
		locks:   map[ownership.Handle]*Lock{},
		looks:   map[ownership.Handle]*look{},
		roster:  roster{self: self.ID, addr: self.Addr},
		addrs:   map[ownership.NodeID]string{},
		said:    seldom{every: 10 * time.Second},
		joined:  make(chan struct{}),
		refused: make(chan error, 1),
		left:    make(chan struct{}),
		stop:    make(chan struct{}),
		ended:   make(chan struct{}),
	}
}

func (l *loop) run() {
	defer close(l.ended)
	defer l.end()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var m mail
	for {
		select {
		case <-l.n.mail.wake:
		case <-timer.C:
		case <-l.stop:
			return
		}
		var dropped int
		m, dropped = l.n.mail.take(m)
		if dropped > 0 && l.say("mail") {
			l.n.log.Warn("messages dropped: this node is too slow", "dropped", dropped)
		}
		l.turn(&m)
		timer.Reset(l.sleep())
	}
}

// turn takes one mail through the core.
func (l *loop) turn(m *mail) {
	for _, lock := range m.calls {
		l.locks[lock.handle] = lock
	}
	for _, f := range m.do {
		f()
	}
	if l.roster.changed {
		m.in = append(m.in, ownership.Roster{Peers: l.roster.lines()})
	}
	m.in = append(m.in, l.again...)
	l.again = l.again[:0]
	now := l.n.now()
	if l.n.view.Load() == nil || now-l.told >= ownership.Time(time.Second) {
		l.told = now
		wall := l.n.env.Clock.Wall()
		m.in = append(m.in, ownership.Tick{Wall: wall.Unix(), WallMilli: wall.UnixMilli()})
	}
	if len(m.in) > 0 || now >= l.wake {
		l.step(now, m.in)
	}
	for len(l.again) > 0 {
		in := slices.Clone(l.again)
		l.again = l.again[:0]
		l.step(now, in)
	}
	if l.empty != nil && len(l.locks) == 0 {
		close(l.empty)
		l.empty = nil
	}
	if now-l.swept >= ownership.Time(time.Minute) {
		l.swept = now
		l.sweep()
	}
}

func (l *loop) step(now ownership.Time, in []ownership.Input) {
	out := l.core.Step(now, in...)
	l.wake = out.Wake
	for _, e := range out.Send {
		l.n.net.Send(e)
	}
	for _, e := range out.Notify {
		l.on(e)
	}
}

func (l *loop) sleep() time.Duration {
	most := idleTick
	if len(l.locks) > 0 {
		most = heldTick
	}
	return min(most, max(0, time.Duration(l.wake-l.n.now())))
}

// end leaves no call of a Lock without an answer; those that look see ended.
func (l *loop) end() {
	for _, lock := range l.n.mail.close() {
		lock.onClosed()
	}
	for _, lock := range l.locks {
		lock.onClosed()
	}
}

// on dispatches an event.
func (l *loop) on(e ownership.Event) {
	switch e := e.(type) {
	case ownership.Granted:
		l.lock(e.Handle, func(k *Lock) { k.onGranted(e) })
	case ownership.Busy:
		l.close(e.Handle, func(k *Lock) { k.onRefused(because(busyText(e.Holder, l.n.client, k.mode), ErrLocked)) })
	case ownership.Invalid:
		l.close(e.Handle, func(k *Lock) { k.onRefused(invalid(e.Why)) })
		l.endLook(e.Handle, answer{err: invalid(e.Why)})
	case ownership.Denied:
		l.close(e.Handle, func(k *Lock) { k.onRefused(k.denied(e)) })
	case ownership.Extended:
		l.lock(e.Handle, func(k *Lock) { k.onExtended(e) })
	case ownership.Lost:
		l.close(e.Handle, func(k *Lock) { k.onLost(e) })
	case ownership.Released:
		l.close(e.Handle, func(k *Lock) { k.onReleased(e) })
	case ownership.Pending:
		l.lock(e.Handle, func(k *Lock) { k.onPending(e) })
		l.look(e.Handle, func(q *look) { q.pending.Store(&e) })
	case ownership.Altered:
		l.lock(e.Handle, func(k *Lock) { k.onAltered(e) })
	case ownership.Contended:
		l.lock(e.Handle, func(k *Lock) { k.onContended() })
	case ownership.Looked:
		l.look(e.Handle, func(q *look) { q.onLooked(l, e) })
	case ownership.Evicted:
		l.endLook(e.Handle, answer{evicted: e})
	case ownership.ViewLearned:
		l.onView(e)
	case ownership.Serving:
		l.onServing(e.Valid)
	case ownership.Activated:
		l.onActivated(e)
	case ownership.Waits:
		l.onWaits(e)
	case ownership.Dropped:
		l.n.log.Warn("a view dropped this node: it joins again as a new one; what it holds stays held until its deadlines", "epoch", uint32(e.Epoch))
		l.reborn()
	case ownership.Abandoned:
		l.n.log.Info("the first view did not come to be: starting over", "mesh", hexID(e.Mesh))
		l.reborn()
	case ownership.Left:
		l.serving = false
		l.confirmed = e.Confirmed
		if !e.Confirmed {
			l.n.log.Warn("left without a word from anybody: to the others, if there are any, this node has crashed")
		}
		close(l.left)
	case ownership.TurnedAway:
		l.onTurnedAway(e)
	case ownership.Disagrees:
		if l.say("disagrees") {
			l.n.log.Error("ignored a view that is not of this mesh's chain: its sender is broken, or two machines are one and the same", "node", l.name(e.From), "epoch", uint32(e.Epoch))
		}
	case ownership.OtherMesh:
		if l.say("mesh " + hexID(e.Mesh)) {
			l.n.log.Warn("ignored a member of another mesh: two were founded; stop one of them", "node", l.name(e.From), "mesh", hexID(e.Mesh))
		}
	case ownership.Proposing:
		level := slog.LevelInfo
		if len(e.Added)+len(e.Dropped) == 0 {
			level = slog.LevelDebug // voters or partitions move
		}
		l.n.log.Log(context.Background(), level, "proposing a view", "epoch", uint32(e.Epoch), "adds", names(e.Added), "drops", names(e.Dropped))
	}
}

func (l *loop) lock(h ownership.Handle, f func(*Lock)) {
	if k := l.locks[h]; k != nil {
		f(k)
	}
}

// look is lock for those that only ask.
func (l *loop) look(h ownership.Handle, f func(*look)) {
	if q := l.looks[h]; q != nil {
		f(q)
	}
}

// endLook gives the last answer to a look; the core does not know it any more.
func (l *loop) endLook(h ownership.Handle, a answer) {
	l.look(h, func(q *look) { q.put(a) })
	delete(l.looks, h)
}

// close is lock for an event after which the core does not know the handle.
func (l *loop) close(h ownership.Handle, f func(*Lock)) {
	l.lock(h, f)
	delete(l.locks, h)
}

func (l *loop) onView(e ownership.ViewLearned) {
	old := l.n.view.Swap(e.View)
	l.member = e.Member
	l.foundAt = 0
	for _, m := range e.View.Members {
		if m.ID != l.roster.self {
			l.learn(m)
		}
	}
	if old == nil || old.Epoch != e.View.Epoch || old.Mesh != e.View.Mesh {
		l.n.log.Info("view", "epoch", uint32(e.View.Epoch), "members", names(e.View.Members), "voters", len(e.View.Voters), "member", e.Member)
	}
	l.checkJoined()
}

func (l *loop) onServing(valid bool) {
	l.serving = valid
	switch {
	case valid:
		l.n.log.Info("this node serves")
	case l.member && !l.n.closing.Load():
		why := l.waiting(l.core.Status(l.n.now()))
		if why == "" { // it has one again already
			why = "this process was too slow to renew it in time (paused or overloaded)"
		}
		l.n.log.Warn("no membership lease: this node grants nothing until it has one", "because", why)
	}
	l.checkJoined()
}

func (l *loop) checkJoined() {
	if !l.member || !l.serving {
		return
	}
	select {
	case <-l.joined:
	default:
		close(l.joined)
	}
}

func (l *loop) onActivated(e ownership.Activated) {
	switch {
	case e.Lost && l.foundAt != 0:
		if l.say("waited") {
			l.n.log.Info("the wait of the newly founded mesh is over: partitions are served")
		}
	case e.Lost && l.say("lost"):
		l.n.log.Warn("a partition starts without the holders it had: more of its replicas were lost at once than it can bear; old leases were waited out", "partition", uint32(e.Partition))
	default:
		l.n.log.Debug("serving a partition", "partition", uint32(e.Partition), "term", uint32(e.Term))
	}
}

func (l *loop) onWaits(e ownership.Waits) {
	until := l.n.wallAt(e.Until)
	if !e.Founding {
		if l.say("waits") {
			l.n.log.Warn("the state of partitions is lost: waiting out the leases that may still be held", "partition", uint32(e.Partition), "until", until)
		}
		return
	}
	if l.foundAt == 0 {
		l.n.log.Warn("newly founded: calls wait, since locks of a mesh before this one may still be held; set Config.Fresh where none can be", "until", until)
	}
	l.foundAt = max(l.foundAt, e.Until)
}

func (l *loop) onTurnedAway(e ownership.TurnedAway) {
	who := l.name(e.By)
	var err error
	switch e.Code {
	case ownership.RefusedParams:
		err = invalid("the mesh's Params differ: " + who + " has " + e.Detail + "; this node has " + l.n.cfg.Params.String() + ". Configure what the mesh was founded with")
	case ownership.RefusedFounders:
		// Which of the two is wrong is open, so this stops nobody.
		if l.say("turned away " + who) {
			l.n.log.Warn("a fellow founder is configured otherwise, so the two do not found together: use the same Founders and Params everywhere",
				"node", who, "theirs", e.Detail, "ours", "Founders "+itoa(l.n.cfg.Founders)+", "+l.n.cfg.Params.String())
		}
		return
	default:
		if l.say("turned away " + who) {
			l.n.log.Warn("turned away: two meshes were founded; stop one of them", "by", who, "detail", e.Detail)
		}
		return
	}
	l.refuse(err)
	if l.say("turned away " + who) {
		l.n.log.Error("turned away", "err", err)
	}
}

// refuse tells Join that it will never succeed.
func (l *loop) refuse(err error) {
	select {
	case l.refused <- err:
	default:
	}
}

// reborn starts over as a new node (V6): to everybody else the old one is gone.
func (l *loop) reborn() {
	self := l.n.self()
	self.ID = nodeID(l.n.env.Rand)
	l.roster.self = self.ID
	l.member = false
	l.n.id.Store(uint64(self.ID))
	l.n.mail.forgetReceived()
	l.n.net.Rename(transport.Identity{ID: self.ID, Cluster: l.n.cfg.Cluster, Name: l.n.cfg.Name})
	l.n.detector.rename(self)
	l.again = append(l.again, ownership.Rebirth{ID: self.ID})
}

// The following are run by the loop from its mail.

func (l *loop) onGossip(news []gossipNews) {
	now := l.seconds()
	for _, n := range news {
		if n.dead {
			l.roster.gone(n.member.ID, now)
			continue
		}
		l.roster.alive(n.member, now)
		l.learn(n.member)
	}
}

func (l *loop) onRoster(peers []ownership.Peer) {
	l.roster.replace(peers, l.seconds())
	for _, p := range peers {
		l.learn(p.Member)
	}
}

func (l *loop) onHint(h transport.Hint) {
	switch h.Kind {
	case transport.HintUp:
		l.roster.up(h.ID, l.seconds())
	case transport.HintGone:
		l.roster.gone(h.ID, l.seconds())
	case transport.HintRefused:
		if l.say("refused " + h.Addr) {
			l.n.log.Warn("a connection was refused", "node", l.name(h.ID), "addr", h.Addr, "reason", h.Reason)
		}
	case transport.HintGarbage:
		if l.say("garbage " + h.Addr) {
			l.n.log.Warn("disconnected a peer that does not speak the protocol", "node", l.name(h.ID), "addr", h.Addr, "reason", h.Reason)
		}
	}
}

// learn tells the transport where a node is dialled.
func (l *loop) learn(m ownership.Member) {
	if m.ID != 0 && m.ID != l.roster.self && m.Addr != "" && l.addrs[m.ID] != m.Addr {
		l.addrs[m.ID] = m.Addr
		l.n.net.Learn(m.ID, m.Addr)
	}
}

// sweep forgets addresses of nodes that are neither in the view nor heard of.
func (l *loop) sweep() {
	view := l.n.view.Load()
	member := func(id ownership.NodeID) bool { return view.Member(id) != nil }
	l.roster.forget(l.seconds(), member)
	for id := range l.addrs {
		if _, known := l.roster.find(id); !known && !member(id) {
			delete(l.addrs, id)
			l.n.net.Forget(id)
		}
	}
}

// turnAway ends the calls that wait, as Leave does first.
func (l *loop) turnAway() {
	for _, h := range l.handles() {
		if l.locks[h].turnAway(ErrClosed) {
			l.again = append(l.again, ownership.Unlock{Handle: h})
		}
	}
	for _, h := range slices.Sorted(maps.Keys(l.looks)) {
		l.again = append(l.again, l.looks[h].end())
		l.endLook(h, answer{err: ErrClosed})
	}
}

// releaseAll is the next part of Leave: what is held is released. empty is closed when all owners have confirmed.
func (l *loop) releaseAll() (empty <-chan struct{}) {
	done := make(chan struct{})
	l.empty = done
	var anchors []ownership.Input // they go last: the core lets their locks go with them
	for _, h := range l.handles() {
		k := l.locks[h]
		switch release := k.release(errLeft); {
		case release && k.isAnchor():
			anchors = append(anchors, ownership.Unlock{Handle: h})
		case release:
			l.again = append(l.again, ownership.Unlock{Handle: h})
		}
	}
	l.again = append(l.again, anchors...)
	return done
}

// handles lists the locks in the order in which they were asked for.
func (l *loop) handles() []ownership.Handle { return slices.Sorted(maps.Keys(l.locks)) }

func (l *loop) seconds() int64 { return int64(time.Duration(l.n.now()) / time.Second) }

func (l *loop) say(subject string) bool { return l.said.ok(l.n.env.Clock.Wall(), subject) }

// name says who a node is, for people.
func (l *loop) name(id ownership.NodeID) string {
	if m, known := l.roster.member(id); known {
		return m.Name + " (" + m.Addr + ")"
	}
	return nodeName(l.n.view.Load(), id)
}

func names(members []ownership.Member) []string {
	list := make([]string, len(members))
	for i, m := range members {
		list[i] = m.Name
	}
	return list
}
