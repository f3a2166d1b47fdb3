package lease

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// LockFile is a file that a process holds locked for its life, so that another one on
// the same machine can prove that it is dead.
type LockFile struct {
	f    *os.File
	path string
}

// HoldLock creates and locks the file dir/<name>.lock. It has another name until it is locked,
// so that nobody ever takes it for abandoned. No two callers may use one name at once.
func HoldLock(dir, name string) (*LockFile, error) {
	path, err := filepath.Abs(filepath.Join(dir, name+".lock"))
	if err != nil {
		return nil, fmt.Errorf("lock file: %w", err)
	}
	l := &LockFile{path: path}
	if err := l.hold(); err != nil {
		return nil, fmt.Errorf("lock file %s: %w", path, err)
	}
	return l, nil
}

func (l *LockFile) hold() error {
	if _, err := os.Stat(l.path); err == nil && !Abandoned(l.path) {
		return errors.New("another process holds it")
	}
	if err := os.MkdirAll(filepath.Dir(l.path), 0o755); err != nil {
		return err
	}
	var err error
	unlocked := l.path + ".new"
	if l.f, err = os.OpenFile(unlocked, os.O_CREATE|os.O_RDWR, 0o644); err != nil {
		return err
	}
	if err = tryLock(l.f); err == nil {
		err = os.Rename(unlocked, l.path)
	}
	if err != nil {
		return errors.Join(err, l.f.Close(), os.Remove(unlocked))
	}
	return nil
}

// Path is the file's absolute path.
func (l *LockFile) Path() string { return l.path }

// Release removes the file and gives up the lock.
func (l *LockFile) Release() error {
	_ = os.Remove(l.path) // a leftover does no harm: nobody holds it
	return l.f.Close()
}

// ProvenDead reports whether the holder of a session is certainly gone: it ran on this
// machine, and its lock file can be locked. A file that does not exist proves nothing,
// since a container may show another file system.
func ProvenDead(r Record) bool {
	return r.Machine != "" && r.Machine == MachineID() && r.Lock != "" && Abandoned(r.Lock)
}

// Abandoned reports whether a lock file exists and nobody holds it.
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
