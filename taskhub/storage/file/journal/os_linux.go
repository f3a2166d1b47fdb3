package journal

import (
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// appendOnce is one write(2): the kernel puts all of it in one place, whoever else appends.
func appendOnce(file *os.File, b []byte) (n int, err error) {
	err = control(file, func(fd int) (err error) {
		n, err = unix.Write(fd, b)
		for err == unix.EINTR { // nothing was written
			n, err = unix.Write(fd, b)
		}
		return err
	})
	return n, err
}

// allocate gets blocks beyond the end of a file. That it fails, where this is not possible or
// the disk is full, is reported by the write itself.
func allocate(file *os.File, from, size int64) {
	_ = control(file, func(fd int) error { return unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, from, size) })
}

// syncData makes the content and the size of a file durable.
func syncData(file *os.File) error {
	return control(file, func(fd int) error {
		for {
			if err := unix.Fdatasync(fd); err != unix.EINTR {
				return err
			}
		}
	})
}

// removed reports whether an open file has no name any more.
func removed(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Nlink == 0
}

// control runs f with the descriptor of an open file.
func control(file *os.File, f func(fd int) error) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if raw.Control(func(fd uintptr) { failed = f(int(fd)) }) != nil {
		return os.ErrClosed // its only reason
	}
	return failed
}
