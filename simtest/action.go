package simtest

import (
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// Verb is what an Action does.
type Verb string

// The verbs. Each is one thing that a director, a person or a stored trace can do
// to a simulated world.
const (
	Start    Verb = "start"    // a node: N founders, For its clock's offset, Rate, Fresh; gossip's news come Late
	Crash    Verb = "crash"    // for good; the memory is gone
	Pause    Verb = "pause"    // SIGSTOP
	Resume   Verb = "resume"   // SIGCONT; with N 1 its messages go before its timers
	LeaveNow Verb = "leave"    // asks to leave the mesh
	Cut      Verb = "cut"      // nothing from Node to Other arrives, and gossip sees it
	Mend     Verb = "mend"     // ends a cut
	MendAll  Verb = "mendall"  // ends all cuts
	Clog     Verb = "clog"     // messages of Kinds from Node to Other wait
	Unclog   Verb = "unclog"   // they go on their way
	Lose     Verb = "lose"     // messages of Kinds from Node to Other are lost; gossip sees nothing
	Slow     Verb = "slow"     // the way from Node to Other is N times slower than others; 0: as they
	LieDead  Verb = "lie"      // Node's roster calls Other dead
	Truth    Verb = "truth"    // and no longer
	Deafen   Verb = "deafen"   // Node's roster grows stale
	Listen   Verb = "listen"   // and no longer
	Clock    Verb = "clock"    // Node's clock jumps by For and runs at Rate
	Site     Verb = "site"     // buggify: the sites N (bits) are on at Node
	Lock     Verb = "lock"     // Node asks for Key with TTL For; Try, NoRenew, Mode, Delay, Lease, After
	Unlock   Verb = "unlock"   // Node closes Handle; Heir
	Extend   Verb = "extend"   // Node renews Handle
	Change   Verb = "change"   // Node alters what Handle holds, under Op: its Mode or Value, or NoValue
	Unchange Verb = "unchange" // Node gives Op of Handle up
	Look     Verb = "look"     // Node asks what is known of Key; Watch; Page: of those after Key, in partition N
	Unlook   Verb = "unlook"   // Node ends the look Handle
	Evict    Verb = "evict"    // Node takes what Whose of Other has from it, under Handle; N 1: by its first token, not the newest
	Heal     Verb = "heal"     // all faults end; from now on everything must come to rest
	Rest     Verb = "rest"     // it must have
	Ailing   Verb = "ailing"   // nothing is expected of Node any more
	AtWork   Verb = "atwork"   // whoever is not ailing must have been served
	Outside  Verb = "outside"  // Node stays cut off when all else heals
	Refound  Verb = "refound"  // what runs of the mesh so far does not count any more
	Rejoined Verb = "rejoined" // the view has changed since: Prior lists must be short
)

var allVerbs = []Verb{Start, Crash, Pause, Resume, LeaveNow, Cut, Mend, MendAll, Clog, Unclog, Lose, Slow, LieDead, Truth, Deafen, Listen, Clock, Site,
	Lock, Unlock, Extend, Change, Unchange, Look, Unlook, Evict, Heal, Rest, Ailing, AtWork, Outside, Refound, Rejoined}

// calls are the verbs of clients.
var calls = []Verb{Lock, Unlock, Extend, Change, Unchange, Look, Unlook, Evict}

// Action is one thing done to a world at a true time. Fields that a verb does not
// use are zero.
type Action struct {
	At      time.Duration
	Verb    Verb
	Node    string
	Other   string
	Key     string
	Handle  ownership.Handle
	Whose   ownership.Handle
	Op      uint64
	For     time.Duration
	N       int
	Rate    int
	Late    time.Duration
	Kinds   Kinds
	Mode    ownership.Mode
	Delay   time.Duration
	Lease   ownership.Handle
	After   ownership.Handle
	Heir    string
	What    ownership.AlterCode // of a Change: it has Mode, Value, or neither
	Value   string              // without spaces
	Try     bool
	NoRenew bool
	Fresh   bool
	Watch   bool
	Page    bool
}

// String writes an action as a line of a trace: "1.25s lock n3 key=k0 handle=7 for=2s try".
func (a Action) String() string {
	b := fmt.Appendf(nil, "%v %s", a.At, a.Verb)
	field := func(has bool, format string, value any) {
		if has {
			b = fmt.Appendf(append(b, ' '), format, value)
		}
	}
	field(a.Node != "", "%s", a.Node)
	field(a.Other != "", "%s", a.Other)
	field(a.Key != "", "key=%s", a.Key)
	field(a.Handle != 0, "handle=%d", a.Handle)
	field(a.Whose != 0, "whose=%d", a.Whose)
	field(a.Op != 0, "op=%d", a.Op)
	field(a.For != 0, "for=%v", a.For)
	field(a.N != 0, "n=%d", a.N)
	field(a.Late != 0, "late=%v", a.Late)
	field(a.Rate != 0, "rate=%d", a.Rate)
	field(a.Kinds != 0, "kinds=%s", a.Kinds)
	field(a.Mode != ownership.Exclusive || a.What == ownership.AlterMode, "mode=%s", modeText(a.Mode))
	field(a.Delay != 0, "delay=%v", a.Delay)
	field(a.Lease != 0, "lease=%d", a.Lease)
	field(a.After != 0, "after=%d", a.After)
	field(a.Heir != "", "heir=%s", a.Heir)
	field(a.What == ownership.AlterValue, "value=%s", a.Value)
	field(a.What == ownership.AlterNoValue, "%s", "novalue")
	for name, on := range a.words() {
		field(*on, "%s", name)
	}
	return string(b)
}

// words are the fields that a word stands for.
func (a *Action) words() iter.Seq2[string, *bool] {
	return func(yield func(string, *bool) bool) {
		_ = yield("try", &a.Try) && yield("norenew", &a.NoRenew) && yield("fresh", &a.Fresh) && yield("watch", &a.Watch) && yield("page", &a.Page)
	}
}

// ParseAction reads what String writes.
func ParseAction(line string) (a Action, err error) {
	words := strings.Fields(line)
	if len(words) < 2 {
		return a, fmt.Errorf("%q is no action: it needs a time and a verb", line)
	}
	if a.At, err = time.ParseDuration(words[0]); err != nil {
		return a, fmt.Errorf("%q: %w", line, err)
	}
	a.Verb = Verb(words[1])
	if !slices.Contains(allVerbs, a.Verb) {
		return a, fmt.Errorf("%q: there is no verb %q; one of %v", line, a.Verb, allVerbs)
	}
	for _, word := range words[2:] {
		name, value, pair := strings.Cut(word, "=")
		if !pair {
			err = a.word(word)
		} else {
			err = a.pair(name, value)
		}
		if err != nil {
			return a, fmt.Errorf("%q: %w", line, err)
		}
	}
	return a, nil
}

func (a *Action) word(word string) error {
	for name, on := range a.words() {
		if word == name {
			*on = true
			return nil
		}
	}
	switch {
	case word == "novalue":
		a.What = ownership.AlterNoValue
	case a.Node == "":
		a.Node = word
	case a.Other == "":
		a.Other = word
	default:
		return fmt.Errorf("unknown word %q", word)
	}
	return nil
}

func (a *Action) pair(name, value string) (err error) {
	handle := func(h *ownership.Handle) {
		var n uint64
		n, err = strconv.ParseUint(value, 10, 64)
		*h = ownership.Handle(n)
	}
	switch name {
	case "key":
		a.Key = value
	case "handle":
		handle(&a.Handle)
	case "whose":
		handle(&a.Whose)
	case "lease":
		handle(&a.Lease)
	case "after":
		handle(&a.After)
	case "op":
		a.Op, err = strconv.ParseUint(value, 10, 64)
	case "for":
		a.For, err = time.ParseDuration(value)
	case "late":
		a.Late, err = time.ParseDuration(value)
	case "delay":
		a.Delay, err = time.ParseDuration(value)
	case "n":
		a.N, err = strconv.Atoi(value)
	case "rate":
		a.Rate, err = strconv.Atoi(value)
	case "kinds":
		a.Kinds, err = ParseKinds(value)
	case "heir":
		a.Heir = value
	case "value":
		a.What, a.Value = ownership.AlterValue, value
	case "mode":
		if a.Mode, err = parseMode(value); a.Verb == Change {
			a.What = ownership.AlterMode
		}
	default:
		err = fmt.Errorf("unknown field %q", name)
	}
	return err
}

// modeText writes a mode: exclusive, shared, update, or 2/5 for two of five permits.
func modeText(m ownership.Mode) string {
	switch m {
	case ownership.Exclusive, ownership.Shared, ownership.ForUpdate:
		return m.String()
	}
	return fmt.Sprintf("%d/%d", m.Weight, m.Of)
}

func parseMode(text string) (ownership.Mode, error) {
	for _, m := range []ownership.Mode{ownership.Exclusive, ownership.Shared, ownership.ForUpdate} {
		if text == m.String() {
			return m, nil
		}
	}
	n, of, pair := strings.Cut(text, "/")
	if pair {
		a, errA := strconv.ParseUint(n, 10, 32)
		b, errB := strconv.ParseUint(of, 10, 32)
		if errA == nil && errB == nil {
			return ownership.Mode{Weight: uint32(a), Of: uint32(b)}, nil
		}
	}
	return ownership.Mode{}, fmt.Errorf("no mode is %q: exclusive, shared, update, or 2/5", text)
}

// weightOf is what a mode takes, and of how much (K7).
func weightOf(m ownership.Mode) (weight, of uint64) {
	if m == ownership.Exclusive {
		return ownership.Whole, ownership.Whole
	}
	return uint64(m.Weight), uint64(m.Of)
}

// whole says that nobody else can hold the key beside a lock of this mode.
func whole(m ownership.Mode) bool {
	weight, of := weightOf(m)
	return weight == of
}
