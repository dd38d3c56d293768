package ownership

import (
	"fmt"
)

// Mode is how much of a key a lock takes. All locks are of one kind, a weighted
// semaphore (K7): a lock takes Weight of the key's Of, and those that hold a key
// at a time take no more than Of together. The zero value is an exclusive lock.
type Mode struct {
	Weight uint32
	Of     uint32
}

// Whole is the capacity of a key that is locked exclusively, for update, or
// shared. It is no capacity of a semaphore.
const Whole = 1 << 31

// The modes of a key with the capacity Whole. An exclusive lock takes all of it, a
// shared one next to nothing. One for update takes just more than half: so it
// bears readers, and no other one beside it.
var (
	Exclusive = Mode{}
	Shared    = Mode{1, Whole}
	ForUpdate = Mode{Whole/2 + 1, Whole}
)

// Permits is the mode that takes n of a semaphore of this size.
func Permits(n, of int) Mode { return Mode{uint32(n), uint32(of)} }

// capacity is that of the key.
func (m Mode) capacity() uint32 {
	if m == Exclusive {
		return Whole
	}
	return m.Of
}

func (m Mode) weight() uint32 {
	if m == Exclusive {
		return Whole
	}
	return m.Weight
}

// all says that nobody else can hold the key beside a lock of this mode.
func (m Mode) all() bool { return m.weight() == m.capacity() }

// check says what is wrong with a mode, "" if nothing is.
func (m Mode) check() string {
	switch {
	case m == Exclusive || m == Shared || m == ForUpdate:
		return ""
	case m.Of < 1 || m.Of > MaxPermits:
		return fmt.Sprintf("a semaphore of %d permits; a semaphore has 1 to %d", m.Of, MaxPermits)
	case m.Weight < 1 || m.Weight > m.Of:
		return fmt.Sprintf("%d permits of %d; a lock takes at least 1 and at most all", m.Weight, m.Of)
	}
	return ""
}

// String says in words what is taken.
func (m Mode) String() string {
	switch m {
	case Exclusive:
		return "exclusive"
	case Shared:
		return "shared"
	case ForUpdate:
		return "update"
	}
	return fmt.Sprintf("%d of %d permits", m.Weight, m.Of)
}
