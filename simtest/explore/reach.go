package explore

import (
	"strings"

	"github.com/lockmesh/lockmesh/ownership"
)

// reach notes which things of interest have happened in some state that was
// explored. A search that never came to a grant has shown nothing about grants.
type reach uint16

const (
	reachView reach = 1 << iota
	reachActivated
	reachWaits
	reachGranted
	reachBusy
	reachReleased
	reachExtended
	reachExpired
	reachMissing
	reachDropped
	reachAltered
	reachRefused
	reachSeen
	reachEvicted
	reachMax = reachEvicted
)

var reachWords = map[reach]string{reachView: "view", reachActivated: "take-over", reachWaits: "T6", reachGranted: "grant", reachBusy: "busy", reachReleased: "release",
	reachExtended: "renewal", reachExpired: "expiry", reachMissing: "loss", reachDropped: "drop",
	reachAltered: "change", reachRefused: "refusal", reachSeen: "a value seen", reachEvicted: "eviction"}

func reachOf(e ownership.Event) reach {
	switch e := e.(type) {
	case ownership.ViewLearned:
		return reachView
	case ownership.Activated:
		return reachActivated
	case ownership.Waits:
		return reachWaits
	case ownership.Granted:
		return reachGranted
	case ownership.Busy:
		return reachBusy
	case ownership.Released:
		return reachReleased
	case ownership.Extended:
		return reachExtended
	case ownership.Lost:
		if e.Cause == ownership.LostExpired {
			return reachExpired
		}
		return reachMissing
	case ownership.Altered:
		if e.Outcome == ownership.OutcomeAltered {
			return reachAltered
		}
		return reachRefused
	case ownership.Looked:
		if e.Keys[0].Value != nil {
			return reachSeen
		}
	case ownership.Evicted:
		if e.Done {
			return reachEvicted
		}
	case ownership.Dropped, ownership.Abandoned:
		return reachDropped
	}
	return 0
}

func (r reach) String() string {
	var words []string
	for bit := reach(1); bit <= reachMax; bit <<= 1 {
		if r&bit != 0 {
			words = append(words, reachWords[bit])
		}
	}
	return strings.Join(words, " ")
}
