package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/storage/file/journal"
)

// readBatch is how many names are read from a directory at a time; those that
// cannot match are dropped before the next batch.
const readBatch = 4096

// List implements storage.Store. It reads only the folders that can hold a match,
// each as a whole (directories are unordered), and looks up size and time of an
// object only when it is yielded. Entry.Tag is empty.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Entry, error] {
	return func(yield func(storage.Entry, error) bool) {
		if !storage.PossiblePrefix(prefix) {
			return
		}
		folder := prefix[:strings.LastIndexByte(prefix, '/')+1]
		l := lister{ctx: ctx, store: s, prefix: prefix, after: after, yield: yield}
		if err := l.walk(folder); err != nil && !errors.Is(err, errStopped) {
			yield(storage.Entry{}, fail("list", prefix, err))
		}
	}
}

// errStopped ends a walk whose consumer has had enough.
var errStopped = errors.New("stopped")

// lister is one run of List.
type lister struct {
	ctx           context.Context // of this run only
	store         *Store
	prefix, after string
	yield         func(storage.Entry, error) bool
}

// child is an entry of a folder. Its order is that of the keys it stands for: a
// folder sorts as its name and a '/', so "a-b" comes before "a/b" and "a0" after.
type child struct {
	order string
	entry fs.DirEntry // nil: an object of the folder's journal
	size  int64       // of that object
}

// walk yields the matches in folder, which is "" or ends in '/'.
func (l *lister) walk(folder string) error {
	children, err := l.read(folder)
	if err != nil {
		return err
	}
	for _, c := range children {
		if err := l.ctx.Err(); err != nil {
			return err
		}
		key := folder + c.order
		if c.entry == nil {
			j, n := l.store.numbered(key)
			if !l.yield(storage.Entry{Key: key, Size: c.size, Modified: j.Modified(n)}, nil) {
				return errStopped
			}
			continue
		}
		if c.entry.IsDir() {
			if err := l.walk(key); err != nil {
				return err
			}
			continue
		}
		info, err := c.entry.Info()
		if absent(err) {
			continue // deleted meanwhile
		}
		if err != nil {
			return verdict(err)
		}
		if torn(l.store.path(key)) {
			_ = l.store.discard(l.ctx, key) // as in Get
			continue
		}
		if !l.yield(storage.Entry{Key: key, Size: info.Size(), Modified: info.ModTime()}, nil) {
			return errStopped
		}
	}
	return nil
}

// read returns the children of folder that are or may hold matches, in key order.
func (l *lister) read(folder string) ([]child, error) {
	if err := l.ctx.Err(); err != nil {
		return nil, err
	}
	d, err := os.Open(filepath.Join(l.store.root, filepath.FromSlash(folder)))
	if absent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, verdict(err)
	}
	defer d.Close()

	match := l.matcher(folder)
	var children []child
	journaled := false
	for {
		entries, err := d.ReadDir(readBatch)
		for _, e := range entries {
			order := e.Name()
			switch {
			case journal.IsSegment(order):
				journaled = true
			case e.IsDir():
				order += "/"
			case !e.Type().IsRegular():
				continue
			}
			if match(order) && storage.CheckKey(e.Name()) == nil {
				children = append(children, child{order: order, entry: e})
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if absent(err) {
			return nil, nil // an object, not a folder, or removed while we read it
		}
		if err != nil {
			return nil, fmt.Errorf("read folder: %w", verdict(err))
		}
	}
	if journaled {
		entries, err := l.store.journal(d.Name()).List(0)
		if _, err := settled(err); err != nil {
			return nil, fmt.Errorf("read journal: %w", err)
		}
		for _, e := range entries {
			if order := journal.Name(e.Number); match(order) {
				children = append(children, child{order: order, size: e.Size})
			}
		}
	}
	slices.SortFunc(children, func(a, b child) int { return strings.Compare(a.order, b.order) })
	return children, nil
}

// matcher decides by the part below folder, so that a folder of 100,000 names
// costs no concatenations: order is a file's name or a folder's with its '/'.
func (l *lister) matcher(folder string) func(order string) bool {
	prefix, after := "", ""
	if len(l.prefix) > len(folder) {
		prefix = l.prefix[len(folder):] // walk came here, so folder is its start
	}
	switch {
	case strings.HasPrefix(l.after, folder):
		after = l.after[len(folder):]
	case l.after > folder:
		return func(string) bool { return false } // the whole folder is before after
	}
	return func(order string) bool {
		if strings.HasSuffix(order, "/") {
			return (strings.HasPrefix(order, prefix) || strings.HasPrefix(prefix, order)) &&
				(order > after || strings.HasPrefix(after, order))
		}
		return strings.HasPrefix(order, prefix) && order > after
	}
}
