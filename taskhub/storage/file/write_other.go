//go:build !linux

package file

import (
	"context"
	"os"
	"runtime"
)

// linkUnnamed is a Linux feature; elsewhere linkTemp does the work.
func (s *Store) linkUnnamed(context.Context, *dirHandle, string, []byte, digest) error {
	return errUnsupported
}

// spareFile is a Linux feature too.
type spareFile struct{}

func (*spareFile) due() bool        { return false }
func (*spareFile) prepare(*os.File) {}
func (*spareFile) close()           {}

// syncData makes the content of f durable.
func syncData(f *os.File) error { return f.Sync() }

// syncDir makes the names in an open directory durable. Windows cannot sync a
// directory handle; NTFS journals names by itself.
func syncDir(dir *os.File) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	return dir.Sync()
}
