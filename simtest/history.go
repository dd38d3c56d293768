package simtest

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
	"github.com/lockmesh/lockmesh/simtest/linear"
)

// LinearTimeout is how long porcupine may think about a run.
const LinearTimeout = 20 * time.Second

// Linear checks that the history of each key is linearizable (package linear), for
// at most timeout in all; it is called when a run is over, and adds nothing to
// Failures. Keys that are not decided then are counted in Unknown: how fast this
// machine is today is no failure of the protocol.
//
// A run with Wild is left out. When a lease may end at its owner follows from the
// TTL only as long as clocks keep their bound; beyond it every end would be in
// doubt, and with that every busy and every grant. What is promised then, that
// tokens rise, the check "token" sees.
//
// A mesh that is founded anew does not begin a new history. It waits until all
// leases of whatever ran before are over (T6), so clients must not notice that
// it is another one: the one history of a key over both is the stronger check.
func (ch *Checker) Linear(timeout time.Duration) []Failure {
	if ch.Wild {
		return nil
	}
	var failures []Failure
	end := time.Now().Add(timeout)
	for _, key := range ch.names {
		left := time.Until(end)
		if left == 0 {
			left = -1 // 0 would be for ever
		}
		switch verdict, why := linear.Check(ch.History(key), left); verdict {
		case linear.Illegal:
			text, calls := ch.explained(key, why)
			failures = append(failures, Failure{At: ch.stuckAt(why), Check: "linear", Text: text, Calls: calls, form: "linear"})
		case linear.Unknown:
			ch.Unknown++
		}
	}
	return failures
}

// History is what clients were told about one key so far, as package linear wants
// it. A call goes by its handle, a client by its node's index.
func (ch *Checker) History(key string) linear.History {
	h := linear.History{Key: key}
	k := ch.keys[key]
	if k == nil {
		return h
	}
	id := k.callIDs()
	for i, c := range k.calls {
		h.Ops = c.appendOps(h.Ops, id[i])
		for _, a := range c.Changes {
			h.Ops = append(h.Ops, a.ops(id[i])...)
		}
	}
	for _, r := range k.reads {
		h.Ops = append(h.Ops, r.op())
	}
	for _, x := range k.evictions {
		h.Ops = append(h.Ops, x.op())
	}
	for _, l := range ch.losses[partitionOf(key, ch.params())] {
		h.Lost = append(h.Lost, l.at)
	}
	return h
}

// callIDs numbers calls by their handles, or from 1 if two nodes have used the
// same ones.
func (k *keyHistory) callIDs() []int {
	ids := make([]int, len(k.calls))
	seen := map[int]bool{}
	for i, c := range k.calls {
		ids[i] = int(c.Handle)
		seen[ids[i]] = true
	}
	if len(seen) < len(ids) {
		for i := range ids {
			ids[i] = i + 1
		}
	}
	return ids
}

// neverSent says that a call was denied before its owner was asked (K10, K11).
func (c *Call) neverSent() bool {
	return c.Denied != 0 && (c.Ended == c.Invoked || c.After != nil && c.After.Granted == 0)
}

// appendOps appends what a call was, and what its client was told of it.
func (c *Call) appendOps(ops []linear.Op, id int) []linear.Op {
	op := func(kind linear.Kind, o linear.Outcome, from, to time.Duration) *linear.Op {
		ops = append(ops, linear.Op{Call: id, Client: c.Node.Index, Kind: kind, Outcome: o, Invoked: from, Returned: to})
		return &ops[len(ops)-1]
	}
	kind := linear.Lock
	if c.Try {
		kind = linear.Try
	}
	d := float64(c.Node.Config.Params.DriftPPM) / 1e6
	late := c.Invoked + time.Duration(float64(c.TTL)*(1-d)/(1+d))
	if c.unheard { // K13: it was granted, told to let go, and has asked anew
		late = c.Invoked
	}
	lock := op(kind, linear.Open, c.Invoked, -1)
	lock.Late, lock.Mode, lock.Delay = late, linear.Mode(c.asked), c.Delay
	switch {
	case c.Granted != 0:
		lock.Outcome, lock.Returned, lock.Token, lock.MayExpire = linear.Granted, c.Granted, uint64(c.Tokens[0]), c.Sent+c.TTL
	case c.Busy:
		lock.Outcome, lock.Returned = linear.Busy, c.Ended
	case c.Invalid:
		lock.Outcome, lock.Returned, lock.Mode = linear.Refused, c.Ended, linear.Exclusive // it may have asked for a mode that there is not
	case c.neverSent():
		lock.Outcome, lock.Returned = linear.Refused, c.Ended
	case c.Denied == ownership.DeniedCapacity:
		lock.Outcome, lock.Returned = linear.Capacity, c.Ended
	case c.Denied != 0: // K10, K11: its client gave it up
		op(linear.Unlock, linear.Open, c.Ended, -1)
		return ops
	}
	for _, r := range c.Renewals {
		op(linear.Renew, linear.Renewed, r.Sent, r.Answered).MayExpire = r.Sent + c.TTL
	}
	switch {
	case c.Lost == 0:
	case c.Cause == ownership.LostMissing && !c.evicted: // K13: one that was told to let go is renewed no more
		// Its heartbeat left after the grant was adopted (K4); when, it does not say.
		op(linear.Renew, linear.Missing, c.Granted, c.Lost)
	default:
		lost := op(linear.Renew, linear.Lost, c.Granted, c.Lost)
		lost.Closes = c.Cause == ownership.LostExpired || c.Cause == ownership.LostLease // K9: its client says so when it gives it back
	}
	if c.Unlock == 0 {
		return ops
	}
	// A frozen node hears of an Unlock when it goes on, and may adopt a grant that
	// waited before: then the Unlock is later than the grant, whenever it was called.
	from := max(c.Unlock, c.Granted)
	switch {
	case c.GaveUp:
		op(linear.Unlock, linear.GaveUp, from, c.Ended)
	case c.Released != 0 && c.Held:
		op(linear.Unlock, linear.Released, from, c.Released)
	case c.Released != 0:
		op(linear.Unlock, linear.NotHeld, from, c.Released)
	default:
		op(linear.Unlock, linear.Open, from, -1)
	}
	return ops
}

