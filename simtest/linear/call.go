package linear

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// call is one Lock or Try with all that followed.
type call struct {
	lock    *Op
	unlock  *Op
	renews  []*Op
	changes []*Op // Upgrade to Delete, in the order in which they are carried out
	rank    int   // of its token among all that were given; -1: not granted
	phase   int   // its first one in model.phases

	seen   time.Duration // the owner had it then, or later
	ousted time.Duration // since when it may have been told to let go (K13); Forever: it was not
	strays []stray       // all of them
	ends   time.Duration // the earliest moment at which it may have ended unseen
	opens  time.Duration // the earliest at which its place may have become free so: after its Delay
	weight uint32
	of     uint32
}

// silent is a hold that nobody was told of: between from and to, and not over
// before ends.
type silent struct {
	call           int
	weight, of     uint32
	from, to, ends time.Duration
}

// stray is an Evict of a token that nobody was told. Whoever held the key with it was
// perhaps told to let go.
type stray struct{ from, to time.Duration }

// gather sorts operations by call; looks are those that belong to none. It says
// what is wrong with a history that contradicts itself.
func gather(h History) (calls []*call, looks []*Op, why string) {
	locks := 0
	for i := range h.Ops {
		if h.Ops[i].Kind <= Try {
			locks++
		}
	}
	all, byID := make([]call, 0, locks), make(map[int]*call, locks)
	calls = make([]*call, 0, locks)
	for i := range h.Ops {
		o := &h.Ops[i]
		if why := o.wrong(); why != "" {
			return nil, nil, fmt.Sprintf("%v: %s", o, why)
		}
		switch {
		case o.Kind >= Read:
			looks = append(looks, o)
		case o.Kind == Lock || o.Kind == Try:
			if byID[o.Call] != nil {
				return nil, nil, fmt.Sprintf("%v: the call exists", o)
			}
			all = append(all, call{lock: o, rank: -1, ousted: Forever, weight: o.Mode.weight(), of: o.Mode.of()})
			c := &all[len(all)-1]
			byID[o.Call] = c
			calls = append(calls, c)
		}
	}
	for i := range h.Ops {
		o := &h.Ops[i]
		if o.Kind < Unlock || o.Kind > Delete {
			continue
		}
		if why := byID[o.Call].follow(o); why != "" {
			return nil, nil, fmt.Sprintf("%v: %s", o, why)
		}
	}
	evidence(calls, looks)
	for _, c := range calls {
		slices.SortStableFunc(c.changes, func(a, b *Op) int { return cmp.Compare(a.Invoked, b.Invoked) })
		if why := c.settle(h.Lost); why != "" {
			return nil, nil, why
		}
	}
	return calls, looks, ""
}

// follow adds what came after the Lock.
func (c *call) follow(o *Op) string {
	switch {
	case o.Kind == Unlock && (c == nil || c.unlock != nil):
		return "there is no such Lock, or an Unlock before"
	case o.Kind == Unlock:
		c.unlock = o
		return ""
	case c == nil || c.lock.Outcome != Granted:
		return "it was never granted"
	case o.Kind == Renew:
		c.renews = append(c.renews, o)
		return ""
	case o.Invoked < c.lock.Invoked:
		return "before its Lock"
	case o.Kind < Set && o.Mode.of() != c.of:
		return "it has another capacity than its Lock"
	case o.Kind == Upgrade && o.Mode.weight() != c.of:
		return "up is to all of the key"
	}
	c.changes = append(c.changes, o)
	return ""
}

// evidence notes for each call until when somebody was told that it had the key,
// and since when an operator may have wanted it back.
func evidence(calls []*call, looks []*Op) {
	byToken := map[uint64]*call{}
	var strays []stray
	for _, c := range calls {
		if c.lock.Outcome != Granted {
			continue
		}
		if len(looks) > 0 {
			byToken[c.lock.Token] = c
		}
		for _, r := range c.renews {
			if r.Outcome == Renewed {
				c.seen = max(c.seen, r.Invoked)
			}
		}
		for _, o := range c.changes {
			if o.Outcome == Done || o.Outcome == Conflict {
				c.seen = max(c.seen, o.Invoked)
			}
			if o.Outcome == Done && o.Kind == Upgrade {
				byToken[o.Token] = c
			}
		}
	}
	for _, o := range looks {
		switch {
		case o.Kind == Inspect && o.Outcome == Done:
			for _, h := range o.Holders {
				if c := byToken[h.Token]; c != nil && !h.Lost {
					c.seen = max(c.seen, o.Invoked)
				}
			}
		case o.Kind == Evict && o.Outcome != Refused:
			if c := byToken[o.Token]; c != nil {
				c.ousted = min(c.ousted, o.Invoked)
			} else if s := (stray{o.Invoked, o.Returned}); o.answered() {
				strays = append(strays, s)
			} else {
				strays = append(strays, stray{s.from, Forever})
			}
		}
	}
	for _, c := range calls {
		c.strays = strays
		for _, o := range c.changes {
			if o.Kind == Upgrade && !o.answered() { // perhaps it got that token
				c.ousted = min(c.ousted, c.strayed(o.Invoked, Forever))
			}
		}
	}
}

// strayed is when the call may have been told first to let go of what nobody knows
// that it held from one time to another; Forever: it was not.
func (c *call) strayed(from, to time.Duration) time.Duration {
	first := Forever
	for _, s := range c.strays {
		if s.from <= to && s.to >= from {
			first = min(first, max(from, s.from))
		}
	}
	return first
}

