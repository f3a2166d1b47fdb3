//go:build !linux

package file

// FileSystem is "": only Linux is asked for the kind of a file system.
func (s *Store) FileSystem() string { return "" }
