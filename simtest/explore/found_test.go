package explore

// What reading and searching have found, each as small as it goes.

import (
	"slices"
	"testing"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// K2: an owner that has just taken over, and is asked by the next one's Seal while
// its own grace lasts, says that nobody waits: those who waited at the owner before
// have not come yet. The next one leaves out its grace, and a new request is granted
// before one that has waited for two terms.
func TestQueueOverTwoTakeOvers(t *testing.T) {
	const waiter, holder = 2, 3
	sc := Scenario{Name: "queue", instant: housekeeping, prepare: func(st *stage) {
		st.params.Replicas = 3
		st.found(5)
		ttl := 20 * time.Second
		st.do(holder, ownership.Lock{Handle: 1, Key: "k", TTL: ttl})
		st.do(waiter, ownership.Lock{Handle: 2, Key: "k", TTL: ttl})
		st.must(st.s.memory.done(1) && !st.s.memory.done(2), "nobody waits")
		twoTakeOvers(st)
		st.script(doing{node: holder, in: ownership.Unlock{Handle: 1}}, doing{node: holder, in: ownership.Lock{Handle: 3, Key: "k", TTL: ttl}})
	}}
	late := ownership.RequestID{Client: 400, Seq: 2} // the holder's second request
	sc.tamper = func(_, _ ownership.NodeID, m ownership.Message) ownership.Message {
		if k, ok := m.(ownership.Accept); ok && k.Writes[0].Record != nil && k.Writes[0].Record.Holders[0].Request == late {
			panic("who came last is granted first")
		}
		return m
	}
	r, err := sc.Run(Limits{Depth: 8}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Violation != nil {
		t.Errorf("%s, after %d steps", r.Violation.What, len(r.Violation.Steps))
	}
}

// twoTakeOvers deposes three owners in a row. The second gets as far as to send its
// Installs to the others, and the waiters' requests to it are lost.
func twoTakeOvers(st *stage) {
	var deposed []int
	install, votes, acquire := kinds(ownership.KindInstall), kinds(votes...), kinds(ownership.KindAcquire)
	for i := range 3 {
		deposed = append(deposed, st.owner())
		st.hold = install
		st.drop = func(from, to int, p *packet) bool {
			gone := slices.Contains(deposed, from) && (p.message.Kind() == ownership.KindRenew || votes(from, to, p))
			news := slices.Contains(deposed, to) && p.message.Kind() == ownership.KindDecided
			far := p.message.Kind() == ownership.KindSeal && i == 2 && slices.Contains(deposed[:2], to)
			return gone || news || far || i > 0 && acquire(from, to, p) || i < 2 && install(from, to, p)
		}
		depose(st, deposed[i], func() {})
		if i < 2 {
			st.arrive(func(from, to int, p *packet) bool { return !install(from, to, p) })
			st.wait(100 * time.Millisecond)
		}
	}
}
