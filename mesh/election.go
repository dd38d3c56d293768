package mesh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// electionPrefix begins the keys of elections.
const electionPrefix = "election/"

// Election chooses one leader among the nodes that campaign. It is an exclusive
// lock, whose holder leads, and the lock's value, which the leader proclaims: an
// address, say. Its methods may be called from any goroutine.
//
// Guaranteed is what is of locks. No two terms overlap: a leader that is cut off
// hears of it from [Term.Done], by its own clock, before another can lead. The term's
// token is the fencing token: it rises from leader to leader, and what the leader
// writes to carries it (see [Fence]), since a leader that is paused beyond its term
// may act before it looks. Candidates lead in the order in which they came. The zero
// value is no election: [Node.Election] makes one.
type Election struct {
	node *Node
	name string
}

// Election returns the election of this name, the same one on every node. A name has
// 1 to 503 bytes; the calls of another one fail with ErrInvalid.
func (n *Node) Election(name string) *Election { return &Election{n, name} }

// Key is the key of the lock: "election/" and the name. Whoever holds it leads, once
// it has written the value; [Node.Inspect] says who waits.
func (e *Election) Key() string { return electionPrefix + e.name }

func (e *Election) check() error {
	if e.name == "" {
		return invalid("the election has no name")
	}
	return nil
}

// Campaign waits until this node leads, and has proclaimed value: at most 4096
// bytes, not nil. ctx bounds that alone. opts are those of the lock, which is
// exclusive: with [OnContended] a leader hears that there is a candidate, with TTL
// it says how long a leader that is gone keeps others waiting.
//
// The errors are those of Lock and [Lock.SetValue]; this node then does not lead. If
// value could not be written, others may for a moment have seen that it did.
func (e *Election) Campaign(ctx context.Context, value []byte, opts ...Option) (*Term, error) {
	l, err := e.campaign(ctx, value, opts)
	if err != nil {
		return nil, &Error{"Campaign", e.Key(), err}
	}
	return &Term{e, l}, nil
}

func (e *Election) campaign(ctx context.Context, value []byte, opts []Option) (*Lock, error) {
	if err := e.check(); err != nil {
		return nil, err
	}
	if wrong := checkValue(value); wrong != "" {
		return nil, invalid(wrong)
	}
	o, err := e.node.cfg.Params.resolve(e.Key(), opts)
	switch {
	case err != nil:
		return nil, err
	case o.mode != (Mode{}):
		return nil, invalid(fmt.Sprintf("the lock would be %v; that of an election is exclusive", o.mode))
	case ctx.Err() != nil:
		return nil, ended(ctx, ErrUnavailable, "ended before it was asked for")
	}
	value = bytes.Clone(value) // the wait may be long
	l, err := e.node.request(e.Key(), false, o)
	if err == nil {
		err = e.node.await(ctx, l)
	}
	if err != nil {
		return nil, err
	}
	if err := l.write(ctx, ownership.AlterValue, value); err != nil {
		e.node.discard(l)
		return nil, because("leads, but its value could not be written, so it gives the term back: "+err.Error(), err)
	}
	return l, nil
}

// Leader is who leads. The zero value is nobody.
type Leader struct {
	Name  string    // Config.Name of its node
	Note  string    // Note
	Token uint64    // of its term; 0: nobody leads
	Value []byte    // what it has proclaimed; a copy, the caller's own
	Since time.Time // by the wall clock of the key's owner
}

// Leader says who leads. Nobody does from when a leader is gone until the next has
// proclaimed its value. The answer is linearizable. What it says may be over when it
// arrives: to be safe against a former leader compare tokens, as Fence does.
//
// When ctx ends first, the error is ErrUnavailable as well as ctx.Err(). Other
// errors: ErrInvalid, ErrClosed.
func (e *Election) Leader(ctx context.Context) (Leader, error) {
	if err := e.check(); err != nil {
		return Leader{}, &Error{"Leader", e.Key(), err}
	}
	state, err := e.node.Inspect(ctx, e.Key())
	if err != nil {
		return Leader{}, renamed("Leader", err)
	}
	return leaderOf(state), nil
}

// Observe yields who leads: first who does now, then each change, of the leader or of
// what it proclaims, when it happens; nobody leads in between (see Leader). Who is slow
// misses what is old, and sees the newest. It ends when ctx does, with the errors of
// [Node.Watch].
func (e *Election) Observe(ctx context.Context) iter.Seq2[Leader, error] {
	return func(yield func(Leader, error) bool) {
		if err := e.check(); err != nil {
			yield(Leader{}, &Error{"Observe", e.Key(), err})
			return
		}
		var last Leader
		first := true
		for state, err := range e.node.Watch(ctx, e.Key()) {
			if err != nil {
				if !yield(Leader{}, renamed("Observe", err)) {
					return
				}
				continue
			}
			now := leaderOf(state)
			if !first && now.Token == last.Token && bytes.Equal(now.Value, last.Value) {
				continue // the queue has changed
			}
			first, last = false, now
			last.Value = bytes.Clone(now.Value)
			if !yield(now, nil) {
				return
			}
		}
	}
}

// leaderOf reads a state of the key. A holder leads when the value is its own.
func leaderOf(state KeyState) Leader {
	for _, h := range state.Holders {
		if h.Token == state.Value.Token && !h.Lost && !state.Value.Stale {
			return Leader{h.Node, h.Note, h.Token, state.Value.Data, h.Since}
		}
	}
	return Leader{}
}

// renamed is the error of one call as that of another that it was made for.
func renamed(op string, err error) error {
	var e *Error
	if errors.As(err, &e) {
		return &Error{op, e.Key, e.Err}
	}
	return err
}