// ops are a change as package linear wants it: nothing if it was one to the mode that
// the lock had already.
func (a *Alteration) ops(id int) []linear.Op {
	o := linear.Op{Call: id, Client: a.Call.Node.Index, Kind: linear.Downgrade, Invoked: a.Invoked, Returned: -1, Mode: linear.Mode(a.Mode)}
	switch {
	case a.isUp():
		o.Kind = linear.Upgrade
	case a.What == ownership.AlterValue:
		o.Kind, o.Value.Data = linear.Set, a.Value
	case a.What == ownership.AlterNoValue:
		o.Kind = linear.Delete
	}
	switch {
	case a.GivenUp != 0:
		o.Outcome, o.Returned = linear.GaveUp, a.GivenUp
	case a.Answered == 0:
		return []linear.Op{o}
	case a.idle:
		return nil
	default:
		o.Returned = a.Answered
		o.Outcome = map[ownership.Outcome]linear.Outcome{ownership.OutcomeAltered: linear.Done, ownership.OutcomeBusy: linear.Conflict,
			ownership.OutcomeNotHeld: linear.NotHeld, ownership.OutcomeInvalid: linear.Refused}[a.Outcome]
	}
	switch {
	case o.Outcome == linear.Done && a.isUp():
		o.Token = uint64(a.Token)
	case o.Outcome == linear.NotHeld && a.Call.evicted:
		o.Outcome = linear.Refused // K13: it changes nothing any more, and is held still
	}
	return []linear.Op{o}
}

// reading is what somebody was told of a key.
type reading struct {
	by    *Inquiry
	at    time.Duration
	state *ownership.KeyState
}

func (r *reading) op() linear.Op {
	o := linear.Op{Call: int(r.by.Handle), Client: r.by.Node.Index, Kind: linear.Inspect, Outcome: linear.Done, Invoked: r.by.Invoked, Returned: r.at}
	if v := r.state.Value; v != nil {
		o.Value = linear.Value{Data: string(v.Data), Token: uint64(v.Token), Stale: v.Stale}
	}
	for i := range r.state.Holders {
		h := &r.state.Holders[i]
		o.Holders = append(o.Holders, linear.Holder{Token: uint64(h.Token), Mode: linear.Mode(h.Mode), Lost: h.Lost})
	}
	return o
}

func (x *Eviction) op() linear.Op {
	o := linear.Op{Call: int(x.Handle), Client: x.Node.Index, Kind: linear.Evict, Invoked: x.Invoked, Returned: -1, Token: uint64(x.Token)}
	switch {
	case x.GivenUp != 0:
		o.Outcome, o.Returned = linear.GaveUp, x.GivenUp
	case x.Done:
		o.Outcome, o.Returned = linear.Done, x.Ended
	case x.Ended != 0:
		o.Outcome, o.Returned = linear.NotHeld, x.Ended
	}
	return o
}

// sentAt is the true time before which the message cannot have been sent that an
// answer with this deadline answers: the deadline is the client's own time then +
// TTL·(1−d) (K3).
func (c *Call) sentAt(deadline ownership.Time) time.Duration {
	n := c.Node
	ttl, ppm := int64(c.TTL), int64(n.Config.Params.DriftPPM)
	held := ttl - ttl/1_000_000*ppm - (ttl%1_000_000*ppm+999_999)/1_000_000
	// A simulated clock counts its rate in whole milliseconds, so that it shows one
	// time for up to a rate's worth of true time.
	rounding := 2*time.Duration(max(n.RatePPM, -n.RatePPM)) + time.Microsecond
	return max(c.Invoked, n.trueAt(deadline-ownership.Time(held))-rounding)
}

// stuckAt is when the answer came that no order explains: a story begins there.
func (ch *Checker) stuckAt(why string) time.Duration {
	if m := timesInText.FindStringSubmatch(why); m != nil {
		if at, err := time.ParseDuration(m[1]); err == nil {
			return at
		}
	}
	return ch.w.Now
}

var timesInText = regexp.MustCompile(`\[\S+ ([^\s\]]+)\]`)
var callInText = regexp.MustCompile(`call (\d+) \(client (\d+)\)`)
var tokenInText = regexp.MustCompile(`token (\d+)`)

// explained is an explanation of package linear in the words of this one, and the
// calls that it names.
func (ch *Checker) explained(key, why string) (string, []*Call) {
	k := ch.keys[key]
	ids := k.callIDs()
	var calls []*Call
	why = callInText.ReplaceAllStringFunc(why, func(text string) string {
		id, _ := strconv.Atoi(callInText.FindStringSubmatch(text)[1])
		i := slices.Index(ids, id)
		if i < 0 {
			return text
		}
		c := k.calls[i]
		if !slices.Contains(calls, c) {
			calls = append(calls, c)
		}
		return fmt.Sprintf("handle %d of %s", c.Handle, c.Node.Name)
	})
	why = tokenInText.ReplaceAllStringFunc(why, func(text string) string {
		t, err := strconv.ParseUint(tokenInText.FindStringSubmatch(text)[1], 10, 64)
		if err != nil {
			return text
		}
		return "token " + tokenText(ownership.Token(t))
	})
	return why, calls
}
