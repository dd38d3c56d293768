//go:build !unix

package simtest

import "time"

var started = time.Now()

// cpuTime is the time on the wall where nothing better is to be had.
func cpuTime() time.Duration { return time.Since(started) }
