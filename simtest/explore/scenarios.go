package explore

import (
	"slices"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// Scenarios lists what is explored, in the order of the rules.
func Scenarios() []Scenario {
	return []Scenario{founding2, founding3, proposers, proposersRetry, proposersTakeOver, handOver, handOverFaults,
		takeOvers, takeOvers3, takeOversFaults, regrant, regrantOwner, renewal, upgrades, givenUp, allGivenUp, values, valuesTakeOver}
}

// housekeeping are the kinds whose delay decides little about locks: membership
// leases, and what is told again and again. Views wait for nobody's lock.
var housekeeping = []ownership.Kind{ownership.KindRenew, ownership.KindRenewAck, ownership.KindSettled, ownership.KindSettledAck,
	ownership.KindAskView, ownership.KindDecidedAck}

// votes are the kinds that make a view.
var votes = []ownership.Kind{ownership.KindPrepare, ownership.KindPromise, ownership.KindPropose, ownership.KindAccepted}

// afterwards are the kinds that mean something in a view alone.
var afterwards = append([]ownership.Kind{ownership.KindSeal, ownership.KindStuck}, housekeeping...)

var (
	founding2 = Scenario{
		Name:    "founding-2",
		Claim:   "two nodes found at most one mesh: messages late and doubled, a crash",
		Bounds:  "from the first start; what follows from a view (leases, take-over) is cut off",
		budget:  Budget{Advance: 3, Twice: 1, Crash: 1},
		lost:    afterwards,
		prepare: func(st *stage) { st.hold = kinds(everything...); st.start(2) },
	}
	founding3 = Scenario{
		Name:    "founding-3",
		Claim:   "three nodes found at most one mesh: messages late, a crash",
		Bounds:  founding2.Bounds,
		budget:  Budget{Advance: 1, Crash: 1},
		lost:    afterwards,
		prepare: func(st *stage) { st.hold = kinds(everything...); st.start(3) },
	}
	proposers = Scenario{
		Name:    "two-proposers",
		Claim:   "two voters propose different views at once, and one is decided: a drops c, b drops a; votes are late and doubled, one voter crashes",
		Bounds:  "three running voters, time stands still; what follows from a view is cut off",
		budget:  Budget{Twice: 1, Crash: 1},
		twice:   votes,
		lost:    afterwards,
		prepare: contend,
	}
	proposersRetry = Scenario{
		Name:    "two-proposers-retry",
		Claim:   "the same, and ballots are sent again and given up",
		Bounds:  "the clock leaps over the patience of a proposer; nothing is doubled",
		budget:  Budget{Jump: 2, Sleep: 1},
		jumps:   []time.Duration{600 * time.Millisecond},
		lost:    afterwards,
		prepare: contend,
	}
	proposersTakeOver = Scenario{
		Name:    "two-proposers-take-over",
		Claim:   "the same with the leases and the take-over that follow; one voter crashes",
		Bounds:  "renewals arrive at once, time stands still",
		budget:  Budget{Crash: 1},
		instant: housekeeping,
		prepare: contend,
	}
	handOver = Scenario{
		Name:    "hand-over",
		Claim:   "a write and a confirm round of the old owner are on their way while another takes over, and the old one still has its lease",
		Bounds:  "three replicas; renewals arrive at once, time stands still",
		instant: housekeeping,
		prepare: prepareHandOver,
	}
	handOverFaults = Scenario{
		Name:    "hand-over-faults",
		Claim:   "the same with a crash, resends, and a new owner that need not wait for the old one",
		Bounds:  "the clock leaps over the grace of K2; renewals arrive at once",
		budget:  Budget{Jump: 1, Crash: 1},
		jumps:   []time.Duration{300 * time.Millisecond},
		instant: housekeeping,
		prepare: prepareHandOver,
	}
	takeOvers = Scenario{
		Name:    "take-over-of-take-overs",
		Claim:   "a group that was not settled three times over is taken over while Installs of those before are late, and a held lock is not forgotten",
		Bounds:  "five nodes, groups of two (five: each of three deposed owners is in no later list); renewals arrive at once, time stands still",
		instant: housekeeping,
		prepare: func(st *stage) { prepareTakeOvers(st, 2) },
	}
	takeOvers3 = Scenario{
		Name:    "take-over-of-take-overs-3",
		Claim:   "the same with groups of three, so that seal quorums are two of three",
		Bounds:  "five nodes; renewals arrive at once, time stands still",
		instant: housekeeping,
		prepare: func(st *stage) { prepareTakeOvers(st, 3) },
	}
	takeOversFaults = Scenario{
		Name:    "take-over-of-take-overs-faults",
		Claim:   "the same with groups of two, resends, and a new owner that need not wait for the old one",
		Bounds:  "the clock leaps over the grace of K2; renewals arrive at once",
		budget:  Budget{Jump: 1},
		jumps:   []time.Duration{300 * time.Millisecond},
		instant: housekeeping,
		prepare: func(st *stage) { prepareTakeOvers(st, 2) },
	}
	regrant = Scenario{
		Name:    "release-and-regrant",
		Claim:   "a client unlocks and asks again while another waits; late copies of Acquire, Release and Answer change nothing",
		Bounds:  "one view, three replicas, clients are not the owner; renewals arrive at once, time stands still",
		budget:  Budget{Twice: 1},
		twice:   []ownership.Kind{ownership.KindAcquire, ownership.KindRelease, ownership.KindAnswer},
		instant: housekeeping,
		prepare: func(st *stage) {
			st.found(3)
			others := st.others(st.owner())
			prepareRegrant(st, others[0], others[1])
		},
	}
	regrantOwner = Scenario{
		Name:    "release-and-regrant-at-the-owner",
		Claim:   "the same where the other client is the owner's own, and requests are sent again",
		Bounds:  "two nodes, two replicas; renewals arrive at once",
		budget:  Budget{Twice: 1, Advance: 1},
		twice:   regrant.twice,
		instant: housekeeping,
		prepare: func(st *stage) {
			st.found(2)
			prepareRegrant(st, st.others(st.owner())[0], st.owner())
		},
	}
	renewal = Scenario{
		Name:    "renewal-against-take-over",
		Claim:   "heartbeats to the old owner and its answers are late while the new one lets the lease run out and grants anew",
		Bounds:  "the clock leaps over the lease; renewals of membership arrive at once",
		budget:  Budget{Jump: 2},
		jumps:   []time.Duration{1500 * time.Millisecond, 3100 * time.Millisecond},
		instant: housekeeping,
		prepare: prepareRenewal,
	}
)

// everything is every kind there is.
var everything = func() (ks []ownership.Kind) {
	for k := ownership.KindContact; k <= ownership.KindNotice; k++ {
		ks = append(ks, k)
	}
	return ks
}()

// contend lets two of three nodes that are all alive begin a ballot: each for a
// view without another one.
func contend(st *stage) {
	st.found(3)
	const a, b, c = 0, 1, 2
	silent := kinds(ownership.KindRenew)
	st.hold = kinds(votes...)
	st.drop = func(from, to int, p *packet) bool {
		// a hears nothing of c, nor b of a: long enough to drop them, too short to
		// lose a lease.
		return silent(from, to, p) && (from == c && to == a || from == a && to == b)
	}
	st.do(a, st.gossip(a, c))
	st.do(b, st.gossip(b, a))
	st.must(st.until(3*time.Second, func() bool { return st.proposes(a) && st.proposes(b) }), "a and b do not both propose")
	for i := range 3 {
		st.must(st.status(i).LeaseValid, "%s has lost its lease", st.names[i])
	}
	st.hold = kinds(everything...)
}

// proposes says that a node's Prepare for the next view is in flight.
func (st *stage) proposes(node int) bool {
	for _, f := range st.s.flight {
		if m, ok := f.message.(ownership.Prepare); ok && m.Epoch == st.view().Epoch+1 && st.node(f.from) == node {
			return true
		}
	}
	return false
}

// depose has the others drop a node that is alive. It stops when the new owner
// has just learned the view that makes it so: what it sends then is in flight, and
// so is the news to the others. meanwhile happens just before the vote.
func depose(st *stage, old int, meanwhile func()) {
	epoch := st.view().Epoch
	hold, drop := st.hold, st.drop
	vote := kinds(ownership.KindPrepare)
	st.hold = func(from, to int, p *packet) bool { return hold(from, to, p) || vote(from, to, p) }
	st.drop = func(from, to int, p *packet) bool {
		return drop(from, to, p) || from == old && p.message.Kind() == ownership.KindRenew
	}
	for _, i := range st.others(old) {
		st.do(i, st.gossip(i, old))
	}
	st.must(st.until(3*time.Second, func() bool {
		return slices.ContainsFunc(st.births, func(id ownership.NodeID) bool { return st.proposes(st.node(id)) })
	}),
		"nobody drops %s", st.names[old])
	meanwhile()

	decided := func() bool { return st.view().Epoch > epoch }
	st.hold = func(from, to int, p *packet) bool { return hold(from, to, p) || decided() }
	st.arrive(vote)
	st.must(decided() && st.owner() != old, "%s is not deposed: %s", st.names[old], st.machine.view(st.view()))
	// Whoever has decided may not be the new owner.
	own := st.owner()
	st.arrive(func(from, to int, p *packet) bool { return to == own && p.message.Kind() == ownership.KindDecided })
	st.hold, st.drop = hold, drop
}

func prepareHandOver(st *stage) {
	st.found(3)
	old := st.owner()
	b, c := st.others(old)[0], st.others(old)[1]
	ttl := 5 * time.Second
	depose(st, old, func() {
		st.hold = kinds(ownership.KindAccept, ownership.KindConfirm)
		st.do(c, ownership.Lock{Handle: 1, Key: "k", TTL: ttl})
		st.do(b, ownership.Lock{Handle: 2, Key: "k", TTL: ttl, Try: true})
		st.must(st.flying(ownership.KindAccept) && st.flying(ownership.KindConfirm), "the old owner has nothing on its way")
	})
	st.must(st.status(old).LeaseValid, "the old owner has no lease any more")
	st.must(st.flying(ownership.KindSeal) && st.owner() != old, "nobody takes over")
	st.script(doing{node: c, in: ownership.Unlock{Handle: 1}, after: 1})
	st.script(doing{node: b, in: ownership.Lock{Handle: 3, Key: "k", TTL: ttl, Try: true}, after: 1})
}

// prepareTakeOvers deposes three owners in a row, of which the second and third
// never came to serve: each had installed the state on itself alone. None hears
// that it was dropped; the last may, in the search.
func prepareTakeOvers(st *stage, replicas int) {
	st.params.Replicas = replicas
	st.found(5)
	holder, other := 2, 3 // they are members to the end; asserted below
	ttl := 20 * time.Second
	st.do(holder, ownership.Lock{Handle: 1, Key: "k", TTL: ttl})
	st.must(st.s.memory.done(1), "the lock is not granted")
	var deposed []int
	install, votes := kinds(ownership.KindInstall), kinds(votes...)
	for i := range 3 {
		st.hold = install
		deposed = append(deposed, st.owner())
		st.drop = func(from, to int, p *packet) bool {
			return slices.Contains(deposed, from) && (p.message.Kind() == ownership.KindRenew || votes(from, to, p)) ||
				slices.Contains(deposed, to) && p.message.Kind() == ownership.KindDecided && i < 2
		}
		depose(st, deposed[i], func() {})
		if i < 2 { // all of the take-over but its Installs
			st.arrive(func(from, to int, p *packet) bool { return !install(from, to, p) })
			st.wait(100 * time.Millisecond) // the owner before is waited for (K2)
			st.must(st.flying(ownership.KindInstall), "take-over %d has not come to install", i+1)
		}
	}
	v := st.view()
	st.must(len(v.Groups[0].Prior) == 3, "Prior has %d configurations, not 3: %s", len(v.Groups[0].Prior), st.machine.view(v))
	st.must(v.Member(st.births[holder]) != nil && v.Member(st.births[other]) != nil, "holder or other were dropped: %s", st.machine.view(v))
	st.script(doing{node: holder, in: ownership.Unlock{Handle: 1}})
	st.script(doing{node: other, in: ownership.Lock{Handle: 2, Key: "k", TTL: ttl, Try: true}})
}

func prepareRegrant(st *stage, b, c int) {
	ttl := 5 * time.Second
	st.do(b, ownership.Lock{Handle: 1, Key: "k", TTL: ttl})
	st.must(st.s.memory.done(1), "the first lock is not granted")
	st.script(
		doing{node: b, in: ownership.Unlock{Handle: 1}},
		doing{node: b, in: ownership.Lock{Handle: 2, Key: "k", TTL: ttl}},
		doing{node: b, in: ownership.Unlock{Handle: 2}, after: 2})
	st.script(
		doing{node: c, in: ownership.Lock{Handle: 3, Key: "k", TTL: ttl}},
		doing{node: c, in: ownership.Unlock{Handle: 3}, after: 3},
		doing{node: c, in: ownership.Lock{Handle: 4, Key: "k", TTL: ttl, Try: true}})
}

func prepareRenewal(st *stage) {
	st.found(3)
	old := st.owner()
	b, c := st.others(old)[0], st.others(old)[1]
	st.do(c, ownership.Lock{Handle: 1, Key: "k", TTL: 3 * time.Second})
	st.must(st.s.memory.done(1), "the first lock is not granted")
	st.hold = kinds(ownership.KindHeartbeat)
	depose(st, old, func() {
		st.do(b, ownership.Lock{Handle: 2, Key: "k", TTL: 3 * time.Second})
		st.must(st.until(time.Second, func() bool { return st.flying(ownership.KindHeartbeat) }), "no heartbeat is on its way")
	})
	st.must(st.status(old).LeaseValid, "the old owner has no lease any more")
}

// flying says that a message of this kind is in flight.
func (st *stage) flying(k ownership.Kind) bool {
	return slices.ContainsFunc(st.s.flight, func(f inFlight) bool { return f.message.Kind() == k })
}
