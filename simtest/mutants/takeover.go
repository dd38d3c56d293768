package mutants

// Rules T1 to T6: taking a group over.
var takeover = []Mutation{
	{
		Rule: "T1", Name: "seal quorum S-1",
		Why:   "a new owner starts with what it has itself, and a grant that the two others have is forgotten",
		Needs: "the next owner behind (Accept to it lost), a grant on the two others, then the owner crashes and the third is slow to answer; Replicas 1 or 2 show it at once",
		Edits: []Edit{{"takeover.go", "return n >= sealQuorum(len(k.Replicas))", "return n >= sealQuorum(len(k.Replicas))-1"}},
	},
	{
		Rule: "T1", Name: "only the newest configuration asked",
		Why:   "a group that changed hands twice before it was installed starts with the empty replicas between",
		Needs: "two view changes within one take-over: Replicas 2 in 4 to 6 nodes, Seal, SealAck or Install lost or slow, the owner crashes and the one after it is dropped too; locks held",
		Edits: []Edit{{
			"takeover.go", "for _, k := range c.view.Groups[o.partition].Prior {",
			"for _, k := range c.view.Groups[o.partition].Prior[max(0, len(c.view.Groups[o.partition].Prior)-1):] {",
		}},
	},
	{
		Rule: "T1", Name: "answer below promised",
		Why:   "an owner that was overtaken completes its take-over with the answers of replicas that were sealed later",
		Needs: "Seal of an overtaken owner late",
		Redundant: "the promise of a later term includes that of the earlier one, and the state is the same or newer, so the answer is true. What the overtaken owner " +
			"installs with it is refused: S of its own configuration were sealed by who overtook it, or are no members (T6). It would only learn later that it was overtaken",
		Edits: []Edit{{"replica.go", "if m.Term < r.promised {", "if false {"}},
	},
	{
		Rule: "T1", Name: "a late Seal lowers promised",
		Why:    "a replica that promised a term goes back to an earlier owner, which then has a quorum beside the later one's",
		Needs:  "Seal late by seconds or doubled, over two changes of one group (delay class for chosen kinds). Check: Promised in the answers of one node never falls, per partition",
		Assert: "I5",
		Edits:  []Edit{{"replica.go", "if m.Term < r.promised {", "if r.promised = m.Term; false {"}},
	},
	{
		Rule: "T1", Name: "Seal promises nothing",
		Why:   "a replica that does not know the view yet answers the new owner and goes on taking the old one's writes",
		Needs: "Decided to the old owner and to a replica of its group lost for a second, Seal to the replica not; the old owner writes with its lease running",
		Edits: []Edit{{"replica.go", "c.raisePromised(m.Partition, m.Term)\n\tc.noteServed(m.Partition)", "c.noteServed(m.Partition)"}},
	},
	{
		Rule: "T1", Name: "half an answer counts",
		Why:   "the keys of the chunks that have not come are free at the new owner",
		Needs: "two or more keys held in one partition by others than the new owner's replica knows (it was behind, or is new to the group); the owner crashes; chunks out of order do the rest. Check: one (partition, term, number) is one state",
		Edits: []Edit{{"takeover.go", "if !a.incoming.add(m.Chunk, m.Records) {\n\t\t\treturn\n\t\t}", "a.incoming.add(m.Chunk, m.Records)"}, smallChunks},
	},
	{
		Rule: "T2", Name: "skip configurations above e*",
		Why:   "a configuration that nobody has answered of is taken for one that never was installed",
		Needs: "a group that moves (join) and is active in its new place without the voters knowing it settled (Settled lost), and whose new owner then crashes, while the replicas before are alive: Replicas 1 or 2 in 5 nodes",
		Edits: []Edit{{
			"takeover.go", "if k.Term < best.installed || c.sealed(t, k) {",
			"if k.Term < best.installed || best.installed != 0 && k.Term > best.installed || c.sealed(t, k) {",
		}},
	},
	{
		Rule: "T2", Name: "choose by last only",
		Why:   "the many writes of an older term win over the few of a newer one",
		Needs: "a replica that missed the Install of a term (cut off for a while) after a term of many writes, few writes since, then the owner crashes and that replica is asked (bias: a crash of the owner within a second of activation and its first grant)",
		Edits: []Edit{{"takeover.go", "newer(a.installed, a.last, best.installed, best.last)", "a.last > best.last"}},
	},
	{
		Rule: "T2", Name: "not the highest last",
		Why:   "a new owner that is behind prefers its own state to the newer one of another",
		Needs: "Accept to the next owner lost while the third has it (loss, or a one-way cut owner to one replica), then the owner crashes within MembershipTTL/20",
		Edits: []Edit{{"takeover.go", "newer(a.installed, a.last, best.installed, best.last)", "a.installed > best.installed"}},
	},
	{
		Rule: "T3", Name: "install again over a newer state of the same term",
		Why:   "a late copy of the first Install takes a replica back to before writes that it has acknowledged",
		Needs: "Install doubled and late, arriving after writes; one of those committed by this replica and the owner alone (the third cut off); then the owner crashes and the third is back. Check: one (partition, term, number) is one state does not see it; Last of one node in one term never falls does",
		Edits: []Edit{{"replica.go", "newer(m.Term, m.Number, r.installed, r.last) {", "(newer(m.Term, m.Number, r.installed, r.last) || m.Term == r.installed && m.Number == 0) {"}},
	},
	{
		Rule: "T3", Name: "install below promised",
		Why:    "a replica that promised a term installs the state of an earlier one",
		Needs:  "Install of an overtaken owner late",
		Assert: "I4",
		Redundant: "it is not acknowledged (promised is another term), so it activates nobody. As an answer to a later Seal it is true: the first state of a term " +
			"holds all that was committed before that term, so skipping older configurations for it (T2) is right",
		Edits: []Edit{{"replica.go", "if m.Term >= r.promised && newer(", "if newer("}},
	},
	{
		Rule: "T3", Name: "active with one",
		Why:   "a group is called settled that only its owner has: the others forget, and with the owner all is lost without a wait",
		Needs: "Install to the other replicas lost for a second, Settled not; the new owner crashes; locks held",
		Edits: []Edit{{"takeover.go", "if installed < writeQuorum(len(o.replicas)) {", "if installed < 1 {"}},
	},
	{
		Rule: "T4", Name: "no full TTL at take-over",
		Why:   "a new owner expires the leases of holders that could not renew in the meantime",
		Needs: "a lock held and another waiting for it when its owner goes; the holder's first heartbeat to the new owner later than 1 % of the TTL after activation",
		Edits: []Edit{{"locks.go", "ttl: h.TTL, heard: c.now, came", "ttl: h.TTL, heard: c.now.add(-h.TTL), came"}},
	},
	{
		Rule: "T4", Name: "timers shared between partitions",
		Why:   "a renewal by the owner of one partition is believed for locks in another, whose owner has heard nothing",
		Needs: "one client holding keys of one TTL in two partitions of different owners for longer than the TTL, cut off from one of them; somebody waiting there. (At the owner sharing them would only keep locks too long.)",
		Edits: []Edit{{"heartbeat.go", "c.renewed(from, s, item)", `for _, s := range slices.Clone(cl.slots) {
			if s.lease == item.Lease && (item.Match || s.partition == item.Partition) {
				c.renewed(from, s, item)
			}
		}`}},
	},
	{
		Rule: "T5", Name: "prune Prior of unsettled groups",
		Why:   "the next view forgets where the state of a group is that has not been taken over yet",
		Needs: "a view change during a take-over (joins, leaves and lies each second; Seal, SealAck lossy), locks held",
		Edits: []Edit{{"propose.go", "if settled {", "if true {"}},
	},
	{
		Rule: "T5", Name: "forget promised",
		Why:   "a replica that was told Settled installs a state of the term before, and makes a quorum for its owner",
		Needs: "the old owner with its lease and without the new view, sending Install to a replica that never had it (lost till then) and was told Settled: Decided to the owner lost. Check: Promised in the answers of one node never falls; a late copy of any Accept shows that",
		Edits: []Edit{{"replica.go", "r.installed, r.last, r.records = 0, 0, nil", "r.promised, r.installed, r.last, r.records = 0, 0, 0, nil"}},
	},
	{
		Rule: "T5", Name: "live replicas emptied on Settled",
		Why:   "replicas that have the state of the term drop it, while the owner counts on them",
		Needs: "a take-over with locks held, then the owner crashes",
		Edits: []Edit{{"takeover.go", "r.installed < i.Term {", "r.installed <= i.Term {"}},
	},
	{
		Rule: "T6", Name: "no wait",
		Why:   "a group of which too few are left starts empty at once, while its holders believe",
		Needs: "Replicas 1, or S of a group crashed together, a lock held by a survivor, another asking",
		Edits: []Edit{{"takeover.go", "case waited && c.now >= t.until:", "case waited:"}},
	},
	{
		Rule: "T6", Name: "MaxTTL alone",
		Why:   "a group that was cut off, not dead, renews until its leases end, and its holders believe for MaxTTL from there",
		Needs: "a whole group cut off with its holder (Replicas 1, the owner's own client), TTL equal to MaxTTL, renewed just before the end of the lease; a waiter on the other side. MembershipTTL longer than MaxTTL (10 s, 2 s) makes it plain",
		Edits: []Edit{{"time.go", "return p.given(p.MembershipTTL + p.MaxTTL)", "return p.given(p.MaxTTL)"}},
	},
	{
		Rule: "T6", Name: "a second first state in one term",
		Why:   "an answer that comes after the first Install makes another first state of the same term and number",
		Needs: "an old owner with a write that is on no other replica (its Accepts lost), alive when it is replaced, its SealAck later than that of the others, Install or AcceptAck lossy so that the take-over is not done; Replicas 3. Check: one (partition, term, number) is one state",
		Edits: []Edit{
			{"takeover.go", "o.term != m.Term || o.phase != ownerSealing {", "o.term != m.Term || o.phase == ownerActive {"},
			{"takeover.go", "o.takeover.answers = nil\n", ""},
			{"owner.go", "case r.installed == o.term:", "case r.installed == o.term && o.phase == ownerActive:"},
		},
	},
	{
		Rule: "T6", Name: "an absence counts over skipped views",
		Why:       "a node that was away, back in a view that this owner never saw, and away again counts as away all the time",
		Needs:     "an owner that skips views while a replica leaves, comes back and leaves",
		Redundant: "NodeIDs do not come back (V6, and the epoch in Join): who is in Prior and no member was dropped, and stays so in every later view",
		Edits:     []Edit{{"takeover.go", "if old == nil || c.view.Epoch != old.Epoch+1 {", "if old == nil {"}},
	},
}
