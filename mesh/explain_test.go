package mesh

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
	"github.com/lockmesh/lockmesh/transport"
)

// Explain has one sentence for everything that a request may meet.
func TestExplain(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		bg := context.Background()
		key := keyOf(t, nodes[0], nodes[1].ID())
		says := func(n *Node, texts ...string) {
			t.Helper()
			got := n.Explain(bg, key)
			for _, text := range texts {
				if !strings.Contains(got, text) {
					t.Errorf("%s\ndoes not say %q", got, text)
				}
			}
			if strings.ContainsAny(got, "\n") || got == "" {
				t.Errorf("%q is no sentence", got)
			}
			t.Log(got)
		}
		says(nodes[0], "is free: a request is granted at once", "owner node-1")
		l := must(t, nodes[0], key, Note("export"))
		says(nodes[2], `held by node-0 (note "export"`, "a request waits until that has ended")
		k := lockLater(bg, nodes[2], key)
		says(nodes[1], `held by node-0`, "1 waits: node-2", "a request waits behind them")
		unlock(t, l)
		unlock(t, k.lock)

		r := must(t, nodes[0], key, Shared())
		says(nodes[2], "a shared request is granted at once, an exclusive one waits")
		unlock(t, r)
		s := must(t, nodes[0], key, Permits(1, 3))
		says(nodes[2], "2 of 3 permits are free")
		unlock(t, s)
		lease, err := nodes[0].Lease(bg, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if got := nodes[0].Explain(bg, leasePrefix+lease.ID()); !strings.Contains(got, "is the key of a lease") || !strings.Contains(got, "held by node-0") || strings.Contains(got, "request") {
			t.Error(got)
		}
		if err := lease.Revoke(bg); err != nil {
			t.Error(err)
		}
		if got := nodes[0].Explain(bg, leasePrefix+lease.ID()); !strings.Contains(got, "is over") || strings.Contains(got, "request") {
			t.Error(got)
		}
		if got := nodes[0].Explain(bg, ""); !strings.Contains(got, "the key is empty") {
			t.Error(got)
		}

		// The owner goes silent, and the others agree on another one.
		w.net.Tap(func(f transport.Flight) bool { return f.FromAddr != "host-1:1" && f.ToAddr != "host-1:1" }) // gossip still hears it
		over, cancel := context.WithCancel(bg)
		cancel()
		if got := nodes[0].Explain(over, key); !strings.Contains(got, "its owner node-1 was not heard before ctx ended") {
			t.Error(got)
		}
		says(nodes[0], "its owner node-1", "answer", "a majority of the voters answers")
		pass(10 * time.Second)
		says(nodes[0], "is free")
		// Who is cut off says what it knows.
		says(nodes[1], "its owner node-1", "membership lease", "next view needs node-0 or node-2")
		begin := time.Now()
		nodes[1].Explain(bg, key)
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("took %v", took)
		}
		nodes[1].Close()
		says(nodes[1], "this node is closed")
	})
}

// What a Lock waited for says what the mesh is short of.
func TestUnservedSaysWhatIsMissing(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		nodes := w.fleet(3)
		key := keyOf(t, nodes[0], nodes[1].ID())
		w.net.Isolate("host-1:1")
		w.net.Isolate("host-2:1")
		_, err := nodes[0].Lock(within(t, 10*time.Second), key)
		wantErr(t, err, []error{ErrUnavailable, context.DeadlineExceeded}, "its owner node-1", "does not answer", "next view needs node-1 or node-2")
	})
}

func TestNextView(t *testing.T) {
	v := &ownership.View{Params: Params{}.withDefaults().core(), Voters: []ownership.NodeID{1, 2, 3, 4, 5}}
	for i, name := range []string{"a", "b", "c", "d", "e"} {
		v.Members = append(v.Members, ownership.Member{ID: ownership.NodeID(i + 1), Name: name})
	}
	for _, c := range []struct {
		heard []ownership.NodeID
		want  string
	}{
		{nil, "next view needs 3 of a, b, c, d and e"},
		{[]ownership.NodeID{1}, "next view needs 2 of b, c, d and e"},
		{[]ownership.NodeID{1, 2}, "next view needs c, d or e"},
		{[]ownership.NodeID{1, 2, 5}, "a majority of the voters answers: a view without the silent nodes is due within about 6s"},
	} {
		if got := nextView(ownership.Status{View: v, Heard: c.heard}, true); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
	if got := nextView(ownership.Status{View: v, Heard: v.Voters}, false); got != "" {
		t.Error(got)
	}
	v.Voters = v.Voters[:2]
	if got := nextView(ownership.Status{View: v}, false); got != "next view needs a and b" {
		t.Error(got)
	}
	if got := nextView(ownership.Status{}, true); got != "" {
		t.Error(got)
	}
}
