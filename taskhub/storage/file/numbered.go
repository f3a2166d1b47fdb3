package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/storage/file/journal"
)

// numbered is the journal that may hold key, with its number there; nil for other keys, and
// on systems whose O_APPEND it was not tested with.
func (s *Store) numbered(key string) (*journal.Journal, uint64) {
	path := s.path(key)
	n, ok := journal.Number(filepath.Base(path))
	if !ok || runtime.GOOS != "linux" {
		return nil, 0
	}
	return s.journal(filepath.Dir(path)), n
}

// maxJournals bounds the journals kept open. A hub has one a partition.
const maxJournals = 256

// openJournal is a journal, and when it was last asked for, in requests for any.
type openJournal struct {
	*journal.Journal
	used int64
}

// journal is the journal of a folder, which may have none.
func (s *Store) journal(dir string) *journal.Journal {
	s.journalsMu.Lock()
	defer s.journalsMu.Unlock()
	s.journalsUsed++
	j := s.journals[dir]
	if j == nil {
		if len(s.journals) >= maxJournals {
			s.closeIdlest()
		}
		j = &openJournal{Journal: journal.New(dir, folder{s})}
		s.journals[dir] = j
	}
	j.used = s.journalsUsed
	return j.Journal
}

// closeIdlest closes the journal that nobody has asked for the longest. One who still uses it
// opens it again; a write that waits for the disk then does not learn what came of it.
func (s *Store) closeIdlest() {
	idlest, used := "", int64(math.MaxInt64)
	for dir, j := range s.journals {
		if j.used < used {
			idlest, used = dir, j.used
		}
	}
	s.journals[idlest].Close()
	delete(s.journals, idlest)
}

// settled maps the errors of a journal. plain says that it holds nothing: the folder has
// objects in files of their own, which older versions made.
func settled(err error) (plain bool, _ error) {
	switch {
	case err == nil:
		return false, nil
	case errors.Is(err, journal.ErrPlain):
		return true, nil
	case errors.Is(err, journal.ErrConflict):
		return false, storage.ErrConflict
	case errors.Is(err, journal.ErrDamaged):
		return false, damaged{err}
	}
	return false, verdict(err)
}

// damaged is a storage.ErrDamaged.
type damaged struct{ error }

func (damaged) Is(target error) bool { return target == storage.ErrDamaged }

// folder makes the files of journals.
type folder struct{ s *Store }

var _ journal.Folder = folder{}

// Make implements journal.Folder. Without a mark: the file is about to grow.
func (f folder) Make(path string, body []byte) error {
	for attempt := 0; ; attempt++ {
		dir, err := f.s.openDir(filepath.Dir(path))
		if errors.Is(err, syscall.ENOTDIR) || errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%w: an object is in the place of the folder %s", storage.ErrInvalidKey, filepath.Dir(path))
		}
		if err != nil {
			return err
		}
		err = f.s.linkTemp(context.Background(), path, body)
		f.s.dirs.release(dir)
		if errors.Is(err, fs.ErrNotExist) && attempt == 0 {
			f.s.dirs.forget(filepath.Dir(path)) // removed by hand, under our handle
			continue
		}
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	}
}

// Sync implements journal.Folder.
func (f folder) Sync(path string) error {
	dir, err := f.s.openDir(path)
	if err != nil {
		return err
	}
	defer f.s.dirs.release(dir)
	return syncDir(dir.File)
}
