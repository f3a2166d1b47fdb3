//go:build !linux

package main

import "time"

// What /proc says elsewhere is not there: those figures are zero and no repetition is
// called disturbed.

func cpuSelf() time.Duration { return 0 }

func cpuOf(int) time.Duration { return 0 }

func cpuMachine() time.Duration { return 0 }

func memory(int) (pss, rss int64) { return 0, 0 }
