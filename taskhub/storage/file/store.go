// Package file is a storage.Store in a directory: the embedded default, safe for
// several processes on one machine.
//
// An object is one file, its key the path below the directory. Names that hold a
// '~' are ours (no key may contain it): ~tmp has files being written, ~lock the
// lock files.
//
//   - A name appears only after its bytes are on disk, and an acknowledged Create
//     or Replace has its name on disk too, as have the folders above it. A reader
//     never sees half an object; after a power cut neither does recovery.
//   - Create links an unnamed file (O_TMPFILE) to its name, so that the kernel picks
//     the winner of a race and a crash leaves nothing to sweep. Where that is
//     refused it writes to ~tmp, links and unlinks; Open sweeps what a crash left.
//   - Replace and Delete hold one of 64 lock files (flock) chosen by the key. A
//     process that is stopped while it holds one delays the others of that stripe
//     until their contexts end; it can never write beside them.
//   - A Delete is not synced: the protocols above delete only what nothing refers
//     to, and a deletion that a power cut undid is garbage, not a lie.
//
// Tags are content hashes. List leaves Entry.Tag empty, it would have to read all
// files. Empty folders stay. Use a local file system: the guarantees are those of
// its fsync, link and flock.
package file

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/durafunc/durafunc/taskhub/storage"
)

const (
	tmpDir  = "~tmp"
	lockDir = "~lock"

	// leftoverAge is how old a file in ~tmp must be before Open removes it. A
	// write takes milliseconds; an hour outlasts a process that was suspended.
	leftoverAge = time.Hour

	filePerm = 0o640
	dirPerm  = 0o750
)

// Store is a storage.Store in a directory. Use Open.
type Store struct {
	root       string
	dirs       dirCache
	locks      [stripes]stripe
	noUnnamed  atomic.Bool   // this file system refuses O_TMPFILE
	tmpCounter atomic.Uint64 // makes names in ~tmp unique within the process
}

var _ storage.Store = (*Store)(nil)

// Open returns the store in dir, which is made if it is missing. It removes
// temporary files older than an hour. The error is storage.ErrDenied when the
// directory cannot be written, and always names the path.
func Open(dir string) (*Store, error) {
	root, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("file: open %s: %w", dir, err)
	}
	s := &Store{root: root}
	s.dirs.open = make(map[string]*dirHandle)
	for i := range s.locks {
		s.locks[i].init(filepath.Join(root, lockDir, fmt.Sprintf("%02x", i)))
	}
	for _, d := range []string{root, filepath.Join(root, tmpDir), filepath.Join(root, lockDir)} {
		if err := makeRoot(d); err != nil {
			return nil, fmt.Errorf("file: open %s: %w", dir, verdict(err))
		}
	}
	if err := s.sweep(time.Now().Add(-leftoverAge)); err != nil {
		return nil, fmt.Errorf("file: open %s: %w", dir, verdict(err))
	}
	return s, nil
}

// Close gives back the file descriptors that the store keeps open. Requests in
// flight finish; later ones work too, but keep descriptors open again.
func (s *Store) Close() error {
	errs := []error{s.dirs.close()}
	for i := range s.locks {
		errs = append(errs, s.locks[i].close())
	}
	return errors.Join(errs...)
}

// String names the store in errors of the probe.
func (s *Store) String() string { return "the directory " + s.root }

// Get implements storage.Store. The caller owns the returned slice.
func (s *Store) Get(ctx context.Context, key string) ([]byte, storage.Tag, error) {
	if err := check(ctx, key, nil); err != nil {
		return nil, "", fail("get", key, err)
	}
	body, tag, err := s.read(key)
	if err != nil {
		return nil, "", fail("get", key, err)
	}
	return body, tag, nil
}

// read returns the object, or storage.ErrNotFound.
func (s *Store) read(key string) ([]byte, storage.Tag, error) {
	body, err := os.ReadFile(s.path(key))
	if absent(err) {
		return nil, "", storage.ErrNotFound
	}
	if err != nil {
		return nil, "", verdict(err)
	}
	return body, tagOf(body), nil
}

// Delete implements storage.Store.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := check(ctx, key, nil); err != nil {
		return fail("delete", key, err)
	}
	// Under the lock of Replace, whose rename would bring the object back.
	unlock, err := s.lock(ctx, key)
	if err != nil {
		return fail("delete", key, err)
	}
	defer unlock()
	path := s.path(key)
	info, err := os.Lstat(path)
	if absent(err) || err == nil && info.IsDir() {
		return nil // os.Remove would take an empty folder for an object
	}
	if err == nil {
		err = os.Remove(path)
	}
	if err != nil && !absent(err) {
		return fail("delete", key, verdict(err))
	}
	return nil
}

// path is the file of a checked key.
func (s *Store) path(key string) string {
	return filepath.Join(s.root, filepath.FromSlash(key))
}

// sweep removes temporary files that were last written before the given time.
func (s *Store) sweep(before time.Time) error {
	entries, err := os.ReadDir(filepath.Join(s.root, tmpDir))
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.ModTime().Before(before) {
			continue // gone, or possibly still being written
		}
		// Another process may sweep at the same time, and a leftover that
		// cannot be removed harms nobody.
		os.Remove(filepath.Join(s.root, tmpDir, e.Name()))
	}
	return nil
}

// tagOf is a hash of the content: a reader computes it from what it read, so that
// body and tag are always of one version. Inode and time would not do: both can
// come back within a clock tick.
func tagOf(body []byte) storage.Tag {
	sum := sha256.Sum256(body)
	return storage.Tag(hex.EncodeToString(sum[:16]))
}

// absent reports whether err means that no object has the key: nothing is there, a
// folder is, or a part of the path is an object.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EISDIR)
}

// verdict adds storage.ErrDenied to what retrying does not cure. The error itself
// names the path.
func verdict(err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("%w: %w", storage.ErrDenied, err)
	}
	return err
}

// check holds what every verb refuses before it looks at the disk.
func check(ctx context.Context, key string, body []byte) error {
	if err := storage.CheckKey(key); err != nil {
		return err
	}
	if len(body) > storage.MaxObject {
		return fmt.Errorf("%w: %d bytes, at most %d", storage.ErrTooLarge, len(body), storage.MaxObject)
	}
	return ctx.Err()
}

func fail(verb, key string, err error) error {
	return fmt.Errorf("file: %s %s: %w", verb, key, err)
}
