package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"
)

// The fleet runs the workers as child processes. It takes no part in the locking: it sees what reaches
// the ledger, and what the workers say about the mesh.
type fleet struct {
	ledger *ledger
	total  int // invoices
	show   *show
	seeds  []string                // addresses of the first workers' nodes
	url    string                  // of the ledger
	fail   context.CancelCauseFunc // ends the run with an error

	mu      sync.Mutex
	workers []*process
	paid    map[string]bool // invoice numbers
	view    view            // the newest that a worker told of
	catches []catch

	killed, frozen, refused int
}

// A process is a worker as the fleet sees it.
type process struct {
	name   string
	state  string // for people
	paid   int    // invoices
	cmd    *exec.Cmd
	stdin  io.Closer // closing it ends the worker
	stderr bytes.Buffer
	ending bool // it is meant to end
	exited chan struct{}
}

// A catch waits for a call that matches; a held call is answered when its answer is called.
type catch struct {
	matches func(call) bool
	held    chan heldCall
}

type heldCall struct {
	call
	answer func()
}

func newFleet(l *ledger, total int) *fleet {
	f := &fleet{ledger: l, total: total, paid: map[string]bool{}}
	f.show = newShow(os.Stdout, f.status)
	l.decided = f.decided
	return f
}

// run plays the story from start to end, and ends all workers.
func (f *fleet) run(ctx context.Context) error {
	ctx, f.fail = context.WithCancelCause(ctx)
	defer f.fail(nil)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	f.url = "http://" + listener.Addr().String()
	server := &http.Server{Handler: f.ledger.handler()}
	go server.Serve(listener)
	defer server.Close()

	err = f.story(ctx)
	f.endAll()
	f.show.end()
	return err
}

// decided is called by the ledger for each request.
func (f *fleet) decided(ctx context.Context, c call) {
	f.mu.Lock()
	if p := f.find(c.Worker); p != nil && c.op == "pay" && c.err == nil {
		p.paid++
		f.paid[c.Invoice.Number] = true
	}
	if c.op == "pay" && errors.Is(c.err, errStale) {
		f.refused++
	}
	i := slices.IndexFunc(f.catches, func(t catch) bool { return t.matches(c) })
	if i < 0 {
		f.mu.Unlock()
		return
	}
	caught := f.catches[i]
	f.catches = slices.Delete(f.catches, i, i+1)
	f.mu.Unlock()

	answered := make(chan struct{})
	caught.held <- heldCall{c, func() { close(answered) }}
	select {
	case <-answered:
	case <-ctx.Done(): // the worker is gone
	}
}

// catch holds back the answer to the next call that matches. matches is called with f.mu held.
func (f *fleet) catch(matches func(call) bool) <-chan heldCall {
	f.mu.Lock()
	defer f.mu.Unlock()
	held := make(chan heldCall, 1)
	f.catches = append(f.catches, catch{matches, held})
	return held
}

func (f *fleet) await(ctx context.Context, held <-chan heldCall) (heldCall, error) {
	select {
	case c := <-held:
		return c, nil
	case <-ctx.Done():
		return heldCall{}, context.Cause(ctx)
	}
}

// until waits for a condition, which is called with f.mu held.
func (f *fleet) until(ctx context.Context, condition func() bool) error {
	for {
		f.mu.Lock()
		ok := condition()
		f.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// start starts a worker whose node binds to bind.
func (f *fleet) start(name, bind string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	p := &process{name: name, state: "joining", exited: make(chan struct{})}
	p.cmd = exec.Command(self, "worker", "-name", name, "-bind", bind, "-seeds", strings.Join(f.seeds, ","), "-ledger", f.url)
	p.cmd.Stderr = &p.stderr
	ownGroup(p.cmd)
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return err
	}
	p.stdin = stdin
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	f.mu.Lock()
	f.workers = append(f.workers, p)
	f.mu.Unlock()
	go f.follow(p, stdout)
	return nil
}

// follow reads the views that a worker prints, until it ends.
func (f *fleet) follow(p *process, stdout io.Reader) {
	defer close(p.exited)
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		var v view
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			f.fail(fmt.Errorf("%s says %q: %w", p.name, lines.Text(), err))
			continue
		}
		f.mu.Lock()
		if p.state == "joining" {
			p.state = "working"
		}
		changed := false
		if v.Epoch > f.view.Epoch {
			changed = v.String() != f.view.String()
			f.view = v
		}
		f.mu.Unlock()
		if changed {
			f.show.event("view: %s", v)
		}
	}
	err := p.cmd.Wait()
	f.mu.Lock()
	ending := p.ending
	f.mu.Unlock()
	if !ending {
		f.fail(fmt.Errorf("%s ended: %v", p.name, err))
	}
}

func (f *fleet) kill(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.find(name)
	p.ending, p.state = true, "killed"
	f.killed++
	return p.cmd.Process.Kill()
}

func (f *fleet) freeze(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.find(name)
	p.state = "frozen"
	f.frozen++
	return freeze(p.cmd.Process)
}

func (f *fleet) thaw(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.find(name)
	p.state = "working"
	return thaw(p.cmd.Process)
}

// find is called with f.mu held.
func (f *fleet) find(name string) *process {
	if i := slices.IndexFunc(f.workers, func(p *process) bool { return p.name == name }); i >= 0 {
		return f.workers[i]
	}
	return nil
}

// account draws up the account, at the end.
func (f *fleet) account() (account, error) {
	a, err := f.ledger.audit()
	f.mu.Lock()
	defer f.mu.Unlock()
	a.killed, a.frozen, a.refused = f.killed, f.frozen, f.refused
	return a, err
}

// endAll ends the workers: it asks them to, and kills what is left after a second.
func (f *fleet) endAll() {
	f.mu.Lock()
	workers := f.workers
	for _, p := range workers {
		p.ending = true
		p.stdin.Close()
	}
	f.mu.Unlock()
	enough := time.After(time.Second)
	for _, p := range workers {
		select {
		case <-p.exited:
		case <-enough:
			p.cmd.Process.Kill()
			enough = time.After(0)
			<-p.exited
		}
	}
}

// lastWords is the end of each worker's log, for when something went wrong. All workers have ended.
func (f *fleet) lastWords() error {
	var errs []error
	for _, p := range f.workers {
		if lines := strings.Split(strings.TrimSpace(p.stderr.String()), "\n"); lines[0] != "" {
			errs = append(errs, fmt.Errorf("%s: %s", p.name, lines[len(lines)-1]))
		}
	}
	return errors.Join(errs...)
}

// freeAddrs picks free ports. The nodes must know each other's addresses before they start, as the
// machines of a fleet do.
func freeAddrs(n int) ([]string, error) {
	var addrs []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all at the end, so that no port is picked twice
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}

// A status is what there is to show.
type status struct {
	paid, total int
	workers     []workerStatus
}

type workerStatus struct {
	name, state string
	paid, owns  int
}

func (f *fleet) status() status {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := status{paid: len(f.paid), total: f.total}
	for _, p := range f.workers {
		s.workers = append(s.workers, workerStatus{p.name, p.state, p.paid, f.view.Owns[p.name]})
	}
	return s
}
