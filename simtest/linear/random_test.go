package linear

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func shapeOf(r *rand.Rand) shape {
	return shape{
		calls: 5 + r.IntN(120), clients: 1 + r.IntN(12), ttl: 3 * time.Second,
		pace:  []time.Duration{time.Second, 5 * time.Second, 20 * time.Second}[r.IntN(3)],
		delay: []time.Duration{time.Millisecond, 60 * time.Millisecond, 400 * time.Millisecond, 2 * time.Second}[r.IntN(4)],
		loss:  []float64{0, 0.1, 0.4}[r.IntN(3)],
		crash: []float64{0, 0.01, 0.1}[r.IntN(3)],
	}
}

// richShapeOf has everything else too.
func richShapeOf(r *rand.Rand) shape {
	sh := shapeOf(r)
	sh.modes = [][]Mode{{Exclusive}, readers, semaphore, mixed}[r.IntN(4)]
	sh.changes = []float64{0, 0.5, 0.9}[r.IntN(3)]
	sh.looks = []float64{0, 0.5, 2}[r.IntN(3)]
	sh.closes = []float64{0, 0.3}[r.IntN(2)]
	sh.evicts = []float64{0, 0.1}[r.IntN(2)]
	sh.lost = []float64{0, 0.02}[r.IntN(2)]
	return sh
}

// TestCorrectLocks: what a correct lock told its clients is always linearizable.
func TestCorrectLocks(t *testing.T) {
	for _, tt := range []struct {
		name  string
		shape func(r *rand.Rand) shape
	}{{"exclusive", shapeOf}, {"all", richShapeOf}} {
		t.Run(tt.name, func(t *testing.T) { correctLocks(t, tt.shape) })
	}
}

func correctLocks(t *testing.T, shape func(*rand.Rand) shape) {
	type told struct {
		kind Kind
		out  Outcome
	}
	seen := map[told]int{}
	steps, sure, total, most := 0, 0, time.Duration(0), time.Duration(0)
	for seed := range uint64(6000) {
		sh := shape(rand.New(rand.NewPCG(seed, 1)))
		h := generate(seed, sh)
		for _, o := range h.Ops {
			seen[told{o.Kind, o.Outcome}]++
		}
		began := time.Now()
		if v, why := Check(h, 10*time.Second); v != Ok {
			t.Fatalf("seed %d, %+v: %v\n%s", seed, sh, v, why)
		}
		took := time.Since(began)
		total, most = total+took, max(most, took)
		m, _ := newModel(h)
		steps, sure = steps+len(m.steps), sure+len(m.sure)
	}
	t.Logf("%v; %d had to be ordered, %d were certain; %v in all, slowest %v", seen, steps, sure, total, most)
}

// mutation makes a history wrong; false if it cannot.
type mutation struct {
	name  string
	least int  // found of 100
	calm  bool // no client crashes, messages are fast
	do    func(r *rand.Rand, h *History) bool
}

