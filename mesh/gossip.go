package mesh

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/lockmesh/lockmesh/ownership"
	"github.com/lockmesh/lockmesh/transport"
)

// This file is memberlist's one door. What memberlist says is a hint: who may
// be alive, and at which address. It carries no lock state, because it reorders
// and drops what it carries.
//
// What one must know of memberlist, and what is done about it here:
//
//   - It calls its delegates with its lock held: they copy what they are told
//     into maps of their own, and wake a goroutine that reads them. They never
//     call it back and never keep a *Node.
//   - It does not notice a restart within about 300 ms: its node name is made
//     of the NodeID, and the NodeID travels in the metadata.
//   - A crash and a leave look the same: both are "gone". A node that leaves
//     says so in the protocol.
//   - It never looks again for nodes that were away for GossipToTheDeadTime:
//     the rejoin loop contacts seeds and lost members for ever.
//   - It looks names up by itself, oddly: it is only given addresses.
//   - It believes the lengths that strangers send: see gossip_guard.go.
//   - Its list of nodes has no limit: judge keeps it to maxRoster names.
//   - Its Shutdown ends its goroutines without waiting for them: one may be in
//     the middle of a probe and end up to probeInterval later. It touches
//     nothing any more.

// Timing of the failure detector: a crash is noticed within about 1.3 s in a
// small fleet, and by the transport at once if the host still refuses
// connections. It need not be sure: the protocol asks for silence as well.
const (
	probeInterval = 300 * time.Millisecond
	probeTimeout  = 150 * time.Millisecond
	suspicionMult = 2 // × probeInterval × log10(n)
	rememberDead  = 30 * time.Second

	rejoinAlone  = 500 * time.Millisecond // pace of contacting seeds without a view …
	rejoinJitter = 300 * time.Millisecond
	rejoinEvery  = 10 * time.Second // … and with one: partitions heal this way
	rejoinSpread = 5 * time.Second
	lookupFor    = 10 * time.Second // bounds Lookup and Discover
	dialFor      = 2 * time.Second  // bounds one contact with a seed
)

// gossipConfig is what a gossip is made of.
type gossipConfig struct {
	cluster  string
	self     ownership.Member
	addr     netip.AddrPort // self.Addr
	port     transport.Gossip
	seeds    []string
	discover func(context.Context) ([]string, error)
	lookup   lookupFunc
	rand     func() uint64
	log      *slog.Logger

	// tell hands changes to the node. It is called from one goroutine.
	tell func([]gossipNews)
	// round is told how each round of contacting seeds went; it says how soon
	// the next is due (alone) and which other addresses to try then.
	round func(rejoinResult) (alone bool, also []string)
}

// gossipNews is one change of what gossip believes.
type gossipNews struct {
	member ownership.Member
	dead   bool
}

// gossip runs memberlist for one node, and again under another name after a
// rename. Its methods may be called from any goroutine.
type gossip struct {
	cfg    gossipConfig
	ctx    context.Context // ends with close
	cancel context.CancelFunc
	wake   chan struct{} // there is news
	ended  sync.WaitGroup

	mu      sync.Mutex // held for moments; never while memberlist is called
	news    map[string]gossipNews
	order   []string // keys of news, oldest first
	foreign map[string]string
	refused seldom // log lines about foreign nodes

	life  sync.Mutex             // one start, leave or stop of memberlist at a time
	list  *memberlist.Memberlist // nil when stopped
	fresh chan struct{}          // cap 1: contact the seeds now
}

// startGossip makes the node known under its name and begins to contact seeds.
func startGossip(cfg gossipConfig) (*gossip, error) {
	g := &gossip{
		cfg:     cfg,
		wake:    make(chan struct{}, 1),
		news:    map[string]gossipNews{},
		foreign: map[string]string{},
		refused: seldom{every: time.Minute},
		fresh:   make(chan struct{}, 1),
	}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	if err := g.start(cfg.self); err != nil {
		g.cancel()
		return nil, err
	}
	g.ended.Add(2)
	go g.runNews()
	go g.runRejoin()
	return g, nil
}

// start runs memberlist for self.
func (g *gossip) start(self ownership.Member) error {
	d := newGossipDoor(g.cfg.port, g.cfg.addr, g.cfg.log)
	hooks := &gossipHooks{
		g: g, self: self.ID, meta: meta{g.cfg.cluster, self}.encode(),
		names: map[string]time.Time{},
	}

	c := memberlist.DefaultLANConfig()
	c.Name = self.Name + "#" + hexID(self.ID)
	c.Transport = d
	c.AdvertiseAddr = g.cfg.addr.Addr().String()
	c.AdvertisePort = int(g.cfg.addr.Port())
	c.ProbeInterval = probeInterval
	c.ProbeTimeout = probeTimeout
	c.SuspicionMult = suspicionMult
	c.AwarenessMaxMultiplier = 1 // a probe never takes longer than probeInterval, nor does the end
	c.TCPTimeout = dialFor
	c.GossipInterval = 100 * time.Millisecond
	c.PushPullInterval = 15 * time.Second
	c.GossipToTheDeadTime = rememberDead
	c.EnableCompression = false // the door refuses what is compressed
	c.DNSConfigPath = ""        // names are never given to it
	c.Logger = log.New(newGossipLog(g.cfg.log), "", 0)
	c.Delegate, c.Events, c.Alive, c.Merge = hooks, hooks, hooks, hooks
	list, err := memberlist.Create(c)
	if err != nil {
		d.Shutdown()
		return fmt.Errorf("gossip does not start: %w", err)
	}
	g.list = list
	return nil
}

