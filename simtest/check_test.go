package simtest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// Every check can fail: a client that is told what is not so is noticed. The cores do
// what they should; what the checker hears of them is forged.

// forger is a mesh at work, of which a test tells the checker lies.
type forger struct {
	*testing.T
	w       *World
	ch      *Checker
	a, b, c *Node
	handle  ownership.Handle
}

func newForger(t *testing.T) *forger {
	w, ch := founded(onePartition(6*time.Second), "a", "b", "c")
	own, others := owner(w)
	return &forger{T: t, w: w, ch: ch, a: others[0], b: others[1], c: own}
}

// lock asks for a lock and lets half a second pass.
func (f *forger) lock(n *Node, in ownership.Lock) *Call {
	f.handle++
	in.Handle = f.handle
	if in.Key == "" {
		in.Key = "k"
	}
	in.TTL = 6 * time.Second
	c := f.ch.Lock(n, in)
	f.w.RunFor(500 * time.Millisecond)
	return c
}

func (f *forger) mode(n *Node, m ownership.Mode) *Call { return f.lock(n, ownership.Lock{Mode: m}) }

// tell forges an event.
func (f *forger) tell(n *Node, e ownership.Event) {
	if len(f.ch.Failures) > 0 {
		f.Fatalf("before the lie: %v", f.ch.Failures)
	}
	f.ch.event(n, e)
	f.w.RunFor(time.Millisecond)
}

// grant forges a Granted with a token above all others.
func (f *forger) grant(c *Call) {
	f.tell(c.Node, ownership.Granted{Handle: c.Handle, Token: f.ch.keys[c.Key].top + 1, Deadline: c.Node.Local() + ownership.Time(time.Second)})
}

// loseGrants keeps nodes from hearing that they were granted something.
func (f *forger) loseGrants(nodes ...*Node) {
	f.w.Deliver = func(_, to *Node, m ownership.Message) bool {
		answer, ok := m.(ownership.Answer)
		return !slices.Contains(nodes, to) || !ok || answer.Outcome != ownership.OutcomeGranted
	}
}

func (f *forger) look(n *Node, watch bool) *Inquiry {
	f.handle++
	f.ch.Look(n, ownership.Look{Handle: f.handle, Key: "k", Watch: watch})
	return f.ch.looks[callID{n, f.handle}]
}

// change alters what a call holds, and is answered.
func (f *forger) change(c *Call, in ownership.Change) *Alteration {
	in.Op = uint64(len(c.Changes) + 1)
	a := f.ch.Change(c, in)
	f.w.RunFor(500 * time.Millisecond)
	return a
}

func (f *forger) holder(c *Call) ownership.Holder {
	return ownership.Holder{Request: ownership.RequestID{Client: c.Node.Config.Client, Seq: 1}, Token: c.Token, Mode: c.Mode}
}

// looked forges an answer.
func (f *forger) looked(q *Inquiry, v *ownership.Value, holders ...ownership.Holder) {
	s := ownership.KeyState{Key: "k", Value: v}
	for _, h := range holders {
		s.Holders = append(s.Holders, ownership.HolderState{Holder: h})
	}
	f.tell(q.Node, ownership.Looked{Handle: q.Handle, Term: 1, Keys: []ownership.KeyState{s}})
}

