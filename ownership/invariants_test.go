package ownership

import (
	"strings"
	"testing"
	"time"
)

// fires runs what must break an invariant and expects the panic that names it.
func fires(t *testing.T, invariant string, breach func()) {
	t.Helper()
	defer func() {
		t.Helper()
		what, _ := recover().(string)
		if !strings.HasPrefix(what, "lockmesh: invariant "+invariant+" ") {
			t.Errorf("invariant %s did not fire, but: %q", invariant, what)
		}
	}()
	breach()
}

// TestInvariantsFire corrupts a healthy node, each time in one place, and lets it
// do what it always does: the assertion at that place must stop it. A check that
// never failed is not to be trusted.
func TestInvariantsFire(t *testing.T) {
	v := viewOf(a, b, c)
	for _, tc := range []struct {
		invariant string
		breach    func()
	}{
		{"I1", func() { // another view at a known epoch
			n := serving(a, v)
			other := *v
			other.Voters = ids(c, b, a)
			n.learn(&other) // as if it had decided it itself
		}},
		{"I2", func() { // an answer to a renewal of an epoch that is over
			n := serving(a, v)
			n.assertVoterSilent(RenewAck{Epoch: epoch - 1})
		}},
		{"I2", func() {
			n := serving(a, v)
			tell(n, begin, b, Propose{epoch + 1, Ballot{1, b}, after(v, func(*View) {})})
			n.assertVoterSilent(RenewAck{Epoch: epoch})
		}},
		{"I3", func() { // a lease of a view whose terms are not promised
			n := has(serving(b, v), term, 0)
			n.parts[0].promised, n.parts[0].installed = term-1, term-1
			tell(n, begin, a, Confirm{[]ConfirmItem{{0, term - 1, 1}}})
		}},
		{"I3", func() { knowing(b, v).assertLeaseBeforeAccept(0) }},
		{"I4", func() { assertPromisedRises(5, 4) }},
		{"I5", func() { // installed above its promise
			n := serving(b, v)
			n.parts[0].installed = term + 1
			tell(n, begin, a, Accept{Term: term})
		}},
		{"I6", func() { // it writes in a term that the view gives to another
			n := owning(a, v)
			n.view = after(v, func(w *View) { w.Groups[0].Replicas = ids(b, a, c) })
			tell(n, begin, d, acquire(d, 1, "k"))
		}},
		{"I7", func() { // a replica has a write that was never made
			n := owning(a, v)
			tell(n, begin, d, acquire(d, 1, "k"))
			n.owners[0].acked[1] = 7
			tell(n, begin, c, accepted(1))
		}},
		{"I7", func() { // a replica counts twice
			n := owning(a, v)
			tell(n, begin, d, acquire(d, 1, "k"))
			n.owners[0].acked = append(n.owners[0].acked, 9)
			tell(n, begin, b, accepted(1))
		}},
		{"I8", func() { // a first state without a seal quorum, and nothing waited out
			owning(a, v).owners[0].assertSnapshotQuorum([]Configuration{{90, ids(b, c)}}, false)
		}},
		{"I9", func() { // a token of this term is there before it was given
			n := owning(a, v)
			n.owners[0].assertTokenRises(makeToken(term, 0), nil)
		}},
		{"I9", func() {
			n := owning(a, v)
			n.owners[0].table.key("k").record = held("k", e, makeToken(term, 50))
			o := n.owners[0]
			n.admit(o, o.table.key("k").record, &request{id: RequestID{5, 1}, key: "k"})
		}},
		{"I10", func() { assertEcho(11, 10) }},
		{"I11", func() { // an answer of another term is about to leave
			n := owning(a, v)
			n.owners[0].certain = []pending{{to: d, answer: Answer{Term: term - 1}}}
			tell(n, begin, b, accepted(0))
			n.release(n.owners[0])
		}},
		{"I12", func() { // a lease expires while its holder may believe in it
			owning(a, v).assertExpiry(&lease{ttl: time.Second, heard: begin})
		}},
		{"I13", func() { // two holders of an exclusive lock
			n := owning(a, v)
			n.write(n.owners[0], "k", &Record{Key: "k", Holders: make([]Holder, 2)})
		}},
		{"I14", func() { // a request that is closed is granted
			n := owning(a, v)
			o := n.owners[0]
			n.admit(o, &Record{Key: "k"}, &request{id: RequestID{5, 1}, key: "k", state: requestClosed})
		}},
		{"I15", func() { // a grant for what was released
			n := asking(Lock{Handle: 1, Key: "k", TTL: time.Second})
			h := n.client.holds[1]
			h.state = holdReleasing
			n.adopt(h, Answer{Token: 1, Echo: Echo(begin)})
		}},
		{"I16", func() { // a node that was dropped speaks
			n := serving(a, v)
			tell(n, begin, b, Decided{View: after(v, func(w *View) { w.without(a) })})
			n.send(b, AskView{})
		}},
		{"I17", func() { assertPriorBounded(Group{Prior: make([]Configuration, MaxPrior+1)}) }},
	} {
		fires(t, tc.invariant, tc.breach)
	}
}
