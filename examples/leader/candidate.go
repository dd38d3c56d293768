package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/lockmesh/lockmesh/mesh"
)

const starting = "starting" // what a leader proclaims until it has an address

// candidate is a process that leads for one term. It ends when its standard input does, so it does not
// outlive the observer.
func candidate(name, seed string) error {
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	node, err := mesh.Join(ctx, config(name, "127.0.0.1:0", seed))
	if err != nil {
		return err
	}
	defer node.Close() // not Leave: all end at once, and there is nobody to hand over to
	election := node.Election(electionName)
	go follow(ctx, name, election)

	term, err := election.Campaign(ctx, []byte(starting), mesh.TTL(leaseTTL)) // waits its turn
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	fmt.Printf("%s: I lead, with token %d\n", name, term.Token())
	addr, err := serve(term)
	if err != nil {
		return err
	}
	if err := term.Proclaim(ctx, []byte(addr)); err != nil {
		return err
	}
	jobs := work(term.Context())
	fmt.Printf("%s: my term is over, after %d jobs: %v\n", name, jobs, term.Err())
	<-ctx.Done() // a scheduler that runs for ever would campaign again; for this story one term is enough
	return nil
}

// work is what the leader does, and nobody else at the same time. ctx ends with the term: when it is given
// up, or when its TTL runs out, network or not. What the jobs write to should compare tokens all the same,
// as in examples/invoices: a process may stand still between its look at ctx and its write.
func work(ctx context.Context) (jobs int) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C: // here goes a job
			jobs++
		case <-ctx.Done():
			return jobs
		}
	}
}

// follow is for everyone who needs the leader: it hears of each new one.
func follow(ctx context.Context, name string, election *mesh.Election) {
	for leader, err := range election.Observe(ctx) {
		if err == nil && leader.Token != 0 && leader.Name != name && string(leader.Value) != starting {
			fmt.Printf("%s: I follow %s\n", name, leader.Name)
		}
	}
}

// serve answers calls to the leader, and returns the address to call.
func serve(term *mesh.Term) (addr string, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /transfer", func(w http.ResponseWriter, r *http.Request) {
		if err := term.Transfer(r.Context(), r.FormValue("to")); err != nil { // nil: that one leads
			http.Error(w, err.Error(), http.StatusConflict)
		}
	})
	mux.HandleFunc("POST /resign", func(w http.ResponseWriter, r *http.Request) {
		if err := term.Resign(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
		}
	})
	go http.Serve(listener, mux)
	return listener.Addr().String(), nil
}
