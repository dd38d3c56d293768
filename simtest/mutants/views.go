package mutants

// Rules V1 to V7: the chain of views.
var views = []Mutation{
	{
		Rule: "V2", Name: "ignore accepted values",
		Why:   "a proposer puts its own view where a majority may have accepted another: two views at one epoch",
		Needs: "3 voters; the proposer of e+1 crashes, or its Decided is lost, after a majority accepted and before others learn; who proposes then wants another view (a join, a lie, the crash itself). Check: all ViewLearned of one (mesh, epoch) are equal, and nobody says Disagrees",
		Edits: []Edit{{"view.go", "p.value = p.adopt", "p.value = nil"}},
	},
	{
		Rule: "V2", Name: "adopt the value of the lowest ballot",
		Why:   "of two accepted values the older is brought forward, though the newer may be decided",
		Needs: "two proposers that outbid each other: 3 or 5 voters that want different views (lies), delays near MembershipTTL/4 or loss of Propose and Accepted, and a third ballot that hears of both values",
		Edits: []Edit{{"view.go", "p.best.less(m.Accepted)", "m.Accepted.less(p.best)"}},
	},
	{
		Rule: "V2", Name: "accept below the promise",
		Why:   "a ballot that a later one has already overruled is decided after all, beside the later one's",
		Needs: "as for the lowest ballot: a Propose that arrives after the Prepare of a higher ballot (jitter of Propose of some 100 ms while two voters propose)",
		Edits: []Edit{{"view.go", "if !m.Ballot.less(v.promised) {\n\t\tv.promised, v.accepted", "{\n\t\tv.promised, v.accepted"}},
	},
	{
		Rule: "V2", Name: "a minority decides",
		Why:   "one voter of three decides alone, and so does another one",
		Needs: "two voters that want different views at a time; a split",
		Edits: []Edit{{"view.go", "len(p.accepted) < majority(len(c.view.Voters))", "len(p.accepted) < majority(len(c.view.Voters))-1"}},
	},
	{
		Rule: "V2", Name: "act on a view that is only accepted",
		Why:   "a voter takes a proposal for the view, which another ballot then decides otherwise",
		Needs: "a proposer that reaches one voter of three and not a majority (split, crash amid Propose)",
		Edits: []Edit{{"view.go", "v.acceptedAt = c.now", "v.acceptedAt = c.now\n\t\tdefer c.learn(m.Value)"}},
	},
	{
		Rule: "V3", Name: "silence counted over a suspend",
		Why:   "the first node that wakes drops all others, which slept as long as it did",
		Needs: "all nodes (or one voter) frozen together for MembershipTTL/2 to 0.9 MembershipTTL, so that leases outlive it, while rosters say dead (RosterDelay below that, or a lie). Check: nobody is dropped who was up, thawed and connected both ways with the proposer during the last MembershipTTL/2 of the proposer's waking time",
		Edits: []Edit{{"propose.go", "c.now.since(v.lastTick) > c.view.Params.tickGap()", "c.now.since(v.lastTick) > 1000*c.view.Params.tickGap()"}},
	},
	{
		Rule: "V3", Name: "silence counted while cut off",
		Why:   "who comes back from a cut drops those that it could not hear, and with them their replica state",
		Needs: "every link cut (no majority anywhere, so no view is made meanwhile) for 1 to 10 s, then mended with rosters that are late. Check: as for the suspend; Activated.Lost without a lost majority",
		Edits: []Edit{
			{"propose.go", "if id == c.id || !c.leaseValid() {", "if id == c.id {"},
			{"propose.go", "max(s.renewed, c.lease.gained, c.voter.silentFrom)", "max(s.renewed, c.voter.silentFrom)"},
		},
	},
	{
		Rule: "V3", Name: "gossip is believed",
		Why:   "a rumour that a member is dead drops it while it renews",
		Needs: "a lie of a few 100 ms about a healthy member. Check: nobody is dropped in health",
		Edits: []Edit{{"propose.go", "c.silentFor(id, p.deadSilence()) && (c.rosterDead(id) ||", "(c.rosterDead(id) ||"}},
	},
	{
		Rule: "V3", Name: "silence without gossip's word is borne",
		Why:   "a member that gossip never calls dead keeps its groups for ever, though it is gone",
		Needs: "a crash or cut that no roster tells (RosterDelay beyond the run), with its keys asked for afterwards: every key is served within 3 MembershipTTL, the wait of T6 and a few seconds. Cuts must still stand when this is checked",
		Edits: []Edit{{"propose.go", "(c.rosterDead(id) || c.silentFor(id, p.silence()))", "c.rosterDead(id)"}},
	},
	{
		Rule: "V3", Name: "a deaf member is kept",
		Why:   "a member that speaks and does not hear gets no lease, and its groups are never served again",
		Needs: "one-way cuts from a majority of the voters to one member that owns groups, for more than 4 MembershipTTL, rosters quiet. Check: its keys are served while the cut stands",
		Edits: []Edit{{"propose.go", "if c.deaf(id) {", "if false {"}},
	},
	{
		Rule: "V3", Name: "an acceptor judges the value",
		Why:   "voters refuse a value that others have accepted and must bring forward: the chain is wedged",
		Needs: "3 voters; one drops a member that the others hear (lie or one-way cut for 1 to 2 s, so that only it accepts its value); then one of the other two crashes. Check: convergence while a majority of the voters lives",
		Edits: []Edit{{
			"view.go", "if !m.Ballot.less(v.promised) {\n\t\tv.promised, v.accepted",
			`if slices.ContainsFunc(c.view.Members, func(k Member) bool { return !k.Leaving && !m.Value.has(k.ID) && !c.drops(k.ID) }) {
		return
	}
	if !m.Ballot.less(v.promised) {
		v.promised, v.accepted`,
		}},
	},
	{
		Rule: "V4", Name: "answer renewals of old epochs",
		Why:    "a member that has not heard of the next view keeps its lease, and serves beside its successors",
		Needs:  "Decided (and Seal) to one member lost for more than MembershipTTL+MaxTTL while its Renew and RenewAck pass: a fault that loses chosen kinds of messages to one node. Replicas 1, or the whole group dropped, so that T6 starts beside it. Check: no lease of an epoch <= e is valid MembershipTTL of true time after a majority accepted e+1 (OnStep sees Accepted; Status has LeaseValid): that needs Decided lost for 2 s only",
		Assert: "I2",
		Edits: []Edit{{
			"membership.go", "if c.behindOrAhead(from, m.Epoch) {\n\t\treturn\n\t}",
			`if m.Epoch < c.view.Epoch {
		ack := RenewAck{Epoch: m.Epoch, Sent: m.Sent}
		c.assertVoterSilent(ack)
		c.send(from, ack)
		return
	}
	if c.behindOrAhead(from, m.Epoch) {
		return
	}`,
		}},
	},
	{
		Rule: "V4", Name: "answer after accepting",
		Why:    "leases of the old view go on being renewed while the new one is decided and served",
		Needs:  "Decided to two voters lost for seconds, in a view that gives away a seat (4 members, voters 3, a voter dropped), so that old and new view each have a majority. Check: the lease check of the mutation above",
		Assert: "I2",
		Edits:  []Edit{{"membership.go", "if c.voter.value != nil {\n\t\treturn\n\t}", ""}},
	},
	{
		Rule: "V4", Name: "who accepted waits for ever",
		Why:   "a view whose proposer died is never finished, and its voters renew no lease",
		Needs: "the proposer crashes between Propose and Decided (delays of 50 ms and more make that window wide). Check: convergence",
		Edits: []Edit{{"propose.go", "if v.value != nil {\n\t\treturn true", "if v.value != nil {\n\t\treturn false"}},
	},
	{
		Rule: "V5", Name: "a late Join adds a ghost",
		Why:   "a copy of the Join of a node that came and went makes it a member again, one that is silent",
		Needs: "Join doubled, or late by seconds (delay class of 5 to 10 s for chosen kinds), its sender added and dropped meanwhile. Check: a NodeID that a view dropped is in no later view; who is added is running under that NodeID or was a moment ago",
		Edits: []Edit{{"propose.go", "if c.behindOrAhead(from, m.Epoch) {", "if false {"}},
	},
	{
		Rule: "V5", Name: "voters chosen anew by each proposer",
		Why:   "two voters that hear different members replace each other's choice, view after view",
		Needs: "4 or more members, a one-way cut or high loss from a voter to another, rosters quiet, standing for more than 2 MembershipTTL. Check: a voter that stays a member stays a voter (compare view e with e+1; only the last seated may yield for an odd number)",
		Edits: []Edit{{"propose.go", "for _, id := range c.view.Voters {\n\t\tif next.has(id) {", "for _, id := range c.view.Voters[:0] {\n\t\tif next.has(id) {"}},
	},
	{
		Rule: "V5", Name: "a seat for one that was never heard",
		Why:   "two joiners that died on the way get the seats beside the one voter, and the chain is wedged",
		Needs: "a mesh of one or two; two nodes join and crash within 100 ms of being added; another join or a leave makes the next view before they are dropped. Check: who is newly seated has learned a view as a member before. (The present rule that a dead majority of voters excuses a run hides this one.)",
		Edits: []Edit{{"propose.go", "c.voter.seen[i].answered.within(c.view.Params.seatFresh(), c.now)", "i >= 0"}},
	},
	{
		Rule: "V5", Name: "an even number of voters",
		Why:   "the loss of one voter of two stops the mesh, which the loss of half of the nodes need not",
		Needs: "a mesh of three of which one is not heard for 2 MembershipTTL, or of two joined one by one. Check: each view has an odd number of voters",
		Edits: []Edit{{"propose.go", "if len(voters)%2 == 0 && len(voters) > 0 {", "if false {"}},
	},
	{
		Rule: "V5", Name: "moving unsettled groups",
		Why:   "a group that has not taken over yet moves on, so that its state hangs on ever more configurations",
		Needs: "joins and leaves faster than take-overs (a view each 300 ms; Seal, SealAck, Install at 300 ms or lossy). Check: a group whose term was never Activated changes its list only if its owner or more than n-W of it are gone, or an Apart note names it",
		Edits: []Edit{{"propose.go", "case !settled && !c.mayMove(p, g, next):", "case false && !c.mayMove(p, g, next):"}},
	},
	{
		Rule: "V5", Name: "a stuck owner is kept",
		Why:   "an owner that renews and cannot reach its replicas keeps its groups, and nobody is served",
		Needs: "AcceptAck, ConfirmAck or SealAck from n-W+1 replicas to their owner lost for more than 3 MembershipTTL, with Renew intact (a plain cut is seen as silence, since nearly all members are voters). Check: its keys are served while that stands",
		Edits: []Edit{{"propose.go", "if !m.Exhausted {", "if false {"}},
	},
	{
		Rule: "V5", Name: "patience never grows",
		Why:   "on a network slower than the pace of ballots two voters outbid each other for as long as it is slow",
		Needs: "mean delay of 300 ms to 1 s (a ballot takes 4 delays, its pace is MembershipTTL/4) throughout, and something to be decided. Check: convergence while the network stays slow",
		Edits: []Edit{{"view.go", "return d << c.voter.tries", "return d"}},
	},
	{
		Rule: "V5", Name: "who flaps is added at once",
		Why:   "one voter drops a node and another adds it, once a second for ever; each take-over keeps dead holders for another TTL",
		Needs: "a one-way cut from a node to one of 3 voters, rosters seeing it, standing for a minute; a crashed holder. Check: fewer than a dozen views a minute under a standing fault; what a crashed client held is granted within TTL and a few seconds",
		Edits: []Edit{{"propose.go", "if f.addr == addr && f.drops > 1 {", "if f.addr == addr && f.drops > 1000 {"}},
	},
	{
		Rule: "V6", Name: "come back under the same NodeID",
		Why:   "a replica that forgot counts for the seal quorum of a configuration whose writes it had taken",
		Needs: "a member dropped by a lie or a short cut, back at once, while the take-over from its group is not done (Seal or SealAck lost); one of the two others dead or behind. Check: a NodeID that was dropped is in no later view",
		Edits: []Edit{{"found.go", "c.id = id\n", ""}},
	},
	{
		Rule: "V6", Name: "answer Seal after forgetting",
		Why:    "a dropped node answers a new owner with an empty state, which counts for the seal quorum",
		Needs:  "Rebirth that comes late (0 to 5 s after Dropped instead of 1 ms), or a leaver that just went; Replicas 2 or 3, the other holders of the write dead or behind; the first Seal lost. Check: who is dropped sends nothing",
		Assert: "I16",
		Edits: []Edit{
			{"core.go", "if c.silent() || in.From == c.id || in.From == 0 {", "if _, seal := in.Message.(Seal); c.silent() && (!seal || len(c.parts) == 0) || in.From == c.id || in.From == 0 {"},
			{"view.go", "c.parts, c.owners, c.absent = nil, nil, nil", "c.parts, c.owners, c.absent = make([]replica, len(c.parts)), make([]*owner, len(c.parts)), nil"},
			{"found.go", "c.founding = founding{}\n", "c.founding = founding{}\n\tc.parts, c.owners = nil, nil\n"},
		},
	},
	{
		Rule: "V7", Name: "leave at once",
		Why:   "a leaver is dropped while the next owners still need its state: they must wait for its leases as if it had crashed",
		Needs: "Replicas 1, or all replicas of a group leaving together, with Seal or SealAck lost or at 50 to 300 ms. Check: no Waits and no Activated.Lost where every node that went left with Left.Confirmed",
		Edits: []Edit{{"propose.go", "m.Leaving && !c.needed(m.ID)", "m.Leaving"}},
	},
	{
		Rule: "V7", Name: "the leaver stops before others know",
		Why:   "the voter that decided its own dropping is gone before anybody has the view; the rest have no majority to find it",
		Needs: "a mesh of two of which the one voter leaves, or three of which one is dead and one leaves; Decided lost (30 % loss, or a cut of 100 ms). Check: a node that Left confirmed is in no view that its fellows go on with: convergence must count it as dead, not as an excuse",
		Edits: []Edit{{"view.go", "case was == PhaseLeaving:\n\t\tc.linger()", "case was == PhaseLeaving:\n\t\tc.gone(true)\n\t\treturn"}},
	},
	{
		Rule: "V7", Name: "a lone voter that leaves takes the chain with it",
		Why:   "the one voter of two stops since all voters resigned; the other member can never make a view again",
		Needs: "a mesh of two (one voter), whose voter leaves. Check: the rest goes on after Left.Confirmed: convergence must not excuse a dead majority of voters when it left in good order",
		Edits: []Edit{{"propose.go", "if !m.Leaving && !c.voter.seen[i].resigned {", "if !m.Leaving && !c.voter.seen[i].resigned && c.view.isVoter(m.ID) {"}},
	},
	{
		Rule: "V7", Name: "a view without voters is proposed",
		Why:   "such a view could have no successor",
		Needs: "a lone voter that leaves before it has answered the other member",
		Redundant: "acceptors refuse a view without voters for its form (View.Validate in canFollow), so the ballot ends in nothing; " +
			"the condition saves the ballots that would make later ones more patient",
		Edits: []Edit{{"propose.go", "if len(v.Voters) == 0 {", "if false {"}},
	},
}

