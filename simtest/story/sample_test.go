package story

import (
	"fmt"
	"math/rand/v2"
	"time"
)

const us, ms = time.Microsecond, time.Millisecond

// small is a failure by hand: a holder is paused over its deadline, its library
// (so goes the story) does not look at the clock, and another gets the lock.
func small() *Story {
	s := &Story{
		Title:   "seed 4711: exclusion",
		Failure: "a and c both believe that they hold invoice/17: a since 1.002 s with token +0·1, c since 3.834 s with token +1·1",
		Replay:  "go test ./simtest -run 'TestRandom/4711$' -v",
		End:     6700 * ms,
		Lanes:   []Lane{{Name: "a", Sub: "clock +0.4 %"}, {Name: "b", Sub: "clock −0.2 %"}, {Name: "c", Sub: "clock exact"}},
	}
	send := func(kind string, from, to int, sent, arrived time.Duration, key, detail string) *Message {
		s.Messages = append(s.Messages, Message{Kind: kind, From: from, To: to, Sent: sent, Arrived: arrived, Key: key, Detail: detail})
		return &s.Messages[len(s.Messages)-1]
	}
	const a, b, c, key = 0, 1, 2, "invoice/17"
	s.Marks = []Mark{
		{World, 0, View, "view +0: members a b c, voters a b c"},
		{a, 1000 * ms, Call, "Lock(invoice/17, ttl 2 s)"},
		{a, 1002 * ms, Event, "granted +0·1"},
		{a, 1012*ms + 300*us, Fault, "SIGSTOP"},
		{b, 1807 * ms, View, "learns view +1"},
		{c, 1808 * ms, View, "learns view +1"},
		{World, 1806 * ms, View, "view +1: members b c, voters b, after a b c of +0"},
		{c, 3511 * ms, Call, "Lock(invoice/17, ttl 10 s)"},
		{c, 3834 * ms, Event, "granted +1·1"},
		{a, 6511 * ms, Event, "writes with its lock, token +0·1"},
		{World, 6511*ms + 20*us, Failure, "two holders of invoice/17: a (+0·1) and c (+1·1)"},
	}
	send("Accept", a, b, 1000*ms, 1000*ms+480*us, key, "Accept +0 #1 invoice/17: a +0·1")
	send("Accept", a, c, 1000*ms, 1000*ms+910*us, key, "Accept +0 #1 invoice/17: a +0·1")
	send("AcceptAck", b, a, 1000*ms+480*us, 1002*ms, "", "AcceptAck +0 through #1")
	send("AcceptAck", c, a, 1000*ms+910*us, 1002*ms+140*us, "", "AcceptAck +0 through #1")
	send("Acquire", b, a, 1010*ms, 1010*ms+700*us, "job/2", "Acquire job/2 in +0")
	send("Accept", a, b, 1010*ms+700*us, 1011*ms+200*us, "job/2", "Accept +0 #2 job/2: b +0·2")
	send("Accept", a, c, 1010*ms+700*us, 1011*ms+500*us, "job/2", "Accept +0 #2 job/2: b +0·2")
	send("AcceptAck", b, a, 1011*ms+200*us, 6511*ms, "", "AcceptAck +0 through #2, waits while a is stopped")
	send("AcceptAck", c, a, 1011*ms+500*us, 6511*ms, "", "AcceptAck +0 through #2, waits while a is stopped")
	m := send("Acquire", b, a, 1503*ms, 0, "job/2", "Acquire job/2 in +0")
	m.Lost, m.Why = true, "loss"
	send("Prepare", b, c, 1803*ms, 1803*ms+600*us, "", "Prepare +1 ballot 1.b")
	send("Promise", c, b, 1803*ms+600*us, 1804*ms+200*us, "", "Promise +1 ballot 1.b, nothing accepted")
	send("Propose", b, c, 1804*ms+200*us, 1804*ms+900*us, "", "Propose +1: members b c, voters b")
	send("Accepted", c, b, 1804*ms+900*us, 1807*ms, "", "Accepted +1 ballot 1.b")
	send("Decided", b, c, 1807*ms, 1808*ms, "", "Decided +1: members b c, voters b")
	m = send("Decided", b, c, 1807*ms, 1809*ms+100*us, "", "Decided +1: members b c, voters b")
	m.Copy = true
	m = send("Decided", b, a, 1807*ms, 1807*ms+500*us, "", "Decided +1: members b c, voters b")
	m.Lost, m.Why = true, "cut"
	send("Seal", b, c, 1807*ms+300*us, 1809*ms+900*us, "", "Seal group 0 for +1")
	send("SealAck", c, b, 1809*ms+900*us, 1810*ms+800*us, "", "SealAck group 0: #2 {job/2: b +0·2; invoice/17: a +0·1}")
	send("Acquire", c, b, 3511*ms, 3511*ms+800*us, key, "Acquire invoice/17 in +1")
	send("Answer", b, c, 3511*ms+800*us, 3512*ms+300*us, key, "Answer invoice/17 in +1: waiting, held by a, 0 ahead")
	send("Accept", b, c, 3831*ms, 3832*ms, key, "Accept +1 #1 invoice/17: c +1·1")
	send("AcceptAck", c, b, 3832*ms, 3833*ms, "", "AcceptAck +1 through #1")
	send("Answer", b, c, 3833*ms, 3834*ms, key, "Answer invoice/17 in +1: granted +1·1, echo 3.511")
	send("Heartbeat", c, b, 6600*ms, -1, "", "Heartbeat of 1 lock")
	s.Holds = []Hold{
		{Lane: a, Key: key, Token: "+0·1", From: 1002 * ms, Bad: true},
		{Lane: b, Key: "job/2", Token: "+0·2", From: 2063 * ms, To: 5100 * ms, End: Unlock},
		{Lane: c, Key: key, Token: "+1·1", From: 3834 * ms, Bad: true},
	}
	s.Spans = []Span{
		{Lane: a, Other: -1, From: 1012*ms + 300*us, To: 6511 * ms, Kind: Paused, Text: "SIGSTOP: timers and messages wait, the clock runs on"},
		{Lane: b, Other: a, From: 1700 * ms, To: 6000 * ms, Kind: Cut},
		{Lane: c, Other: a, From: 1700 * ms, To: 6000 * ms, Kind: Cut},
	}
	return s
}

