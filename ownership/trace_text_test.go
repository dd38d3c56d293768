package ownership_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
	"github.com/lockmesh/lockmesh/simtest"
)

// line is one thing that happened: from→to text, or, if nobody is in to, an
// event at from. What happens at one moment and differs in from or to alone is
// one line.
type line struct {
	at       time.Duration
	from, to []string
	text     string
}

func (s *stage) add(kind string, l line) {
	if kind == s.until {
		s.reached = true
	}
	if s.hidden[kind] || s.only != nil && !s.only[kind] {
		return
	}
	for i := len(s.lines) - 1; i >= 0 && s.lines[i].at == l.at; i-- {
		o := &s.lines[i]
		switch {
		case o.text != l.text || len(o.to) == 0 && len(l.to) > 0:
		case slices.Equal(o.from, l.from) && len(l.to) > 0:
			if !slices.Contains(o.to, l.to[0]) {
				o.to = append(o.to, l.to...)
			}
			return
		case slices.Equal(o.to, l.to) && !slices.Contains(o.from, l.from[0]):
			o.from = append(o.from, l.from...)
			return
		}
	}
	s.lines = append(s.lines, l)
}

func (l line) String() string {
	if len(l.to) == 0 {
		return strings.Join(l.from, ",") + ": " + l.text
	}
	return strings.Join(l.from, ",") + "→" + strings.Join(l.to, ",") + " " + l.text
}

// flush writes the lines since the last time. What is said four times or more is
// written once.
func (s *stage) flush(out *strings.Builder) {
	times := map[string]int{}
	last := map[string]time.Duration{}
	for _, l := range s.lines {
		times[l.String()]++
		last[l.String()] = l.at
	}
	for _, l := range s.lines {
		text := l.String()
		switch n := times[text]; {
		case n == 0: // written
		case n < 4:
			fmt.Fprintf(out, "%s %s\n", clock(l.at), text)
		default:
			fmt.Fprintf(out, "%s %s (%d times, last at %s)\n", clock(l.at), text, n, clock(last[text]))
			delete(times, text)
		}
	}
	s.lines = nil
}

func clock(at time.Duration) string {
	return fmt.Sprintf("%d.%03d", at/time.Second, at%time.Second/time.Millisecond)
}

// local shows a node's own time, which in these worlds is the true one.
func local(t ownership.Time) string { return clock(time.Duration(t) - time.Hour) }

// meet gives names to NodeIDs: a node that starts over gets a prime.
func (s *stage) meet() {
	for _, n := range s.w.Nodes {
		id := n.Core.ID()
		if s.labels[id] == "" {
			s.labels[id] = n.Name + strings.Repeat("'", len(s.nodes[n.Name]))
			s.nodes[n.Name] = append(s.nodes[n.Name], id)
		}
	}
}

func (s *stage) name(id ownership.NodeID) string { return s.labels[id] }

func (s *stage) list(ids []ownership.NodeID) string {
	var names []string
	for _, id := range ids {
		names = append(names, s.name(id))
	}
	return strings.Join(names, " ")
}

func (s *stage) sent(from *simtest.Node, e ownership.Envelope) {
	s.meet()
	if f, ok := e.Message.(ownership.Found); ok && s.base == 0 {
		s.base = f.View.Epoch
	}
	if a, ok := e.Message.(ownership.Acquire); ok {
		s.keys[a.Request] = a.Key
	}
	text := s.message(e.Message)
	to := s.name(e.To)
	if n := s.target(e.To); n == nil || s.w.IsCut(from, n) || s.dropped(from.Name, n.Name, e.Message) {
		text += " (lost)"
	}
	s.add(kindOf(e.Message), line{s.w.Now, []string{s.name(from.Core.ID())}, []string{to}, text})
}

// target is the running node with this NodeID.
func (s *stage) target(id ownership.NodeID) *simtest.Node {
	for _, n := range s.w.Nodes {
		if n.Core.ID() == id && !n.Crashed {
			return n
		}
	}
	return nil
}

