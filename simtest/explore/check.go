package explore

import (
	"fmt"
	"slices"

	"github.com/lockmesh/lockmesh/ownership"
)

// memory is what the checker must remember of the run so far. It is part of the
// state: two states with the same cores and another history are two.
type memory struct {
	calls    []call                   // by handle
	views    []viewFact               // decided ones that were learned or sent
	written  []writing                // values, by handle and op
	looks    []looking                // by handle
	evicts   []evicting               // by handle
	open     []opening                // calls without an answer, in their order
	shown    []shownFact              // certified grants that left their owner
	promised [maxNodes]ownership.Term // the highest term each node has sealed, by its own word
	hash     uint64
}

// call is one Lock or TryLock and what became of it.
type call struct {
	handle   ownership.Handle
	node     int
	key      string
	granted  bool
	token    ownership.Token
	deadline ownership.Time
	unlocked bool            // Unlock was called
	released bool            // … and certified
	over     bool            // lost, or refused for its form
	busy     bool            // answered busy
	before   uint32          // handles whose release was certified before this call began
	mode     ownership.Mode  // what it takes of the key, as its client believes
	first    ownership.Token // that of the grant
	up       bool            // it has asked to go up
	gaveUp   uint32          // the ops of changes whose caller does not wait for the answer, and which are given up
}

// fact is what of a step's output the checker looks at: an event as it is, or
// one of those below.
type fact any

// viewFact: this view is decided, as some node says.
type viewFact struct {
	mesh  ownership.MeshID
	epoch ownership.Epoch
	hash  uint64
}

// shownFact: this request has this token, and an owner says so to others. fresh
// says that it granted the token itself, and did not take it over.
type shownFact struct {
	request ownership.RequestID
	token   ownership.Token
	fresh   bool
}

// sealedFact and heldToFact: a replica promised a term, or certified one.
type (
	sealedFact struct{ term ownership.Term }
	heldToFact struct{ term ownership.Term }
)

func viewOf(v *ownership.View) viewFact {
	p := newTable().packet(0, ownership.Envelope{Message: ownership.Decided{View: v}})
	return viewFact{v.Mesh, v.Epoch, p.hash}
}

// sendFacts are those of a message that a node sends. One partition is assumed
// (Scenario says so), or promises would have to be told apart.
func sendFacts(p *packet) (fs []fact) {
	switch m := p.message.(type) {
	case ownership.Decided:
		fs = append(fs, viewOf(m.View))
	case ownership.Answer:
		if m.Outcome == ownership.OutcomeGranted {
			fs = append(fs, shownFact{m.Request, m.Token, m.Term == m.Token.Term()})
		}
	case ownership.SealAck:
		if m.OK {
			fs = append(fs, sealedFact{m.Term})
		}
	case ownership.AcceptAck:
		if m.OK {
			fs = append(fs, heldToFact{m.Term})
		}
	case ownership.ConfirmAck:
		for _, i := range m.Items {
			fs = append(fs, heldToFact{i.Term})
		}
	}
	return fs
}

func eventFacts(e ownership.Event) []fact {
	switch e := e.(type) {
	case ownership.ViewLearned:
		return []fact{viewOf(e.View)}
	case ownership.Granted, ownership.Extended, ownership.Busy, ownership.Lost, ownership.Released, ownership.Invalid, ownership.Disagrees,
		ownership.Altered, ownership.Looked, ownership.Evicted:
		return []fact{e}
	}
	return nil
}

// watcher checks the facts of one step.
type watcher struct {
	*memory
	s    *state
	node int
	name func(node int) string
	may  Allowed
}

// observe lets the checker see what a step of a node did; it returns what is
// wrong with it, "" if nothing is.
func (m *machine) observe(s *state, node int, o *outcome) string {
	if o.panic != "" {
		return "the core of " + m.names[node] + " stopped itself: " + o.panic
	}
	m.reached |= o.reach
	if !s.memory.news(node, o.facts) {
		return ""
	}
	w := watcher{s.memory.clone(), s, node, func(n int) string { return m.names[n] }, m.scenario.allowed}
	for _, f := range o.facts {
		w.closes(f)
		if wrong := w.see(f); wrong != "" {
			return wrong
		}
	}
	w.remember()
	return ""
}

// news says that a step told what the checker has not seen yet. Most repeat: then
// there is nothing to check, and no memory to be copied.
func (m *memory) news(node int, facts []fact) bool {
	return slices.ContainsFunc(facts, func(f fact) bool {
		switch f := f.(type) {
		case viewFact:
			return !slices.Contains(m.views, f)
		case sealedFact:
			return f.term > m.promised[node]
		case heldToFact:
			return f.term < m.promised[node]
		}
		return true
	})
}

