package ownership

import (
	"encoding/binary"
	"slices"
	"time"
)

// Encode appends the core's state to dst in one canonical form, for fingerprints:
// cores that encode equally do the same from here on with the same inputs.
// Neither the order of a map nor the capacity of a slice shows. It is called
// between steps.
//
// Local times, and echoes of anybody's, are written as their distance from the
// core's now, so that states which differ by a shift of the clock alone are one.
// A time of 0 (never set: long ago) and never stay themselves.
//
// What follows from the rest (an index, a sum) and what is for people alone is
// left out; TestEncodeShowsEveryField has the list, and fails on a new field that
// is not written.
func (c *Core) Encode(dst []byte) []byte {
	e := &encoder{dst, c.now}
	e.config(&c.cfg)
	e.uint(uint64(c.id))
	e.uint(uint64(c.phase))
	e.view(c.view)
	e.view(c.bound)
	e.int(c.wall)
	e.bool(c.wants)
	e.bool(c.knows)
	each(e, c.roster, (*encoder).peer)
	each(e, c.heard, (*encoder).hearing)
	e.founding(&c.founding)
	e.bool(c.leaving.dropped)
	e.set(c.leaving.knows)
	e.time(c.leaving.next)
	e.time(c.leaving.since)
	e.membership(&c.lease)
	e.voter(&c.voter)
	each(e, c.flaps, (*encoder).flap)
	e.len(len(c.parts))
	for p := range c.parts {
		e.replica(&c.parts[p])
	}
	e.len(len(c.owners))
	for _, o := range c.owners {
		if e.has(o != nil) {
			e.owner(o)
		}
	}
	each(e, c.absent, (*encoder).absence)
	e.time(c.sinceView)
	e.client(&c.client)
	e.time(c.settleAt)
	e.time(c.wake)
	return e.buf
}

// encoder writes values so that none is a prefix of another: lists with their
// length, what may be missing with a flag.
type encoder struct {
	buf []byte
	now Time
}

func (e *encoder) uint(v uint64)             { e.buf = binary.AppendUvarint(e.buf, v) }
func (e *encoder) int(v int64)               { e.buf = binary.AppendVarint(e.buf, v) }
func (e *encoder) len(n int)                 { e.uint(uint64(n)) }
func (e *encoder) str(s string)              { e.len(len(s)); e.buf = append(e.buf, s...) }
func (e *encoder) bool(b bool)               { e.buf = append(e.buf, byte(btoi(b))) }
func (e *encoder) has(b bool) bool           { e.bool(b); return b }
func (e *encoder) duration(d time.Duration)  { e.int(int64(d)) }
func (e *encoder) node(id NodeID)            { e.uint(uint64(id)) }
func (e *encoder) term(t Term)               { e.uint(uint64(t)) }
func (e *encoder) echo(x Echo)               { e.time(x.time()) }
func (e *encoder) ballot(b Ballot)           { e.uint(uint64(b.Round)); e.node(b.Node) }
func (e *encoder) request(id RequestID)      { e.uint(uint64(id.Client)); e.uint(id.Seq) }
func (e *encoder) leaseID(id LeaseID)        { e.uint(uint64(id.Client)); e.uint(uint64(id.Number)) }
func (e *encoder) ticket(t Ticket)           { e.term(t.Term); e.uint(uint64(t.Number)) }
func (e *encoder) settledItem(i SettledItem) { e.uint(uint64(i.Partition)); e.term(i.Term) }
func (e *encoder) absence(a absence)         { e.node(a.id); e.time(a.since) }
func (e *encoder) hearing(h hearing)         { e.node(h.id); e.time(h.at) }
func (e *encoder) autoLease(a autoLease)     { e.uint(uint64(a.number)); e.duration(a.ttl) }
func (e *encoder) configuration(k Configuration) {
	e.term(k.Term)
	each(e, k.Replicas, (*encoder).node)
}

