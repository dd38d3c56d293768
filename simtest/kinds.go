package simtest

import (
	"fmt"
	"strings"

	"github.com/lockmesh/lockmesh/ownership"
)

// Kinds is a set of message kinds, as bits.
type Kinds uint64

// AllKinds are all.
const AllKinds = ^Kinds(0)

// KindSet gathers kinds.
func KindSet(ks ...ownership.Kind) (s Kinds) {
	for _, k := range ks {
		s |= 1 << k
	}
	return s
}

func (s Kinds) has(k ownership.Kind) bool { return s>>k&1 != 0 }

var kindNames = func() map[ownership.Kind]string {
	names := map[ownership.Kind]string{}
	for _, m := range []ownership.Message{ownership.Contact{}, ownership.Found{}, ownership.FoundAck{}, ownership.Join{}, ownership.Refused{},
		ownership.Prepare{}, ownership.Promise{}, ownership.Propose{}, ownership.Accepted{}, ownership.Decided{}, ownership.DecidedAck{}, ownership.AskView{},
		ownership.Renew{}, ownership.RenewAck{}, ownership.Accept{}, ownership.AcceptAck{}, ownership.Confirm{}, ownership.ConfirmAck{}, ownership.Seal{},
		ownership.SealAck{}, ownership.Install{}, ownership.Settled{}, ownership.SettledAck{}, ownership.Stuck{}, ownership.Acquire{}, ownership.Release{},
		ownership.Answer{}, ownership.Heartbeat{}, ownership.HeartbeatAck{}, ownership.Alter{}, ownership.Query{}, ownership.Report{}, ownership.Revoke{},
		ownership.Notice{}} {
		names[m.Kind()] = strings.TrimPrefix(fmt.Sprintf("%T", m), "ownership.")
	}
	return names
}()

// KindName is a kind's name, as in the message table of package ownership.
func KindName(k ownership.Kind) string { return kindNames[k] }

// String lists the kinds by name, with commas; "all" for all.
func (s Kinds) String() string {
	if s == AllKinds {
		return "all"
	}
	var names []string
	for k := ownership.Kind(1); int(k) <= len(kindNames); k++ {
		if s.has(k) {
			names = append(names, kindNames[k])
		}
	}
	return strings.Join(names, ",")
}

// ParseKinds reads what Kinds.String writes.
func ParseKinds(text string) (s Kinds, err error) {
	if text == "all" {
		return AllKinds, nil
	}
	for _, name := range strings.Split(text, ",") {
		k, ok := kindNamed(name)
		if !ok {
			return 0, fmt.Errorf("no message kind is named %q", name)
		}
		s |= KindSet(k)
	}
	return s, nil
}

func kindNamed(name string) (ownership.Kind, bool) {
	for k := ownership.Kind(1); int(k) <= len(kindNames); k++ {
		if kindNames[k] == name {
			return k, true
		}
	}
	return 0, false
}
