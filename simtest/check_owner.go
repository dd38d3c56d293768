package simtest

import (
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// What an owner's messages show of what it keeps: values of a lost configuration
// (K6), watchers (K12), and those that it has told to let go (K13).

// foundState is the newest state that a new owner has been told of, or has itself.
type foundState struct {
	installed ownership.Term
	last      uint64
	values    int // at least so many keys have one
	chunks    bool
}

// finds notes a state that the owner of a term knows of before it starts.
func (ch *Checker) finds(id version, s foundState) {
	if old, ok := ch.found[id]; !ok || s.installed > old.installed || s.installed == old.installed && s.last > old.last {
		ch.found[id] = s
	}
}

// awaitsLost notes what the owner has itself that waits for a lost configuration (T6):
// its replica has promised the term, so that this stays.
func (ch *Checker) awaitsLost(n *Node, e ownership.Waits) {
	if in, ok := n.Core.Inspect(e.Partition); ok {
		ch.finds(version{mesh: n.Core.View().Mesh, partition: e.Partition, term: e.Term}, foundState{in.Installed, in.Last, in.Values, false})
	}
}

// isToldState notes what a replica tells a new owner.
func (ch *Checker) isToldState(n *Node, m *ownership.SealAck) {
	if m.OK && m.Chunks > 0 && ownerAt(n, m.Partition, m.Term) {
		ch.finds(version{mesh: n.Core.View().Mesh, partition: m.Partition, term: m.Term}, foundState{m.Installed, m.Last, valuesOf(m.Records), m.Chunks > 1})
	}
}

// keepsValues: K6: what a lost configuration is found to have had is kept.
func (ch *Checker) keepsValues(n *Node, id version, m *ownership.Install) {
	s := ch.found[id]
	if s.values == 0 || s.chunks || m.Chunks != 1 {
		return
	}
	ch.Goals.Reach("values of a lost configuration")
	if now := valuesOf(m.Records); now < s.values {
		ch.fail("memory", nil, "%s starts partition %d without holders and with %d values, and has found %d", n, m.Partition, now, s.values)
	}
}

func valuesOf(records []*ownership.Record) (n int) {
	for _, r := range records {
		if r.Value != nil {
			n++
		}
	}
	return n
}

// watchForget is after how long a watch is forgotten that is not refreshed; owners look
// for such as often (package ownership).
const watchForget = 5 * time.Second

// refreshes notes that a watch is still there.
func (ch *Checker) refreshes(f *Flight, m *ownership.Query) {
	if q := ch.looks[callID{f.From, ownership.Handle(m.ID)}]; q != nil && m.Watch {
		q.refreshed, q.at = ch.w.Now, f.To
	}
}

// forgotten says that an owner has not heard of a watch for so long that it has
// forgotten it, in a time in which nothing kept it from that.
func (ch *Checker) forgotten(n *Node, q *Inquiry) bool {
	base := max(q.refreshed, ch.healedAt, n.gained)
	return ch.healedAt != 0 && !ch.Wild && q.at == n && ch.w.Now-base > ch.longest(2*watchForget)+ch.params().MembershipTTL
}

// tellsWatch: K12: a watch is forgotten after five seconds without a refresh.
func (ch *Checker) tellsWatch(n *Node, m *ownership.Report) {
	i := int(m.Client) - 1001
	if m.Number == 0 || i < 0 || i >= len(ch.w.Nodes) {
		return
	}
	if q := ch.looks[callID{ch.w.Nodes[i], ownership.Handle(m.ID)}]; q != nil && ch.forgotten(n, q) {
		ch.fail("look", nil, "%s tells %s of %q, whose watch it has not heard of since %v", n, q.Node, q.Key, q.refreshed)
	}
}

// changesUnwatched notes that a key changes that was watched.
func (ch *Checker) changesUnwatched(n *Node, k *keyHistory) {
	for _, q := range k.watches {
		if ch.forgotten(n, q) {
			ch.Goals.Reach("a change after a watch was forgotten")
			return
		}
	}
}

// ousted is a holder that was told to let go.
type ousted struct {
	term ownership.Term
	at   time.Duration
}

// tellsToLetGo notes that an owner renews a lock no more (K13).
func (ch *Checker) tellsToLetGo(m *ownership.Notice) {
	for _, item := range m.Items {
		id := ownership.RequestID{Client: m.Client, Seq: item.Seq}
		if item.Evicted && ch.ousted[id].term != item.Term {
			ch.ousted[id] = ousted{item.Term, ch.w.Now}
		}
	}
}

// answersOusted: K13: who was told to let go is not told of a grant that rests on what
// it sent later, nor that a change was not done which is.
func (ch *Checker) answersOusted(n *Node, m *ownership.Answer) {
	x, ok := ch.ousted[m.Request]
	if !ok || x.term != m.Term || ch.Wild {
		return
	}
	i := int(m.Request.Client) - 1001
	if i < 0 || i >= len(ch.w.Nodes) {
		return
	}
	who := ch.w.Nodes[i]
	switch {
	case m.Outcome == ownership.OutcomeGranted && who.since < x.at:
		rounding := 2*time.Duration(max(who.RatePPM, -who.RatePPM)) + time.Microsecond
		if sent := who.trueAt(ownership.Time(m.Echo)) - rounding; sent > x.at {
			ch.fail("evict", nil, "%s grants request %d of %s, told to let go at %v, by what it sent at %v", n, m.Request.Seq, who, x.at, sent)
		}
	case m.Outcome == ownership.OutcomeNotHeld && m.Alters != 0 && m.Alters == ch.altering[m.Request]: // or nobody believes it
		k := ch.keys[ch.heldKey[m.Request]]
		if k == nil || k.record.owner != n || k.record.term != m.Term || !ch.sees(n, m.Partition, m.Term) {
			return
		}
		for _, h := range k.record.holders {
			if h.Request == m.Request && h.Altered == m.Alters && !h.Lost {
				ch.fail("memory", nil, "%s denies change %d of %q by %s, which it has carried out", n, m.Alters, k.name, who)
			}
		}
	case m.Outcome == ownership.OutcomeAltered && m.Alters != 0 && ch.asksAgain[m.Request] == m.Alters:
		ch.Goals.Reach("a change asked for again after an eviction")
		delete(ch.asksAgain, m.Request)
	}
}

// asksToAlter notes for which change a holder asks, and that it was told to let go.
func (ch *Checker) asksToAlter(n *Node, m *ownership.Alter) {
	ch.altering[m.Request] = max(ch.altering[m.Request], m.Number)
	if x, ok := ch.ousted[m.Request]; ok && x.term == m.Term && ownerAt(n, m.Partition, m.Term) {
		ch.asksAgain[m.Request] = m.Number
	}
}
