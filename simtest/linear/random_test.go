package linear

import (
	"math/rand/v2"
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
	sh.moves = []float64{0, 0.05}[r.IntN(2)]
	sh.late = []float64{0, 0.2}[r.IntN(2)]
	return sh
}

// denseShapeOf is short, and has so much of something that it meets the rest of it.
func denseShapeOf(r *rand.Rand) shape {
	sh := richShapeOf(r)
	sh.calls, sh.clients = 4+r.IntN(14), 3+r.IntN(4)
	sh.pace, sh.delay = sh.ttl/2, []time.Duration{60 * time.Millisecond, 400 * time.Millisecond}[r.IntN(2)]
	sh.loss = []float64{0.1, 0.4, 0.6}[r.IntN(3)]
	sh.moves, sh.late = 0.1, 0.5
	switch r.IntN(3) {
	case 0:
		sh.evicts, sh.looks, sh.changes = 1, 3, 0.8
	case 1:
		sh.changes, sh.looks, sh.loss = 0.97, 2, 0.1
	default:
		sh.closes, sh.lost, sh.delay = 0.7, 0.05, time.Second
	}
	return sh
}

// TestCorrectLocks: what a correct lock told its clients is always linearizable.
func TestCorrectLocks(t *testing.T) {
	plain := map[Kind][]Outcome{
		Lock: {Open, Granted, Cancelled}, Try: {Open, Granted, Busy, Cancelled},
		Unlock: {Open, Released, NotHeld, GaveUp}, Renew: {Renewed, Lost},
	}
	all := map[Kind][]Outcome{
		Upgrade: {Open, GaveUp, Done, Conflict}, Downgrade: {Open, GaveUp, Done},
		Set: {Open, NotHeld, GaveUp, Done}, Delete: {Open, NotHeld, GaveUp, Done},
		Read: {Done}, Inspect: {Done}, Evict: {Done, NotHeld}, Lock: {Capacity}, Try: {Capacity},
	}
	t.Run("exclusive", func(t *testing.T) { correctLocks(t, 400, shapeOf, plain) })
	t.Run("all", func(t *testing.T) { correctLocks(t, 500, richShapeOf, all) })
	t.Run("dense", func(t *testing.T) { correctLocks(t, 2000, denseShapeOf, all) })
}

func correctLocks(t *testing.T, runs uint64, shape func(*rand.Rand) shape, plays map[Kind][]Outcome) {
	type told struct {
		Kind
		Outcome
	}
	t.Parallel()
	least := 20
	if !thorough {
		least, runs = 0, runs/20
	}
	seen := map[told]int{}
	steps, sure, total, most := 0, 0, time.Duration(0), time.Duration(0)
	for seed := range runs {
		sh := shape(rand.New(rand.NewPCG(seed, 1)))
		h := generate(seed, sh).History
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
	for k, outcomes := range plays {
		for _, o := range outcomes {
			if n := seen[told{k, o}]; n < least {
				t.Errorf("%d times %v, %v: the generator does not play it", n, k, o)
			}
		}
	}
	t.Logf("%d had to be ordered, %d were certain; %v in all, slowest %v", steps, sure, total, most)
}

// BenchmarkCheck: 300 calls of 10 clients on one key, some of which crash: exclusive
// locks, and everything else.
func BenchmarkCheck(b *testing.B) {
	all := bench
	all.modes, all.changes, all.looks, all.closes, all.evicts, all.lost = readers, 0.7, 1, 0.2, 0.05, 0.005
	b.Run("exclusive", func(b *testing.B) { benchmark(b, bench) })
	b.Run("all", func(b *testing.B) { benchmark(b, all) })
}

func benchmark(b *testing.B, sh shape) {
	h := generate(1, sh).History
	m, _ := newModel(h)
	b.ReportMetric(float64(len(h.Ops)), "operations")
	b.ReportMetric(float64(len(m.steps)), "ordered")
	for b.Loop() {
		if v, why := Check(h, 0); v != Ok {
			b.Fatal(why)
		}
	}
}