func TestChecksFail(t *testing.T) {
	permits := ownership.Permits
	for name, lie := range map[string]func(f *forger){
		"exclusion: a writer beside readers": func(f *forger) {
			f.mode(f.a, ownership.Shared)
			f.mode(f.b, ownership.Shared)
			f.grant(f.mode(f.c, ownership.Exclusive))
		},
		"exclusion: more permits than there are": func(f *forger) {
			f.mode(f.a, permits(2, 3))
			f.grant(f.mode(f.b, permits(2, 3)))
		},
		"exclusion: an upgrade beside a reader": func(f *forger) {
			c := f.mode(f.a, ownership.Shared)
			f.mode(f.b, ownership.Shared)
			f.change(c, ownership.Change{What: ownership.AlterMode})
			f.tell(f.a, ownership.Altered{Handle: c.Handle, Op: 1, Outcome: ownership.OutcomeAltered, Token: f.ch.keys["k"].top + 1})
		},
		"token: an upgrade keeps its token": func(f *forger) {
			c := f.mode(f.a, ownership.ForUpdate)
			r := f.mode(f.b, ownership.Shared)
			f.change(c, ownership.Change{What: ownership.AlterMode})
			f.w.Crash(r.Node)
			f.tell(f.a, ownership.Altered{Handle: c.Handle, Op: 1, Outcome: ownership.OutcomeAltered, Token: c.Token})
		},
		"token: a downgrade changes its token": func(f *forger) {
			c := f.mode(f.a, ownership.Exclusive)
			f.w.Freeze(f.c)
			f.change(c, ownership.Change{What: ownership.AlterMode, Mode: ownership.Shared})
			f.tell(f.a, ownership.Altered{Handle: c.Handle, Op: 1, Outcome: ownership.OutcomeAltered, Mode: ownership.Shared, Token: c.Token + 1})
		},
		"busy: with itself": func(f *forger) {
			f.w.Freeze(f.c)
			r := f.lock(f.b, ownership.Lock{Try: true})
			f.tell(f.b, ownership.Busy{Handle: r.Handle, Holder: ownership.Holder{Request: ownership.RequestID{Client: f.b.Config.Client, Seq: 1}, Token: 1}})
		},
		"busy: there is room": func(f *forger) {
			c := f.mode(f.a, ownership.Shared)
			f.w.Freeze(f.c)
			r := f.lock(f.b, ownership.Lock{Mode: ownership.Shared, Try: true})
			f.tell(f.b, ownership.Busy{Handle: r.Handle, Holder: f.holder(c)})
		},
		"capacity: it is the same": func(f *forger) {
			c := f.mode(f.a, permits(2, 3))
			r := f.mode(f.b, permits(2, 3))
			f.tell(f.b, ownership.Denied{Handle: r.Handle, Code: ownership.DeniedCapacity, Holder: f.holder(c)})
		},
		"capacity: it was gone": func(f *forger) {
			c := f.mode(f.a, permits(2, 3))
			f.ch.Unlock(c)
			f.w.RunFor(time.Second)
			f.w.Freeze(f.c)
			r := f.mode(f.b, ownership.Shared)
			f.tell(f.b, ownership.Denied{Handle: r.Handle, Code: ownership.DeniedCapacity, Holder: f.holder(c)})
		},
		"upgrade: a reader in the way wanted nothing": func(f *forger) {
			c, r := f.mode(f.a, ownership.Shared), f.mode(f.b, ownership.Shared)
			f.change(c, ownership.Change{What: ownership.AlterMode})
			f.tell(f.a, ownership.Altered{Handle: c.Handle, Op: 1, Outcome: ownership.OutcomeBusy, Holder: f.holder(r)})
		},
		"upgrade: who holds for update is refused": func(f *forger) {
			c, r := f.mode(f.a, ownership.ForUpdate), f.mode(f.b, ownership.Shared)
			f.change(c, ownership.Change{What: ownership.AlterMode})
			f.change(r, ownership.Change{What: ownership.AlterMode})
			f.tell(f.a, ownership.Altered{Handle: c.Handle, Op: 1, Outcome: ownership.OutcomeBusy, Holder: f.holder(r)})
		},
		"memory: a change that was given up is answered": func(f *forger) {
			c := f.mode(f.a, ownership.Shared)
			f.mode(f.b, ownership.Shared)
			f.change(c, ownership.Change{What: ownership.AlterMode})
			f.ch.Unchange(c, 1)
			f.tell(f.a, ownership.Altered{Handle: c.Handle, Op: 1, Outcome: ownership.OutcomeNotHeld})
		},
		"memory: a holder may not write": func(f *forger) {
			c := f.mode(f.a, ownership.Exclusive)
			f.w.Freeze(f.c)
			f.change(c, ownership.Change{What: ownership.AlterValue, Value: []byte("x")})
			f.tell(f.a, ownership.Altered{Handle: c.Handle, Op: 1, Outcome: ownership.OutcomeNotHeld})
		},
		"memory: a value is forgotten": func(f *forger) {
			c := f.mode(f.a, ownership.Exclusive)
			f.change(c, ownership.Change{What: ownership.AlterValue, Value: []byte("x")})
			f.looked(f.look(f.b, false), nil, f.holder(c))
		},
		"memory: an old value is read": func(f *forger) {
			c := f.mode(f.a, ownership.Exclusive)
			f.change(c, ownership.Change{What: ownership.AlterValue, Value: []byte("x")})
			f.change(c, ownership.Change{What: ownership.AlterValue, Value: []byte("y")})
			f.looked(f.look(f.b, false), &ownership.Value{Data: []byte("x"), Token: c.Token}, f.holder(c))
		},
		"memory: a value is stale, and nothing was lost": func(f *forger) {
			c := f.mode(f.a, ownership.Exclusive)
			f.change(c, ownership.Change{What: ownership.AlterValue, Value: []byte("x")})
			f.looked(f.look(f.b, false), &ownership.Value{Data: []byte("x"), Token: c.Token, Stale: true}, f.holder(c))
		},
		"memory: a value is from before a lost start, and not stale": func(f *forger) {
			c := f.mode(f.a, ownership.Exclusive)
			f.change(c, ownership.Change{What: ownership.AlterValue, Value: []byte("x")})
			f.ch.startedAnew(0, c.Token.Term()+1, true)
			s := ownership.KeyState{Key: "k", Value: &ownership.Value{Data: []byte("x"), Token: c.Token}}
			f.tell(f.b, ownership.Looked{Handle: f.look(f.b, false).Handle, Term: c.Token.Term() + 1, Keys: []ownership.KeyState{s}})
		},
		"delay: a place opens too early": func(f *forger) {
			f.lock(f.a, ownership.Lock{Delay: 6 * time.Second})
			r := f.lock(f.b, ownership.Lock{})
			f.w.Crash(f.a)
			f.w.RunFor(8 * time.Second)
			f.grant(r)
		},
		"fate: a lock outlives its lease": func(f *forger) {
			c := f.lock(f.a, ownership.Lock{Key: "anchor"})
			f.lock(f.a, ownership.Lock{Lease: c.Handle})
			f.tell(f.a, ownership.Lost{Handle: c.Handle, Cause: ownership.LostOtherMesh})
		},
		"fate: a lease is lost for nothing": func(f *forger) {
			c := f.lock(f.a, ownership.Lock{Key: "anchor"})
			r := f.lock(f.a, ownership.Lock{Lease: c.Handle})
			f.tell(f.a, ownership.Lost{Handle: r.Handle, Cause: ownership.LostLease})
		},
		"fate: a lock joins a lease that is over": func(f *forger) {
			c := f.lock(f.a, ownership.Lock{Key: "anchor"})
			f.mode(f.b, ownership.Exclusive)
			r := f.lock(f.a, ownership.Lock{Lease: c.Handle})
			f.w.Freeze(f.a) // or it would deny r
			f.ch.Unlock(c)
			f.grant(r)
		},
		"set: a lock before the one before it": func(f *forger) {
			f.lock(f.b, ownership.Lock{Key: "j"})
			c := f.lock(f.a, ownership.Lock{Key: "j"})
			f.grant(f.lock(f.a, ownership.Lock{After: c.Handle}))
		},
		"set: asked for too early": func(f *forger) {
			f.lock(f.b, ownership.Lock{Key: "j"})
			c := f.lock(f.a, ownership.Lock{Key: "j"})
			f.lock(f.a, ownership.Lock{After: c.Handle})
			f.ch.sent(f.a, &ownership.Envelope{Message: ownership.Acquire{Key: "k"}})
			f.w.RunFor(1)
		},
		"set: denied for nothing": func(f *forger) {
			f.mode(f.b, ownership.Exclusive)
			c := f.lock(f.a, ownership.Lock{Key: "j"})
			r := f.lock(f.a, ownership.Lock{After: c.Handle})
			f.tell(f.a, ownership.Denied{Handle: r.Handle, Code: ownership.DeniedSet})
		},
		"look: a holder is not told of": func(f *forger) {
			f.mode(f.a, ownership.Shared)
			f.looked(f.look(f.b, false), nil)
		},
		"look: a holder is long gone": func(f *forger) {
			c := f.mode(f.a, ownership.Shared)
			f.ch.Unlock(c)
			f.w.RunFor(time.Second)
			f.looked(f.look(f.b, false), nil, f.holder(c))
		},
		"look: holders that have no room": func(f *forger) {
			c, r := f.mode(f.a, ownership.Shared), f.mode(f.b, ownership.Shared)
			h := f.holder(r)
			h.Mode = ownership.Exclusive
			f.looked(f.look(f.b, false), nil, f.holder(c), h)
		},
		"look: a watch goes back": func(f *forger) {
			q := f.look(f.b, true)
			c := f.mode(f.a, ownership.Shared)
			f.ch.Unlock(c)
			f.w.RunFor(time.Second)
			q.term = 0
			f.looked(q, nil, f.holder(c))
		},
		"look: the last push was missed": func(f *forger) {
			c := f.mode(f.a, ownership.Exclusive)
			f.change(c, ownership.Change{What: ownership.AlterValue, Value: []byte("x")})
			q := f.look(f.b, true)
			f.w.RunFor(time.Second)
			f.w.Freeze(f.b)
			f.ch.Unlock(c)
			f.w.RunFor(10 * time.Second)
			f.ch.healedAt, f.ch.restedAt = 1, 1
			r := f.look(f.a, false)
			f.w.RunFor(time.Second)
			f.Logf("%v %v", q.Seen, r.Answered)
		},
		"evict: the holder holds on": func(f *forger) {
			c := f.mode(f.a, ownership.Shared)
			f.w.Freeze(f.c)
			f.ch.Evict(f.b, 99, c, false)
			f.tell(f.b, ownership.Evicted{Handle: 99, Done: true})
		},
		"evict: it was held all the time": func(f *forger) {
			c := f.mode(f.a, ownership.Shared)
			f.w.Freeze(f.c)
			f.ch.Evict(f.b, 99, c, false)
			f.tell(f.b, ownership.Evicted{Handle: 99})
		},
		"evict: by nobody": func(f *forger) {
			c := f.mode(f.a, ownership.Shared)
			f.tell(f.a, ownership.Lost{Handle: c.Handle, Cause: ownership.LostEvicted, By: f.b.Name})
		},
		"contended: a holder is not told": func(f *forger) {
			f.ch.healedAt = 1
			c := f.mode(f.a, ownership.Shared)
			f.mode(f.b, ownership.Exclusive)
			f.w.RunFor(10 * time.Second)
			c.Told = 0
			f.ch.Unlock(c)
		},
		"contended: nobody waits": func(f *forger) {
			c := f.mode(f.a, ownership.Shared)
			f.tell(f.a, ownership.Contended{Handle: c.Handle})
		},
		"queue: an heir is passed": func(f *forger) {
			f.peace()
			c := f.mode(f.a, ownership.Exclusive)
			r := f.mode(f.b, ownership.Exclusive)
			f.mode(f.c, ownership.Exclusive)
			f.w.Freeze(f.c)
			f.ch.HandOver(c, f.c.Name)
			f.grant(r)
			f.w.RunFor(time.Second)
		},
		"queue: a reader is left behind": func(f *forger) {
			f.peace()
			h := f.mode(f.c, ownership.Exclusive)
			c, _ := f.mode(f.a, ownership.Shared), f.mode(f.b, ownership.Shared)
			f.loseGrants(f.a, f.b)
			f.ch.Unlock(h)
			f.w.RunFor(time.Millisecond)
			f.grant(c)
			f.w.RunFor(5 * time.Second)
		},
		"queue: there is room, and nobody gets it": func(f *forger) {
			f.peace()
			f.mode(f.c, ownership.Shared)
			c := f.mode(f.b, ownership.Exclusive)
			f.mode(f.a, ownership.Shared)
			f.loseGrants(f.a)
			f.ch.Unlock(c)
			f.w.RunFor(4 * time.Second)
		},
		"queue: a reader passes an upgrade": func(f *forger) {
			f.peace()
			c := f.mode(f.a, ownership.Shared)
			f.mode(f.b, ownership.Shared)
			f.change(c, ownership.Change{What: ownership.AlterMode})
			f.grant(f.mode(f.c, ownership.Shared))
		},
		"queue: a waiter is passed": func(f *forger) {
			f.peace()
			f.mode(f.c, ownership.Shared)
			f.mode(f.a, ownership.Exclusive)
			f.grant(f.mode(f.b, ownership.Shared))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newForger(t)
			lie(f)
			check, _, _ := strings.Cut(name, ":")
			if !slices.ContainsFunc(f.ch.Failures, func(x Failure) bool { return x.Check == check }) {
				t.Errorf("not noticed; failures: %v", f.ch.Failures)
			}
		})
	}
}

// peace lets so much time pass that the checks which want calm judge.
func (f *forger) peace() {
	f.ch.healedAt = 1
	f.w.RunFor(time.Minute)
}
