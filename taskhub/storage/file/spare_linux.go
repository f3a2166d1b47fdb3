package file

import (
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// spareFile is the next unnamed file of a directory that is written to again and again,
// such as a log: finding a free inode takes ext4 most of a millisecond when many files
// were deleted lately, so it is done after a Create and not before the next one. An
// unnamed file goes with its process; nothing has to be swept.
type spareFile struct {
	creates atomic.Int32 // Creates in this directory so far, up to spareAfter
	fd      atomic.Int64 // of the unnamed file plus 1; 0: none, -1: closed
}

// spareAfter is the number of Creates from which a directory is worth a spare.
const spareAfter = 8

// take opens an unnamed file in dir, or takes the one that was prepared.
func (s *spareFile) take(dir *os.File) (fd int, err error) {
	for {
		fd := s.fd.Load()
		if fd <= 0 {
			return openUnnamed(dir)
		}
		if s.fd.CompareAndSwap(fd, 0) {
			return int(fd - 1), nil
		}
	}
}

// due reports whether a spare is to be prepared now.
func (s *spareFile) due() bool {
	if s.fd.Load() != 0 {
		return false
	}
	return s.creates.Load() >= spareAfter || s.creates.Add(1) >= spareAfter
}

// prepare opens the spare. Without one the next Create opens its file itself, and tells
// the error.
func (s *spareFile) prepare(dir *os.File) {
	fd, err := openUnnamed(dir)
	if err == nil && !s.fd.CompareAndSwap(0, int64(fd)+1) {
		_ = unix.Close(fd) // somebody else was faster, or the directory is closed
	}
}

func (s *spareFile) close() {
	if fd := s.fd.Swap(-1); fd > 0 {
		_ = unix.Close(int(fd - 1)) // it holds nothing
	}
}

func openUnnamed(dir *os.File) (int, error) {
	dirFD := int(dir.Fd())
	return retry(func() (int, error) {
		return unix.Openat(dirFD, ".", unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, filePerm)
	})
}
