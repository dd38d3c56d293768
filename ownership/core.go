package ownership

import (
	"cmp"
	"slices"
)

// Core is the protocol of one node: member and client, sans I/O. It is a value
// that Step moves on: no goroutine, no clock, no randomness, so equal states,
// times and inputs give equal outputs. It is not safe for concurrent use.
type Core struct {
	cfg   Config
	id    NodeID // changes at Rebirth
	phase Phase
	view  *View // newest known; nil before the first
	bound *View // the first view this node accepted, nil if none (founding)
	now   Time  // of the step under way
	wall  int64 // unix seconds, 0 if not told
	// Unix milliseconds, and when they were told; for people.
	wallMilli int64
	wallAt    Time
	wants     bool // Leave was asked for (V7)
	knows     bool // it has known a mesh that may live on: it founds no other (founding)

	roster []Peer    // sorted by ID
	heard  []hearing // when a node last spoke to this one, sorted by ID

	founding  founding
	leaving   leaving
	lease     membership
	voter     voter
	parts     []replica // by partition; nil before the first view
	owners    []*owner  // by partition; nil where this node is not the owner
	absent    []absence // who of the groups' Prior is no member, and since when (T6)
	flaps     []flap    // addresses whose members were dropped of late (V5)
	sinceView Time      // when this node first knew a view of this mesh (T6 of founding)
	client    client
	settleAt  Time // when Settled is sent next (T5)
	assigned  *assignment

	// The step under way; empty between steps.
	local    []Message   // to itself
	dirty    []Partition // partitions with writes or rounds to be sent
	confirms []outbox[ConfirmItem]
	notices  []outbox[NoticeItem]
	beatAcks []outbox[HeartbeatAckItem]
	out      Output
	wake     Time
}

// outbox gathers what goes to one receiver in one message at the end of a step.
type outbox[T any] struct {
	to     NodeID
	client ClientID
	items  []T
}

// New returns the core of a node that just started.
func New(cfg Config, now Time) *Core {
	c := &Core{cfg: cfg, id: cfg.ID, phase: PhaseFounding, now: now, wake: now}
	c.client.init(cfg.Client)
	return c
}

// ID is the node's present NodeID.
func (c *Core) ID() NodeID { return c.id }

// Step moves the core to now and feeds it the inputs in order. A now before the
// last one counts as the last one: local time never goes back.
func (c *Core) Step(now Time, in ...Input) Output {
	c.begin(now)
	for _, i := range in {
		c.input(i)
		c.drain()
	}
	return c.end()
}

// Deliver is Step(now, in), for runtimes that step once for each message: it
// spares them an allocation.
func (c *Core) Deliver(now Time, in Receive) Output {
	c.begin(now)
	c.receive(in)
	c.drain()
	return c.end()
}

func (c *Core) begin(now Time) {
	c.now = max(now, c.now)
	c.out.Send, c.out.Notify = c.out.Send[:0], c.out.Notify[:0]
	c.noteGap()
}

// end does what is due and sends what was gathered.
func (c *Core) end() Output {
	if c.now >= c.wake {
		c.tick()
	}
	c.flush()
	c.out.Wake = c.wake
	return c.out
}

func (c *Core) input(in Input) {
	switch in := in.(type) {
	case Tick:
		if in.Wall != 0 {
			c.wall = in.Wall
		}
		if in.WallMilli != 0 {
			c.wallMilli, c.wallAt = in.WallMilli, c.now
		}
		c.wake = c.now
	case Receive:
		c.receive(in)
	case Roster:
		c.roster = slices.Clone(in.Peers)
		slices.SortFunc(c.roster, func(a, b Peer) int { return cmp.Compare(a.Member.ID, b.Member.ID) })
		c.roster = slices.DeleteFunc(c.roster, func(p Peer) bool { return p.Member.ID == c.id })
		c.voter.look = true
		c.wake = c.now
	case Lock:
		c.clientLock(in)
	case Unlock:
		c.clientUnlock(in)
	case Extend:
		c.clientExtend(in.Handle)
	case Change:
		c.clientChange(in)
	case Unchange:
		c.clientUnchange(in)
	case Look:
		c.clientLook(in)
	case Unlook:
		c.clientUnlook(in.Handle)
	case Evict:
		c.clientEvict(in)
	case Leave:
		c.leave()
	case Rebirth:
		c.rebirth(in.ID)
	}
}

