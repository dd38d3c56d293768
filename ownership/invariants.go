package ownership

import "fmt"

// violated stops a node whose state is impossible: going on could grant a lock
// twice, and a crash is what the protocol is built to survive. name is the
// invariant's in doc.go.
func violated(name, format string, args ...any) {
	panic("lockmesh: invariant " + name + " violated: " + fmt.Sprintf(format, args...))
}

// One predicate each. They run in production too: all are a few comparisons.

// assertViewUnique: a mesh has one view at each epoch, and views form one chain
// from one founding (I1).
func assertViewUnique(known, v *View) {
	if known.Epoch == v.Epoch && !sameView(known, v) {
		violated("I1 ViewUnique", "two views at epoch %d", v.Epoch)
	}
}

// assertVoterSilent: a voter that accepted a value for the next epoch renews no
// lease of its own (I2, V4).
func (c *Core) assertVoterSilent(m RenewAck) {
	if c.voter.value != nil || c.view.Epoch != m.Epoch {
		violated("I2 VoterSilent", "renewal of epoch %d answered at %d", m.Epoch, c.view.Epoch)
	}
}

// assertLeaseBeforeAccept: nothing is accepted or confirmed without a membership
// lease, nor with one of a view whose terms are not promised (I3, L1, L2).
func (c *Core) assertLeaseBeforeAccept(p Partition) {
	if !c.leaseValid() || c.parts[p].promised < c.view.Groups[p].Term {
		violated("I3 LeaseBeforeAccept", "partition %d accepted without a lease", p)
	}
}

// assertPromisedRises and assertInstalled: promised never falls (I4), and
// nothing above it is installed (I5).
func assertPromisedRises(from, to Term) {
	if to < from {
		violated("I4 PromisedRises", "%d after %d", to, from)
	}
}

func (r *replica) assertInstalled() {
	if r.installed > r.promised {
		violated("I5 InstalledNotAbovePromised", "installed %d, promised %d", r.installed, r.promised)
	}
}

// assertOneOwner: only the owner writes in its group's term (I6).
func (c *Core) assertOneOwner(o *owner) {
	if g := c.view.Groups[o.partition]; g.Term != o.term || g.Owner() != c.id {
		violated("I6 TermHasOneOwner", "partition %d term %d is not mine", o.partition, o.term)
	}
}

// assertAcks: each replica is counted once, and none has more than was sent (I7).
func (o *owner) assertAcks() {
	if len(o.acked) != len(o.replicas) || len(o.confirmed) != len(o.replicas) {
		violated("I7 AckOncePerReplica", "%d acks of %d replicas", len(o.acked), len(o.replicas))
	}
	for i, a := range o.acked {
		if a >= int64(o.next) {
			violated("I7 AckOncePerReplica", "replica %d has write %d of %d", o.replicas[i], a, o.next-1)
		}
	}
}

// assertSnapshotQuorum: a term's first state rests on a seal quorum of every
// configuration that may be newer than it, or on the wait of T6 (I8).
func (o *owner) assertSnapshotQuorum(missing []Configuration, waited bool) {
	if len(missing) > 0 && !waited {
		violated("I8 SnapshotQuorum", "partition %d started without configuration %d", o.partition, missing[0].Term)
	}
}

// assertTokenRises: tokens rise over the grants of a term (I9); over terms they
// do since the term is their upper half.
func (o *owner) assertTokenRises(t Token, rec *Record) {
	if t <= makeToken(o.term, o.count-1) || t.Term() != o.term {
		violated("I9 TokenRises", "token %d in term %d", t, o.term)
	}
	if rec != nil {
		for _, h := range rec.Holders {
			if h.Token >= t {
				violated("I9 TokenRises", "token %d after %d of key %q", t, h.Token, rec.Key)
			}
		}
	}
}

// assertEcho: an answer echoes no client time that came after its round began
// or its Accept was sent (I10, G2).
func assertEcho(heard, began Time) {
	if heard > began {
		violated("I10 EchoBeforeRound", "the echoed time came %v after the round began", heard.since(began))
	}
}

// assertAnswerTerm: an owner answers for its own term alone (I11, K1).
func (o *owner) assertAnswerTerm(t Term) {
	if t != o.term {
		violated("I11 AnswerTerm", "answer of term %d in %d", t, o.term)
	}
}

// assertExpiry: a lease expires at the owner only when its holder's deadline is
// past: TTL·(1+d) after the last word of it (I12, K3).
func (c *Core) assertExpiry(l *lease) {
	if c.now < l.heard.add(c.view.Params.given(l.ttl)) {
		violated("I12 ExpireAfterDeadline", "lease %v expired %v after it was heard", l.id, c.now.since(l.heard))
	}
}

// assertCapacity: holders take no more than the key's capacity, and agree on it
// (I13, K7).
func assertCapacity(r *Record) {
	if r == nil || len(r.Holders) < 2 {
		return
	}
	capacity := r.Holders[0].Mode.capacity()
	for _, h := range r.Holders {
		if h.Mode.capacity() != capacity {
			violated("I13 WeightWithinCapacity", "key %q has holders of %d and of %d", r.Key, capacity, h.Mode.capacity())
		}
	}
	if r.taken() > uint64(capacity) {
		violated("I13 WeightWithinCapacity", "key %q of %d has %d holders, which take %d", r.Key, capacity, len(r.Holders), r.taken())
	}
}

// assertOpen: the outcome of a request is fixed once (I14, K1).
func (r *request) assertOpen() {
	if r.state != requestWaiting {
		violated("I14 OneOutcomePerRequest", "request %v evaluated again", r.id)
	}
}

// assertNeverAdoptReleased: a client takes no grant for a request that it has
// closed (I15, K1).
func (h *hold) assertNeverAdoptReleased() {
	if h.state != holdAsking {
		violated("I15 NeverAdoptReleased", "grant for closed request %d", h.seq)
	}
}

// assertForgottenIsSilent: a node that was dropped and forgot never speaks under
// its NodeID again (I16, V6).
func (c *Core) assertForgottenIsSilent() {
	if c.phase == PhaseSilent || c.phase == PhaseGone {
		violated("I16 ForgottenIsSilent", "node %d speaks", c.id)
	}
}

// assertPriorBounded: Prior lists stay short, and a settled group adds nothing
// to them (I17, T5).
func assertPriorBounded(g Group) {
	if len(g.Prior) > MaxPrior {
		violated("I17 PriorBounded", "%d prior configurations", len(g.Prior))
	}
}
