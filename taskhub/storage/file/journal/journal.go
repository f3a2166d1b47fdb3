package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Errors of a Journal, besides fs.ErrNotExist and what the disk says.
var (
	// ErrConflict means that the number is taken, or is of another version.
	ErrConflict = errors.New("condition not met")
	// ErrPlain means that the folder had objects as files of their own before it could have a
	// journal: it stays so, and its first segment says that.
	ErrPlain = errors.New("the folder has no journal")
	// ErrDamaged means that something which was durable is not what was written: the journal
	// answers nothing then. The message names the file and the bytes.
	ErrDamaged = errors.New("damaged")
)

// nameDigits is the length of a number in a name.
const nameDigits = 20

// Number is the number that a name stands for; ok is false for other names.
func Number(name string) (n uint64, ok bool) {
	if len(name) != nameDigits {
		return 0, false
	}
	for i := range len(name) {
		if name[i] < '0' || name[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseUint(name, 10, 64)
	return n, err == nil
}

// Name is the name that stands for n.
func Name(n uint64) string { return fmt.Sprintf("%0*d", nameDigits, n) }

// IsSegment says whether a file in a folder is part of its journal.
func IsSegment(name string) bool {
	if name == "" || name[0] != '~' {
		return false
	}
	_, ok := Number(name[1:])
	return ok
}

// Journal holds the numbered objects of a folder. Methods may be called concurrently, and
// by several processes on one folder.
type Journal struct {
	dir    string
	folder Folder
	sync   func(*os.File) error
	full   int64 // the size from which on a segment is sealed

	mu       sync.Mutex
	synced   sync.Cond  // a sync has ended
	segments []*segment // in order; empty: not opened, or there is none
	index    map[uint64]place
	erased   map[uint64]bool // in the last segment
	plain    bool            // the folder was found to have none: it will have none
	buf      []byte
}

// place is where an object's body stands.
type place struct {
	in   *segment
	at   int64
	size int64
}

func (p place) version() version { return version{p.in.number, p.at} }

// Folder makes files of a journal, whose writes rest on their names.
type Folder interface {
	// Make creates a file, with the folders above it; that it exists already is no error.
	// Its name may not be durable yet.
	Make(path string, body []byte) error
	// Sync makes the names of all files in a folder durable, and those of the folders above.
	Sync(dir string) error
}

// New returns the journal of the folder at dir, which need not exist.
func New(dir string, folder Folder) *Journal {
	j := &Journal{dir: dir, folder: folder, sync: syncData, full: segmentBytes, index: map[uint64]place{}, erased: map[uint64]bool{}}
	j.synced.L = &j.mu
	return j
}

// Close gives back file descriptors and memory. The journal can be used again.
func (j *Journal) Close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.reset()
}

func (j *Journal) reset() {
	if len(j.segments) > 0 {
		s := j.segments[len(j.segments)-1]
		s.tell()
		s.close()
	}
	j.segments = nil
	clear(j.index)
}

// Get returns a copy of an object, durable by then, or fs.ErrNotExist.
func (j *Journal) Get(n uint64) ([]byte, error) {
	for {
		j.mu.Lock()
		err := j.catchUp()
		p, ok := j.index[n]
		j.mu.Unlock()
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, fs.ErrNotExist
		}
		var b []byte
		if err = j.settle(p.in, p.at+p.size); err == nil {
			b, err = j.read(p)
		}
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, os.ErrClosed) {
			continue // its segment was removed or closed meanwhile: look again
		}
		return b, err
	}
}

// read reads a body from its segment, whose files may be closed.
func (j *Journal) read(p place) ([]byte, error) {
	j.mu.Lock()
	file := p.in.file
	j.mu.Unlock()
	b, err := readAt(file, p)
	if errors.Is(err, fs.ErrNotExist) {
		j.mu.Lock()
		defer j.mu.Unlock()
		if slices.Contains(j.segments, p.in) {
			j.reset() // removed under us: what is left is read anew
		}
	}
	return b, err
}

