package transport

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/lockmesh/lockmesh/ownership"
)

// faultLog writes a fault that repeats no more than once per logEvery, so that a
// hostile or broken peer cannot fill a disk.
type faultLog struct {
	*slog.Logger

	mu     sync.Mutex
	faults map[fault]*faultCount
}

// fault is what is the same of faults that are told once.
type fault struct{ message, peer string }

type faultCount struct {
	last time.Time
	held int // faults not written since
}

const (
	logEvery  = 10 * time.Second
	maxFaults = 1024 // that are told apart
)

func newFaultLog(l *slog.Logger) *faultLog {
	if l == nil {
		l = slog.New(slog.DiscardHandler)
	}
	return &faultLog{Logger: l, faults: make(map[fault]*faultCount)}
}

// fault logs, unless the same message about the same peer was logged just now.
func (l *faultLog) fault(level slog.Level, message, peer string, args ...any) {
	if !l.Enabled(context.Background(), level) {
		return
	}
	held, ok := l.pass(fault{message, peer}, time.Now())
	if !ok {
		return
	}
	args = append(args, "peer", peer)
	if held > 0 {
		args = append(args, "repeated", held)
	}
	l.Log(context.Background(), level, message, args...)
}

func (l *faultLog) pass(f fault, now time.Time) (held int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.faults[f]
	switch {
	case c == nil:
		if len(l.faults) >= maxFaults {
			clear(l.faults) // rare, and only costs some repetition
		}
		l.faults[f] = &faultCount{last: now}
		return 0, true
	case now.Sub(c.last) < logEvery:
		c.held++
		return 0, false
	}
	held, c.held, c.last = c.held, 0, now
	return held, true
}

// hexID is how a NodeID is written everywhere in the log, under the key "id". A
// name goes under "node".
func hexID(id ownership.NodeID) string { return fmt.Sprintf("%016x", uint64(id)) }
