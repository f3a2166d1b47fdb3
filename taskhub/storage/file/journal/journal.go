package journal

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"sync"
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

// IsSegment reports whether a file in a folder is part of its journal.
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

// reset forgets what was read; the next call reads it anew. Mutex held.
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
	slices.SortFunc(list, func(a, b Entry) int { return cmp.Compare(a.Number, b.Number) })
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