// tick does all that is due and finds out when the next thing is.
func (c *Core) tick() {
	c.wake = never
	for _, part := range [...]func(){c.tickFounding, c.tickMembership, c.tickVoter, c.tickOwners, c.tickLeaving, c.drain} {
		if c.silent() {
			break
		}
		part()
	}
	c.tickClient() // a holder's deadline passes also while its node is silent
}

// wakeAt makes sure that tick is called at t.
func (c *Core) wakeAt(t Time) { c.wake = earlier(c.wake, t) }

// drain delivers what the core sent to itself.
func (c *Core) drain() {
	for i := 0; i < len(c.local); i++ {
		c.deliver(c.id, c.local[i])
	}
	c.local = c.local[:0]
}

// flush sends what was gathered in the step until nothing is left.
func (c *Core) flush() {
	for {
		c.drain()
		switch {
		case len(c.dirty) > 0:
			c.flushOwners()
		case len(c.confirms) > 0:
			for _, b := range c.confirms {
				c.send(b.to, Confirm{b.items})
			}
			c.confirms = c.confirms[:0]
		case len(c.beatAcks) > 0:
			for _, b := range c.beatAcks {
				c.send(b.to, HeartbeatAck{b.client, b.items})
			}
			c.beatAcks = c.beatAcks[:0]
		case len(c.notices) > 0:
			for _, b := range c.notices {
				c.send(b.to, Notice{b.client, b.items})
			}
			c.notices = c.notices[:0]
		default:
			return
		}
	}
}

// gather adds an item for a receiver.
func gather[T any](boxes []outbox[T], to NodeID, client ClientID, item T) []outbox[T] {
	for i := range boxes {
		if boxes[i].to == to && boxes[i].client == client {
			boxes[i].items = append(boxes[i].items, item)
			return boxes
		}
	}
	return append(boxes, outbox[T]{to, client, []T{item}})
}

// send queues a message. To itself it arrives within the step.
func (c *Core) send(to NodeID, m Message) {
	switch {
	case to == 0:
	case to == c.id:
		c.local = append(c.local, m)
	default:
		c.assertForgottenIsSilent()
		c.out.Send = append(c.out.Send, Envelope{to, c.mesh(), m})
	}
}

func (c *Core) notify(e Event) { c.out.Notify = append(c.out.Notify, e) }

// mesh is the one this node belongs or is bound to, 0 if none.
func (c *Core) mesh() MeshID {
	switch {
	case c.view != nil:
		return c.view.Mesh
	case c.bound != nil:
		return c.bound.Mesh
	}
	return 0
}

// silent says that this node must neither speak nor listen (V6).
func (c *Core) silent() bool { return c.phase == PhaseSilent || c.phase == PhaseGone }

// isMember says that the newest view this node knows has it.
func (c *Core) isMember() bool {
	return c.phase == PhaseMember || c.phase == PhaseLeaving && !c.leaving.dropped
}

// receive guards the way in: meshes that meet refuse each other.
func (c *Core) receive(in Receive) {
	if c.silent() || in.From == c.id || in.From == 0 {
		return
	}
	if mine := c.mesh(); mine != 0 && in.Mesh != 0 && in.Mesh != mine {
		c.otherMesh(in)
		return
	}
	if c.view == nil || c.view.has(in.From) {
		c.hear(in.From)
	}
	c.deliver(in.From, in.Message)
}

// hearing is when a node last spoke to this one.
type hearing struct {
	id NodeID
	at Time
}

