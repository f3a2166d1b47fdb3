package file

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// linkUnnamed writes body to an unnamed file in dir, makes it durable and gives it
// the name of path. The name is not durable yet. Errors: fs.ErrExist,
// errUnsupported, fs.ErrNotExist if dir has been removed, and what the disk says.
//
// It makes its system calls itself: an os.File costs allocations and a poller
// registration, and this is the hot path of every commit.
func linkUnnamed(dir *dirHandle, path string, body []byte) error {
	dirFD := int(dir.Fd())
	fd, err := dir.spare.take(dir.File)
	switch err {
	case nil:
	case unix.EOPNOTSUPP, unix.EISDIR, unix.EINVAL:
		return errUnsupported
	default:
		if removed(dirFD) { // ext4 says EPERM, others ENOENT
			err = unix.ENOENT
		}
		return &fs.PathError{Op: "create in", Path: dir.Name(), Err: err}
	}
	defer unix.Close(fd)

	for rest := body; len(rest) > 0; {
		n, err := retry(func() (int, error) { return unix.Write(fd, rest) })
		if err != nil {
			return &fs.PathError{Op: "write", Path: path, Err: err}
		}
		rest = rest[n:]
	}
	if _, err := retry(func() (int, error) { return 0, unix.Fdatasync(fd) }); err != nil {
		return &fs.PathError{Op: "fdatasync", Path: path, Err: err}
	}
	if err := linkFD(fd, dirFD, filepath.Base(path)); err != nil {
		if errors.Is(err, errUnsupported) {
			return err
		}
		return &fs.PathError{Op: "link", Path: path, Err: err}
	}
	return nil
}

// linkFD names the open unnamed file fd. The way through /proc needs no privilege
// but a mounted /proc; the other needs CAP_DAC_READ_SEARCH or Linux 6.10.
func linkFD(fd, dirFD int, name string) error {
	err := unix.Linkat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fd), dirFD, name, unix.AT_SYMLINK_FOLLOW)
	if err != unix.ENOENT {
		return err
	}
	if removed(dirFD) {
		return err // the directory is gone, not /proc
	}
	if err := unix.Linkat(fd, "", dirFD, name, unix.AT_EMPTY_PATH); err != unix.ENOENT {
		return err
	}
	return errUnsupported
}

// removed reports whether an open directory has no name any more.
func removed(dirFD int) bool {
	var st unix.Stat_t
	return unix.Fstat(dirFD, &st) == nil && st.Nlink == 0
}

// syncData makes the content and the size of f durable, not its times.
func syncData(f *os.File) error {
	if _, err := retry(func() (int, error) { return 0, unix.Fdatasync(int(f.Fd())) }); err != nil {
		return &fs.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
	}
	return nil
}

// syncDir makes the names in an open directory durable.
func syncDir(dir *os.File) error { return dir.Sync() }

// retry repeats a call that a signal interrupted.
func retry(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); err != unix.EINTR {
			return n, err
		}
	}
}
