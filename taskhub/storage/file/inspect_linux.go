package file

import "golang.org/x/sys/unix"

// FileSystem is the kind of file system that the store lies on, as the kernel names it
// ("ext4", "nfs4"); "" if that cannot be found out.
func (s *Store) FileSystem() string {
	var st unix.Stat_t
	if unix.Stat(s.root, &st) != nil {
		return ""
	}
	return fileSystem(st.Dev)
}
