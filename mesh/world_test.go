package mesh

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/lockmesh/lockmesh/transport"
)

func TestMain(m *testing.M) {
	if os.Getenv(helperEnv) != "" {
		helperMain()
		return
	}
	goleak.VerifyTestMain(closing{m})
}

// world is a mesh in a synctest bubble: nodes in memory, virtual time.
type world struct {
	t     *testing.T
	net   *transport.Memory
	start time.Time
	seed  uint64
	logs  *logBook
}

// inWorld runs f in a bubble. Nodes that f leaves behind are closed.
func inWorld(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, start: time.Now(), seed: 1, logs: newLogBook(t)}
		random := rand.New(rand.NewPCG(1, 2))
		w.net = transport.NewMemory(transport.WithCodec(nil), transport.WithRand(random.Float64))
		f(t, w)
	})
}

// bubbleClock is the clock of a synctest bubble.
type bubbleClock struct{ start time.Time }

func (c bubbleClock) Now() time.Duration { return time.Hour + time.Since(c.start) }
func (c bubbleClock) Wall() time.Time    { return time.Now() }

// config is that of node i of a fleet of n.
func (w *world) config(i, n int) Config {
	w.seed++
	random := rand.New(rand.NewPCG(w.seed, 3))
	var mu sync.Mutex
	cfg := Config{
		Name: fmt.Sprintf("node-%d", i), Bind: fmt.Sprintf("host-%d:1", i), Fresh: true,
		Params: Params{Partitions: 16},
		Logger: w.logs.logger(),
		Env: &Env{
			Clock: bubbleClock{w.start},
			Rand: func() uint64 {
				mu.Lock()
				defer mu.Unlock()
				return random.Uint64()
			},
			Network: InMemory(w.net),
		},
	}
	if n > 1 {
		cfg.Founders = n
		cfg.Seeds = []string{"host-0:1"}
	}
	return cfg
}

// join starts nodes at once and closes them at the end of the test.
func (w *world) join(cfgs ...Config) []*Node {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	nodes := make([]*Node, len(cfgs))
	errs := make([]error, len(cfgs))
	var wg sync.WaitGroup
	for i, cfg := range cfgs {
		wg.Go(func() { nodes[i], errs[i] = Join(ctx, cfg) })
	}
	wg.Wait()
	for i, n := range nodes {
		if errs[i] != nil {
			w.t.Errorf("node %d: %v", i, errs[i])
			continue
		}
		w.t.Cleanup(func() { n.Close() })
	}
	if w.t.Failed() {
		w.t.FailNow()
	}
	return nodes
}

// fleet founds a mesh of n nodes.
func (w *world) fleet(n int, change ...func(*Config)) []*Node {
	w.t.Helper()
	var cfgs []Config
	for i := range n {
		cfg := w.config(i, n)
		for _, f := range change {
			f(&cfg)
		}
		cfgs = append(cfgs, cfg)
	}
	return w.join(cfgs...)
}

// pass lets virtual time pass, and then all that is due happen.
func pass(d time.Duration) {
	<-time.After(d) // of the bubble
	synctest.Wait()
}

// within is a context of virtual time.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func isDone(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// must locks a key or fails.
func must(t *testing.T, n *Node, key string, opts ...Option) *Lock {
	t.Helper()
	l, err := n.Lock(within(t, 30*time.Second), key, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// keyOf finds a key whose owner is the node, and another if it is not wanted.
func keyOf(t *testing.T, n *Node, owner NodeID) string {
	t.Helper()
	v := n.View()
	for i := range 10_000 {
		key := fmt.Sprintf("key-%d", i)
		if v.Partitions[partitionOf(key, len(v.Partitions))].Owner == owner {
			return key
		}
	}
	t.Fatalf("%v owns nothing in %+v", owner, v)
	return ""
}

// logBook keeps log lines, for tests that look for one and for those that fail.
type logBook struct {
	mu    sync.Mutex
	lines []string
}

func newLogBook(t *testing.T) *logBook {
	b := &logBook{}
	t.Cleanup(func() {
		if t.Failed() {
			b.mu.Lock()
			defer b.mu.Unlock()
			t.Log("\n" + strings.Join(b.lines[max(0, len(b.lines)-200):], ""))
		}
	})
	return b
}

func (b *logBook) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, string(line))
	return len(line), nil
}

func (b *logBook) has(text string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.lines {
		if strings.Contains(l, text) {
			return true
		}
	}
	return false
}

func (b *logBook) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(io.Writer(b), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// closing ends what the benchmarks share before goleak looks.
type closing struct{ *testing.M }

func (c closing) Run() int {
	defer func() { closeBenchFleet() }()
	return c.M.Run()
}
