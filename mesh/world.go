package mesh

import (
	"context"
	"errors"
	"syscall"
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
		return bindError(n.cfg.Bind, err)
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
		tell:     func(news []gossipNews) { n.ask(func(l *loop) { l.onGossip(news) }) }, // waits, so that news piles up where it is merged
		round:    n.onRejoin,
	})
}

// bindError says why a port was not bound. One that is taken is often free soon:
// in a rolling restart the old process is about to end.
func bindError(bind string, err error) error {
	text := "Bind " + quote(bind) + ": "
	switch {
	case errors.Is(err, transport.ErrInUse):
		return because(text+err.Error()+"; try again when that has ended, or choose another port, or port 0", ErrUnavailable, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return because(text+"this host has no such address; bind to one that it has, or to all of them, as in \":7946\", and write what others dial into Advertise", ErrInvalid, err)
	}
	return because(text+err.Error(), ErrInvalid, err)
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
