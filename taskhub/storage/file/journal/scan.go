package journal

import (
	"bytes"
	"crypto/sha256"
	"io"
	"slices"
)

const windowBytes = 256 << 10

// window reads a file in pieces that hold many frames.
type window struct {
	file io.ReaderAt
	size int64 // of the file
	at   int64
	buf  []byte
}

// bytes returns n bytes at off, which must lie within size. They are good until the next call.
func (w *window) bytes(off int64, n int) ([]byte, error) {
	if off < w.at || off+int64(n) > w.at+int64(len(w.buf)) {
		want := int(min(w.size-off, max(int64(n), windowBytes)))
		w.buf = slices.Grow(w.buf[:0], want)[:want]
		w.at = off
		if _, err := w.file.ReadAt(w.buf, off); err != nil {
			w.buf = w.buf[:0]
			return nil, err
		}
	}
	return w.buf[off-w.at:][:n], nil
}

// frame looks for a valid frame at off.
func (s *segment) frame(w *window, off int64) (h header, valid bool, err error) {
	if w.size-off < headerBytes {
		return h, false, nil
	}
	b, err := w.bytes(off, headerBytes)
	if err != nil {
		return h, false, err
	}
	if h, valid = decodeHeader(b, s.nonce); !valid || off+headerBytes+h.size > w.size {
		return h, false, nil
	}
	sum := sha256.New()
	for at, rest := off+headerBytes, h.size; rest > 0; {
		n := min(rest, windowBytes)
		if b, err = w.bytes(at, int(n)); err != nil {
			return h, false, err
		}
		sum.Write(b)
		at, rest = at+n, rest-n
	}
	return h, Digest(sum.Sum(nil)) == h.digest, nil
}

// scan is where the next valid frame after off begins, before limit; ok is false if there
// is none.
func (s *segment) scan(w *window, off, limit int64) (next int64, ok bool, err error) {
	for off++; off < limit && off+headerBytes <= w.size; {
		b, err := w.bytes(off, int(min(limit-off+int64(len(magic))-1, w.size-off, windowBytes)))
		if err != nil {
			return 0, false, err
		}
		at := bytes.Index(b, magic)
		if at < 0 {
			off += int64(max(1, len(b)-len(magic)+1))
			continue
		}
		off += int64(at)
		if _, valid, err := s.frame(w, off); valid || err != nil {
			return off, valid, err
		}
		off++
	}
	return 0, false, nil
}

// tearAt is the stretch at the end of what is applied that holds no valid frame; ok is false
// while that may be a write under way: it is not when a valid frame follows, since appends
// come one after the other, or when final says that one does. ErrDamaged if it was durable once.
func (s *segment) tearAt(w *window, final bool) (t tear, ok bool, err error) {
	page := make([]byte, firstFrame) // marks may have been written since it was opened
	if _, err := s.file.ReadAt(page, 0); err != nil {
		return t, false, err
	}
	if now := told(page); now <= w.size {
		s.told = max(s.told, now)
	}
	limit := w.size
	if s.end < s.told {
		limit = s.told // what declares it void is before that
	}
	next, found, err := s.scan(w, s.end, limit)
	switch {
	case err != nil:
		return t, false, err
	case found:
		return tear{stretch: stretch{s.end, next}}, true, nil
	case s.end < s.told:
		return t, false, s.damaged(stretch{s.end, s.told})
	}
	return tear{stretch: stretch{s.end, w.size}}, final, nil
}
