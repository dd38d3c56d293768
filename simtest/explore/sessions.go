package explore

import (
	"slices"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// The scenarios of modes, values and evictions.

// atOnce are the kinds of one view in which nothing of a group is late: what
// remains goes between clients and their owner.
var atOnce = append(slices.Clone(housekeeping), ownership.KindAccept, ownership.KindAcceptAck, ownership.KindConfirm, ownership.KindConfirmAck)

var (
	upgrades = Scenario{
		Name:    "two-upgrades",
		Claim:   "of two readers that want to go up one is refused or gone before the other does; late copies of Alter, Acquire and Answer change nothing",
		Bounds:  "one view, clients are not the owner; what owner and replicas say to each other arrives at once, time stands still",
		budget:  Budget{Twice: 1},
		twice:   []ownership.Kind{ownership.KindAlter, ownership.KindAcquire, ownership.KindAnswer},
		answers: true,
		instant: atOnce,
		prepare: prepareUpgrades,
	}
	givenUp = Scenario{
		Name:    "upgrade-given-up",
		Claim:   "a reader asks to go up twice and gives one of the two up: the other stands, or is refused, and is not taken back",
		Bounds:  upgrades.Bounds,
		budget:  Budget{Twice: 1},
		twice:   []ownership.Kind{ownership.KindAlter, ownership.KindAnswer},
		answers: true,
		instant: atOnce,
		prepare: func(st *stage) { prepareGivenUp(st, false) },
	}
	allGivenUp = Scenario{
		Name:    "upgrades-given-up",
		Claim:   "the same, and both are given up: another reader is let in",
		Bounds:  upgrades.Bounds,
		budget:  Budget{Twice: 1},
		twice:   givenUp.twice,
		answers: true,
		instant: atOnce,
		prepare: func(st *stage) { prepareGivenUp(st, true) },
	}
	values = Scenario{
		Name:    "values-and-eviction",
		Claim:   "a holder writes while an operator takes its lock, and the next one writes: nobody writes late, and looks see what was answered",
		Bounds:  upgrades.Bounds,
		budget:  Budget{Twice: 2},
		twice:   []ownership.Kind{ownership.KindAlter, ownership.KindRevoke, ownership.KindNotice},
		answers: true,
		instant: atOnce,
		prepare: func(st *stage) { st.found(3); prepareValues(st) },
	}
	valuesTakeOver = Scenario{
		Name:    "values-and-take-over",
		Claim:   "a value is written and read at the old owner while another takes over: what was answered stays",
		Bounds:  handOver.Bounds,
		answers: true,
		instant: housekeeping,
		prepare: prepareValuesTakeOver,
	}
)

func prepareUpgrades(st *stage) {
	st.found(3)
	ttl := 5 * time.Second
	clients := st.others(st.owner())
	for i, node := range clients {
		h := ownership.Handle(i + 1)
		st.do(node, ownership.Lock{Handle: h, Key: "k", TTL: ttl, Mode: ownership.Shared})
		st.must(st.s.memory.done(h), "a reader is not let in")
		st.script(
			doing{node: node, in: ownership.Change{Handle: h, Op: 1, What: ownership.AlterMode, Mode: ownership.Exclusive}},
			// The first one waits for its answer: it must get one. The other may not.
			doing{node: node, in: ownership.Unlock{Handle: h}, after: h, answered: i == 0})
	}
	st.script(
		doing{node: clients[0], in: ownership.Lock{Handle: 3, Key: "k", TTL: ttl, Mode: ownership.Shared}},
		doing{node: clients[0], in: ownership.Unlock{Handle: 3}, after: 3})
	st.hold = kinds(everything...)
}

func prepareGivenUp(st *stage, both bool) {
	st.found(3)
	ttl := 5 * time.Second
	b, c := st.others(st.owner())[0], st.others(st.owner())[1]
	st.do(b, ownership.Lock{Handle: 1, Key: "k", TTL: ttl, Mode: ownership.Shared})
	st.must(st.s.memory.done(1), "a reader is not let in")
	up := func(op uint64) doing {
		return doing{node: b, in: ownership.Change{Handle: 1, Op: op, What: ownership.AlterMode, Mode: ownership.Exclusive}}
	}
	st.script(up(1), doing{node: b, in: ownership.Unchange{Handle: 1, Op: 1}})
	// Who gives up does so at the latest when the answer is on its way to him, within
	// his process: what the core has told by then, nobody has heard.
	st.s.memory.call(1).gaveUp = 1 << 1
	if both {
		st.s.memory.call(1).gaveUp |= 1 << 2
		st.script(up(2), doing{node: b, in: ownership.Unchange{Handle: 1, Op: 2}})
	} else {
		st.script(up(2), doing{node: b, in: ownership.Unlock{Handle: 1}, after: 1, answered: true})
	}
	st.script(
		doing{node: c, in: ownership.Lock{Handle: 3, Key: "k", TTL: ttl, Mode: ownership.Shared}},
		doing{node: c, in: ownership.Unlock{Handle: 3}, after: 3})
	st.hold = kinds(everything...)
}

// write is the Change that writes a value.
func write(h ownership.Handle, op uint64, data string) ownership.Change {
	return ownership.Change{Handle: h, Op: op, What: ownership.AlterValue, Value: []byte(data)}
}

func prepareValues(st *stage) {
	ttl := 5 * time.Second
	b, c := st.others(st.owner())[0], st.others(st.owner())[1]
	st.do(b, ownership.Lock{Handle: 1, Key: "k", TTL: ttl})
	st.do(c, ownership.Lock{Handle: 2, Key: "k", TTL: ttl})
	st.must(st.s.memory.done(1) && !st.s.memory.done(2), "b does not hold what c waits for")
	st.script(
		doing{node: b, in: write(1, 1, "first")},
		doing{node: b, in: ownership.Look{Handle: 4, Key: "k"}})
	st.script(doing{node: c, in: ownership.Evict{Handle: 5, Key: "k", Token: st.s.memory.call(1).token}})
	st.script(
		doing{node: c, in: write(2, 1, "second"), after: 2},
		doing{node: c, in: ownership.Look{Handle: 6, Key: "k"}})
	st.hold = kinds(everything...)
}

func prepareValuesTakeOver(st *stage) {
	st.found(3)
	old := st.owner()
	b, c := st.others(old)[0], st.others(old)[1]
	st.do(c, ownership.Lock{Handle: 1, Key: "k", TTL: 5 * time.Second})
	st.must(st.s.memory.done(1), "the lock is not granted")
	depose(st, old, func() {
		st.hold = kinds(ownership.KindAccept, ownership.KindConfirm)
		st.do(c, write(1, 1, "first"))
		st.do(b, ownership.Look{Handle: 2, Key: "k"})
		st.must(st.flying(ownership.KindAccept), "the old owner has nothing on its way")
	})
	st.must(st.status(old).LeaseValid, "the old owner has no lease any more")
	st.script(doing{node: c, in: write(1, 2, "second")})
	st.script(doing{node: b, in: ownership.Look{Handle: 3, Key: "k"}}, doing{node: b, in: ownership.Look{Handle: 4, Key: "k"}})
}
