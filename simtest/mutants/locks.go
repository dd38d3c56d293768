package mutants

// Rules K1 to K5 and tokens: the lock table, the client, heartbeats.
var locks = []Mutation{
	{
		Rule: "K1", Name: "the outcome of a request is not fixed",
		Why:   "a copy of a request that was granted is queued behind itself, or told busy",
		Needs: "Acquire doubled, or Answer lost (refreshes are copies too). Check: busy is linearizable; convergence",
		Edits: []Edit{{"serve.go", "if r := t.requests[m.Request]; r != nil {", "if r := t.requests[m.Request]; r != nil && r.state != requestHeld {"}},
	},
	{
		Rule: "K1", Name: "a copy of a granted TryLock is told busy",
		Why:   "the caller goes without the lock that it has, and nobody else gets it until the lease ends",
		Needs: "a TryLock's Acquire doubled, or its first Answer lost. Check: busy is linearizable, the caller itself not counted as the holder",
		Edits: []Edit{{"serve.go", "c.touch(o, LeaseID{r.id.Client, r.lease}, from, at)", `c.touch(o, LeaseID{r.id.Client, r.lease}, from, at)
			if m.Try {
				c.answerByWrite(o, from, at, Answer{Request: r.id, Outcome: OutcomeBusy, Holder: t.keys[r.key].record.Holders[0]})
				c.release(o)
				return
			}`}},
	},
	{
		Rule: "K1", Name: "closed requests are not remembered",
		Why:   "a late copy of a request that was closed is granted to nobody, until the client gives it back",
		Needs: "Acquire late or doubled, arriving after its Release was answered, from a client that says nothing in between; TryLock by another at that moment. Check: busy means that somebody can have held it; no grant is written for a request whose Release was answered (Accept shows it)",
		Edits: []Edit{{"serve.go", "if r := t.requests[m.Request]; r != nil {", `if r := t.requests[m.Request]; r != nil && r.state == requestClosed && r.answers == 0 {
		k := c.mark(o, r.id.Client)
		k.closed = slices.DeleteFunc(k.closed, func(seq uint64) bool { return seq == r.id.Seq })
		delete(t.requests, r.id)
	}
	if r := t.requests[m.Request]; r != nil {`}},
	},
	{
		Rule: "K1", Name: "a Release that comes first is forgotten",
		Why:   "the Acquire that it overtook is granted to nobody",
		Needs: "a request cancelled within a network delay of being made, jitter (or the first Acquire lost for a while and a copy on its way). Check: as for closed requests",
		Edits: []Edit{{
			"serve.go", "r = &request{id: m.Request}\n\t\tt.requests[r.id] = r\n\t\tc.close(o, r, OutcomeGone)",
			"c.answerByWrite(o, from, c.now, Answer{Request: m.Request, Release: true, Outcome: OutcomeNotHeld})\n\t\tc.release(o)\n\t\treturn",
		}},
	},
	{
		Rule: "K1", Name: "the low-water mark is not looked at",
		Why:   "a late copy from below the mark, where closed requests are forgotten, is granted to nobody",
		Needs: "Acquire late by more than the life of its request, its client having asked this owner for something else since. Check: as for closed requests",
		Edits: []Edit{{"serve.go", "if m.Request.Seq < c.mark(o, m.Request.Client).low {", "if m.Request.Seq < c.mark(o, m.Request.Client).low && false {"}},
	},
	{
		Rule: "K1", Name: "answers of an older term are taken",
		Why:   "a client believes an owner that it has turned away from",
		Needs: "Answer late over a change of the owner",
		Redundant: "answers are certified (G2): a grant of the older term was committed before the newer owner sealed, so that one knows it, and gives it a full TTL after " +
			"every time that can be echoed (T4). Of Gone and Busy the worst is a grant that nobody awaits, which is given back",
		Edits: []Edit{{"client.go", "if m.Term != h.term || m.Partition != h.partition {", "if m.Partition != h.partition {"}},
	},
	{
		Rule: "K1", Name: "a grant is adopted for a closed request",
		Why:    "a client holds, and renews for ever, what its program has given up",
		Needs:  "Unlock while the grant is on its way (cancel within a delay of the previous holder's release). Check: no Granted after Unlock; convergence",
		Assert: "I15",
		Edits:  []Edit{{"client.go", "case h.state == holdAsking && !m.Release:", "case h.state != holdHeld && !m.Release:"}},
	},
	{
		Rule: "K1", Name: "an unawaited grant is not given back",
		Why:   "a key stays with a client that does not want it until the lease ends",
		Needs: "an Acquire that arrives after its Release was given up (TTL and the wait of T6, without an answer); or more than 1024 closed requests of one client in a partition above one that is open all the time, and then a late copy of the oldest. Check: at the end no owner has a key that no client believes in",
		Redundant: "no grant comes for a request whose end an owner has certified and remembers; for others the digest of the next heartbeat, or the end of the lease, " +
			"frees it as well, later",
		Edits: []Edit{{"client.go", "if m.Outcome == OutcomeGranted {", "if false {"}},
	},
	{
		Rule: "K2", Name: "a lost waiter is kept and granted",
		Why:   "the key goes for a TTL each to every waiter of a client that is gone",
		Needs: "a client with several requests queued for one key crashes; others wait behind. Check: no grant is written for a client that crashed more than TTL(1+d) and a delay ago; or a bound of one TTL on how long a dead client's waiters hold up a key",
		Edits: []Edit{
			{"locks.go", "return c.now >= c.waitsUntil(r) }", "return false }"},
			{"grants.go", "c.leaseAdd(o, r)\n}", "r.heard = c.now\n\tc.leaseAdd(o, r)\n}"},
		},
	},
	{
		Rule: "K2", Name: "no grace",
		Why:   "after a change of the owner a newcomer gets a free key before those who have waited",
		Needs: "a queue of two or more nodes, the holder's Unlock during the take-over (or the holder was what crashed and its lease is over), one waiter learning the view some 10 ms later than a newcomer (delays of 10 to 100 ms). Check: in runs without loss, no grant to a ticket while an older one of a live, connected client was refreshed within the last MembershipTTL/8",
		Edits: []Edit{{"serve.go", "if !quiet && len(c.view.Groups[o.partition].Prior) > 0 {", "if false {"}},
	},
	{
		Rule: "K2", Name: "last come, first served",
		Why:   "waiters are passed by those who came later",
		Needs: "three waiters for one key, a calm network. Check: tickets are granted in order",
		Edits: []Edit{{"grants.go", "for i > 0 && r.ticket.before(k.queue[i-1].ticket) {", "for i > 0 {"}},
	},
	{
		Rule: "K2", Name: "a ticket is not kept",
		Why:   "who comes to a new owner after the grace is last, however long it has waited",
		Needs: "a held key with a queue over a change of the owner, one old waiter that learns the view more than MembershipTTL/8 after activation, newcomers before it. Check: tickets are granted in order among waiters that are queued at this owner",
		Edits: []Edit{{"grants.go", "if r.ticket.Term == 0 || r.ticket.Term > o.term {", "{"}},
	},
	{
		Rule: "K3", Name: "owner expires early",
		Why:    "a holder with a slow clock still believes when its owner grants to the next",
		Needs:  "holder cut off from the owner for a TTL, a waiter there, rates at the edges: owner fast, holder slow. Wide drift (DriftPPM 100000 and more) makes the overlap seconds",
		Assert: "I12",
		Edits:  []Edit{{"locks.go", "return l.heard.add(c.view.Params.given(l.ttl))", "return l.heard.add(c.view.Params.held(l.ttl))"}},
	},
	{
		Rule: "K3", Name: "holder's deadline from when the grant came",
		Why:   "the way of the grant is counted twice: the holder believes longer than the owner keeps the lease",
		Needs: "Answer late by more than 2 % of the TTL, the holder cut off after it, a waiter",
		Edits: []Edit{{"client.go", "deadline := m.Echo.time().add(c.cfg.Params.held(h.in.TTL))", "deadline := c.now.add(c.cfg.Params.held(h.in.TTL))"}},
	},
	{
		Rule: "K3", Name: "holder's deadline from when the renewal came",
		Why:   "as with the grant, at each heartbeat",
		Needs: "HeartbeatAck late by more than 2 % of the TTL, the holder cut off after it, a waiter",
		Edits: []Edit{{"heartbeat.go", "deadline := item.Echo.time().add(c.view.Params.held(s.ttl))", "deadline := c.now.add(c.view.Params.held(s.ttl))"}},
	},
	{
		Rule: "K3", Name: "holder's deadline without the margin",
		Why:   "a holder with a slow clock believes longer than the owner keeps the lease",
		Needs: "as for the owner that expires early",
		Edits: []Edit{
			{"client.go", "deadline := m.Echo.time().add(c.cfg.Params.held(h.in.TTL))", "deadline := m.Echo.time().add(h.in.TTL)"},
			{"heartbeat.go", "deadline := item.Echo.time().add(c.view.Params.held(s.ttl))", "deadline := item.Echo.time().add(s.ttl)"},
		},
	},
	{
		Rule: "K3", Name: "a lock rises from the dead",
		Why:   "a renewal that comes after the deadline extends a lock that was over for a while",
		Needs: "a holder that is paused over its deadline and, when it wakes, reads a HeartbeatAck before its timers run (now Thaw always runs timers first: draw the order). Check: at Extended the old deadline is not past",
		Edits: []Edit{{"heartbeat.go", "c.tickDeadlines(s) // K3", "// K3"}},
	},
	{
		Rule: "K4", Name: "an open request's token is released",
		Why:   "the client releases what it is about to adopt when the answer comes, and believes in it",
		Needs: "a client with a held lock and an open request of the same TTL in one partition; the grant's Answer later than the HeartbeatAck that lists it (jitter, loss of Answer, short TTL); another waiting",
		Edits: []Edit{{"heartbeat.go", "if c.client.bySeq[seq] == nil {", "if h := c.client.bySeq[seq]; h == nil || h.state != holdHeld {"}},
	},
	{
		Rule: "K4", Name: "a released token is adopted",
		Why:    "a lock that its program gave up is held again since the owner lists it",
		Needs:  "Unlock of one of two locks of one lease, its Release lost or late, a heartbeat of the other meanwhile. Check: no Granted after Unlock; convergence",
		Assert: "I15",
		Edits: []Edit{{"heartbeat.go", "if c.client.bySeq[seq] == nil {", `if h := c.client.bySeq[seq]; h != nil && h.state != holdHeld {
			c.adopt(h, Answer{Token: max(h.token, 1), Echo: item.Echo})
		}
		if c.client.bySeq[seq] == nil {`}},
	},
	{
		Rule: "K4", Name: "what was granted since is missing",
		Why:   "the answer to a heartbeat from before a grant takes the lock away from its holder",
		Needs: "a grant adopted while a heartbeat of the same lease and partition is on its way, and a digest that does not match for another reason (a Release on its way). Check: no Lost of cause Missing: nobody else ever releases",
		Edits: []Edit{{"heartbeat.go", "case h.since >= item.Beat:", "case false:"}},
	},
	{
		Rule: "K4", Name: "plain xor of numbers as digest",
		Why:   "two sets of the same number of locks look the same, and a lock that is missing is renewed",
		Needs: "an owner that has lost two locks that the client believes in, and has two others of the same lease",
		Redundant: "an owner keeps what a client believes in (K3, T4, T6), so it can only have more, and the count shows that. A heartbeat that a Release overtook " +
			"may seem to match, but renews nothing granted after it was sent, and the next one is right. The mix guards against faults of other rules",
		Edits: []Edit{{"locks.go", "x := keyHash(key) + ", "if key != \"\" {\n\t\treturn seq\n\t}\n\tx := keyHash(key) + "}},
	},
	{
		Rule: "K5", Name: "a TTL above MaxTTL",
		Why:   "a holder outlives the wait of T6",
		Needs: "calls with TTL above MaxTTL in the workload. Check: they end with Invalid; or a whole group lost with such a holder",
		Edits: []Edit{
			{"client.go", "in.TTL <= 0 || in.TTL > params.MaxTTL)", "in.TTL <= 0)"},
			{"serve.go", "m.TTL > 0 && m.TTL <= c.view.Params.MaxTTL &&", "m.TTL > 0 &&"},
		},
	},
	{
		Rule: "tokens", Name: "from the owner's clock",
		Why:    "tokens fall when a key goes to an owner whose clock is behind",
		Needs:  "a change of the owner between nodes whose clocks differ (Offset), grants of one key before and after",
		Assert: "I9",
		Edits:  []Edit{{"grants.go", "token := makeToken(o.term, o.count)", "token := Token(c.now)"}},
	},
}
