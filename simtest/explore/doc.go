// Package explore is a model checker over the production core: it plays every
// order in which the messages of a small mesh can arrive, and checks each state
// on the way. Where simtest.Play plays one long random story, this plays all short
// ones from a given beginning. Nothing is modelled: each step is Core.Step.
//
// [Scenarios] lists the beginnings and what is let loose in each; [Main] explores
// them and prints what came of it; `go run ./simtest/cmd/sim -explore` calls it.
//
// # The way through the code
//
//	scenarios.go  what is explored: begin here; sessions.go: of modes, values, evictions
//	scenario.go   Scenario, Budget, Limits, Result
//	stage.go      plays a scenario's deterministic prefix
//	machine.go    which actions a state has, and what they lead to
//	state.go      one state of the world, its fingerprint
//	version.go    one state of a core; steps are remembered
//	check.go      what is checked, and what the checker must remember; check_session.go
//	search.go     the breadth-first walk
//	reach.go      what a search has come to at all
//	trace.go      a violation in words (words.go)
//
// # What is explored
//
// A state is the state of each core, the multiset of messages in flight, the
// clock, how far the clients' scripts are, which faults are left to spend, and what
// the checker remembers. An action delivers a message, or one of:
//
//   - a packet arrives and stays in flight (Budget.Twice): a late copy;
//   - a packet is lost (Lose). A packet that never arrives is lost as well, so
//     no scenario spends this;
//   - a node crashes for good, or one that fell silent starts over (V6);
//   - the next step of a script: Lock, Unlock, …, or a word of gossip. Each may
//     happen at any moment, in the order of its script;
//   - time passes.
//
// The network is unordered: any message in flight may be the next. What a node
// sends to itself arrives within the step, as everywhere.
//
// # Time
//
// All nodes read one clock, and it stands still while messages arrive. To advance
// (Budget.Advance) is to go to the next wake of any node, where all that are due
// tick; to leap (Jump) is to go on by a time of the scenario's, as if every process
// had been paused together, so that timers on the way are late. With Sleep one node
// oversleeps such a step: it ticks by an action of its own, before or after messages
// that it gets, as a process does that was stopped. Fingerprints contain the absolute
// time: states that differ by a shift of the clock are two.
//
// # Symmetry
//
// Equal messages from one node to another are one action, with a count: which of
// two equal ones arrives makes no difference. It is the only symmetry. Nodes are
// not interchangeable: NodeIDs order the members of a view, the seats and the line
// of proposers, break the ties of ballots (V2, V5), and place partitions (package
// ring), so a permuted state has another future. Neither are clients, whose
// requests are evaluated in the order of their RequestIDs where several are due
// at once.
//
// What is in flight to a node that has crashed, was reborn, or is silent is taken
// out of the state: nobody reads it (V6).
//
// # Bounds
//
// Budgets bound the faults on one path. A scenario may have some kinds of messages
// arrive at once, or never: their delays are then not explored. Each says so in
// Bounds. Within these a scenario is either exhausted, or every state up to a depth
// was visited; [Result] says which. Fingerprints have 64 bits: see
// state.fingerprint for the chance that one hides a state.
//
// # What is checked
//
// In each state: the core's own assertions I1–I17; one decided view at each epoch
// and one mesh; tokens unique, rising within a term as certified answers appear,
// and over all terms as clients are granted; one token for each request and term
// (K1); no two holders believe at once that do not fit beside each other (K7); a
// busy answer has a possible holder, so a certified unlock frees; a lock that nobody
// released is not forgotten before its deadline; deadlines do not go back; no
// replica certifies a term below one that it has sealed (T1, G1). Of changes (K6, K8): who goes up has a higher token and
// is alone, who may not has somebody in the way, who holds is not told that it does
// not. Looks see what was written and freed before they began (K12); an operator's
// call ends when the holder knows (K13). Where nothing is lost and no time is needed
// (Scenario.answers), every call is answered when nothing is on its way any more.
//
// # What is not covered
//
// Clocks that drift (simtest.Play has them); liveness but for that; more than one partition;
// groups of more than three; Leave; states in more than one chunk, and replicas
// that miss more than the owner's buffer; more than a few actions of time, so what
// takes seconds is reached by prefixes and leaps alone. An exhausted scenario says
// nothing about a larger one.
package explore