func each[T any](e *encoder, vs []T, one func(*encoder, T)) {
	e.len(len(vs))
	for _, v := range vs {
		one(e, v)
	}
}

func (e *encoder) time(t Time) {
	switch t {
	case 0:
		e.buf = append(e.buf, 0)
	case never:
		e.buf = append(e.buf, 1)
	default:
		e.buf = append(e.buf, 2)
		e.int(int64(t - e.now))
	}
}

// set writes a list whose order decides nothing.
func (e *encoder) set(ids []NodeID) {
	var few [8]NodeID
	sorted := append(few[:0], ids...)
	slices.Sort(sorted)
	e.len(len(sorted))
	for _, id := range sorted {
		e.node(id)
	}
}

// config: ID and Client are read at New alone.
func (e *encoder) config(c *Config) {
	e.str(c.Name)
	e.str(c.Addr)
	e.str(c.Zone)
	e.params(c.Params)
	e.int(int64(c.Founders))
	e.bool(c.Fresh)
}

func (e *encoder) params(p Params) {
	e.int(int64(p.Partitions))
	e.int(int64(p.Replicas))
	e.duration(p.MaxTTL)
	e.duration(p.MembershipTTL)
	e.int(int64(p.DriftPPM))
}

// view is written whole: an epoch names one view in one run, not in all.
func (e *encoder) view(v *View) {
	if !e.has(v != nil) {
		return
	}
	e.uint(uint64(v.Mesh))
	e.uint(uint64(v.Epoch))
	e.params(v.Params)
	each(e, v.Members, (*encoder).member)
	each(e, v.Voters, (*encoder).node)
	each(e, v.Groups, (*encoder).group)
	each(e, v.Apart, (*encoder).apart)
}

func (e *encoder) member(m Member) {
	e.node(m.ID)
	e.str(m.Name)
	e.str(m.Addr)
	e.str(m.Zone)
	e.bool(m.Leaving)
}

func (e *encoder) group(g Group) {
	e.term(g.Term)
	each(e, g.Replicas, (*encoder).node)
	each(e, g.Prior, (*encoder).configuration)
}

func (e *encoder) apart(a Apart) {
	e.uint(uint64(a.Partition))
	e.node(a.Owner)
	e.node(a.Silent)
}

func (e *encoder) peer(p Peer) {
	e.member(p.Member)
	e.bool(p.Dead)
}

func (e *encoder) founding(f *founding) {
	each(e, f.contacts, (*encoder).contact)
	e.time(f.enough)
	e.time(f.next)
	e.time(f.boundAt)
	e.set(f.acks)
}

func (e *encoder) contact(k contact) {
	e.member(k.member)
	e.bool(k.fresh)
	e.time(k.at)
}

func (e *encoder) membership(m *membership) {
	e.time(m.until)
	e.time(m.gained)
	each(e, m.echoes, (*encoder).echo)
	e.time(m.next)
	e.bool(m.told)
	e.uint(uint64(m.asked))
	e.time(m.member)
}

func (e *encoder) voter(v *voter) {
	e.ballot(v.promised)
	e.ballot(v.accepted)
	e.view(v.value)
	e.time(v.acceptedAt)
	e.uint(uint64(v.round))
	if e.has(v.proposal != nil) {
		e.proposal(v.proposal)
	}
	e.time(v.wanted)
	e.time(v.retry)
	e.int(int64(v.tries))
	e.bool(v.look)
	e.time(v.lookAt)
	each(e, v.seen, (*encoder).seen)
	each(e, v.joins, (*encoder).join)
	each(e, v.settled, (*encoder).term)
	each(e, v.stuck, (*encoder).apart)
	each(e, v.exhausted, (*encoder).settledItem)
	each(e, v.notes, (*encoder).time)
	e.time(v.lastTick)
	e.time(v.silentFrom)
	e.time(v.meetAt)
}

