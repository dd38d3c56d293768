package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"

	"github.com/lockmesh/lockmesh/mesh"
)

// runProcess is one of the processes: a node of the mesh, and workers that share it. It ends when its
// standard input does, so it does not outlive the process that started it.
func runProcess(number int, addrs []string, api string) error {
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	node, err := mesh.Join(ctx, mesh.Config{
		Name:     fmt.Sprintf("process %d", number),
		Bind:     addrs[number],
		Seeds:    addrs,
		Founders: len(addrs),
		Fresh:    true, // nothing of this mesh ran before, so nobody can still have a permit: grant at once
	})
	if err != nil {
		return err
	}
	url := fmt.Sprintf("%s?caller=%d", api, number)
	for range workers {
		go work(ctx, node, url)
	}
	<-ctx.Done()
	return node.Close() // not Leave: all end at once, and there is nobody to hand over to
}

// work makes one call after the other, each with one of the permits. Who asks for a permit waits in line
// with the workers of all processes.
func work(ctx context.Context, node *mesh.Node, url string) {
	for {
		err := node.Do(ctx, "api.example.com", func(ctx context.Context, _ *mesh.Lock) error {
			return call(ctx, url) // ctx ends when the permit is lost, and the call with it
		}, mesh.Permits(1, atOnce), mesh.TTL(leaseTTL))
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			slog.Error("a call failed; on to the next one", "err", err)
		}
	}
}

func call(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, "POST", url, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return errors.New(res.Status)
	}
	return nil
}
