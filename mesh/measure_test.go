package mesh

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Measured with real processes on loopback, printed and not asserted:
//
//	go test ./mesh -run TestMeasure -v -measure [-trials 20]
//
// The test binary runs itself as the nodes. Each takes commands on its standard
// input and answers with one line each: see helper.

var (
	measure = flag.Bool("measure", false, "run TestMeasure")
	trials  = flag.Int("trials", 20, "how often TestMeasure kills an owner")
)

const helperEnv = "LOCKMESH_HELPER"

func TestMeasure(t *testing.T) {
	if !*measure {
		t.Skip("without -measure")
	}
	for _, n := range []int{3, 5, 9} {
		f := newProcesses(t, n)
		begin := f.startAll()
		slowest := time.Duration(0)
		for _, p := range f.nodes {
			slowest = max(slowest, p.joined.Sub(begin))
			for key := range 4 {
				if answer := p.ask("lock", fmt.Sprint("key-", key)); len(answer) > 0 && answer[0] != "" {
					t.Fatal(answer)
				}
			}
		}
		fmt.Printf("%d processes: all joined %v after the last one's start; a lock from every node\n", n, slowest.Round(time.Millisecond))
		f.stop()
	}
	f := newProcesses(t, 3)
	f.startAll()
	f.gaps("owner killed", *trials, func(p *process) { p.cmd.Process.Kill() })
	f.gaps("owner leaves", *trials, func(p *process) { p.send("leave") })
	f.stop()
}

// processes is a fleet of real processes.
type processes struct {
	t     *testing.T
	addrs []string
	nodes []*process
}

// process is one of them.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	in     *bufio.Writer
	out    *bufio.Scanner
	joined time.Time
}

func newProcesses(t *testing.T, n int) *processes {
	return &processes{t: t, addrs: freePorts(t, n), nodes: make([]*process, n)}
}

// startAll returns when the last one was started, after all have joined.
func (f *processes) startAll() (last time.Time) {
	for i := range f.nodes {
		f.nodes[i] = f.start(i)
		last = time.Now()
	}
	for _, p := range f.nodes {
		p.awaitJoined()
	}
	return last
}

func (f *processes) start(i int) *process {
	cfg, err := json.Marshal(helperConfig{Name: fmt.Sprint("node-", i), Bind: f.addrs[i], Seeds: f.addrs})
	if err != nil {
		f.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperEnv+"="+string(cfg))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { cmd.Process.Kill() })
	return &process{t: f.t, cmd: cmd, in: bufio.NewWriter(in), out: bufio.NewScanner(out)}
}

// gaps ends nodes one after the other, and prints how long the keys they owned
// were without a successful Lock, seen from another node.
func (f *processes) gaps(what string, trials int, end func(*process)) {
	var all []time.Duration
	for trial := range trials {
		i := trial % len(f.nodes)
		victim, witness := f.nodes[i], f.nodes[(i+1)%len(f.nodes)]
		keys := victim.ask("keys")
		witness.ask("probe", keys...)
		end(victim)
		victim.cmd.Wait()
		gap, err := time.ParseDuration(witness.ask("after")[0])
		if err != nil {
			f.t.Fatal(err)
		}
		all = append(all, gap)
		f.nodes[i] = f.start(i)
		f.nodes[i].awaitJoined()
	}
	slices.Sort(all)
	fmt.Printf("%s, %d trials, longest time without a Lock over 8 of its keys: median %v, worst %v\n",
		what, trials, all[len(all)/2].Round(100*time.Microsecond), all[len(all)-1].Round(100*time.Microsecond))
}

func (f *processes) stop() {
	for _, p := range f.nodes {
		p.cmd.Process.Kill()
		p.cmd.Wait()
	}
}

func (p *process) awaitJoined() {
	p.answer("joined")
	p.joined = time.Now()
}

func (p *process) send(command string, args ...string) {
	fmt.Fprintln(p.in, strings.Join(append([]string{command}, args...), " "))
	p.in.Flush()
}

