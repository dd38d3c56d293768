package linear

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// This file decides a small history with a model that has nothing clever: every end,
// every hold that nobody was told of, every wait and every write that was not
// answered is an operation of its own, that may come at any time or never; no time
// in the state, nothing left out, nothing narrowed. Two ways to the same verdict.

const most = 6 // calls of a small history

// naiveHold is a call at the owner.
type naiveHold struct {
	on         bool
	lost       bool
	weight, of uint32
	before     uint32 // its weight before an Upgrade that nobody answered
	token      uint64 // 0: one that nobody was told
	line       bool   // it waits; a holder: to go up
	away       bool   // it waits no more
}

type naiveState struct {
	last   uint64
	told   [most]naiveHold
	ghosts [most]naiveHold // by call, too
	next   [most]int       // the change of a call with this number, or a higher one, may come
	shown  [most]int       // how many of the answers to a watch
	value  Value
}

type naiveOp struct {
	kind   string
	call   int
	op     *Op
	number int // of a change, or of an answer to a watch
	tokens []uint64
}

func (s *naiveState) taken(but *naiveHold) (sum uint64, of uint32, n int) {
	for _, list := range [][]naiveHold{s.told[:], s.ghosts[:]} {
		for i := range list {
			if h := &list[i]; h.on && h != but {
				sum, of, n = sum+uint64(h.weight), h.of, n+1
			}
		}
	}
	return sum, of, n
}

func (s *naiveState) fits(weight, of uint32, but *naiveHold) bool {
	sum, has, n := s.taken(but)
	return n == 0 || has == of && sum+uint64(weight) <= uint64(of)
}

// blocked says that somebody in line does not fit.
func (s naiveState) blocked(calls []*call, but int) bool {
	if g := s.own(calls, but); g != nil {
		g.on = false
	}
	for n := range calls {
		h := &s.told[n]
		switch {
		case n == but || !h.line:
		case !h.on && calls[n].of == calls[but].of && !s.fits(calls[n].weight, calls[n].of, s.own(calls, n)):
			return true
		case h.on && !h.lost && !s.fits(h.of, h.of, h):
			return true
		}
	}
	return false
}

// own is the hold of a call that it does not stand before itself; with a Delay it can.
func (s *naiveState) own(calls []*call, n int) *naiveHold {
	if calls[n].lock.Delay > 0 {
		return nil
	}
	return &s.ghosts[n]
}

// step returns all that can come of an operation.
func (i naiveOp) step(s naiveState, calls []*call, stale []Value) []naiveState {
	one := []naiveState{s}
	var h, g *naiveHold
	if i.call >= 0 {
		h, g = &s.told[i.call], &s.ghosts[i.call]
	}
	ok := func(yes bool) []naiveState {
		if !yes {
			return nil
		}
		return []naiveState{s}
	}
	switch i.kind {
	case "grant":
		c := calls[i.call]
		if !s.fits(c.weight, c.of, nil) || i.op.Token <= s.last {
			return nil
		}
		s.last = i.op.Token
		*h = naiveHold{on: true, weight: c.weight, of: c.of, token: i.op.Token}
	case "busy":
		c := calls[i.call]
		_, of, n := s.taken(s.own(calls, i.call))
		return ok(n > 0 && of == c.of && (!s.fits(c.weight, c.of, s.own(calls, i.call)) || s.blocked(calls, i.call)))
	case "capacity":
		_, of, n := s.taken(s.own(calls, i.call))
		return ok(n > 0 && of != calls[i.call].of)
	case "line":
		h.line = !h.on && !h.away && (i.op.Outcome != Granted || s.last < i.op.Token)
		return append(one, s)
	case "away":
		if !h.on {
			h.line, h.away = false, true
		}
	case "release":
		if !h.on {
			return nil
		}
		*h = naiveHold{}
	case "confirm":
		return ok(h.on && !h.lost)
	case "absent":
		return ok((!h.on || h.lost) && s.last >= calls[i.call].lock.Token)
	case "expire":
		if h.on && calls[i.call].lock.Delay > 0 {
			h.lost, h.line = true, false
		} else if h.on {
			*h = naiveHold{}
		}
	case "back":
		*h = naiveHold{}
	case "open":
		if h.lost {
			*h = naiveHold{}
		}
	case "hold":
		if !g.on && s.fits(calls[i.call].weight, calls[i.call].of, nil) && !g.lost {
			*g = naiveHold{on: true, weight: calls[i.call].weight, of: calls[i.call].of}
			return append(one, s)
		}
	case "over":
		*g = naiveHold{lost: true} // it does not begin again
	case "watch":
		w := -1 - i.op.Call
		if s.shown[w]++; s.shown[w] != i.number {
			return nil
		}
		return ok(s.value == i.op.Value && s.shows(i))
	case "look":
		return ok(s.value == i.op.Value && (i.op.Kind == Read || s.shows(i)))
	case "evicted":
		return ok(h.on && h.token == i.op.Token)
	case "gone":
		return ok((!h.on || h.lost || h.token != i.op.Token) && (i.op.Outcome != Done || s.last >= i.op.Token))
	case "stranger":
		for n := range calls {
			if s.ghosts[n].on || s.told[n].on && s.told[n].token == 0 && calls[n].lock.Token < i.op.Token {
				return one
			}
		}
		return nil
	case "forget":
		for n := range s.told {
			if s.told[n].on && !s.told[n].lost || s.ghosts[n].on {
				return nil
			}
			if s.told[n].on {
				s.told[n] = naiveHold{}
			}
		}
		s.value = Value{}
		all := []naiveState{s}
		for _, v := range stale {
			s.value = v
			all = append(all, s)
		}
		return all
	default:
		return i.change(s, calls)
	}
	return []naiveState{s}
}

