package ownership

import "time"

// Clock rates: every right of length D ends at D·(1−d) at the one who has it
// and at D·(1+d) at the one who gave it, where d bounds how far the rate of any
// clock is off. So in true time the right ends at its owner first.

func (p Params) drift(d time.Duration) time.Duration {
	// Rounded up: a margin that is a nanosecond too long harms nobody.
	return time.Duration((int64(d)/1_000_000)*int64(p.DriftPPM) + (int64(d)%1_000_000*int64(p.DriftPPM)+999_999)/1_000_000)
}

// held is how long the one who has a right of length d may use it.
func (p Params) held(d time.Duration) time.Duration { return d - p.drift(d) }

// given is how long the one who gave a right of length d must honour it.
func (p Params) given(d time.Duration) time.Duration { return d + p.drift(d) }

// lostWait is how long a lost configuration is waited out (T6): no replica of
// it can serve after the first part, no holder believe after the second.
func (p Params) lostWait() time.Duration { return p.given(p.MembershipTTL + p.MaxTTL) }

// The paces of the protocol. None of them decides safety; all follow from
// MembershipTTL (2 s by default, for which the comments give the value), so
// that a slower network is configured in one place.
func (p Params) renewEvery() time.Duration   { return p.MembershipTTL / 4 }  // 500 ms, L1
func (p Params) tickEvery() time.Duration    { return p.MembershipTTL / 20 } // 100 ms: voters look for something to propose
func (p Params) resendEvery() time.Duration  { return p.MembershipTTL / 20 } // 100 ms: what got no answer is sent again
func (p Params) contactEvery() time.Duration { return p.MembershipTTL / 10 } // 200 ms: founding and joining
func (p Params) backoffStep() time.Duration  { return p.MembershipTTL / 8 }  // 250 ms: between voters in line, V5
func (p Params) proposeFor() time.Duration   { return p.MembershipTTL / 4 }  // 500 ms: then the ballot is given up
func (p Params) tickGap() time.Duration      { return p.MembershipTTL / 4 }  // 500 ms: a longer gap between ticks is a suspend, V3
func (p Params) deadSilence() time.Duration  { return p.MembershipTTL / 2 }  // 1 s, V3
func (p Params) silence() time.Duration      { return 3 * p.MembershipTTL }  // 6 s, V3
func (p Params) seatFresh() time.Duration    { return 2 * p.MembershipTTL }  // 4 s, V5
func (p Params) joinQuiet() time.Duration    { return p.MembershipTTL / 20 } // 100 ms without a new joiner, V5
func (p Params) joinAtMost() time.Duration   { return p.MembershipTTL / 5 }  // 400 ms: or the first has waited so long
func (p Params) stuckAfter() time.Duration   { return 2 * p.MembershipTTL }  // 4 s, V5
func (p Params) stuckEvery() time.Duration   { return p.MembershipTTL / 2 }  // 1 s
func (p Params) boundFor() time.Duration     { return 3 * p.MembershipTTL }  // 6 s, founding
func (p Params) meshSilent() time.Duration   { return 10 * p.MembershipTTL } // 20 s: a mesh that nobody of is heard is forgotten by who never was in it
func (p Params) leaveFor() time.Duration     { return 2 * p.MembershipTTL }  // 4 s without a membership lease: a leaver just goes, V7
func (p Params) ownerWait() time.Duration    { return p.MembershipTTL / 40 } // 50 ms: for the owner before, who knows whether anybody waits, K2
func (p Params) grace() time.Duration        { return p.MembershipTTL / 8 }  // 250 ms, K2
func (p Params) settleEvery() time.Duration  { return p.MembershipTTL / 10 } // 200 ms, T5
func (p Params) forgetClient() time.Duration { return 2*p.MaxTTL + time.Minute }

// Constants that do not scale.
const (
	directFresh = time.Second      // founding and V5: "told it directly within the last second"
	noteLife    = 10 * time.Minute // V5: how long a stuck pair is kept apart
	flapMemory  = time.Minute      // V5: how long a drop counts against an address
)

// askEvery is how often a client asks again for, or refreshes, a request (K2).
func askEvery(ttl time.Duration) time.Duration {
	return min(max(ttl/4, 20*time.Millisecond), 500*time.Millisecond)
}

// beatEvery is the pace of lease heartbeats, beatRetry that of one that got no
// answer (K4). A third leaves two more tries before the deadline.
func beatEvery(ttl time.Duration) time.Duration { return max(ttl/3, time.Millisecond) }
func beatRetry(ttl time.Duration) time.Duration { return max(ttl/12, time.Millisecond) }
