package simtest

import (
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
	"github.com/lockmesh/lockmesh/simtest/story"
)

// printer writes messages for people: nodes by name, epochs and terms counted
// from the first, tokens as "+3.17", a sender's own time as the true time at which
// its clock showed it.
type printer struct {
	t     *Teller
	clock *Node // whose times are told
}

// name is the node that has, or had, this NodeID: after its n-th rebirth with so
// many primes.
func (t *Teller) name(id uint64) string {
	n := t.s.byID[ownership.NodeID(id)]
	if n == nil {
		return strconv.FormatUint(id, 10)
	}
	return n.Name + strings.Repeat("'", t.s.rebirths(n, ownership.NodeID(id)))
}

// rebirths is the how manieth rebirth of a node gave it this NodeID.
func (w *World) rebirths(n *Node, id ownership.NodeID) int {
	for b := uint64(1); b <= n.births && w.seed != 0; b++ {
		if w.idOf(n.Name, b) == id {
			return int(b - 1)
		}
	}
	return 0
}

func (p *printer) node(id ownership.NodeID) string {
	if id == 0 {
		return "nobody"
	}
	return p.t.name(uint64(id))
}

func (p *printer) nodes(ids []ownership.NodeID) string {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = p.node(id)
	}
	return strings.Join(names, " ")
}

// epochSpan is how far from the first an epoch is taken for one, if only a number
// is known.
const epochSpan = 1 << 20

func (p *printer) epoch(e ownership.Epoch) string {
	if e == 0 {
		return "0"
	}
	return fmt.Sprintf("%+d", int64(e)-int64(p.t.base))
}

func (p *printer) term(t ownership.Term) string { return p.epoch(ownership.Epoch(t)) }

func (p *printer) token(t ownership.Token) string {
	if t == 0 {
		return "none"
	}
	return fmt.Sprintf("%s.%d", p.term(t.Term()), uint32(t))
}

// client is the node that a ClientID belongs to.
func (p *printer) client(id ownership.ClientID) string {
	for _, n := range p.t.s.Nodes {
		if n.Config.Client == id {
			return n.Name
		}
	}
	return strconv.FormatUint(uint64(id), 10)
}

func (p *printer) request(r ownership.RequestID) string {
	return fmt.Sprintf("%s#%d", p.client(r.Client), r.Seq)
}

func (p *printer) holder(h ownership.Holder) string {
	text := fmt.Sprintf("%s token %s lease %d ttl %v", p.request(h.Request), p.token(h.Token), h.Lease, h.TTL)
	if h.Mode != ownership.Exclusive {
		text += " " + h.Mode.String()
	}
	if h.Delay != 0 {
		text += fmt.Sprintf(" delay %v", h.Delay)
	}
	if h.Lost {
		text += " lost"
	}
	return text
}

// dataShown keeps long values readable.
const dataShown = 40

func (p *printer) data(b []byte) string { return fmt.Sprintf("%.*q", dataShown, b) }

func (p *printer) keyValue(v ownership.Value) string {
	text := p.data(v.Data) + " of token " + p.token(v.Token)
	if v.Stale {
		text += " stale"
	}
	return text
}

func (p *printer) alter(a ownership.Alter) string {
	what := "?"
	switch a.What {
	case ownership.AlterMode:
		what = "to " + a.Mode.String()
	case ownership.AlterValue:
		what = "value " + p.data(a.Value)
	case ownership.AlterNoValue:
		what = "no value"
	}
	return fmt.Sprintf("%s number %d: %s, p%d in %s", p.request(a.Request), a.Number, what, a.Partition, p.term(a.Term))
}

func (p *printer) record(r *ownership.Record) string {
	holders := make([]string, len(r.Holders))
	for i, h := range r.Holders {
		holders[i] = p.holder(h)
	}
	text := r.Key + ": " + strings.Join(holders, ", ")
	if r.Value != nil {
		text += "; value " + p.keyValue(*r.Value)
	}
	return text
}

func (p *printer) keyState(s *ownership.KeyState) string {
	text := s.Key + ": free"
	for i, h := range s.Holders {
		text = [...]string{s.Key + ": ", text + ", "}[min(i, 1)] + p.holder(h.Holder)
	}
	if s.Waiting > 0 {
		text += fmt.Sprintf("; %d wait", s.Waiting)
	}
	if s.Value != nil {
		text += "; value " + p.keyValue(*s.Value)
	}
	return text
}

