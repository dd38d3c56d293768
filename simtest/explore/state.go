package explore

import (
	"slices"

	"github.com/lockmesh/lockmesh/ownership"
)

const (
	maxNodes = 5
	maxLanes = 4
)

// state is one state of the whole world: what a search visits once.
type state struct {
	now    ownership.Time
	nodes  [maxNodes]*version // nil: crashed, or not in this scenario
	flight []inFlight         // the multiset of messages in flight, by hash
	sum    uint64             // of the hashes in flight
	left   Budget
	lanes  [maxLanes]uint8 // how far each script is
	memory *memory         // what the checker remembers; shared, never changed
	trail  uint32          // where search.trail says how it was reached
}

// inFlight is a packet and how many equal ones there are. Which of them arrives
// cannot make a difference, so they are one action: the one symmetry used.
type inFlight struct {
	*packet
	copies uint8
}

// mix is the finalizer of splitmix64 (Steele, Lea, Flood 2014).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func combine(h, part uint64) uint64 { return mix(h*0x9e3779b97f4a7c15 + part + 1) }

// fingerprint stands for the state in the set of those that were seen. With n
// states the chance that two share one, and that the second is overlooked, is
// n²/2⁶⁵: some millionths for ten million.
func (s *state) fingerprint() uint64 {
	h := combine(uint64(s.now), s.sum)
	for _, v := range s.nodes {
		if v == nil {
			h = combine(h, 0)
		} else {
			h = combine(h, v.hash)
		}
	}
	h = combine(h, s.left.packed())
	for _, at := range s.lanes {
		h = combine(h, uint64(at))
	}
	if h = combine(h, s.memory.hash); h == 0 {
		h = 1 // 0 is an empty slot of the set
	}
	return h
}

// copyTo makes to a copy that can be changed; its buffer is used again.
func (s *state) copyTo(to *state) {
	flight := append(to.flight[:0], s.flight...)
	*to = *s
	to.flight = flight
}

func (s *state) clone() *state {
	k := *s
	k.flight = slices.Clone(s.flight)
	return &k
}

func (s *state) place(p *packet) (int, bool) {
	return slices.BinarySearchFunc(s.flight, p.hash, func(f inFlight, h uint64) int {
		switch {
		case f.hash < h:
			return -1
		case f.hash > h:
			return 1
		}
		return 0
	})
}

// send puts a packet in flight, if its receiver is there to get it.
func (s *state) send(p *packet) {
	if s.receiver(p) < 0 {
		return
	}
	s.sum += mix(p.hash)
	i, found := s.place(p)
	if found {
		s.flight[i].copies++
		return
	}
	s.flight = slices.Insert(s.flight, i, inFlight{p, 1})
}

// take takes one copy out of flight.
func (s *state) take(i int) *packet {
	p := s.flight[i].packet
	s.sum -= mix(p.hash)
	if s.flight[i].copies--; s.flight[i].copies == 0 {
		s.flight = slices.Delete(s.flight, i, i+1)
	}
	return p
}

// receiver is the node that a packet is for, -1 if nobody answers to that name
// any more: it has crashed, was reborn, or is silent and listens no more (V6).
func (s *state) receiver(p *packet) int {
	for i, v := range s.nodes {
		if v != nil && v.id == p.to && !v.silent() {
			return i
		}
	}
	return -1
}

// purge loses what can reach nobody any more.
func (s *state) purge() {
	for i := len(s.flight) - 1; i >= 0; i-- {
		for s.receiver(s.flight[i].packet) < 0 {
			if last := s.flight[i].copies == 1; s.take(i) != nil && last {
				break
			}
		}
	}
}

// nextWake is the first time at which a running node wants to be called, after
// now. One that overslept (Budget.Sleep) is due already.
func (s *state) nextWake() (at ownership.Time, any bool) {
	for _, v := range s.nodes {
		if v != nil && v.wake > s.now && v.wake < never && (!any || v.wake < at) {
			at, any = v.wake, true
		}
	}
	return at, any
}

const never = ownership.Time(1<<63 - 1)
