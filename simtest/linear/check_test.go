package linear

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

const s = time.Second

// The TTL of the hand-written histories is 10 s, without drift.
const ttl = 10 * s

func granted(call int, from, to time.Duration, token uint64) Op {
	return Op{Call: call, Client: call, Kind: Lock, Invoked: from, Returned: to, Outcome: Granted, Token: token, MayExpire: from + ttl, Late: from + ttl}
}

func try(call int, from, to time.Duration) Op {
	return Op{Call: call, Client: call, Kind: Try, Invoked: from, Returned: to, Outcome: Busy, Late: from + ttl}
}

func open(call int, from time.Duration) Op {
	return Op{Call: call, Client: call, Kind: Lock, Invoked: from, Returned: -1, Late: from + ttl}
}

func unlock(call int, from, to time.Duration, what Outcome) Op {
	return Op{Call: call, Client: call, Kind: Unlock, Invoked: from, Returned: to, Outcome: what}
}

func renew(call int, from, to time.Duration, what Outcome) Op {
	o := Op{Call: call, Client: call, Kind: Renew, Invoked: from, Returned: to, Outcome: what}
	if what == Renewed {
		o.MayExpire = from + ttl
	}
	return o
}

func cancelled(call int, from, unlocked, to time.Duration) []Op {
	return []Op{{Call: call, Client: call, Kind: Lock, Invoked: from, Returned: to, Outcome: Cancelled, Late: from + ttl}, unlock(call, unlocked, to, NotHeld)}
}

func list(parts ...any) []Op {
	var ops []Op
	for _, p := range parts {
		switch p := p.(type) {
		case Op:
			ops = append(ops, p)
		case []Op:
			ops = append(ops, p...)
		}
	}
	return ops
}

func TestGood(t *testing.T) {
	for _, tt := range []struct {
		name string
		ops  []Op
	}{
		{"nothing", nil},
		{"one after the other", list(granted(1, 0, s, 5), unlock(1, 2*s, 3*s, Released), granted(2, 4*s, 5*s, 6), unlock(2, 6*s, 7*s, Released))},
		{"a waiter is granted before the Unlock is answered", list(granted(1, 0, s, 5), granted(2, s, 4*s, 6), unlock(1, 3*s, 5*s, Released))},
		{"busy while held", list(granted(1, 0, s, 5), try(2, 2*s, 3*s), unlock(1, 4*s, 5*s, Released))},
		{"busy while the grant is on its way", list(granted(1, 0, 5*s, 5), try(2, s, 2*s))},
		{"busy while the release is on its way", list(granted(1, 0, s, 5), unlock(1, 2*s, 6*s, Released), try(2, 3*s, 4*s))},
		{"the lease ran out", list(granted(1, 0, s, 5), granted(2, 3*s, 11*s, 6))},
		{"a renewed lease ran out", list(granted(1, 0, s, 5), renew(1, 5*s, 6*s, Renewed), granted(2, 3*s, 15*s, 6))},
		{"a crashed holder keeps the key beyond its lease", list(granted(1, 0, s, 5), try(2, 20*s, 21*s), granted(3, 22*s, 23*s, 6))},
		{"unlocked too late", list(granted(1, 0, s, 5), unlock(1, 9*s, 11*s, NotHeld), granted(2, 2*s, 10*s, 6))},
		{"busy since a crashed client was granted silently", list(open(1, 0), try(2, 2*s, 3*s), granted(3, 4*s, 10*s, 5))},
		{"busy since a cancelled call held it until it was closed", list(cancelled(1, 0, 5*s, 7*s), try(2, s, 2*s), try(3, 6*s, 7*s), granted(4, 3*s, 8*s, 9))},
		{"busy since a waiter's first grant came too late", list(granted(1, 0, 15*s, 7), try(2, 4*s, 5*s))},
		{"lost by its own clock and given back at once", list(granted(1, 0, s, 5), renew(1, s, 9*s, Lost), unlock(1, 9*s, 9*s, NotHeld), granted(2, 2*s, 9500*time.Millisecond, 6))},
		{"lost by its own clock, and the owner does not know yet", list(granted(1, 0, s, 5), renew(1, s, 9*s, Lost), unlock(1, 9*s, 9*s, NotHeld), try(2, 10*s, 11*s))},
		{"the owner says that it expired", list(granted(1, 0, s, 5), renew(1, 2*s, 12*s, Missing), granted(2, 2*s, 11*s, 6))},
		{"nobody answered an Unlock, which may have been carried out", list(granted(1, 0, s, 5), Op{Call: 1, Kind: Unlock, Invoked: 2 * s, Returned: -1, Outcome: GaveUp}, granted(2, 2*s, 3*s, 6))},
		{"or not", list(granted(1, 0, s, 5), Op{Call: 1, Kind: Unlock, Invoked: 2 * s, Returned: -1}, try(2, 4*s, 5*s))},
		{"a refused call", list(Op{Call: 1, Kind: Lock, Invoked: 0, Returned: 0, Outcome: Refused}, granted(2, s, 2*s, 1))},
		{"all at one moment", list(granted(1, s, s, 5), unlock(1, s, s, Released), try(2, s, s), granted(3, s, s, 6))},
	} {
		if v, why := Check(History{Key: "k", Ops: tt.ops}, 0); v != Ok {
			t.Errorf("%s: %v\n%s", tt.name, v, why)
		}
	}
}

