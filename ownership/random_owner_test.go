package ownership

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// An owner that hears anything from anybody, at any time: no assertion fails, and its
// table stays whole.

func pick[T any](r *rand.Rand, xs ...T) T { return xs[r.IntN(len(xs))] }

// tableWrong says what is wrong with the table of an owner, "" if nothing is.
func tableWrong(n *Core) string {
	o := n.owners[0]
	t := &o.table
	for key, k := range t.keys {
		if k.record == nil && len(k.queue) == 0 {
			return "an empty key " + key
		}
		if k.record != nil {
			for _, h := range k.record.Holders {
				l := t.leases[LeaseID{h.Request.Client, h.Lease}]
				if (l == nil || l.held[h.Request.Seq] == nil) && t.ending[h.Request] == nil {
					return "a holder that nothing ends, of " + key
				}
			}
		}
		if len(k.queue) > 0 && k.upgrade == nil && k.record.fits(k.queue[0].mode) {
			return "a queue whose head fits: " + key
		}
		if k.upgrade != nil && len(k.record.Holders) == 1 {
			return "an upgrade that could be"
		}
		for _, q := range k.queue {
			if q.state != requestWaiting {
				return "a closed request in the queue"
			}
		}
	}
	for id, m := range t.clients {
		for _, s := range m.closed {
			if t.requests[RequestID{id, s}] == nil {
				return "closed and unknown"
			}
		}
	}
	for id, r := range t.requests {
		if r.state == requestHeld {
			k := t.keys[r.key]
			if k == nil || k.record.holder(id) == nil {
				return "held, and not in the record"
			}
		}
	}
	if len(t.ending) != len(t.endings) {
		return "endings differ"
	}
	ev := 0
	for _, e := range t.endings {
		if e.request.state == requestHeld {
			ev++
		}
	}
	if ev != t.evicted {
		return "evicted miscounted"
	}
	if len(t.endings)+len(t.leases) > 0 {
		for _, l := range t.leases {
			if n.expires(l) < t.expiry {
				return "a lease ends before expiry"
			}
		}
		if len(t.endings) > 0 && t.endings[0].until < t.expiry {
			return "an ending before expiry"
		}
	}
	return ""
}

const randomRuns = 300

func TestRandomOwner(t *testing.T)        { randomOwner(t, false, false) }
func TestRandomOwnerHostile(t *testing.T) { randomOwner(t, true, false) }
func TestRandomOwnerGrace(t *testing.T)   { randomOwner(t, true, true) }

// randomOwner plays messages of three clients, whose requests are what clients make
// or, if hostile, anything that has the form; with grace there are graces between.
func randomOwner(t *testing.T, hostile, grace bool) {
	for seed := range uint64(randomRuns) {
		r := rand.New(rand.NewPCG(seed, 1))
		n := owning(a, viewOf(a, b, c))
		now := begin
		var log []Message
		step := func() {
			node := pick(r, d, e, f)
			id := RequestID{ClientID(node) * 100, 1 + r.Uint64N(10)}
			if hostile {
				id.Client = pick[ClientID](r, 400, 500, 600)
			}
			low := uint64(0)
			if hostile {
				low = pick(r, 0, r.Uint64N(12), r.Uint64N(4), math.MaxUint64)
				if low == math.MaxUint64 && r.IntN(50) > 0 {
					low = 0
				}
			} else if r.IntN(6) == 0 {
				low = r.Uint64N(id.Seq + 1)
			}
			key := string(rune('x' + id.Seq%3))
			if hostile {
				key = pick(r, "x", "y", "z")
			}
			mode := pick(r, Exclusive, Shared, Shared, ForUpdate, Permits(1, 3), Permits(2, 3), Permits(3, 3))
			if !hostile {
				mode = []Mode{Exclusive, Shared, Shared, ForUpdate}[id.Seq%4]
				if key == "z" {
					mode = Permits(1+int(id.Seq)%3, 3)
				}
			}
			var m Message
			switch r.IntN(9) {
			case 0, 1, 2:
				m = Acquire{
					Request: id, Low: low, Term: term, Key: key, Try: r.IntN(4) == 0, Lease: uint32(id.Seq % 3),
					TTL: pick(r, time.Second, 3*time.Second, 5*time.Second), Sent: Echo(r.Int64()),
					Ticket: pick(r, Ticket{}, Ticket{term, uint32(r.IntN(4))}, Ticket{Term(r.Uint32()), r.Uint32()}),
					Name:   member(node).Name, Mode: mode, Delay: pick(r, 0, 0, time.Second, 3*time.Second),
				}
			case 3:
				m = Release{Request: id, Low: low, Term: term, Heir: pick(r, "", "", "d", "e"), Lost: r.IntN(3) == 0}
			case 4:
				x := Alter{Request: id, Low: low, Term: term, Number: pick(r, 1+r.Uint64N(5), r.Uint64()), What: AlterMode, Mode: pick(r, Exclusive, Exclusive, Shared, ForUpdate)}
				if r.IntN(2) == 0 {
					x.What, x.Mode = pick(r, AlterValue, AlterNoValue), Mode{}
				}
				m = x
			case 5:
				tok := Token(1)
				if k := n.owners[0].table.keys[key]; k != nil && k.held() {
					tok = pick(r, k.record.Holders...).Token
				}
				if r.IntN(3) == 0 {
					id.Seq += pick[uint64](r, 0, 20)
					if !hostile {
						id.Seq = 20 + r.Uint64N(5)
					}
					m = Revoke{Request: id, Low: low, Term: term, Key: key, Token: tok, Name: "op"}
				}
			case 6:
				m = Query{Client: id.Client, ID: r.Uint64N(3), Term: term, Key: key, Page: r.IntN(4) == 0, Watch: r.IntN(2) == 0, Seen: pick(r, 0, r.Uint64N(40))}
			case 7:
				m = Heartbeat{id.Client, Echo(r.Int64()), []HeartbeatItem{{0, term, uint32(r.IntN(3)), time.Second, r.Uint64(), r.IntN(3), r.Uint64()}}}
			case 8:
				to := now.add(pick(r, time.Millisecond, 300*time.Millisecond, time.Second, 2*time.Second))
				for now < to {
					now = min(now.add(500*time.Millisecond), to)
					lend(n, now)
					n.Step(now, Tick{})
				}
			}
			if r.IntN(4) == 0 {
				settle(n, now)
			}
			if r.IntN(60) == 0 && grace {
				n.owners[0].table.graceEnd = now.add(300 * time.Millisecond)
				n.owners[0].timer = now
			}
			if m != nil {
				log = append(log, m)
				tell(n, now, node, m)
			}
		}
		bad := ""
		what := panics(func() {
			for range 300 {
				step()
				if bad = tableWrong(n); bad != "" {
					return
				}
			}
		})
		if what != "" || bad != "" {
			t.Errorf("seed %d: %s %s after %d messages", seed, what, bad, len(log))
			for _, m := range log[max(0, len(log)-3):] {
				t.Logf("%T %+v", m, m)
			}
			return
		}
	}
}
