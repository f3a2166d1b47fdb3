package lease

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// LockFile is a file that a process holds locked for its life, so that another one on
// the same machine can prove that it is dead.
type LockFile struct {
	f    *os.File
	path string
}

// lookers bounds how often a new lock waits for one who looks at it.
const lookers = 20

// HoldLock creates and locks the file dir/<name>.lock.
func HoldLock(dir, name string) (*LockFile, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("lock file: %w", err)
	}
	path, err := filepath.Abs(filepath.Join(dir, name+".lock"))
	if err != nil {
		return nil, fmt.Errorf("lock file: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock file: %w", err)
	}
	err = tryLock(f)
	for tries := 0; err != nil && tries < lookers; tries++ {
		time.Sleep(5 * time.Millisecond) // somebody looks whether it is Abandoned
		err = tryLock(f)
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock file %s: %w", path, err)
	}
	return &LockFile{f: f, path: path}, nil
}

// Path is the file's absolute path.
func (l *LockFile) Path() string { return l.path }

// Release removes the file and gives up the lock.
func (l *LockFile) Release() error {
	_ = os.Remove(l.path) // a leftover does no harm: nobody holds it
	return l.f.Close()
}

// ProvenDead says whether the holder of a session is certainly gone: it ran on this
// machine, and its lock file can be locked. A file that does not exist proves nothing,
// since a container may show another file system.
func ProvenDead(r Record) bool {
	return r.Machine != "" && r.Machine == MachineID() && r.Lock != "" && Abandoned(r.Lock)
}

// Abandoned says whether a lock file exists and nobody holds it.
func Abandoned(path string) bool {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }() // ends the look
	return look(f) == nil
}

// MachineID tells machines, and boots of one machine, apart; "" when it cannot.
func MachineID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