func TestWrong(t *testing.T) {
	for _, tt := range []struct {
		name string // what is wrong
		says string // what the explanation must name
		ops  []Op
	}{
		{"two holders: the first has not ended, its lease neither", "call 1 (client 1) has it with token 5, until 10s at least",
			list(granted(1, 0, s, 5), granted(2, 2*s, 3*s, 6))},
		{"two holders: the first had renewed", "until 15s at least",
			list(granted(1, 0, s, 5), renew(1, 5*s, 6*s, Renewed), granted(2, 2*s, 12*s, 6))},
		{"a later grant has a lower token", "the lower token 5 of call 2 (client 2) is not given yet",
			list(granted(1, 0, s, 6), unlock(1, s, 2*s, Released), granted(2, 3*s, 4*s, 5))},
		{"one token twice", "one token for two",
			list(granted(1, 0, s, 5), unlock(1, s, 2*s, Released), granted(2, 3*s, 4*s, 5))},
		{"busy before anybody came", "the key is free, and nobody can have held it",
			list(try(1, 0, s), granted(2, 2*s, 3*s, 5))},
		{"busy after the only holder was released", "the key is free, and nobody can have held it",
			list(granted(1, 0, s, 5), unlock(1, 2*s, 3*s, Released), try(2, 4*s, 5*s))},
		{"busy after the owner said that the lease is over", "the key is free, and nobody can have held it",
			list(granted(1, 0, s, 5), unlock(1, 9*s, 11*s, NotHeld), try(2, 12*s, 13*s))},
		{"busy after a cancelled call was closed", "the key is free, and nobody can have held it",
			list(cancelled(1, 0, s, 2*s), try(2, 3*s, 4*s))},
		{"busy for nobody but itself", "the key is free, and nobody can have held it",
			list(try(1, 0, 20*s))},
		{"busy by a waiter that cannot have been granted too late yet", "the key is free, and nobody can have held it",
			list(granted(1, 0, 9*s, 7), unlock(1, 9*s, 9*s, Released), try(2, 10*s, 11*s), try(3, 12*s, 13*s))},
		{"a silent holder that made a call busy lost its lease too early", "no place for call 3",
			list(open(1, 0), try(2, 2*s, 3*s), granted(3, 4*s, 9*s, 5))},
		{"a waiter's silent hold ended before it could be too late", "no place for call 3",
			list(granted(1, 0, 15*s, 7), unlock(1, 15*s, 16*s, Released), try(2, 4*s, 5*s), granted(3, 6*s, 9*s, 6), unlock(3, 9*s, 10*s, Released))},
		{"renewed after somebody else got the lock", "no place for call 2 (client 2) Lock, Granted token 6 [9s 11s]: call 1 (client 1) has it",
			list(granted(1, 0, s, 5), granted(2, 9*s, 11*s, 6), renew(1, 12*s, 13*s, Renewed))},
		{"renewed after it was released", "it does not hold the key: the key is free",
			list(granted(1, 0, s, 5), unlock(1, s, 2*s, Released), renew(1, 3*s, 4*s, Renewed))},
		{"Unlock says Held after somebody else got the lock", "no place for call 2 (client 2) Lock, Granted token 6 [9s 11s]: call 1 (client 1) has it with token 5, until it is unlocked",
			list(granted(1, 0, s, 5), granted(2, 9*s, 11*s, 6), unlock(1, 12*s, 13*s, Released))},
		{"Unlock says not held while the lease lasts", "nothing can have ended its lock before 10s",
			list(granted(1, 0, s, 5), unlock(1, 3*s, 5*s, NotHeld))},
		{"the owner forgot a lock while its lease lasts", "nothing can have ended its lock before 10s",
			list(granted(1, 0, s, 5), renew(1, 3*s, 5*s, Missing))},
		{"lost by its own clock, and granted to another before that", "until 9s at least",
			list(granted(1, 0, s, 5), renew(1, s, 9*s, Lost), granted(2, 2*s, 8*s, 6))},
		{"an unanswered Unlock cannot work before it was called", "until 4s at least",
			list(granted(1, 0, s, 5), Op{Call: 1, Kind: Unlock, Invoked: 4 * s, Returned: -1}, granted(2, 2*s, 3*s, 6))},
		{"granted after it was cancelled", "granted after its Unlock",
			list(granted(1, 0, 5*s, 5), unlock(1, 3*s, 6*s, Released))},
		{"granted without a token", "0 is no token", list(granted(1, 0, s, 0))},
		{"an Unlock ended what was never granted", "never granted", list(open(1, 0), unlock(1, 3*s, 6*s, Released))},
		{"a renewal of what was never granted", "never granted", list(try(1, 0, s), renew(1, 3*s, 6*s, Renewed))},
		{"an answer before the question", "times are impossible", list(granted(1, 2*s, s, 5))},
		{"an outcome of another kind", "no outcome of", list(Op{Call: 1, Kind: Lock, Invoked: 0, Returned: s, Outcome: Released})},
	} {
		v, why := Check(History{Key: "k", Ops: tt.ops}, 0)
		if v != Illegal || !strings.Contains(why, tt.says) {
			t.Errorf("%s: %v, without %q\n%s", tt.name, v, tt.says, why)
		}
		if n := strings.Count(why, "\n"); n > 8 {
			t.Errorf("%s: %d lines are no explanation:\n%s", tt.name, n, why)
		}
	}
}

