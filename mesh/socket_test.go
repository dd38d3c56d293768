package mesh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// These tests run on real sockets and in real time: few, and without a sleep.

// patience bounds what a test waits for.
const patience = 30 * time.Second

// onLoopback is the configuration of one of n founders on free ports. ports are
// those of the seeds.
func onLoopback(t *testing.T, i, n int, seeds ...string) (Config, *logBook) {
	book := newLogBook(t)
	cfg := Config{
		Name: fmt.Sprintf("node-%d", i), Bind: "127.0.0.1:0", Fresh: true, Cluster: "test",
		Logger: book.logger(), Seeds: seeds,
	}
	if len(seeds) > 0 {
		cfg.Founders = n
	}
	return cfg, book
}

// freePorts finds addresses that are free, most likely still when they are used.
func freePorts(t testing.TB, n int) []string {
	t.Helper()
	var addrs []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		addrs = append(addrs, l.Addr().String())
	}
	return addrs
}

// noLeaks fails the test if goroutines are left when it and its cleanups are
// over: call it first.
func noLeaks(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}

// realFleet founds a mesh of n nodes on loopback, closed at the end of the test.
func realFleet(t *testing.T, n int) (nodes []*Node, books []*logBook, addrs []string) {
	t.Helper()
	addrs = freePorts(t, n)
	nodes, books = make([]*Node, n), make([]*logBook, n)
	var wg sync.WaitGroup
	for i := range n {
		var cfg Config
		cfg, books[i] = onLoopback(t, i, n, addrs...)
		cfg.Bind = addrs[i]
		wg.Go(func() {
			var err error
			if nodes[i], err = Join(within(t, patience), cfg); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, node := range nodes {
		if node != nil {
			t.Cleanup(func() { node.Close() })
		}
	}
	if t.Failed() {
		t.FailNow()
	}
	return nodes, books, addrs
}

func TestRealFleet(t *testing.T) {
	noLeaks(t)
	nodes, _, _ := realFleet(t, 3)
	for i, n := range nodes {
		if err := n.Do(within(t, patience), "k", func(_ context.Context, l *Lock) error {
			_, err := nodes[(i+1)%3].TryLock(within(t, patience), "k")
			if !errors.Is(err, ErrLocked) {
				t.Error(err)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
	l := must(t, nodes[0], "k")
	if err := nodes[0].Leave(within(t, patience)); err != nil {
		t.Error(err)
	}
	if !errors.Is(l.Err(), ErrReleased) {
		t.Error(l.Err())
	}
	must(t, nodes[1], "k")
}

func TestBindTaken(t *testing.T) {
	noLeaks(t)
	cfg, _ := onLoopback(t, 0, 1)
	n, err := Join(within(t, patience), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	cfg, _ = onLoopback(t, 1, 1)
	cfg.Bind = n.Addr()
	_, err = Join(within(t, patience), cfg)
	if !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "port 0") ||
		strings.Count(err.Error(), "in use") != 1 {
		t.Error(err)
	}
	t.Log(err)
}

// An address that the host does not have is a mistake, not a matter of time.
func TestBindElsewhere(t *testing.T) {
	noLeaks(t)
	cfg, _ := onLoopback(t, 0, 1)
	cfg.Bind = "192.0.2.1:7946" // of RFC 5737, for documentation
	_, err := Join(within(t, patience), cfg)
	if !errors.Is(err, ErrInvalid) || errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), `":7946"`) || !strings.Contains(err.Error(), "Advertise") {
		t.Error(err)
	}
	t.Log(err)
}

// lineHook is a log that calls do with each line that has a text.
type lineHook struct {
	text string
	do   func()
}

func (h lineHook) Write(line []byte) (int, error) {
	if strings.Contains(string(line), h.text) {
		h.do()
	}
	return len(line), nil
}

// Join says when its seeds cannot lead anywhere.
func TestSeedsOfItself(t *testing.T) {
	noLeaks(t)
	addr := freePorts(t, 1)[0]
	for want, change := range map[string]func(*Config){
		"Seeds name only this node":     func(c *Config) { c.Seeds = []string{addr} },
		"Discover named no address":     func(c *Config) { c.Discover = func(context.Context) ([]string, error) { return nil, nil } },
		"Discover named only this node": func(c *Config) { c.Discover = func(context.Context) ([]string, error) { return []string{addr}, nil } },
	} {
		cfg, _ := onLoopback(t, 0, 1)
		cfg.Bind, cfg.Founders = addr, 2
		change(&cfg)
		ctx, cancel := context.WithCancel(within(t, patience))
		cfg.Logger = slog.New(slog.NewTextHandler(lineHook{want, cancel}, nil))
		_, err := Join(ctx, cfg)
		if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), want) {
			t.Error(err)
		}
	}
}

func TestOtherCluster(t *testing.T) {
	noLeaks(t)
	nodes, books, addrs := realFleet(t, 2)
	cfg, _ := onLoopback(t, 9, 2, addrs...)
	cfg.Cluster = "other"
	_, err := Join(within(t, patience), cfg)
	if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), `belongs to the cluster "test", not "other"`) {
		t.Error(err)
	}
	t.Log(err)
	for i, n := range nodes {
		must(t, n, fmt.Sprint("k", i))
	}
	for i, n := range nodes {
		n.Close() // writes the log out
		if !books[i].has("refused a node of another cluster") {
			t.Error("the log does not say it")
		}
	}
}

func TestOtherParams(t *testing.T) {
	noLeaks(t)
	nodes, _, addrs := realFleet(t, 2)
	cfg, _ := onLoopback(t, 9, 2, addrs...)
	cfg.Params.Partitions = 31
	_, err := Join(within(t, patience), cfg)
	if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "Partitions 31") || !strings.Contains(err.Error(), "Partitions 271") {
		t.Error(err)
	}
	t.Log(err)
	for i, n := range nodes {
		must(t, n, fmt.Sprint("k", i))
	}
}

