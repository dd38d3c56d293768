//go:build !linux

package mesh

import "time"

var start = time.Now()

// sinceBoot falls back to Go's monotonic clock. Where that does not count
// suspended time (macOS, the BSDs), a lock that was held before a suspend may
// be believed held after it for up to its TTL.
func sinceBoot() time.Duration { return time.Hour + time.Since(start) }
