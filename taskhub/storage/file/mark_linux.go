package file

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// markName is the extended attribute of a mark. It is short because the spare room of
// a 256-byte inode of ext4 has to do for it, beside a label of SELinux.
const markName = "user.dfun"

func setMark(fd int, m mark) error {
	_, err := retry(func() (int, error) { return 0, unix.Fsetxattr(fd, markName, m[:], 0) })
	return err
}

func clearMark(fd int) error {
	_, err := retry(func() (int, error) { return 0, unix.Fremovexattr(fd, markName) })
	if unmarked(err) { // somebody else settled the file
		return nil
	}
	return err
}

// markOf returns the mark of f, or nil.
func markOf(f *os.File) (*mark, error) {
	var m mark
	n, err := retry(func() (int, error) { return unix.Fgetxattr(int(f.Fd()), markName, m[:]) })
	if unmarked(err) {
		return nil, nil
	}
	if err != nil {
		return nil, &fs.PathError{Op: "fgetxattr", Path: f.Name(), Err: err}
	}
	if n != len(m) {
		return nil, fmt.Errorf("%s: attribute %s has %d bytes, want %d", f.Name(), markName, n, len(m))
	}
	return &m, nil
}

// hasMark reports whether the file at path has a mark, which it almost never has, for
// the price of one system call.
func hasMark(path string) (bool, error) {
	_, err := retry(func() (int, error) { return unix.Lgetxattr(path, markName, nil) })
	if unmarked(err) {
		return false, nil
	}
	if err != nil {
		return false, &fs.PathError{Op: "lgetxattr", Path: path, Err: err}
	}
	return true, nil
}

// unmarked reports whether err says that there is no attribute, or can be none.
func unmarked(err error) bool {
	return errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP)
}

// probeSyncs reports whether root is on a file system of which linkUnnamed knows that it
// syncs the name with the file, and whether files there can carry marks as well.
func probeSyncs(root string) (syncsName, marks bool) {
	dir, err := os.Open(root)
	if err != nil {
		return false, false
	}
	defer dir.Close()
	var st unix.Stat_t
	if unix.Fstat(int(dir.Fd()), &st) != nil {
		return false, false
	}
	if kind := fileSystem(st.Dev); kind != "ext4" && kind != "xfs" {
		return false, false
	}
	fd, err := openUnnamed(dir)
	if err != nil {
		return true, false
	}
	defer unix.Close(fd)
	// A mark must lie in the inode, so that it reaches the disk with the link
	// count. One that takes a block of its own could be lost without a journal.
	return true, setMark(fd, mark{}) == nil && unix.Fstat(fd, &st) == nil && st.Blocks == 0
}

// fileSystem names the kind of the file system of a device, "" if it is not known.
// The magic number of statfs would not tell ext4 from ext2, which the driver of that
// name does not sync like ext4.
func fileSystem(device uint64) string {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	want := fmt.Appendf(nil, "%d:%d", unix.Major(device), unix.Minor(device))
	for line := range bytes.Lines(mounts) {
		// Fields as in proc_pid_mountinfo(5): the third is the device, the kind
		// comes after a field "-" that ends the optional ones.
		before, after, found := bytes.Cut(line, []byte(" - "))
		fields, kind := bytes.Fields(before), bytes.Fields(after)
		if found && len(fields) > 2 && len(kind) > 0 && bytes.Equal(fields[2], want) {
			return string(kind[0])
		}
	}
	return ""
}
