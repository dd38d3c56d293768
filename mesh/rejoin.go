package mesh

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// Whoever lost the others finds them again here: memberlist itself never looks
// for nodes that were away for GossipToTheDeadTime.

// rejoinResult says what became of the seeds in one round.
type rejoinResult struct {
	met     int               // that answered as nodes of this cluster
	foreign map[string]string // address -> cluster, of those that belong to another
	trouble []string          // what went wrong with the others, for people
}

// runRejoin contacts the seeds again and again, for ever.
func (g *gossip) runRejoin() {
	defer g.ended.Done()
	var also []string
	for {
		var alone bool
		alone, also = g.cfg.round(g.rejoin(also))
		wait := rejoinEvery + time.Duration(g.cfg.rand()%uint64(rejoinSpread))
		if alone {
			wait = rejoinAlone + time.Duration(g.cfg.rand()%uint64(rejoinJitter))
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-g.fresh:
			t.Stop()
		case <-g.ctx.Done():
			t.Stop()
			return
		}
	}
}

// rejoin contacts the seeds and these other addresses, all at once: one that
// drops packets must not keep the rest waiting.
func (g *gossip) rejoin(also []string) rejoinResult {
	res := rejoinResult{foreign: map[string]string{}}
	g.mu.Lock()
	clear(g.foreign) // of those that came by themselves: strangers may have filled it
	g.mu.Unlock()
	addrs := g.lookupSeeds(&res)
	for _, a := range also {
		if ap, err := netip.ParseAddrPort(a); err == nil {
			addrs[ap] = a
		}
	}
	g.life.Lock()
	list := g.list
	g.life.Unlock()
	if list == nil {
		return res
	}

	var wg sync.WaitGroup
	var mu sync.Mutex
	for addr, seed := range addrs {
		if addr == g.cfg.addr {
			continue
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			_, err := list.Join([]string{addr.String()})
			mu.Lock()
			defer mu.Unlock()
			g.mu.Lock()
			cluster, foreign := g.foreign[addr.String()]
			delete(g.foreign, addr.String())
			g.mu.Unlock()
			switch {
			case err == nil:
				res.met++
			case foreign:
				res.foreign[addr.String()] = cluster
				res.trouble = append(res.trouble, fmt.Sprintf("seed %s belongs to the cluster %q, not %q", seed, cluster, g.cfg.cluster))
			default:
				res.trouble = append(res.trouble, fmt.Sprintf("seed %s: %v", seed, rootOf(err, addr)))
			}
		}()
	}
	wg.Wait()
	return res
}

// lookupSeeds returns the addresses of the seeds and what each was called.
func (g *gossip) lookupSeeds(res *rejoinResult) map[netip.AddrPort]string {
	ctx, cancel := context.WithTimeout(g.ctx, lookupFor)
	defer cancel()
	seeds, from := g.cfg.seeds, "Seeds name"
	if g.cfg.discover != nil {
		var err error
		from = "Discover named"
		if seeds, err = g.cfg.discover(ctx); err != nil {
			res.trouble = append(res.trouble, fmt.Sprintf("Discover: %v", err))
		}
	}
	addrs := map[netip.AddrPort]string{}
	if g.cfg.discover != nil && len(seeds) == 0 && len(res.trouble) == 0 {
		res.trouble = append(res.trouble, "Discover named no address")
	}
	for _, seed := range seeds {
		if err := checkHostPort(seed, false); err != nil {
			res.trouble = append(res.trouble, fmt.Sprintf("seed %q: %v; write host:port", seed, err))
			continue
		}
		all, err := g.cfg.lookup.resolve(ctx, seed)
		if err != nil {
			res.trouble = append(res.trouble, fmt.Sprintf("seed %s does not resolve: %v", seed, err))
		}
		for _, a := range all {
			addrs[a] = seed
		}
	}
	if _, self := addrs[g.cfg.addr]; self && len(addrs) == 1 && len(res.trouble) == 0 {
		res.trouble = append(res.trouble, from+" only this node")
	}
	return addrs
}

// rootOf takes memberlist's wrapping off an error: it keeps causes only as text.
func rootOf(err error, addr netip.AddrPort) string {
	text := err.Error()
	if _, root, ok := strings.Cut(text, "failed to join "+addr.String()+": "); ok {
		text = root
	}
	return strings.TrimSpace(text)
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
