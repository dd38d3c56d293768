package mesh

import (
	"fmt"

	"github.com/lockmesh/lockmesh/ownership"
)

// maxPermits is the size of the largest semaphore.
const maxPermits = ownership.MaxPermits

// Mode is how much of its key a lock takes. The zero value is an exclusive lock:
// all of it. Modes can be compared with ==.
type Mode struct {
	Kind    ModeKind
	Permits int // of a semaphore: how many this lock takes; else 0
	Of      int // of a semaphore: how many it has; else 0
}

// ModeKind says what kind of lock a Mode is.
type ModeKind uint8

// The kinds of locks.
const (
	ModeExclusive ModeKind = iota // nobody else holds the key beside it
	ModeShared                    // others may hold it shared, and one for update
	ModeUpdate                    // others may hold it shared, nobody else for update
	ModePermits                   // some permits of a semaphore
)

// String says it in words: "exclusive", "shared", "update", "2 of 3 permits".
func (m Mode) String() string {
	switch m.Kind {
	case ModeExclusive:
		return "exclusive"
	case ModeShared:
		return "shared"
	case ModeUpdate:
		return "update"
	}
	return fmt.Sprintf("%d of %d permits", m.Permits, m.Of)
}

// check says what is wrong with a mode, "" if nothing is.
func (m Mode) check() string {
	switch {
	case m.Kind != ModePermits:
		return ""
	case m.Of < 1 || m.Of > maxPermits:
		return fmt.Sprintf("Permits(%d, %d): a semaphore has 1 to %d permits, and %d are asked for: change the second number", m.Permits, m.Of, maxPermits, m.Of)
	case m.Permits < 1 || m.Permits > m.Of:
		return fmt.Sprintf("Permits(%d, %d): a lock takes 1 to %d of %d permits: change the first number", m.Permits, m.Of, m.Of, m.Of)
	}
	return ""
}

// core is the mode as the protocol has it (K7). It was checked.
func (m Mode) core() ownership.Mode {
	switch m.Kind {
	case ModeShared:
		return ownership.Shared
	case ModeUpdate:
		return ownership.ForUpdate
	case ModePermits:
		return ownership.Permits(m.Permits, m.Of)
	}
	return ownership.Exclusive
}

func modeOf(m ownership.Mode) Mode {
	switch m {
	case ownership.Exclusive:
		return Mode{}
	case ownership.Shared:
		return Mode{Kind: ModeShared}
	case ownership.ForUpdate:
		return Mode{Kind: ModeUpdate}
	}
	return Mode{ModePermits, int(m.Weight), int(m.Of)}
}
