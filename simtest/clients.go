package simtest

import (
	"fmt"
	"slices"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// What clients do. Half of the runs have plain clients, who lock and unlock; the
// others draw some habits.

// habits are what clients may do beside that, by name, for Options.Habits.
var habits = []string{"readers", "permits", "mixed", "convert", "values", "delay", "lease", "set", "look", "watch", "evict", "heir", "yield"}

// Habits are the habits of clients by name, for Options.Habits.
func Habits() []string { return slices.Clone(habits) }

// drawHabits draws which habits clients have, and what each key is used for: as a rule
// a key has one capacity.
func (s *swarm) drawHabits(only []string) {
	chance := pick(s.r, 2, 3, 4)
	s.plain = s.r.IntN(2) == 0
	s.habits = map[string]bool{}
	for _, h := range habits {
		on := s.r.IntN(chance) == 0
		s.habits[h] = on && !s.plain && (only == nil || slices.Contains(only, h))
	}
	s.uses = map[string]ownership.Mode{}
	for _, key := range s.keys {
		readers, of := s.r.IntN(3) != 0, pick(s.r, 2, 3, 5, 16)
		switch {
		case s.habits["readers"] && readers:
			s.uses[key] = ownership.Shared
		case s.habits["permits"] && (!s.habits["readers"] || !readers):
			s.uses[key] = ownership.Permits(of, of)
		}
	}
}

// mode is one that a client may ask a key with.
func (s *swarm) mode(key string) ownership.Mode {
	use, roll := s.uses[key], s.r.IntN(60)
	switch {
	case s.habits["mixed"] && roll == 0:
		return pick(s.r, ownership.Exclusive, ownership.Shared, ownership.Permits(1, 2), ownership.Permits(3, 7))
	case use == ownership.Shared && roll < 36:
		return ownership.Shared
	case use == ownership.Shared && roll < 46:
		return ownership.ForUpdate
	case use == ownership.Shared, use == ownership.Exclusive:
		return ownership.Exclusive
	case roll < 30:
		use.Weight = 1
	case roll < 55:
		use.Weight = 1 + uint32(s.r.IntN(int(use.Of)))
	}
	return use
}

// act is one thing that a client does, and the next one later.
func (s *swarm) act(n *Node) {
	if n.Crashed || s.over && !s.again {
		return
	}
	if !n.Frozen && len(s.Checker.Open()) <= 60 {
		s.call(n)
	}
	s.After(s.exp(s.pace), func() { s.act(n) })
}

func (s *swarm) call(n *Node) {
	switch roll := s.r.IntN(100); {
	case roll < 15 && s.habits["set"]:
		s.lockSet(n)
	case roll < 35 && s.habits["lease"]:
		s.lockInLease(n)
	case roll < 50 && s.habits["look"], roll < 40 && s.habits["values"]:
		s.look(n)
	case roll < 55 && s.habits["watch"]:
		s.watch(n)
	case roll < 65 && s.habits["evict"]:
		s.evict(n)
	default:
		s.lock(n, Action{Key: s.someKey(), Try: s.r.IntN(2) == 0})
	}
}

func (s *swarm) someKey() string { return s.keys[s.r.IntN(len(s.keys))] }

func (s *swarm) nextHandle() ownership.Handle {
	s.handle++
	return s.handle
}

// lock asks for a lock with what a client likes where a says nothing, and gives it up
// when it has waited long enough.
func (s *swarm) lock(n *Node, a Action) *Call {
	r, most := s.r, s.Params.MaxTTL
	a.Verb, a.Node, a.Handle, a.Mode = Lock, n.Name, s.nextHandle(), s.mode(a.Key)
	a.For = max(20*time.Millisecond, most*time.Duration(1+r.IntN(4))/4)
	a.NoRenew = r.IntN(4) == 0
	if s.habits["delay"] && r.IntN(2) == 0 {
		a.Delay = most * time.Duration(1+r.IntN(8)) / 8
	}
	switch r.IntN(200) { // to be refused (K5)
	case 0, 1:
		a.For = most + 1
	case 2:
		if s.habits["delay"] {
			a.Delay = most + 1
		}
	case 3:
		if s.habits["permits"] {
			a.Mode = ownership.Mode{Weight: 3, Of: 2}
		}
	}
	ttl := a.For
	s.Do(a)
	c := s.Checker.Call(n, a.Handle)
	if r.IntN(6) == 0 {
		s.After(s.exp(ttl), func() { s.Do(Action{Verb: Extend, Node: n.Name, Handle: c.Handle}) })
	}
	if s.sets[c.Handle] == nil {
		s.After(s.exp(s.patience), func() { s.giveUp(c) })
	}
	return c
}

// giveUp ends a call that has waited long enough.
func (s *swarm) giveUp(c *Call) {
	if c.Granted == 0 && !s.awaited[c] {
		s.end(c)
	}
}

// heard is what a client does about what it is told of a call.
func (s *swarm) heard(c *Call, e ownership.Event) {
	set := s.sets[c.Handle]
	switch e.(type) {
	case ownership.Granted:
		switch {
		case c.Unlock != 0 || s.clutches:
		case set != nil:
			s.grantedOf(set)
		case s.lets:
			// Not within the event: a client calls when it has heard.
			s.After(time.Millisecond, func() { s.end(c) })
		default:
			s.holdOn(c)
		}
	case ownership.Busy, ownership.Denied, ownership.Invalid, ownership.Lost:
		if set != nil {
			s.After(time.Millisecond, func() { s.endSet(set) })
		}
	case ownership.Altered:
		if s.lets {
			s.After(time.Millisecond, func() { s.end(c) })
		}
	case ownership.Pending:
		if c.Lease != nil && len(c.Ghosts) > 0 && !s.lets && s.r.IntN(2) == 0 { // it has taken too long
			s.After(1, func() { s.end(c.Lease) })
		}
	case ownership.Contended:
		if s.habits["yield"] && !s.clutches && set == nil && s.r.IntN(2) == 0 {
			s.After(s.exp(s.pace/4)+1, func() { s.end(c) })
		}
	}
}

// holdOn is what a client does that was granted a lock: it lets go after a while,
// at times twice, at times after its lease should be over.
func (s *swarm) holdOn(c *Call) {
	hold := s.exp(s.grip)
	if len(c.fellows) > 0 || c.Key == anchorKey(c.Handle) {
		hold = s.exp(4 * max(s.grip, s.pace))
	}
	switch s.r.IntN(24) {
	case 0:
		hold = c.TTL + s.exp(c.TTL/4)
	case 1:
		hold = 3 * c.TTL
	case 2:
		s.After(hold+s.exp(s.pace), func() { s.Do(Action{Verb: Unlock, Node: c.Node.Name, Handle: c.Handle}) })
	}
	s.useLock(c, hold)
	s.After(hold, func() { s.end(c) })
}

// useLock changes what is held, now and then, for so long.
func (s *swarm) useLock(c *Call, hold time.Duration) {
	if !s.habits["values"] && !s.habits["convert"] {
		return
	}
	for range s.r.IntN(pick(s.r, 4, 4, 4, 12)) {
		s.After(time.Duration(s.r.Float64()*float64(hold)), func() { s.change(c) })
	}
}

func (s *swarm) change(c *Call) {
	if c.Granted == 0 || c.Ended != 0 || c.Unlock != 0 || c.Node.Crashed || c.Node.Frozen {
		return
	}
	a := Action{Verb: Change, Node: c.Node.Name, Handle: c.Handle, Op: 1}
	if n := len(c.Changes); n > 0 {
		a.Op = c.Changes[n-1].Op + 1
	}
	_, of := weightOf(c.Mode)
	writes, roll := s.habits["values"] && (whole(c.Mode) || s.r.IntN(10) == 0), s.r.IntN(10)
	switch {
	case writes && (roll < 5 || !s.habits["convert"]):
		if a.What, a.Value = ownership.AlterValue, fmt.Sprintf("%s.%d.%d", c.Node.Name, c.Handle, a.Op); s.r.IntN(5) == 0 {
			a.What, a.Value = ownership.AlterNoValue, ""
		}
	case !s.habits["convert"] || of != ownership.Whole:
		return
	case whole(c.Mode):
		a.What, a.Mode = ownership.AlterMode, pick(s.r, ownership.Shared, ownership.ForUpdate)
	case c.Mode == ownership.ForUpdate && roll < 3:
		a.What, a.Mode = ownership.AlterMode, ownership.Shared
	default:
		a.What, a.Mode = ownership.AlterMode, ownership.Exclusive
	}
	s.Do(a)
	if i := len(c.Changes) - 1; s.r.IntN(2) == 0 && i >= 0 && !c.Changes[i].isDown() {
		done := c.Changes[i]
		s.After(s.exp(s.patience), func() {
			if done.waits() && !c.Node.Crashed && !c.Node.Frozen && !s.lets {
				s.Do(Action{Verb: Unchange, Node: c.Node.Name, Handle: c.Handle, Op: done.Op})
			}
		})
	}
}

// end closes a call, when its node can; who waits for an answer to a change, or for the
// rest of a set, does so first if all that is held is to be let go.
func (s *swarm) end(c *Call) {
	switch set := s.sets[c.Handle]; {
	case c.Node.Crashed || c.Ended != 0 || c.Unlock != 0:
	case s.lets && (c.changing() || set != nil && !set.fails && !set.whole()):
	case c.Node.Frozen, c.changing() && s.r.IntN(4) != 0:
		s.After(s.exp(s.pace), func() { s.end(c) })
	default:
		s.Do(Action{Verb: Unlock, Node: c.Node.Name, Handle: c.Handle, Heir: s.heirOf(c)})
	}
}

// heirOf is whom a client names when it lets go: somebody who waits, or anybody.
func (s *swarm) heirOf(c *Call) string {
	if !s.habits["heir"] || s.r.IntN(2) == 0 {
		return ""
	}
	if s.r.IntN(4) == 0 {
		return s.Nodes[s.r.IntN(len(s.Nodes))].Name
	}
	var waits []string
	for _, o := range s.Checker.open {
		if o != c && o.Key == c.Key && o.Queued != 0 && o.Granted == 0 {
			waits = append(waits, o.Node.Name)
		}
	}
	if len(waits) == 0 {
		return ""
	}
	return waits[s.r.IntN(len(waits))]
}

// look asks what is known of a key, or of a page of them.
func (s *swarm) look(n *Node) {
	a := Action{Verb: Look, Node: n.Name, Handle: s.nextHandle(), Key: s.someKey()}
	if s.r.IntN(4) == 0 {
		a.Page, a.N = true, s.r.IntN(s.Params.Partitions)
		a.Key = pick(s.r, "", a.Key)
	}
	s.Do(a)
	if s.r.IntN(8) == 0 {
		s.After(s.exp(s.patience), func() { s.Do(Action{Verb: Unlook, Node: n.Name, Handle: a.Handle}) })
	}
}

// watch watches a key, for a while or till the end of the run.
func (s *swarm) watch(n *Node) {
	if len(s.Checker.Looking()) > 12 {
		return
	}
	a := Action{Verb: Look, Node: n.Name, Handle: s.nextHandle(), Key: s.someKey(), Watch: true}
	s.Do(a)
	if s.r.IntN(2) == 0 {
		s.After(s.exp(20*s.pace), func() { s.Do(Action{Verb: Unlook, Node: n.Name, Handle: a.Handle}) })
	}
}

// evict is an operator who takes a lock from whoever has it, or had it.
func (s *swarm) evict(n *Node) {
	key := s.someKey()
	k := s.Checker.keys[key]
	if k == nil {
		return
	}
	if s.r.IntN(4) == 0 {
		s.evictUnheard(n, key)
		return
	}
	of, old := k.believers, s.r.IntN(5) == 0
	if old || len(of) == 0 {
		of = k.calls
	}
	if len(of) == 0 {
		return
	}
	s.evictFrom(n, of[s.r.IntN(len(of))])
}

func (s *swarm) evictFrom(n *Node, c *Call) {
	a := Action{Verb: Evict, Node: n.Name, Other: c.Node.Name, Whose: c.Handle, Handle: s.nextHandle()}
	if s.r.IntN(8) == 0 {
		a.N = 1
	}
	s.Do(a)
	if s.r.IntN(6) == 0 {
		s.After(s.exp(s.patience), func() { s.Do(Action{Verb: Unlock, Node: n.Name, Handle: a.Handle}) })
	}
}

// evictUnheard takes a lock from somebody who does not hear of it: of its grant, of what
// it changes, of its end. So it goes on to ask, and its owner has answered. Whether it
// does not hear is up to chance, but for the class lose.
func (s *swarm) evictUnheard(n *Node, key string) {
	ch := s.Checker
	m := s.target()
	if of := ch.key(key).believers; len(of) > 0 && s.r.IntN(2) == 0 {
		m = of[s.r.IntN(len(of))].Node
	}
	if ch.chain == nil || m == nil || m.Crashed || m.Frozen || s.lets {
		return
	}
	own := s.ByID(ch.chain.Groups[partitionOf(key, s.Params)].Owner())
	if own != nil && own != m && s.on("lose") && !s.over {
		s.Do(Action{Verb: Lose, Node: own.Name, Other: m.Name, Kinds: KindSet(ownership.KindAnswer, ownership.KindNotice)})
		s.later(min(s.while(), s.Params.MaxTTL), Action{Verb: Lose, Node: own.Name, Other: m.Name})
	}
	of := slices.IndexFunc(ch.key(key).believers, func(c *Call) bool { return c.Node == m && ch.believes(c) })
	var c *Call
	if of >= 0 {
		c = ch.key(key).believers[of]
		s.change(c)
	} else {
		c = s.lock(m, Action{Key: key})
	}
	way := 4 * (s.Net.MinDelay + s.Net.MeanDelay)
	s.After(way+s.exp(way), func() {
		if !n.Crashed && !n.Frozen && !s.lets {
			s.Do(Action{Verb: Look, Node: n.Name, Handle: s.nextHandle(), Key: key})
		}
	})
	s.After(2*way+s.exp(2*way), func() {
		if !n.Crashed && !n.Frozen && !s.lets {
			s.evictFrom(n, c)
		}
	})
}
