package simtest

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
	"github.com/lockmesh/lockmesh/simtest/story"
)

var (
	page     = flag.String("page", "", "where TestTell writes the page of the run of -first, to look at")
	pageLast = flag.Duration("last", 0, "limits the page to so long before the failure")
)

// tell plays a seed with a teller, and what else watch does.
func tell(seed uint64, watch func(*Stage)) (*Teller, Result) {
	var t *Teller
	r := Play(seed, Options{Watch: func(s *Stage) {
		t = Tell(s)
		if watch != nil {
			watch(s)
		}
	}})
	return t, r
}

func html(t *testing.T, st *story.Story) string {
	t.Helper()
	var b bytes.Buffer
	if err := st.WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Watching changes nothing, every message is told, and equal runs give equal pages.
func TestTell(t *testing.T) {
	if *page != "" {
		te, r := tell(*first, nil)
		t.Log(r.Failures, len(te.messages))
		if err := os.WriteFile(*page, []byte(html(t, te.Story("go test ./simtest -run TestRandom", *pageLast))), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for seed := *first; seed < *first+6; seed++ {
		sent := 0
		te, r := tell(seed, func(s *Stage) {
			next := s.OnSend
			s.OnSend = func(n *Node, e ownership.Envelope) { sent++; next(n, e) }
		})
		if plain := Play(seed, Options{}); plain.Hash != r.Hash {
			t.Errorf("seed %d: watched it is another run", seed)
		}
		st := te.Story("replay", 0)
		told := 0
		for _, m := range st.Messages {
			if !m.Copy {
				told++
			}
		}
		if told != sent {
			t.Errorf("seed %d: %d messages were sent, %d are told", seed, sent, told)
		}
		held := 0
		for _, h := range st.Holds {
			if h.End != story.Changed {
				held++
			}
		}
		if len(st.Lanes) != len(te.s.Nodes) || held != r.Grants {
			t.Errorf("seed %d: %d lanes of %d nodes, %d holds of %d grants", seed, len(st.Lanes), len(te.s.Nodes), held, r.Grants)
		}
		again, _ := tell(seed, nil)
		if html(t, again.Story("replay", 0)) != html(t, st) {
			t.Errorf("seed %d: equal runs gave different pages", seed)
		}
	}
}

// Every message arrives after it was sent, or it is told why it did not.
func TestTellFate(t *testing.T) {
	for seed := *first; seed < *first+4; seed++ {
		var te *Teller
		Play(seed, Options{Watch: func(s *Stage) { te = Tell(s) }})
		for _, m := range te.Story("", 0).Messages {
			gone := te.s.Nodes[m.To].Crashed || te.s.Nodes[m.From].Crashed
			if m.Lost && m.Why == "" || !m.Lost && !gone && m.Sent < te.s.Now-5*time.Second && m.Arrived <= m.Sent {
				t.Errorf("seed %d: %+v", seed, m)
			}
		}
	}
}

// The text of a message shows no number that only a machine can read.
func TestTellDetail(t *testing.T) {
	te, _ := tell(*first, nil)
	kinds := map[string]bool{}
	for _, m := range te.Story("", 0).Messages {
		if longInProse.MatchString(strings.NewReplacer(".", "_", "DriftPPM=", "_").Replace(m.Detail)) && !strings.Contains(m.Detail, "Xor=") {
			t.Fatalf("%s", m.Detail)
		}
		if !kinds[m.Kind] {
			kinds[m.Kind] = true
			t.Log(m.Detail)
		}
	}
}

// A failure makes the title, and its calls are the bad holds; what was long before it
// can be left out.
func TestTellFailure(t *testing.T) {
	te, r := tell(*first, func(s *Stage) {
		next := s.OnEvent
		s.OnEvent = func(n *Node, e ownership.Event) {
			next(n, e)
			if g, ok := e.(ownership.Granted); ok && s.Now > 2*time.Second {
				c := s.Checker.Call(n, g.Handle)
				s.Checker.fail("exclusion", []*Call{c}, "%s planted: token %s at epoch %d", n, tokenText(c.Token), n.Core.View().Epoch)
			}
		}
	})
	if len(r.Failures) == 0 {
		t.Fatal("nothing was granted")
	}
	all, end := te.Story("", 0), te.Story("", 100*time.Millisecond)
	if all.Title != "seed 1: exclusion" || strings.ContainsAny(all.Failure, "/") || !strings.Contains(all.Failure, "token +") || !strings.Contains(all.Failure, "epoch +") {
		t.Errorf("title %q, failure %q", all.Title, all.Failure)
	}
	bad := 0
	for _, h := range end.Holds {
		if h.Bad {
			bad++
		}
	}
	if bad != 1 || len(end.Messages) >= len(all.Messages) || end.Messages[0].Arrived != 0 && end.Messages[0].Arrived < r.Simulated-100*time.Millisecond {
		t.Errorf("%d bad holds, %d of %d messages", bad, len(end.Messages), len(all.Messages))
	}
}

// A recorded run can be drawn.
func TestDraw(t *testing.T) {
	r := Play(*first, Options{Record: true})
	var b bytes.Buffer
	if err := Draw(&b, r.Trace, "go run ./simtest/cmd/sim -replay 1.trace"); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "seed 1: no failure") || !strings.Contains(b.String(), "-replay 1.trace") {
		t.Errorf("%d bytes of something else", b.Len())
	}
}

// What sessions say to owners and back reads like prose too.
func TestTellSessions(t *testing.T) {
	te := Tell(NewStage(1, ownership.Params{}))
	te.base = 800_000_000
	const term = 800_000_003
	request := ownership.RequestID{Client: 5, Seq: 7}
	te.keys[request] = "k"
	holder := ownership.Holder{Request: request, Token: term<<32 | 2, Lease: 1, TTL: time.Second, Mode: ownership.Shared, Delay: time.Minute, Lost: true, Since: 1_790_000_000_000}
	value := &ownership.Value{Data: []byte("v"), Token: term<<32 | 1, Stale: true}
	const holderText = "5#7 token +3.2 lease 1 ttl 1s shared delay 1m0s lost"
	for _, c := range []struct {
		m         ownership.Message
		key, text string
	}{
		{ownership.Alter{Request: request, Term: term, Partition: 2, Number: 4, What: ownership.AlterMode}, "k", "5#7 number 4: to exclusive, p2 in +3"},
		{ownership.Alter{Request: request, Term: term, What: ownership.AlterValue, Value: []byte(strings.Repeat("x", 100))}, "k",
			`5#7 number 0: value "` + strings.Repeat("x", dataShown) + `", p0 in +3`},
		{ownership.Alter{Request: request, Term: term, What: ownership.AlterNoValue, Value: []byte{}}, "k", "5#7 number 0: no value, p0 in +3"},
		{ownership.Query{Client: 5, ID: 1, Term: term, Key: "q", Watch: true}, "q", "Client=5 ID=1 Partition=p0 Term=+3 Key=q Watch=true"},
		{ownership.Query{Client: 5, ID: 1, Term: term, Key: "q", Page: true}, "", "Client=5 ID=1 Partition=p0 Term=+3 Key=q Page=true"},
		{ownership.Report{Client: 5, Term: term, Outcome: ownership.OutcomeGranted, Keys: []ownership.KeyState{{Key: "r", Waiting: 1, Value: value,
			Holders: []ownership.HolderState{{Holder: holder, Left: time.Second, Evicted: true}},
			Queue:   []ownership.WaiterState{{Client: 6, Mode: ownership.Permits(2, 3), Upgrades: true, Waited: time.Hour}}}}}, "r",
			"Client=5 Partition=p0 Term=+3 Outcome=granted Keys=[(Key=r Holders=[(Holder=" + holderText + " Left=1s Evicted=true)] " +
				`Queue=[(Client=6 Mode=2 of 3 permits Upgrades=true Waited=1h0m0s)] Waiting=1 Value="v" of token +3.1 stale)]`},
		{ownership.Revoke{Request: request, Term: term, Key: "o", Token: term<<32 | 2, Name: "n1"}, "o", "Request=5#7 Partition=p0 Term=+3 Key=o Token=+3.2 Name=n1"},
		{ownership.Notice{Client: 5, Items: []ownership.NoticeItem{{Term: term, Seq: 7, Evicted: true, By: "n1"}}}, "k",
			"Client=5 Items=[(Partition=p0 Term=+3 Seq=7 Evicted=true By=n1)]"},
		{ownership.Accept{Term: term, First: 1, Writes: []ownership.Write{{Key: "w", Record: &ownership.Record{Key: "w", Holders: []ownership.Holder{holder}, Value: value}}}}, "w",
			`Partition=p0 Term=+3 First=1 Writes=[w: ` + holderText + `; value "v" of token +3.1 stale]`},
		{ownership.Answer{Request: request, Term: term, Outcome: ownership.OutcomeCapacity}, "k", "Request=5#7 Partition=p0 Term=+3 Outcome=other capacity"},
		{ownership.Answer{Request: request, Term: term, Outcome: ownership.OutcomeAltered, Alters: 4}, "k", "Request=5#7 Partition=p0 Term=+3 Outcome=altered Alters=4"},
	} {
		p := &printer{t: te}
		if key, text := te.key(c.m), p.text(c.m); key != c.key || text != c.text {
			t.Errorf("%T of key %q, not %q:\n%s\nnot\n%s", c.m, key, c.key, text, c.text)
		}
	}
}
