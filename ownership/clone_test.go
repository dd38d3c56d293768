package ownership_test

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
	"github.com/lockmesh/lockmesh/simtest"
)

var cloneParams = ownership.Params{Partitions: 3, Replicas: 3, MaxTTL: 3 * time.Second, MembershipTTL: time.Second, DriftPPM: 10_000}

// roam plays a random world for a while: clients that lock and unlock, nodes that
// crash, pause, come, leave and are cut off. prepare sets the hooks.
func roam(seed uint64, prepare func(*simtest.World)) *simtest.World {
	w := simtest.New(seed)
	prepare(w)
	r := w.Rand
	if seed%2 == 0 {
		w.Net.Loss, w.Net.Twice = 0.1, 0.1
	}
	nodes, names := 1+r.IntN(5), 0
	start := func(founders int) {
		names++
		w.Start(fmt.Sprint("n", names), ownership.Config{Params: cloneParams, Founders: founders, Fresh: seed%3 != 0})
	}
	for range nodes {
		start(nodes)
	}
	some := func() *simtest.Node { return w.Nodes[r.IntN(len(w.Nodes))] }
	open := map[*simtest.Node][]ownership.Handle{}
	var handle ownership.Handle
	act := func() {
		n := some()
		handles := open[n]
		switch k := r.IntN(10); {
		case k < 5:
			handle++
			open[n] = append(handles, handle)
			w.Input(n, ownership.Lock{Handle: handle, Key: fmt.Sprint("k", r.IntN(5)), TTL: time.Duration(1+r.IntN(3)) * time.Second,
				Try: r.IntN(3) == 0, NoRenew: r.IntN(3) == 0, Note: "note"})
		case len(handles) > 0 && k == 5:
			w.Input(n, ownership.Extend{Handle: handles[r.IntN(len(handles))]})
		case len(handles) > 0:
			w.Input(n, ownership.Unlock{Handle: handles[0]})
			open[n] = handles[1:]
		}
	}
	fault := func() {
		n := some()
		switch r.IntN(7) {
		case 0:
			w.Crash(n)
			start(50)
		case 1:
			w.Freeze(n)
			w.After(time.Duration(r.IntN(4000))*time.Millisecond, func() { w.Thaw(n) })
		case 2:
			w.Split(n.Name)
		case 3:
			w.CutOneWay(n.Name, some().Name)
		case 4:
			w.Input(n, ownership.Leave{})
			start(50)
		default:
			w.Mend()
		}
	}
	for at := time.Duration(0); at < 15*time.Second; at += 50 * time.Millisecond {
		w.At(at, act)
		if at%time.Second == 0 && at > 2*time.Second {
			w.At(at, fault)
		}
	}
	w.RunFor(15 * time.Second)
	return w
}

// step is one step of a core, and the code of the core after it.
type step struct {
	now  ownership.Time
	in   []ownership.Input
	out  ownership.Output
	code []byte
}

// shadow is a clone that stands still while its original goes on, to be led the
// same way later.
type shadow struct {
	clone *ownership.Core
	code  []byte // when it was made
	steps []step // of the original since
	until int
}

// follow lets the clone do what the original did. by shifts the clock.
func (s *shadow) follow(by ownership.Time) error {
	if !bytes.Equal(s.code, s.clone.Encode(nil)) {
		return fmt.Errorf("the clone changed while the original went on")
	}
	core := s.clone.Clone()
	if by != 0 {
		if ownership.Shift(core, by); !bytes.Equal(s.code, core.Encode(nil)) {
			return fmt.Errorf("a shift of the clock shows")
		}
	}
	for i, st := range s.steps {
		out := lead(core, st.now+by, ownership.Shift(st.in, by))
		if out = ownership.Shift(out, -by); !sameOutput(out, st.out) {
			return fmt.Errorf("step %d of %d: clone: %+v, original: %+v", i, len(s.steps), out, st.out)
		}
		if !bytes.Equal(core.Encode(nil), st.code) {
			return fmt.Errorf("step %d of %d: encoded otherwise than the original", i, len(s.steps))
		}
	}
	if !bytes.Equal(s.code, s.clone.Encode(nil)) {
		return fmt.Errorf("a clone changed while its own clone went on")
	}
	return nil
}

// lead leads a core by the other door where there is one: Deliver is Step.
func lead(core *ownership.Core, now ownership.Time, in []ownership.Input) ownership.Output {
	if len(in) == 1 {
		if r, ok := in[0].(ownership.Receive); ok {
			return core.Deliver(now, r)
		}
	}
	return core.Step(now, in...)
}

