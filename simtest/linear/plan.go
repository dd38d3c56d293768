package linear

import "time"

// This file divides grants into phases.

// phase is a grant between two of its changes that were answered. The next one of
// the same grant follows it in model.phases.
type phase struct {
	call        int
	rank        int // of the token with which it began
	token       uint64
	loose       bool // an Upgrade that was given up before may have changed the token
	weight      uint32
	least       uint32        // what a Downgrade that nobody answered may have left of it
	lowers      time.Duration // from then on
	downs       []down        // all that it may have been lowered to
	believed    []*Op         // Downgrades where its client counts as being, whatever became of them
	rises       time.Duration // since when an Upgrade that nobody answered may have taken all; Forever: there is none
	first, last int           // model.writes[first:last] are those in it that nobody answered
}

// down is what a phase may have been lowered to, and since when.
type down struct {
	weight uint32
	from   time.Duration
}

// any says that the token may be one that nobody was told of.
func (p *phase) any() bool { return p.loose || p.rises < Forever }

// write is a Set or a Delete that was, or may have been, carried out.
type write struct {
	op    *Op
	phase int
	token uint64 // 0: not known
	above uint64 // but higher than this
}

// plan divides a grant into phases.
func (m *model) plan(n int, c *call) {
	c.phase = len(m.phases)
	p := phase{call: n, rank: c.rank, token: c.lock.Token, weight: c.weight, least: c.weight, lowers: Forever, rises: Forever, first: len(m.writes), last: len(m.writes)}
	for i, o := range c.changes {
		switch {
		case o.Outcome == Refused:
			continue
		case !o.answered() && o.Kind <= Downgrade:
			p.open(o, c.changes[i+1:])
			continue
		case !o.answered():
			if p.weight == c.of || p.rises < Forever { // else it can not be carried out
				m.write(o, &p)
				p.last++
			}
			continue
		}
		m.phases = append(m.phases, p)
		if o.Outcome == Done && o.Kind >= Set {
			m.write(o, &p)
		}
		p = m.after(p, o)
	}
	m.phases = append(m.phases, p)
}

// open is an Upgrade or a Downgrade that nobody answered. When its client gave it up
// it takes it back, by going to where it counts as being then (K8): that is where the
// last Downgrade leads that it asked for, also one that was given up before, or that
// stood in line after this one.
func (p *phase) open(o *Op, later []*Op) {
	if o.Kind == Upgrade {
		p.rises = min(p.rises, o.Invoked)
	} else {
		p.lower(o, o.Invoked)
		p.believed = append(p.believed[:len(p.believed):len(p.believed)], o)
	}
	if o.Outcome != GaveUp {
		return
	}
	for _, x := range p.believed {
		p.lower(x, o.Returned)
	}
	for _, x := range later {
		if x.Kind == Downgrade && x.Invoked <= o.Returned {
			p.lower(x, o.Returned)
		}
	}
}

func (p *phase) lower(to *Op, from time.Duration) {
	p.least, p.lowers = min(p.least, to.Mode.weight()), min(p.lowers, from)
	p.downs = append(p.downs[:len(p.downs):len(p.downs)], down{to.Mode.weight(), from})
}

func (m *model) write(o *Op, p *phase) {
	w := write{op: o, phase: len(m.phases), token: p.token}
	if p.any() {
		w.token = 0
		if p.weight < m.calls[p.call].of { // only a new token can have been that of all
			w.above = p.token
		}
	}
	m.writes = append(m.writes, w)
}

// after is the phase that an answered change begins.
func (m *model) after(p phase, o *Op) phase {
	p.first, p.last = len(m.writes), len(m.writes)
	if o.Outcome == NotHeld {
		return p // what it was is not known better than before
	}
	// What was not answered before has been carried out by now, or never will be.
	switch o.Kind {
	case Upgrade:
		p.loose, p.rises = p.any(), Forever
		if o.Outcome == Done {
			p.rank, _ = m.ranked(o.Token)
			p.token, p.loose = o.Token, false
			p.at(o.Mode.weight())
		}
	case Downgrade:
		p.loose, p.rises = p.any(), Forever
		p.at(o.Mode.weight())
	default: // it was all of the key
		p.least, p.lowers, p.downs = p.weight, Forever, nil
	}
	return p
}

// at is what the owner says that it has, and its client believes it.
func (p *phase) at(weight uint32) {
	p.weight, p.least, p.lowers, p.downs, p.believed = weight, weight, Forever, nil, nil
}

// shows says that a reader can have seen what was written so.
func (w *write) shows(v Value) bool {
	if w.op.Kind == Delete || v.Token == 0 {
		return w.op.Kind == Delete && v.Token == 0
	}
	return w.op.Value.Data == v.Data && (w.token == v.Token || w.token == 0 && v.Token > w.above)
}
