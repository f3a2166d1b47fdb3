package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	mathrand "math/rand/v2"
	"os"
	"slices"
	"syscall"
)

// Bounds of a segment.
const (
	// segmentBytes is from which size on a segment is sealed.
	segmentBytes = 16 << 20
	// extent is how much room is allocated ahead: a sync that needs no new blocks is one
	// write less.
	extent = 1 << 20
)

// segment is one file of a journal. All fields are under the journal's mutex; the files are
// open only in the last segment.
type segment struct {
	number   uint64
	path     string
	nonce    [8]byte
	file     *os.File // to read, and to write again what is there
	tail     *os.File // to append
	readOnly bool

	end    int64 // frames before it are applied
	sealed bool
	live   int // objects that are there
	room   int64

	stuck   stretch // where no frame was found, and the size then
	synced  int64   // what is before it is durable
	torn    []tear  // all that were found, in order
	syncing bool
	suspect bool  // pages may be clean and not on disk: write again, then sync
	told    int64 // up to where it is durable, as the first page said when it was last read
	mark    int64 // where ours is
	marked  int64 // synced, as the first page says now; 0: that may be lost
	marking bool  // it is about to be written again
}

// tear is a stretch without a valid frame, of which it is not known that it was durable.
type tear struct {
	stretch
	voidedBy int64 // end of the frame that declares it void; 0: none has
}

// voidAt reports whether the tear is declared void by what is before end.
func (t tear) voidAt(end int64) bool { return t.voidedBy != 0 && t.voidedBy <= end }

// openSegment opens a segment and reads its first page. The error is fs.ErrNotExist when
// there is none.
func openSegment(number uint64, path string) (*segment, error) {
	s := &segment{number: number, path: path, end: firstFrame, synced: firstFrame}
	var err error
	s.file, err = os.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		if s.tail, err = os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0); err != nil {
			s.file.Close()
		}
	} else if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		s.readOnly = true
		s.file, err = os.Open(path)
	}
	if err != nil {
		return nil, err
	}
	page := make([]byte, firstFrame+headerBytes)
	n, err := s.file.ReadAt(page, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		s.close()
		return nil, err
	}
	s.nonce = [8]byte(page[8:])
	if n < firstFrame || !bytes.HasPrefix(page, segmentMagic) || crc32.Checksum(page[:16], castagnoli) != binary.BigEndian.Uint32(page[16:]) {
		first := page[firstFrame:] // which has the nonce too
		s.nonce = [8]byte(first[8:])
		if _, ok := decodeHeader(first, s.nonce); !ok {
			s.close()
			return nil, fmt.Errorf("%w: %s: its first page", ErrDamaged, path)
		}
	}
	s.told = told(page)
	s.marked = max(s.told, firstFrame)
	s.mark = markOffset + markBytes*mathrand.Int64N(marks)
	s.suspect = true // a sync that failed before this open leaves no trace
	return s, nil
}

func (s *segment) close() {
	for _, f := range []*os.File{s.file, s.tail} {
		if f != nil {
			_ = f.Close() // what counts is synced
		}
	}
	s.file, s.tail = nil, nil
}

// damaged is the ErrDamaged about a stretch.
func (s *segment) damaged(at stretch) error {
	if at.from == at.to {
		return fmt.Errorf("%w: %s: something is missing after its %d bytes; put back the file as it was", ErrDamaged, s.path, at.to)
	}
	return fmt.Errorf("%w: %s: bytes %d to %d are not what was written there; put back the file as it was", ErrDamaged, s.path, at.from, at.to)
}

// tears is how many tears are to be declared void.
func (s *segment) tears() (n int) {
	for _, t := range s.torn {
		if t.voidedBy == 0 {
			n++
		}
	}
	return n
}

// raise notes that all up to end is durable, except that nothing beyond a tear is said to be
// before the frame that declares it void is.
func (s *segment) raise(end int64) {
	for _, t := range s.torn {
		if !t.voidAt(end) {
			end = min(end, t.from)
		}
	}
	s.synced = max(s.synced, end)
}

// durable notes that others know the segment to be durable up to end, and that all which
// declares something before it void has been applied. A tear that nothing has declared void is
// then an ErrDamaged.
func (s *segment) durable(end int64) error {
	if end <= s.synced {
		return nil
	}
	for _, t := range s.torn {
		if t.voidedBy == 0 && t.from < end {
			return s.damaged(t.stretch)
		}
	}
	s.synced = end
	return nil
}

// toVoid is the next tear to be declared void, zero if there is none.
func (s *segment) toVoid() stretch {
	for _, t := range s.torn {
		if t.voidedBy == 0 {
			return t.stretch
		}
	}
	return stretch{}
}

// write appends b by one write(2) and says where it stands. Fewer bytes than b are an error.
func (s *segment) write(b []byte) (from int64, err error) {
	if s.end+int64(len(b)) > s.room {
		s.room = s.end + int64(len(b)) + extent
		// Where this is not possible, or the disk is full, the write itself will tell.
		allocate(s.file, s.end, s.room-s.end)
	}
	n, err := appendOnce(s.tail, b)
	if err != nil {
		return 0, &fs.PathError{Op: "append", Path: s.path, Err: err}
	}
	if n < len(b) {
		return 0, &fs.PathError{Op: "append", Path: s.path, Err: io.ErrShortWrite}
	}
	to, err := s.tail.Seek(0, io.SeekCurrent) // after an append: the end of what was appended
	return to - int64(len(b)), err
}

// failed notes that a sync has failed: what was written, marks too, may be lost.
func (s *segment) failed() { s.suspect, s.marked = true, 0 }

// errLost means that what was appended did not get to the disk, and is not in memory any more.
var errLost = errors.New("what was written is lost")

// writeAgain writes what may not be on disk in its place once more: after a sync that failed
// the kernel takes its pages for clean, and another sync would succeed without writing. It may
// also drop them: errLost if frames are not there any more.
func (s *segment) writeAgain() error {
	b := make([]byte, s.end-s.synced)
	if _, err := s.file.ReadAt(b, s.synced); err != nil {
		return err
	}
	w := &window{file: bytes.NewReader(b), size: int64(len(b))}
	for at := int64(0); at < w.size; {
		if i := slices.IndexFunc(s.torn, func(t tear) bool { return t.from == s.synced+at }); i >= 0 {
			at += s.torn[i].to - s.torn[i].from
			continue
		}
		h, valid, err := s.frame(w, at)
		if err != nil {
			return err
		}
		if !valid {
			return errLost
		}
		at += headerBytes + h.size
	}
	_, err := s.file.WriteAt(b, s.synced)
	return err
}

// tell writes our mark, with no less than others have told: they may have drawn it too. Not
// synced: the next sync takes it along.
func (s *segment) tell() {
	if s.file == nil || s.readOnly || s.marked >= s.synced {
		return
	}
	page := make([]byte, firstFrame)
	if _, err := s.file.ReadAt(page, 0); err != nil {
		return // others tell the same with their next frame
	}
	synced := max(s.synced, told(page))
	if _, err := s.file.WriteAt(newMark(synced), s.mark); err == nil {
		s.marked = synced
	}
}
