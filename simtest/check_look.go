package simtest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// What owners say of keys (K12).

// Inquiry is one Look and what came of it.
type Inquiry struct {
	Node      *Node
	Handle    ownership.Handle
	Key       string
	Page      bool
	Partition ownership.Partition
	Watch     bool
	Invoked   time.Duration
	Answered  time.Duration // the first time
	Ended     time.Duration // by its answer, or Unlook
	Seen      *ownership.KeyState
	refreshed time.Duration // when an owner last heard of a watch,
	at        *Node         // and which
	term      ownership.Term
	gone      map[ownership.Token]bool // of holders: false while they hold
	value     ownership.Token          // the highest of a value
}

// Look asks what is known of a key, or of a page of keys.
func (ch *Checker) Look(n *Node, in ownership.Look) {
	id := callID{n, in.Handle}
	if ch.used(id) {
		return
	}
	q := &Inquiry{Node: n, Handle: in.Handle, Key: in.Key, Page: in.Page, Partition: in.Partition, Watch: in.Watch, Invoked: ch.w.Now}
	if !in.Page {
		q.Partition = partitionOf(in.Key, ch.params())
	}
	ch.looks[id] = q
	ch.looking = append(ch.looking, q)
	if in.Watch {
		k := ch.key(in.Key)
		k.watches = append(k.watches, q)
	}
	ch.w.Input(n, in)
}

// Unlook ends a look.
func (ch *Checker) Unlook(n *Node, h ownership.Handle) {
	if q := ch.looks[callID{n, h}]; q != nil {
		ch.lookOver(q)
		ch.w.Input(n, ownership.Unlook{Handle: h})
	}
}

func (ch *Checker) lookOver(q *Inquiry) {
	if q.Ended == 0 {
		q.Ended = ch.w.Now
		ch.looking = slices.DeleteFunc(ch.looking, func(o *Inquiry) bool { return o == q })
	}
}

// Looking lists the looks of running nodes that are not over, oldest first.
func (ch *Checker) Looking() []*Inquiry {
	ch.looking = slices.DeleteFunc(ch.looking, func(q *Inquiry) bool { return q.Node.Crashed })
	return ch.looking
}

func (ch *Checker) looked(q *Inquiry, e ownership.Looked) {
	if q == nil || q.Ended != 0 {
		ch.fail("look", nil, "handle %d is answered, and asks nothing", e.Handle)
		return
	}
	first := q.Answered == 0
	if first {
		q.Answered = ch.w.Now
	}
	switch {
	case q.Page:
		ch.lookOver(q)
		ch.lookedAtPage(q, e)
		return
	case len(e.Keys) != 1 || e.Keys[0].Key != q.Key:
		ch.fail("look", nil, "%s asked for %q and was told of %d keys", q.Node, q.Key, len(e.Keys))
		return
	}
	state := &e.Keys[0]
	if first {
		ch.tookNote(q, state)
		ch.certifiedLook(q, state)
		ch.readValue(q, q.Key, e.Term, state.Value)
	}
	if q.Watch {
		ch.watched(q, e, state)
		return
	}
	ch.lookOver(q)
	ch.watchesAgree(q, state)
}

// tookNote keeps what was read, for the history of the key.
func (ch *Checker) tookNote(q *Inquiry, s *ownership.KeyState) {
	k := ch.key(s.Key)
	k.reads = append(k.reads, reading{q, ch.w.Now, s})
	for i := range s.Holders {
		h := &s.Holders[i]
		if c := ch.calls[ch.notedBy(h)]; c != nil && c.Token == 0 && c.Ended == 0 {
			c.shown = h.Token
		}
	}
}

// notedBy is the call of a holder: a call has its handle in its note.
func (ch *Checker) notedBy(h *ownership.HolderState) (id callID) {
	if i := int(h.Request.Client) - 1001; i >= 0 && i < len(ch.w.Nodes) {
		n, _ := strconv.ParseUint(h.Note, 10, 64)
		id = callID{ch.w.Nodes[i], ownership.Handle(n)}
	}
	return id
}

// certifiedLook: an answer holds at some moment since it was asked for: whoever is
// listed may hold the key then, and whoever has held it all the time is listed.
func (ch *Checker) certifiedLook(q *Inquiry, s *ownership.KeyState) {
	if ch.Wild {
		return
	}
	k := ch.key(s.Key)
	var taken uint64
	for i := range s.Holders {
		h := &s.Holders[i].Holder
		weight, of := weightOf(h.Mode)
		_, first := weightOf(s.Holders[0].Mode)
		o := k.tokens[h.Token]
		switch taken += weight; {
		case taken > of || of != first:
			ch.fail("look", nil, "%s is told that %q has holders that have no room beside each other: %s", q.Node, s.Key, holdersText(s))
		case o != nil && !ch.mayHoldSince(o, *h, q.Invoked):
			ch.fail("look", []*Call{o}, "%s asked for %q and is told of token %s of %s, which had ended at %v", q.Node, s.Key, tokenText(h.Token), o.Node, q.Invoked)
		case o == nil && h.Token < k.wall && k.wallAt < q.Invoked:
			ch.fail("look", nil, "%s asked for %q and is told of token %s, which nobody was told of, after %s was", q.Node, s.Key, tokenText(h.Token), tokenText(k.wall))
		case h.Lost && o != nil && ch.believes(o):
			ch.fail("look", []*Call{o}, "%s is told that %s has lost %q (token %s), which it holds", q.Node, o.Node, s.Key, tokenText(h.Token))
		}
	}
	for _, o := range k.believers {
		if !ch.believes(o) || o.Granted >= q.Invoked || ch.mayBeForgotten(o) || slices.ContainsFunc(o.Changes, (*Alteration).isUp) {
			continue
		}
		if !slices.ContainsFunc(s.Holders, func(h ownership.HolderState) bool { return h.Token == o.Token }) {
			ch.fail("look", []*Call{o}, "%s asked for %q at %v and is not told of %s, which holds it since %v (token %s): %s", q.Node, s.Key, q.Invoked, o.Node,
				o.Granted, tokenText(o.Token), holdersText(s))
		}
	}
}

