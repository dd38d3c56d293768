// Limiter: an external API bears 3 calls at a time. Five processes, with two workers each, share these 3 by a
// semaphore. One process is killed in the middle of a call; its permit comes back when its TTL has run out.
//
//	go run ./examples/limiter
//
// It needs no flags and no services and takes about 10 seconds. One sees, second by second, how many calls
// there are: 3 at a time; then 2, and 1 as soon as the dead process's other worker, which still waits in line,
// has had its turn; then 3 again. That takes 2 seconds, the TTL, or 3, when it was counted anew because the
// mesh had to replace the dead node. The API is this process. It knows nothing of locks, and what it has
// counted is the last line:
//
//	limiter: 150 calls by 10 workers in 5 processes, never more than 3 at a time, in 6.5 seconds; 1 process killed
//
// The exit status is 1 if there were ever more than 3 at a time.
//
// Where to look: worker.go is the code to copy. This file is the API, and starts the processes.
package main

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	processes = 5
	workers   = 2 // in each process
	atOnce    = 3 // calls that the API bears
	allCalls  = 150
	callTime  = 100 * time.Millisecond
	leaseTTL  = 2 * time.Second // short, so that a dead process's permit is back soon
)

func main() {
	slog.SetLogLoggerLevel(slog.LevelError) // nodes log to slog.Default; that they miss the dead one is no news here
	run := runAll
	if len(os.Args) == 5 && os.Args[1] == "process" { // runAll starts this program again for each process
		number, _ := strconv.Atoi(os.Args[2])
		run = func() error { return runProcess(number, strings.Split(os.Args[3], ","), os.Args[4]) }
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "limiter:", err)
		os.Exit(1)
	}
}

// runAll serves the API until the processes have made all calls, and ended.
func runAll() error {
	time.AfterFunc(time.Minute, func() {
		fmt.Fprintln(os.Stderr, "limiter: not finished after a minute")
		os.Exit(1) // the processes then end too
	})
	self, err := os.Executable()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	addrs, err := freeAddrs(processes)
	if err != nil {
		return err
	}
	fmt.Printf("%d processes start, with %d workers each, for %d calls of %v\n", processes, workers, allCalls, callTime)
	a := &api{callers: map[string]*os.Process{}, busy: map[string]int{}, done: make(chan struct{})}
	var children []*exec.Cmd
	var lives []io.Closer // the children's standard inputs: closing one ends the child
	for i := range processes {
		number := strconv.Itoa(i)
		cmd := exec.Command(self, "process", number, strings.Join(addrs, ","), "http://"+listener.Addr().String())
		cmd.Stderr = os.Stderr
		life, err := cmd.StdinPipe()
		if err != nil {
			return err
		}
		if err := cmd.Start(); err != nil {
			return err
		}
		children, lives = append(children, cmd), append(lives, life)
		a.callers[number] = cmd.Process
	}
	go http.Serve(listener, a)
	<-a.done
	for _, life := range lives {
		life.Close()
	}
	killed := 0
	for _, cmd := range children {
		if cmd.Wait() != nil {
			killed++
		}
	}
	return a.account(killed)
}

// An api takes a while for each call, and counts. In the middle of one call it kills the caller.
type api struct {
	callers map[string]*os.Process
	done    chan struct{} // closed when all calls have been made

	mu          sync.Mutex
	calls       int            // so far
	busy        map[string]int // calls in progress, by caller
	now, most   int            // calls in progress
	mostOfLate  int            // since the last report
	begun       time.Time      // the first call
	ended       time.Time      // the last call
	dead        string         // the caller that was killed
	died, whole time.Time      // when that was, and when there were as many calls at a time as before
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	caller := r.FormValue("caller")
	if !a.begin(caller) {
		<-r.Context().Done() // the workers are about to end
		return
	}
	select {
	case <-time.After(callTime):
	case <-r.Context().Done(): // the caller is gone
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.busy[caller]--
	a.now--
	if a.ended = time.Now(); a.calls == allCalls && a.now == 0 {
		close(a.done)
	}
}

// begin counts a call, unless all have been made.
func (a *api) begin(caller string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.calls == allCalls {
		return false
	}
	if a.calls == 0 {
		a.begun = time.Now()
		go a.report()
	}
	a.calls++
	a.busy[caller]++
	a.now++
	a.most, a.mostOfLate = max(a.most, a.now), max(a.mostOfLate, a.now)
	switch {
	case a.dead == "" && a.calls >= allCalls/3 && a.busy[caller] == 1:
		a.dead, a.died = caller, time.Now()
		a.callers[caller].Kill()
		fmt.Printf("process %s is killed (SIGKILL) in the middle of a call; its permit is gone until its TTL of %v is over\n", caller, leaseTTL)
	case a.dead != "" && a.whole.IsZero() && a.busy[a.dead] == 0 && a.now == atOnce:
		a.whole = time.Now()
		fmt.Printf("the permit is back, %.1f seconds after the kill\n", a.whole.Sub(a.died).Seconds())
	}
	return true
}

// report says every second what was counted in it.
func (a *api) report() {
	second, told := 0, 0
	for range time.Tick(time.Second) {
		a.mu.Lock()
		if a.calls < allCalls {
			second++
			fmt.Printf("second %d: %d calls, at most %d at a time\n", second, a.calls-told, a.mostOfLate)
		}
		told, a.mostOfLate = a.calls, a.now
		a.mu.Unlock()
	}
}

// account prints what was counted, and judges it.
func (a *api) account(killed int) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	fmt.Printf("limiter: %d calls by %d workers in %d processes, never more than %d at a time, in %.1f seconds; %d process killed\n",
		a.calls, processes*workers, processes, a.most, a.ended.Sub(a.begun).Seconds(), killed)
	if a.calls != allCalls || a.most != atOnce || a.whole.IsZero() || killed != 1 {
		return fmt.Errorf("expected %d calls, %d at a time, after the kill too, and 1 process killed", allCalls, atOnce)
	}
	return nil
}

// freeAddrs picks free ports: the nodes must know each other's addresses before they start.
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