// shows compares an Inspect.
func (s *naiveState) shows(i naiveOp) bool {
	list := slices.Clone(i.op.Holders)
	var strange []naiveHold
	for n := range s.told {
		h := &s.told[n]
		k := slices.IndexFunc(list, func(x Holder) bool { return x.Token == h.token })
		switch {
		case h.on && h.token == 0:
			strange = append(strange, *h)
		case h.on && k < 0:
			return false
		case h.on && (list[k].Lost != h.lost || !h.lost && (list[k].Mode.weight() != h.weight || list[k].Mode.of() != h.of)):
			return false
		case h.on:
			list = slices.Delete(list, k, k+1)
		}
		if s.ghosts[n].on {
			strange = append(strange, s.ghosts[n])
		}
	}
	for _, x := range list {
		if slices.Contains(i.tokens, x.Token) {
			return false
		}
		for _, t := range i.tokens {
			if t < x.Token && t > s.last {
				return false
			}
		}
		k := slices.IndexFunc(strange, func(h naiveHold) bool { return h.weight == x.Mode.weight() && h.of == x.Mode.of() })
		if k < 0 {
			return false
		}
		strange = slices.Delete(strange, k, k+1)
	}
	return len(strange) == 0
}

// change is an Upgrade to Delete.
func (i naiveOp) change(s naiveState, calls []*call) []naiveState {
	one := []naiveState{s}
	h, o := &s.told[i.call], i.op
	if i.kind == "back down" { // an Upgrade that was given up is taken back
		if h.on && s.next[i.call] == i.number+1 && h.before > 0 {
			h.weight, h.before = h.before, 0
		}
		return []naiveState{s}
	}
	holds := h.on && !h.lost
	if !o.answered() && (!holds || s.next[i.call] > i.number) {
		return one
	}
	if o.answered() && s.next[i.call] > i.number {
		return nil
	}
	s.next[i.call] = i.number + 1
	if o.Kind != Upgrade || o.answered() {
		h.line = false
	}
	switch {
	case o.Outcome == NotHeld && holds && calls[i.call].ousted <= o.Returned:
	case o.Outcome == NotHeld && o.Kind >= Set:
		if holds && h.weight == h.of || !h.on && s.last < calls[i.call].lock.Token {
			return nil
		}
	case o.Outcome == NotHeld:
		if holds || s.last < calls[i.call].lock.Token {
			return nil
		}
	case !holds:
		return nil
	case o.Outcome == Conflict:
		for n := range s.told {
			for _, x := range []*naiveHold{&s.told[n], &s.ghosts[n]} {
				if x != h && x.on && !x.lost && (x.weight > x.of/2 || x.line) {
					return []naiveState{s}
				}
			}
		}
		return nil
	case o.Kind == Upgrade && !o.answered():
		if !s.fits(h.of, h.of, h) {
			return one
		}
		h.before, h.weight, h.token, h.line = h.weight, h.of, 0, false
	case o.Kind == Upgrade:
		if !s.fits(h.of, h.of, h) || o.Token <= s.last {
			return nil
		}
		s.last, h.weight, h.token, h.before = o.Token, h.of, o.Token, 0
	case o.Kind == Downgrade:
		if o.answered() && o.Mode.weight() > h.weight {
			return nil
		}
		h.weight, h.before = min(h.weight, o.Mode.weight()), 0
	case h.weight < h.of:
		if o.answered() {
			return nil
		}
	case o.Kind == Set:
		s.value = Value{Data: o.Value.Data, Token: h.token}
	default:
		s.value = Value{}
	}
	return []naiveState{s}
}

