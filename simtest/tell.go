package simtest

import (
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
	"github.com/lockmesh/lockmesh/simtest/story"
)

// Teller watches a stage and tells what happened on it, as a story to look at
// (package story). It only listens: a run that is told is the same run.
type Teller struct {
	s        *Stage
	base     ownership.Epoch // the first that anybody knew: others are told as "+3"
	messages []told
	open     map[way][]int // of messages: those that are under way
	keys     map[ownership.RequestID]string
	marks    []story.Mark
	views    map[viewID]bool // those that the world's lane has
	meshes   map[mesh]bool   // those that a node was told of
	faults   faultSpans
}

// told is a message and its fate. Its text is made at the end, and only if it is
// in the story.
type told struct {
	from, to *Node
	msg      ownership.Message
	sent, at time.Duration
	why      string // it was lost
	copied   bool
	done     bool
}

// way is what is known of a message when it arrives, but for its content.
type way struct {
	from, to *Node
	kind     ownership.Kind
	sent     time.Duration
}

type mesh struct {
	node *Node
	id   ownership.MeshID
}

// Tell attaches a teller to a stage on which nothing has happened yet. Hooks that
// are set already go on.
func Tell(s *Stage) *Teller {
	t := &Teller{s: s, open: map[way][]int{}, keys: map[ownership.RequestID]string{},
		views: map[viewID]bool{}, meshes: map[mesh]bool{}, faults: faultSpans{open: map[faultID]int{}}}
	do, send, deliver, lost, event := s.OnDo, s.OnSend, s.OnDeliver, s.OnLost, s.OnEvent
	s.OnDo = func(a Action) {
		t.act(a)
		if do != nil {
			do(a)
		}
	}
	s.OnSend = func(n *Node, e ownership.Envelope) {
		t.send(n, e)
		if send != nil {
			send(n, e)
		}
	}
	s.OnDeliver = func(f Flight) {
		t.landed(f, "")
		if deliver != nil {
			deliver(f)
		}
	}
	s.OnLost = func(f Flight, why string) {
		t.landed(f, why)
		if lost != nil {
			lost(f, why)
		}
	}
	s.OnEvent = func(n *Node, e ownership.Event) {
		t.event(n, e)
		if event != nil {
			event(n, e)
		}
	}
	t.network()
	return t
}

func (t *Teller) send(n *Node, e ownership.Envelope) {
	to := t.s.byID[e.To]
	if to == nil {
		return
	}
	switch m := e.Message.(type) {
	case ownership.Found:
		t.sawEpoch(m.View.Epoch)
	case ownership.Acquire:
		t.keys[m.Request] = m.Key
	case ownership.Revoke:
		t.keys[m.Request] = m.Key
	}
	w := way{n, to, e.Message.Kind(), t.s.Now}
	t.open[w] = append(t.open[w], len(t.messages))
	t.messages = append(t.messages, told{from: n, to: to, msg: e.Message, sent: t.s.Now})
}

// landed notes the end of a message. Flights carry no number; of several that were
// sent at one moment the content tells them apart, and of equal ones any will do.
func (t *Teller) landed(f Flight, why string) {
	if f.To == nil {
		return
	}
	if f.Copy {
		t.messages = append(t.messages, told{f.From, f.To, f.Message, f.Sent, t.s.Now, why, true, true})
		return
	}
	w := way{f.From, f.To, f.Message.Kind(), f.Sent}
	open := t.open[w]
	i := 0
	if len(open) > 1 {
		i = max(0, slices.IndexFunc(open, func(n int) bool { return reflect.DeepEqual(t.messages[n].msg, f.Message) }))
	}
	if len(open) == 0 {
		return
	}
	m := &t.messages[open[i]]
	m.at, m.why, m.done = t.s.Now, why, true
	if len(open) == 1 {
		delete(t.open, w)
	} else {
		t.open[w] = slices.Delete(open, i, i+1)
	}
}

func (t *Teller) sawEpoch(e ownership.Epoch) {
	if t.base == 0 {
		t.base = e
	}
}