// invoked notes a client's own doing, before its core learns of it.
func (m *machine) invoked(s *state, node int, in ownership.Input) {
	w := watcher{memory: s.memory.clone(), s: s, node: node}
	w.opens(in)
	switch in := in.(type) {
	case ownership.Lock:
		c := call{handle: in.Handle, node: node, key: in.Key, mode: in.Mode, before: w.released()}
		w.calls = append(w.calls, c)
		slices.SortFunc(w.calls, func(a, b call) int { return int(a.handle) - int(b.handle) })
	case ownership.Unlock:
		if c := w.call(in.Handle); c != nil {
			c.unlocked = true
		}
	default:
		w.invokedInSession(in)
	}
	w.remember()
}

// released has the handles whose release is certified.
func (m *memory) released() (handles uint32) {
	for _, o := range m.calls {
		if o.released {
			handles |= 1 << o.handle
		}
	}
	return handles
}

func (w *watcher) remember() {
	if w.rehash(); w.hash != w.s.memory.hash {
		w.s.memory = w.memory
	}
}

func (w *watcher) see(f fact) string {
	switch f := f.(type) {
	case viewFact:
		return w.decided(f)
	case shownFact:
		return w.showed(f)
	case sealedFact:
		w.promised[w.node] = max(w.promised[w.node], f.term)
	case heldToFact:
		if f.term < w.promised[w.node] {
			return fmt.Sprintf("%s certifies term %d after it answered a Seal of term %d (T1, G1)", w.name(w.node), f.term, w.promised[w.node])
		}
	case ownership.Disagrees:
		return fmt.Sprintf("%s was sent another view at epoch %d than the one it knows (I1)", w.name(w.node), f.Epoch)
	default:
		return w.event(f)
	}
	return ""
}

// event is about one call.
func (w *watcher) event(f fact) string {
	switch e := f.(type) {
	case ownership.Granted:
		return w.granted(w.call(e.Handle), e)
	case ownership.Extended:
		c := w.call(e.Handle)
		if e.Deadline < c.deadline {
			return fmt.Sprintf("the deadline of %s's lock %d went back (K3)", w.name(c.node), c.handle)
		}
		c.deadline = e.Deadline
		return w.alone(c)
	case ownership.Busy:
		c := w.call(e.Handle)
		c.busy = true
		return w.mayBeBusy(c, e.Holder)
	case ownership.Lost:
		c := w.call(e.Handle)
		if e.Cause == ownership.LostMissing && w.believes(c) && !w.may.Forget {
			return fmt.Sprintf("the owner has forgotten %s's lock %d of %q, token %s, which nobody released and whose deadline is not reached", w.name(c.node), c.handle, c.key, token(c.token))
		}
		c.over = true
	case ownership.Released:
		// Of a lock that was lost nobody certifies anything: its owner may hold it still.
		if c := w.call(e.Handle); c != nil && !e.GaveUp && !c.over {
			c.released = true
		}
	case ownership.Invalid:
		w.call(e.Handle).over = true
	case ownership.Altered:
		return w.altered(w.call(e.Handle), e)
	case ownership.Looked:
		return w.looked(e)
	case ownership.Evicted:
		return w.evicted(e)
	}
	return ""
}

// decided: one view at each epoch (V2, I1), and one mesh: every scenario has as
// many nodes as founders.
func (w *watcher) decided(f viewFact) string {
	for _, v := range w.views {
		switch {
		case v == f:
			return ""
		case v.mesh != f.mesh:
			return fmt.Sprintf("two meshes were founded: %d and %d", v.mesh, f.mesh)
		case v.epoch == f.epoch:
			return fmt.Sprintf("two views are decided at epoch %d (V2)", f.epoch)
		}
	}
	w.views = append(w.views, f)
	slices.SortFunc(w.views, func(a, b viewFact) int { return int(a.epoch) - int(b.epoch) })
	return ""
}

// showed: a token belongs to one request for ever, a request has one token in a
// term (K1), and within a term certified grants appear in the order of their
// tokens. Over terms answers may come late and out of order: an owner of before
// learns that its write was committed when the next one has long granted anew.
// Nobody believes them (K1); what clients believe is ordered: see granted.
func (w *watcher) showed(f shownFact) string {
	fresh := f.fresh
	f.fresh = false
	for _, o := range w.shown {
		switch {
		case o == f:
			return ""
		case o.token == f.token:
			return fmt.Sprintf("token %s was granted to two requests, %v and %v", token(f.token), o.request, f.request)
		case o.request == f.request && o.token.Term() == f.token.Term():
			return fmt.Sprintf("request %v was granted twice in one term, with tokens %s and %s (K1)", f.request, token(o.token), token(f.token))
		case fresh && o.token.Term() == f.token.Term() && o.token > f.token:
			return fmt.Sprintf("token %s appears after %s of the same term", token(f.token), token(o.token))
		}
	}
	w.shown = append(w.shown, f)
	slices.SortFunc(w.shown, func(a, b shownFact) int {
		if a.token < b.token {
			return -1
		}
		return 1
	})
	return ""
}