func sameOutput(a, b ownership.Output) bool {
	same := func(a, b any) bool { return reflect.DeepEqual(a, b) }
	return a.Wake == b.Wake &&
		slices.EqualFunc(a.Send, b.Send, func(a, b ownership.Envelope) bool { return same(a, b) }) &&
		slices.EqualFunc(a.Notify, b.Notify, func(a, b ownership.Event) bool { return same(a, b) })
}

// TestCloneGoesItsOwnWay: at random points of random worlds a clone is made; its
// original's steps do not show in it, and led the same way later it does the
// same. So does one whose clock is shifted: what encodes equally acts equally.
func TestCloneGoesItsOwnWay(t *testing.T) {
	clones, steps := 0, 0
	for seed := uint64(1); seed <= 10; seed++ {
		r := rand.New(rand.NewPCG(seed, 0))
		shadows := map[*simtest.Node]*shadow{}
		roam(seed, func(w *simtest.World) {
			w.OnStep = func(n *simtest.Node, now ownership.Time, in []ownership.Input, out ownership.Output) {
				if t.Failed() {
					return
				}
				s := shadows[n]
				if s == nil {
					if r.IntN(20) > 0 {
						return
					}
					s = &shadow{clone: n.Core.Clone(), code: n.Core.Encode(nil), until: 1 + r.IntN(60)}
					if err := ownership.CheckClone(n.Core, s.clone); err != nil {
						t.Fatalf("seed %d, %v: %v", seed, w.Now, err)
					}
					shadows[n] = s
					return
				}
				out.Send, out.Notify = slices.Clone(out.Send), slices.Clone(out.Notify)
				s.steps = append(s.steps, step{now, in, out, n.Core.Encode(nil)})
				if len(s.steps) < s.until {
					return
				}
				for _, by := range []ownership.Time{0, ownership.Time(17 * time.Hour)} {
					if err := s.follow(by); err != nil {
						t.Errorf("seed %d, %v, %v, clock shifted by %d: %v", seed, w.Now, n, by, err)
					}
				}
				clones, steps = clones+1, steps+len(s.steps)
				delete(shadows, n)
			}
		})
	}
	t.Logf("%d clones went %d steps", clones, steps)
	if clones < 100 {
		t.Errorf("only %d clones", clones)
	}
}

// TestSameInputsSameState: equal inputs in equal order give equal states: nothing
// depends on the order of a map.
func TestSameInputsSameState(t *testing.T) {
	run := func(seed uint64) (codes uint64, last [][]byte) {
		sum := fnv.New64a()
		var buf []byte
		w := roam(seed, func(w *simtest.World) {
			w.OnStep = func(n *simtest.Node, _ ownership.Time, _ []ownership.Input, _ ownership.Output) {
				buf = n.Core.Encode(buf[:0])
				sum.Write(buf)
			}
		})
		for _, n := range w.Nodes {
			last = append(last, n.Core.Encode(nil))
		}
		return sum.Sum64(), last
	}
	for seed := uint64(100); seed < 108; seed++ {
		codes1, last1 := run(seed)
		codes2, last2 := run(seed)
		if codes1 != codes2 || !slices.EqualFunc(last1, last2, bytes.Equal) {
			t.Errorf("seed %d: two runs of the same went apart", seed)
		}
	}
}

// busyCore is the core of one of three nodes, with six locks held and two waited for.
func busyCore(b *testing.B) *ownership.Core {
	w := simtest.New(1)
	for _, name := range []string{"a", "b", "c"} {
		w.Start(name, ownership.Config{Params: cloneParams, Founders: 3, Fresh: true})
	}
	w.RunFor(2 * time.Second)
	for i := range 8 {
		w.Input(w.Nodes[i%3], ownership.Lock{Handle: ownership.Handle(i + 1), Key: fmt.Sprint("k", i%6), TTL: time.Second})
	}
	w.RunFor(time.Second)
	b.ReportAllocs()
	return w.Nodes[0].Core
}

func BenchmarkClone(b *testing.B) {
	c := busyCore(b)
	for b.Loop() {
		c.Clone()
	}
}

func BenchmarkEncode(b *testing.B) {
	c := busyCore(b)
	var buf []byte
	for b.Loop() {
		buf = c.Encode(buf[:0])
	}
	b.ReportMetric(float64(len(buf)), "bytes")
}