func (p *process) ask(command string, args ...string) []string {
	p.t.Helper()
	p.send(command, args...)
	return p.answer(command)
}

func (p *process) answer(to string) []string {
	p.t.Helper()
	if !p.out.Scan() {
		p.t.Fatalf("no answer to %s", to)
	}
	words := strings.Fields(p.out.Text())
	if len(words) == 0 || words[0] != to {
		p.t.Fatalf("answer to %s: %q", to, p.out.Text())
	}
	return words[1:]
}

// helperConfig is what a process is told of its Config.
type helperConfig struct {
	Name, Bind string
	Seeds      []string
}

// helperMain is a node in a process of its own.
func helperMain() {
	var told helperConfig
	if err := json.Unmarshal([]byte(os.Getenv(helperEnv)), &told); err != nil {
		panic(err)
	}
	cfg := Config{Name: told.Name, Bind: told.Bind, Seeds: told.Seeds, Founders: len(told.Seeds), Fresh: true}
	level := slog.LevelError
	if os.Getenv("LOCKMESH_VERBOSE") != "" {
		level = slog.LevelDebug
	}
	cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	n, err := Join(context.Background(), cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	h := &helper{node: n}
	fmt.Println("joined")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		words := strings.Fields(in.Text())
		fmt.Println(words[0], strings.Join(h.do(words[0], words[1:]), " "))
		if words[0] == "leave" {
			return
		}
	}
}

type helper struct {
	node  *Node
	probe *probe
}

func (h *helper) do(command string, args []string) []string {
	ctx := context.Background()
	switch command {
	case "lock": // key: locks and unlocks it
		l, err := h.node.Lock(ctx, args[0])
		if err == nil {
			err = l.Unlock(ctx)
		}
		if err != nil {
			return []string{err.Error()}
		}
	case "keys": // lists eight keys that this node owns, of as many partitions
		v := h.node.View()
		var keys []string
		for p, at := range v.Partitions {
			if at.Owner == h.node.ID() && len(keys) < 8 {
				keys = append(keys, keyIn(p, len(v.Partitions)))
			}
		}
		return keys
	case "probe": // keys: begins to lock and unlock them all the time
		h.probe = startProbe(h.node, args)
		h.probe.rounds(3)
	case "after": // tells the longest gap until each key was locked again
		h.probe.rounds(3)
		return []string{h.probe.end().String()}
	case "leave":
		if err := h.node.Leave(ctx); err != nil {
			return []string{err.Error()}
		}
	}
	return nil
}

// probe locks and unlocks keys in a goroutine each.
type probe struct {
	count   []atomic.Int64 // by key
	longest atomic.Int64   // gap, in nanoseconds
	stop    atomic.Bool
	change  chan struct{}
	wg      sync.WaitGroup
}

func startProbe(n *Node, keys []string) *probe {
	p := &probe{count: make([]atomic.Int64, len(keys)), change: make(chan struct{}, 1)}
	for i, key := range keys {
		p.wg.Go(func() {
			last := time.Now()
			for !p.stop.Load() {
				l, err := n.Lock(context.Background(), key)
				if err != nil {
					panic(err)
				}
				now := time.Now()
				for gap := int64(now.Sub(last)); ; {
					if old := p.longest.Load(); old >= gap || p.longest.CompareAndSwap(old, gap) {
						break
					}
				}
				last = now
				p.count[i].Add(1)
				select {
				case p.change <- struct{}{}:
				default:
				}
				l.Unlock(context.Background())
			}
		})
	}
	return p
}

// rounds waits until each key was locked so often from now on.
func (p *probe) rounds(n int64) {
	for i := range p.count {
		for want := p.count[i].Load() + n; p.count[i].Load() < want; {
			<-p.change
		}
	}
}

func (p *probe) end() time.Duration {
	p.stop.Store(true)
	p.wg.Wait()
	return time.Duration(p.longest.Load())
}
