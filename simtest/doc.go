// Package simtest runs the protocol of lockmesh in a simulated, hostile world, and
// checks what the README promises. The nodes are not a model: each is an
// ownership.Core, the code that runs in production. All that is around it is
// simulated: network, clocks, gossip, the operating system, the clients. All of
// that follows from one number, the seed.
//
//	go run ./simtest/cmd/sim              200 seeds on all cores
//	go run ./simtest/cmd/sim -seed 4711   one seed; one that fails is cut down
//	go run ./simtest/cmd/sim -h           the rest
//
// # The idea
//
// A lock service breaks in a rare order of rare events: an owner dies while its
// second grant is on the way, the one replica that has it is paused, and an old
// message comes back. In production that takes years, and leaves no trace.
//
// A core does no I/O and reads no clock. It is handed its time and its input, and
// returns what it wants sent. So many cores fit into one process, and whoever
// calls them decides when a message arrives and what a clock shows. Rare events
// are then as frequent as is wanted. A TTL takes no time. And since nothing but the
// seed decides, what went wrong once goes wrong again.
//
// Three questions are asked of a simulator. Does it go where things break? That is
// what fault classes and goals are for. Does it notice? That is what checks are
// for; package mutants plants faults in the protocol to see that they do. Can a
// person find out why? That is what traces, shrinking and the page are for.
//
// # One run
//
// [Play] plays one seed. [Soak] plays many, on all cores.
//
//  1. Draw. The seed draws a fleet of 1 to 9 founders, the protocol's parameters,
//     the network's delays, how busy and how patient clients are, what habits they
//     have, the rate of each clock within its bound (often at its end), and which
//     fault classes are on. That is swarm testing: a run with everything on finds
//     less than many runs with a few things each, since faults get in each other's
//     way.
//  2. Safety phase: 4 to 60 simulated seconds. Clients lock, wait, renew, unlock, and
//     follow their habits; each fault class that is on strikes again and again. They
//     prefer nodes with a part to play for a wanted key. As a rule they begin when
//     the mesh is founded, and do not kill the majority of its voters; in some runs
//     they do both.
//  3. Heal: all faults end. Clocks keep their rates, and the dead stay dead. In
//     half of the runs some nodes are cut off for good or crash, as many as the
//     rest can go on without.
//  4. Most runs must come to rest, within [Bound]: every node is a member, every
//     seat is taken, every group is served and settled, nobody waits, nothing is
//     left of keys that nobody holds but values. Whoever watches a key knows how it
//     is. Then several wait for one key, its owner is taken away, and they must be
//     served in their order. In some somebody holds up the line, and dies or gives
//     up. Then a node joins.
//     Others must work with one fault that stays (standing.go): whoever is not
//     its victim must be served.
//
// A mesh that has lost the majority of its voters is spared step 4: it must stop,
// which is checked all along. A run ends with its first failure.
//
// True time is that of the world, [World].Now. A node sees its own clock, which is
// an hour or more ahead and has its own rate. What happens is in a queue: messages,
// timers, gossip's news, calls of whoever directs. Each message has its own delay,
// so messages overtake each other freely: worse than TCP, which the protocol must
// not need.
//
// # Fault classes
//
// A class acts by an [Action], or by what the network does to messages. Most strike
// at random intervals, and what they do lasts about as long as the times in which
// the protocol counts: just below and just above MembershipTTL and MaxTTL. [Classes]
// lists the names, for [Options].Faults and `sim -faults crash,pause`.
//
//	class     what it does
//	crash     a node dies for good; often a new one joins a little later
//	mass      several replicas of one group die at once
//	restart   a node dies and a new one starts at once
//	pause     SIGSTOP: the clock runs on, timers and messages wait; either go first
//	          when it is over
//	cut       nothing passes from one node to another, or between them; gossip sees it
//	split     the network is parted: one node, halves, several groups, halves with a
//	          bridge; at times in one direction only
//	clog      links stand still, and then deliver all at once
//	hold      the same for some kinds of messages: old ones meet a later state; grants
//	          under leases come after their TTL
//	lose      some kinds of messages are lost on some links; gossip sees nothing; who is
//	          to be evicted does not hear of it
//	slow      links are 10, 100 or 1000 times slower
//	echo      some kinds of messages are sent twice, and the copies come late
//	corner    an owner is cut off together with holders of its key
//	blackout  every link is cut, or every node paused, for a while
//	limbo     an owner hears nothing of the next view, which drops it
//	exile     a node hears that it was dropped, and then nobody for long
//	duel      voters cease to hear a member each, and want different views
//	lie       one node's gossip calls another dead, which is not
//	stale     gossip tells one node nothing new
//	join      a node joins
//	leave     a node leaves in order
//	roll      a rolling restart: all leave, or die, one after the other
//	site      the core's own switches are on at a node (ownership.Site): lost answers,
//	          the smallest quorum, late batches, tiny chunks, a tiny buffer
//	trap      waits for one kind of message and strikes when one is sent: a crash, a
//	          pause, a cut, a lie at either end
//	refound   the mesh dies, but for one node that is cut off, and is founded anew;
//	          what is left of the old one comes back later
//	loss      up to 30 % of all messages are lost, for the whole run
//	twice     up to 30 % of all messages come twice, the copies at times late
//	growth    the mesh begins with one node, grows and shrinks
//	drift     clocks change their rate, within the bound
//	jump      clocks jump forward or back
//	race      clocks run far beyond the bound
//
// To limit the classes of a seed leaves its fleet, its parameters and its other
// classes as they were drawn.
//
// # Habits
//
// In half of the runs clients are plain: they lock exclusively, wait or try, renew and
// unlock. In the others they draw habits. [Habits] lists the names, for [Options] and
// `sim -habits readers,values`; `sim -habits none` is for plain clients alone.
//
//	habit     what clients do
//	readers   some keys are locked shared, for update and exclusively
//	permits   some keys are semaphores, of which a lock takes some or all permits
//	mixed     now and then a key is locked with another capacity than it has
//	convert   holders go up and down, and at times give it up while they wait
//	values    holders write and delete the value, and who holds only a part tries to
//	delay     locks that are lost keep others out for a while
//	lease     several locks share the fate of one, which may be over already
//	set       2 to 4 keys are locked in their order, all or none; what was got is given
//	          back when one is not to be had, or takes too long
//	look      somebody asks who holds a key, or for all keys of a partition
//	watch     somebody watches a key
//	evict     an operator takes a lock from whoever has it, had it, has died with it, or
//	          has not heard of it
//	heir      who unlocks says who is next
//	yield     who hears that somebody waits lets go
//
// # Checks
//
// A [Checker] sees every call, answer, message and clock in true time, and holds
// them against the promises. What fails has the name of its check:
//
//	check        promise
//	token        tokens of a key are unique and rise in the order of its grants and
//	             upgrades
//	exclusion    those who believe in a key at once take no more of it than it has,
//	             and all of one capacity (K7)
//	busy         a TryLock that is told busy has met a holder that leaves no room, or
//	             somebody who waits
//	capacity     who is refused for its capacity has met a holder with another one (K7)
//	upgrade      who is refused to go up has met one that may as well (K8)
//	memory       an answered grant is not forgotten, an answered unlock is done, no
//	             closed call is granted; a group starts without its holders only if
//	             it must (T6); a value that was written is read until the next one,
//	             but for a lost configuration, which makes it stale and of which what is
//	             found is kept (K6); no change is denied that was carried out (K13)
//	delay        a place that is closed since its holder was lost stays so (K9)
//	fate         when a lock of a lease is lost so are all; no other one joins a lease
//	             that is over (K10)
//	set          nobody asks for a key of a set before those that come first (K11)
//	look         who asks for a key is told who holds it; a watch does not go back, and
//	             knows in the end what there is; one that is gone is forgotten (K12)
//	evict        who was evicted does not believe any more when that is answered; who
//	             was not held the lock at no time, or not always; who was told to let go
//	             is granted nothing by what it sends later (K13)
//	contended    who holds a key for which somebody waits is told (K14)
//	minority     who has not heard a majority of the voters for MembershipTTL
//	             certifies nothing
//	lease        no lease of an epoch outlives the next one by MembershipTTL (V4)
//	view         one view at an epoch, one chain, one mesh; seats, groups and Prior
//	             change by V5 alone
//	drop         nobody is dropped who was heard (V3); held against runs whose
//	             network withholds no kind of message
//	state        a term has one state after each write, and a replica never falls
//	             back behind what it said (T1, G1)
//	queue        first come, first served, after healing, and at the head of the line
//	             all that have room; before it upgrades (K8) and heirs (K14), in a grace
//	             too; nobody is granted a lock who has long been dead, or held up by such
//	             a one (K2), or by who has given up going up (K8)
//	heal         what is healed comes to rest within Bound, what has one fault left
//	             works; who leaves is known to have left (V7)
//	linear       the history of each key is linearizable (package linear)
//	determinism  the same seed is the same run
//	panic        an invariant that the core asserts itself (I1 to I17), or any panic
//
// The checks see each event when it happens, but for two. [Soak] has every 16th
// history and those of failures checked by package linear, and plays 1 % of its
// seeds twice and compares a hash of all steps, and of what was sent to whom, in each.
//
// From when a clock is set beyond the bound that the protocol is told (classes jump
// and race) a run is wild. Two holders may believe at once then, and what else rests
// on clock rates is not checked (exclusion, minority, lease, drop, delay, evict,
// linear, parts of others). What rests on quorums is: tokens are unique, and nobody
// who asks after a grant was told gets a lower token.
//
// # Goals
//
// A simulator that never meets a situation checks nothing there. So situations for
// which a rule exists are named and counted ("sometimes assertions"), and a batch of
// [GoalSeeds] seeds fails if it misses one. `sim -goals` prints the counts.
//
//	rule      goals
//	founding  founded by several; founding given up; two founders race; another mesh;
//	          refounded
//	V2        a ballot refused; a value adopted from another's ballot
//	V3        a member dropped
//	V4        a stale renewal refused
//	V5        a joiner added; voter's seat filled; a group told stuck; a pair kept apart
//	V6        born again
//	V7        left with confirmation
//	L1, L2    lease lost and gained
//	G1        a write refused; a snapshot; a state in chunks
//	G2        busy
//	T1        a Seal refused
//	T2        take-over; take-over of a take-over
//	T3        an Install again
//	T4        renewed by a later owner
//	T5        three configurations in Prior
//	T6        founding waits; a lost configuration; a refounded mesh grants
//	K1        cancelled; a cancelled waiter granted; unlock given up; a heartbeat for an
//	          old term; a late copy of a closed request
//	K2        a waiter granted by a later owner
//	K3        lost by its deadline; a grant that raced its expiry
//	K4        missing at its owner; a digest that does not match
//	K6        a value read from a later owner; a stale value; a value refused; values of
//	          a lost configuration
//	K7        another capacity refused; a run of readers; a writer before later readers;
//	          a waiter that died in line
//	K8        an upgrade that waited; an upgrade refused; an upgrade taken back; readers
//	          let in by a downgrade
//	K9        a place closed by a delay; a closed place opened by a later owner
//	K10       a lease that took several locks down; a lock denied by its lease; a lock
//	          denied by its lease whose grant came too late
//	K11       a set held whole; a set that fell apart
//	K12       a watch over a take-over; a page of several keys; a change after a watch
//	          was forgotten
//	K13       a holder evicted; a dead holder evicted; an eviction that met nobody; an
//	          eviction before the grant was heard of; a change asked for again after an
//	          eviction
//	K14       an heir served first; a holder told of contention; an heir served first
//	          after a grace
//
// # Traces
//
// A seed is good for a day: when a draw is added, all later ones change. What a run
// did is kept as a [Trace]: a text with its actions and with the fates of its
// messages, which needs no random numbers. It can be read, edited, and played years
// later.
//
//	# A run of lockmesh in simulation: actions, then fates of messages.
//	# n1 holds k0 and is stopped. n3 waits, and gets k0 when that lease is over.
//	seed 7
//	params partitions=1 replicas=3 maxttl=4s membershipttl=2s driftppm=10000
//	world delay=200µs roster=500ms wall=1700000000 wild=false end=9s
//	0s start n1 n=3 rate=9900 fresh
//	0s start n2 n=3 fresh
//	100ms start n3 n=3 fresh
//	3s lock n1 key=k0 handle=1 for=2s
//	3.5s pause n1
//	4s lock n3 key=k0 handle=1 for=2s
//	7s resume n1 n=1
//	8s unlock n3 handle=1
//	3.0006s fate n2 n1 Answer delay=30ms copy=300ms
//	4s fate n3 n2 Acquire lost
//
// A line is a true time, a [Verb], the node it is done to, perhaps the other end of
// the link, and fields of [Action]. seed (2⁶³ + that of the run) names the NodeIDs.
// check, which is not here, names what failed. world has the delay of messages
// without a fate, gossip's delay, the wall clock at 0, and the end. A fate says what
// becomes of one message: its ends, its kind, its delay or that it is lost, and when
// its copy comes.
//
// A token is told by the handle that got it, since it may be another one in another
// run: "3s evict n2 n1 handle=9 whose=1" takes from n1 what it has under handle 1.
//
// Fates are matched loosely, so that a trace outlives changes of the code around
// it. A message takes the first fate of its ends and kind whose time is within 20 ms
// of its own; each fate is taken once; a message without one takes the least delay.
// An action on a node that does not run, or on a handle that was never used, does
// nothing. So any part of a trace is a trace, which is what shrinking needs.
//
// testdata has the traces of what random runs have found, each cut down to what it
// takes. TestStored plays them.
//
// # Shrinking
//
// [Shrink] cuts a failing trace down to one that fails in the same check and form,
// by delta debugging: it leaves out the fates of messages, kinds of faults, nodes,
// calls and faults with their ends, single actions, and at last lets calls be plain
// and sets clocks right. `sim -seed` does that and writes the trace to a file;
// `sim -replay` plays such a file.
//
// # The page
//
// `-html run.html` draws a run as one page: Lamport's space-time diagram, with the
// messages, the locks that each node believes it holds, the faults that last, and
// the failure (package story says how to read it). A [Teller] gathers it and only
// listens: a run that is told is the same run.
//
// # The way through the files
//
// Begin with action.go: what can be done to a world. Then swarm.go: who does it.
// Then faults.go and check.go.
//
//	action.go       Verb, Action and its text
//	stage.go        Stage carries actions out
//	world.go        World, Node: true time, clocks, the loop of events
//	queue.go        the queue of events
//	net.go          Net, Fate: what becomes of a message; gossip
//	kinds.go        Kinds: sets of kinds of messages, by name
//	swarm.go        Play: the draws, the phases of a run
//	healed.go       what is asked of a healed mesh
//	clients.go      what clients do, and their habits
//	bundles.go      what they do with several locks: leases, sets
//	faults.go       fault classes
//	faults_net.go   those of the network
//	trap.go         the class trap
//	standing.go     what is asked of one with a fault that stays
//	check.go        Checker: what it sees goes to the checks
//	call.go         Call: one lock and what became of it
//	check_calls.go  grants, refusals, losses
//	check_alter.go  upgrades, values
//	check_look.go   looks and watches
//	check_fate.go   leases, sets, delays, evictions, contention
//	check_queue.go  who is served before whom
//	check_line.go   the line of a key at its owner
//	check_owner.go  what an owner keeps, and whom it has told to let go
//	check_views.go  views, drops, minorities
//	check_state.go  replicated state, leases, lost groups
//	check_rest.go   Bound, rest and work after healing
//	goals.go        Goals: situations that must occur
//	history.go      what clients were told, as package linear wants it
//	soak.go         Soak: many seeds
//	trace.go        Trace, Replay
//	shrink.go       Shrink
//	last.go         the last events of each node, for a failure's report
//	tell.go         Teller, Draw: a run as a story
//	tell_events.go  its events
//	tell_faults.go  its faults
//	tell_text.go    its words: names for numbers
//	cpu_unix.go     processor time
//	cpu_other.go    where there is none
//
// Beside this package: cmd/sim is the command; linear checks histories; story draws;
// mutants plants faults; explore plays all orders of a small beginning rather than
// one order of a long run.
//
// # Adding to it
//
// A fault class: a method of swarm that acts by Do and ends what it began by later,
// a line in classes, and a line in the table above. A checker that assumes a better
// network must be told (World's rough, bad and choked). If it takes a new verb: a
// constant, allVerbs, Stage.doTo or doToLink, an end in Stage.heal, verbs and ending
// in shrink.go, and tell_faults.go.
//
// A check: a method of Checker, called where it sees what it needs (event, sent,
// delivered), that calls fail with its name; a line in the table above; and a planted
// fault that it finds. Say what it rests on: if clock rates, it is silent with Wild.
//
// A habit: a line in habits, where clients.go calls for it, a line in the table above.
// If it takes a new verb: as for a fault class, and calls in action.go.
//
// A goal: a name in goalNames, its number in goals, Reach where it occurs, a line in
// the table above.
//
// A planted fault: an entry in package mutants, in the file of its rule. Play it by
// `sim -mutations -only 'V4: …'`.
//
// A stored trace: `sim -seed N` has written N.trace. When the fault is gone and the
// trace passes, say in its comment what went wrong and move it to testdata under
// a name that says it too.
//
// # What is not simulated
//
//   - Sockets, frames, damaged bytes: package transport, and its fuzz tests.
//   - memberlist: gossip here is a roster that is late or wrong. Package mesh tests
//     what it makes of the real one, and fuzzes what guards it.
//   - Disks: the protocol has none.
//   - What is above the core (Join, Lock, Do, the loop): package mesh runs whole
//     nodes with virtual time (testing/synctest).
//   - Nodes that lie, two nodes with one NodeID: the protocol does not cover them.
//   - Large fleets: nodes join only while fewer than 9 run, and at most 40 start in
//     one run.
//
// # Results
//
// mutants/TABLE.md has each planted fault with the check that finds it and how soon;
// explore/TABLE.md how far each scenario was explored. The commands that make them
// stand in their first lines.
//
// # Sources
//
// Swarm testing: Groce, Zhang, Eide, Chen, Regehr 2012. Delta debugging: Zeller,
// Hildebrandt 2002. Simulation of a whole cluster from a seed, and buggify:
// FoundationDB (Zhou et al. 2021). Healing, after which a cluster must come to rest:
// TigerBeetle's VOPR. Linearizability: porcupine (Athalye), after Wing, Gong 1993
// and Lowe 2017. The diagram: Lamport 1978.
package simtest
