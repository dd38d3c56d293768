package ownership

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// Clone and Encode are written by hand. The tests here walk the type tree of Core
// by reflection, over a core in which every field is filled, so that a field that
// is added later cannot be forgotten in either.

// ofTheStep are the fields that are empty between steps.
var ofTheStep = map[string]bool{"Core.local": true, "Core.dirty": true, "Core.confirms": true, "Core.notices": true, "Core.beatAcks": true, "Core.out": true, "owner.starting": true}

// sharedTypes are never changed once they are made: a clone points to the same.
var sharedTypes = map[reflect.Type]bool{
	reflect.TypeFor[*View](): true, reflect.TypeFor[*Record](): true, reflect.TypeFor[*beat](): true,
	reflect.TypeFor[*query](): true, reflect.TypeFor[*Value](): true,
	reflect.TypeFor[*HeartbeatAckItem](): true, reflect.TypeFor[*assignment](): true, reflect.TypeFor[*Acquire](): true, reflect.TypeFor[*Release](): true,
}

// sharedFields are the slices and maps of which the same is true, and why.
var sharedFields = map[string]string{
	"Core.roster":        "replaced as a whole",
	"Core.absent":        "replaced as a whole",
	"owner.replicas":     "the view's",
	"owner.buffer":       "only appended to; the clone has no room behind it",
	"takeover.state":     "fixed once it is set (T3)",
	"sealAnswer.records": "made whole",
	"incoming.chunks[]":  "made whole",
	"change.value":       "the caller's, who does not change it",
}

// leftOut are the fields that Encode does not write.
var leftOut = map[string]string{
	"Core.now":         "times are written as their distance from it",
	"Core.local":       "of the step",
	"Core.dirty":       "of the step",
	"Core.confirms":    "of the step",
	"Core.beatAcks":    "of the step",
	"Core.notices":     "of the step",
	"Core.wallMilli":   "for people",
	"Core.wallAt":      "for people",
	"request.came":     "for people",
	"alteration.since": "for people",
	"Core.out":         "of the step",
	"owner.starting":   "of the step",
	"Config.ID":        "read by New alone",
	"Config.Client":    "read by New alone",
	"founding.refused": "for people (Status)",
	"Reason.Left":      "for people",
	"Holder.Since":     "for people",
	"client.leased[]":  "an index of holds",
	"table.ending":     "an index of endings",
	"request.ends":     "ending.until",
	"table.lines":      "an index of keys",
	"table.evicted":    "follows from endings",
	"client.leased":    "an index of holds",
	"client.bySeq":     "an index of holds",
	"client.alters":    "an index of holds",
	"Lock.Handle":      "hold.handle",
	"slot.xor":         "follows from held",
	"owner.bytes":      "follows from buffer",
	"lease.xor":        "follows from held",
	"table.parkedAt":   "an index of parked",
	"incoming.missing": "follows from chunks",
}

// caches are left out too, with all that they reach: what is in them follows from
// what is written, and is made again when they are empty.
var caches = map[string]bool{"Core.assigned": true, "View.owners": true}

// messagesIn are the messages that fields keep.
var messagesIn = map[string]reflect.Type{"pending.answer": reflect.TypeFor[Answer]()}

// keyInValue are the maps whose keys are written with their values.
var keyInValue = map[string]bool{"replica.records": true, "takeover.state": true, "sealAnswer.records": true, "table.requests": true,
	"table.leases": true, "client.holds": true}

// writable lets tests write to unexported fields.
func writable(v reflect.Value) reflect.Value {
	if !v.CanAddr() {
		return v
	}
	return reflect.NewAt(v.Type(), v.Addr().UnsafePointer()).Elem()
}

// eachField calls f with every field of a struct, named Type.field.
func eachField(v reflect.Value, f func(name string, v reflect.Value)) {
	for i := range v.NumField() {
		f(v.Type().Name()+"."+v.Type().Field(i).Name, writable(v.Field(i)))
	}
}

// filler fills values with what differs everywhere: lists of two, with room for
// more, maps of two, no nil.
type filler struct {
	n        int64
	holds    []*hold // the client's, and
	requests []*request
}

func filledCore() *Core {
	c := &Core{}
	(&filler{n: 1000}).fill("", reflect.ValueOf(c).Elem())
	return c
}

