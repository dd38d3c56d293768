package transport

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/lockmesh/lockmesh/ownership"
)

// A queue that counts less than what its messages take lets a peer that is away
// cost far more than its limit: everything long in a message must weigh.
func TestWeight(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 1))
	for _, sample := range everyKind {
		v := reflect.New(reflect.TypeOf(sample)).Elem()
		fill(r, v)
		grow(v)
		m := v.Interface().(ownership.Message)
		if size, w := memory(v), weight(m); w < size*7/8 || w > 6*size+1000 {
			t.Errorf("%T of %d bytes weighs %d", m, size, w)
		}
	}
}

// grow makes all lists and values of a message long.
func grow(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if _, shared := v.Interface().(*ownership.View); !shared && !v.IsNil() {
			grow(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			grow(v.Field(i))
		}
	case reflect.Slice:
		n := 30
		if v.Type().Elem().Kind() == reflect.Uint8 {
			n = ownership.MaxValueBytes
		}
		long := reflect.MakeSlice(v.Type(), n, n)
		grow(v.Index(0))
		for i := range n {
			long.Index(i).Set(v.Index(0))
		}
		v.Set(long)
	}
}

// memory is what a message takes, without what is shared: views, and names.
func memory(v reflect.Value) int { return int(v.Type().Size()) + beyond(v) }

func beyond(v reflect.Value) (n int) {
	switch v.Kind() {
	case reflect.Pointer:
		if _, shared := v.Interface().(*ownership.View); !shared && !v.IsNil() {
			n = memory(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Name != "Name" {
				n += beyond(v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			n += memory(v.Index(i))
		}
	case reflect.String:
		n = v.Len()
	}
	return n
}