// rename goes on as another node: to gossip this is one node that ends and
// another that starts. It returns at once.
func (g *gossip) rename(self ownership.Member) {
	g.ended.Add(1)
	go func() {
		defer g.ended.Done()
		g.life.Lock()
		defer g.life.Unlock()
		if g.ctx.Err() != nil {
			return
		}
		g.stop()
		if err := g.start(self); err != nil {
			g.cfg.log.Error("gossip does not start again; restart this process", "err", err)
		}
		g.rejoinNow()
	}()
}

// rejoinNow contacts the seeds without waiting for the next round.
func (g *gossip) rejoinNow() {
	select {
	case g.fresh <- struct{}{}:
	default:
	}
}

// leave says goodbye to gossip, and returns when that went out or after patience.
func (g *gossip) leave(patience time.Duration) {
	g.life.Lock()
	defer g.life.Unlock()
	if g.ctx.Err() == nil && g.list != nil {
		g.list.Leave(patience) // an error says that nobody confirmed: a hint lost
	}
}

// close ends gossip without a goodbye.
func (g *gossip) close() {
	g.cancel()
	g.life.Lock()
	g.stop()
	g.life.Unlock()
	g.ended.Wait()
}

// stop ends memberlist. The caller holds life.
func (g *gossip) stop() {
	if g.list != nil {
		g.list.Shutdown()
		g.list = nil
	}
}