func (f *filler) fill(name string, v reflect.Value) {
	f.n++
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(!ofTheStep[name])
	case reflect.Int, reflect.Int64:
		v.SetInt(f.n)
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(f.n)&(1<<(v.Type().Size()*8-1)-1) | 1)
	case reflect.String:
		v.SetString(fmt.Sprint("s", f.n))
	case reflect.Struct:
		f.fillStruct(v)
	case reflect.Pointer:
		if r, is := v.Addr().Interface().(**request); is {
			*r = f.requests[0]
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		f.fill(name, v.Elem())
	case reflect.Slice:
		if ofTheStep[name] {
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 4))
		for i := range 2 {
			f.fillElem(name, i, v.Index(i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for i := range 2 {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			f.fill(name, key)
			f.fillElem(name, i, value)
			v.SetMapIndex(key, value)
		}
	case reflect.Func: // Config.Buggify: injected, and shared
	case reflect.Interface:
		inside := reflect.New(messagesIn[name]).Elem()
		f.fill(name, inside)
		v.Set(inside)
	default:
		panic("filler: " + name + " is a " + v.Kind().String())
	}
}

// fillElem: lists of holds and requests name the same two.
func (f *filler) fillElem(name string, i int, v reflect.Value) {
	switch p := v.Addr().Interface().(type) {
	case **hold:
		*p = f.holds[i]
	case **request:
		*p = f.requests[i]
	default:
		f.fill(name+"[]", v)
	}
}

func (f *filler) fillStruct(v reflect.Value) {
	all := func() {
		eachField(v, func(name string, v reflect.Value) {
			if name != "Core.out" && name != "Core.local" {
				f.fill(name, v)
			}
		})
	}
	switch p := v.Addr().Interface().(type) {
	case *table:
		f.requests = filledTwo[request](f)
		all()
		p.requests = map[RequestID]*request{}
		p.ending = map[RequestID]*request{}
		for i, r := range f.requests {
			p.requests[r.id] = r
			p.ending[r.id], p.endings[i].request = r, r
		}
	case *client:
		f.holds = filledTwo[hold](f)
		all()
		p.holds = map[Handle]*hold{}
		for _, h := range f.holds {
			p.holds[h.handle] = h
		}
	default:
		all()
	}
}

func filledTwo[T any](f *filler) []*T {
	two := []*T{new(T), new(T)}
	for _, p := range two {
		f.fill("", reflect.ValueOf(p).Elem())
	}
	return two
}

// CheckClone says what is wrong with k as a clone of c: what differs, is shared
// though it is changed in place, or points elsewhere than it does in c.
func CheckClone(c, k *Core) error {
	w := twins{twin: map[uintptr]uintptr{}, of: map[uintptr]uintptr{}}
	w.check("Core", reflect.ValueOf(c).Elem(), reflect.ValueOf(k).Elem())
	if len(w.wrong) == 0 {
		return nil
	}
	return fmt.Errorf("%s", strings.Join(w.wrong, "\n"))
}

// twins walks a core and its clone in step.
type twins struct {
	twin, of map[uintptr]uintptr // what is at an address of one is there in the other
	wrong    []string
}

func (w *twins) fail(name, why string) { w.wrong = append(w.wrong, name+": "+why) }

func (w *twins) check(name string, a, b reflect.Value) {
	switch a.Kind() {
	case reflect.Struct:
		eachField(a, func(name string, a reflect.Value) {
			field := b.FieldByName(name[strings.LastIndexByte(name, '.')+1:])
			if !ofTheStep[name] {
				w.check(name, a, field)
			} else if !field.IsZero() {
				w.fail(name, "not empty")
			}
		})
	case reflect.Pointer, reflect.Map, reflect.Slice:
		if a.IsNil() != b.IsNil() {
			w.fail(name, "nil in one of them")
		} else if !a.IsNil() {
			w.checkMemory(name, a, b)
		}
	case reflect.Func:
		if a.Pointer() != b.Pointer() {
			w.fail(name, "differs")
		}
	default:
		if !a.Equal(b) {
			w.fail(name, "differs")
		}
	}
}

func (w *twins) checkMemory(name string, a, b reflect.Value) {
	same := a.Pointer() == b.Pointer()
	switch {
	case sharedTypes[a.Type()] || sharedFields[name] != "":
		if !same || a.Kind() == reflect.Slice && name == "owner.buffer" && b.Cap() > b.Len() {
			w.fail(name, "should be shared, and without room behind it")
		}
		return
	case same && (a.Kind() != reflect.Slice || a.Cap() > 0):
		w.fail(name, "shared")
		return
	case a.Kind() != reflect.Slice: // lists may be empty, and then at one address
		t, seen := w.twin[a.Pointer()]
		o := w.of[b.Pointer()]
		if seen || o != 0 {
			if t != b.Pointer() || o != a.Pointer() {
				w.fail(name, "points to another than in the original")
			}
			return
		}
		w.twin[a.Pointer()], w.of[b.Pointer()] = b.Pointer(), a.Pointer()
	}
	if a.Kind() != reflect.Pointer && a.Len() != b.Len() {
		w.fail(name, "of another length")
		return
	}
	switch a.Kind() {
	case reflect.Pointer:
		w.check(name, a.Elem(), b.Elem())
	case reflect.Slice:
		for i := range a.Len() {
			w.check(name+"[]", a.Index(i), b.Index(i))
		}
	case reflect.Map:
		for _, key := range a.MapKeys() {
			if v := b.MapIndex(key); v.IsValid() {
				w.check(name+"[]", a.MapIndex(key), v)
			} else {
				w.fail(name, "has other keys")
			}
		}
	}
}

func TestCloneSharesNothing(t *testing.T) {
	c := filledCore()
	before := c.Encode(nil)
	k := c.Clone()
	if err := CheckClone(c, k); err != nil {
		t.Error(err)
	}
	if !bytes.Equal(before, k.Encode(nil)) || !bytes.Equal(before, c.Encode(nil)) {
		t.Error("the clone is encoded otherwise")
	}
	if err := CheckClone(c, c); err == nil {
		t.Error("a core passed as its own clone")
	}
}

// changes walks everything that a core reaches and calls visit with each way to
// change it a little: do changes it, and returns how to undo that.
type changes struct {
	seen  map[uintptr]bool
	visit func(name string, do func() (undo func()))
}

func (w *changes) walk(name string, v reflect.Value) {
	set := func(to reflect.Value) {
		w.visit(name, func() func() {
			old := reflect.New(v.Type()).Elem()
			old.Set(v)
			v.Set(to)
			return func() { v.Set(old) }
		})
	}
	switch v.Kind() {
	case reflect.Func: // Config.Buggify: injected, no state
	case reflect.Struct:
		eachField(v, func(name string, v reflect.Value) {
			if name != "Core.out" && !caches[name] { // out: lists of interfaces
				w.walk(name, v)
			}
		})
	case reflect.Pointer:
		if w.seen[v.Pointer()] {
			return
		}
		w.seen[v.Pointer()] = true
		w.walk(name, v.Elem())
		if !strings.HasSuffix(name, "[]") {
			set(reflect.Zero(v.Type()))
		}
	case reflect.Slice:
		for i := range v.Len() {
			w.walk(name+"[]", v.Index(i))
		}
		if v.Len() > 0 {
			set(v.Slice(0, v.Len()-1))
		}
	case reflect.Map:
		w.walkMap(name, v)
	case reflect.Interface:
		inside := reflect.New(v.Elem().Type()).Elem()
		inside.Set(v.Elem())
		(&changes{w.seen, func(name string, do func() func()) {
			w.visit(name, func() func() {
				undo := do()
				v.Set(inside)
				return func() { undo(); v.Set(inside) }
			})
		}}).walk(name, inside)
		set(reflect.Zero(v.Type()))
	default:
		set(otherValue(v))
	}
}

func (w *changes) walkMap(name string, m reflect.Value) {
	for i, key := range m.MapKeys() {
		value := reflect.New(m.Type().Elem()).Elem()
		value.Set(m.MapIndex(key))
		inner := changes{w.seen, func(name string, do func() func()) {
			w.visit(name, func() func() {
				undo := do()
				m.SetMapIndex(key, value)
				return func() { undo(); m.SetMapIndex(key, value) }
			})
		}}
		inner.walk(name+"[]", value)
		if i > 0 {
			continue
		}
		w.visit(name, func() func() {
			m.SetMapIndex(key, reflect.Value{})
			return func() { m.SetMapIndex(key, value) }
		})
		if keyInValue[name] || key.Kind() == reflect.Struct {
			continue
		}
		w.visit(name, func() func() {
			other := otherValue(key)
			m.SetMapIndex(key, reflect.Value{})
			m.SetMapIndex(other, value)
			return func() { m.SetMapIndex(other, reflect.Value{}); m.SetMapIndex(key, value) }
		})
	}
}

// otherValue is another value of a simple type.
func otherValue(v reflect.Value) reflect.Value {
	n := reflect.New(v.Type()).Elem()
	switch v.Kind() {
	case reflect.Bool:
		n.SetBool(!v.Bool())
	case reflect.Int, reflect.Int64:
		n.SetInt(v.Int() + 7777)
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		n.SetUint(v.Uint() ^ 1<<(v.Type().Size()*8-1))
	case reflect.String:
		n.SetString(v.String() + "+")
	default:
		panic(v.Kind().String())
	}
	return n
}

func TestEncodeShowsEveryField(t *testing.T) {
	c := filledCore()
	want := c.Encode(nil)
	visited := map[string]bool{}
	w := changes{map[uintptr]bool{}, func(name string, do func() func()) {
		field := strings.TrimSuffix(name, "[]")
		visited[field] = true
		undo := do()
		shows := !bytes.Equal(want, c.Encode(nil))
		undo()
		if !bytes.Equal(want, c.Encode(nil)) {
			t.Fatalf("%s: the test did not undo its change", name)
		}
		switch {
		case leftOut[field] == "" && !shows:
			t.Errorf("%s does not show in Encode", name)
		case leftOut[field] != "" && shows && field != "Core.now":
			t.Errorf("%s shows in Encode, and is listed as left out", name)
		}
	}}
	w.walk("", reflect.ValueOf(c).Elem())
	for field := range leftOut {
		if !visited[field] && !ofTheStep[field] {
			t.Errorf("%s is listed as left out, and is no field that was filled", field)
		}
	}
	if len(visited) < 200 {
		t.Errorf("only %d fields were visited", len(visited))
	}
}

// Shift moves all local times and echoes that v reaches, as if the clock had
// begun earlier. What may be shared with others is copied first.
func Shift[T any](v T, by Time) T {
	(&shifter{by, map[uintptr]bool{}}).shift(reflect.ValueOf(&v).Elem())
	return v
}

type shifter struct {
	by   Time
	seen map[uintptr]bool
}

func (s *shifter) shift(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		eachField(v, func(_ string, v reflect.Value) { s.shift(v) })
	case reflect.Interface:
		if v.IsNil() {
			return
		}
		n := reflect.New(v.Elem().Type()).Elem()
		n.Set(v.Elem())
		s.shift(n)
		v.Set(n)
	case reflect.Pointer:
		s.shiftPointer(v)
	case reflect.Slice:
		n := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		reflect.Copy(n, v)
		for i := range n.Len() {
			s.shift(n.Index(i))
		}
		if !v.IsNil() {
			v.Set(n)
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			value := reflect.New(v.Type().Elem()).Elem()
			value.Set(v.MapIndex(key))
			s.shift(value)
			v.SetMapIndex(key, value)
		}
	case reflect.Int64:
		if t := v.Type(); t == reflect.TypeFor[Time]() || t == reflect.TypeFor[Echo]() {
			if v.Int() != 0 && v.Int() != int64(never) {
				v.SetInt(v.Int() + int64(s.by))
			}
		}
	}
}

