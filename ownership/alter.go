package ownership

// alteration is the newest Alter of a grant that was evaluated (K6, K8).
type alteration struct {
	number  uint64
	outcome Outcome // 0 while the holder waits to go up
	holder  Holder  // Busy: who is in the way
	up      bool    // it has gone up, and its client is to be told
	since   Time    // when it was evaluated
}

// onAlter: K6, K8: a holder changes its mode, or the value, under a number that
// rises within the grant.
func (c *Core) onAlter(from NodeID, m Alter) {
	reply := Answer{Request: m.Request, Partition: m.Partition, Term: m.Term, Alters: m.Number}
	o := c.served(from, reply)
	if o == nil {
		return
	}
	if m.Number == 0 || !m.wellFormed() { // K5
		reply.Outcome = OutcomeInvalid
		c.send(from, reply)
		return
	}
	c.lower(o, m.Request.Client, m.Low)
	if !c.serving(o) {
		reply.Outcome, reply.Reason = OutcomeWaiting, c.whyNot(o)
		c.send(from, reply)
		return
	}
	r := o.table.requests[m.Request]
	switch {
	case r.doneEvicted(m.Number): // carried out before: no eviction makes that undone
	case !r.kept():
	case m.Number < r.alter.number:
		return // a late copy
	case m.Number > r.alter.number:
		r.from = from
		r.alter = alteration{number: m.Number, since: c.now}
		c.carryOut(o, r, m)
		return
	case r.alter.outcome == 0:
		r.from = from
		c.explainWait(o, r)
		return
	}
	c.answerAlter(o, from, m.Request, m.Number)
}

// doneEvicted says that a holder that was told to let go has had this alteration, and
// its outcome.
func (r *request) doneEvicted(number uint64) bool {
	return r != nil && r.state == requestHeld && r.evicted && r.alter.number == number && r.alter.outcome != 0
}

// kept says that a request is held, and its lease keeps it: it was not told to let go.
func (r *request) kept() bool { return r != nil && r.state == requestHeld && !r.evicted }

func (m Alter) wellFormed() bool {
	switch m.What {
	case AlterMode:
		return m.Mode.capacity() == Whole && m.Mode.check() == "" && len(m.Value) == 0
	case AlterValue:
		return len(m.Value) <= MaxValueBytes
	case AlterNoValue:
		return len(m.Value) == 0
	}
	return false
}

// carryOut does what a new Alter asks for.
func (c *Core) carryOut(o *owner, r *request, m Alter) {
	k := o.table.keys[r.key]
	if k.upgrade == r { // a further number: the wait is taken back
		k.upgrade = nil
		c.queueChanged(o, r.key)
		defer c.advance(o, r.key)
	}
	switch {
	case m.What == AlterMode:
		c.convert(o, k, r, m.Mode)
		return
	case !r.mode.all(): // K6: only who holds all of the key
		r.alter.outcome = OutcomeNotHeld
		c.answerAlter(o, r.from, r.id, m.Number)
		return
	}
	rec := k.draft(r.key)
	rec.Value = nil
	if m.What == AlterValue {
		rec.Value = &Value{Data: m.Value, Token: r.token}
	}
	c.writeAltered(o, k, r, &rec)
}

// convert: K8.
func (c *Core) convert(o *owner, k *keyState, r *request, to Mode) {
	from := r.mode
	switch rival, there := k.rival(r); {
	case from.capacity() != Whole || to.weight() > from.weight() && to != Exclusive:
		r.alter.outcome = OutcomeInvalid
		c.answerAlter(o, r.from, r.id, r.alter.number)
	case to == from:
		r.alter.outcome = OutcomeAltered
		c.answerAlter(o, r.from, r.id, r.alter.number)
	case to.weight() < from.weight():
		rec := k.draft(r.key)
		rec.holder(r.id).Mode = to
		r.mode = to
		c.writeAltered(o, k, r, &rec)
	case there:
		r.alter.outcome, r.alter.holder = OutcomeBusy, rival
		c.answerAlter(o, r.from, r.id, r.alter.number)
	default:
		k.upgrade = r
		if len(k.record.Holders) == 1 {
			rec := k.draft(r.key)
			c.pass(o, k, &rec)
		} else {
			c.explainWait(o, r)
			c.queueChanged(o, r.key)
			c.tellContended(o, k)
		}
	}
}

// rival finds another holder that may go up: the two would wait for each other.
func (k *keyState) rival(r *request) (Holder, bool) {
	for _, h := range k.record.Holders {
		waits := k.upgrade != nil && k.upgrade.id == h.Request
		if h.Request != r.id && !h.Lost && (waits || h.Mode == ForUpdate) {
			return h, true
		}
	}
	return Holder{}, false
}

// raise makes the only holder the exclusive one, with a new token: the other
// holders may have shown theirs, which are above its own.
func (c *Core) raise(o *owner, rec *Record, r *request) {
	h := rec.holder(r.id)
	r.token = c.nextToken(o, rec)
	r.mode = Exclusive
	r.alter.outcome, r.alter.up = OutcomeAltered, true
	h.Token, h.Mode, h.Altered = r.token, r.mode, r.alter.number
}

// writeAltered writes an alteration that is done at once, and answers with it.
func (c *Core) writeAltered(o *owner, k *keyState, r *request, rec *Record) {
	r.alter.outcome = OutcomeAltered
	rec.holder(r.id).Altered = r.alter.number
	c.pass(o, k, rec)
	c.answerByWrite(o, r.from, c.now, Answer{Request: r.id, Alters: r.alter.number, Outcome: OutcomeAltered, Token: r.token})
}

// answerAlter has an Alter answered after a confirm round (G2).
func (c *Core) answerAlter(o *owner, to NodeID, id RequestID, number uint64) {
	if r := o.table.requests[id]; r.kept() {
		if r.answers&answersAlter != 0 {
			return
		}
		r.answers |= answersAlter
	}
	o.nextRound = append(o.nextRound, pending{to: to, request: id, alters: number})
	c.soil(o)
}

// prepareAlter fills the answer to an Alter as its round begins.
func (c *Core) prepareAlter(o *owner, a *pending) {
	ans := Answer{Request: a.request, Partition: o.partition, Term: o.term, Alters: a.alters, Outcome: OutcomeNotHeld}
	if r := o.table.requests[a.request]; r.kept() || r.doneEvicted(a.alters) {
		r.answers &^= answersAlter
		if r.alter.outcome == 0 {
			a.to = 0 // it waits again, under another number
			return
		}
		ans.Alters, ans.Outcome, ans.Token, ans.Holder = r.alter.number, r.alter.outcome, r.token, r.alter.holder
	}
	a.answer, a.heard = ans, a.began
}

// explainWait tells a holder for whom it waits.
func (c *Core) explainWait(o *owner, r *request) {
	why := Reason{Code: ReasonQueued}
	for _, h := range o.table.keys[r.key].record.Holders {
		if h.Request != r.id {
			why.Others++
			why.Holder = h
		}
	}
	why.Others = max(0, why.Others-1)
	c.send(r.from, Answer{Request: r.id, Partition: o.partition, Term: o.term, Alters: r.alter.number, Outcome: OutcomeWaiting, Reason: why})
}