func (t *Teller) mark(lane int, kind story.MarkKind, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	// Much of what happens at one moment says the same of several things.
	if n := len(t.marks); n > 0 {
		if last := &t.marks[n-1]; last.Lane == lane && last.At == t.s.Now && last.Kind == kind {
			verb, rest, _ := strings.Cut(text, " ")
			if strings.HasPrefix(last.Text, verb+" ") {
				last.Text += ", " + rest
				return
			}
		}
	}
	t.marks = append(t.marks, story.Mark{Lane: lane, At: t.s.Now, Kind: kind, Text: text})
}

// Story tells the run so far; replay is the command that plays it again. With
// last > 0 it is limited to what happened so long before the first failure, or
// the end of the run if there is none, and to a quarter of that after it.
func (t *Teller) Story(replay string, last time.Duration) *story.Story {
	p := &printer{t: t}
	st := &story.Story{Title: "no failure", Replay: replay, End: t.s.Now}
	end := t.s.Now
	var bad []*Call
	if fs := t.s.Checker.Failures; len(fs) > 0 {
		st.Title, st.Failure = fs[0].Check, p.headline(fs[0].Text)
		bad, end = fs[0].Calls, fs[0].At
		// A run ends with its failure, at the very moment at which the second holder
		// got the lock. What was held then is drawn a little longer, to be seen.
		st.End += time.Millisecond
	}
	if t.s.seed != 0 {
		st.Title = fmt.Sprintf("seed %d: %s", t.s.seed&^(1<<63), st.Title)
	}
	from, to := time.Duration(0), st.End
	if last > 0 {
		from, to = max(0, end-last), min(to, end+last/4)
	}
	for _, n := range t.s.Nodes {
		st.Lanes = append(st.Lanes, story.Lane{Name: n.Name, Sub: clockText(n)})
	}
	for i := range t.messages {
		if m := &t.messages[i]; m.sent <= to && (max(m.sent, m.at) >= from || !m.done) {
			st.Messages = append(st.Messages, p.message(m))
		}
	}
	t.tellCalls(st, p, bad)
	t.tellSpans(st)
	st.Marks = append(st.Marks, t.marks...)
	for _, f := range t.s.Checker.Failures {
		st.Marks = append(st.Marks, story.Mark{Lane: story.World, At: f.At, Kind: story.Failure, Text: f.Check + ": " + p.headline(f.Text)})
	}
	slices.SortStableFunc(st.Messages, func(a, b story.Message) int { return int(a.Sent - b.Sent) })
	slices.SortStableFunc(st.Marks, func(a, b story.Mark) int { return int(a.At - b.At) })
	limit(st, from, to)
	return st
}

// limit leaves out what was over before, or began after. Of the views before the
// last one stays: it is the one that holds.
func limit(st *story.Story, from, to time.Duration) {
	out := func(a, b time.Duration) bool { return a > to || b != 0 && b < from }
	st.Holds = slices.DeleteFunc(st.Holds, func(h story.Hold) bool { return out(h.From, h.To) })
	st.Spans = slices.DeleteFunc(st.Spans, func(s story.Span) bool { return out(s.From, s.To) })
	view := -1
	for i, m := range st.Marks {
		if m.Lane == story.World && m.Kind == story.View && m.At < from {
			view = i
		}
	}
	var marks []story.Mark
	for i, m := range st.Marks {
		if m.At >= from && m.At <= to || i == view || m.Kind == story.Failure {
			marks = append(marks, m)
		}
	}
	st.Marks = marks
}

// tellCalls tells what clients asked for, and what they hold.
func (t *Teller) tellCalls(st *story.Story, p *printer, bad []*Call) {
	ch := t.s.Checker
	for _, key := range ch.names {
		for _, c := range ch.keys[key].calls {
			st.Marks = append(st.Marks, t.callMarks(c)...)
			if c.Granted != 0 {
				st.Holds = append(st.Holds, t.holds(p, c, slices.Contains(bad, c))...)
			}
		}
	}
	slices.SortStableFunc(st.Holds, func(a, b story.Hold) int { return int(a.From - b.From) })
}

