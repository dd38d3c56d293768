package explore

import (
	"fmt"
	"slices"

	"github.com/lockmesh/lockmesh/ownership"
)

// What is checked of modes, values, looks and evictions (K6, K7, K8, K12, K13).

// writing is a value that a holder writes; its data is its own in the whole run.
type writing struct {
	handle ownership.Handle
	op     uint64
	data   string
	token  ownership.Token // the grant that it is written under
	done   bool            // and its writer knows
}

// looking is a look and the newest write that it must know of: one that was
// answered, or seen by another look, before it began.
type looking struct {
	handle ownership.Handle
	floor  int    // in written, -1: none
	before uint32 // handles whose release was certified before it began
}

// evicting is an operator's call.
type evicting struct {
	handle ownership.Handle
	token  ownership.Token
	done   bool
}

// opening is a call without an answer: a Change by its op, others by the handle
// alone.
type opening struct {
	handle ownership.Handle
	op     uint64
}

// waits says that something was called of a handle, and is not answered.
func (m *memory) waits(h ownership.Handle) bool {
	return slices.ContainsFunc(m.open, func(o opening) bool { return o.handle == h })
}

func (w *watcher) opens(in ownership.Input) {
	switch in := in.(type) {
	case ownership.Lock:
		w.open = append(w.open, opening{handle: in.Handle})
	case ownership.Look:
		w.open = append(w.open, opening{handle: in.Handle})
	case ownership.Evict:
		w.open = append(w.open, opening{handle: in.Handle})
	case ownership.Change:
		w.open = append(w.open, opening{in.Handle, in.Op})
	case ownership.Unlock:
		if c := w.call(in.Handle); !c.over {
			w.close(in.Handle) // a call that ends takes its changes along
			w.open = append(w.open, opening{handle: in.Handle})
		}
	}
}

func (w *watcher) closes(f fact) {
	switch e := f.(type) {
	case ownership.Granted:
		w.answered(e.Handle, 0)
	case ownership.Altered:
		w.answered(e.Handle, e.Op)
	case ownership.Busy:
		w.close(e.Handle)
	case ownership.Lost:
		w.close(e.Handle)
	case ownership.Released:
		w.close(e.Handle)
	case ownership.Invalid:
		w.close(e.Handle)
	case ownership.Looked:
		w.close(e.Handle)
	case ownership.Evicted:
		w.close(e.Handle)
	}
}

func (w *watcher) answered(h ownership.Handle, op uint64) {
	w.open = slices.DeleteFunc(w.open, func(o opening) bool { return o == opening{h, op} })
}

// close ends a handle, and with it its changes.
func (w *watcher) close(h ownership.Handle) {
	w.open = slices.DeleteFunc(w.open, func(o opening) bool { return o.handle == h })
}

// beside says that two locks of these modes may hold a key together (K7).
func beside(a, b ownership.Mode) bool {
	if a == ownership.Exclusive || b == ownership.Exclusive {
		return false
	}
	return a.Of == b.Of && uint64(a.Weight)+uint64(b.Weight) <= uint64(a.Of)
}

func (w *watcher) invokedInSession(in ownership.Input) {
	switch in := in.(type) {
	case ownership.Change:
		c := w.call(in.Handle)
		switch {
		case c == nil || !c.granted || c.unlocked || c.over: // refused
		case in.What == ownership.AlterValue:
			w.written = append(w.written, writing{handle: in.Handle, op: in.Op, data: string(in.Value), token: c.token})
		case in.Mode == ownership.Exclusive:
			c.up = true
		default: // K8: from now on it counts as being there
			c.mode = in.Mode
		}
	case ownership.Unchange:
		w.answered(in.Handle, in.Op)
	case ownership.Look:
		w.looks = append(w.looks, looking{in.Handle, w.newest(func(o writing) bool { return o.done }), w.released()})
	case ownership.Evict:
		w.evicts = append(w.evicts, evicting{handle: in.Handle, token: in.Token})
	}
}

// newest is the last in the order of values among these writes, -1 if there is none:
// by token, and within a grant by op.
func (w *watcher) newest(which func(writing) bool) int {
	at := -1
	for i, o := range w.written {
		if which(o) && (at < 0 || w.written[at].before(o)) {
			at = i
		}
	}
	return at
}

