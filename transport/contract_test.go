package transport

import (
	"errors"
	"strings"
	"testing"

	"github.com/lockmesh/lockmesh/ownership"
)

// TestContract holds TCP and Memory to one behaviour.
func TestContract(t *testing.T) {
	memory := func(opts ...MemoryOption) func(*testing.T) func(string) (Transport, string) {
		return func(*testing.T) func(string) (Transport, string) {
			net := NewMemory(opts...)
			return func(at string) (Transport, string) {
				if at == "" {
					at = "addr-" + string(rune('a'+len(net.Members())))
				}
				return net.Node(at), at
			}
		}
	}
	for _, kind := range []struct {
		name    string
		network func(t *testing.T) func(at string) (Transport, string) // at "" is a free address
	}{
		{"Memory", memory()},
		{"MemoryWithCodec", memory(WithCodec(nil))},
		{"TCP", func(t *testing.T) func(string) (Transport, string) {
			return func(at string) (Transport, string) {
				if at == "" {
					at = "127.0.0.1:0"
				}
				tr, err := Listen(Options{Bind: at})
				if err != nil {
					t.Fatal(err)
				}
				return tr, tr.Addr().String()
			}
		}},
	} {
		t.Run(kind.name, func(t *testing.T) {
			for name, test := range map[string]func(*testing.T, func(string) (Transport, string)){
				"delivers in order":        contractOrder,
				"answers without learning": contractAnswer,
				"tells who is gone":        contractGone,
				"other node at an address": contractOther,
				"other cluster":            contractCluster,
				"rename":                   contractRename,
				"forget":                   contractForget,
				"life":                     contractLife,
			} {
				t.Run(name, func(t *testing.T) { test(t, kind.network(t)) })
			}
		})
	}
}

func startAt(t *testing.T, open func(string) (Transport, string), at string, id Identity) *testNode {
	t.Helper()
	tr, addr := open(at)
	return start(t, tr, addr, id)
}

func contractOrder(t *testing.T, open func(string) (Transport, string)) {
	a, b := startAt(t, open, "", node(1)), startAt(t, open, "", node(2))
	a.Learn(2, b.addr)
	const n = 5000
	for i := range n {
		a.say(2, i)
	}
	for i := range n {
		r := <-b.got
		if number(r) != i || r.From != 1 || r.To != 2 || r.Mesh != 5 {
			t.Fatalf("message %d is %+v %+v", i, r, r.Message)
		}
	}
	a.awaitHint(HintUp, 2)
	b.awaitHint(HintUp, 1)
}

func contractAnswer(t *testing.T, open func(string) (Transport, string)) {
	a, b := startAt(t, open, "", node(1)), startAt(t, open, "", node(2))
	a.say(2, 1) // nobody knows 2 yet: lost
	b.say(1, 1)
	a.Learn(2, b.addr)
	a.say(2, 2)
	if got := number(<-b.got); got != 2 {
		t.Fatalf("got %d", got)
	}
	b.say(1, 3)
	if got := number(<-a.got); got != 3 {
		t.Fatalf("got %d", got)
	}
}

func contractGone(t *testing.T, open func(string) (Transport, string)) {
	a, b := startAt(t, open, "", node(1)), startAt(t, open, "", node(2))
	a.Learn(2, b.addr)
	a.say(2, 1)
	<-b.got
	b.Close()
	a.awaitHint(HintGone, 2) // though nothing is sent

	// It is dialled again when there is something to send.
	a.say(2, 2)
	a.awaitHint(HintGone, 2)

	// A new process at the address is another node.
	c := startAt(t, open, b.addr, node(3))
	a.Learn(3, b.addr)
	a.say(3, 3)
	if r := <-c.got; r.To != 3 || number(r) != 3 {
		t.Fatalf("got %+v", r)
	}
}

func contractOther(t *testing.T, open func(string) (Transport, string)) {
	a, b := startAt(t, open, "", node(1)), startAt(t, open, "", node(2))
	a.Learn(7, b.addr) // who was there before
	a.say(7, 1)
	if h := a.awaitHint(HintGone, 7); h.Addr != b.addr || !strings.Contains(h.Reason, "0000000000000002") {
		t.Errorf("hint %+v", h)
	}
	a.Learn(2, b.addr)
	a.say(2, 2)
	if r := <-b.got; number(r) != 2 {
		t.Errorf("a message for another node arrived: %+v", r)
	}
}

func contractCluster(t *testing.T, open func(string) (Transport, string)) {
	blue, red := Identity{ID: 1, Cluster: "blue"}, Identity{ID: 2, Cluster: "red"}
	a, b := startAt(t, open, "", blue), startAt(t, open, "", red)
	a.Learn(2, b.addr)
	a.say(2, 1)
	for _, h := range []Hint{a.awaitHint(HintRefused, 2), b.awaitHint(HintRefused, 1)} {
		if !strings.Contains(h.Reason, "blue") || !strings.Contains(h.Reason, "red") || !strings.Contains(h.Reason, "Cluster") {
			t.Errorf("hint %+v", h)
		}
	}
	if len(b.got) > 0 {
		t.Error("a message crossed clusters")
	}
}

func contractRename(t *testing.T, open func(string) (Transport, string)) {
	a, b := startAt(t, open, "", node(1)), startAt(t, open, "", node(2))
	a.Learn(2, b.addr)
	b.Learn(1, a.addr)
	a.say(2, 1)
	<-b.got
	b.Rename(node(3))
	a.awaitHint(HintGone, 2)
	a.say(2, 2) // to nobody
	a.Learn(3, b.addr)
	r := awaitSaid(a, b, 3, 3)
	if r.To != 3 || r.From != 1 {
		t.Errorf("got %+v", r)
	}
	// The addresses that it learnt are still known.
	if r := awaitSaid(b, a, 1, 4); r.From != 3 {
		t.Errorf("got %+v", r)
	}
}

func contractForget(t *testing.T, open func(string) (Transport, string)) {
	a, b := startAt(t, open, "", node(1)), startAt(t, open, "", node(2))
	a.Learn(2, b.addr)
	a.say(2, 1)
	<-b.got
	a.Forget(2)
	a.Forget(9)
	a.say(2, 2)
	a.Learn(2, b.addr)
	a.say(2, 3)
	if got := number(<-b.got); got != 3 {
		t.Errorf("got %d, which was sent while the node was forgotten", got)
	}
}

func contractLife(t *testing.T, open func(string) (Transport, string)) {
	tr, addr := open("")
	tr.Send(ownership.Envelope{To: 2, Message: ownership.AskView{}}) // before Start: lost
	if err := tr.Start(Identity{}, nil, nil); err == nil {
		t.Error("started without an ID")
	}
	if err := tr.Start(Identity{ID: 1, Cluster: strings.Repeat("c", 300)}, nil, nil); err == nil {
		t.Error("started with a cluster name that fits no greeting")
	}
	a := start(t, tr, addr, node(1))
	if err := tr.Start(node(1), nil, nil); !errors.Is(err, ErrStarted) {
		t.Errorf("second Start: %v", err)
	}
	a.Learn(1, addr) // itself
	a.say(1, 1)
	for range 2 {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
	a.Learn(2, addr)
	a.say(2, 1)
	a.Forget(2)
	a.Rename(node(4))
	if err := tr.Start(node(1), nil, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("Start after Close: %v", err)
	}
}
