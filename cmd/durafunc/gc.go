package main

import (
	"os"
	"runtime/debug"
)

// tuneGC lets the heap grow to five times what is live before it is collected: the
// host's heap is small, and this is worth a tenth of its throughput. GOGC and GOMEMLIMIT
// of the environment win.
func tuneGC() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
}
