package explore

import (
	"fmt"
	"strings"

	"github.com/lockmesh/lockmesh/ownership"
)

// What traces say of messages, inputs and events: what decides, not every field.

func (m *machine) message(msg ownership.Message) string {
	name := strings.TrimPrefix(fmt.Sprintf("%T", msg), "ownership.")
	if words := m.group(msg); words != "" {
		return name + words
	}
	switch k := msg.(type) {
	case ownership.Found:
		return name + " " + m.view(k.View)
	case ownership.Decided:
		return name + " " + m.view(k.View)
	case ownership.Prepare:
		return fmt.Sprintf("%s epoch %d ballot %s", name, k.Epoch, m.ballot(k.Ballot))
	case ownership.Promise:
		words := fmt.Sprintf("%s epoch %d ballot %s, promised %s", name, k.Epoch, m.ballot(k.Ballot), m.ballot(k.Promised))
		if k.Value != nil {
			words += fmt.Sprintf(", accepted at %s %s", m.ballot(k.Accepted), m.view(k.Value))
		}
		return words
	case ownership.Propose:
		return fmt.Sprintf("%s epoch %d ballot %s %s", name, k.Epoch, m.ballot(k.Ballot), m.view(k.Value))
	case ownership.Accepted:
		return fmt.Sprintf("%s epoch %d ballot %s, promised %s", name, k.Epoch, m.ballot(k.Ballot), m.ballot(k.Promised))
	case ownership.Renew:
		return fmt.Sprintf("%s epoch %d", name, k.Epoch)
	case ownership.RenewAck:
		return fmt.Sprintf("%s epoch %d", name, k.Epoch)
	case ownership.Contact:
		return name
	case ownership.Join:
		return fmt.Sprintf("%s epoch %d", name, k.Epoch)
	case ownership.Acquire:
		try := ""
		if k.Try {
			try = " (try)"
		}
		return fmt.Sprintf("%s %s%s %q term %d", name, request(k.Request), try, k.Key, k.Term)
	case ownership.Release:
		return fmt.Sprintf("%s %s term %d", name, request(k.Request), k.Term)
	case ownership.Answer:
		return name + answer(k)
	case ownership.Alter:
		return fmt.Sprintf("%s %s number %d: %s", name, request(k.Request), k.Number, alteration(k))
	case ownership.Revoke:
		return fmt.Sprintf("%s %s %q token %s", name, request(k.Request), k.Key, token(k.Token))
	}
	return fmt.Sprintf("%s%+v", name, msg)
}

// group is about the messages of one partition's replicas.
func (m *machine) group(msg ownership.Message) string {
	switch k := msg.(type) {
	case ownership.Accept:
		words := fmt.Sprintf(" term %d", k.Term)
		for i, w := range k.Writes {
			words += fmt.Sprintf(", write %d: %q", k.First+uint64(i), w.Key) + holders(w.Record)
		}
		return words
	case ownership.AcceptAck:
		if !k.OK {
			return fmt.Sprintf(" term %d: no, promised %d, installed %d/%d", k.Term, k.Promised, k.Installed, k.Last)
		}
		return fmt.Sprintf(" term %d: has it through %d", k.Term, k.Last)
	case ownership.Confirm:
		return rounds(k.Items)
	case ownership.ConfirmAck:
		return rounds(k.Items)
	case ownership.Seal:
		return fmt.Sprintf(" term %d, has %d/%d", k.Term, k.Installed, k.Last)
	case ownership.SealAck:
		if !k.OK {
			return fmt.Sprintf(" term %d: no, promised %d", k.Term, k.Promised)
		}
		return fmt.Sprintf(" term %d: installed %d/%d", k.Term, k.Installed, k.Last) + records(k.Records, k.Chunks)
	case ownership.Install:
		return fmt.Sprintf(" term %d, after write %d:", k.Term, k.Number) + records(k.Records, k.Chunks)
	case ownership.HeartbeatAck:
		words := ""
		for _, i := range k.Items {
			words += fmt.Sprintf(" term %d beat %d match %v %v", i.Term, i.Beat, i.Match, i.Held)
		}
		return words
	}
	return ""
}

func rounds(items []ownership.ConfirmItem) (words string) {
	for _, i := range items {
		words += fmt.Sprintf(" term %d round %d", i.Term, i.Round)
	}
	return words
}

func holders(r *ownership.Record) string {
	if r == nil {
		return " free"
	}
	words := ""
	for _, h := range r.Holders {
		words += fmt.Sprintf(" → %s token %s", request(h.Request), token(h.Token))
	}
	return words
}

