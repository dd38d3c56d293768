package mutants

// Rules L1, L2, G1, G2 and snapshots: leases, writes, certified answers.
var groups = []Mutation{
	{
		Rule: "L1", Name: "margin at the giver alone",
		Why:   "a member with a slow clock believes in its lease longer than those who wait for its end assume",
		Needs: "clock rates at the edges of a wide bound (DriftPPM up to 200000 is valid, rates at both ends of it); the lease check of V4 in true time; or a whole group cut off with a holder that renews up to the end of the lease, a waiter beyond T6",
		Edits: []Edit{{"membership.go", "c.view.Params.held(c.view.Params.MembershipTTL)", "c.view.Params.MembershipTTL"}},
	},
	{
		Rule: "L1", Name: "margin at the holder alone",
		Why:   "an owner with a fast clock ends the wait of T6 before the leases that it waits for",
		Needs: "as above: wide drift, the new owner at the fast edge; a whole group cut off (Replicas 1) with its holder, whose TTL is MaxTTL and which renews up to the end; a waiter on the other side",
		Edits: []Edit{{"time.go", "return p.given(p.MembershipTTL + p.MaxTTL)", "return p.MembershipTTL + p.MaxTTL"}},
	},
	{
		Rule: "L1", Name: "an ack counts from its arrival",
		Why:   "an answer that was long on its way renews a lease that the voter has since stopped renewing",
		Needs: "RenewAck late by more than 100 ms, better seconds (300 ms mean delay, or a delay class for chosen kinds), a view made meanwhile, the member not knowing it. Check: the lease check of V4; or as for L2",
		Edits: []Edit{{"membership.go", "c.lease.echoes[i] = max(c.lease.echoes[i], m.Sent)", "c.lease.echoes[i] = Echo(c.now)"}},
	},
	{
		Rule: "L1", Name: "an ack of another renewal",
		Why:   "an answer to a renewal of the view before counts for the lease of this one",
		Needs: "RenewAck of epoch e late, arriving after e+1 is known",
		Redundant: "a lease is kept over a view change anyway. Who answered at e had not accepted e+1, all the less e+2: so a lease that rests on it ends " +
			"within MembershipTTL after e+2 is decided, which is all that V4 promises",
		Edits: []Edit{{"membership.go", "m.Epoch != c.view.Epoch || m.Sent == 0 ||", "m.Sent == 0 ||"}},
	},
	{
		Rule: "L1", Name: "one voter is enough",
		Why:   "each voter renews its own lease by itself, however alone it is",
		Needs: "a split longer than MembershipTTL+MaxTTL with a whole group (Replicas 1 or 2) and a client on the small side; at once with the check that no lease outlives the next view",
		Edits: []Edit{{"membership.go", "majority(len(c.lease.echoes))", "1"}},
	},
	{
		Rule: "L1", Name: "the lease used before promised is raised",
		Why:    "with the lease of the new view a replica takes writes of an owner of the view before",
		Needs:  "an owner that does not know the next view and writes to a replica that does, and was not sealed yet: Decided to the owner lost, Seal late",
		Assert: "I3",
		Redundant: "any W replicas of a configuration meet any S that were sealed, and those have promised. Where S cannot be sealed (T6) at most n-W replicas " +
			"are members, now and for ever since NodeIDs do not return, so no W have leases once the old ones are over",
		Edits: []Edit{{"view.go", "c.raisePromised(Partition(p), g.Term)", "_ = p"}},
	},
	{
		Rule: "L2", Name: "all is done without a lease",
		Why:   "a group that is cut off grants for ever, beside those who waited for the end of its leases",
		Needs: "a split longer than MembershipTTL+MaxTTL with W of a group (Replicas 1 or 2) and a client on the small side",
		Edits: []Edit{
			{"membership.go", "return c.now < c.lease.until && !c.silent()", "return !c.silent()"},
			{"membership.go", "if c.lease.told {", "if c.lease.told && c.lease.until > c.now {"}, // else it would wake for a lease that is over, for ever
		},
	},
	{
		Rule: "L2", Name: "an owner serves without a lease",
		Why:   "it begins writes and rounds while it may have been replaced",
		Needs: "an owner without a lease whose replicas have theirs: RenewAck to the owner lost for seconds, AcceptAck not",
		Redundant: "its writes still need W replicas with leases, and T6 starts only where fewer than S of a configuration, so fewer than W, can have one. " +
			"The lease of the owner and those of the replicas stand in for each other; without both see 'all is done without a lease'",
		Edits: []Edit{{"owner.go", "return o.phase == ownerActive && c.leaseValid()", "return o.phase == ownerActive"}},
	},
	{
		Rule: "L2", Name: "answers are counted without a lease",
		Why:   "an owner certifies what replicas said when it may have been replaced since",
		Needs: "AcceptAck or ConfirmAck that arrive after the owner's lease is over (freeze of the owner for more than MembershipTTL)",
		Redundant: "what W replicas took or confirmed under leases and their promises was true then, which is after the request came: the answer is late, not wrong. " +
			"Its echo is older than the round, so the deadline is what it would have been",
		Edits: []Edit{
			{"owner.go", "if !c.leaseValid() { // L2: without a lease nothing is certified", "if false {"},
			{"owner.go", "item.Round != o.round || !c.leaseValid()", "item.Round != o.round"},
		},
	},
	{
		Rule: "G1", Name: "ignore promised",
		Why:   "a replica that a new owner has sealed goes on taking the old one's writes, which the new owner never sees",
		Needs: "the old owner alive, with its lease and without the new view (Decided and Seal to it lost for 1 to 2 s, its links to a replica whole), writing; the group moved away from that replica or Install to it late. A MembershipTTL of 5 to 10 s with short TTLs widens the window",
		Edits: []Edit{{"replica.go", "r.promised == t && r.installed == t && c.leaseValid()", "r.installed == t && c.leaseValid()"}},
	},
	{
		Rule: "G1", Name: "ignore installed",
		Why:   "a replica takes and confirms writes without the state that they are made to",
		Needs: "a replica that has promised the term and not installed it, and is sent an Accept",
		Redundant: "an owner sends writes only to who has acknowledged an Install, and installed does not fall while promised stays. " +
			"A confirmation says that nothing newer is promised, for which installed does not matter. See the next one for both",
		Edits: []Edit{{"replica.go", "r.promised == t && r.installed == t && c.leaseValid()", "r.promised == t && c.leaseValid()"}},
	},
	{
		Rule: "G1", Name: "ignore installed, and write to all",
		Why:    "a write counts as replicated on one that has only it, under no term, and loses it at the next take-over",
		Assert: "I7",
		Needs:  "Install to one replica lost for seconds while there are writes, Accept to the third lost too, then the owner crashes",
		Edits: []Edit{
			{"replica.go", "r.promised == t && r.installed == t && c.leaseValid()", "r.promised == t && c.leaseValid()"},
			{"owner.go", "if o.acked[i] >= 0 {", "if o.acked[i] >= -1 {"},
		},
	},
	{
		Rule: "G1", Name: "ignore the number",
		Why:   "a replica takes a write across a gap and acknowledges all before it",
		Needs: "Accept lost or out of order (jitter), more than one write on the way, the other replica cut off meanwhile, then the owner crashes",
		Edits: []Edit{{"replica.go", "if m.First+uint64(i) == r.last+1 {", "if n := m.First + uint64(i); n > r.last {\n\t\t\t\tr.last = n - 1"}},
	},
	{
		Rule: "G1", Name: "ignore the lease",
		Why:    "a replica that may have been dropped takes writes",
		Needs:  "replicas without a lease beside an owner that has one: RenewAck to them lost",
		Assert: "I3",
		Redundant: "the owner counts no answer without its own lease (L2), so nothing commits once the leases of its view are over. " +
			"The two stand in for each other; without both see L2 'all is done without a lease'",
		Edits: []Edit{{"replica.go", "r.installed == t && c.leaseValid()", "r.installed == t"}},
	},
	{
		Rule: "G1", Name: "commit at W-1",
		Why:   "an owner answers for a write that only it has, or with three others of five",
		Needs: "Accept lost or late, the owner crashes right after Granted: bias crashes to the owner of a key within some 100 ms of a grant",
		Edits: []Edit{{"owner.go", "kthHighest(o.acked, writeQuorum(len(o.replicas))", "kthHighest(o.acked, max(1, writeQuorum(len(o.replicas))-1)"}},
	},
	{
		Rule: "G2", Name: "answer before commit",
		Why:   "a grant is believed in that no quorum has",
		Needs: "as for commit at W-1: drop Accept or AcceptAck for a while, then crash the owner or cut it off from its replicas but not from the client",
		Edits: []Edit{{"owner.go", "case a.number > committed:", "case a.number > committed && false:"}},
	},
	{
		Rule: "G2", Name: "no confirm round for a renewal",
		Why:   "an owner that was replaced goes on renewing until its lease ends, beyond what the new owner grants the holder (T4)",
		Needs: "the old owner cut off from all but the holder (best: the holder is its own client), the view changed within half a MembershipTTL (rosters at once), somebody waiting for the key on the other side. MembershipTTL longer than the TTL makes the overlap wide",
		Edits: []Edit{{"serve.go", "c.awaitBeat(o, from, b)", `if c.serving(o) {
			p := pending{to: from, beat: &b}
			c.prepareAnswer(o, &p)
			o.certain = append(o.certain, p)
			c.release(o)
		}`}},
	},
	{
		Rule: "G2", Name: "no confirm round for busy",
		Why:   "an owner that was replaced says busy of a lock that has been released at the new one",
		Needs: "the old owner cut off with a client that tries, its lease still running; on the other side the holder's Unlock is answered. MembershipTTL long against the time of a view change. Check: busy is linearizable",
		Edits: []Edit{{
			"serve.go", "c.close(o, r, outcome)\n\tc.answerByRound(o, r, false)",
			"c.close(o, r, outcome)\n\tc.answerByWrite(o, r.from, c.now, Answer{Request: r.id, Outcome: outcome, Holder: r.busy, Echo: r.sent})\n\tc.release(o)",
		}},
	},
	{
		Rule: "G2", Name: "a round of W-1",
		Why:   "an owner confirms to itself that it is still the owner",
		Needs: "as for no confirm round",
		Edits: []Edit{{"owner.go", "if n < writeQuorum(len(o.replicas)) {", "if n < writeQuorum(len(o.replicas))-1 {"}},
	},
	{
		Rule: "G2", Name: "an old round's acks counted",
		Why:   "a confirmation from before the take-over certifies an answer after it",
		Needs: "ConfirmAck late by a second or two, or doubled, from one replica to an owner that is otherwise cut off and keeps opening rounds (a client of its own that renews and tries); take-over meanwhile. A delay class for chosen kinds",
		Edits: []Edit{{"owner.go", "!o.open || item.Round != o.round ||", "!o.open ||"}},
	},
	{
		Rule: "G2", Name: "echo newer than the round",
		Why:    "a renewal that came after the round began is answered by it, and so believed longer than anybody certified",
		Needs:  "as above: rounds that stay open for a second while the client goes on sending heartbeats (short TTL), and a take-over between their beginning and their end",
		Assert: "I10",
		Edits: []Edit{{"serve.go", "c.soil(o)\n\tfor i := range o.nextRound {", `c.soil(o)
	for i := range o.thisRound {
		if n := &o.thisRound[i]; n.beat != nil && n.beat.lease == b.lease {
			n.ack.Echo, n.heard = b.sent, c.now
		}
	}
	for i := range o.nextRound {`}},
	},
	{
		Rule: "G2", Name: "echo newer than the Accept",
		Why:   "a grant's deadline counts from a refresh that came after its write was sent, perhaps after a new owner took over",
		Needs: "AcceptAck late by seconds (sent before the replica was sealed, arriving within the owner's lease), the client refreshing meanwhile, MembershipTTL of 5 s or more, a waiter at the new owner when the lease expires there",
		Edits: []Edit{{"owner.go", "c.send(a.to, a.answer)", `late := a.answer.(Answer)
			if r := o.table.requests[late.Request]; r != nil {
				late.Echo = r.sent
			}
			c.send(a.to, late)`}},
	},
	{
		Rule: "snapshot", Name: "an older one applied",
		Why:   "a replica goes back to a state before writes that it has acknowledged",
		Needs: "Install late or doubled while the owner goes on writing (to a replica that was installed late, or is behind by more than the buffer); the third replica cut off; the owner crashes. Check: all messages that carry the state of one (partition, term, number) carry the same records",
		Edits: []Edit{
			{"replica.go", "newer(m.Term, m.Number, r.installed, r.last) {", "(newer(m.Term, m.Number, r.installed, r.last) || m.Term == r.installed && m.Number > 0) {"},
			smallBuffer,
		},
	},
	{
		Rule: "snapshot", Name: "numbered 0",
		Why:   "who is sent it has the state of a later write under number 0, or, with number 1 and more, never catches up",
		Needs: "a replica that misses more than the buffer (a cut of a second, many writes) and is then needed for W (Replicas 2). Check: one (partition, term, number) is one state; convergence",
		Edits: []Edit{{"owner.go", "m.Number, records = r.last, r.records", "m.Number, records = 0, r.records"}, smallBuffer},
	},
	{
		Rule: "snapshot", Name: "applied before it is whole",
		Why:   "a replica counts as installed with the first chunk of a state",
		Needs: "states of several chunks: at least two keys held in one partition when it is taken over; one chunk late or lost; then the owner crashes. Check: one (partition, term, number) is one state",
		Edits: []Edit{{"replica.go", "if !in.add(m.Chunk, m.Records) {\n\t\t\treturn\n\t\t}", "in.add(m.Chunk, m.Records)"}, smallChunks},
	},
}
