// Leader: three processes campaign for one election. The leader is killed, and another one leads when its
// TTL has run out; that one hands over to a candidate by name; those after it resign.
//
//	go run ./examples/leader
//
// It needs no flags and no services and takes about 10 seconds. One sees what the candidates ann, bob and
// cat say, each a process with a node of the mesh, and what the observer does, the process that was started:
// it tells who leads, kills the first leader (SIGKILL), starts it again, and asks the next ones to hand over
// and to resign, at the address that each has proclaimed. The second one leads when the TTL has run out: 3
// seconds, or 4, when it was counted anew because the mesh had to replace the dead node. The last line is
//
//	leader: 4 terms, each with a higher token; 1 leader killed, 1 handed over, 2 resigned
//
// Where to look: candidate.go is the code to copy. This file is the observer.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/lockmesh/lockmesh/mesh"
)

const (
	electionName = "scheduler"
	leaseTTL     = 3 * time.Second // short, so that a dead leader has a successor soon
	termLength   = time.Second     // how long the observer lets each leader work
)

func main() {
	slog.SetLogLoggerLevel(slog.LevelError) // nodes log to slog.Default; that they miss the dead one is no news here
	run := observe
	if len(os.Args) == 4 && os.Args[1] == "candidate" { // the observer starts this program again for each candidate
		run = func() error { return candidate(os.Args[2], os.Args[3]) }
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "leader:", err)
		os.Exit(1)
	}
}

// config is that of every node. All meet at seed, the observer's address.
func config(name, bind, seed string) mesh.Config {
	return mesh.Config{
		Name:     name,
		Bind:     bind,
		Seeds:    []string{seed},
		Founders: 4,    // the observer and three candidates
		Fresh:    true, // nothing of this mesh ran before, so nobody can still lead: grant at once
	}
}

// The observer is a node of the mesh too, but no candidate. It runs the others as child processes.
type observer struct {
	node     *mesh.Node
	seed     string
	children []*exec.Cmd
	lives    []io.Closer // the children's standard inputs: closing one ends the child
}

func observe() error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), time.Minute, errors.New("not finished after a minute"))
	defer cancel()
	seed, err := freeAddr()
	if err != nil {
		return err
	}
	say("ann, bob and cat start, each a process, and campaign")
	o := &observer{seed: seed}
	defer o.endAll()
	for _, name := range []string{"ann", "bob", "cat"} {
		if err := o.start(name); err != nil {
			return err
		}
	}
	if o.node, err = mesh.Join(ctx, config("observer", seed, seed)); err != nil {
		return err
	}
	defer o.node.Leave(ctx)
	return o.story(ctx)
}

// story follows the election through four terms. What it does to a leader brings the next one.
func (o *observer) story(ctx context.Context) error {
	var last mesh.Leader
	var dead string
	var killed time.Time
	terms := 0
	for leader, err := range o.node.Election(electionName).Observe(ctx) {
		switch {
		case err != nil: // ctx has ended
			return err
		case leader.Token == 0 && terms == 4:
			say("nobody leads")
			fmt.Println("leader: 4 terms, each with a higher token; 1 leader killed, 1 handed over, 2 resigned")
			return nil
		case leader.Token == 0 || string(leader.Value) == starting:
			continue // soon somebody leads
		case leader.Token <= last.Token:
			return fmt.Errorf("%s leads with token %d, which is not above the last one, %d", leader.Name, leader.Token, last.Token)
		}
		last = leader
		terms++
		if terms == 2 {
			say("%s leads, %.1f seconds after the kill", leader.Name, time.Since(killed).Seconds())
		} else {
			say("%s leads, and serves at %s", leader.Name, leader.Value)
		}
		time.Sleep(termLength) // let it work
		switch terms {
		case 1:
			dead, killed = leader.Name, time.Now()
			say("%s is killed (SIGKILL); the others wait for its TTL of %v to run out", dead, leaseTTL)
			err = o.kill(dead)
		case 2: // another candidate waits already, and the one that starts again waits behind it
			say("%s is started again, and %s is asked to hand over to it by name", dead, leader.Name)
			if err = o.start(dead); err == nil {
				err = o.untilInLine(ctx, dead)
			}
			if err == nil {
				err = call(leader, "/transfer", url.Values{"to": {dead}})
			}
		default:
			say("%s is asked to resign", leader.Name)
			err = call(leader, "/resign", nil)
		}
		if err != nil {
			return err
		}
	}
	return nil // not reached: Observe ends with an error
}

// untilInLine waits until a candidate waits in Campaign.
func (o *observer) untilInLine(ctx context.Context, name string) error {
	for state, err := range o.node.Watch(ctx, o.node.Election(electionName).Key()) {
		if err != nil || slices.ContainsFunc(state.Queue, func(w mesh.Waiter) bool { return w.Node == name }) {
			return err
		}
	}
	return nil
}

// call asks the leader for something, at the address that it has proclaimed.
func call(leader mesh.Leader, path string, form url.Values) error {
	client := http.Client{Timeout: 20 * time.Second}
	res, err := client.PostForm("http://"+string(leader.Value)+path, form)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(res.Body)
		return fmt.Errorf("%s answers %s: %s", leader.Name, res.Status, text)
	}
	return nil
}

// start starts the process of a candidate.
func (o *observer) start(name string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, "candidate", name, o.seed)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	life, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	o.children, o.lives = append(o.children, cmd), append(o.lives, life)
	return nil
}

func (o *observer) kill(name string) error {
	i := slices.IndexFunc(o.children, func(c *exec.Cmd) bool { return c.Args[2] == name })
	return o.children[i].Process.Kill()
}

// endAll ends the candidates.
func (o *observer) endAll() {
	for _, life := range o.lives {
		life.Close()
	}
	for _, c := range o.children {
		c.Wait() // what went wrong it has said
	}
}

func say(format string, args ...any) { fmt.Printf("observer: "+format+"\n", args...) }

// freeAddr picks a free port: the nodes must know where to meet before they start.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
