package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/durafunc/durafunc/taskhub/storage"
)

// errUnsupported means that the file system cannot link unnamed files.
var errUnsupported = errors.New("unnamed files are not supported")

// Create implements storage.Store.
func (s *Store) Create(ctx context.Context, key string, body []byte) (storage.Tag, error) {
	if err := check(ctx, key, body); err != nil {
		return "", fail("create", key, err)
	}
	if err := s.create(s.path(key), body); err != nil {
		return "", fail("create", key, err)
	}
	return tagOf(body), nil
}

// create links body to path and syncs the name, in a directory that may have to be
// made first, or made again: somebody may have removed a hub under our handle.
func (s *Store) create(path string, body []byte) error {
	dirPath := filepath.Dir(path)
	for attempt := 0; ; attempt++ {
		dir, err := s.openDir(dirPath)
		if errors.Is(err, syscall.ENOTDIR) || errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%w: an object is in the place of the folder %s", storage.ErrInvalidKey, dirPath)
		}
		if err != nil {
			return verdict(err)
		}
		err = s.createIn(dir, path, body)
		if err == nil && !s.noUnnamed.Load() && dir.spare.due() {
			go func() {
				dir.spare.prepare(dir.File)
				s.dirs.release(dir)
			}()
		} else {
			s.dirs.release(dir)
		}
		if errors.Is(err, fs.ErrNotExist) && attempt == 0 {
			s.dirs.forget(dirPath)
			continue
		}
		return err
	}
}

// createIn returns nil once body is durable under path.
func (s *Store) createIn(dir *dirHandle, path string, body []byte) error {
	err := errUnsupported
	if !s.noUnnamed.Load() {
		if err = linkUnnamed(dir, path, body); errors.Is(err, errUnsupported) {
			s.noUnnamed.Store(true)
		}
	}
	if errors.Is(err, errUnsupported) {
		err = s.linkTemp(path, body)
	}
	exists := errors.Is(err, fs.ErrExist)
	if err != nil && !exists {
		return verdict(err)
	}
	// Sync before a conflict is told, too. The object may be our own, of an
	// attempt that failed at this very place, and the caller will take a
	// conflict with itself for an acknowledgement.
	if err := syncDir(dir.File); err != nil {
		return err
	}
	if !exists {
		return nil
	}
	if info, err := os.Lstat(path); err == nil && info.IsDir() {
		return fmt.Errorf("%w: %s is a folder of other objects", storage.ErrInvalidKey, path)
	}
	return storage.ErrConflict
}

// linkTemp is linkUnnamed for any file system with hard links: one directory
// operation more, and a leftover if the process dies in between.
func (s *Store) linkTemp(path string, body []byte) error {
	tmp, err := s.writeTemp(body)
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	return os.Link(tmp, path)
}

// Replace implements storage.Store.
func (s *Store) Replace(ctx context.Context, key string, old storage.Tag, body []byte) (storage.Tag, error) {
	if err := check(ctx, key, body); err != nil {
		return "", fail("replace", key, err)
	}
	unlock, err := s.lock(ctx, key)
	if err != nil {
		return "", fail("replace", key, err)
	}
	defer unlock()
	if err := s.replace(key, old, body); err != nil {
		return "", fail("replace", key, err)
	}
	return tagOf(body), nil
}

// replace is called under the lock of the key.
func (s *Store) replace(key string, old storage.Tag, body []byte) error {
	_, tag, err := s.read(key)
	if errors.Is(err, storage.ErrNotFound) {
		return storage.ErrConflict
	}
	if err != nil {
		return err
	}
	path := s.path(key)
	dir, err := s.openDir(filepath.Dir(path))
	if err != nil {
		return verdict(err)
	}
	defer s.dirs.release(dir)
	if tag == old {
		tmp, err := s.writeTemp(body)
		if err != nil {
			return verdict(err)
		}
		if err := os.Rename(tmp, path); err != nil {
			os.Remove(tmp)
			return verdict(err)
		}
	}
	if err := syncDir(dir.File); err != nil { // before a conflict too, see createIn
		return err
	}
	if tag != old {
		return storage.ErrConflict
	}
	return nil
}

// writeTemp writes body to a new file in ~tmp, its data durable, and returns its
// path. The name holds the process and a counter; O_EXCL settles the rest.
func (s *Store) writeTemp(body []byte) (path string, err error) {
	var f *os.File
	for {
		path = filepath.Join(s.root, tmpDir, fmt.Sprintf("%d-%d", os.Getpid(), s.tmpCounter.Add(1)))
		f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, filePerm)
		if !errors.Is(err, fs.ErrExist) {
			break // else a leftover of a dead process with our pid
		}
	}
	if err != nil {
		return "", err
	}
	_, err = f.Write(body)
	if err == nil {
		err = syncData(f)
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		os.Remove(path)
		return "", err
	}
	return path, nil
}