// Term is the time for which a node leads. It lasts until Resign, Transfer, or Leave,
// or until its lock is lost. Its methods may be called from any goroutine, and for
// ever. The zero value is no term: [Election.Campaign] makes one.
type Term struct {
	election *Election
	lock     *Lock
}

// Token is the fencing token of the term: see [Lock.Token].
func (t *Term) Token() uint64 { return t.lock.Token() }

// Done is closed when the term is over: at the latest at Deadline, network or not, and
// before another can lead. See [Lock.Done].
func (t *Term) Done() <-chan struct{} { return t.lock.Done() }

// Err is nil while the node leads, then ErrReleased or ErrLost: see [Lock.Err].
func (t *Term) Err() error { return t.lock.Err() }

// Context returns a context that ends with the term: see [Lock.Context].
func (t *Term) Context() context.Context { return t.lock.Context() }

// Deadline is until when the term lasts if no renewal succeeds: see [Lock.Deadline].
func (t *Term) Deadline() time.Time { return t.lock.Deadline() }

// Proclaim replaces the value that the leader has proclaimed. The errors are those of
// [Lock.SetValue].
func (t *Term) Proclaim(ctx context.Context, value []byte) error {
	if wrong := checkValue(value); wrong != "" { // DeleteValue is none of a leader's
		return &Error{"Proclaim", t.lock.key, invalid(wrong)}
	}
	return renamed("Proclaim", t.lock.SetValue(ctx, value))
}

// Resign ends the term; the next candidate leads. The value stays, and counts no
// more. Errors, and what happens when ctx ends first, are those of [Lock.Unlock].
func (t *Term) Resign(ctx context.Context) error {
	return renamed("Resign", t.lock.Unlock(ctx))
}

// Transfer hands over to a candidate: a node of this name (Config.Name) that waits in
// Campaign. It goes before all others; of several of its calls the first. The term
// ends here first: Done is closed. Transfer returns when the candidate leads, which
// means that it has proclaimed its value.
//
// If the candidate does not wait the error is ErrInvalid, and says who does; the term
// goes on. Only the first 64 in line are looked at: to one that comes after them the
// error is ErrInvalid too. It goes on too if ctx ends, or the node closes, before that is known. Once
// it is over every error is ErrReleased, or ErrLost if the term was lost before, as
// Err says. The candidate may have gone in the same moment: the error then says who
// leads now. When ctx ends meanwhile, the error is ErrUnavailable and ctx.Err() as
// well, and the hand-over goes on. So it is with a node that waits in plain [Node.Lock]:
// it has the key then, but proclaims nothing.
func (t *Term) Transfer(ctx context.Context, candidate string) error {
	if err := t.transfer(ctx, candidate); err != nil {
		return &Error{"Transfer", t.lock.key, err}
	}
	return nil
}

func (t *Term) transfer(ctx context.Context, candidate string) error {
	n := t.election.node
	if err := t.Err(); err != nil {
		return err
	}
	a, err := n.lookAt(ctx, t.lock.key)
	if err != nil {
		return err
	}
	state := n.keyState(a)
	if !slices.ContainsFunc(state.Queue, func(w Waiter) bool { return w.Node == candidate }) {
		return invalid(state.candidates(candidate))
	}
	// K14. The term ends here before anybody can lead.
	over := because("lock released: the term was handed over to "+candidate, ErrReleased)
	if !t.lock.giveBack(over, candidate) {
		return t.Err()
	}
	return t.awaitHeir(ctx, candidate)
}

// awaitHeir returns when the candidate leads, or is known not to.
func (t *Term) awaitHeir(ctx context.Context, candidate string) error {
	token := t.Token()
	known := "whether " + candidate + " leads is not known"
	for state, err := range t.election.node.Watch(ctx, t.lock.key) {
		if err != nil {
			why := err
			var of *Error
			if errors.As(err, &of) { // the Watch is no business of the caller's
				why = of.Err
			}
			is := []error{ErrReleased, why}
			if ctx.Err() != nil {
				is = append(is, ErrUnavailable)
			}
			return because("the term is over; "+known+": "+why.Error(), is...)
		}
		next := slices.IndexFunc(state.Holders, func(h Holder) bool { return h.Token > token })
		switch leader := leaderOf(state); {
		case next < 0 && len(state.Holders) == 0 && state.Waiting == 0:
			return because("the term is over, and "+candidate+" has gone meanwhile: nobody leads now", ErrReleased)
		case next < 0: // the owner does not know yet
		case state.Holders[next].Node != candidate:
			return because("the term is over, and "+candidate+" has gone meanwhile: "+state.Holders[next].Node+" leads now", ErrReleased)
		case leader.Token > token:
			return nil
		default:
			known = candidate + " holds it and has proclaimed nothing yet"
		}
	}
	return because("the term is over; "+known, ErrReleased, ErrUnavailable)
}

// candidates says that one does not wait for a key, and who does.
func (k KeyState) candidates(but string) string {
	var names []string
	for _, w := range k.Queue {
		if !slices.Contains(names, w.Node) {
			names = append(names, w.Node)
		}
	}
	list := strings.Join(andMore(names[:min(mostNames, len(names))], len(names)), ", ")
	switch {
	case k.Waiting == 0:
		return quote(but) + " does not wait in Campaign; nobody does"
	case k.Waiting > len(k.Queue):
		return fmt.Sprintf("%s is not among the first %d of %d that wait in Campaign: %s", quote(but), len(k.Queue), k.Waiting, list)
	}
	return quote(but) + " does not wait in Campaign; those who do: " + list
}