func holdersText(s *ownership.KeyState) string {
	if len(s.Holders) == 0 {
		return "nobody"
	}
	words := make([]string, len(s.Holders))
	for i, h := range s.Holders {
		words[i] = fmt.Sprintf("%s with token %s, %v", h.Name, tokenText(h.Token), h.Mode)
	}
	return strings.Join(words, "; ")
}

// lookedAtPage: a page has the keys that follow in their order, and each that somebody
// has held all the time is there.
func (ch *Checker) lookedAtPage(q *Inquiry, e ownership.Looked) {
	last := q.Key
	for i := range e.Keys {
		s := &e.Keys[i]
		if s.Key <= last || partitionOf(s.Key, ch.params()) != q.Partition {
			ch.fail("look", nil, "%s asked for keys of partition %d after %q and is told of %q after %q", q.Node, q.Partition, q.Key, s.Key, last)
		}
		if len(s.Holders) == 0 && s.Value == nil {
			ch.fail("look", nil, "%s asked for a page and is told of %q, which has neither holder nor value", q.Node, s.Key)
		}
		last = s.Key
		ch.tookNote(q, s)
		ch.certifiedLook(q, s)
		ch.readValue(q, s.Key, e.Term, s.Value)
	}
	for _, key := range ch.names {
		if key <= q.Key || e.More && key > last || partitionOf(key, ch.params()) != q.Partition {
			continue
		}
		if !slices.ContainsFunc(e.Keys, func(s ownership.KeyState) bool { return s.Key == key }) {
			none := &ownership.KeyState{Key: key}
			ch.tookNote(q, none)
			ch.certifiedLook(q, none)
			ch.readValue(q, key, e.Term, nil)
		}
	}
	if len(e.Keys) > 1 {
		ch.Goals.Reach("a page of several keys")
	}
}

// watched: what a watch is told goes on: terms do not fall, who was gone does not come
// back, and the token of the value rises.
func (ch *Checker) watched(q *Inquiry, e ownership.Looked, s *ownership.KeyState) {
	if q.term != 0 && e.Term != q.term {
		ch.Goals.Reach("a watch over a take-over")
	}
	if e.Term < q.term {
		ch.fail("look", nil, "%s watches %q and is told of term %d after %d", q.Node, q.Key, e.Term, q.term)
	}
	q.term, q.Seen = e.Term, s
	if q.gone == nil {
		q.gone = map[ownership.Token]bool{}
	}
	here := func(t ownership.Token) bool {
		return slices.ContainsFunc(s.Holders, func(h ownership.HolderState) bool { return h.Token == t })
	}
	for t := range q.gone {
		q.gone[t] = q.gone[t] || !here(t)
	}
	for _, h := range s.Holders {
		if q.gone[h.Token] {
			ch.fail("look", nil, "%s watches %q and is told of token %s again, which was gone", q.Node, q.Key, tokenText(h.Token))
		}
		q.gone[h.Token] = false
	}
	if v := s.Value; v != nil {
		if v.Token < q.value && !v.Stale {
			ch.fail("look", nil, "%s watches %q and is told of the value of token %s after %s", q.Node, q.Key, tokenText(v.Token), tokenText(q.value))
		}
		q.value = max(q.value, v.Token)
	}
}

// refreshed is how long a watch may lag behind: it is refreshed each second, by a node
// whose clock may be slow, and a query may have to be asked twice.
const refreshed = 4 * time.Second

// watchesAgree: whoever watches a key at which nothing happens any more knows what
// somebody who asks is told.
func (ch *Checker) watchesAgree(q *Inquiry, s *ownership.KeyState) {
	k := ch.key(q.Key)
	quiet := q.Invoked - max(ch.restedAt, k.changed, ch.disturbed, ch.lastView)
	if ch.restedAt == 0 || ch.Wild || quiet < refreshed || len(s.Holders) > 0 {
		return
	}
	k.watches = slices.DeleteFunc(k.watches, func(o *Inquiry) bool { return o.Ended != 0 || o.Node.Crashed })
	for _, o := range k.watches {
		if o.Node.outside || q.Invoked-o.Invoked < refreshed {
			continue
		}
		switch {
		case o.Seen == nil:
			ch.fail("look", nil, "%s watches %q since %v and was told nothing", o.Node, o.Key, o.Invoked)
		case len(o.Seen.Holders) != 0 || !sameValue(o.Seen.Value, s.Value):
			ch.fail("look", nil, "%s watches %q and knows of %s, value %s; %v after the last change there is %s, value %s", o.Node, o.Key, holdersText(o.Seen),
				valueText(o.Seen.Value), quiet, holdersText(s), valueText(s.Value))
		}
	}
}

func sameValue(a, b *ownership.Value) bool {
	return a == nil && b == nil || a != nil && b != nil && a.Token == b.Token && a.Stale == b.Stale && string(a.Data) == string(b.Data)
}

func valueText(v *ownership.Value) string {
	if v == nil {
		return "none"
	}
	stale := ""
	if v.Stale {
		stale = ", stale"
	}
	return fmt.Sprintf("%q (token %s%s)", v.Data, tokenText(v.Token), stale)
}
