//go:build !linux

package sched

import "time"

var start = time.Now()

// bootTime is the process's monotonic clock: where it stops during suspend, the
// log slot and the root's tag still fence a host that wakes late.
func bootTime() time.Duration { return time.Since(start) }
