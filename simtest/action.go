package simtest

import (
	"fmt"
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
	Lock     Verb = "lock"     // Node asks for Key with TTL For; Try, NoRenew
	Unlock   Verb = "unlock"   // Node closes Handle
	Extend   Verb = "extend"   // Node renews Handle
	Heal     Verb = "heal"     // all faults end; from now on everything must come to rest
	Rest     Verb = "rest"     // it must have
	Ailing   Verb = "ailing"   // nothing is expected of Node any more
	AtWork   Verb = "atwork"   // whoever is not ailing must have been served
	Outside  Verb = "outside"  // Node stays cut off when all else heals
	Refound  Verb = "refound"  // what runs of the mesh so far does not count any more
	Rejoined Verb = "rejoined" // the view has changed since: Prior lists must be short
)

var allVerbs = []Verb{Start, Crash, Pause, Resume, LeaveNow, Cut, Mend, MendAll, Clog, Unclog, Lose, Slow, LieDead, Truth, Deafen, Listen, Clock, Site,
	Lock, Unlock, Extend, Heal, Rest, Ailing, AtWork, Outside, Refound, Rejoined}

// Action is one thing done to a world at a true time. Fields that a verb does not
// use are zero.
type Action struct {
	At      time.Duration
	Verb    Verb
	Node    string
	Other   string
	Key     string
	Handle  ownership.Handle
	For     time.Duration
	N       int
	Rate    int
	Late    time.Duration
	Kinds   Kinds
	Try     bool
	NoRenew bool
	Fresh   bool
}

