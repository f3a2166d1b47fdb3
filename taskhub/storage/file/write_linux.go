package file

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// linkUnnamed makes body durable under path, by way of an unnamed file in dir. Errors:
// fs.ErrExist, errUnsupported, fs.ErrNotExist if dir has been removed, and what the
// disk says. After an error of the last sync the file has its name and keeps its mark.
//
// With a mark this takes one sync, without one two: before and after the link. That the
// sync of a file that was just linked makes the name durable too is known (syncsName) of
//
//   - ext4 with a journal: ext4_link changes the inode (its link count) and the
//     directory under one handle, and ext4_sync_file waits for the commit of the
//     inode's last transaction (i_sync_tid; fs/ext4/namei.c, fsync.c).
//   - ext4 without one: ext4_add_entry sets EXT4_STATE_NEWENTRY, for which
//     ext4_sync_parent writes the directory after the inode. (A sync of the
//     directory alone leaves an unnamed file's link count of 0 on disk there, and
//     e2fsck takes the name away again; so the file is synced last in any case.)
//   - xfs: xfs_link logs inode and directory in one transaction, and xfs_file_fsync
//     forces the log up to the inode's last one (ili_commit_seq).
//
// It makes its system calls itself: an os.File costs allocations and a poller
// registration, and this is the hot path of every commit.
func (s *Store) linkUnnamed(ctx context.Context, dir *dirHandle, path string, body []byte, sum digest) error {
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
	marked := s.marks && setMark(fd, sum.mark()) == nil
	if !marked {
		if _, err := retry(func() (int, error) { return 0, unix.Fdatasync(fd) }); err != nil {
			return &fs.PathError{Op: "fdatasync", Path: path, Err: err}
		}
	}
	if err := inTime(ctx); err != nil {
		return err
	}
	if err := linkFD(fd, dirFD, filepath.Base(path)); err != nil {
		if errors.Is(err, errUnsupported) {
			return err
		}
		return &fs.PathError{Op: "link", Path: path, Err: err}
	}
	if _, err := retry(func() (int, error) { return 0, unix.Fsync(fd) }); err != nil {
		return &fs.PathError{Op: "fsync", Path: path, Err: err}
	}
	if marked {
		// Not synced: a mark that a power cut brings back matches its file.
		_ = clearMark(fd)
	}
	if !s.syncsName {
		return syncDir(dir.File)
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
