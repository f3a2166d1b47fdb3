package file

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
)

// maxOpenDirs bounds the directories kept open. A hub has three a partition.
const maxOpenDirs = 256

// dirCache keeps the directories of recent writes open: a commit then needs
// neither a path walk nor an open to sync its directory, and a directory in the
// cache is known to be durable itself.
type dirCache struct {
	mu   sync.Mutex
	open map[string]*dirHandle // by path
}

// dirHandle is an open directory. refs and evicted belong to the cache's mutex; the
// file is closed when it is evicted and the last user has let go.
type dirHandle struct {
	*os.File
	refs    int
	evicted bool
	spare   spareFile
}

// Close closes the directory and what was prepared in it.
func (h *dirHandle) Close() error {
	h.spare.close()
	return h.File.Close()
}

// openDir returns the directory at path, which lies in the store, and makes it if
// it is missing. Every call is paired with one of release.
func (s *Store) openDir(path string) (*dirHandle, error) {
	if h := s.dirs.get(path); h != nil {
		return h, nil
	}
	if err := os.MkdirAll(path, dirPerm); err != nil {
		return nil, err
	}
	// Sync the folders above, whoever made them: another process that just made
	// one may not have come to its sync, and our acknowledgement depends on it.
	for below := path; below != s.root; {
		below = filepath.Dir(below)
		if err := syncPath(below); err != nil {
			return nil, err
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return s.dirs.put(path, f), nil
}

func (c *dirCache) get(path string) *dirHandle {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.open[path]
	if h != nil {
		h.refs++
	}
	return h
}

// put adds f to the cache, or closes it if somebody was faster, and evicts any
// other directory when there are too many.
func (c *dirCache) put(path string, f *os.File) *dirHandle {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.open[path]; h != nil {
		f.Close()
		h.refs++
		return h
	}
	if len(c.open) >= maxOpenDirs {
		for victim := range c.open {
			_ = c.evict(victim) // a directory that was only read from: nothing is lost
			break
		}
	}
	h := &dirHandle{File: f, refs: 1}
	c.open[path] = h
	return h
}

func (c *dirCache) release(h *dirHandle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h.refs--
	if h.evicted && h.refs == 0 {
		_ = h.Close() // a directory that was only read from: nothing is lost
	}
}

// forget drops a directory that turned out to be removed from under us.
func (c *dirCache) forget(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.evict(path)
}

func (c *dirCache) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for path := range c.open {
		errs = append(errs, c.evict(path))
	}
	return errors.Join(errs...)
}

// evict is called with the mutex held.
func (c *dirCache) evict(path string) error {
	h := c.open[path]
	if h == nil {
		return nil
	}
	delete(c.open, path)
	h.evicted = true
	if h.refs == 0 {
		return h.Close()
	}
	return nil
}

// makeRoot makes the directory at path with all above it that is missing, durably.
func makeRoot(path string) error {
	var missing []string
	for dir := path; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); err == nil || filepath.Dir(dir) == dir {
			break
		}
		missing = append(missing, dir)
	}
	if err := os.MkdirAll(path, dirPerm); err != nil {
		return err
	}
	for _, dir := range missing {
		if err := syncPath(filepath.Dir(dir)); err != nil {
			return err
		}
	}
	return nil
}

// syncPath makes the names in a directory durable.
func syncPath(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return syncDir(d)
}
