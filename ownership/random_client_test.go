package ownership

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// clientWrong says what is wrong with a client, "" if nothing is.
func clientWrong(n *Core) string {
	cl := &n.client
	for i, h := range cl.asking {
		if i > 0 && cl.asking[i-1].seq >= h.seq {
			return "asking not sorted"
		}
		if h.state != holdAsking && h.state != holdReleasing || cl.holds[h.handle] != h || cl.bySeq[h.seq] != h {
			return "asking one that is not"
		}
	}
	for _, h := range cl.alters {
		if cl.holds[h.handle] != h {
			return "changes of what has ended"
		}
	}
	for hd, h := range cl.holds {
		in := slices.Contains(cl.asking, h)
		if in != (h.state == holdAsking || h.state == holdReleasing) {
			return "not asked for"
		}
		if h.state != holdBehind && cl.bySeq[h.seq] != h {
			return "bySeq"
		}
		if h.state == holdHeld {
			ok := false
			for _, s := range cl.slots {
				ok = ok || s.held[h.seq] == h
			}
			if !ok {
				return "held in no slot"
			}
			if n.now >= h.deadline {
				return "held past its deadline"
			}
		} else if len(h.changes) > 0 {
			return "changes of what is not held"
		}
		if slices.Contains(cl.alters, h) != (len(h.changes) > 0) {
			return "alters"
		}
		if h.state == holdBehind {
			ok := false
			for _, p := range cl.holds {
				ok = ok || p.follower == hd
			}
			if !ok {
				return "behind nobody"
			}
		}
		if a := h.in.Lease; a != 0 && h.state == holdHeld && (cl.holds[a] == nil || cl.holds[a].state != holdHeld) {
			return "held without its anchor"
		}
	}
	for _, s := range cl.slots {
		for _, h := range s.held {
			if h.state != holdHeld {
				return "a slot keeps what is not held"
			}
		}
		if len(s.held) == 0 {
			return "an empty slot"
		}
	}
	for seq, h := range cl.bySeq {
		if h.seq != seq || cl.holds[h.handle] != h {
			return "bySeq leaks"
		}
	}
	for an, of := range cl.leased {
		for hd := range of {
			if cl.holds[hd] == nil || cl.holds[hd].in.Lease != an {
				return "leased leaks"
			}
		}
	}
	return ""
}

// A client that is answered anything, by whoever says to be its owner: no assertion
// fails, nothing is held past its deadline, and nothing is left behind.
func TestRandomClient(t *testing.T) {
	for seed := range uint64(randomRuns) {
		r := rand.New(rand.NewPCG(seed, 1))
		v := viewOf(a, b, c, d)
		n := knowing(d, v)
		now := begin
		next := Handle(1)
		var log []any
		bad := ""
		what := panics(func() {
			for range 300 {
				now = now.add(time.Duration(r.Int64N(int64(pick(r, time.Millisecond, time.Millisecond, 20*time.Millisecond, 100*time.Millisecond, 2*time.Second)))))
				var in Input
				h := Handle(1 + r.Uint64N(uint64(next)))
				if next > 8 {
					h = next - Handle(r.Uint64N(5))
				}
				ago := func(most time.Duration) Echo { return Echo(now.add(-time.Duration(r.Int64N(int64(most))))) }
				rcv := func(m Message) Input { return Receive{From: a, Mesh: 7, Message: m} }
				seq := 1 + r.Uint64N(n.client.seq+1)
				if n.client.seq > 6 {
					seq = n.client.seq - r.Uint64N(6)
				}
				switch r.IntN(16) {
				case 0, 1:
					in = Lock{
						Handle: next, Key: pick(r, "x", "y", "z"), TTL: pick(r, time.Second, 5*time.Second),
						Mode: pick(r, Exclusive, Shared, ForUpdate, Permits(1, 3)), Try: r.IntN(5) == 0, NoRenew: r.IntN(5) == 0,
						Lease: pick(r, 0, h), After: pick(r, 0, h),
					}
					next++
				case 2:
					in = Unlock{h, pick(r, "", "e")}
				case 3:
					in = Change{h, uint64(r.IntN(5)), pick(r, AlterMode, AlterMode, AlterValue, AlterNoValue), pick(r, Exclusive, Shared, ForUpdate), nil}
					if x := in.(Change); x.What != AlterMode {
						x.Mode = Mode{}
						in = x
					}
				case 4:
					in = Unchange{h, uint64(r.IntN(5))}
				case 5:
					in = Extend{h}
				case 6:
					in = pick[Input](r, Evict{next, "x", 1}, Look{next, "x", false, 0, r.IntN(2) == 0}, Unlook{h})
					next++
				case 7, 8, 9, 10:
					m := Answer{
						Request: RequestID{400, seq}, Term: term, Release: r.IntN(3) == 0, Outcome: Outcome(1 + r.IntN(10)),
						Token: Token(r.IntN(5)), Echo: ago(200 * time.Millisecond), Ticket: Ticket{1, 1},
					}
					if r.IntN(2) == 0 {
						m.Outcome, m.Release = OutcomeGranted, false
					}
					if x := n.client.bySeq[seq]; x != nil && len(x.changes) > 0 && r.IntN(2) == 0 {
						m.Alters, m.Outcome = x.altered, pick(r, OutcomeAltered, OutcomeBusy, OutcomeNotHeld, OutcomeWaiting, OutcomeMoved)
					}
					in = rcv(m)
				case 11:
					item := HeartbeatAckItem{0, term, uint32(1 + r.IntN(3)), n.client.beats, ago(time.Second), r.IntN(2) == 0, []uint64{seq}, []uint64{seq}}
					in = rcv(HeartbeatAck{400, []HeartbeatAckItem{item}})
				case 12:
					in = rcv(Notice{400, []NoticeItem{{0, term, seq, r.IntN(2) == 0, "op"}}})
				case 13:
					told := pick(r, OutcomeWaiting, OutcomeMoved, OutcomeGranted)
					in = rcv(Report{Client: 400, ID: uint64(h), Term: term, Outcome: told, Number: r.Uint64N(9), Keys: make([]KeyState, r.IntN(2))})
				case 14:
					in = Tick{}
				case 15:
					if r.IntN(10) == 0 {
						w := after(n.view, func(w *View) { w.Groups[0].Term = Term(w.Epoch) })
						w.Groups[0].Term = term
						in = rcv(Decided{View: w})
					} else {
						in = Tick{}
					}
				}
				log = append(log, in)
				n.Step(now, in)
				if bad = clientWrong(n); bad != "" {
					return
				}
			}
		})
		if what != "" || bad != "" {
			t.Errorf("seed %d: %s %s after %d", seed, what, bad, len(log))
			for _, m := range log[max(0, len(log)-4):] {
				t.Logf("%T %+v", m, m)
			}
			return
		}
	}
}
