package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/durafunc/durafunc/taskhub/storage"
)

// errUnsupported means that the file system cannot link unnamed files.
var errUnsupported = errors.New("unnamed files are not supported")

// Create implements storage.Store.
func (s *Store) Create(ctx context.Context, key string, body []byte) (storage.Tag, error) {
	if err := check(ctx, key, body); err != nil {
		return "", fail("create", key, err)
	}
	sum := sumOf(body)
	if j, n := s.numbered(key); j != nil {
		err := j.Create(n, body, sum.start(), func() error { return inTime(ctx) })
		if plain, err := settled(err); !plain {
			if err != nil {
				return "", fail("create", key, err)
			}
			return sum.tag(), nil
		}
	}
	err := s.create(ctx, s.path(key), body, sum)
	for errors.Is(err, errTorn) {
		if err = s.discard(ctx, key); err == nil {
			err = s.create(ctx, s.path(key), body, sum)
		}
	}
	if err != nil {
		return "", fail("create", key, err)
	}
	return sum.tag(), nil
}

// create links body to path and syncs the name, in a directory that may have to be
// made first, or made again: somebody may have removed a hub under our handle.
// errTorn means that a power cut left something at path, to be discarded.
func (s *Store) create(ctx context.Context, path string, body []byte, sum digest) error {
	dirPath := filepath.Dir(path)
	for attempt := 0; ; attempt++ {
		dir, err := s.openDir(dirPath)
		if errors.Is(err, syscall.ENOTDIR) || errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%w: an object is in the place of the folder %s", storage.ErrInvalidKey, dirPath)
		}
		if err != nil {
			return verdict(err)
		}
		err = s.createIn(ctx, dir, path, body, sum)
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
func (s *Store) createIn(ctx context.Context, dir *dirHandle, path string, body []byte, sum digest) error {
	err := errUnsupported
	if !s.noUnnamed.Load() {
		if err = s.linkUnnamed(ctx, dir, path, body, sum); errors.Is(err, errUnsupported) {
			s.noUnnamed.Store(true)
		}
	}
	if errors.Is(err, errUnsupported) {
		if err = s.linkTemp(ctx, path, body); err == nil {
			err = syncDir(dir.File)
		}
	}
	if errors.Is(err, fs.ErrExist) {
		return conflict(dir, path)
	}
	if err != nil {
		return verdict(err)
	}
	return nil
}

// conflict makes durable what exists at path before it says storage.ErrConflict. The
// object may be our own, of an attempt whose sync failed, and the caller will take
// a conflict with itself for an acknowledgement.
func conflict(dir *dirHandle, path string) error {
	if err := settle(path); err != nil && !absent(err) {
		return verdict(err)
	}
	if err := syncDir(dir.File); err != nil { // its writer may have no marks
		return err
	}
	if info, err := os.Lstat(path); err == nil && info.IsDir() {
		return fmt.Errorf("%w: %s is a folder of other objects", storage.ErrInvalidKey, path)
	}
	return storage.ErrConflict
}

// linkTemp is linkUnnamed for any file system with hard links: one directory
// operation more, and a leftover if the process dies in between.
func (s *Store) linkTemp(ctx context.Context, path string, body []byte) error {
	tmp, err := s.writeTemp(body)
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	if err := inTime(ctx); err != nil {
		return err
	}
	return os.Link(tmp, path)
}

// Replace implements storage.Store.
func (s *Store) Replace(ctx context.Context, key string, old storage.Tag, body []byte) (storage.Tag, error) {
	if err := check(ctx, key, body); err != nil {
		return "", fail("replace", key, err)
	}
	sum := sumOf(body)
	if j, n := s.numbered(key); j != nil {
		is := func(b []byte) bool { return sumOf(b).tag() == old }
		err := j.Replace(n, is, body, sum.start(), func() error { return inTime(ctx) })
		if plain, err := settled(err); !plain {
			if err != nil {
				return "", fail("replace", key, err)
			}
			return sum.tag(), nil
		}
	}
	if err := s.replace(ctx, key, old, body); err != nil {
		return "", fail("replace", key, err)
	}
	return sum.tag(), nil
}

// replace does under the lock of the key only what must be one step. All that waits for
// the disk comes before and after: a process that is stopped while it holds the lock keeps
// every other one out, and could not even be evicted, since that takes a Replace too.
func (s *Store) replace(ctx context.Context, key string, old storage.Tag, body []byte) error {
	if err := inTime(ctx); err != nil {
		return err // before any verdict on the key
	}
	path := s.path(key)
	err := stands(path, old)
	if err == nil {
		var tmp string
		if tmp, err = s.writeTemp(body); err != nil {
			return verdict(err)
		}
		if err = s.swap(ctx, key, old, tmp); err != nil {
			os.Remove(tmp)
		}
	}
	if err != nil && !errors.Is(err, storage.ErrConflict) {
		return err
	}
	// Before a conflict too, see there. Who reads or replaces the new version before this
	// sync is no worse off: a writer syncs the directory itself, and a power cut that takes
	// the version back takes down every process that could have read it.
	if failed := syncPath(filepath.Dir(path)); failed != nil && (err == nil || !absent(failed)) {
		return verdict(failed)
	}
	return err
}

// swap puts the file tmp in the place of the version old of key.
func (s *Store) swap(ctx context.Context, key string, old storage.Tag, tmp string) error {
	unlock, err := s.lock(ctx, key)
	if err != nil {
		return err
	}
	defer unlock()
	path := s.path(key)
	if err := stands(path, old); err != nil {
		return err
	}
	if err := inTime(ctx); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return verdict(err)
	}
	return nil
}

// stands returns storage.ErrConflict unless the object at path is of version old.
func stands(path string, old storage.Tag) error {
	_, sum, err := read(path)
	switch {
	case errors.Is(err, storage.ErrNotFound), errors.Is(err, errTorn):
		return storage.ErrConflict
	case err != nil:
		return err
	case sum.tag() != old:
		return storage.ErrConflict
	}
	return nil
}

// inTime refuses what comes after the moment of storage.Until. It is asked when the bytes
// are written, right before the one call that gives them their name.
func inTime(ctx context.Context) error { return storage.CheckDeadline(ctx, time.Now()) }

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
