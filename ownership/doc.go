// Package ownership is the protocol of lockmesh: who is a member, who owns which
// slice of the key space, and who holds which lock. It does no I/O. A [Core] is
// one node; [Core.Step] takes the local time and what happened, and returns what
// to send, what to tell the node's runtime, and when to call again.
//
// This text is the specification. Rules have numbers (V1, L1, G1, T1, K1 …) that
// stand again where the code carries them out; invariants (I1 …) are asserted at
// run time. Whoever knows this page can write the package again.
//
//	One sentence: gossip suggests who is alive, a voted view decides who is a
//	member and who owns what, and a replica quorum certifies every grant.
//
// Nothing that gossip says can make two holders of one lock, and no clock can
// put fencing tokens out of order.
//
// # Terms
//
//	node        one run of one process; NodeID is random and never used again
//	client      the holder's half of a node; ClientID survives a node that rejoins
//	roster      who gossip says is alive: local, unagreed, a hint
//	view        the agreed membership at one epoch: members, voters, groups
//	voter       a member that votes on the next view: 1, 3, 5 or 7 of them
//	membership  the right of a member to serve, renewed from a majority of the
//	  lease     voters; lasts MembershipTTL
//	partition   hash(key) mod Partitions
//	group       the replicas of one partition; the first is the owner
//	term        the epoch at which the group's list last changed, or at which its
//	            owner asked for a new one; (term, list) is a configuration
//	stream      the numbered writes of one owner in one term: 1, 2, 3 …
//	record      the replicated state of one key
//	seal        a replica's promise to accept nothing more below a term
//	lease       the time-bound right that keeps locks held, renewed by heartbeats
//	token       term<<32 | count: rises over the grants of a key
//	deadline    the holder's end of a lease
//	expiry      the owner's end of the same lease; the deadline comes first
//
// # Model
//
// Nodes crash and do not come back (a restarted process is a new node). They may
// pause for any time and go on with old timers. Messages may be lost, doubled,
// late and out of order, but not made up: peers are honest, bytes are not (a
// decoder stands before this package, and every index from outside is checked).
//
// Clocks: each node has one that counts suspended time and never goes back. d
// (Params.DriftPPM) bounds how far its rate is off. Every right of length D ends
// at D·(1−d) at the one who has it and at D·(1+d) at the one who gave it. Only
// durations travel, and a client's or member's own time (Echo), which is sent
// back to it. Beyond the bound two holders may believe at once; their tokens
// still rise, so a fenced resource stays right.
//
// # Messages
//
//	message        from → to                    when                             rule
//	Contact        a node without a view → all  each MembershipTTL/10            founding
//	Found          founder → founders           its first view is complete       founding
//	FoundAck       founder → founder            bound to it                      founding
//	Join           non-member → voters          each MembershipTTL/10            V5
//	Refused        any → joiner                 it can never join                founding
//	Prepare        proposer → voters            phase 1                          V2
//	Promise        voter → proposer             answer, or refusal               V2
//	Propose        proposer → voters            phase 2                          V2
//	Accepted       voter → proposer             answer, or refusal               V2
//	Decided        any member → any             a view is decided                V1
//	DecidedAck     voter → leaver               it knows that view               V7
//	AskView        any → any                    somebody seems ahead             V1
//	Renew          member → voters              each MembershipTTL/4             L1
//	RenewAck       voter → member               answer                           L1, V4
//	Accept         owner → replicas             writes                           G1
//	AcceptAck      replica → owner              answer to Accept and Install     G1, T3
//	Confirm        owner → replicas             an answer wrote nothing          G2
//	ConfirmAck     replica → owner              answer                           G2
//	Seal           new owner → old and new      a new term                       T1
//	SealAck        replica → new owner          promise and state, in chunks     T1
//	Install        owner → replicas             first state, or a snapshot       T3, G1
//	Settled        owner → voters, old replicas W have installed                 T5
//	SettledAck     those → owner                noted                            T5
//	Stuck          owner → voters               cannot reach enough; new term    V5, T4
//	Acquire        client → owner               Lock, TryLock, and refreshes     K1, K2
//	Release        client → owner               Unlock, cancel                   K1
//	Answer         owner → client               outcome, or why there is none    G2, K1
//	Heartbeat      client → owner               each TTL/3                       K4
//	HeartbeatAck   owner → client               answer                           K4, G2
//	Alter          client → owner               up, down, values                 K6, K8
//	Query          client → owner               inspect, watch, list             K12
//	Report         owner → client               answer, and changes              K12, G2
//	Revoke         client → owner               operator's release               K13
//	Notice         owner → client               let go; somebody waits           K13, K14
//
// Every message is sent again until it is answered or does not matter any more;
// no rule rests on one arriving. A node of another mesh is refused by the MeshID
// that travels with every message, both sides are told (event OtherMesh). What a
// node sends to itself arrives within the step.
//
// # Views
//
// A [View] is decided whole: members (oldest first), voters, groups with their
// owners, as the proposer's ring package computed them. Others read it, so two
// versions of the code never place a key differently. View e+1 is one
// single-decree Paxos instance among the voters of view e.
//
//   - V1. A voter at epoch e takes part only in instance e+1. To a message about
//     an instance that it knows decided it answers with its view; one ahead of it
//     makes it ask (AskView).
//   - V2. Textbook Paxos: promise to the highest ballot (round, NodeID); adopt the
//     accepted value of the highest ballot that a majority reports; what a
//     majority accepts at one ballot is decided. Nobody acts on a view before it
//     knows that it is decided.
//   - V3. Acceptors never judge a value. Proposers do: they drop a member that
//     gossip calls dead and that has not renewed here for MembershipTTL/2, and one
//     that has not renewed for 3 MembershipTTL whatever gossip says, or has renewed
//     without getting a lease for so long (it speaks and does not hear). A proposer
//     counts silence only while it has a membership lease, since it last gained
//     it, and never over a gap of MembershipTTL/4 between its own ticks.
//   - V4. A voter that has accepted a value for e+1, or learned it, never again
//     answers a Renew of an epoch ≤ e; it answers members of its own epoch only.
//     So every membership lease of epochs ≤ e ends within MembershipTTL after e+1
//     is decided. A voter that has accepted and not learned soon proposes.
//   - V5. Any voter may propose; the n-th in line of those that seem alive waits n
//     back-off steps, and every ballot given up doubles its patience. Members are
//     added only on their own direct Join of the last second, debounced, and later
//     if members at the same address were dropped repeatedly of late. Voters
//     that stay members stay voters; free seats go to the oldest members whose
//     renewals the proposer answered within 2 MembershipTTL; if that makes an even
//     number the last seated yields. A group that is not settled (T5) moves only
//     if its owner or more than n−W of its replicas go, or it is stuck: an owner
//     that for 2 MembershipTTL cannot reach W of its group, or S of a
//     configuration that T2 needs, says Stuck; the view notes (owner, silent
//     replica), and for 10 minutes ring does not make that owner the owner, nor
//     puts both in the group, if there is a choice.
//   - V6. A node that learns that a view dropped it forgets its replica state,
//     never speaks under that NodeID again, and joins as a new one (Rebirth).
//     Lease and request identities are the client's, so its holders keep what they
//     hold until their deadlines and renew as before.
//   - V7. Leaving takes two views: one that gives the node no groups; then, when no
//     list has it and no unsettled group has it in Prior, one that drops it. It
//     votes and answers Seal until a majority of that view's voters know it
//     (Decided with WantAck); who tells it of the view knows it. If all resign they
//     just stop (RenewAck.Stop), and each passes that on.
//
// Founding. A node without a view tells the roster so (Contact). It founds a first
// view of n = Founders nodes if each of the others told it directly within the
// last second that it has no view, and it has the least NodeID of them; of
// several that could, the k-th waits k·MembershipTTL/2, since a founder that
// fails costs its fellows their NodeIDs. The view forms only if all n accept
// (Found, FoundAck); a node accepts one first view in its life. One that is bound
// and has had no membership lease for 3 MembershipTTL starts over as a new
// node, which equals a crash. A node that hears of a view never founds: it joins.
// Its epoch is the founder's wall clock in seconds since 2000, its MeshID the founder's
// NodeID. Unless all n are Fresh, every group's Prior holds the configuration of
// term 0, which has no replicas and so is lost: owners wait as in T6, since a
// holder of a mesh before this one may live cut off. It rests on this: fewer than
// n + (majority of the first view's voters) processes are founding at once.
//
// # Membership leases
//
//   - L1. Every member sends Renew{epoch, its time} to all voters each
//     MembershipTTL/4, and at once on learning a view; the answer repeats both. The
//     lease is valid until t + MembershipTTL·(1−d), where t is the latest time such
//     that a majority of the voters of one view answered renewals sent at t or
//     later. A node that learns a view first raises promised of every partition to
//     that view's terms, then may use leases of that epoch.
//   - L2. Without a valid membership lease a node grants nothing, accepts nothing,
//     confirms nothing, and counts no replica's answer. It still answers Seal.
//
// # Groups
//
// With n replicas the write quorum is W = n/2+1 and the seal quorum S = n−W+1: a
// seal quorum meets every write quorum. A replica keeps for each partition
// promised (term), installed (term), last (number in installed's stream) and the
// records by key.
//
//   - G1. The owner numbers its writes and sends them to all replicas; a write
//     carries the whole new record of a key, or its deletion. A replica takes
//     number last+1 only, if promised = installed = the term and its membership
//     lease is valid; its answer is cumulative. Committed is what W replicas have
//     (the owner is one by the same rule). A replica that misses more than the
//     owner buffers is sent a snapshot: (term, number) and the state after exactly
//     that write, applied only when whole and higher than what is there. A refusal
//     carries promised, installed, last.
//   - G2. No certified answer leaves the owner before the write it rests on is
//     committed; one that wrote nothing also waits for a confirm round: W replicas
//     say that promised = installed = the term still. Rounds are numbered and
//     acknowledged by number; one serves all that arrived before it began. An
//     answer echoes the newest client time received before its round began, or,
//     for a write, before its Accept was first sent. Waiting and Moved answers are
//     hints: they rest on nothing and decide nothing.
//
// Taking over. A node that learns a view in which it owns a group with a new term:
//
//   - T1. sends Seal{term, own installed and last} to the replicas of the new list
//     and of every configuration in Prior. A replica refuses a term below promised;
//     else it raises promised and answers with installed, last and, unless the
//     asker has as much, its records. Being a member or not does not matter;
//     having forgotten does (V6).
//   - T2. e* is the highest installed among the answers. It has enough when for each
//     configuration in Prior with term ≥ e* a seal quorum of it has answered. The
//     state is that of the answer with the highest (installed, last).
//   - T3. It sends Install{term, state} to the new replicas; one installs if
//     promised ≤ the term and installed < the term, and sets both. With W installed
//     (acknowledged under the conditions of G1) the group is active; the rest are
//     sent it until they have it.
//   - T4. On activation every lease gets its full TTL anew, at the new owner's
//     clock; timers are per (partition, lease). Tokens start at term<<32; an owner
//     whose count nears 2³² asks for a new term (Stuck with Exhausted).
//   - T5. It tells voters and the replicas of Prior Settled{partition, term} until
//     each has acknowledged, again on each view. A proposer that knows a group
//     settled puts just its configuration into Prior when it changes the group;
//     otherwise it keeps the older ones too. On Settled a replica with installed <
//     the term drops its records and sets installed = last = 0, never promised; so
//     does one that the view names neither in the group nor in its Prior.
//     Unchanged groups keep their term and go on undisturbed.
//   - T6. A configuration ≥ e* that T2 cannot satisfy and of which fewer than S are
//     members is lost: the owner waits (MembershipTTL+MaxTTL)·(1+d) from learning
//     the view that made it so, then starts without holders. If T2 completes
//     meanwhile, T2 wins; but a term's state is fixed once its first Install is
//     sent. Looked at anew on each view.
//
// # Locks
//
//   - K1. A request carries its identity and the term; an owner serves only its own
//     term. Its outcome is fixed when it is first evaluated; later copies get the
//     same. The owner remembers closed requests until the client's low-water mark,
//     or the term, passes them. A client takes answers only from the newest term it
//     asked, adopts no grant for a request it closed, and gives an unawaited grant
//     back at once. Release closes a request whatever became of it: unlock and
//     cancel are one message.
//   - K2. Waiters queue at the owner in the order of their tickets and are not
//     replicated. A waiter refreshes itself each TTL/4 (20 to 500 ms) and is lost
//     when TTL·(1+d) passed without. It keeps its first ticket (term, number) and
//     presents it at a new owner, where for a grace of MembershipTTL/8 after
//     activation new requests wait and are then evaluated in ticket order, TryLock
//     too. There is no grace when the owner before said itself that nobody waited.
//     Release and the grant to the next waiter are one write.
//   - K3. The deadline is the echoed time of the request, refresh or renewal +
//     TTL·(1−d). Past it the lock is lost, whatever the network does. The owner
//     expires the lease TTL·(1+d) after it last received a request, refresh or
//     renewal of that lease in that partition.
//   - K4. One lease per client and TTL (a lock that is not renewed by itself has one
//     of its own), one heartbeat per owner however many locks; its answer has one
//     item per partition and none waits for another. An item carries a digest
//     (count, and xor of a mix of key and number) of what the client believes it
//     holds; on a mismatch the owner lists what it has, and the client releases
//     what it does not know, except tokens whose request is open; what is missing
//     is lost, if it was held before that heartbeat was sent.
//   - K5. TTL ≤ MaxTTL, Delay ≤ MaxTTL; keys of 1 to 512 bytes, notes up to 256,
//     values up to 4096; semaphores of 1 to 2²⁰; anything else is refused and changes
//     nothing.
//   - K6. A key has a value beside its holders. It is written and deleted (Alter)
//     only by who holds all of the key, at the owner and now, under a number that
//     rises within the grant: a late copy changes nothing. It carries the token of
//     that grant, and stays when the key is free. What a lost configuration (T6) is
//     found to have had is kept and marked Stale until it is written again.
//   - K7. All locks are of one kind: a lock takes a weight of its key's capacity, and
//     what is taken never exceeds it. Exclusive is all, shared next to nothing, for
//     update just more than half of the capacity Whole; a semaphore has its own.
//     While a key is held a request for another capacity is refused. The queue is
//     granted from its head as far as it fits, in one write; a head that does not
//     fit holds back all behind it, TryLock too, so nobody starves. A key has at
//     most 1024 holders at a time.
//   - K8. A holder alters its mode under the numbers of K6. Down is done at once and
//     keeps the token. Up is from shared or update to exclusive: it goes before the
//     queue, waits until the other holders have gone, lets nobody in meanwhile, and
//     gets a new token. It is refused, and nothing changed, if another holder may go up
//     as well (it is for update, or waits to): each would wait for the other. A holder
//     that gives its wait up takes it back by a further number, also when it has gone
//     up meanwhile, unless another call of its user has gone up with it. From the moment
//     that a holder asks to go down it counts as being there.
//   - K9. A grant with a Delay whose lease expires stays in the record, marked Lost,
//     for Delay·(1+d) more, and takes its weight. A new owner counts it anew, as
//     leases (T4). A client that gives back what it has lost says so, and the place
//     closes then. Any other Release knows no delay, nor does an operator's (K13): both
//     open a place that is closed. T6 forgets delays.
//   - K10. A lease of the user is a held lock, the anchor, and the locks that name it:
//     they share its number and TTL, so a heartbeat renews them together (K4). When
//     one of them is lost all others are released at once, by the client. When the
//     anchor is released so are all; a lock that names an anchor which is not held is
//     denied.
//   - K11. Who wants several keys asks for one after the other, in the order of their
//     bytes, each when the one before is held (After). So no two callers wait for
//     each other, whatever their sets; and since each queue is served in order, nobody
//     starves. When one ends before the next is held, that one is denied.
//   - K12. What an owner knows of a key (holders, queue, value) or of a page of keys it
//     answers like a heartbeat: after a confirm round that began when the query had
//     come. A watched key is answered so once per term, and before it is told
//     anything else; later changes are sent when the write that made them is committed,
//     with a number that rises. A watch is refreshed each second with the number seen,
//     answered if there is a newer one, and forgotten after five without (two, when a key
//     has 4096 watchers).
//   - K13. An operator releases a lock by its token. The owner tells the holder to let
//     go (Notice, until it does), renews that lock no more, and so has it back by its
//     Release, or by its expiry TTL·(1+d) after: the next holder comes when it is
//     certain that this one has seen the end. The answer is K1's. An operator that gives
//     its call up goes on asking, unheard, for as long as a lease may last: a new owner
//     knows nothing of it else. For one that an owner has told of the holder, a token
//     that nobody has any more means done, whoever the owner is then; if that holder has
//     another one, since it went up (K8), that one is released.
//   - K14. Holders are told when somebody begins to wait (Notice, and each heartbeat's
//     answer), and may hand over: a Release may name an heir, the waiter that goes
//     first if it fits.
//
// # Invariants
//
//	I1  ViewUnique                a mesh has one view at each epoch
//	I2  VoterSilent               V4
//	I3  LeaseBeforeAccept         L1, L2
//	I4  PromisedRises             G1, T1
//	I5  InstalledNotAbovePromised T3
//	I6  TermHasOneOwner           only the owner of its term writes
//	I7  AckOncePerReplica         each replica counts once, and has no more than was sent
//	I8  SnapshotQuorum            T2, T6: what a first state rests on
//	I9  TokenRises                T4
//	I10 EchoBeforeRound           G2
//	I11 AnswerTerm                K1
//	I12 ExpireAfterDeadline       K3
//	I13 WeightWithinCapacity      K7: what holders take of a key
//	I14 OneOutcomePerRequest      K1
//	I15 NeverAdoptReleased        K1
//	I16 ForgottenIsSilent         V6
//	I17 PriorBounded              T5
//
// One that fails panics, in production too: a node that stops is what the protocol
// survives; one that goes on in an impossible state is not.
//
// # Why it is safe, in short
//
// Views: Paxos, and a chain since instance e+1 is voted by the voters of e. In a
// term one node writes, since the view names one owner. A grant of an older term
// cannot commit after a new owner's T2: its seal quorum of every configuration
// that might have written meets every write quorum, and the met replica has
// promised. A grant that was committed before is in the answer that T2 picks, or
// in a later state. Of a configuration that cannot answer (T6), all leases of its
// replicas, and then all deadlines of its holders, are over when the wait is. A
// holder's deadline rests on a time that it sent before the owner's confirm round
// or Accept began; the owner's expiry, and that of any later owner (T4), on one
// after. Tokens: within a term the owner counts; over terms the upper half rises.
//
// What a holder changes (K6, K8) is a write like a grant. A place is given to the
// next only when it is certain that the one before does not believe in it: it said
// so (Release), or its expiry has passed; an eviction (K13) shortens neither, it ends
// the renewals and asks. So weights never exceed the capacity in what is believed,
// as they never do in what is replicated. A holder counts as what it asks to go down
// to from the moment that it asks, and as what it goes up to when it hears of it.
//
// # Liveness
//
// Of a split, the side with a majority of the voters (of both views, while one is
// being made) serves every key again within seconds; lost groups after
// (MembershipTTL+MaxTTL)·(1+d) more. A mesh that loses a majority of its voters at
// once stops, and says so (Status). So does one of two members that loses its one
// voter. The paces are functions of MembershipTTL in time.go; none is needed for
// safety.
//
// # Paces and bounds
//
// None of these decides safety; they are what an implementation must choose.
//
//   - Answers that do not come are asked for again: view, group and take-over
//     messages each MembershipTTL/20; requests each TTL/4 (20 to 500 ms); heartbeats
//     are due a third of the TTL after the last confirmed one was sent, again each
//     TTL/12, and at once for what is renewed when a view gives its group a new
//     term. What is nearly due goes along with what is due.
//   - A Release that nobody answers is given up after TTL·(1+d) + the wait of T6:
//     whatever it was for is over then (Released.GaveUp).
//   - An owner keeps the last 4096 writes; who misses more is sent a snapshot.
//     States travel in chunks of about 128 KiB; those of one (term, number) belong
//     together, and a newer one supersedes them.
//   - An owner that does not serve yet keeps up to 65,536 requests and evaluates
//     them when it does (Waiting says why meanwhile); a key takes 65,536 waiters.
//     More are told to come again.
//   - A message carries about 256 KiB of writes at most, and an owner keeps about 64 MiB
//     of them: a write carries a whole record, which a thousand readers make long.
//   - A change of a lock is asked for again like a request; a look each 500 ms; both each
//     MembershipTTL/20 while their owner does not serve yet. Watchers are told of queues
//     MembershipTTL/20 after they have changed. A key has at most 4096 watchers. A
//     KeyState lists the first 64 waiters; a page ends at 1024 keys or 256 KiB.
//   - An evicted holder is told again each MembershipTTL/20.
//   - Prior holds at most 64 configurations; an older one of the same nodes is
//     dropped, since the newer one asks for the same. At the bound a group stays as
//     it is until it is settled.
//   - A node of which members were dropped k > 1 times within a minute at one
//     address is added MembershipTTL·2^(k−2) after the last drop, and comes last
//     for a voter's seat in that minute.
//   - A member without a lease asks one other member after the other for its view:
//     all voters that it knows may be gone. Voters ask strangers in the roster each
//     2 MembershipTTL, so that two meshes notice each other.
//   - From whom a known view does not name as the owner of a term nothing of that
//     term is taken; terms and ballots far beyond what can have come to be are
//     ignored, and so is a view that contradicts the known one (event Disagrees).
//
// # Promises
//
//	tokens rise in the order of grants, over view      rests on quorums; founding
//	changes, lost configurations and refounding        alone reads a wall clock (and
//	                                                   less than one view a second
//	                                                   on average)
//	one holder in the replicated state                 quorums
//	no two holders believe at once                     clock rates within d
//	an answered grant is not forgotten                 fewer than W of its group
//	                                                   lost at once; else T6
//	the minority grants nothing after MembershipTTL    clock rates within d
//	a value that was answered is read until the next   fewer than W of its group
//	                                                   lost at once; else Stale
//	every answer is linearizable, busy and looks too   G2, K1, K12
//
// A restored or cloned virtual machine can be two nodes with one NodeID: that is
// not covered.
//
// # Divergences
//
// Where the design that this package was built from was silent or wrong:
//
//   - Founding as a configuration. "Owners of a first view wait" does not survive
//     an owner that crashes in its wait: the next one would find a seal quorum of
//     empty replicas and start at once. So what ran before founding is itself a
//     configuration, of term 0 and without replicas, in every group's Prior: T2 and
//     T6 then hold for it as for any other, and it goes when the group is settled.
//   - Epochs count seconds since 2000, not since 1970: tokens then fit a signed
//     64-bit integer, in which databases keep them, until 2068 instead of 2038.
//   - T6's clock is kept per node that is missing, from the first view that this
//     owner learned without it, so that a second view change does not begin the
//     wait again; but only over views that follow each other, since in one that was
//     skipped the node may have been a member again.
//   - A Join names the view that its sender knows, and adds it only in that one: a
//     late or doubled Join of a node that is gone would add a node that is silent.
//   - A node that has been in a mesh does not count as Fresh, whatever it is told.
//   - A member that renews and gets no lease for 3 MembershipTTL is dropped like a
//     silent one (V3): it can speak and not hear, and would keep its groups for ever.
//   - Install needs the membership lease to be acknowledged, like a write: a group
//     is active only with W replicas that may serve.
//   - Release names the request, not the token. One message then unlocks, cancels,
//     and closes what may still be on its way; a new owner knows the request from
//     the record.
//   - A grant that arrives after its deadline is first released, with an answer,
//     and then asked for again under a new identity. Merely sending it back left
//     an orphan that kept the key busy when that message was lost. That Release is
//     never given up: over take-overs, which begin leases anew, the grant outlives
//     every bound, and a TryLock was told busy with it (found by the simulator).
//   - The low-water mark is that of requests with an answer to come. Held locks do
//     not hold it down, else one long lock would make owners remember every later
//     request of its client.
//   - Stuck names as heard those that do what the owner waits for, and neither an
//     answer that came once nor confirm rounds that go on count as progress of writes
//     that do not: both hid a stuck owner for ever (found by the simulator).
//   - A replica that a view names nowhere drops its records without being told
//     Settled: it may have been a member, and dropped, without ever knowing (found by
//     the simulator).
//   - Whoever knows a decided view tells it when asked, member or not: a voter that
//     adopts a ballot may decide the view that drops it, and those who know it may
//     all be dropped (found by the simulator).
//   - Since the mark passes locks that are held, the owner also remembers the last
//     16 of a client that were held and released: a second copy of a Release was
//     told "not held" (found by the simulator).
//   - Of a client that never raises its mark the owner remembers the last 1024
//     closed requests per partition. An older one that comes again is granted and
//     given back at once (K1).
//   - The grace after a take-over (K2) holds for all new requests, not those for
//     free keys alone, so that tickets order the waiters of held keys too; and it
//     is left out when the owner before has answered Seal and nobody waited there,
//     so that a Leave is a matter of milliseconds.
//   - Ballots given up double a voter's patience (V5): at fixed steps two voters on
//     a network slower than the step outbid each other for as long as it is slow.
//   - A node that never was a member under its NodeID and hears nobody of its mesh
//     for 10 MembershipTTL forgets it and looks for another one to join: else it
//     would refuse the successor of a mesh that died. It never founds: the mesh may
//     live beyond a partition, and one that forgot and founded made a second one
//     (found by the simulator). It may found again if all it ever knew was a first
//     view, had no lease in it, and was not dropped: nobody may have had one there,
//     and all who were bound to it start over.
//   - A node that is dropped again and again waits longer each time before it is
//     added (V5). In a one-way partition one voter drops it and another adds it,
//     once a second for ever; and since every take-over gives leases their full TTL
//     anew (T4), what a dead client held was never given up.
//   - A leaver without a membership lease for 2 MembershipTTL just goes (V7).
//   - A heartbeat's digest is made of request numbers, not of tokens (K4): an upgrade
//     raises the token of a grant, and a request has one outcome for ever.
//   - A change of mode, like a value, goes under a number within the grant (K6, K8), so
//     both survive copies, take-overs and being given up in one way. What was refused
//     is remembered by its owner alone: a client takes answers only from the newest
//     term it asked, so no refusal is believed of which a copy may yet be done.
//   - An operator's release does not take the lock at once (K13): its holder would
//     believe in it still. It waits for the holder's word or for its deadline, and who
//     does not want to wait for that has fencing tokens.
//   - An upgrade gets a new token (K8): readers may have shown theirs, which are higher
//     than the first one of the holder that goes up.
//   - A change of a queue alone is told to watchers a moment later and without a round
//     (K12): it is what the owner has seen, of a state that was committed. Never first,
//     since an owner that was replaced may say so of holders that are gone (found by
//     the simulator).
//   - The last voter leaves only when another member can be seated; a view without
//     voters could have no successor. So when all voters leave and somebody joins,
//     the next view adds who joins and lets nobody go: without that neither happened
//     (found by the simulator).
//
// # Sources
//
// Vertical Paxos (Lamport, Malkhi, Zhou 2009) for reconfiguration with one writer
// per configuration; Paxos Made Simple (Lamport 2001) for views; CASPaxos (Rystsov
// 2018) for state without a log; Chubby (Burrows 2006) for leases and sequencers;
// SWIM (Das, Gupta, Motivala 2002) and Lifeguard (Dadgar, Phillips, Currey 2018),
// in memberlist, for failure hints; the VMS and Linux lock managers for mastering
// locks by hash.
package ownership