// String writes an action as a line of a trace: "1.25s lock n3 key=k0 handle=7 for=2s try".
func (a Action) String() string {
	b := fmt.Appendf(nil, "%v %s", a.At, a.Verb)
	if a.Node != "" {
		b = fmt.Appendf(b, " %s", a.Node)
	}
	if a.Other != "" {
		b = fmt.Appendf(b, " %s", a.Other)
	}
	if a.Key != "" {
		b = fmt.Appendf(b, " key=%s", a.Key)
	}
	if a.Handle != 0 {
		b = fmt.Appendf(b, " handle=%d", a.Handle)
	}
	if a.For != 0 {
		b = fmt.Appendf(b, " for=%v", a.For)
	}
	if a.N != 0 {
		b = fmt.Appendf(b, " n=%d", a.N)
	}
	if a.Late != 0 {
		b = fmt.Appendf(b, " late=%v", a.Late)
	}
	if a.Rate != 0 {
		b = fmt.Appendf(b, " rate=%d", a.Rate)
	}
	if a.Kinds != 0 {
		b = fmt.Appendf(b, " kinds=%s", a.Kinds)
	}
	for _, f := range [...]struct {
		on   bool
		name string
	}{{a.Try, "try"}, {a.NoRenew, "norenew"}, {a.Fresh, "fresh"}} {
		if f.on {
			b = append(b, " "+f.name...)
		}
	}
	return string(b)
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
	switch {
	case word == "try":
		a.Try = true
	case word == "norenew":
		a.NoRenew = true
	case word == "fresh":
		a.Fresh = true
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
	switch name {
	case "key":
		a.Key = value
	case "handle":
		var h uint64
		h, err = strconv.ParseUint(value, 10, 64)
		a.Handle = ownership.Handle(h)
	case "for":
		a.For, err = time.ParseDuration(value)
	case "late":
		a.Late, err = time.ParseDuration(value)
	case "n":
		a.N, err = strconv.Atoi(value)
	case "rate":
		a.Rate, err = strconv.Atoi(value)
	case "kinds":
		a.Kinds, err = ParseKinds(value)
	default:
		err = fmt.Errorf("unknown field %q", name)
	}
	return err
}

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

// Stage is a world with its checker: what actions act upon.
type Stage struct {
	*World
	Checker *Checker
	Params  ownership.Params
	Log     *[]Action    // gathers what was done, if not nil
	OnDo    func(Action) // sees every action before it is carried out
	healed  bool
}

// NewStage returns an empty stage. The seed names its nodes.
func NewStage(seed uint64, params ownership.Params) *Stage {
	w := New(seed)
	w.seed = seed | 1<<63
	w.OnEvent = func(n *Node, e ownership.Event) {
		if _, left := e.(ownership.Left); left {
			w.After(time.Millisecond, func() { w.Crash(n) }) // its process ends
		}
	}
	return &Stage{World: w, Checker: NewChecker(w), Params: params}
}

// Do carries out an action now. One that names a node that does not run, or a
// handle that was never used, does nothing: traces are cut down by leaving
// actions out.
func (s *Stage) Do(a Action) {
	a.At = s.Now
	if s.Log != nil {
		*s.Log = append(*s.Log, a)
	}
	if s.OnDo != nil {
		s.OnDo(a)
	}
	switch a.Verb {
	case Lock, Unlock, Extend, Rest, AtWork, Rejoined:
	default:
		s.Checker.disturbed = s.Now
	}
	switch a.Verb {
	case Start:
		if s.named(a.Node) == nil {
			s.start(a.Node, ownership.Config{Params: s.Params, Founders: a.N, Fresh: a.Fresh}, a.For, a.Rate).late = a.Late
			for _, n := range s.Nodes {
				if n.outside && !n.ailing {
					s.outside(n)
				}
			}
		}
		return
	case MendAll:
		s.Mend()
		return
	case Heal:
		s.heal()
		return
	case Refound:
		s.Checker.refounded()
		return
	case AtWork:
		s.Checker.atWork()
		return
	case Rest:
		s.Checker.atRest()
		s.Checker.calm()
		return
	case Rejoined:
		s.Checker.priorShort()
		return
	}
	if n := s.Node(a.Node); n != nil {
		s.doTo(n, a)
	}
}

func (s *Stage) doTo(n *Node, a Action) {
	if n.Frozen && (a.Verb == Lock || a.Verb == Unlock || a.Verb == Extend) {
		return // a process that is stopped calls nothing
	}
	switch a.Verb {
	case Crash:
		s.Crash(n)
	case Pause:
		s.Freeze(n)
	case Resume:
		s.thaw(n, a.N == 1)
	case LeaveNow:
		n.leaving = true
		s.Input(n, ownership.Leave{})
	case Deafen, Listen:
		s.World.Deafen(n, a.Verb == Deafen)
	case Clock:
		s.SetClock(n, a.For, a.Rate)
		if bound := s.Params.DriftPPM; a.For != 0 || a.Rate > bound || a.Rate < -bound {
			s.Checker.Wild = true // from now on
		}
	case Outside:
		s.outside(n)
	case Ailing:
		n.outside, n.ailing = true, true
	case Site:
		n.Sites = uint(a.N)
	case Lock:
		s.Checker.Lock(n, ownership.Lock{Handle: a.Handle, Key: a.Key, TTL: a.For, Try: a.Try, NoRenew: a.NoRenew})
	case Unlock:
		if c := s.Checker.Call(n, a.Handle); c != nil {
			s.Checker.Unlock(c)
		}
	case Extend:
		if c := s.Checker.Call(n, a.Handle); c != nil {
			s.Checker.Extend(c)
		}
	default:
		if o := s.named(a.Other); o != nil {
			s.doToLink(n, o, a)
		}
	}
}

func (s *Stage) doToLink(n, o *Node, a Action) {
	switch a.Verb {
	case Cut, Mend:
		s.setCut(n, o, a.Verb == Cut)
	case Clog:
		s.World.Clog(n, o, a.Kinds)
	case Unclog:
		s.World.Unclog(n, o)
	case Lose:
		s.World.Lose(n, o, a.Kinds)
	case Slow:
		s.Net.link(n, o).slow = float64(a.N)
	case LieDead, Truth:
		s.Lie(n, o.Name, a.Verb == LieDead)
	default:
		panic(fmt.Sprintf("no such action: %v", a))
	}
}

// outside cuts a node off for good.
func (s *Stage) outside(n *Node) {
	n.outside = true
	for _, m := range s.Nodes {
		if m != n {
			s.setCut(n, m, true)
			s.setCut(m, n, true)
		}
	}
}

// heal ends all faults of the world; clocks keep their rates, the dead stay dead.
func (s *Stage) heal() {
	s.healed = true
	s.Checker.healed()
	net := &s.Net
	net.Loss, net.Twice, net.Echo, net.MeanDelay = 0, 0, 0, min(net.MeanDelay, time.Millisecond)
	net.RosterDelay = min(net.RosterDelay, 500*time.Millisecond)
	for _, n := range s.Nodes {
		for _, m := range s.Nodes {
			l := net.link(n, m)
			l.cut, l.lose, l.slow = n.outside && !n.ailing || m.outside && !m.ailing, 0, 0
			s.World.Unclog(n, m)
		}
		n.lied, n.deaf, n.late, n.Sites = slices.Delete(n.lied, 0, len(n.lied)), false, 0, 0
		s.Thaw(n)
	}
	s.newsForAll(net.RosterDelay)
}
