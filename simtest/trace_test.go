package simtest

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/lockmesh/lockmesh/ownership"
)

// A run is what its trace says: played from its actions and fates alone, all of it
// happens again.
func TestRecordedRunIsPlayedAgain(t *testing.T) {
	for seed := uint64(1); seed <= 20; seed++ {
		r := Play(seed, Options{Record: true})
		again := Replay(r.Trace, nil)
		if again.Hash != r.Hash || again.Grants != r.Grants || again.Views != r.Views {
			t.Errorf("seed %d: %d grants, %d views, hash %x; from its trace %d, %d, %x", seed, r.Grants, r.Views, r.Hash, again.Grants, again.Views, again.Hash)
		}
	}
}

func TestTraceText(t *testing.T) {
	r := Play(11, Options{Record: true})
	var text bytes.Buffer
	if err := r.Trace.Write(&text); err != nil {
		t.Fatal(err)
	}
	back, err := ReadTrace(bytes.NewReader(text.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, r.Trace) {
		t.Error("a trace that is written and read is another one")
	}
	for _, line := range []string{
		"1s lock n1 key=k0 handle=1 for=2s mode=shared delay=1s lease=2 after=3 try norenew",
		"1s lock n1 key=k0 handle=1 for=2s mode=2/5",
		"1s lock n1 key=k0 handle=1 for=2s mode=update",
		"1s unlock n1 handle=1 heir=n2",
		"1s change n1 handle=1 op=1 mode=exclusive",
		"1s change n1 handle=1 op=2 mode=shared",
		"1s change n1 handle=1 op=3 value=n1.1.3",
		"1s change n1 handle=1 op=4 value=",
		"1s change n1 handle=1 op=5 novalue",
		"1s unchange n1 handle=1 op=5",
		"1s look n1 key=k0 handle=4 watch",
		"1s look n1 handle=5 n=3 page",
		"1s unlook n1 handle=4",
		"1s evict n1 n2 handle=6 whose=1 n=1",
	} {
		if a, err := ParseAction(line); err != nil || a.String() != line {
			t.Errorf("%s is read as %v: %v", line, a, err)
		}
	}
	for text, wrong := range map[string]string{
		"1s fly n1\nparams partitions=1 replicas=1 maxttl=1s membershipttl=1s driftppm=1\n": "a verb that there is not",
		"soon crash n1\n":           "no time",
		"1s crash n1 loudly=3\n":    "no such field",
		"1s lock n1 mode=big\n":     "no such mode",
		"1s fate n1 n2 Yell lost\n": "no such kind",
		"":                          "no params",
	} {
		if _, err := ReadTrace(bytes.NewReader([]byte(text))); err == nil {
			t.Errorf("%s: accepted", wrong)
		}
	}
}

// tooFast is a fault that the checker does not know of: clocks at one and a half
// times their rate, which is far beyond the bound.
func tooFast(s *Stage) {
	send := s.OnSend
	s.OnSend = func(n *Node, e ownership.Envelope) {
		if n.RatePPM < 400_000 && n.Index%2 == 0 {
			s.After(0, func() { s.SetClock(n, 0, 500_000) })
		}
		send(n, e)
	}
}

// A failing run is cut down to few steps that fail in the same check.
func TestShrink(t *testing.T) {
	for seed := uint64(1); seed < 200; seed++ {
		r := Play(seed, Options{Record: true, Watch: tooFast})
		if len(r.Failures) == 0 || r.Failures[0].Check != "exclusion" {
			continue
		}
		small := Shrink(r.Trace, ShrinkOptions{Runs: 600, Watch: tooFast})
		f := Replay(small, tooFast).Failures
		if len(f) == 0 || f[0].Check != "exclusion" {
			t.Fatalf("seed %d: cut down from %d to %d steps it fails no more: %v", seed, r.Trace.Len(), small.Len(), f)
		}
		if small.Len() > 40 {
			t.Errorf("seed %d: cut down from %d to %d steps only", seed, r.Trace.Len(), small.Len())
		}
		t.Logf("seed %d: %d steps cut down to %d", seed, r.Trace.Len(), small.Len())
		return
	}
	t.Fatal("clocks beyond the bound are never seen")
}
