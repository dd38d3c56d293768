package mesh

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// This file has the words: why a call waits, who holds a key, what a partition or
// the mesh is short of.

// Explain says in one sentence why a request for the key would wait now, or why
// its partition is not available: for people, on a console or in a log. It always
// says something. It asks the key's owner, and waits for its answer until ctx ends,
// or for a second if ctx has no deadline; without an answer it says what this node
// knows. [Node.Inspect] has the same for programs.
func (n *Node) Explain(ctx context.Context, key string) string {
	if wrong := checkKey(key); wrong != "" {
		return "no lock can have this key: " + wrong
	}
	patience := ctx
	if _, has := ctx.Deadline(); !has {
		var cancel context.CancelFunc
		patience, cancel = context.WithTimeout(ctx, askFor)
		defer cancel()
	}
	q := n.newLook(key)
	err := n.look(q, ownership.Look{Handle: q.handle, Key: key})
	var a answer
	if err == nil {
		a, err = n.next(patience, q)
	}
	switch {
	case err == nil && len(a.looked.Keys) == 1:
		return n.keyState(a).explain()
	case n.closing.Load():
		return "this node is closed, or leaving: it asks for no locks"
	}
	n.unlook(q)
	if v := n.view.Load(); ctx.Err() != nil && q.pending.Load() == nil && v != nil && q.partition < len(v.Groups) {
		return fmt.Sprintf("partition %d: its owner %s was not heard before ctx ended", q.partition, shortName(v, v.Groups[q.partition].Owner()))
	}
	var last ownership.Pending
	if p := q.pending.Load(); p != nil {
		last = *p
	} else if n.view.Load() == nil {
		last.Reason.Code = ownership.ReasonNoView
	} else if ctx.Err() == nil { // it had its second
		last.Reason.Code = ownership.ReasonNoAnswer
	}
	return n.unservedText(q.partition, last)
}

// unserved is the error of a Lock or Upgrade call whose ctx ended first.
func (n *Node) unserved(ctx context.Context, key string, last ownership.Pending) error {
	kind := ErrUnavailable
	if last.Reason.Code == ownership.ReasonQueued {
		kind = ErrLocked
	}
	return ended(ctx, kind, n.unservedText(n.partition(key), last))
}

// unservedText is pendingText, and what the mesh is short of if that is why.
func (n *Node) unservedText(partition int, p ownership.Pending) string {
	text := n.pendingText(partition, p)
	var more string
	switch code := p.Reason.Code; code {
	case ownership.ReasonNoView:
		n.ask(func(l *loop) { more = l.waiting(l.lately()) })
	case ownership.ReasonNone, ownership.ReasonNoAnswer, ownership.ReasonNoLease, ownership.ReasonNoQuorum:
		n.ask(func(l *loop) { more = nextView(l.lately(), code != ownership.ReasonNone) })
	}
	if more != "" {
		text += "; " + more
	}
	return text
}

// lately is the core's status of this moment or a little before: many calls may
// end at once, and each says why.
func (l *loop) lately() ownership.Status {
	if now := l.n.now(); l.statusAt == 0 || now-l.statusAt >= ownership.Time(100*time.Millisecond) {
		l.status, l.statusAt = l.core.Status(now), now
	}
	return l.status
}

// nextView says who must come back so that another owner can be agreed on; or that
// one can be, if somebody is known to be silent.
func nextView(s ownership.Status, silent bool) string {
	if s.View == nil {
		return ""
	}
	need := len(s.View.Voters)/2 + 1
	var missing []string
	for _, id := range s.View.Voters {
		if !slices.Contains(s.Heard, id) {
			missing = append(missing, shortName(s.View, id))
		}
	}
	slices.Sort(missing)
	need -= len(s.View.Voters) - len(missing)
	switch {
	case need <= 0 && !silent:
		return ""
	case need <= 0:
		return fmt.Sprintf("a majority of the voters answers: a view without the silent nodes is due within about %v", 3*s.View.Params.MembershipTTL)
	case need == 1:
		return "next view needs " + listed(missing, "or")
	case need == len(missing):
		return "next view needs " + listed(missing, "and")
	}
	return fmt.Sprintf("next view needs %d of %s", need, listed(missing, "and"))
}

// pendingText says in words why a request in a partition is still open.
func (n *Node) pendingText(partition int, p ownership.Pending) string {
	view := n.view.Load()
	if p.Owner == 0 && view != nil && partition < len(view.Groups) {
		p.Owner = view.Groups[partition].Owner()
	}
	return pendingText(view, partition, p, n.client)
}