// localTime is the true time at which a node's clock shows t.
func (p *printer) localTime(n *Node, t ownership.Time) string {
	return fmt.Sprintf("%.6fs", n.trueAt(t).Seconds())
}

// groupsShown keeps the text of a view of many partitions readable.
const groupsShown = 12

func (p *printer) view(v *ownership.View) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: members", p.epoch(v.Epoch))
	for _, m := range v.Members {
		b.WriteString(" " + p.node(m.ID))
		if m.Leaving {
			b.WriteString("(leaving)")
		}
	}
	fmt.Fprintf(&b, "; voters %s; groups", p.nodes(v.Voters))
	for i, g := range v.Groups {
		if i == groupsShown {
			fmt.Fprintf(&b, " … %d more", len(v.Groups)-i)
			break
		}
		fmt.Fprintf(&b, " p%d %s[%s]", i, p.term(g.Term), p.nodes(g.Replicas))
		for j, c := range g.Prior {
			b.WriteString([...]string{" after ", ", "}[min(j, 1)] + p.configuration(c))
		}
		b.WriteString([...]string{",", ""}[min((i+1)/len(v.Groups), 1)])
	}
	for _, a := range v.Apart {
		fmt.Fprintf(&b, "; apart in p%d: %s %s", a.Partition, p.node(a.Owner), p.node(a.Silent))
	}
	return b.String()
}

func (p *printer) configuration(c ownership.Configuration) string {
	if c.Term == 0 {
		return "whatever was before"
	}
	return p.term(c.Term) + "[" + p.nodes(c.Replicas) + "]"
}

// message is what the story has of a message.
func (p *printer) message(m *told) story.Message {
	out := story.Message{From: m.from.Index, To: m.to.Index, Kind: KindName(m.msg.Kind()), Sent: m.sent, Why: m.why, Lost: m.why != "", Copy: m.copied}
	switch {
	case m.done && m.at > m.sent:
		out.Arrived = m.at
	case !m.done && m.to.Crashed:
		out.Lost, out.Why = true, "waited at a node that crashed"
	}
	p.clock = m.to
	switch m.msg.(type) {
	case ownership.Acquire, ownership.Heartbeat, ownership.Renew:
		p.clock = m.from
	}
	out.Key = p.t.key(m.msg)
	out.Detail = out.Kind + " " + p.text(m.msg)
	return out
}

// key is the one key that a message is about, "" if there is none or more.
func (t *Teller) key(m ownership.Message) string {
	switch m := m.(type) {
	case ownership.Acquire:
		return m.Key
	case ownership.Release:
		return t.keys[m.Request]
	case ownership.Answer:
		return t.keys[m.Request]
	case ownership.Alter:
		return t.keys[m.Request]
	case ownership.Revoke:
		return m.Key
	case ownership.Query:
		if !m.Page {
			return m.Key
		}
	case ownership.Report:
		if len(m.Keys) == 1 {
			return m.Keys[0].Key
		}
	case ownership.Notice:
		if len(m.Items) == 1 {
			return t.keys[ownership.RequestID{Client: m.Client, Seq: m.Items[0].Seq}]
		}
	case ownership.Accept:
		if len(m.Writes) == 1 {
			return m.Writes[0].Key
		}
	}
	return ""
}

// text writes any value of package ownership. Fields that are zero are left out as
// a rule.
func (p *printer) text(x any) string {
	text := p.value(reflect.ValueOf(x))
	if in, ok := strings.CutPrefix(text, "("); ok {
		return strings.TrimSuffix(in, ")")
	}
	return text
}

func (p *printer) value(v reflect.Value) string {
	if text, ok := p.known(v.Interface()); ok {
		return text
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return "none"
		}
		return p.value(v.Elem())
	case reflect.Slice:
		items := make([]string, v.Len())
		for i := range items {
			items[i] = p.value(v.Index(i))
		}
		return "[" + strings.Join(items, "; ") + "]"
	case reflect.Struct:
		return "(" + p.fields(v) + ")"
	}
	return fmt.Sprint(v.Interface())
}

// zeroTells are fields of which 0 or false is news.
var zeroTells = map[string]bool{"OK": true, "Match": true, "Partition": true, "Epoch": true, "Outcome": true}

