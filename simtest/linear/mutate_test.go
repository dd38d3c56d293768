package linear

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// mutation makes a history wrong; false if it cannot.
type mutation struct {
	name  string
	least int  // found of 100
	calm  bool // no client crashes, messages are fast
	do    func(r *rand.Rand, p *played) bool
}

var mutations = []mutation{
	{"another is granted while it is held", 100, false, func(r *rand.Rand, p *played) bool {
		c, from, to := p.someSure(r)
		if c == nil {
			return false
		}
		p.Ops = append(p.Ops, Op{Call: 9999, Kind: Lock, Outcome: Granted, Token: c.lock.Token + 1, Invoked: from + 1, Returned: to - 1, MayExpire: to + 10*time.Second})
		return true
	}},
	{"the next is granted too early", 100, false, func(r *rand.Rand, p *played) bool {
		c, from, to := p.someSure(r)
		if c == nil || p.next(c) == nil {
			return false
		}
		d := p.next(c)
		d.Invoked, d.Returned = min(d.Invoked, to-1), from+1+(to-from)/2
		return d.Invoked < d.Returned
	}},
	{"two tokens change places", 95, false, func(r *rand.Rand, p *played) bool {
		c, _, _ := p.someSure(r)
		if c == nil || p.next(c) == nil {
			return false
		}
		a, b := p.op(c.lock.Call), p.next(c)
		a.Token, b.Token = b.Token, a.Token
		return true
	}},
	{"one token twice", 100, false, func(r *rand.Rand, p *played) bool {
		c, _, _ := p.someSure(r)
		if c == nil || p.next(c) == nil {
			return false
		}
		p.next(c).Token = c.lock.Token
		return true
	}},
	{"Unlock says not held while it was", 100, false, func(r *rand.Rand, p *played) bool {
		for _, i := range r.Perm(len(p.Ops)) {
			o := &p.Ops[i]
			if o.Outcome == Released && o.Returned < p.op(o.Call).MayExpire {
				// Its renewals make the lease last still longer.
				o.Outcome = NotHeld
				return true
			}
		}
		return false
	}},
	{"the owner forgets a lock", 100, false, func(r *rand.Rand, p *played) bool {
		c, from, to := p.someSure(r)
		if c == nil {
			return false
		}
		p.Ops = append(p.Ops, Op{Call: c.lock.Call, Kind: Renew, Outcome: Missing, Invoked: from + 1, Returned: to - 1})
		return true
	}},
	{"renewed after the next grant", 100, false, func(r *rand.Rand, p *played) bool {
		c, _, _ := p.someSure(r)
		if c == nil || p.next(c) == nil {
			return false
		}
		at := p.next(c).Returned
		p.Ops = append(p.Ops, Op{Call: c.lock.Call, Kind: Renew, Outcome: Renewed, Invoked: at + 1, Returned: at + 2, MayExpire: at + 3*time.Second})
		return true
	}},
	{"Unlock says released after the next grant", 100, false, func(r *rand.Rand, p *played) bool {
		for _, i := range r.Perm(len(p.Ops)) {
			if o := &p.Ops[i]; o.Outcome == Lost || o.Outcome == Missing {
				c := &call{lock: p.op(o.Call)}
				if d := p.next(c); d != nil {
					*o = Op{Call: o.Call, Kind: Unlock, Outcome: Released, Invoked: d.Returned + 1, Returned: d.Returned + 2}
					return true
				}
			}
		}
		return false
	}},
	{"busy while the key was free", 30, false, falseBusy},
	{"busy while the key was free, and nobody crashed before", 90, true, falseBusy},
}

// falseBusy puts a busy between an answered Unlock and the next Lock.
func falseBusy(r *rand.Rand, p *played) bool {
	for _, i := range r.Perm(len(p.Ops)) {
		o := p.Ops[i]
		if o.Outcome != Released {
			continue
		}
		if d := p.next(&call{lock: p.op(o.Call)}); d != nil && d.Invoked > o.Returned+10 {
			p.Ops = append(p.Ops, Op{Call: 9999, Kind: Try, Outcome: Busy, Invoked: o.Returned + 1, Returned: d.Invoked - 1})
			return true
		}
	}
	return false
}