// note is called by the hooks, with memberlist's lock held.
func (g *gossip) note(name string, n gossipNews) {
	g.mu.Lock()
	if _, known := g.news[name]; !known {
		g.order = append(g.order, name)
	}
	g.news[name] = n
	g.mu.Unlock()
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// runNews hands on what the hooks noted: of each node only the latest.
func (g *gossip) runNews() {
	defer g.ended.Done()
	for {
		select {
		case <-g.ctx.Done():
			return
		case <-g.wake:
		}
		g.mu.Lock()
		var news []gossipNews
		for _, name := range g.order {
			news = append(news, g.news[name])
		}
		g.news, g.order = map[string]gossipNews{}, nil
		g.mu.Unlock()
		if len(news) > 0 {
			g.cfg.tell(news)
		}
	}
}

// gossipHooks are memberlist's delegates for one name. Every method is called
// with memberlist's lock held or in its receive path: none may wait.
type gossipHooks struct {
	g    *gossip
	self ownership.NodeID
	meta []byte

	// names are those that memberlist has in its list, with the time of their
	// end, zero for those alive. Guarded by memberlist's lock.
	names map[string]time.Time
}

func (h *gossipHooks) NodeMeta(limit int) []byte            { return h.meta[:min(limit, len(h.meta))] }
func (h *gossipHooks) NotifyMsg([]byte)                     {}
func (h *gossipHooks) GetBroadcasts(_, _ int) [][]byte      { return nil }
func (h *gossipHooks) LocalState(bool) []byte               { return nil }
func (h *gossipHooks) MergeRemoteState(_ []byte, _ bool)    {}
func (h *gossipHooks) NotifyJoin(n *memberlist.Node)        { h.note(n, false) }
func (h *gossipHooks) NotifyUpdate(n *memberlist.Node)      { h.note(n, false) }
func (h *gossipHooks) NotifyLeave(n *memberlist.Node)       { h.note(n, true) }
func (h *gossipHooks) NotifyAlive(n *memberlist.Node) error { return h.judge(n) }

func (h *gossipHooks) note(n *memberlist.Node, dead bool) {
	h.names[n.Name] = time.Time{}
	if dead {
		h.names[n.Name] = time.Now()
	}
	if m, err := decodeMeta(n.Meta); err == nil && m.member.ID != h.self {
		h.g.note(n.Name, gossipNews{m.member, dead})
	}
}

// judge refuses nodes that are not ours, however gossip came to hear of them,
// and those that are more than a fleet has.
func (h *gossipHooks) judge(n *memberlist.Node) error {
	m, err := checkNode(n)
	switch {
	case err != nil:
		return err
	case m.cluster != h.g.cfg.cluster:
		return fmt.Errorf("it belongs to the cluster %q", m.cluster)
	case !h.room(n.Name, time.Now()):
		return fmt.Errorf("the list of %d nodes is full", maxRoster)
	}
	return nil
}

// checkNode reads the metadata of a node, and refuses one that is larger than
// ours are.
func checkNode(n *memberlist.Node) (meta, error) {
	if len(n.Name) > maxNameBytes+len("#")+16 || len(n.Meta) > maxMeta || len(n.Addr) != net.IPv4len && len(n.Addr) != net.IPv6len {
		return meta{}, errMeta
	}
	return decodeMeta(n.Meta)
}

// room tells whether the list takes a name. memberlist drops the dead from its
// list once all nodes were probed after rememberDead.
func (h *gossipHooks) room(name string, now time.Time) bool {
	if _, known := h.names[name]; known || len(h.names) < maxRoster {
		return true
	}
	dropped := now.Add(-rememberDead - maxRoster*probeInterval/4)
	for name, end := range h.names {
		if !end.IsZero() && end.Before(dropped) {
			delete(h.names, name)
		}
	}
	return len(h.names) < maxRoster
}

// NotifyMerge refuses a whole exchange with a node of another cluster.
func (h *gossipHooks) NotifyMerge(peers []*memberlist.Node) error {
	g := h.g
	var refusal error
	for _, n := range peers {
		m, err := checkNode(n)
		if err != nil || m.cluster == g.cfg.cluster {
			continue // judge sees the former
		}
		refusal = fmt.Errorf("%s belongs to the cluster %q, not %q", m.member.Name, m.cluster, g.cfg.cluster)
		g.mu.Lock()
		if len(g.foreign) < maxRoster {
			g.foreign[net.JoinHostPort(n.Addr.String(), strconv.Itoa(int(n.Port)))] = m.cluster
		}
		say := g.refused.ok(time.Now(), m.member.Addr)
		g.mu.Unlock()
		if say {
			g.cfg.log.Warn("refused a node of another cluster: give each fleet seeds of its own",
				"node", m.member.Name, "addr", m.member.Addr, "cluster", m.cluster, "mine", g.cfg.cluster)
		}
	}
	return refusal
}

// gossipDoor is memberlist's transport on the node's own port, and the guard in
// front of it: see gossip_guard.go. It lives as long as one memberlist; the port
// goes on to the next one.
type gossipDoor struct {
	port    transport.Gossip
	addr    netip.AddrPort // advertised
	foreign *foreignLog
	packets chan *memberlist.Packet
	streams chan net.Conn
	done    chan struct{}
	freed   chan struct{} // cap 1: a stream was closed
	pumps   sync.WaitGroup

	mu     sync.Mutex
	conns  map[*gossipConn]struct{}
	closed bool
}

var _ memberlist.NodeAwareTransport = (*gossipDoor)(nil)

func newGossipDoor(port transport.Gossip, addr netip.AddrPort, log *slog.Logger) *gossipDoor {
	d := &gossipDoor{
		port:    port,
		addr:    addr,
		foreign: newForeignLog(log),
		packets: make(chan *memberlist.Packet),
		streams: make(chan net.Conn),
		done:    make(chan struct{}),
		freed:   make(chan struct{}, 1),
		conns:   map[*gossipConn]struct{}{},
	}
	d.pumps.Add(2)
	go d.pumpPackets()
	go d.pumpStreams()
	return d
}

func (d *gossipDoor) pumpPackets() {
	defer d.pumps.Done()
	for {
		select {
		case <-d.done:
			return
		case p, ok := <-d.port.Packets():
			if !ok {
				return
			}
			if err := checkPacket(p.Data); err != nil {
				d.foreign.note(p.From, err)
				continue
			}
			select {
			case d.packets <- &memberlist.Packet{Buf: p.Data, From: p.From, Timestamp: p.At}:
			case <-d.done:
				return
			}
		}
	}
}

func (d *gossipDoor) pumpStreams() {
	defer d.pumps.Done()
	for {
		select {
		case <-d.done:
			return
		case conn, ok := <-d.port.Streams():
			if !ok {
				return
			}
			if !d.makeRoom() {
				conn.Close()
				return
			}
			kept := d.keep(conn, true)
			if kept == nil {
				return
			}
			select {
			case d.streams <- kept:
			case <-d.done:
				kept.Close()
				return
			}
		}
	}
}

// Shutdown ends the pumps and all connections; the port stays open.
func (d *gossipDoor) Shutdown() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	conns := d.conns
	d.conns = nil
	d.mu.Unlock()
	close(d.done)
	for c := range conns {
		c.Conn.Close()
	}
	d.pumps.Wait()
	return nil
}

func (d *gossipDoor) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return d.addr.Addr().AsSlice(), int(d.addr.Port()), nil
}

func (d *gossipDoor) PacketCh() <-chan *memberlist.Packet { return d.packets }
func (d *gossipDoor) StreamCh() <-chan net.Conn           { return d.streams }

func (d *gossipDoor) WriteTo(b []byte, addr string) (time.Time, error) {
	select {
	case <-d.done:
		return time.Time{}, net.ErrClosed
	default:
		return d.port.WritePacket(b, addr)
	}
}

func (d *gossipDoor) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	conn, err := d.port.DialStream(addr, timeout)
	if err != nil {
		return nil, err
	}
	if conn = d.keep(conn, false); conn == nil {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (d *gossipDoor) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	return d.WriteTo(b, a.Addr)
}

func (d *gossipDoor) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return d.DialTimeout(a.Addr, timeout)
}