// big is nine nodes over a minute, with n messages.
func big(n int) *Story {
	r := rand.New(rand.NewPCG(1, 2))
	s := &Story{Title: "seed 99: convergence", Failure: "10 s after everything had healed, key/3 was still not granted", Replay: "go test ./simtest -run 'TestRandom/99$'", End: time.Minute}
	for i := range 9 {
		s.Lanes = append(s.Lanes, Lane{Name: fmt.Sprintf("n%d", i+1), Sub: fmt.Sprintf("clock %+.1f %%", r.Float64()*2-1)})
	}
	key := func() string { return fmt.Sprintf("key/%d", r.IntN(5)) }
	send := func(kind string, from, to int, at time.Duration) time.Duration {
		m := Message{Kind: kind, From: from, To: to, Sent: at, Arrived: at + 200*us + time.Duration(r.ExpFloat64()*float64(300*us))}
		m.Detail = fmt.Sprintf("%s{Echo:%d Term:+%d Count:%d}", kind, at/us, r.IntN(9), r.IntN(1000))
		if FamilyOf(kind) == Locks {
			m.Key = key()
		}
		if r.IntN(40) == 0 {
			m.Lost, m.Why, m.Arrived = true, "loss", 0
		} else if r.IntN(40) == 0 {
			twice := m
			twice.Copy, twice.Arrived = true, m.Arrived+time.Duration(r.IntN(900))*us
			s.Messages = append(s.Messages, twice)
		}
		s.Messages = append(s.Messages, m)
		return m.Sent + max(m.Arrived-m.Sent, 300*us)
	}
	for at := time.Duration(0); len(s.Messages) < n; at += time.Duration(r.ExpFloat64() * float64(time.Minute) / float64(n) * 6.45) {
		from, to := r.IntN(9), r.IntN(8)
		if to >= from {
			to++
		}
		switch r.IntN(3) {
		case 0: // a lock is granted
			t := send("Acquire", from, to, at)
			for i := range 3 {
				if replica := (to + 1 + i) % 9; replica != to {
					t = send("AcceptAck", replica, to, send("Accept", to, replica, t-time.Duration(i)*50*us))
				}
			}
			send("Answer", to, from, t)
		default:
			kind := []string{"Renew", "Heartbeat", "Renew"}[r.IntN(3)]
			for i := range 3 {
				if voter := (from + 1 + i) % 9; voter != from {
					send(kind+"Ack", voter, from, send(kind, from, voter, at))
				}
			}
		}
		at = min(at, time.Minute-10*ms)
	}
	s.Messages = s.Messages[:n]
	for i := range 250 {
		from := time.Duration(i)*235*ms + time.Duration(r.IntN(200))*ms
		s.Holds = append(s.Holds, Hold{Lane: r.IntN(9), Key: fmt.Sprintf("key/%d", i%5), Token: fmt.Sprintf("+%d·%d", i/40, i),
			From: from, To: from + time.Duration(50+r.IntN(1000))*ms, End: []HoldEnd{Unlock, Unlock, Unlock, Lost, Deadline}[r.IntN(5)]})
	}
	s.Spans = append(s.Spans, Span{Lane: 8, Other: -1, To: 1500 * ms, Kind: Absent})
	for i := range 8 {
		at := time.Duration(3+i*7) * time.Second
		lane := (i * 5) % 9
		s.Spans = append(s.Spans, Span{Lane: lane, Other: -1, From: at, To: at + 2*time.Second, Kind: []SpanKind{Paused, Crashed}[i%2]})
		for j := range 4 {
			s.Spans = append(s.Spans, Span{Lane: (lane + 2) % 9, Other: (lane + 3 + j) % 9, From: at + time.Second, To: at + 3*time.Second, Kind: []SpanKind{Cut, Clogged, Lie}[i%3]})
		}
		s.Marks = append(s.Marks, Mark{World, at + 1200*ms, View, fmt.Sprintf("view %d: 8 members, voters n1 n2 n3 n4 n5", i+2)}, Mark{lane, at, Fault, []string{"SIGSTOP", "crash"}[i%2]})
		for j := range 9 {
			if voter := (lane + 1) % 9; j != voter && j < 5 {
				t := send("Accepted", j, voter, send("Propose", voter, j, send("Promise", j, voter, send("Prepare", voter, j, at+1190*ms))))
				send("Decided", voter, j, max(t, at+1195*ms))
			}
			s.Marks = append(s.Marks, Mark{j, at + 1200*ms + time.Duration(r.IntN(2000))*us, View, fmt.Sprintf("learns view %d", i+2)})
		}
	}
	s.Marks = append(s.Marks, Mark{World, 59900 * ms, Failure, s.Failure})
	return s
}