func (e *encoder) proposal(p *proposal) {
	e.ballot(p.ballot)
	e.view(p.value)
	e.set(p.promised)
	e.set(p.accepted)
	e.ballot(p.best)
	e.view(p.adopt)
	e.time(p.began)
	e.time(p.resend)
}

func (e *encoder) seen(s seen) {
	e.time(s.renewed)
	e.time(s.deaf)
	e.time(s.answered)
	e.bool(s.resigned)
}

func (e *encoder) join(j join) {
	e.member(j.member)
	e.time(j.first)
	e.time(j.last)
}

func (e *encoder) flap(f flap) {
	e.str(f.addr)
	e.int(int64(f.drops))
	e.time(f.last)
}

func (e *encoder) replica(r *replica) {
	e.term(r.promised)
	e.term(r.installed)
	e.uint(r.last)
	e.records(r.records)
	e.incoming(r.incoming)
	e.term(r.served)
	e.bool(r.waiting)
}

func (e *encoder) records(m map[string]*Record) {
	e.len(len(m))
	for _, key := range sortedKeys(m) {
		e.record(m[key])
	}
}

func (e *encoder) record(r *Record) {
	if e.has(r != nil) {
		e.str(r.Key)
		each(e, r.Holders, (*encoder).holder)
		e.value(r.Value)
	}
}

func (e *encoder) value(v *Value) {
	if e.has(v != nil) {
		e.str(string(v.Data))
		e.uint(uint64(v.Token))
		e.bool(v.Stale)
	}
}

func (e *encoder) mode(m Mode) { e.uint(uint64(m.Weight)); e.uint(uint64(m.Of)) }

func (e *encoder) holder(h Holder) {
	e.request(h.Request)
	e.uint(uint64(h.Token))
	e.uint(uint64(h.Lease))
	e.duration(h.TTL)
	e.str(h.Name)
	e.str(h.Note)
	e.mode(h.Mode)
	e.duration(h.Delay)
	e.bool(h.Lost)
	e.uint(h.Altered)
}

func (e *encoder) incoming(in *incoming) {
	if !e.has(in != nil) {
		return
	}
	e.term(in.term)
	e.uint(in.number)
	e.len(len(in.chunks))
	for _, chunk := range in.chunks {
		if e.has(chunk != nil) { // an empty one that came is not one that is missing
			each(e, chunk, (*encoder).record)
		}
	}
}

func (e *encoder) owner(o *owner) {
	e.uint(uint64(o.partition))
	e.term(o.term)
	each(e, o.replicas, (*encoder).node)
	e.uint(uint64(o.phase))
	e.takeover(&o.takeover)
	e.uint(o.next)
	each(e, o.acked, (*encoder).int)
	each(e, o.buffer, (*encoder).write)
	e.uint(o.first)
	e.len(o.unsent)
	e.time(o.stalled)
	e.time(o.opened)
	e.time(o.resend)
	e.time(o.stuckAt)
	e.time(o.timer)
	e.uint(o.round)
	e.bool(o.open)
	each(e, o.confirmed, (*encoder).uint)
	each(e, o.thisRound, (*encoder).pending)
	each(e, o.nextRound, (*encoder).pending)
	each(e, o.certain, (*encoder).pending)
	e.set(o.settled)
	e.uint(uint64(o.count))
	e.table(&o.table)
}

func (e *encoder) takeover(t *takeover) {
	each(e, t.answers, (*encoder).sealAnswer)
	e.records(t.state)
	e.bool(t.lost)
	e.bool(t.quiet)
	e.bool(t.told)
	e.time(t.until)
	e.time(t.began)
	e.time(t.resend)
}

func (e *encoder) sealAnswer(a sealAnswer) {
	e.node(a.id)
	e.bool(a.whole)
	e.term(a.installed)
	e.uint(a.last)
	if e.has(a.records != nil) { // an empty state is not "the asker has as much"
		e.records(a.records)
	}
	e.incoming(a.incoming)
}

func (e *encoder) write(w Write) {
	e.str(w.Key)
	e.record(w.Record)
}