func (c *Core) hear(id NodeID) {
	i, found := slices.BinarySearchFunc(c.heard, id, func(h hearing, id NodeID) int { return cmp.Compare(h.id, id) })
	if !found {
		c.heard = slices.Insert(c.heard, i, hearing{id: id})
	}
	c.heard[i].at = c.now
}

// deliver dispatches a message; the table in doc.go says who sends it to whom.
func (c *Core) deliver(from NodeID, m Message) {
	switch m := m.(type) {
	case Contact:
		c.onContact(from, m)
	case Found:
		c.onFound(from, m)
	case FoundAck:
		c.onFoundAck(from, m)
	case Join:
		c.onJoin(from, m)
	case Refused:
		c.onRefused(from, m)
	case Decided:
		c.onDecided(from, m)
	case Answer:
		c.onAnswer(from, m)
	case HeartbeatAck:
		c.onHeartbeatAck(from, m)
	case Report:
		c.onReport(from, m)
	case Notice:
		c.onNotice(from, m)
	default:
		if c.view != nil { // all others mean nothing without one
			c.deliverInView(from, m)
		} else {
			c.sayMoved(from, m)
		}
	}
}

// sayMoved answers clients that know a view of which this node does not: they ask
// again soon.
func (c *Core) sayMoved(from NodeID, m Message) {
	switch m := m.(type) {
	case Acquire:
		c.send(from, Answer{Request: m.Request, Partition: m.Partition, Term: m.Term, Outcome: OutcomeMoved})
	case Release:
		c.send(from, Answer{Request: m.Request, Partition: m.Partition, Term: m.Term, Release: true, Outcome: OutcomeMoved})
	case Alter:
		c.send(from, Answer{Request: m.Request, Partition: m.Partition, Term: m.Term, Alters: m.Number, Outcome: OutcomeMoved})
	case Revoke:
		c.send(from, Answer{Request: m.Request, Partition: m.Partition, Term: m.Term, Outcome: OutcomeMoved})
	case Query:
		c.send(from, Report{Client: m.Client, ID: m.ID, Partition: m.Partition, Term: m.Term, Outcome: OutcomeMoved})
	}
}

func (c *Core) deliverInView(from NodeID, m Message) {
	switch m := m.(type) {
	case DecidedAck:
		c.onDecidedAck(from, m)
	case AskView:
		c.onAskView(from, m)
	case Prepare:
		c.onPrepare(from, m)
	case Promise:
		c.onPromise(from, m)
	case Propose:
		c.onPropose(from, m)
	case Accepted:
		c.onAccepted(from, m)
	case Renew:
		c.onRenew(from, m)
	case RenewAck:
		c.onRenewAck(from, m)
	case Accept:
		c.onAccept(from, m)
	case AcceptAck:
		c.onAcceptAck(from, m)
	case Confirm:
		c.onConfirm(from, m)
	case ConfirmAck:
		c.onConfirmAck(from, m)
	case Seal:
		c.onSeal(from, m)
	case SealAck:
		c.onSealAck(from, m)
	case Install:
		c.onInstall(from, m)
	case Settled:
		c.onSettled(from, m)
	case SettledAck:
		c.onSettledAck(from, m)
	case Stuck:
		c.onStuck(from, m)
	case Acquire:
		c.onAcquire(from, m)
	case Release:
		c.onRelease(from, m)
	case Heartbeat:
		c.onHeartbeat(from, m)
	case Alter:
		c.onAlter(from, m)
	case Revoke:
		c.onRevoke(from, m)
	case Query:
		c.onQuery(from, m)
	}
}

// hasPartition guards indexes that came from outside.
func (c *Core) hasPartition(p Partition) bool { return int(p) < len(c.parts) }

// wallNow is the wall clock in unix milliseconds, 0 if it was never told. For
// people.
func (c *Core) wallNow() int64 {
	if c.wallMilli == 0 {
		return 0
	}
	return c.wallMilli + c.now.since(c.wallAt).Milliseconds()
}