func (s *stage) event(n *simtest.Node, e ownership.Event) {
	s.meet()
	if v, ok := e.(ownership.ViewLearned); ok {
		if s.base == 0 {
			s.base = v.View.Epoch
		}
		if !slices.ContainsFunc(s.views, func(o *ownership.View) bool { return o.Mesh == v.View.Mesh && o.Epoch == v.View.Epoch }) {
			s.views = append(s.views, v.View)
		}
	}
	switch e := e.(type) {
	case ownership.Granted:
		s.tokens[n.Name+" "+s.names[nodeHandle{n.Name, e.Handle}]] = e.Token
	case ownership.Altered:
		s.tokens[n.Name+" "+s.names[nodeHandle{n.Name, e.Handle}]] = e.Token
	}
	s.add(kindOf(e), line{at: s.w.Now, from: []string{s.name(n.Core.ID())}, text: s.eventText(n, e)})
}

func kindOf(v any) string { return strings.TrimPrefix(fmt.Sprintf("%T", v), "ownership.") }

func (s *stage) epoch(e ownership.Epoch) string { return fmt.Sprintf("+%d", int64(e)-int64(s.base)) }

func (s *stage) term(t ownership.Term) string {
	if t == 0 {
		return "none"
	}
	return s.epoch(ownership.Epoch(t))
}

func (s *stage) token(t ownership.Token) string {
	return fmt.Sprintf("%s·%d", s.term(t.Term()), uint32(t))
}

func (s *stage) ballot(b ownership.Ballot) string {
	return fmt.Sprintf("%d%s", b.Round, s.name(b.Node))
}

// part names the partition where there are several.
func (s *stage) part(p ownership.Partition) string {
	if s.config.Params.Partitions == 1 {
		return ""
	}
	return fmt.Sprintf(" p%d", p)
}

