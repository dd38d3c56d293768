package mesh

import (
	"context"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
	"github.com/lockmesh/lockmesh/transport"
)

// opener is the world that a node runs in: where its messages go and who tells
// it of its peers.
type opener interface {
	listen(ctx context.Context, n *Node) error               // sets n.net and n.addr
	detect(n *Node, self ownership.Member) (detector, error) // after n.net was started
}

// realWorld is TCP and gossip on one port.
type realWorld struct{}

func (realWorld) listen(ctx context.Context, n *Node) error {
	tcp, err := transport.Listen(transport.Options{Bind: n.cfg.Bind, Logger: n.log})
	if err != nil {
		return because("Bind "+quote(n.cfg.Bind)+": "+err.Error(), ErrInvalid, err)
	}
	addr, why, err := advertised(ctx, n.cfg.Advertise, listenAddr(tcp), n.env.Lookup, hostAddrs)
	if err != nil {
		tcp.Close()
		return err
	}
	n.log.Info("advertising", "addr", addr, "bound", tcp.Addr(), "why", why)
	n.net, n.addr = tcp, addr.String()
	return nil
}

func (realWorld) detect(n *Node, self ownership.Member) (detector, error) {
	port := n.net.(transport.Gossip)
	addr, err := (lookupFunc)(n.env.Lookup).resolve(context.Background(), n.addr) // an address: no lookup
	if err != nil {
		return nil, err
	}
	return startGossip(gossipConfig{
		cluster:  n.cfg.Cluster,
		self:     self,
		addr:     addr[0],
		port:     port,
		seeds:    n.cfg.Seeds,
		discover: n.cfg.Discover,
		lookup:   n.env.Lookup,
		rand:     n.env.Rand,
		log:      n.log,
		tell:     func(news []gossipNews) { n.mail.run(func() { n.loop.onGossip(news) }) },
		round:    n.onRejoin,
	})
}

// onRejoin takes note of a round of contacting seeds. Nodes of the view that
// gossip has lost are worth a try as well: after a long partition nobody else
// would look for them.
func (n *Node) onRejoin(res rejoinResult) (alone bool, also []string) {
	alone = true
	n.ask(func(l *loop) {
		l.trouble = res.trouble
		for _, t := range res.trouble {
			switch {
			case l.serving:
				l.n.log.Debug("contacting seeds", "trouble", t)
			case l.say(t):
				l.n.log.Info("contacting seeds", "trouble", t)
			}
		}
		if res.met == 0 && len(res.foreign) > 0 && len(res.foreign) == len(res.trouble) && n.view.Load() == nil {
			l.refuse(invalid(res.trouble...))
		}
		alone = !l.serving
		also = l.lostMembers(3)
	})
	return alone, also
}

// lostMembers are addresses of some members that gossip does not believe alive.
func (l *loop) lostMembers(most int) []string {
	view := l.n.view.Load()
	if view == nil || len(view.Members) == 0 {
		return nil
	}
	var addrs []string
	first := int(l.n.env.Rand() % uint64(len(view.Members)))
	for i := range view.Members {
		m := view.Members[(first+i)%len(view.Members)]
		if m.ID == l.roster.self || len(addrs) == most {
			continue
		}
		if j, known := l.roster.find(m.ID); !known || l.roster.peers[j].Dead {
			addrs = append(addrs, m.Addr)
		}
	}
	return addrs
}

// otherWorld is a Network of Env.
type otherWorld struct{ net Network }

func (w otherWorld) listen(_ context.Context, n *Node) error {
	n.addr = n.cfg.Advertise
	if n.addr == "" {
		n.addr = n.cfg.Bind
	}
	port, err := w.net.Open(n.addr)
	if err != nil {
		return because("Bind "+quote(n.addr)+": "+err.Error(), ErrInvalid, err)
	}
	n.net = port
	return nil
}

func (w otherWorld) detect(n *Node, self ownership.Member) (detector, error) {
	port := n.net.(Port)
	port.Announce(self)
	port.Watch(func(peers []ownership.Peer) { n.mail.run(func() { n.loop.onRoster(peers) }) })
	return watch{port}, nil
}

// watch is the detector of a Network: it ends with the port.
type watch struct{ port Port }

func (w watch) rename(self ownership.Member) { w.port.Announce(self) }
func (w watch) rejoinNow()                   {}
func (w watch) leave(time.Duration)          {}
func (w watch) close()                       {}