func (a writing) before(b writing) bool {
	return a.token < b.token || a.token == b.token && a.op < b.op
}

// altered: a change that is done is done once and for good, and one that is refused
// has its reason.
func (w *watcher) altered(c *call, e ownership.Altered) string {
	if e.Op == 0 || c.gaveUp&(1<<e.Op) != 0 { // its caller has gone, or goes before it hears this
		c.token = max(c.token, e.Token)
		return ""
	}
	write := slices.IndexFunc(w.written, func(o writing) bool { return o.handle == e.Handle && o.op == e.Op })
	switch e.Outcome {
	case ownership.OutcomeAltered:
		if write >= 0 {
			w.written[write].done = true
			return ""
		}
		if c.mode = e.Mode; e.Mode != ownership.Exclusive {
			return ""
		}
		if e.Token <= c.first || e.Token < c.token {
			return fmt.Sprintf("%s went up with token %s, which is not above its own %s (K8)", w.name(c.node), token(e.Token), token(c.first))
		}
		return w.rises(c, e.Token)
	case ownership.OutcomeBusy:
		for _, o := range w.calls {
			if o.handle != c.handle && o.key == c.key && (o.up || o.mode == ownership.ForUpdate) {
				return ""
			}
		}
		return fmt.Sprintf("%s may not go up though nobody else ever would (K8)", w.name(c.node))
	case ownership.OutcomeNotHeld:
		evicts := slices.ContainsFunc(w.evicts, func(o evicting) bool { return o.token == c.token })
		if w.believes(c) && !evicts {
			return fmt.Sprintf("%s was told that it holds nothing, of lock %d which it holds", w.name(c.node), c.handle)
		}
	}
	return ""
}

// looked: an answer is of a moment between its question and itself (K12).
func (w *watcher) looked(e ownership.Looked) string {
	l := w.looks[slices.IndexFunc(w.looks, func(l looking) bool { return l.handle == e.Handle })]
	seen := -1
	if v := e.Keys[0].Value; v != nil {
		seen = w.newest(func(o writing) bool { return o.data == string(v.Data) && o.token == v.Token })
		if seen < 0 {
			return fmt.Sprintf("look %d saw %q with token %s, which nobody wrote with it", e.Handle, v.Data, token(v.Token))
		}
		w.written[seen].done = true // it is there, whether its writer knows or not
	}
	if l.floor >= 0 && (seen < 0 || w.written[seen].before(w.written[l.floor])) {
		return fmt.Sprintf("look %d does not know of %q, which was written before it began", e.Handle, w.written[l.floor].data)
	}
	for _, h := range e.Keys[0].Holders {
		for _, o := range w.calls {
			if l.before&(1<<o.handle) != 0 && o.token == h.Token {
				return fmt.Sprintf("look %d saw lock %d, whose release was certified before it began", e.Handle, o.handle)
			}
		}
	}
	return ""
}

// evicted: the operator is told that a lock has ended when its holder knows (K13).
func (w *watcher) evicted(e ownership.Evicted) string {
	at := slices.IndexFunc(w.evicts, func(o evicting) bool { return o.handle == e.Handle })
	w.evicts[at].done = true
	for i := range w.calls {
		if c := &w.calls[i]; c.token == w.evicts[at].token && w.believes(c) {
			return fmt.Sprintf("the operator was told that lock %d is released, and %s believes in it (K13)", c.handle, w.name(c.node))
		}
	}
	return ""
}

func (m *memory) hashSession(h uint64) uint64 {
	for _, o := range m.written {
		h = combine(combine(h, uint64(o.handle)<<32|o.op<<1), uint64(o.token))
		if o.done {
			h++
		}
	}
	for _, l := range m.looks {
		h = combine(combine(h, uint64(l.handle)<<32|uint64(l.floor+1)), uint64(l.before))
	}
	for _, o := range m.open {
		h = combine(h, uint64(o.handle)<<32|o.op)
	}
	for _, o := range m.evicts {
		h = combine(combine(h, uint64(o.handle)<<1), uint64(o.token))
		if o.done {
			h++
		}
	}
	return h
}