func (s *stage) members(v *ownership.View) string {
	var names []string
	for _, m := range v.Members {
		name := s.name(m.ID)
		if m.Leaving {
			name += "(leaving)"
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

// view shows members, voters and, if there is one partition, its group.
func (s *stage) view(v *ownership.View) string {
	text := fmt.Sprintf("view %s: members %s, voters %s", s.epoch(v.Epoch), s.members(v), s.list(v.Voters))
	if len(v.Groups) == 1 {
		text += ", group " + s.group(v.Groups[0])
	}
	for _, a := range v.Apart {
		text += fmt.Sprintf(", apart%s %s %s", s.part(a.Partition), s.name(a.Owner), s.name(a.Silent))
	}
	return text
}

// group is "a b c of +1": owner a, replicas a b c, term +1.
func (s *stage) group(g ownership.Group) string {
	text := fmt.Sprintf("%s of %s", s.list(g.Replicas), s.term(g.Term))
	for i, k := range g.Prior {
		sep := ", "
		if i == 0 {
			sep = " after "
		}
		switch {
		case k.Term == 0:
			text += sep + "unknown"
		default:
			text += fmt.Sprintf("%s%s of %s", sep, s.list(k.Replicas), s.term(k.Term))
		}
	}
	return text
}

func (s *stage) record(r *ownership.Record) string {
	if r == nil {
		return "free"
	}
	var hs []string
	for _, h := range r.Holders {
		hs = append(hs, h.Name+" "+s.token(h.Token))
	}
	return strings.Join(hs, ", ")
}

func (s *stage) records(rs []*ownership.Record) string {
	var all []string
	for _, r := range rs {
		all = append(all, r.Key+": "+s.record(r))
	}
	return "{" + strings.Join(all, "; ") + "}"
}

// message says what is in a message that matters to a reader.
func (s *stage) message(m ownership.Message) string {
	text := kindOf(m)
	switch m := m.(type) {
	case ownership.Found:
		text += " " + s.view(m.View)
	case ownership.Refused:
		text += fmt.Sprintf(" (%d) it has %s", m.Code, m.Detail)
	case ownership.Prepare:
		text += fmt.Sprintf(" %s ballot %s", s.epoch(m.Epoch), s.ballot(m.Ballot))
	case ownership.Promise:
		text += fmt.Sprintf(" %s ballot %s", s.epoch(m.Epoch), s.ballot(m.Ballot))
		switch {
		case m.Promised != m.Ballot:
			text += ": no, promised " + s.ballot(m.Promised)
		case m.Value != nil:
			text += fmt.Sprintf(", accepted at %s: members %s", s.ballot(m.Accepted), s.members(m.Value))
		}
	case ownership.Propose:
		text += fmt.Sprintf(" %s ballot %s: members %s", s.epoch(m.Epoch), s.ballot(m.Ballot), s.members(m.Value))
	case ownership.Accepted:
		text += fmt.Sprintf(" %s ballot %s", s.epoch(m.Epoch), s.ballot(m.Ballot))
		if m.Promised != m.Ballot {
			text += ": no, promised " + s.ballot(m.Promised)
		}
	case ownership.Decided:
		text += " " + s.epoch(m.View.Epoch)
		if m.WantAck {
			text += ", tell me that you know"
		}
	case ownership.DecidedAck:
		text += " " + s.epoch(m.Epoch)
	case ownership.Renew:
		text += " " + s.epoch(m.Epoch)
		if m.Leaving {
			text += ", leaving"
		}
	case ownership.RenewAck:
		text += fmt.Sprintf(" %s of %s", s.epoch(m.Epoch), local(ownership.Time(m.Sent)))
		if m.Stop {
			text += ", just stop"
		}
	default:
		text += s.groupMessage(m)
	}
	return text
}

func (s *stage) groupMessage(m ownership.Message) string {
	switch m := m.(type) {
	case ownership.Accept:
		var ws []string
		for i, w := range m.Writes {
			ws = append(ws, fmt.Sprintf("#%d %s: %s", m.First+uint64(i), w.Key, s.record(w.Record)))
		}
		return fmt.Sprintf("%s %s %s", s.part(m.Partition), s.term(m.Term), strings.Join(ws, "; "))
	case ownership.AcceptAck:
		if m.OK {
			return fmt.Sprintf("%s %s through #%d", s.part(m.Partition), s.term(m.Term), m.Last)
		}
		return fmt.Sprintf("%s %s: no, promised %s, installed %s #%d", s.part(m.Partition), s.term(m.Term), s.term(m.Promised), s.term(m.Installed), m.Last)
	case ownership.Confirm:
		return s.rounds(m.Items)
	case ownership.ConfirmAck:
		return s.rounds(m.Items)
	case ownership.Seal:
		return fmt.Sprintf("%s %s, has %s", s.part(m.Partition), s.term(m.Term), s.position(m.Installed, m.Last))
	case ownership.SealAck:
		switch {
		case !m.OK:
			return fmt.Sprintf("%s %s: no, promised %s", s.part(m.Partition), s.term(m.Term), s.term(m.Promised))
		case m.Chunks == 0:
			return fmt.Sprintf("%s %s: %s, you have as much", s.part(m.Partition), s.term(m.Term), s.position(m.Installed, m.Last))
		}
		return fmt.Sprintf("%s %s: %s %s", s.part(m.Partition), s.term(m.Term), s.position(m.Installed, m.Last), s.records(m.Records))
	case ownership.Install:
		return fmt.Sprintf("%s %s #%d %s", s.part(m.Partition), s.term(m.Term), m.Number, s.records(m.Records))
	case ownership.Settled:
		return s.settled(m.Items)
	case ownership.SettledAck:
		return s.settled(m.Items)
	case ownership.Stuck:
		return fmt.Sprintf("%s %s, heard %s", s.part(m.Partition), s.term(m.Term), s.list(m.Heard))
	}
	return s.clientMessage(m)
}

func (s *stage) position(t ownership.Term, last uint64) string {
	if t == 0 {
		return "nothing"
	}
	return fmt.Sprintf("%s #%d", s.term(t), last)
}

func (s *stage) rounds(items []ownership.ConfirmItem) (text string) {
	for _, i := range items {
		text += fmt.Sprintf("%s %s round %d", s.part(i.Partition), s.term(i.Term), i.Round)
	}
	return text
}

func (s *stage) settled(items []ownership.SettledItem) (text string) {
	for _, i := range items {
		text += fmt.Sprintf("%s %s", s.part(i.Partition), s.term(i.Term))
	}
	return text
}

func (s *stage) clientMessage(m ownership.Message) string {
	switch m := m.(type) {
	case ownership.Acquire:
		text := fmt.Sprintf(" %s in %s", m.Key, s.term(m.Term))
		if m.Mode != ownership.Exclusive {
			text += ", " + m.Mode.String()
		}
		if m.Delay != 0 {
			text += fmt.Sprintf(", delay %v", m.Delay)
		}
		if m.Try {
			text += ", try"
		}
		if m.Ticket != (ownership.Ticket{}) {
			text += ", ticket " + s.ticket(m.Ticket)
		}
		return text
	case ownership.Release:
		text := fmt.Sprintf(" %s in %s", s.keys[m.Request], s.term(m.Term))
		if m.Heir != "" {
			text += ", to " + m.Heir
		}
		return text
	case ownership.Answer:
		text := fmt.Sprintf(" %s in %s: ", s.keys[m.Request], s.term(m.Term)) + outcomes[m.Outcome]
		if m.Alters != 0 {
			text = fmt.Sprintf(" %s in %s, #%d: ", s.keys[m.Request], s.term(m.Term), m.Alters) + outcomes[m.Outcome]
		}
		switch m.Outcome {
		case ownership.OutcomeGranted:
			text += fmt.Sprintf(" %s, echo %s", s.token(m.Token), local(ownership.Time(m.Echo)))
		case ownership.OutcomeBusy, ownership.OutcomeCapacity:
			text += ", held by " + m.Holder.Name
		case ownership.OutcomeAltered:
			text += " " + s.token(m.Token)
		case ownership.OutcomeWaiting:
			text += ", " + s.reason(m.Reason)
			if m.Ticket != (ownership.Ticket{}) {
				text += ", ticket " + s.ticket(m.Ticket)
			}
		}
		return text
	case ownership.Heartbeat:
		text := ""
		for _, i := range m.Items {
			text += fmt.Sprintf("%s %s beat %d of %d locks", s.part(i.Partition), s.term(i.Term), i.Beat, i.Count)
		}
		return text
	case ownership.HeartbeatAck:
		text := ""
		for _, i := range m.Items {
			text += fmt.Sprintf("%s %s beat %d, echo %s", s.part(i.Partition), s.term(i.Term), i.Beat, local(ownership.Time(i.Echo)))
			if !i.Match {
				text += fmt.Sprintf(", no match: %d held", len(i.Held))
			}
			if len(i.Contended) > 0 {
				text += fmt.Sprintf(", %d waited for", len(i.Contended))
			}
		}
		return text
	case ownership.Alter:
		return fmt.Sprintf(" %s in %s, #%d: %s", s.keys[m.Request], s.term(m.Term), m.Number, alteration(m.What, m.Mode, m.Value))
	case ownership.Revoke:
		return fmt.Sprintf(" %s of %s in %s", s.token(m.Token), m.Key, s.term(m.Term))
	case ownership.Notice:
		var items []string
		for _, i := range m.Items {
			text := "somebody waits for "
			if i.Evicted {
				text = i.By + " says: let go of "
			}
			items = append(items, text+s.keys[ownership.RequestID{Client: m.Client, Seq: i.Seq}])
		}
		return " " + strings.Join(items, ", ")
	case ownership.Query:
		text := fmt.Sprintf(" %s in %s", m.Key, s.term(m.Term))
		if m.Page {
			text = fmt.Sprintf(" keys of %s after %q", s.term(m.Term), m.Key)
		}
		if m.Watch {
			text += fmt.Sprintf(", watches, has #%d", m.Seen)
		}
		return text
	case ownership.Report:
		if m.Outcome != ownership.OutcomeGranted {
			return " " + outcomes[m.Outcome]
		}
		text := ""
		if m.Number != 0 {
			text = fmt.Sprintf(" #%d:", m.Number)
		}
		for _, k := range m.Keys {
			text += " " + s.keyState(k)
		}
		return text
	}
	return ""
}

func alteration(what ownership.AlterCode, mode ownership.Mode, value []byte) string {
	switch what {
	case ownership.AlterMode:
		return mode.String()
	case ownership.AlterValue:
		return fmt.Sprintf("value %q", value)
	}
	return "no value"
}

func (s *stage) keyState(k ownership.KeyState) string {
	var who []string
	for _, h := range k.Holders {
		text := fmt.Sprintf("%s %s %s", h.Name, s.token(h.Token), h.Mode)
		if h.Lost {
			text += " lost"
		}
		if h.Evicted {
			text += " evicted"
		}
		who = append(who, text)
	}
	text := k.Key + " free"
	if len(who) > 0 {
		text = k.Key + " held by " + strings.Join(who, ", ")
	}
	for _, w := range k.Queue {
		text += fmt.Sprintf(", %s waits", w.Name)
	}
	if k.Value != nil {
		text += fmt.Sprintf(", value %q of %s", k.Value.Data, s.token(k.Value.Token))
		if k.Value.Stale {
			text += " stale"
		}
	}
	return text
}

func (s *stage) ticket(t ownership.Ticket) string {
	return fmt.Sprintf("%s·%d", s.term(t.Term), t.Number)
}

var outcomes = map[ownership.Outcome]string{ownership.OutcomeWaiting: "waiting", ownership.OutcomeMoved: "moved", ownership.OutcomeGranted: "granted",
	ownership.OutcomeBusy: "busy", ownership.OutcomeGone: "gone", ownership.OutcomeReleased: "released", ownership.OutcomeNotHeld: "not held", ownership.OutcomeInvalid: "invalid",
	ownership.OutcomeCapacity: "another capacity", ownership.OutcomeAltered: "altered"}

var reasons = map[ownership.ReasonCode]string{ownership.ReasonNone: "about to be evaluated", ownership.ReasonNoView: "no view yet", ownership.ReasonNoAnswer: "no answer",
	ownership.ReasonTakeOver: "taking over", ownership.ReasonLostWait: "waiting out old leases", ownership.ReasonGrace: "grace", ownership.ReasonNoLease: "owner without membership lease",
	ownership.ReasonNoQuorum: "no quorum", ownership.ReasonTooLate: "came too late", ownership.ReasonFull: "queue full"}

func (s *stage) reason(r ownership.Reason) string {
	if r.Code == ownership.ReasonQueued {
		if r.Others > 0 {
			return fmt.Sprintf("held by %s and %d others, %d ahead", r.Holder.Name, r.Others, r.Ahead)
		}
		return fmt.Sprintf("held by %s, %d ahead", r.Holder.Name, r.Ahead)
	}
	return reasons[r.Code]
}

var causes = map[ownership.LostCause]string{ownership.LostExpired: "no renewal came in time", ownership.LostMissing: "its owner no longer has it", ownership.LostOtherMesh: "the node is in another mesh now",
	ownership.LostEvicted: "an operator took it", ownership.LostLease: "its lease was lost", ownership.LostRevoked: "its lease was released"}

var denials = map[ownership.DeniedCode]string{ownership.DeniedCapacity: "it has another capacity", ownership.DeniedLease: "its lease is over", ownership.DeniedSet: "the one before it has ended"}

func (s *stage) eventText(n *simtest.Node, e ownership.Event) string {
	key := func(h ownership.Handle) string { return s.names[nodeHandle{n.Name, h}] }
	switch e := e.(type) {
	case ownership.Granted:
		return fmt.Sprintf("HOLDS %s, token %s, until %s", key(e.Handle), s.token(e.Token), local(e.Deadline))
	case ownership.Busy:
		return fmt.Sprintf("BUSY %s, held by %s", key(e.Handle), e.Holder.Name)
	case ownership.Invalid:
		return fmt.Sprintf("INVALID %s: %s", key(e.Handle), e.Why)
	case ownership.Denied:
		return fmt.Sprintf("DENIED %s: %s", key(e.Handle), denials[e.Code])
	case ownership.Altered:
		if e.Outcome != ownership.OutcomeAltered {
			return fmt.Sprintf("may not alter %s: %s", key(e.Handle), outcomes[e.Outcome])
		}
		return fmt.Sprintf("has altered %s: %s, token %s", key(e.Handle), e.Mode, s.token(e.Token))
	case ownership.Looked:
		text := "sees"
		for _, k := range e.Keys {
			text += " " + s.keyState(k)
		}
		return text
	case ownership.Evicted:
		if e.Done {
			return fmt.Sprintf("has freed %s", key(e.Handle))
		}
		return fmt.Sprintf("could not free %s: nobody has that token", key(e.Handle))
	case ownership.Contended:
		return fmt.Sprintf("hears that somebody waits for %s", key(e.Handle))
	case ownership.Extended:
		return fmt.Sprintf("holds %s until %s", key(e.Handle), local(e.Deadline))
	case ownership.Lost:
		return fmt.Sprintf("LOST %s: %s", key(e.Handle), causes[e.Cause])
	case ownership.Released:
		if !e.Held {
			return fmt.Sprintf("closed %s, which it did not hold", key(e.Handle))
		}
		return fmt.Sprintf("RELEASED %s", key(e.Handle))
	case ownership.Pending:
		return fmt.Sprintf("waits for %s: %s", key(e.Handle), s.reason(e.Reason))
	case ownership.ViewLearned:
		return "learns " + s.view(e.View)
	case ownership.Serving:
		if e.Valid {
			return "may serve"
		}
		return "may not serve any more"
	case ownership.Activated:
		if e.Lost {
			return fmt.Sprintf("serves%s in %s, starting without holders", s.part(e.Partition), s.term(e.Term))
		}
		return fmt.Sprintf("serves%s in %s", s.part(e.Partition), s.term(e.Term))
	case ownership.Waits:
		return fmt.Sprintf("waits until %s before it serves%s in %s", local(e.Until), s.part(e.Partition), s.term(e.Term))
	case ownership.Dropped:
		return fmt.Sprintf("is dropped by view %s: forgets, and starts over", s.epoch(e.Epoch))
	case ownership.Abandoned:
		return fmt.Sprintf("gives up the first view of %s and starts over", s.name(ownership.NodeID(e.Mesh)))
	case ownership.Left:
		return "is out"
	case ownership.TurnedAway:
		return fmt.Sprintf("is turned away by %s, which has %s", s.name(e.By), e.Detail)
	case ownership.OtherMesh:
		return fmt.Sprintf("ignores %s of another mesh", s.name(e.From))
	case ownership.Proposing:
		text := "had view " + s.epoch(e.Epoch) + " decided"
		for _, m := range e.Added {
			text += ", adds " + s.name(m.ID)
		}
		for _, m := range e.Dropped {
			text += ", drops " + s.name(m.ID)
		}
		return text
	}
	return kindOf(e)
}

var phases = map[ownership.Phase]string{ownership.PhaseFounding: "has no view", ownership.PhaseBound: "is bound to a first view", ownership.PhaseJoining: "asks to be added",
	ownership.PhaseMember: "is a member", ownership.PhaseLeaving: "is leaving", ownership.PhaseSilent: "is silent", ownership.PhaseGone: "is gone"}

// state shows what nodes keep: all running ones if none is named.
func (s *stage) state(out *strings.Builder, names []string) {
	for _, n := range s.w.Nodes {
		if n.Crashed || len(names) > 0 && !slices.Contains(names, n.Name) {
			continue
		}
		st := n.Core.Status(n.Local())
		fmt.Fprintf(out, "%s %s %s", clock(s.w.Now), s.name(n.Core.ID()), phases[st.Phase])
		if st.View != nil {
			fmt.Fprintf(out, " at %s", s.epoch(st.View.Epoch))
		}
		if st.Phase == ownership.PhaseMember && !st.LeaseValid {
			fmt.Fprintf(out, " without lease")
		}
		for p := range s.config.Params.Partitions {
			promised, installed, last, records, ok := n.Core.Replica(ownership.Partition(p))
			if !ok || promised == 0 {
				continue
			}
			fmt.Fprintf(out, ";%s promised %s, has %s %s", s.part(ownership.Partition(p)), s.term(promised), s.position(installed, last), s.records(records))
		}
		for _, p := range st.Partitions {
			switch {
			case p.Active:
				fmt.Fprintf(out, "; serves%s in %s: %d held, %d waiting", s.part(p.Partition), s.term(p.Term), p.Held, p.Queued)
			default:
				fmt.Fprintf(out, "; owns%s in %s: %s", s.part(p.Partition), s.term(p.Term), s.reason(p.Reason))
			}
		}
		fmt.Fprintln(out)
	}
}
