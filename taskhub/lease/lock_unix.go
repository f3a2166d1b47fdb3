//go:build unix

package lease

import (
	"os"

	"golang.org/x/sys/unix"
)

// tryLock takes the lock if nobody else has it or looks at it.
func tryLock(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }

// look finds out whether somebody has the lock: no error if not. Two who look do not see each
// other.
func look(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) }
