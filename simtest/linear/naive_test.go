package linear

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// naive decides a small history with a model that has nothing clever: every end
// and every silent hold is an operation of its own that may or may not happen, no
// time in the state, nothing left out. Two ways to the same verdict.
func naive(h History) bool {
	calls, _, why := gather(h)
	if why != "" {
		return false
	}
	type in struct {
		kind string
		call int
		out  uint64
		n    uint // of the silent hold
	}
	type st struct {
		token  uint64
		holder int
		over   uint64 // which silent holds have ended: they do not begin again
	}
	const free = -1
	var ops []porcupine.Operation
	add := func(i in, from, to time.Duration) {
		ops = append(ops, porcupine.Operation{Input: i, Call: int64(from), Return: int64(to)})
	}
	silents := uint(0)
	var by []int // whose silent hold it is: a call is not busy for itself
	for n, c := range calls {
		o := c.lock
		switch o.Outcome {
		case Granted:
			add(in{kind: "grant", call: n, out: o.Token}, o.Invoked, o.Returned)
			add(in{kind: "end", call: n}, c.ends, Forever)
		case Busy:
			add(in{kind: "busy", call: n}, o.Invoked, o.Returned)
		}
		for _, g := range c.silences(n) {
			add(in{kind: "hold", call: n, n: silents}, g.from, g.to)
			add(in{kind: "over", call: n, n: silents}, max(g.from, min(g.ends, g.to)), g.to)
			silents++
			by = append(by, n)
		}
		for _, r := range c.renews {
			switch r.Outcome {
			case Renewed:
				add(in{kind: "confirm", call: n}, r.Invoked, r.Returned)
			case Missing:
				add(in{kind: "absent", call: n}, r.Invoked, r.Returned)
			}
		}
		if u := c.unlock; u != nil && o.Outcome == Granted {
			switch {
			case u.Outcome == Released:
				add(in{kind: "release", call: n}, u.Invoked, u.Returned)
			case u.Outcome == NotHeld && !c.lost():
				add(in{kind: "absent", call: n}, u.Invoked, u.Returned)
			}
		}
	}
	model := porcupine.NondeterministicModel{
		Init:  func() []any { return []any{st{holder: free}} },
		Equal: func(a, b any) bool { return a == b },
		Step: func(state, input, _ any) []any {
			s, i := state.(st), input.(in)
			ghost := -2 - int(i.n)
			switch i.kind {
			case "grant":
				if s.holder == free && i.out > s.token {
					return []any{st{i.out, i.call, s.over}}
				}
				return nil
			case "busy":
				if s.holder == free || s.holder < free && by[-2-s.holder] == i.call {
					return nil
				}
				return []any{s}
			case "release":
				if s.holder == i.call {
					return []any{st{s.token, free, s.over}}
				}
				return nil
			case "confirm":
				if s.holder == i.call {
					return []any{s}
				}
				return nil
			case "absent":
				if s.holder == i.call || s.token < calls[i.call].lock.Token {
					return nil
				}
				return []any{s}
			case "end":
				if s.holder == i.call {
					return []any{st{s.token, free, s.over}, s}
				}
				return []any{s}
			case "hold":
				if s.holder == free && s.over&(1<<i.n) == 0 {
					return []any{s, st{s.token, ghost, s.over}}
				}
				return []any{s}
			}
			over := st{s.token, s.holder, s.over | 1<<i.n}
			if s.holder == ghost {
				over.holder = free
			}
			return []any{over}
		},
	}
	return porcupine.CheckOperations(model.ToModel(), ops)
}

// small makes up a history of a few calls, most of which are nonsense.
func small(r *rand.Rand, silent bool) History {
	at := func(least, span int) time.Duration { return time.Duration(least+r.IntN(span)) * s }
	var h History
	now, token := 0, uint64(0)
	for n := range 2 + r.IntN(4) {
		now += r.IntN(4)
		o := Op{Call: n, Client: n, Kind: Lock, Invoked: time.Duration(now) * s, Returned: -1}
		o.Returned = o.Invoked + at(0, 8)
		if silent {
			o.Late = o.Invoked + at(1, 6)
		}
		switch k := r.IntN(10); {
		case k < 5:
			token += 1 + r.Uint64N(2)
			o.Outcome, o.Token, o.MayExpire = Granted, token, o.Returned+at(1, 5)
			if r.IntN(12) == 0 {
				o.Token = 1 + r.Uint64N(6)
			}
		case k < 8:
			o.Outcome, o.Kind = Busy, Try
		case silent:
			o.Outcome, o.Returned = Open, -1
		default:
			continue
		}
		h.Ops = append(h.Ops, o)
		end := o.Returned + at(0, 3)
		if o.Outcome == Granted && r.IntN(4) == 0 {
			x := Op{Call: n, Client: n, Kind: Renew, Invoked: end, Returned: end + at(0, 3), Outcome: []Outcome{Renewed, Renewed, Lost, Missing}[r.IntN(4)]}
			x.MayExpire = x.Invoked + at(2, 4)
			h.Ops = append(h.Ops, x)
			end = x.Returned
		}
		if r.IntN(4) > 0 && (o.Outcome == Granted || o.Outcome == Open) {
			u := Op{Call: n, Client: n, Kind: Unlock, Invoked: max(end, o.Invoked) + at(0, 3), Outcome: []Outcome{Released, Released, NotHeld, GaveUp}[r.IntN(4)]}
			if o.Outcome == Open {
				u.Outcome = NotHeld
			}
			u.Returned = u.Invoked + at(0, 5)
			h.Ops = append(h.Ops, u)
		}
	}
	return h
}

// TestAgainstNaive: without silent holds the verdicts are the same; with them
// Check is at most laxer, and how often is told.
func TestAgainstNaive(t *testing.T) {
	for _, silent := range []bool{false, true} {
		good, bad, laxer := 0, 0, 0
		for seed := range uint64(4000) {
			h := small(rand.New(rand.NewPCG(seed, 2)), silent)
			v, why := Check(h, 0)
			switch n := naive(h); {
			case n && v == Ok:
				good++
			case !n && v == Illegal:
				bad++
			case n || !silent:
				t.Fatalf("silent %v, seed %d: naive says %v, Check %v\n%s\n%v", silent, seed, n, v, why, h.Ops)
			default:
				laxer++
			}
		}
		t.Logf("silent holds %v: %d right, %d wrong, %d wrong found by the naive model alone", silent, good, bad, laxer)
		if good < 300 || bad < 300 {
			t.Errorf("silent holds %v: %d right, %d wrong: the histories say little", silent, good, bad)
		}
	}
}
