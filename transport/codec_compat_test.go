package transport

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/lockmesh/lockmesh/ownership"
	"github.com/vmihailenco/msgpack/v5"
)

// These tests play the part of newer and older nodes: they change encoded
// messages as a version with more or fewer fields would have written them.

// tree decodes what this test itself has encoded.
func tree(t *testing.T, b []byte) any {
	v, err := msgpack.NewDecoder(bytes.NewReader(b)).DecodeInterface()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func untree(t *testing.T, v any) []byte {
	var b bytes.Buffer
	e := msgpack.NewEncoder(&b)
	e.UseCompactInts(true)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// travelling is the number of a struct's fields that travel: all but the last ones
// that are unexported, which are what one process knows of it.
func travelling(v reflect.Value) int {
	n := v.NumField()
	for n > 0 && !v.Type().Field(n-1).IsExported() {
		n--
	}
	return n
}

// structs calls f for every array that stands for a struct of v, with the place
// of that array and the struct. It also shows that fields travel in the order in
// which the struct has them.
func structs(t *testing.T, node *any, v reflect.Value, f func(*any, reflect.Value)) {
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if *node == nil {
		return // a nil pointer, or an optional zero
	}
	switch v.Kind() {
	case reflect.Struct:
		fields := (*node).([]any)
		if len(fields) != travelling(v) {
			t.Fatalf("%v has %d fields that should travel and travels with %d", v.Type(), travelling(v), len(fields))
		}
		for i := range fields {
			structs(t, &fields[i], v.Field(i), f)
		}
		f(node, v)
	case reflect.Slice:
		if _, ok := (*node).([]byte); ok {
			return
		}
		for i, elements := 0, (*node).([]any); i < len(elements); i++ {
			structs(t, &elements[i], v.Index(i), f)
		}
	}
}

func TestNewerFieldsAreSkipped(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 1))
	extras := []any{
		nil, true, -7, 1 << 60, 1.5, "text", bytes.Repeat([]byte{1}, 70000), []any{1, []any{"x", nil}},
		map[string]any{"a": []any{1, 2}, "b": map[string]any{}}, make([]any, 20),
	}
	for _, sample := range everyKind {
		for range 20 {
			m := newMessage(r, sample)
			message := tree(t, encode(t, m))
			structs(t, &message.([]any)[2], reflect.ValueOf(m), func(node *any, _ reflect.Value) {
				extra := extras[r.IntN(len(extras))]
				*node = append((*node).([]any), extra, extras[r.IntN(len(extras))])
			})
			message = append(message.([]any), "a newer field of the envelope")
			got, err := DecodeMessage(untree(t, message))
			if err != nil {
				t.Fatalf("%T: %v", m, err)
			}
			if !reflect.DeepEqual(got, m) {
				t.Fatalf("sent %#v\ngot  %#v", m, got)
			}
		}
	}
}

func TestMissingFieldsAreZero(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	accepted := 0
	for _, sample := range everyKind {
		m := newMessage(r, sample)
		places := 0
		message := tree(t, encode(t, m))
		structs(t, &message.([]any)[2], reflect.ValueOf(m), func(*any, reflect.Value) { places++ })
		for place := range places {
			for keep := 0; ; keep++ {
				message := tree(t, encode(t, m))
				decoded, _ := DecodeMessage(encode(t, m))
				changed := reflect.New(reflect.TypeOf(decoded)).Elem() // a copy
				changed.Set(reflect.ValueOf(decoded))
				last, at := false, 0
				structs(t, &message.([]any)[2], changed, func(node *any, v reflect.Value) {
					if at++; at-1 != place {
						return
					}
					last = keep >= travelling(v)-1
					*node = (*node).([]any)[:keep]
					for i := keep; i < travelling(v); i++ {
						v.Field(i).SetZero()
					}
				})
				want := changed.Interface().(ownership.Message)
				got, err := DecodeMessage(untree(t, message))
				switch {
				case !mayArrive(want):
					if err == nil {
						t.Fatalf("%#v was accepted", got)
					}
				case err != nil:
					t.Fatalf("%#v: %v", want, err)
				case !reflect.DeepEqual(got, want):
					t.Fatalf("want %#v\ngot  %#v", want, got)
				default:
					accepted++
				}
				if last {
					break
				}
			}
		}
	}
	if accepted < 200 {
		t.Errorf("only %d messages were accepted: the test shows little", accepted)
	}
}

// mayArrive tells whether a message is one that may be decoded.
func mayArrive(m ownership.Message) bool {
	if _, err := AppendMessage(nil, m); err != nil {
		return false
	}
	var v *ownership.View
	switch m := m.(type) {
	case ownership.Found:
		v = m.View
	case ownership.Promise:
		v = m.Value
	case ownership.Propose:
		v = m.Value
	case ownership.Decided:
		v = m.View
	}
	return v == nil || v.Validate() == nil
}

func TestGreetingMixesVersions(t *testing.T) {
	g := greeting{version: 1, oldest: 1, cluster: "c", from: 1, name: "n", to: 2, dial: 3, seen: 4, verdict: 5, reason: "r"}
	b, err := appendGreeting(nil, g)
	if err != nil {
		t.Fatal(err)
	}
	fields := tree(t, b[greetingHead:]).([]any)
	for keep := range len(fields) + 1 {
		got, err := decodeGreeting(untree(t, fields[:keep]))
		if keep < 4 { // no version, or no node
			if err == nil {
				t.Errorf("%d fields: %+v", keep, got)
			}
			continue
		}
		want := fmt.Sprintf("{version:1 oldest:1 cluster:c from:%d", g.from)
		if err != nil || fmt.Sprintf("%+v", got)[:len(want)] != want || (got.reason == "r") != (keep == len(fields)) {
			t.Errorf("%d fields: %+v, %v", keep, got, err)
		}
	}
	got, err := decodeGreeting(untree(t, append(fields, "more", []any{1})))
	if err != nil || got != g {
		t.Errorf("with more fields: %+v, %v", got, err)
	}
}