func pendingText(v *ownership.View, partition int, p ownership.Pending, self ownership.ClientID) string {
	where := fmt.Sprintf("partition %d: ", partition)
	owner := nodeName(v, p.Owner)
	switch p.Reason.Code {
	case ownership.ReasonNoView:
		return "this node knows no view yet"
	case ownership.ReasonNoAnswer:
		return where + "its owner " + owner + " does not answer"
	case ownership.ReasonQueued:
		return queuedText(p.Reason, self)
	case ownership.ReasonTakeOver:
		return where + owner + " is taking it over and collects its state"
	case ownership.ReasonLostWait:
		return where + fmt.Sprintf("%s waits %v more for leases that may still be held", owner, span(p.Reason.Left))
	case ownership.ReasonGrace:
		return where + owner + " has just taken it over and lets those go first who waited before"
	case ownership.ReasonNoLease:
		if p.Reason.Left > 0 {
			return where + fmt.Sprintf("its owner %s has lost its membership lease %v ago: the voters do not answer it", owner, span(p.Reason.Left))
		}
		return where + "its owner " + owner + " has no membership lease: the voters do not answer it"
	case ownership.ReasonNoQuorum:
		return where + "its owner " + owner + " does not hear from enough replicas" + replicasOf(v, partition)
	case ownership.ReasonTooLate:
		return where + "grants arrived after their deadline: the TTL is too short for this network"
	case ownership.ReasonFull:
		return where + "the queue of its owner " + owner + " is full"
	}
	return where + "its owner " + owner + " has not answered yet"
}

// queuedText says who is before a request.
func queuedText(r ownership.Reason, self ownership.ClientID) string {
	text := heldBy(r.Holder, self)
	if r.Holder.Lost && r.Left > 0 {
		text = fmt.Sprintf("closed for %v more after its holder %s was lost (lock-delay)", span(r.Left), r.Holder.Name)
	}
	switch {
	case r.Others == 1:
		text += " and 1 other"
	case r.Others > 1:
		text += fmt.Sprintf(" and %d others", r.Others)
	}
	if r.Ahead > 0 {
		text += fmt.Sprintf(", %d ahead in line", r.Ahead)
	}
	return text
}

// replicasOf names who keeps a partition's state beside its owner.
func replicasOf(v *ownership.View, partition int) string {
	if v == nil || partition >= len(v.Groups) || len(v.Groups[partition].Replicas) < 2 {
		return ""
	}
	var who []string
	for _, id := range v.Groups[partition].Replicas[1:] {
		who = append(who, shortName(v, id))
	}
	return " (" + strings.Join(who, ", ") + ")"
}

// heldBy says who holds a key. A lock that is not exclusive says what it is.
func heldBy(h ownership.Holder, self ownership.ClientID) string {
	text := "held by " + h.Name
	switch {
	case h.Lost:
		return "closed after its holder " + h.Name + " was lost (lock-delay)"
	case h.Request.Client == self && h.Mode == ownership.Exclusive:
		text += ", this node itself (locks are not reentrant)"
	case h.Request.Client == self:
		text += ", this node itself"
	case h.Name == "":
		text = "held by another holder"
	}
	var more []string
	if h.Mode != ownership.Exclusive {
		more = append(more, h.Mode.String())
	}
	if h.Note != "" {
		more = append(more, "note "+quote(h.Note))
	}
	return text + inBrackets(more)
}

// busyText says why a try for this mode was refused.
func busyText(h ownership.Holder, self ownership.ClientID, mode ownership.Mode) string {
	text := heldBy(h, self)
	if mode == ownership.Shared && (h.Mode == ownership.Shared || h.Mode == ownership.ForUpdate) && !h.Lost && h.Name != "" {
		// It would fit beside the holder.
		text += fmt.Sprintf(", and others wait before it (or it has %d holders, the most)", ownership.MaxHolders)
	}
	return text
}

// capacityText says what the capacity of a key is that is held so, and what to do.
func capacityText(h ownership.Holder, self ownership.ClientID) string {
	switch h.Mode {
	case ownership.Exclusive, ownership.Shared, ownership.ForUpdate:
		return "the key is no semaphore now, " + heldBy(h, self) + "; ask without Permits, or when it is free"
	}
	return fmt.Sprintf("the key is a semaphore of %d permits now, %s; ask with the same number, or when it is free", h.Mode.Of, heldBy(h, self))
}

// String says in a few words who holds the key, since when and for how long at
// least, who waits and why, and where the key lives.
func (k KeyState) String() string {
	return quote(k.Key) + " is " + k.held() + k.waits() + fmt.Sprintf("; partition %d, owner %s, replicas %s, view %d",
		k.Partition, k.Owner, strings.Join(k.Replicas, ", "), k.Epoch)
}

// explain says whether a request would wait, and why.
func (k KeyState) explain() string {
	where := fmt.Sprintf(" (partition %d, owner %s)", k.Partition, k.Owner)
	if id, is := strings.CutPrefix(k.Key, leasePrefix); is {
		text := quote(k.Key) + " is the key of a lease, not to be asked for: lease " + quote(id) + " is "
		if len(k.Holders) == 0 {
			return text + "over, or never was" + where
		}
		return text + k.held() + where
	}
	switch {
	case len(k.Holders) == 0 && k.Waiting == 0:
		return quote(k.Key) + " is free: a request is granted at once" + where
	case k.Waiting > 0:
		return quote(k.Key) + " is " + k.held() + k.waits() + ", and a request waits behind them" + where
	}
	taken, of := k.taken()
	switch {
	case of > 0 && taken < of:
		return fmt.Sprintf("%q is %s; %d of %d permits are free: a request for more waits", k.Key, k.held(), of-taken, of) + where
	case k.shares():
		return quote(k.Key) + " is " + k.held() + ": a shared request is granted at once, an exclusive one waits until that has ended" + where
	}
	return quote(k.Key) + " is " + k.held() + ": a request waits until that has ended" + where
}