// naiveOps are all operations of a history.
func naiveOps(h History, calls []*call, looks []*Op) (ops []porcupine.Operation) {
	var tokens []uint64
	for _, o := range h.Ops {
		if o.Outcome == Granted || o.Kind == Upgrade && o.Outcome == Done {
			tokens = append(tokens, o.Token)
		}
	}
	add := func(kind string, call int, o *Op, number int, from, to time.Duration) {
		ops = append(ops, porcupine.Operation{Input: naiveOp{kind, call, o, number, tokens}, Call: int64(from), Return: int64(to)})
	}
	tries := slices.ContainsFunc(h.Ops, func(o Op) bool { return o.Outcome == Busy || o.Outcome == Conflict }) &&
		slices.ContainsFunc(h.Ops, func(o Op) bool { return o.Mode != Exclusive }) // else nobody in line makes a difference
	for n, c := range calls {
		o := c.lock
		switch o.Outcome {
		case Granted:
			add("grant", n, o, 0, o.Invoked, o.Returned)
			naiveEnds(c, func(kind string, from time.Duration) { add(kind, n, o, 0, from, Forever) })
		case Busy:
			add("busy", n, o, 0, o.Invoked, o.Returned)
		case Capacity:
			add("capacity", n, o, 0, o.Invoked, o.Returned)
		}
		if from, to := c.waits(); tries && from <= to {
			add("line", n, o, 0, from, to)
			add("away", n, o, 0, from, to)
		}
		for _, g := range c.silences(n) {
			add("hold", n, o, 0, g.from, g.to)
			add("over", n, o, 0, max(g.from, min(g.ends, g.to)), g.to)
		}
		for _, r := range c.renews {
			switch r.Outcome {
			case Renewed:
				add("confirm", n, r, 0, r.Invoked, r.Returned)
			case Missing:
				add("absent", n, r, 0, r.Invoked, r.Returned)
			}
		}
		for number, x := range c.changes {
			to := x.Returned
			if !x.answered() {
				to = Forever
			}
			if x.Outcome == Refused {
				continue
			}
			add("change", n, x, number, x.Invoked, to)
			if x.Kind == Upgrade && !x.answered() {
				add("back down", n, x, number, x.Invoked, to)
			}
			if x.Kind == Upgrade && tries {
				add("rise", n, x, number, x.Invoked, to)
			}
		}
		if u := c.unlock; u != nil && o.Outcome == Granted {
			switch {
			case u.Outcome == Released:
				add("release", n, u, 0, u.Invoked, u.Returned)
			case u.Outcome == NotHeld && !c.lost():
				add("absent", n, u, 0, u.Invoked, u.Returned)
			}
		}
	}
	naiveLooks(calls, looks, add)
	for _, at := range h.Lost {
		add("forget", -1, nil, 0, at, at)
	}
	return ops
}

// naiveLooks are those of no call.
func naiveLooks(calls []*call, looks []*Op, add func(kind string, call int, o *Op, number int, from, to time.Duration)) {
	for _, o := range looks {
		if !o.answered() {
			continue
		}
		if o.Kind == Inspect && o.Call < 0 {
			add("watch", -1, o, naiveNumber(looks, o), o.Invoked, o.Returned)
			continue
		}
		if o.Kind != Evict {
			add("look", -1, o, 0, o.Invoked, o.Returned)
			continue
		}
		n := slices.IndexFunc(calls, func(c *call) bool {
			return c.lock.Outcome == Granted && (c.lock.Token == o.Token || slices.ContainsFunc(c.changes, func(x *Op) bool { return x.Kind == Upgrade && x.Outcome == Done && x.Token == o.Token }))
		})
		if n >= 0 && o.Outcome == Done {
			add("evicted", n, o, 0, o.Invoked, o.Returned)
		}
		if n >= 0 {
			add("gone", n, o, 0, o.Invoked, o.Returned)
		} else if o.Outcome == Done {
			add("stranger", -1, o, 0, o.Invoked, o.Returned)
		}
	}
}

// naiveNumber is which answer to its watch a look is.
func naiveNumber(looks []*Op, o *Op) int {
	n, passed := 1, false
	for _, x := range looks {
		passed = passed || x == o
		if x.Kind == Inspect && x.Outcome == Done && x.Call == o.Call && (x.Returned < o.Returned || x.Returned == o.Returned && !passed) {
			n++
		}
	}
	return n
}

