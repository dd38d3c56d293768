package mesh

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
)

func TestFence(t *testing.T) {
	var f Fence
	for _, c := range []struct {
		key   string
		token uint64
		want  error
	}{
		{"a", 5, nil},
		{"a", 5, nil}, // the same holder again
		{"a", 4, ErrFenced},
		{"b", 4, nil}, // each key for itself
		{"a", 7, nil},
		{"a", 5, ErrFenced},
		{"a", 1<<64 - 1, nil},
		{"a", 7, ErrFenced},
		{"a", 0, ErrInvalid},
		{"", 5, ErrInvalid},
	} {
		if err := f.Admit(c.key, c.token); !errors.Is(err, c.want) {
			t.Errorf("Admit(%q, %d) is %v; want %v", c.key, c.token, err, c.want)
		}
	}

	err := f.Admit("b", 3)
	var call *Error
	if !errors.As(err, &call) || call.Op != "Admit" || call.Key != "b" {
		t.Errorf("%#v", err)
	}
	if text := err.Error(); !strings.Contains(text, "token 3") || !strings.Contains(text, "with 4") {
		t.Error(text)
	}

	f.Forget("b")
	f.Forget("never seen")
	if err := f.Admit("b", 3); err != nil {
		t.Error(err)
	}
	if err := f.Admit("b", 2); !errors.Is(err, ErrFenced) {
		t.Error(err)
	}
}

// Of what many admit at once the tokens of each key rise, and the highest ends up
// there.
func TestFenceConcurrently(t *testing.T) {
	const writers, tokens, keys = 8, 2000, 3
	var (
		f       Fence
		mu      sync.Mutex
		written [keys]uint64
		wg      sync.WaitGroup
	)
	for w := range writers {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 1))
			for range tokens {
				k, token := random.IntN(keys), 1+random.Uint64N(tokens)
				mu.Lock()
				err := f.Admit(fmt.Sprint(k), token)
				if (err == nil) != (token >= written[k]) {
					t.Errorf("token %d after %d: %v", token, written[k], err)
				}
				if err == nil {
					written[k] = token
				}
				mu.Unlock()
				f.Admit("without the mutex", token)
			}
		})
	}
	wg.Wait()
	if err := f.Admit("without the mutex", tokens/2); !errors.Is(err, ErrFenced) {
		t.Error(err)
	}
}

func BenchmarkFence(b *testing.B) {
	var names [1024]string
	for i := range names {
		names[i] = fmt.Sprintf("orders/%d", i)
	}
	b.Run("same", func(b *testing.B) {
		var f Fence
		for b.Loop() {
			f.Admit("orders/17", 5)
		}
	})
	b.Run("rising", func(b *testing.B) {
		var f Fence
		token := uint64(0)
		for b.Loop() {
			token++
			f.Admit(names[token%1024], token)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		var f Fence
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				f.Admit(names[i%1024], 5)
			}
		})
	})
}
