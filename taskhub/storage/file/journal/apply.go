package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// catchUp applies what has been appended, by whomever, since it was last called. Mutex held.
func (j *Journal) catchUp() error {
	for {
		s := j.lastSegment()
		if s == nil {
			if err := j.open(); err != nil || len(j.segments) == 0 {
				return err
			}
			continue
		}
		info, err := s.file.Stat()
		if err != nil {
			return err
		}
		if err := j.apply(s, info.Size(), false); err != nil {
			return err
		}
		var next []uint64
		if s.sealed { // a damaged one is recognized by the marks
			if next, err = j.after(s.number); err != nil {
				return err
			}
		}
		switch {
		case removed(info) || len(next) > 0 && next[0] != s.number+1:
			j.reset()
		case len(next) == 0:
			return nil
		default:
			if err := j.load(next[0]); errors.Is(err, fs.ErrNotExist) {
				j.reset()
			} else if err != nil {
				return err
			}
		}
	}
}

// apply takes in the frames of s up to size. final says that a frame was written after that:
// what is not valid before it never will be. After an ErrDamaged or errLost the journal has been
// reset.
func (j *Journal) apply(s *segment, size int64, final bool) error {
	if size < s.told {
		return j.lost(fmt.Errorf("%w: %s: %d bytes are left of %d that were durable", ErrDamaged, s.path, size, s.told))
	}
	if s.stuck == (stretch{s.end, size}) && !final {
		return nil // nothing has come since
	}
	w := &window{file: s.file, size: size}
	for s.end < size && !s.sealed {
		h, valid, err := s.frame(w, s.end)
		if err != nil {
			return err
		}
		if valid {
			if err := j.take(s, h); err != nil {
				return j.lost(err)
			}
			continue
		}
		t, ok, err := s.tearAt(w, final)
		if err != nil {
			return j.lost(err)
		}
		if !ok { // a write under way, as far as one can see
			s.stuck = stretch{s.end, size}
			break
		}
		s.end = t.to
		s.torn = append(s.torn, t)
	}
	if s.end >= s.told {
		return j.lost(s.durable(s.told))
	}
	return nil
}

// lost resets the journal after an error: what it holds may be half of the truth.
func (j *Journal) lost(err error) error {
	if err != nil {
		j.reset()
	}
	return err
}

// take applies the frame at the end of what is applied.
func (j *Journal) take(s *segment, h header) error {
	at := s.end + headerBytes
	s.end = at + h.size
	if h.void != (stretch{}) && !slices.ContainsFunc(s.torn, func(t tear) bool { return t.from <= h.void.from && h.void.to <= t.to }) {
		// What we took there for frames was lost by a failed sync since.
		return &fs.PathError{Op: "read", Path: s.path, Err: errLost}
	}
	for i := range s.torn {
		if t := &s.torn[i]; t.voidedBy == 0 && t.stretch == h.void {
			t.voidedBy = s.end
		}
	}
	if err := s.durable(min(h.synced, at-headerBytes)); err != nil {
		return err
	}
	old, taken := j.index[h.number]
	switch h.kind {
	case seal:
		// One whose writer did not see every tear is none: so a tear that nothing declares void
		// before a seal that counts is damage.
		s.sealed = s.tears() == 0
		return nil
	case note:
		return nil
	case create:
		if taken {
			return nil
		}
	case replace:
		// A version in a segment that has been removed was moved on by the first frame that
		// names it, or deleted: who lost to that did so within the same segment.
		moved := h.old.segment < j.segments[0].number && !taken && !j.erased[h.number]
		if (!taken || old.version() != h.old) && !moved {
			return nil
		}
	}
	if taken {
		old.in.live--
	}
	if h.kind == erase {
		delete(j.index, h.number)
		j.erased[h.number] = true
		return nil
	}
	s.live++
	j.index[h.number] = place{in: s, at: at, size: h.size}
	return nil
}