func (p *printer) fields(v reflect.Value) string {
	var fields []string
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if !f.IsExported() || v.Field(i).IsZero() && !zeroTells[f.Name] {
			continue
		}
		fields = append(fields, f.Name+"="+p.value(v.Field(i)))
	}
	return strings.Join(fields, " ")
}

// known writes what has a shape of its own.
func (p *printer) known(x any) (string, bool) {
	switch x := x.(type) {
	case ownership.NodeID:
		return p.node(x), true
	case ownership.MeshID:
		return p.node(ownership.NodeID(x)), true
	case ownership.ClientID:
		return p.client(x), true
	case ownership.Epoch:
		return p.epoch(x), true
	case ownership.Term:
		return p.term(x), true
	case ownership.Partition:
		return fmt.Sprintf("p%d", x), true
	case ownership.Token:
		return p.token(x), true
	case ownership.Ballot:
		return fmt.Sprintf("%d.%s", x.Round, p.node(x.Node)), true
	case ownership.RequestID:
		return p.request(x), true
	case ownership.Ticket:
		return fmt.Sprintf("%s/%d", p.term(x.Term), x.Number), true
	case ownership.Holder:
		return p.holder(x), true
	case *ownership.Record:
		if x == nil {
			return "none", true
		}
		return p.record(x), true
	case ownership.Write:
		if x.Record == nil {
			return x.Key + ": deleted", true
		}
		return p.record(x.Record), true
	case *ownership.View:
		if x == nil {
			return "", false
		}
		return "{" + p.view(x) + "}", true
	case ownership.Mode:
		return x.String(), true
	case ownership.Value:
		return p.keyValue(x), true
	case []byte:
		return p.data(x), true
	case ownership.Alter:
		return p.alter(x), true
	case ownership.Member:
		return p.node(x.ID), true
	case ownership.Configuration:
		return p.configuration(x), true
	case ownership.Echo:
		return p.localTime(p.clock, ownership.Time(x)), true
	case ownership.Outcome:
		return name(outcomes[:], int(x)), true
	case ownership.ReasonCode:
		return name(reasons[:], int(x)), true
	case ownership.RefusedCode:
		return name(refusals[:], int(x)), true
	case time.Duration:
		return x.String(), true
	}
	return "", false
}

var (
	outcomes = [...]string{"", "waiting", "moved", "granted", "busy", "gone", "released", "not held", "invalid", "other capacity", "altered"}
	reasons  = [...]string{"none", "no view", "no answer", "queued", "take-over", "lost wait", "grace", "no lease", "no quorum", "too late", "full"}
	refusals = [...]string{"", "other params", "another mesh", "another number of founders"}
)

func name(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return strconv.Itoa(i)
}

var (
	nodeInProse  = regexp.MustCompile(`/(\d+)`)
	tokenInProse = regexp.MustCompile(`\b(\d+)\.(\d+)\b`)
	longInProse  = regexp.MustCompile(`\b\d{6,}\b`)
)

// prose shortens the numbers in a text that was written by others, a failure's:
// only those that can be nothing else.
func (p *printer) prose(text string) string {
	text = nodeInProse.ReplaceAllStringFunc(text, func(s string) string {
		if id, err := strconv.ParseUint(s[1:], 10, 64); err == nil && p.t.s.byID[ownership.NodeID(id)] != nil {
			return ""
		}
		return s
	})
	text = tokenInProse.ReplaceAllStringFunc(text, func(s string) string {
		term, count, _ := strings.Cut(s, ".")
		return p.long(term) + "." + count
	})
	return longInProse.ReplaceAllStringFunc(text, p.long)
}

// headline is what a page has room for of a failure: package linear says what is
// wrong in two lines, and how it came to that in those that follow.
func (p *printer) headline(text string) string {
	lines := strings.SplitN(text, "\n", 3)
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return p.prose(strings.Join(lines[:min(2, len(lines))], "; "))
}

// long is what a bare number stands for, if it is a NodeID or an epoch.
func (p *printer) long(number string) string {
	n, err := strconv.ParseUint(number, 10, 64)
	switch far := int64(n) - int64(p.t.base); {
	case err != nil:
		return number
	case p.t.s.byID[ownership.NodeID(n)] != nil:
		return p.t.name(n)
	case p.t.base != 0 && far > -epochSpan && far < epochSpan:
		return fmt.Sprintf("%+d", far)
	}
	return number
}
