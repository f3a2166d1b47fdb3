package journal

import (
	"errors"
	"io/fs"
	"os"
	"time"
)

// writable is the segment to append to, caught up with. Mutex held.
func (j *Journal) writable() (*segment, error) {
	for {
		if err := j.catchUp(); err != nil {
			return nil, err
		}
		s := j.lastSegment()
		switch {
		case s == nil:
			if err := j.folder.Make(j.path(1), newFirstPage()); err != nil {
				return nil, err
			}
		case s.readOnly:
			return nil, &fs.PathError{Op: "append", Path: s.path, Err: fs.ErrPermission}
		case s.sealed:
			// All of it is durable before its successor is there, and says so.
			err := j.settleLocked(s, s.end) // which gives up the mutex
			if s != j.lastSegment() {
				continue // others went on, or closed it
			}
			if err != nil {
				return nil, err
			}
			s.tell()
			if err := j.sync(s.file); err != nil {
				s.failed()
				return nil, &fs.PathError{Op: "fdatasync", Path: s.path, Err: err}
			}
			if err := j.folder.Make(j.path(s.number+1), newFirstPage()); err != nil {
				return nil, err
			}
		case s.end >= j.full:
			h := header{kind: seal, digest: digestOfNothing}
			if s.tears() > 1 { // a frame declares one of them void
				h.kind = note
			}
			if _, _, err := j.append(s, h, nil); err != nil {
				return nil, err
			}
		default:
			return s, nil
		}
	}
}

// append writes a frame to s, takes in what others have appended just before it, and then the
// frame itself, unless that was a seal. Mutex held.
func (j *Journal) append(s *segment, h header, body []byte) (mine place, counts bool, err error) {
	h.nonce, h.time, h.synced, h.void = s.nonce, time.Now().UnixNano(), s.synced, s.toVoid()
	b := append(h.append(j.buf[:0]), body...)
	if j.buf = b; cap(b) > windowBytes {
		j.buf = nil
	}
	from, err := s.write(b)
	if err != nil {
		return place{}, false, err
	}
	if from > s.end {
		if err := j.apply(s, from, true); err != nil {
			return place{}, false, err
		}
	}
	if s.sealed {
		return place{}, false, nil
	}
	if err := j.take(s, h); err != nil {
		return place{}, false, j.lost(err)
	}
	return place{in: s, at: from + headerBytes, size: h.size}, true, nil
}

// settle makes sure that s is durable up to end.
func (j *Journal) settle(s *segment, end int64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.settleLocked(s, end)
}

// settleLocked is settle with the mutex held, which it gives up while it waits for the disk.
// One sync at a time: the kernel tells a failure once, and all that waited are concerned.
// One who may not write gets what there is: nothing that it does rests on it.
func (j *Journal) settleLocked(s *segment, end int64) error {
	for s.syncing && s.synced < end {
		j.synced.Wait()
	}
	switch {
	case s.synced >= end || s.readOnly:
		return nil
	case s.file == nil:
		return &fs.PathError{Op: "fdatasync", Path: s.path, Err: os.ErrClosed}
	}
	again, all := s.suspect, s.end
	if again {
		if err := s.writeAgain(); errors.Is(err, errLost) {
			return j.lost(&fs.PathError{Op: "fdatasync", Path: s.path, Err: err})
		} else if err != nil {
			return err
		}
	}
	file := s.file
	s.syncing = true
	j.mu.Unlock()
	err := j.sync(file)
	j.mu.Lock()
	s.syncing = false
	j.synced.Broadcast()
	if err == nil {
		s.suspect = false
		s.raise(all)
		j.markSoon(s)
		return nil
	}
	s.failed()
	if s.synced >= end {
		return nil // others saw to it
	}
	return &fs.PathError{Op: "fdatasync", Path: s.path, Err: err}
}

// markAfter is how long the first page waits to tell what is durable: while frames follow
// each other they tell it themselves.
const markAfter = 20 * time.Millisecond

func (j *Journal) markSoon(s *segment) {
	if s.marking {
		return
	}
	s.marking = true
	time.AfterFunc(markAfter, func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		s.marking = false
		s.tell()
	})
}

// prune removes the oldest segments as far as nothing in them is left. What has taken the
// place of something in them must be durable first.
func (j *Journal) prune() error {
	prunable := func() bool { return len(j.segments) > 1 && j.segments[0].live == 0 }
	for prunable() {
		oldest, last := j.segments[0], j.lastSegment()
		err := j.settleLocked(last, last.end) // which gives up the mutex
		switch {
		case last == j.lastSegment() && err != nil:
			return err
		case err != nil || !prunable() || j.segments[0] != oldest:
			continue
		}
		if err := os.Remove(oldest.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := j.folder.Sync(j.dir); err != nil { // never the next one without this one
			return err
		}
		j.segments = j.segments[1:]
	}
	return nil
}