var mutations = []mutation{
	{"another is granted while it is held", 100, false, func(r *rand.Rand, h *History) bool {
		c, from, to := h.someSure(r)
		if c == nil {
			return false
		}
		h.Ops = append(h.Ops, Op{Call: 9999, Kind: Lock, Outcome: Granted, Token: c.lock.Token + 1, Invoked: from + 1, Returned: to - 1, MayExpire: to + 10*time.Second})
		return true
	}},
	{"the next is granted too early", 100, false, func(r *rand.Rand, h *History) bool {
		c, from, to := h.someSure(r)
		if c == nil || h.next(c) == nil {
			return false
		}
		d := h.next(c)
		d.Invoked, d.Returned = min(d.Invoked, to-1), from+1+(to-from)/2
		return d.Invoked < d.Returned
	}},
	{"two tokens change places", 95, false, func(r *rand.Rand, h *History) bool {
		c, _, _ := h.someSure(r)
		if c == nil || h.next(c) == nil {
			return false
		}
		a, b := h.op(c.lock.Call), h.next(c)
		a.Token, b.Token = b.Token, a.Token
		return true
	}},
	{"one token twice", 100, false, func(r *rand.Rand, h *History) bool {
		c, _, _ := h.someSure(r)
		if c == nil || h.next(c) == nil {
			return false
		}
		h.next(c).Token = c.lock.Token
		return true
	}},
	{"Unlock says not held while it was", 100, false, func(r *rand.Rand, h *History) bool {
		for _, i := range r.Perm(len(h.Ops)) {
			o := &h.Ops[i]
			if o.Outcome == Released && o.Returned < h.op(o.Call).MayExpire {
				// Its renewals make the lease last still longer.
				o.Outcome = NotHeld
				return true
			}
		}
		return false
	}},
	{"the owner forgets a lock", 100, false, func(r *rand.Rand, h *History) bool {
		c, from, to := h.someSure(r)
		if c == nil {
			return false
		}
		h.Ops = append(h.Ops, Op{Call: c.lock.Call, Kind: Renew, Outcome: Missing, Invoked: from + 1, Returned: to - 1})
		return true
	}},
	{"renewed after the next grant", 100, false, func(r *rand.Rand, h *History) bool {
		c, _, _ := h.someSure(r)
		if c == nil || h.next(c) == nil {
			return false
		}
		at := h.next(c).Returned
		h.Ops = append(h.Ops, Op{Call: c.lock.Call, Kind: Renew, Outcome: Renewed, Invoked: at + 1, Returned: at + 2, MayExpire: at + 3*time.Second})
		return true
	}},
	{"Unlock says released after the next grant", 100, false, func(r *rand.Rand, h *History) bool {
		for _, i := range r.Perm(len(h.Ops)) {
			if o := &h.Ops[i]; o.Outcome == Lost || o.Outcome == Missing {
				c := &call{lock: *h.op(o.Call)}
				if d := h.next(c); d != nil {
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
func falseBusy(r *rand.Rand, h *History) bool {
	for _, i := range r.Perm(len(h.Ops)) {
		o := h.Ops[i]
		if o.Outcome != Released {
			continue
		}
		if d := h.next(&call{lock: *h.op(o.Call)}); d != nil && d.Invoked > o.Returned+10 {
			h.Ops = append(h.Ops, Op{Call: 9999, Kind: Try, Outcome: Busy, Invoked: o.Returned + 1, Returned: d.Invoked - 1})
			return true
		}
	}
	return false
}

// someSure is a granted call and a time at which it certainly holds.
func (h *History) someSure(r *rand.Rand) (*call, time.Duration, time.Duration) {
	calls, _, _ := gather(*h)
	for _, i := range r.Perm(len(calls)) {
		if from, to := calls[i].sure(); calls[i].lock.Outcome == Granted && to-from > 10 {
			return calls[i], from, to
		}
	}
	return nil, 0, 0
}

func (h *History) op(call int) *Op {
	i := slices.IndexFunc(h.Ops, func(o Op) bool { return o.Call == call && (o.Kind == Lock || o.Kind == Try) })
	return &h.Ops[i]
}

// next is the grant with the next token.
func (h *History) next(c *call) *Op {
	var next *Op
	for i := range h.Ops {
		if o := &h.Ops[i]; o.Token > c.lock.Token && (next == nil || o.Token < next.Token) {
			next = o
		}
	}
	return next
}

// TestMutations: an error that is put into a correct history is found. A wrong
// busy is at times one that a silent holder could explain.
func TestMutations(t *testing.T) {
	for _, m := range mutations {
		tried, found, most := 0, 0, time.Duration(0)
		for seed := uint64(0); tried < 120 && seed < 1500; seed++ {
			r := rand.New(rand.NewPCG(seed, 1))
			sh := shapeOf(r)
			if m.calm {
				sh.crash, sh.delay, sh.loss = 0, time.Millisecond, 0
			}
			h := generate(seed, sh)
			for i := range h.Ops {
				h.Ops[i].Token *= 2
			}
			if !m.do(r, &h) {
				continue
			}
			tried++
			began := time.Now()
			v, why := Check(h, 10*time.Second)
			most = max(most, time.Since(began))
			switch v {
			case Illegal:
				found++
				if why == "" {
					t.Errorf("%s, seed %d: not explained", m.name, seed)
				}
			case Unknown:
				t.Errorf("%s, seed %d: %v", m.name, seed, why)
			}
		}
		t.Logf("%-55s %d of %d found, slowest %v", m.name, found, tried, most)
		if tried < 100 || found*100 < m.least*tried {
			t.Errorf("%s: %d of %d found, %d in 100 expected", m.name, found, tried, m.least)
		}
	}
}

// BenchmarkCheck: 300 calls of 10 clients on one key, some of which crash.
func BenchmarkCheck(b *testing.B) {
	h := generate(1, bench)
	m, _ := newModel(h)
	b.ReportMetric(float64(len(h.Ops)), "operations")
	b.ReportMetric(float64(len(m.steps)), "ordered")
	for b.Loop() {
		if v, why := Check(h, 0); v != Ok {
			b.Fatal(why)
		}
	}
}