// naiveEnds are the ways in which a grant ends unseen.
func naiveEnds(c *call, add func(kind string, from time.Duration)) {
	expires := c.lock.MayExpire
	for _, r := range c.renews {
		switch r.Outcome {
		case Renewed:
			expires = max(expires, r.MayExpire)
		}
	}
	for _, r := range c.renews {
		switch {
		case r.Outcome == Lost && r.Closes:
			expires = min(expires, r.Returned)
		case r.Outcome == Lost:
			add("back", r.Returned)
		}
	}
	add("expire", expires)
	u := c.unlock
	if u != nil && (u.Outcome == Open || u.Outcome == GaveUp) {
		add("back", u.Invoked)
	}
	if c.lock.Delay > 0 {
		add("open", max(expires, c.seen)+c.lock.Delay)
		if c.ousted < Forever {
			add("open", c.ousted)
		}
		if u != nil && u.Outcome == NotHeld {
			add("open", u.Invoked)
		}
	}
}

func naive(h History) porcupine.CheckResult {
	calls, looks, why := gather(h)
	if why != "" {
		return porcupine.Illegal
	}
	var stale []Value
	for _, o := range looks {
		if v := o.Value; v.Stale && o.Kind != Evict && !slices.Contains(stale, v) {
			written := slices.ContainsFunc(h.Ops, func(w Op) bool {
				of := w.Token == v.Token || slices.ContainsFunc(h.Ops, func(l Op) bool { return l.Call == w.Call && l.Token == v.Token })
				return of && w.Kind == Set && w.Value.Data == v.Data && w.Outcome != NotHeld && w.Outcome != Refused && w.Invoked <= o.Returned
			})
			if written {
				stale = append(stale, v)
			}
		}
	}
	model := porcupine.NondeterministicModel{
		Init:  func() []any { return []any{naiveState{}} },
		Equal: func(a, b any) bool { return a == b },
		Step: func(state, input, _ any) []any {
			i := input.(naiveOp)
			if i.kind == "rise" {
				s := state.(naiveState)
				if h := &s.told[i.call]; h.on && !h.lost && s.next[i.call] <= i.number {
					h.line = true
					s.next[i.call] = i.number
					return []any{state, s}
				}
				return []any{state}
			}
			var all []any
			for _, s := range i.step(state.(naiveState), calls, stale) {
				all = append(all, s)
			}
			return all
		},
	}
	return porcupine.CheckOperationsTimeout(model.ToModel(), naiveOps(h, calls, looks), 30*time.Millisecond)
}

// TestAgainstNaive: whatever the naive model can explain, Check accepts. Without
// silent holds the verdicts are the same; with them, and in the rarest corners of
// modes, Check is at most laxer, and how often is told.
func TestAgainstNaive(t *testing.T) {
	if !thorough {
		t.Skip("without the race detector")
	}
	made := func(silent bool, modes []Mode) func(seed uint64) History {
		return func(seed uint64) History { return small(rand.New(rand.NewPCG(seed, 2)), silent, modes) }
	}
	for _, tt := range []struct {
		name     string
		seeds    uint64
		maxLaxer int // of a thousand
		history  func(seed uint64) History
	}{
		{"exclusive", 600, 0, made(false, nil)},
		{"exclusive, silent", 500, 2, made(true, nil)},
		{"readers", 400, 3, made(false, readers)},
		{"readers, silent", 120, 15, made(true, readers)},
		{"semaphore", 400, 3, made(false, semaphore)},
		{"semaphore, silent", 120, 15, made(true, semaphore)},
		{"mixed", 400, 3, made(false, mixed)},
		{"mixed, silent", 120, 15, made(true, mixed)},
		{"readers, bent", 600, 3, func(seed uint64) History { return bent(seed, readers) }},
		{"semaphore, bent", 600, 3, func(seed uint64) History { return bent(seed, semaphore) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			good, bad, laxer, long := 0, 0, 0, 0
			verdicts := map[Verdict]int{}
			for seed := range tt.seeds {
				h := tt.history(seed)
				v, why := Check(h, 0)
				verdicts[v]++
				switch n := naive(h); {
				case n == porcupine.Unknown:
					long++
				case n == porcupine.Ok && v == Ok:
					good++
				case n != porcupine.Ok && v == Illegal:
					bad++
				case n == porcupine.Ok:
					for _, o := range h.Ops {
						t.Log(o, "expires", o.MayExpire, "late", o.Late, "delay", o.Delay)
					}
					t.Fatalf("seed %d: naive says %v, Check %v\n%s\n%v", seed, n, v, why, h.Lost)
				default:
					laxer++
				}
			}
			t.Logf("%d right, %d wrong, %d wrong found by the naive model alone, %d too long for it", good, bad, laxer, long)
			if verdicts[Ok] < 10 || verdicts[Illegal] < 10 {
				t.Errorf("%v: the histories say little", verdicts)
			}
			if uint64(laxer*1000) > uint64(tt.maxLaxer)*tt.seeds {
				t.Errorf("%d of %d are accepted and wrong", laxer, tt.seeds)
			}
		})
	}
}