// settle checks a call as a whole and finds when it may end unseen.
func (c *call) settle(lost []time.Duration) string {
	o, u := c.lock, c.unlock
	switch {
	case o.Outcome == Open && u != nil && u.Outcome == NotHeld:
		o = o.as(Cancelled, u.Returned)
	case o.Outcome == Cancelled && u != nil && u.Outcome != NotHeld:
		o = o.as(Open, -1)
	}
	c.lock = o
	switch {
	case u != nil && u.Invoked < o.Invoked:
		return fmt.Sprintf("%v: before its Lock", u)
	case o.Outcome != Granted && u != nil && u.Outcome == Released:
		return fmt.Sprintf("%v: released, but never granted", u)
	case o.Outcome != Granted:
		c.ends = max(o.Invoked, o.Late)
		if u != nil {
			c.ends = min(c.ends, u.Invoked)
		} else if o.Outcome == Cancelled { // nobody says since when
			c.ends = o.Invoked
		}
		c.ends = min(c.ends, c.strayed(o.Invoked, Forever))
		return ""
	case u != nil && u.Invoked < o.Returned:
		return fmt.Sprintf("%v: granted after its Unlock", o)
	}
	c.discount()
	c.settleEnds(lost)
	return ""
}

// as is the operation with another outcome.
func (o *Op) as(out Outcome, at time.Duration) *Op {
	x := *o
	x.Outcome, x.Returned = out, at
	return &x
}

// discount leaves out what rests on nothing. From an owner that was told to evict the
// lock (K13), Missing says only that it renews it no more. And a client that has lost
// its lock, or given it back, refuses changes by itself.
func (c *call) discount() {
	over := Forever
	if c.unlock != nil {
		over = c.unlock.Invoked
	}
	for i, r := range c.renews {
		if r.Outcome == Missing && c.ousted <= r.Returned {
			c.renews[i] = r.as(Lost, r.Returned)
		}
		if c.renews[i].Outcome == Lost {
			over = min(over, r.Returned)
		}
	}
	c.changes = slices.DeleteFunc(c.changes, func(o *Op) bool { return o.Outcome == NotHeld && o.Invoked >= over })
}

// settleEnds finds when a granted call may end unseen: by expiry, or given back; and
// when its place may be open again, which for its Delay it is not if it was lost.
func (c *call) settleEnds(lost []time.Duration) {
	u := c.unlock
	lapses, back := c.lock.MayExpire, Forever
	for _, r := range c.renews {
		if r.Outcome == Renewed {
			lapses = max(lapses, r.MayExpire)
		}
	}
	for _, r := range c.renews {
		switch {
		case r.Outcome == Lost && r.Closes:
			lapses = min(lapses, r.Returned)
		case r.Outcome == Lost:
			back = min(back, r.Returned)
		}
	}
	if u != nil && (u.Outcome == Open || u.Outcome == GaveUp) {
		back = min(back, u.Invoked)
	}
	lapses, back = max(lapses, c.seen), max(back, c.seen)
	c.ends = min(lapses, back)
	if c.lock.Delay == 0 {
		c.opens = c.ends
	} else {
		c.opens = min(lapses+c.lock.Delay, back, max(lapses, c.ousted))
		if u != nil && u.Outcome == NotHeld { // it came upon a closed place
			c.opens = min(c.opens, max(lapses, u.Invoked))
		}
		for _, at := range lost {
			if at >= c.ends {
				c.opens = min(c.opens, at)
			}
		}
	}
	if u != nil && u.Outcome == Released { // by this, not unseen
		c.opens = Forever
		if c.lock.Delay == 0 {
			c.ends = Forever
		}
	}
}

// lost says that the client knew by itself that it had lost the lock: what it was
// told of it later rests on nothing.
func (c *call) lost() bool {
	return slices.ContainsFunc(c.renews, func(r *Op) bool { return r.Outcome == Lost })
}

// until is when the Unlock was called that ended the call, Forever without.
func (c *call) until() time.Duration {
	if c.unlock != nil && c.unlock.Outcome == Released {
		return c.unlock.Invoked
	}
	return Forever
}

// sure is when the call holds the key in every order.
func (c *call) sure() (from, to time.Duration) {
	return c.lock.Returned, min(c.ends, c.until())
}

// silences lists the holds that this call may have had without being told.
func (c *call) silences(n int) []silent {
	o := c.lock
	s := silent{call: n, weight: c.weight, of: c.of, from: o.Invoked, to: Forever, ends: c.ends}
	if o.Until > 0 {
		s.to = o.Until
	}
	switch {
	case o.Outcome == Refused:
		return nil
	case o.Outcome == Open:
		return []silent{s}
	case o.Outcome == Cancelled:
		s.to = o.Returned
	default: // before it found a grant too late, or let go of one, and asked again
		late := o.Late
		if o.Late == 0 || o.Returned <= o.Late {
			late = Forever
		}
		s.to, s.ends = o.Returned, min(late, c.strayed(o.Invoked, o.Returned))
		if s.ends == Forever {
			return nil
		}
	}
	if o.Delay > 0 && o.Late > 0 && o.Returned > o.Late {
		s.to = Forever // a grant that expired on its way has left a closed place
	}
	return []silent{s}
}

// waits is when the call may be in line: until it is granted or closed.
func (c *call) waits() (from, to time.Duration) {
	o := c.lock
	switch {
	case o.Kind == Try || o.Outcome == Refused:
		return 0, -1
	case o.Outcome != Open:
		return o.Invoked, o.Returned
	case o.Until > 0:
		return o.Invoked, o.Until
	}
	return o.Invoked, Forever
}