// readAt reads from an open file, or opens that of the segment.
func readAt(file *os.File, p place) ([]byte, error) {
	if file == nil {
		f, err := os.Open(p.in.path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		file = f
	}
	b := make([]byte, p.size)
	_, err := file.ReadAt(b, p.at)
	if errors.Is(err, io.EOF) {
		err = fs.ErrNotExist // removed, and made again by one who had been stopped
	}
	return b, err
}

// Create makes an object that is not there, else it is ErrConflict. ready is asked at first,
// and right before the one call that can make it, and ends it with its error. After any other
// error the object may be there.
func (j *Journal) Create(n uint64, body []byte, digest Digest, ready func() error) error {
	return j.put(header{kind: create, number: n, digest: digest}, nil, body, ready)
}

// Replace puts another object in the place of the one for whose body is says yes, else it is
// ErrConflict.
func (j *Journal) Replace(n uint64, is func([]byte) bool, body []byte, digest Digest, ready func() error) error {
	return j.put(header{kind: replace, number: n, digest: digest}, is, body, ready)
}

func (j *Journal) put(h header, is func([]byte) bool, body []byte, ready func() error) error {
	if err := ready(); err != nil {
		return err // before any verdict on the number
	}
	h.size = int64(len(body))
	j.mu.Lock()
	for {
		s, err := j.writable()
		if err != nil {
			j.mu.Unlock()
			if u := (unmarked{}); errors.As(err, &u) {
				return u.error
			}
			return err
		}
		found, taken := j.index[h.number]
		if taken != (h.kind == replace) {
			j.mu.Unlock()
			return j.conflict(h.number)
		}
		if h.kind == replace {
			j.mu.Unlock()
			b, err := j.read(found)
			if err == nil && !is(b) {
				return j.conflict(h.number)
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, os.ErrClosed) {
				return err
			}
			j.mu.Lock()
			if err != nil || s != j.lastSegment() || s.sealed || j.index[h.number] != found {
				continue
			}
			h.old = found.version()
		}
		if err := ready(); err != nil {
			j.mu.Unlock()
			return err
		}
		mine, counts, err := j.append(s, h, body)
		if err != nil {
			j.mu.Unlock()
			return err
		}
		if !counts {
			continue // the segment was sealed before it
		}
		won := j.index[h.number] == mine
		j.mu.Unlock()
		if !won {
			return j.conflict(h.number)
		}
		return j.settle(s, mine.at+mine.size)
	}
}

// conflict is ErrConflict once what stands at n is durable: it may be the caller's own, of an
// attempt whose sync failed.
func (j *Journal) conflict(n uint64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for {
		if err := j.catchUp(); err != nil {
			return err
		}
		p, ok := j.index[n]
		if !ok {
			return ErrConflict // with what was deleted meanwhile
		}
		err := j.settleLocked(p.in, p.at+p.size)
		switch {
		case err == nil:
			return ErrConflict
		case !errors.Is(err, os.ErrClosed):
			return err
		}
	}
}

// Delete removes an object; that it is not there is no error. ready is as for Create.
func (j *Journal) Delete(n uint64, ready func() error) error {
	if err := ready(); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for {
		if err := j.catchUp(); err != nil {
			return err
		}
		if _, ok := j.index[n]; !ok {
			return nil
		}
		s, err := j.writable()
		if err != nil {
			return err
		}
		if err := ready(); err != nil {
			return err
		}
		h := header{kind: erase, number: n, digest: digestOfNothing}
		if _, counts, err := j.append(s, h, nil); err != nil {
			return err
		} else if counts {
			return j.prune()
		}
	}
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
		j.segments = j.segments[1:]
	}
	return nil
}

// Entry is one object of a listing.
type Entry struct {
	Number uint64
	Size   int64
}

// List returns the objects with numbers from first on, in order.
func (j *Journal) List(first uint64) ([]Entry, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.catchUp(); err != nil {
		return nil, err
	}
	var list []Entry
	for n, p := range j.index {
		if n >= first {
			list = append(list, Entry{n, p.size})
		}
	}
	slices.SortFunc(list, func(a, b Entry) int {
		switch {
		case a.Number < b.Number:
			return -1
		case a.Number > b.Number:
			return 1
		}
		return 0
	})
	return list, nil
}

// Modified is when an object was written, by the clock of its writer; zero if it is gone, or
// damaged.
func (j *Journal) Modified(n uint64) time.Time {
	j.mu.Lock()
	p, ok := j.index[n]
	j.mu.Unlock()
	if !ok {
		return time.Time{}
	}
	b, err := j.read(place{in: p.in, at: p.at - headerBytes, size: headerBytes})
	if err != nil {
		return time.Time{}
	}
	h, _ := decodeHeader(b, p.in.nonce)
	if h.number != n {
		return time.Time{}
	}
	return time.Unix(0, h.time)
}

func (j *Journal) lastSegment() *segment {
	if len(j.segments) == 0 {
		return nil
	}
	return j.segments[len(j.segments)-1]
}

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
		if s.sealed {
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

// isPlain says whether the first segment says that the folder has no journal. One that was made
// when there was a journal already, by a process that had been stopped, is removed.
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
	return false, j.remove(1)
}

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
		if err := j.remove(n); err != nil {
			return nil, false, err
		}
	}
	return numbers[len(numbers)-1:], false, nil
}

// remove removes a segment that is none.
func (j *Journal) remove(n uint64) error {
	if err := os.Remove(j.path(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// unmarked is an ErrPlain of a folder in which that cannot be noted: one may read there, and
// not write, since another may make it a journal.
type unmarked struct{ error }

func (unmarked) Is(target error) bool { return target == ErrPlain }

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
	return s.damaged(at)
}

// apply takes in the frames of s up to size. final says that a frame was written after that:
// what is not valid before it never will be. After an ErrDamaged the journal has been reset.
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
				s.suspect, s.marked = true, 0
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
	switch {
	case err == nil:
		s.suspect = false
		s.raise(all)
		j.markSoon(s)
		return nil
	case s.synced >= end:
		return nil // closed meanwhile, since it is complete: that took a sync
	}
	s.suspect = true
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