func (s *shifter) shiftPointer(v reflect.Value) {
	t := v.Type()
	switch {
	case v.IsNil() || s.seen[v.Pointer()] || t == reflect.TypeFor[*View]() || t == reflect.TypeFor[*Record]():
		return // these have no times
	case sharedTypes[t]:
		n := reflect.New(t.Elem())
		n.Elem().Set(v.Elem())
		v.Set(n)
	}
	s.seen[v.Pointer()] = true
	s.shift(v.Elem())
}

// TestEncodeIsRelative: states that differ by a shift of the clock are one; 0 and
// never have no distance from now.
func TestEncodeIsRelative(t *testing.T) {
	c := filledCore()
	before := c.Encode(nil)
	if Shift(c, 12345); !bytes.Equal(before, c.Encode(nil)) {
		t.Error("a shift of the clock shows")
	}
	if c.now++; bytes.Equal(before, c.Encode(nil)) {
		t.Error("a step of the clock does not show")
	}
	for _, special := range []Time{0, never} {
		var codes [][]byte
		for _, now := range []Time{100, 0, -100} {
			e := &encoder{now: now}
			e.time(special)
			codes = append(codes, e.buf)
		}
		if !bytes.Equal(codes[0], codes[1]) || !bytes.Equal(codes[0], codes[2]) || len(codes[0]) != 1 {
			t.Errorf("time %d is written as %v", special, codes)
		}
	}
}

// TestEncodeTellsEmptyFromMissing: where nil means something, it shows.
func TestEncodeTellsEmptyFromMissing(t *testing.T) {
	code := func(f func(e *encoder)) string { e := &encoder{}; f(e); return string(e.buf) }
	some := map[string]*Record{}
	if code(func(e *encoder) { e.sealAnswer(sealAnswer{}) }) == code(func(e *encoder) { e.sealAnswer(sealAnswer{records: some}) }) {
		t.Error("an empty state looks like none")
	}
	if code(func(e *encoder) { e.incoming(&incoming{chunks: [][]*Record{nil}}) }) == code(func(e *encoder) { e.incoming(&incoming{chunks: [][]*Record{{}}}) }) {
		t.Error("an empty chunk looks like a missing one")
	}
}
