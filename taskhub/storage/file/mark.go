package file

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/storage/file/journal"
)

// digest is the hash of an object's content. A reader computes it from what it read,
// so that body and tag are always of one version. Inode and time would not do: both
// can come back within a clock tick.
type digest [sha256.Size]byte

func sumOf(body []byte) digest { return sha256.Sum256(body) }

func (d digest) tag() storage.Tag { return storage.Tag(hex.EncodeToString(d[:16])) }

// start is the part of the digest that a journal keeps.
func (d digest) start() journal.Digest { return journal.Digest(d[:]) }

// mark is what a file carries from before it has its name until its writer's sync
// has returned: the start of its digest. The size alone would not show what a power
// cut tore: ext4 raises it when the data is submitted, not when it is written, and
// the file then has all its bytes, of zeros (mpage_map_and_submit_extent and
// dioread_nolock, the default since Linux 5.6).
type mark [8]byte

func (d digest) mark() mark { return mark(d[:]) }

// errTorn means that a file does not match its mark: a power cut came before the end
// of its writer's sync. Nobody was told of it: not the writer's caller, and no
// reader, because readers settle what they find marked.
var errTorn = errors.New("torn by a power cut")

// read returns the object at path and makes sure that it is durable. Errors:
// storage.ErrNotFound, errTorn, and what the disk says.
func read(path string) ([]byte, digest, error) {
	for {
		body, m, err := readMarked(path, os.O_RDONLY, nil)
		if absent(err) {
			return nil, digest{}, storage.ErrNotFound
		}
		if err != nil {
			return nil, digest{}, verdict(err)
		}
		sum := sumOf(body)
		if m == nil {
			return body, sum, nil
		}
		if *m != sum.mark() {
			return nil, digest{}, errTorn
		}
		// What path names may change meanwhile, so read again. One who may not
		// write gets the bytes as they are: nothing it does rests on them.
		err = settle(path)
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
			return body, sum, nil
		}
		if err != nil && !absent(err) && !errors.Is(err, errTorn) {
			return nil, digest{}, verdict(err)
		}
	}
}

// settle makes the file at path durable with its name, if that is not known of it:
// its writer is in its sync, or died or failed there. It returns errTorn if the file
// does not match its mark.
func settle(path string) error {
	marked, err := hasMark(path)
	if !marked || err != nil {
		return err
	}
	_, _, err = readMarked(path, os.O_RDWR, func(f *os.File, body []byte, m mark) error {
		if sumOf(body).mark() != m {
			return errTorn
		}
		// Write the same bytes again: after a sync that failed the kernel takes
		// its pages for clean, and another sync would succeed without writing.
		if _, err := f.WriteAt(body, 0); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
		if err := syncPath(filepath.Dir(path)); err != nil {
			return err
		}
		return clearMark(int(f.Fd()))
	})
	return err
}

// readMarked reads the file at path and its mark, nil if it has none, and calls
// found, if given, with a marked file before it is closed.
func readMarked(path string, flag int, found func(*os.File, []byte, mark) error) ([]byte, *mark, error) {
	f, err := os.OpenFile(path, flag, 0)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	body, err := readAll(f)
	if err != nil {
		return nil, nil, err
	}
	m, err := markOf(f)
	if err == nil && m != nil && found != nil {
		err = found(f, body, *m)
	}
	return body, m, err
}

// torn reports whether the file at path does not match its mark.
func torn(path string) bool {
	if marked, err := hasMark(path); !marked || err != nil {
		return false
	}
	body, m, err := readMarked(path, os.O_RDONLY, nil)
	return err == nil && m != nil && *m != sumOf(body).mark()
}

// discard removes what a power cut tore. It holds the lock of the key, so that of
// several who saw the same torn file none removes the object that another has
// created in its place.
func (s *Store) discard(ctx context.Context, key string) error {
	unlock, err := s.lock(ctx, key)
	if err != nil {
		return err
	}
	defer unlock()
	path := s.path(key)
	if !torn(path) {
		return nil
	}
	if err := os.Remove(path); err != nil && !absent(err) {
		return verdict(err)
	}
	return nil
}