// granted: of two grants that cannot stand beside each other, clients see the one
// with the lower token first.
func (w *watcher) granted(c *call, e ownership.Granted) string {
	if c.granted || c.unlocked || c.over || c.busy {
		return fmt.Sprintf("%s was granted lock %d after its end (I15)", w.name(c.node), c.handle)
	}
	c.granted, c.first, c.deadline = true, e.Token, e.Deadline
	return w.rises(c, e.Token)
}

func (w *watcher) rises(c *call, t ownership.Token) string {
	c.token = t
	for i := range w.calls {
		if o := &w.calls[i]; o != c && o.key == c.key && o.granted && o.token >= t && !beside(o.mode, c.mode) {
			return fmt.Sprintf("%s got token %s of %q after %s was granted", w.name(c.node), token(t), c.key, token(o.token))
		}
	}
	return w.alone(c)
}

// believes says that a client thinks now that it has the lock: from its grant to
// its Unlock or its deadline. All clocks are equal here, so now is everybody's.
func (w *watcher) believes(c *call) bool {
	return c.granted && !c.unlocked && !c.over && w.s.nodes[c.node] != nil && w.s.now < c.deadline
}

// alone: no two holders believe at once, but for those that fit beside each other.
func (w *watcher) alone(c *call) string {
	for i := range w.calls {
		if o := &w.calls[i]; o != c && o.key == c.key && w.believes(o) && w.believes(c) && !beside(o.mode, c.mode) {
			return fmt.Sprintf("two believe that they hold %q: %s (lock %d, token %s) and %s (lock %d, token %s)",
				c.key, w.name(o.node), o.handle, token(o.token), w.name(c.node), c.handle, token(c.token))
		}
	}
	return ""
}

// mayBeBusy: a busy answer has a possible holder: a call of the key that began
// and whose release was not certified before this call began. So also: a
// certified unlock frees.
func (w *watcher) mayBeBusy(c *call, h ownership.Holder) string {
	possible := false
	for _, o := range w.calls {
		if o.handle == c.handle || o.key != c.key {
			continue
		}
		if c.before&(1<<o.handle) == 0 {
			possible = possible || !o.busy
		} else if o.granted && o.token == h.Token {
			return fmt.Sprintf("%s was told that %q is held with token %s, whose release was certified before it asked (G2)", w.name(c.node), c.key, token(h.Token))
		}
	}
	if !possible {
		return fmt.Sprintf("%s was told that %q is held (token %s), but nobody can hold it", w.name(c.node), c.key, token(h.Token))
	}
	return ""
}

func (m *memory) call(h ownership.Handle) *call {
	for i := range m.calls {
		if m.calls[i].handle == h {
			return &m.calls[i]
		}
	}
	return nil
}

// done says that a call has been granted or has ended: what a script waits for.
func (m *memory) done(h ownership.Handle) bool {
	c := m.call(h)
	return c != nil && (c.granted || c.busy || c.over || c.released)
}

func (m *memory) clone() *memory {
	k := *m
	k.calls, k.views, k.shown = slices.Clone(m.calls), slices.Clone(m.views), slices.Clone(m.shown)
	k.written, k.looks, k.evicts = slices.Clone(m.written), slices.Clone(m.looks), slices.Clone(m.evicts)
	k.open = slices.Clone(m.open)
	return &k
}

func (m *memory) rehash() {
	h := uint64(len(m.calls))
	for _, c := range m.calls { // key and node follow from the handle
		flags := uint64(0)
		for i, b := range [...]bool{c.granted, c.unlocked, c.released, c.over, c.busy, c.up} {
			if b {
				flags |= 1 << i
			}
		}
		h = combine(combine(combine(h, uint64(c.handle)<<8|flags), uint64(c.token)), uint64(c.deadline))
		h = combine(combine(h, uint64(c.before)), uint64(c.mode.Weight)<<32|uint64(c.gaveUp))
	}
	for _, v := range m.views {
		h = combine(combine(h, uint64(v.epoch)), v.hash)
	}
	h = m.hashSession(h)
	for _, s := range m.shown {
		h = combine(combine(combine(h, uint64(s.token)), uint64(s.request.Client)), s.request.Seq)
	}
	for _, p := range m.promised {
		h = combine(h, uint64(p))
	}
	m.hash = h
}

// token writes a fencing token as term/count.
func token(t ownership.Token) string { return fmt.Sprintf("%d/%d", t.Term(), uint32(t)) }
