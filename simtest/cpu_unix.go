//go:build unix

package simtest

import (
	"syscall"
	"time"
)

// cpuTime is the processor time that this process has used: on a machine that is
// shared, the clock on the wall says little about speed.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return time.Since(started)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

var started = time.Now()