// The section "Founding".
var founding = []Mutation{
	{
		Rule: "founding", Name: "stale contact",
		Why:   "a founder proposes a node that is gone, and all are bound to a view that cannot form, for 3 MembershipTTL and their NodeIDs",
		Needs: "n founders of which one crashes before there are n and another one starts more than a second later. Nothing unsafe can come of it, since all n must accept. Check: in a calm network nobody is Abandoned unless somebody died within the last two seconds",
		Edits: []Edit{{"found.go", "!k.at.within(directFresh, c.now)", "!k.at.within(time.Hour, c.now)"}},
	},
	{
		Rule: "founding", Name: "a second acceptance",
		Why:   "two nodes accept the views of two founders in different order: two meshes with a majority each",
		Needs: "n+1 processes founding at once with Founders n = 3, all Fresh; the two lowest NodeIDs cut from each other, delays of 50 to 300 ms. Now exactly n start together, and then the missing acceptance of the other founder saves it. Check: exclusion over both meshes; two meshes never hold leases at a time",
		Edits: []Edit{{"found.go", "if c.phase == PhaseFounding && c.bound == nil && !c.knows {", "if c.phase == PhaseFounding || c.phase == PhaseBound {"}},
	},
	{
		Rule: "founding", Name: "form without all",
		Why:   "two founders form their views with a majority each of nodes that both proposed: two meshes",
		Needs: "as for the second acceptance",
		Edits: []Edit{{"found.go", "if len(c.founding.acks) == len(c.bound.Members) {", "if len(c.founding.acks) >= majority(len(c.bound.Members)) {"}},
	},
	{
		Rule: "founding", Name: "no wait",
		Why:   "a mesh that is founded anew grants what a holder of the one before, cut off, still believes in",
		Needs: "refounding: a holder cut off with a long TTL, all others crash, n new ones start with Founders n and not Fresh within MaxTTL, and ask for the same key. Now no run founds twice",
		Edits: []Edit{{"found.go", "if !fresh {", "if false {"}},
	},
	{
		Rule: "founding", Name: "founding alone with seeds",
		Why:   "each of n founders founds a mesh of its own",
		Needs: "any founding of more than one node",
		Edits: []Edit{{"found.go", "n := max(1, c.cfg.Founders)", "n := 1"}},
	},
	{
		Rule: "founding", Name: "Fresh again",
		Why:       "a node that lived in a mesh founds the next one as Fresh, and waits for nobody, itself not included",
		Needs:     "nodes started with Fresh and the fleet's Founders that are dropped or never added, whose mesh then dies, and who found again after 10 MembershipTTL (as in TestFreshOnlyOnce)",
		Edits:     []Edit{{"found.go", "return c.cfg.Fresh && c.client.mesh == 0", "return c.cfg.Fresh"}},
		Redundant: "a node that had a lease in a mesh, joined one or was dropped by one founds no other (Core.knows). Those that had none are fewer than n while a mesh lives that granted anything",
	},
	{
		Rule: "founding", Name: "who has known a mesh founds",
		Why:   "a node that is cut off from its mesh, or never heard of its successor, founds a second one while the first lives",
		Needs: "n = 1 (growth): the founder is paused or cut off, dropped, born again, and hears nobody of the mesh for 10 MembershipTTL; or n joiners that were cut off together",
		Edits: []Edit{{"found.go", "\tif c.knows {\n\t\treturn //", "\tif false {\n\t\treturn //"}, {"found.go", "\t\t\tcase c.knows:", "\t\t\tcase false:"}},
	},
	{
		Rule: "founding", Name: "a mesh has no time to answer",
		Why:   "a joiner that learns a newer view, of whose members it has heard nobody, forgets the mesh in the same step and founds another",
		Needs: "n = 1 (growth): all members change while a joiner is away",
		Edits: []Edit{{"view.go", "\t\tc.hear(v.Voters[0])               // gives the mesh time to answer\n", ""}, {"found.go", "\tif c.knows {\n\t\treturn //", "\tif false {\n\t\treturn //"}, {"found.go", "\t\t\tcase c.knows:", "\t\t\tcase false:"}},
	},
	{
		Rule: "founding", Name: "bound for ever",
		Why:   "nodes that accepted a first view that cannot form never look for another one",
		Needs: "a founder that crashes between Found and the view, then n free processes; or two founders that bind one node each (n+1 processes, one link cut). Check: convergence without a mesh yet",
		Edits: []Edit{{"found.go", "if c.bound != nil && c.lease.until == 0 {", "if false {"}},
	},
}
