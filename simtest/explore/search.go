package explore

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// search is one breadth-first walk. The work is done in batches of a level, each
// in three parts: the successors of the batch's states (parallel, by state),
// which of them are new (parallel, by fingerprint), and their place in the next
// level (one after the other). Parts read what others have written only after
// these have ended, and all orders follow from the order of the batch: the result
// is the same for any number of workers.
type search struct {
	machine  *machine
	start    *state
	limits   Limits
	workers  int
	seen     []set  // by the fingerprint's upper bits
	trail    []step // by state, in the order in which they were found
	result   Result
	began    time.Time
	told     time.Time
	progress func(Progress)
}

// step is how a state was first reached.
type step struct {
	parent uint32
	action action
}

// child is a successor of a state of the batch.
type child struct {
	state *state
	print uint64
	step  step
	wrong string
	fresh bool
}

const (
	shards    = 64
	batchSize = 4096 // the limits are looked at once a batch
)

// Run explores the scenario until there is nothing left, a limit is reached, or
// something is wrong. progress, if any, is called about once a second.
func (s Scenario) Run(limits Limits, progress func(Progress)) (Result, error) {
	m, start, err := s.ready()
	if err != nil {
		return Result{}, err
	}
	x := &search{machine: m, start: start, limits: limits, workers: limits.Workers, seen: make([]set, shards), progress: progress}
	if x.workers <= 0 {
		x.workers = runtime.GOMAXPROCS(0)
	}
	x.began = time.Now()
	x.told = x.began
	x.run()
	x.result.Reached = m.reached.String()
	x.result.Elapsed = time.Since(x.began)
	x.result.PerSecond = float64(x.result.States) / max(x.result.Elapsed.Seconds(), 1e-6)
	return x.result, nil
}

func (x *search) run() {
	x.seen[shard(x.start.fingerprint())].add(x.start.fingerprint())
	x.trail = append(x.trail, step{})
	x.result.States = 1
	level := []*state{x.start}
	for len(level) > 0 {
		if x.limits.Depth > 0 && x.result.Depth >= x.limits.Depth {
			x.result.Stopped = "depth"
			return
		}
		var next []*state
		for at := 0; at < len(level); at += batchSize {
			if x.result.Stopped = x.limit(); x.result.Stopped != "" {
				return
			}
			batch := level[at:min(at+batchSize, len(level))]
			found, violation := x.batch(batch)
			if violation != nil {
				x.result.Violation, x.result.Stopped = violation, "violation"
				return
			}
			next = append(next, found...)
			clear(batch) // its cores may go
			x.report(len(level) - at - len(batch) + len(next))
		}
		x.result.Depth++
		x.machine.sweep(next)
		level = next
	}
	x.result.Depth-- // the last level has no successors
	x.result.Exhausted = true
}

func (x *search) limit() string {
	switch l := x.limits; {
	case l.States > 0 && x.result.States >= l.States:
		return "states"
	case l.Time > 0 && time.Since(x.began) >= l.Time:
		return "time"
	case len(x.trail) >= 1<<32-1<<24:
		return "states" // parents are 32 bits
	}
	return ""
}

func (x *search) report(frontier int) {
	if now := time.Now(); x.progress != nil && now.Sub(x.told) >= time.Second {
		x.told = now
		x.progress(Progress{x.machine.scenario.Name, x.result.States, x.result.Transitions, frontier, x.result.Depth,
			float64(x.result.States) / now.Sub(x.began).Seconds()})
	}
}

// batch expands some states and returns those that are new.
func (x *search) batch(batch []*state) (next []*state, v *Violation) {
	families := make([][]child, len(batch))
	counts, reached := make([]int, x.workers), make([]reach, x.workers)
	var at atomic.Int64
	x.parallel(func(w int) {
		m := *x.machine // with a queue of its own
		m.queue = nil
		var scratch state
		var as []action
		defer func() { reached[w] = m.reached }()
		for {
			i := int(at.Add(1)) - 1
			if i >= len(batch) {
				return
			}
			as = m.actions(batch[i], as[:0])
			counts[w] += len(as)
			families[i] = x.expand(&m, batch[i], as, &scratch)
		}
	})
	for w, n := range counts {
		x.result.Transitions += n
		x.machine.reached |= reached[w]
	}
	x.parallel(func(w int) {
		for _, children := range families {
			for i := range children {
				if c := &children[i]; c.wrong == "" && shard(c.print)%x.workers == w {
					c.fresh = x.seen[shard(c.print)].add(c.print)
				}
			}
		}
	})
	for _, children := range families {
		for _, c := range children {
			if c.wrong != "" {
				return nil, x.violation(c)
			}
			if c.fresh {
				c.state.trail = uint32(len(x.trail))
				x.trail = append(x.trail, c.step)
				next = append(next, c.state)
			}
		}
	}
	x.result.States += len(next)
	return next, nil
}

// expand lists the successors of a state that no batch before has seen.
func (x *search) expand(m *machine, s *state, as []action, scratch *state) (children []child) {
	for _, a := range as {
		wrong := m.apply(s, a, scratch)
		if wrong != "" {
			return append(children, child{step: step{s.trail, a}, wrong: wrong})
		}
		print := scratch.fingerprint()
		if !x.seen[shard(print)].has(print) {
			children = append(children, child{state: scratch.clone(), print: print, step: step{s.trail, a}})
		}
	}
	return children
}

func (x *search) parallel(work func(worker int)) {
	var wg sync.WaitGroup
	for w := range x.workers {
		wg.Go(func() { work(w) })
	}
	wg.Wait()
}

// violation plays the way to a bad state again, and writes it down.
func (x *search) violation(c child) *Violation {
	way := []action{c.step.action}
	for at := c.step.parent; at != 0; at = x.trail[at].parent {
		way = append(way, x.trail[at].action)
	}
	w := &writer{machine: x.machine, now: x.start.now}
	v := &Violation{What: c.wrong, Start: w.start(x.start)}
	s := x.start
	for i := len(way) - 1; i >= 0; i-- {
		next := &state{}
		w.begin(s, way[i])
		wrong := x.machine.apply(s, way[i], next)
		v.Steps = append(v.Steps, w.end(next))
		if i == 0 && wrong != c.wrong {
			v.What += fmt.Sprintf(" (played again it is %q: the core is not deterministic)", wrong)
		}
		s = next
	}
	return v
}

func shard(print uint64) int { return int(print >> 58) }

// set is a set of fingerprints: open addressing, 0 for an empty slot.
type set struct {
	slots []uint64
	n     int
}

func (t *set) has(print uint64) bool {
	if len(t.slots) == 0 {
		return false
	}
	for i := print; ; i++ {
		switch t.slots[i&uint64(len(t.slots)-1)] {
		case 0:
			return false
		case print:
			return true
		}
	}
}

// add says whether it was new.
func (t *set) add(print uint64) bool {
	if t.has(print) {
		return false
	}
	if t.n++; t.n*3 > len(t.slots)*2 {
		old := t.slots
		t.slots = make([]uint64, max(256, 2*len(old)))
		for _, p := range old {
			if p != 0 {
				t.put(p)
			}
		}
	}
	t.put(print)
	return true
}

func (t *set) put(print uint64) {
	for i := print; ; i++ {
		if slot := &t.slots[i&uint64(len(t.slots)-1)]; *slot == 0 {
			*slot = print
			return
		}
	}
}