// hostile is made of texts that would like to be markup.
func hostile() *Story {
	const evil = `</script><script>alert("1")</script><img src=x onerror='alert(2)'> & "quotes" ` + "`${x}` <!-- \u2028 \x00 \xff {{.}}"
	return &Story{Title: evil, Failure: evil, Replay: evil, End: time.Second,
		Lanes:    []Lane{{Name: evil, Sub: evil}, {Name: "__proto__"}, {Name: ""}},
		Messages: []Message{{From: 0, To: 1, Kind: evil, Sent: 1 * ms, Arrived: 2 * ms, Key: evil, Detail: evil}, {From: 1, To: 1, Kind: "__proto__", Sent: 3 * ms, Arrived: 3 * ms, Key: "constructor", Why: evil}, {From: 2, To: 0, Kind: "constructor", Sent: 5 * ms, Lost: true, Why: evil}},
		Holds:    []Hold{{Lane: 1, Key: evil, Token: evil, From: 3 * ms, To: 500 * ms, End: "<b>"}, {Lane: 0, Key: "__proto__", From: 4 * ms}},
		Marks:    []Mark{{0, 10 * ms, Event, evil}, {World, 20 * ms, View, evil}, {World, 30 * ms, Failure, evil}, {1, 40 * ms, "<i>", "line\nbreak"}},
		Spans:    []Span{{Lane: World, Other: -1, From: 100 * ms, Kind: Buggify, Text: evil}, {Lane: 1, Other: 0, From: 200 * ms, To: 300 * ms, Kind: "<u>", Text: evil}},
	}
}
