package simtest

import (
	"slices"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// Shrink cuts a failing trace down to one that fails in the same check and has
// nothing in it that could be left out: delta debugging (Zeller, Hildebrandt 2002),
// from the coarse to the fine: fates of messages, fault classes, nodes, calls,
// single actions, and at last what is special about calls and clocks.
func Shrink(t *Trace, opt ShrinkOptions) *Trace {
	sh := &shrinker{ShrinkOptions: opt, best: t, left: opt.Runs}
	if !sh.fails(t) {
		return t // it does not fail when it is played from its actions
	}
	for before := -1; before != sh.best.Len() && sh.left > 0; {
		before = sh.best.Len()
		sh.cutEnd()
		sh.ordinary()
		sh.dropVerbs()
		sh.dropNodes()
		sh.dropUnits()
		sh.dropFates()
	}
	sh.plainCalls()
	sh.plainClocks()
	sh.cutEnd()
	return sh.best
}

// ShrinkOptions say how a trace is cut down.
type ShrinkOptions struct {
	Runs     int                   // it is played at most so often
	Watch    func(*Stage)          // as in Replay
	Progress func(left, steps int) // told of each step: runs that are left, what is left of the trace
}

type shrinker struct {
	ShrinkOptions
	best *Trace
	left int
	end  time.Duration // when the last trace that failed did so
	form string        // of the failure
}

// fails plays a trace and says whether it fails as the first one did.
func (sh *shrinker) fails(t *Trace) bool {
	if sh.left--; sh.left < 0 {
		return false
	}
	r := Replay(t, sh.Watch)
	if len(r.Failures) == 0 || r.Failures[0].Check != t.Check {
		return false
	}
	if f := r.Failures[0]; sh.form == "" {
		sh.form = f.form
	} else if f.form != sh.form {
		return false // of the same check, and another failure
	}
	sh.end = r.Failures[0].At
	t.Comment = []string{r.Failures[0].String()}
	return true
}

// try keeps a smaller trace if it fails too.
func (sh *shrinker) try(actions []Action, fates []SentFate) bool {
	t := *sh.best
	t.Actions, t.Fates = actions, fates
	if !sh.fails(&t) {
		return false
	}
	sh.best = &t
	if sh.Progress != nil {
		sh.Progress(sh.left, t.Len())
	}
	return true
}

// cutEnd drops what comes after the failure.
func (sh *shrinker) cutEnd() {
	t := *sh.best
	t.End = min(t.End, sh.end)
	t.Actions = slices.DeleteFunc(slices.Clone(t.Actions), func(a Action) bool { return a.At > t.End })
	t.Fates = slices.DeleteFunc(slices.Clone(t.Fates), func(f SentFate) bool { return f.At > t.End })
	if sh.fails(&t) {
		sh.best = &t
	}
}

// ordinary drops whole kinds of fates: all, all small delays, all delays, all
// duplicates, all losses.
func (sh *shrinker) ordinary() {
	plain := func(keep func(f SentFate) bool) bool {
		var fates []SentFate
		for _, f := range sh.best.Fates {
			if keep(f) {
				fates = append(fates, f)
			}
		}
		return len(fates) == len(sh.best.Fates) || sh.try(sh.best.Actions, fates)
	}
	if plain(func(SentFate) bool { return false }) {
		return
	}
	plain(func(f SentFate) bool { return f.Lost || f.Copy != 0 })
	for _, small := range []time.Duration{100 * time.Millisecond, 10 * time.Millisecond, time.Millisecond} {
		plain(func(f SentFate) bool { return f.Lost || f.Copy != 0 || f.Delay > small })
	}
	plain(func(f SentFate) bool { return f.Lost })
	plain(func(f SentFate) bool { return !f.Lost })
}

// verbs are classes of faults, each dropped as a whole at first.
var verbs = [][]Verb{{Cut, Mend, MendAll}, {Clog, Unclog}, {Lose}, {Pause, Resume}, {LieDead, Truth}, {Deafen, Listen}, {Site}, {Slow}, {Clock}, {LeaveNow},
	{Extend}, {Look, Unlook}, {Evict}, {Change, Unchange}, {Crash}, {Heal, Rest, Rejoined, Outside}}

func (sh *shrinker) dropVerbs() {
	for _, vs := range verbs {
		sh.without(func(a Action) bool { return slices.Contains(vs, a.Verb) })
	}
}

func (sh *shrinker) without(drop func(Action) bool) bool {
	actions := slices.DeleteFunc(slices.Clone(sh.best.Actions), drop)
	return len(actions) < len(sh.best.Actions) && sh.try(actions, sh.best.Fates)
}

func (sh *shrinker) dropNodes() {
	var names []string
	for _, a := range sh.best.Actions {
		if a.Verb == Start {
			names = append(names, a.Node)
		}
	}
	for _, name := range slices.Backward(names) {
		sh.without(func(a Action) bool { return a.Node == name || a.Other == name })
	}
}

// units are what belongs together: a call with all that is done to its handle, a
// fault with its end, or one action.
func units(actions []Action) [][]int {
	var us [][]int
	calls := map[[2]any]int{}
	open := map[[3]string]int{}
	for i, a := range actions {
		switch {
		case a.Handle != 0:
			id := [2]any{a.Node, a.Handle}
			if u, ok := calls[id]; ok {
				us[u] = append(us[u], i)
				continue
			}
			calls[id] = len(us)
		default:
			begin, ends := ending[a.Verb]
			id := [3]string{string(begin), a.Node, a.Other}
			if u, ok := open[id]; ends && ok {
				us[u] = append(us[u], i)
				delete(open, id)
				continue
			}
			open[[3]string{string(a.Verb), a.Node, a.Other}] = len(us)
		}
		us = append(us, []int{i})
	}
	return us
}

// ending says what a verb ends.
var ending = map[Verb]Verb{Mend: Cut, Unclog: Clog, Lose: Lose, Resume: Pause, Truth: LieDead, Listen: Deafen, Site: Site, Slow: Slow}

// dropUnits drops calls and faults, then single actions.
func (sh *shrinker) dropUnits() {
	sh.ddmin(func() int { return len(units(sh.best.Actions)) }, func(from, to int) bool {
		gone := map[int]bool{}
		for _, u := range units(sh.best.Actions)[from:to] {
			for _, i := range u {
				gone[i] = true
			}
		}
		return sh.withoutIndexes(gone)
	})
	sh.ddmin(func() int { return len(sh.best.Actions) }, func(from, to int) bool {
		gone := map[int]bool{}
		for i := from; i < to; i++ {
			gone[i] = true
		}
		return sh.withoutIndexes(gone)
	})
}

func (sh *shrinker) withoutIndexes(gone map[int]bool) bool {
	var actions []Action
	for i, a := range sh.best.Actions {
		if !gone[i] {
			actions = append(actions, a)
		}
	}
	return sh.try(actions, sh.best.Fates)
}

func (sh *shrinker) dropFates() {
	sh.ddmin(func() int { return len(sh.best.Fates) }, func(from, to int) bool {
		return sh.try(sh.best.Actions, slices.Delete(slices.Clone(sh.best.Fates), from, to))
	})
}

// ddmin leaves out ever smaller pieces, the last ones first: what is done late
// rests on what is done early.
func (sh *shrinker) ddmin(size func() int, without func(from, to int) bool) {
	for piece := (size() + 1) / 2; piece >= 1 && sh.left > 0; piece /= 2 {
		for to := size(); to > 0 && sh.left > 0; to = min(to, size()) {
			from := max(0, to-piece)
			without(from, to)
			to = from
		}
	}
}

// plainClocks sets clocks and gossip to what they are by default.
func (sh *shrinker) plainClocks() {
	sh.plain(Start, func(a *Action) { a.Rate, a.For, a.Late = 0, 0, 0 })
	sh.plain(Start, func(a *Action) { a.For = 0 })
	sh.plain(Start, func(a *Action) { a.Late = 0 })
	sh.plain(Start, func(a *Action) { a.Rate = 0 })
}

// plainCalls lets clients ask for nothing but exclusive locks, as far as that fails too.
func (sh *shrinker) plainCalls() {
	sh.plain(Unlock, func(a *Action) { a.Heir = "" })
	for _, change := range []func(a *Action){
		func(a *Action) {
			a.Mode, a.Delay, a.Lease, a.After, a.Try, a.NoRenew = ownership.Exclusive, 0, 0, 0, false, false
		},
		func(a *Action) { a.Delay = 0 }, func(a *Action) { a.Lease = 0 }, func(a *Action) { a.After = 0 },
		func(a *Action) { a.Mode = ownership.Exclusive }, func(a *Action) { a.Try = false }, func(a *Action) { a.NoRenew = false },
	} {
		if sh.plain(Lock, change) {
			continue
		}
		for i, a := range sh.best.Actions { // or at least in some of them
			if change(&a); a.Verb == Lock && a != sh.best.Actions[i] {
				actions := slices.Clone(sh.best.Actions)
				actions[i] = a
				sh.try(actions, sh.best.Fates)
			}
		}
	}
}

// plain changes all actions of a verb, and keeps that if it fails too.
func (sh *shrinker) plain(verb Verb, change func(a *Action)) bool {
	actions := slices.Clone(sh.best.Actions)
	for i := range actions {
		if actions[i].Verb == verb {
			change(&actions[i])
		}
	}
	return slices.Equal(actions, sh.best.Actions) || sh.try(actions, sh.best.Fates)
}