// TestUntil: who knows when a silent call can have held at the latest finds a
// busy after that.
func TestUntil(t *testing.T) {
	o := open(1, 0)
	ops := list(o, try(2, 20*s, 21*s))
	if v, why := Check(History{Ops: ops}, 0); v != Ok {
		t.Errorf("a crashed call may hold: %v\n%s", v, why)
	}
	ops[0].Until = 19 * s
	if v, _ := Check(History{Ops: ops}, 0); v != Illegal {
		t.Errorf("it may not hold any more: %v", v)
	}
}

func TestExplanation(t *testing.T) {
	ops := list(granted(1, 0, s, 5), unlock(1, 2*s, 3*s, Released), granted(2, 4*s, 5*s, 6), granted(3, 4*s, 6*s, 7), try(4, 7*s, 8*s))
	_, why := Check(History{Key: "k", Ops: ops}, 0)
	want := `key "k": no order explains what clients were told
  no place for call 3 (client 3) Lock, Granted token 7 [4s 6s]: call 2 (client 2) has it with token 6, until 14s at least
  after 3 steps of 4, the last of them:
    call 1 (client 1) Lock, Granted token 5 [0s 1s]
    call 1 (client 1) Unlock, Released [2s 3s]
    call 2 (client 2) Lock, Granted token 6 [4s 5s]
  then: call 2 (client 2) has it with token 6`
	if why != want {
		t.Errorf("got\n%s\nwant\n%s", why, want)
	}
}

func TestVisualization(t *testing.T) {
	var b bytes.Buffer
	h := History{Key: "k", Ops: list(granted(1, 0, s, 5), try(2, s, 2*s), open(3, s), granted(4, 2*s, 3*s, 6))}
	if err := WriteVisualization(&b, h, s); err != nil || !strings.Contains(b.String(), "call 2 (client 2) Try, Busy [1s 2s]") {
		t.Errorf("%v, %d bytes", err, b.Len())
	}
}

// TestUnknown: a search that does not come to its end is not Ok.
func TestUnknown(t *testing.T) {
	if v, why := Check(generate(1, bench).History, -1); v != Unknown || !strings.Contains(why, "undecided") {
		t.Errorf("%v %s", v, why)
	}
}