// someSure is a granted call and a time at which it certainly holds.
func (p *played) someSure(r *rand.Rand) (*call, time.Duration, time.Duration) {
	calls, _, _ := gather(p.History)
	for _, i := range r.Perm(len(calls)) {
		if from, to := calls[i].sure(); calls[i].lock.Outcome == Granted && to-from > 10 {
			return calls[i], from, to
		}
	}
	return nil, 0, 0
}

func (p *played) op(call int) *Op {
	i := slices.IndexFunc(p.Ops, func(o Op) bool { return o.Call == call && (o.Kind == Lock || o.Kind == Try) })
	return &p.Ops[i]
}

// next is the grant with the next token.
func (p *played) next(c *call) *Op {
	var next *Op
	for i := range p.Ops {
		if o := &p.Ops[i]; o.Token > c.lock.Token && (next == nil || o.Token < next.Token) {
			next = o
		}
	}
	return next
}

// TestMutations: an error that is put into a correct history is found. A wrong
// busy is at times one that a silent holder could explain.
func TestMutations(t *testing.T) {
	rough := &pool{shape: shapeOf}
	calm := &pool{shape: func(r *rand.Rand) shape { return shapeOf(r).calm() }}
	for _, m := range mutations {
		if m.calm {
			m.try(t, calm)
		} else {
			m.try(t, rough)
		}
	}
}

// calm is one in which nobody crashes, and messages are fast.
func (sh shape) calm() shape {
	sh.crash, sh.loss, sh.delay, sh.lost, sh.evicts, sh.moves, sh.late = 0, 0, time.Millisecond, 0, 0, 0, 0
	return sh
}

// pool plays each history once, for all that is made wrong of it.
type pool struct {
	shape  func(*rand.Rand) shape
	played []played
}

func (p *pool) history(n int) played {
	for seed := uint64(len(p.played)); len(p.played) <= n; seed++ {
		x := generate(seed, p.shape(rand.New(rand.NewPCG(seed, 1))))
		x.spread()
		p.played = append(p.played, x)
	}
	x := p.played[n]
	x.Ops, x.Lost = slices.Clone(x.Ops), slices.Clone(x.Lost)
	return x
}

// try counts how often the mutation is found.
func (m mutation) try(t *testing.T, from *pool) {
	tried, found, total, most := 0, 0, time.Duration(0), time.Duration(0)
	enough := 40
	if !thorough {
		enough = 4
	}
	for n := 0; tried < enough && n < 600; n++ {
		p := from.history(n)
		if !m.do(rand.New(rand.NewPCG(uint64(n), 2)), &p) {
			continue
		}
		tried++
		began := time.Now()
		v, why := Check(p.History, 10*time.Second)
		took := time.Since(began)
		total, most = total+took, max(most, took)
		switch v {
		case Illegal:
			found++
			if why == "" {
				t.Errorf("%s, history %d: not explained", m.name, n)
			}
		case Unknown:
			t.Errorf("%s, history %d: %v", m.name, n, why)
		}
	}
	t.Logf("%-60s %3d of %d found, %v each, slowest %v", m.name, found, tried, total/time.Duration(max(tried, 1)), most)
	if thorough && (tried < 15 || found*100 < m.least*tried) {
		t.Errorf("%s: %d of %d found, %d in 100 expected", m.name, found, tried, m.least)
	}
}

// spread doubles the tokens, so that there is one between any two.
func (p *played) spread() {
	for i := range p.Ops {
		o := &p.Ops[i]
		o.Token, o.Value.Token = 2*o.Token, 2*o.Value.Token
		o.Holders = slices.Clone(o.Holders)
		for j := range o.Holders {
			o.Holders[j].Token *= 2
		}
	}
	for i := range p.truth {
		m := &p.truth[i]
		m.value.Token *= 2
		for j := range m.holders {
			m.holders[j].Token *= 2
		}
	}
}