// callMarks are what a client called for a lock.
func (t *Teller) callMarks(c *Call) (marks []story.Mark) {
	call := func(at time.Duration, format string, args ...any) {
		marks = append(marks, story.Mark{Lane: c.Node.Index, At: at, Kind: story.Call, Text: fmt.Sprintf(format, args...)})
	}
	verb, more := "Lock", ""
	if c.Try {
		verb = "TryLock"
	}
	if c.asked != ownership.Exclusive {
		more += " " + modeText(c.asked)
	}
	if c.Delay != 0 {
		more += fmt.Sprintf(", delay %v", c.Delay)
	}
	if c.Lease != nil {
		more += fmt.Sprintf(", in the lease of handle %d", c.Lease.Handle)
	}
	if c.After != nil {
		more += fmt.Sprintf(", after handle %d", c.After.Handle)
	}
	call(c.Invoked, "%s %s%s, TTL %v, handle %d", verb, c.Key, more, c.TTL, c.Handle)
	for _, at := range c.Extends {
		call(at, "Extend %s, handle %d", c.Key, c.Handle)
	}
	for _, a := range c.Changes {
		what := "Delete the value of " + c.Key
		switch a.What {
		case ownership.AlterMode:
			what = fmt.Sprintf("Change %s to %s", c.Key, modeText(a.Mode))
		case ownership.AlterValue:
			what = fmt.Sprintf("Write %q to %s", a.Value, c.Key)
		}
		call(a.Invoked, "%s, handle %d", what, c.Handle)
		if a.GivenUp != 0 {
			call(a.GivenUp, "Give up: %s, handle %d", what, c.Handle)
		}
	}
	if c.Unlock != 0 {
		heir := ""
		if c.Heir != "" {
			heir = " for " + c.Heir
		}
		call(c.Unlock, "Unlock %s%s, handle %d", c.Key, heir, c.Handle)
	}
	return marks
}

// holds are the times in which a call believes in its lock: one for each mode.
func (t *Teller) holds(p *printer, c *Call, bad bool) (holds []story.Hold) {
	end, why := t.holdEnd(c)
	for i, m := range c.modes {
		h := story.Hold{Lane: c.Node.Index, Key: c.Key, Token: p.token(m.token), From: m.at, To: end, End: why, Bad: bad}
		if h.Weight, h.Of = weightOf(m.mode); !whole(m.mode) {
			h.Mode = modeText(m.mode)
		}
		if i+1 < len(c.modes) {
			if h.To, h.End = c.modes[i+1].at, story.Changed; h.To == h.From {
				continue
			}
		}
		holds = append(holds, h)
	}
	return holds
}

// Draw plays a trace and draws it as a page; replay is the command that plays it again.
func Draw(w io.Writer, t *Trace, replay string) error {
	var te *Teller
	r := Replay(t, func(s *Stage) { te = Tell(s) })
	r.Checker.Failures = append(r.Checker.Failures, r.Checker.Linear(LinearTimeout)...)
	return te.Story(replay, 0).WriteHTML(w)
}

// holdEnd is when a holder stopped to believe in its lock, and why.
func (t *Teller) holdEnd(c *Call) (time.Duration, story.HoldEnd) {
	at, why := t.s.Now+1, story.Held
	first := func(when time.Duration, as story.HoldEnd) {
		if when != 0 && when < at {
			at, why = when, as
		}
	}
	// After a jump of its clock only the event tells when a deadline was.
	if d := c.Node.trueAt(c.Deadline); d >= c.Node.since && d <= t.s.Now {
		first(d, story.Deadline)
	}
	if c.Cause == ownership.LostExpired {
		first(c.Lost, story.Deadline)
	}
	first(c.Unlock, story.Unlock)
	first(c.Lost, story.Lost)
	if c.Node.Crashed {
		first(c.Node.crashed, story.Crash)
	}
	if why == story.Held {
		return 0, why
	}
	return max(at, c.Granted), why
}

// clockText tells what of a clock is not nominal, its rate and what it is ahead
// by; all show an hour more than true time. It must fit under a narrow lane's name.
func clockText(n *Node) string {
	var words []string
	if n.RatePPM != 0 {
		words = append(words, fmt.Sprintf("%+.2f%%", float64(n.RatePPM)/10_000))
	}
	// What its clock is ahead by at true time 0.
	since := n.since + n.since/1_000_000*time.Duration(n.RatePPM)
	if ahead := time.Duration(n.base) - since - time.Hour; ahead > time.Second || ahead < -time.Second {
		words = append(words, fmt.Sprintf("%+.0fs", ahead.Seconds()))
	}
	return strings.Join(words, " ")
}