func TestGarbagePeer(t *testing.T) {
	noLeaks(t)
	nodes, _, addrs := realFleet(t, 2)
	l := must(t, nodes[0], "k")
	for _, garbage := range []string{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", strings.Repeat("\x00", 4096), strings.Repeat("\xff", 4096), "\x01\x02\x03\x04\x05\x06\x07\x08", "\xf4\x05short"} {
		conn, err := net.Dial("tcp", addrs[0])
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, garbage)
		conn.(*net.TCPConn).CloseWrite()
		conn.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%.10q: still open", garbage)
		}
		conn.Close()
		udp, err := net.Dial("udp", addrs[0])
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(udp, garbage)
		udp.Close()
	}
	if l.State() != Held {
		t.Error(l.Err())
	}
	for i, n := range nodes {
		must(t, n, fmt.Sprint("j", i))
	}
}

// A process that is restarted at once on its port is a new node: the old one is
// dropped, the new one joins.
func TestRestartAtOnce(t *testing.T) {
	noLeaks(t)
	nodes, _, addrs := realFleet(t, 3)
	old := nodes[2].ID()
	nodes[2].Close()
	cfg, _ := onLoopback(t, 2, 3, addrs...)
	cfg.Bind = addrs[2]
	again, err := Join(within(t, patience), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { again.Close() })
	must(t, again, "k")
	for deadline := time.Now().Add(patience); ; {
		v := again.View()
		_, still := v.Member(old)
		if !still && len(v.Members) == 3 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the view keeps the old node: %+v", v.Members)
		}
		for p := range 8 {
			l := must(t, nodes[p%2], fmt.Sprint("p", p))
			l.Unlock(within(t, patience))
		}
	}
}

func TestSeedDoesNotResolve(t *testing.T) {
	noLeaks(t)
	cfg, book := onLoopback(t, 0, 2, "no-such-host.test:7946")
	asked := make(chan struct{}, 100)
	ctx, cancel := context.WithCancel(context.Background())
	cfg.Env = &Env{Lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
		asked <- struct{}{}
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}}
	go func() {
		<-asked
		<-asked // it has noted the first answer
		cancel()
	}()
	_, err := Join(ctx, cfg)
	for _, want := range []string{"found 1 of 2 founders", "no-such-host.test:7946 does not resolve", "no such host"} {
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%v\ndoes not say %q", err, want)
		}
	}
	if !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if !book.has("does not resolve") {
		t.Error("the log does not say it")
	}
}

// A name stands for all its addresses, and Discover is asked again.
func TestDiscover(t *testing.T) {
	noLeaks(t)
	addrs := freePorts(t, 2)
	_, port0, _ := net.SplitHostPort(addrs[0])
	_, port1, _ := net.SplitHostPort(addrs[1])
	var mu sync.Mutex
	asked := 0
	discover := func(context.Context) ([]string, error) {
		mu.Lock()
		defer mu.Unlock()
		if asked++; asked < 4 {
			return nil, errors.New("the registry is not up yet")
		}
		return []string{"fleet.test:" + port0, "fleet.test:" + port1}, nil
	}
	lookup := func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.9")}, nil
	}
	var wg sync.WaitGroup
	nodes := make([]*Node, 2)
	for i := range 2 {
		cfg, _ := onLoopback(t, i, 2)
		cfg.Bind, cfg.Founders, cfg.Discover, cfg.Env = addrs[i], 2, discover, &Env{Lookup: lookup}
		wg.Go(func() {
			var err error
			if nodes[i], err = Join(within(t, patience), cfg); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i, n := range nodes {
		if n != nil {
			t.Cleanup(func() { n.Close() })
			must(t, n, fmt.Sprint("k", i))
		}
	}
}