func records(rs []*ownership.Record, chunks int) (words string) {
	if chunks == 0 {
		return ", as much as you"
	}
	for _, r := range rs {
		words += fmt.Sprintf(" %q", r.Key) + holders(r)
	}
	return words + fmt.Sprintf(" (%d records)", len(rs))
}

// request is written as client.seq; client 200 is that of node b.
func request(r ownership.RequestID) string { return fmt.Sprintf("%d.%d", r.Client, r.Seq) }

var outcomes = map[ownership.Outcome]string{ownership.OutcomeWaiting: "waiting", ownership.OutcomeMoved: "moved", ownership.OutcomeGranted: "granted",
	ownership.OutcomeBusy: "busy", ownership.OutcomeGone: "gone", ownership.OutcomeReleased: "released", ownership.OutcomeNotHeld: "not held", ownership.OutcomeInvalid: "invalid",
	ownership.OutcomeCapacity: "other capacity", ownership.OutcomeAltered: "altered"}

func alteration(a ownership.Alter) string {
	switch a.What {
	case ownership.AlterMode:
		return a.Mode.String()
	case ownership.AlterValue:
		return fmt.Sprintf("value %q", a.Value)
	}
	return "no value"
}

func answer(a ownership.Answer) string {
	words := fmt.Sprintf(" %s term %d: %s", request(a.Request), a.Term, outcomes[a.Outcome])
	switch a.Outcome {
	case ownership.OutcomeGranted, ownership.OutcomeAltered:
		words += " token " + token(a.Token)
	case ownership.OutcomeBusy:
		words += fmt.Sprintf(", %s has token %s", request(a.Holder.Request), token(a.Holder.Token))
	case ownership.OutcomeWaiting:
		words += fmt.Sprintf(", reason %d", a.Reason.Code)
	}
	return words
}

func (m *machine) ballot(b ownership.Ballot) string {
	return fmt.Sprintf("%d.%s", b.Round, m.name(b.Node))
}

func (m *machine) list(ids []ownership.NodeID) string {
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = m.name(id)
	}
	return strings.Join(words, " ")
}

func (m *machine) view(v *ownership.View) string {
	ids := make([]ownership.NodeID, len(v.Members))
	for i, k := range v.Members {
		ids[i] = k.ID
	}
	g := v.Groups[0]
	words := fmt.Sprintf("view %d of %s, voters %s, group %d: %s", v.Epoch, m.list(ids), m.list(v.Voters), g.Term, m.list(g.Replicas))
	for _, k := range g.Prior {
		words += fmt.Sprintf(", prior %d: %s", k.Term, m.list(k.Replicas))
	}
	return words
}

func (m *machine) input(in ownership.Input) string {
	switch in := in.(type) {
	case ownership.Lock:
		if in.Try {
			return fmt.Sprintf("TryLock %q as lock %d", in.Key, in.Handle)
		}
		return fmt.Sprintf("Lock %q as lock %d", in.Key, in.Handle)
	case ownership.Unlock:
		return fmt.Sprintf("Unlock of lock %d", in.Handle)
	case ownership.Extend:
		return fmt.Sprintf("Extend of lock %d", in.Handle)
	case ownership.Change:
		return fmt.Sprintf("Change %d of lock %d: %s", in.Op, in.Handle, alteration(ownership.Alter{What: in.What, Mode: in.Mode, Value: in.Value}))
	case ownership.Unchange:
		return fmt.Sprintf("Unchange %d of lock %d", in.Op, in.Handle)
	case ownership.Look:
		return fmt.Sprintf("Look %d at %q", in.Handle, in.Key)
	case ownership.Evict:
		return fmt.Sprintf("Evict %d of %q token %s", in.Handle, in.Key, token(in.Token))
	case ownership.Roster:
		words := "gossip tells"
		for _, p := range in.Peers {
			words += " " + p.Member.Name
			if p.Dead {
				words += " is dead"
			}
		}
		return words
	}
	return fmt.Sprintf("%T", in)
}

func (m *machine) event(e ownership.Event) string {
	switch e := e.(type) {
	case ownership.Granted:
		return fmt.Sprintf("Granted: lock %d, token %s", e.Handle, token(e.Token))
	case ownership.Busy:
		return fmt.Sprintf("Busy: lock %d, %s has token %s", e.Handle, request(e.Holder.Request), token(e.Holder.Token))
	case ownership.Altered:
		return fmt.Sprintf("Altered: change %d of lock %d: %s, %s, token %s", e.Op, e.Handle, outcomes[e.Outcome], e.Mode, token(e.Token))
	case ownership.ViewLearned:
		return "ViewLearned: " + m.view(e.View)
	}
	return strings.TrimPrefix(fmt.Sprintf("%T%+v", e, e), "ownership.")
}
