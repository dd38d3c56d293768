// Deploy: one deployment per environment at a time, a queue that shows who waits for whom, and an
// operator who ends the deployment that hangs.
//
//	go run ./examples/deploy
//
// It takes about 7 seconds. Three build machines and the operator's console, here in one process, form
// a mesh. One sees a nightly test that leaves staging as soon as somebody wants it; a deployment to
// production that hangs while two others wait; the queue, as the operator sees it; and how the
// operator releases the hung one by its token: it hears of that, and the next in line deploys. The same
// token a second time releases nothing, so the operator cannot hit the wrong one.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"text/tabwriter"
	"time"

	"github.com/lockmesh/lockmesh/mesh"
)

const (
	production = "deploy/production"
	staging    = "deploy/staging"
)

// ttl is how long an environment stays locked when the machine that deploys to it is gone. A deployment
// may take longer: its lock is renewed until it is unlocked. It is short here so that one can see that.
const ttl = 4 * time.Second

// pause is between the acts of the story.
const pause = 1500 * time.Millisecond

func main() {
	slog.SetLogLoggerLevel(slog.LevelWarn) // nodes log to slog.Default unless Config.Logger is set
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	nodes, err := joinAll(ctx, "build-1", "build-2", "build-3", "console")
	if err == nil {
		err = yields(ctx, nodes[2], nodes[0])
	}
	if err == nil {
		err = hangs(ctx, nodes)
	}
	for _, n := range nodes {
		n.Leave(ctx)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// deploy waits until the environment is ours. The note is for those who wait, and for the operator.
func deploy(ctx context.Context, from *mesh.Node, env, note string) (*mesh.Lock, error) {
	return from.Lock(ctx, env, mesh.Note(note), mesh.TTL(ttl))
}

// yields shows a deployment of low priority: it lets go when somebody waits.
func yields(ctx context.Context, low, high *mesh.Node) error {
	nightly, err := low.Lock(ctx, staging, mesh.Note("nightly test"), mesh.TTL(ttl),
		mesh.OnContended(func(l *mesh.Lock) {
			fmt.Println("staging: the nightly test hears that somebody waits, and lets go")
			l.Unlock(ctx)
		}))
	if err != nil {
		return err
	}
	fmt.Println("staging: the nightly test runs")
	fmt.Println("staging: #1841 by dan wants to deploy")
	lock, err := deploy(ctx, high, staging, "#1841 by dan")
	if err != nil {
		return err
	}
	fmt.Println("staging: #1841 by dan deploys; the nightly test is over:", nightly.Err())
	return lock.Unlock(ctx)
}

// A turn is what becomes of a deployment that waits.
type turn struct {
	note string
	lock *mesh.Lock
	err  error
}

// hangs shows a deployment that does not end, and the queue behind it.
func hangs(ctx context.Context, nodes []*mesh.Node) error {
	console := nodes[3]
	hung, err := deploy(ctx, nodes[0], production, "#1842 by ann")
	if err != nil {
		return err
	}
	fmt.Println("production: #1842 by ann deploys, and hangs; its machine is well and renews the lock")
	time.Sleep(pause)
	turns := make(chan turn)
	waiting := []string{"#1843 by ben", "#1844 by cleo"}
	for i, note := range waiting {
		go func() {
			lock, err := deploy(ctx, nodes[i+1], production, note)
			turns <- turn{note, lock, err}
		}()
		if err := inLine(ctx, console, production, i+1); err != nil {
			return err
		}
		fmt.Println("production:", note, "waits")
		time.Sleep(pause)
	}
	token, err := operate(ctx, console, hung)
	if err != nil {
		return err
	}
	for i := range waiting {
		next := <-turns
		if next.err != nil {
			return next.err
		}
		fmt.Println("production:", next.note, "deploys, with token", next.lock.Token())
		if i == 0 { // the operator is late, or has typed the token of a minute ago
			err := console.Release(ctx, production, token)
			if !errors.Is(err, mesh.ErrNotHolder) {
				return fmt.Errorf("the operator expected ErrNotHolder, got: %v", err)
			}
			fmt.Println("the operator releases the old token once more, and is refused:", err)
		}
		if err := next.lock.Unlock(ctx); err != nil {
			return err
		}
		fmt.Println("production:", next.note, "is done")
	}
	fmt.Println("at the end:", console.Explain(ctx, production))
	return nil
}

// operate is what the operator does: look who has production, and release the token that is seen there.
func operate(ctx context.Context, console *mesh.Node, hung *mesh.Lock) (token uint64, err error) {
	state, err := console.Inspect(ctx, production)
	if err != nil {
		return 0, err
	}
	show(state)
	fmt.Println("in one sentence:", console.Explain(ctx, production))
	if len(state.Holders) == 0 {
		return 0, errors.New("nobody has production: nothing hangs")
	}
	token = state.Holders[0].Token
	fmt.Println("the operator releases token", token)
	if err := console.Release(ctx, production, token); err != nil {
		return 0, err
	}
	<-hung.Done() // a deployment should stop when this is closed, whatever it waits for
	fmt.Println("production: #1842 by ann hears:", hung.Err())
	return token, nil
}

// inLine returns when so many wait for the key.
func inLine(ctx context.Context, n *mesh.Node, key string, waiting int) error {
	for state, err := range n.Watch(ctx, key) {
		if err != nil || state.Waiting >= waiting {
			return err
		}
	}
	return nil
}

// show prints who has a key and who waits for it, first in line first.
func show(k mesh.KeyState) {
	fmt.Printf("\nthe operator looks at %s:\n", k.Key)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "   \tdeployment\tfrom\tfor\tleft\ttoken")
	for _, h := range k.Holders {
		fmt.Fprintf(w, "   has it\t%s\t%s\t%v\t%v\t%d\n", h.Note, h.Node, tenths(k.Read.Sub(h.Since)), tenths(h.Remaining), h.Token)
	}
	for _, q := range k.Queue {
		fmt.Fprintf(w, "   waits\t%s\t%s\t%v\n", q.Note, q.Node, tenths(q.Waited))
	}
	w.Flush()
	fmt.Println()
}

func tenths(d time.Duration) time.Duration { return d.Round(100 * time.Millisecond) }

// joinAll starts a node of each name. The first is a mesh of one, at a free port, that the others join;
// a real fleet gives all nodes the same Seeds and Founders, as the quickstart does.
func joinAll(ctx context.Context, names ...string) ([]*mesh.Node, error) {
	cfg := mesh.Config{Bind: "127.0.0.1:0", Cluster: "deploy", Founders: 1, Fresh: true}
	var nodes []*mesh.Node
	for _, name := range names {
		cfg.Name = name
		n, err := mesh.Join(ctx, cfg)
		if err != nil {
			return nodes, err
		}
		nodes = append(nodes, n)
		cfg.Seeds, cfg.Founders = []string{nodes[0].Addr()}, 2
	}
	return nodes, nil
}