// shares says that all holders let shared ones in.
func (k KeyState) shares() bool {
	return !slices.ContainsFunc(k.Holders, func(h Holder) bool { return h.Mode.Kind != ModeShared && h.Mode.Kind != ModeUpdate })
}

// taken counts the permits of a semaphore; of is 0 if the key is none.
func (k KeyState) taken() (taken, of int) {
	for _, h := range k.Holders {
		taken, of = taken+h.Mode.Permits, max(of, h.Mode.Of)
	}
	return taken, of
}

// mostNames bounds how many holders or waiters a text names.
const mostNames = 5

// held says who holds the key.
func (k KeyState) held() string {
	if len(k.Holders) == 0 {
		return "held by nobody"
	}
	var who, lost, parts []string
	var closed time.Duration
	for _, h := range k.Holders {
		if h.Lost {
			lost, closed = append(lost, h.Node), max(closed, h.Remaining)
		} else {
			who = append(who, h.text(k.Read))
		}
	}
	if n := len(who); n > 0 {
		parts = append(parts, "held by "+listed(andMore(who[:min(mostNames, n)], n), "and"))
	}
	if n := len(lost); n > 0 {
		verb := "its holder %s was"
		if n > 1 {
			verb = "its holders %s were"
		}
		verb = fmt.Sprintf(verb, listed(andMore(lost[:min(mostNames, n)], n), "and"))
		parts = append(parts, fmt.Sprintf("closed for %v more, since %s lost (lock-delay)", span(closed), verb))
	}
	return strings.Join(parts, ", and ")
}

func (h Holder) text(now time.Time) string {
	var more []string
	if h.Mode.Kind != ModeExclusive {
		more = append(more, h.Mode.String())
	}
	if h.Note != "" {
		more = append(more, "note "+quote(h.Note))
	}
	more = append(more, "token "+utoa(h.Token))
	text := h.Node + inBrackets(more) + fmt.Sprintf(" for %v", span(max(0, now.Sub(h.Since))))
	if h.Evicted {
		return text + fmt.Sprintf(", told by an operator to let go within %v", span(h.Remaining))
	}
	return text + fmt.Sprintf(", %v left unless renewed", span(h.Remaining))
}

// waits says who waits, and what the first of them waits for.
func (k KeyState) waits() string {
	if k.Waiting == 0 || len(k.Queue) == 0 {
		return ""
	}
	var who []string
	for _, w := range k.Queue[:min(mostNames, len(k.Queue))] {
		var more []string
		if w.Mode.Kind != ModeExclusive {
			more = append(more, w.Mode.String())
		}
		if w.Note != "" {
			more = append(more, "note "+quote(w.Note))
		}
		who = append(who, w.Node+inBrackets(append(more, "for "+span(w.Waited).String())))
	}
	verb := "wait"
	if k.Waiting == 1 {
		verb = "waits"
	}
	return fmt.Sprintf("; %d %s: %s", k.Waiting, verb, listed(andMore(who, k.Waiting), "and")) + k.why()
}

// why says what the first in line waits for, where that is not plain to see.
func (k KeyState) why() string {
	next := k.Queue[0]
	taken, of := k.taken()
	switch {
	case next.Upgrades:
		return " (" + next.Node + " holds it and waits for the others to go)"
	case of > 0 && next.Mode.Of == of:
		return fmt.Sprintf(" (%s wants %d permits, %d of %d are free)", next.Node, next.Mode.Permits, of-taken, of)
	case len(k.Holders) > 0 && k.shares() && next.Mode.Kind == ModeExclusive:
		return " (" + next.Node + " wants it exclusively)"
	}
	return ""
}

// andMore adds how many of n names were left out.
func andMore(names []string, n int) []string {
	if more := n - len(names); more > 0 {
		return append(names, fmt.Sprintf("%d more", more))
	}
	return names
}

// listed joins names: "a", "a and b", "a, b and c".
func listed(names []string, and string) string {
	switch n := len(names); n {
	case 0:
		return "nobody"
	case 1:
		return names[0]
	default:
		return strings.Join(names[:n-1], ", ") + " " + and + " " + names[n-1]
	}
}

func inBrackets(what []string) string {
	if len(what) == 0 {
		return ""
	}
	return " (" + strings.Join(what, ", ") + ")"
}

// span rounds a duration to what people want to read.
func span(d time.Duration) time.Duration {
	switch {
	case d >= 10*time.Second:
		return d.Round(time.Second)
	case d >= time.Second:
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Millisecond)
}
