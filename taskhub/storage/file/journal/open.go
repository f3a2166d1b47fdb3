package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// open reads the journal from its beginning: the last row of segments without a gap. Empty
// ones before it were made by processes that had been stopped before they made them.
func (j *Journal) open() error {
	for {
		if plain, err := j.isPlain(); err != nil {
			return err
		} else if plain {
			return ErrPlain
		}
		numbers, err := j.after(0)
		if errors.Is(err, ErrPlain) {
			// Whoever makes the first segment decides, for all who saw the folder before or
			// after its files.
			if err := j.folder.Make(j.path(1), newPlainPage()); err != nil {
				return unmarked{err}
			}
			continue
		}
		if err != nil || len(numbers) == 0 {
			return err
		}
		row, again, err := j.row(numbers)
		if err != nil {
			return err
		}
		if again {
			continue
		}
		for _, n := range row {
			if err = j.load(n); err != nil {
				break
			}
		}
		if err == nil && j.lastSegment().end == firstFrame {
			// The same once more: one that was made again after the folder was read.
			if numbers, err = j.after(j.lastSegment().number); err == nil && len(numbers) > 0 {
				err = fs.ErrNotExist
			}
		}
		if err == nil {
			return nil
		}
		j.reset()
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		// Removed meanwhile: look again.
	}
}

// isPlain reports whether the first segment states that the folder has no journal. One that
// was made when there was a journal already, by a process that had been stopped, is removed.
func (j *Journal) isPlain() (bool, error) {
	if !isPlain(j.path(1)) {
		return false, nil
	}
	if j.plain {
		return true, nil
	}
	later, err := j.after(1)
	if err != nil {
		return false, err
	}
	if j.plain = len(later) == 0; j.plain {
		return true, nil
	}
	_ = os.Remove(j.path(1)) // or row skips it
	return false, nil
}

// unmarked is an ErrPlain of a folder in which that cannot be noted: one may read there, and
// not write, since another may make it a journal.
type unmarked struct{ error }

func (unmarked) Is(target error) bool { return target == ErrPlain }

// row is the part of a listing that is the journal. again says that the folder has changed
// meanwhile.
func (j *Journal) row(numbers []uint64) (row []uint64, again bool, err error) {
	first := len(numbers) - 1
	for first > 0 && numbers[first-1] == numbers[first]-1 {
		first--
	}
	gap := numbers[first] - 1
	if first > 0 {
		if _, err := os.Lstat(j.path(gap)); !errors.Is(err, fs.ErrNotExist) {
			return nil, true, err // it was made while the folder was read
		}
	}
	for i, n := range numbers[:len(numbers)-1] {
		switch empty, err := neverUsed(j.path(n)); {
		case errors.Is(err, fs.ErrNotExist):
			return nil, true, nil
		case err != nil:
			return nil, false, err
		case !empty && i < first:
			return nil, false, fmt.Errorf("%w: %s is missing", ErrDamaged, j.path(gap))
		case !empty: // one that is complete ends in its seal
			return numbers[i:], false, nil
		}
		_ = os.Remove(j.path(n)) // or it is skipped again
	}
	return numbers[len(numbers)-1:], false, nil
}

// after lists the segments with numbers above n. ErrPlain if there are none but objects in
// files of their own.
func (j *Journal) after(n uint64) (numbers []uint64, err error) {
	entries, err := os.ReadDir(j.dir) // sorted
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	plain, any := false, false
	for _, e := range entries {
		if IsSegment(e.Name()) {
			any = true
			if k, _ := Number(e.Name()[1:]); k > n {
				numbers = append(numbers, k)
			}
		} else if _, ok := Number(e.Name()); ok && e.Type().IsRegular() {
			plain = true
		}
	}
	if plain && !any {
		return nil, ErrPlain
	}
	return numbers, nil
}

func (j *Journal) path(n uint64) string { return filepath.Join(j.dir, "~"+Name(n)) }

// load opens the next segment and reads what is in it. The one before is complete, and
// durable: its seal was synced before its successor was made. fs.ErrNotExist if the segment is
// gone, or may be another: segments are removed in their order, so that while the one before
// is there, this one was not removed, and made again by a process that had been stopped
// before it made it.
func (j *Journal) load(n uint64) error {
	s, err := openSegment(n, j.path(n))
	if err != nil {
		return err
	}
	if before := j.lastSegment(); before != nil {
		info, err := before.file.Stat()
		if err == nil && removed(info) {
			err = fs.ErrNotExist
		}
		if err != nil {
			s.close()
			return err
		}
	}
	info, err := s.file.Stat()
	if err == nil && !s.readOnly {
		err = j.folder.Sync(j.dir) // whoever made it may not have come to that
	}
	if err != nil {
		s.close()
		return err
	}
	if before := j.lastSegment(); before != nil {
		if err := j.complete(before); err != nil {
			s.close()
			return err
		}
		before.synced, before.torn = before.end, nil
		before.close()
	}
	j.segments = append(j.segments, s)
	clear(j.erased)
	return j.apply(s, info.Size(), false)
}

// complete takes in all of a segment that has a successor.
func (j *Journal) complete(s *segment) error {
	if s.sealed {
		return nil
	}
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	if err := j.apply(s, info.Size(), true); err != nil || s.sealed {
		return err
	}
	if s.end == firstFrame {
		return fs.ErrNotExist // made again by one who had been stopped
	}
	// What is damaged keeps the seal from counting, or is the seal.
	at := stretch{s.end, info.Size()}
	if s.tears() > 0 {
		at = s.toVoid()
	}
	return j.lost(s.damaged(at))
}
