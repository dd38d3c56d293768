package explore

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"

	"github.com/lockmesh/lockmesh/ownership"
	"github.com/lockmesh/lockmesh/transport"
)

// version is one state of one core. It is never stepped itself, only its clones
// are, so any number of world states share it. What a step makes of it is
// remembered: a search asks the same of the same core thousands of times, while
// the other nodes differ.
type version struct {
	core  *ownership.Core
	hash  uint64
	id    ownership.NodeID
	wake  ownership.Time
	phase ownership.Phase

	mu   sync.Mutex
	memo map[question]*outcome
	mark uint32 // of the sweep that saw it last
}

// question is what a core can be asked: this input at this time.
type question struct {
	input uint64
	now   ownership.Time
}

// outcome is what a step did.
type outcome struct {
	next  *version
	sends []*packet
	told  []ownership.Event
	facts []fact // of the two above, what the checker cares about
	reach reach
	panic string // the core's own assertion failed
}

// packet is one message in flight. Equal ones are one packet: see state.flight.
type packet struct {
	from, to ownership.NodeID
	mesh     ownership.MeshID
	message  ownership.Message
	hash     uint64
}

// input is an input of a core with its hash.
type input struct {
	value ownership.Input
	hash  uint64
}

func (p *packet) input() input {
	return input{ownership.Receive{From: p.from, Mesh: p.mesh, Message: p.message}, p.hash}
}

// silent says that the core ignores all that is sent to it (V6): what is in
// flight to it is as good as lost.
func (v *version) silent() bool {
	return v.phase == ownership.PhaseSilent || v.phase == ownership.PhaseGone
}

// table holds every version and packet once. Keys are 128 bits of SHA-256, so
// that a collision there is out of the question; only the fingerprints of whole
// states are short (see state.fingerprint).
type table struct {
	mu       sync.Mutex
	versions map[key]*version
	packets  map[key]*packet
	sweeps   uint32
	// tamper rewrites a message on its way out, nil leaves all as they are: tests
	// show with it that a check can fail.
	tamper func(from, to ownership.NodeID, m ownership.Message) ownership.Message
}

type key [16]byte

func newTable() *table { return &table{versions: map[key]*version{}, packets: map[key]*packet{}} }

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 8<<10); return &b }}

// hashed is the key of what write appends, and its first half.
func hashed(write func([]byte) []byte) (k key, h uint64) {
	b := buffers.Get().(*[]byte)
	*b = write((*b)[:0])
	sum := sha256.Sum256(*b)
	buffers.Put(b)
	copy(k[:], sum[:])
	return k, binary.LittleEndian.Uint64(k[:])
}

// version finds or notes the state of a core. Core.Encode writes times as seen
// from the core's last step; with the time of that they are absolute.
func (t *table) version(core *ownership.Core, stepped, wake ownership.Time) *version {
	k, h := hashed(func(b []byte) []byte {
		return binary.LittleEndian.AppendUint64(core.Encode(b), uint64(stepped))
	})
	t.mu.Lock()
	defer t.mu.Unlock()
	v := t.versions[k]
	if v == nil {
		v = &version{core: core, hash: h, id: core.ID(), wake: wake, phase: core.Status(stepped).Phase}
		t.versions[k] = v
	}
	return v
}

// packet finds or notes a message on its way.
func (t *table) packet(from ownership.NodeID, e ownership.Envelope) *packet {
	if t.tamper != nil {
		e.Message = t.tamper(from, e.To, e.Message)
	}
	k, h := hashed(func(b []byte) []byte {
		b = binary.LittleEndian.AppendUint64(b, uint64(from))
		b = binary.LittleEndian.AppendUint64(b, uint64(e.To))
		b = binary.LittleEndian.AppendUint64(b, uint64(e.Mesh))
		b, err := transport.AppendMessage(b, e.Message)
		if err != nil {
			panic(fmt.Sprintf("%T cannot travel: %v", e.Message, err))
		}
		return b
	})
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.packets[k]
	if p == nil {
		p = &packet{from, e.To, e.Mesh, e.Message, h}
		t.packets[k] = p
	}
	return p
}

// step is what becomes of a core that is given this input now.
func (t *table) step(v *version, now ownership.Time, in input) *outcome {
	v.mu.Lock()
	defer v.mu.Unlock()
	q := question{in.hash, now}
	if o := v.memo[q]; o != nil {
		return o
	}
	if v.memo == nil {
		v.memo = map[question]*outcome{}
	}
	o := t.compute(v, now, in.value)
	v.memo[q] = o
	return o
}

func (t *table) compute(v *version, now ownership.Time, in ownership.Input) (o *outcome) {
	o = &outcome{next: v}
	defer func() {
		if r := recover(); r != nil {
			o.panic = fmt.Sprint(r)
			if _, bug := r.(runtime.Error); bug { // no assertion: show where
				o.panic += "\n" + string(debug.Stack())
			}
		}
	}()
	from := v.id
	core := v.core.Clone()
	out := core.Step(now, in)
	for _, e := range out.Send {
		p := t.packet(from, e)
		o.sends = append(o.sends, p)
		o.facts = append(o.facts, sendFacts(p)...)
	}
	o.told = out.Notify // the clone is not stepped again: its buffers stay
	var told []fact
	for _, e := range out.Notify {
		told = append(told, eventFacts(e)...)
		o.reach |= reachOf(e)
	}
	o.facts = append(told, o.facts...)
	o.next = t.version(core, now, out.Wake)
	return o
}

// sweepAbove is how many versions are kept without need; each takes some kB.
const sweepAbove = 150_000

// sweep forgets the versions that no state of the frontier has. One that comes
// up again is computed again.
func (t *table) sweep(frontier []*state) {
	if len(t.versions) < sweepAbove {
		return
	}
	t.sweeps++
	for _, s := range frontier {
		for _, v := range s.nodes {
			if v != nil {
				v.mark = t.sweeps
			}
		}
	}
	for k, v := range t.versions {
		v.memo = nil // it holds on to what comes after
		if v.mark != t.sweeps {
			delete(t.versions, k)
		}
	}
	clear(t.packets) // those in flight live on in their states, and equal ones hash equally
}
