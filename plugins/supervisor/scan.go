package supervisor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// candidate is what the directory holds under one app name.
type candidate struct {
	name   string // base name of the file or the folder
	file   string // path of the executable
	dir    string // where file is: the folder of its own, or the functions directory
	folder bool   // it has one of its own
	print  fingerprint
}

// manifestPath is where its manifest would be; "" for a bare file.
func (c candidate) manifestPath() string {
	if c.folder {
		return filepath.Join(c.dir, manifestName)
	}
	return ""
}

// unchanged reports whether the directory still holds it as it was found.
func (c candidate) unchanged() bool {
	dir := c.dir
	if c.folder {
		dir = filepath.Dir(dir)
	}
	now, ok := lookAt(dir, c.name)
	return ok && now == c
}

// fingerprint changes whenever a file is written, replaced or given other
// permissions. The manifest counts: arguments and checksum live there.
type fingerprint struct {
	size, mtime         int64
	mode                fs.FileMode
	manSize, manModTime int64
}

func (p fingerprint) newest() time.Time { return time.Unix(0, max(p.mtime, p.manModTime)) }

// ignored reports whether a name cannot be an app: hidden, or how editors, browsers
// and copying tools call a file that is not finished.
func ignored(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") ||
		strings.HasSuffix(name, ".tmp") || strings.HasSuffix(name, ".part")
}

// look lists the candidates of dir in the order of their names. A folder counts
// when it holds a file named like it, or a manifest (and then lacks the file,
// which loading will say).
func look(dir string) ([]candidate, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("functions directory: %w", err)
	}
	var found []candidate
	for _, e := range entries {
		if c, ok := lookAt(dir, e.Name()); ok {
			found = append(found, c)
		}
	}
	return found, nil
}

// lookAt reports whether a name in dir is a candidate, and which.
func lookAt(dir, name string) (c candidate, ok bool) {
	if ignored(name) {
		return c, false
	}
	c = candidate{name: name, file: filepath.Join(dir, name), dir: dir}
	info, err := os.Stat(c.file) // follows links
	if err != nil {
		return c, false // removed while we look, or a dangling link
	}
	if info.IsDir() {
		c.dir, c.folder = c.file, true
		c.file = filepath.Join(c.dir, c.name)
		man, manErr := os.Stat(filepath.Join(c.dir, manifestName))
		if manErr == nil {
			c.print.manSize, c.print.manModTime = man.Size(), man.ModTime().UnixNano()
		}
		if info, err = os.Stat(c.file); err != nil {
			return c, manErr == nil && errors.Is(err, fs.ErrNotExist)
		}
	}
	c.print.size, c.print.mtime, c.print.mode = info.Size(), info.ModTime().UnixNano(), info.Mode()
	return c, info.Mode().IsRegular()
}

// observation is what the last looks saw under one name.
type observation struct {
	print   fingerprint
	since   time.Time // when it was first seen so
	gone    bool
	offered bool // its slot has been told
}

// debouncer decides when a change has come to rest.
type debouncer struct {
	debounce time.Duration
	seen     map[string]*observation
}

// update compares a look with the ones before. It gives the candidates that are
// new or changed and at rest, the names that have been gone for as long, and
// whether anything is still in motion. first accepts files that were last written
// debounce ago: a host that starts does not wait for what has long been there.
func (w *debouncer) update(now time.Time, found []candidate, first bool) (ready []candidate, gone []string, moving bool) {
	present := make(map[string]bool, len(found))
	for _, c := range found {
		present[c.name] = true
		s := w.seen[c.name]
		if s == nil || s.gone || s.print != c.print {
			s = &observation{print: c.print, since: now}
			w.seen[c.name] = s
		}
		if s.offered {
			continue
		}
		rested := now.Sub(s.since) >= w.debounce || first && now.Sub(c.print.newest()) >= w.debounce
		if !rested || beingWritten(c.file) {
			moving = true
			continue
		}
		s.offered = true
		ready = append(ready, c)
	}
	for name, s := range w.seen {
		switch {
		case present[name]:
		case !s.gone:
			// Removing and copying again is how many tools replace a file.
			*s = observation{since: now, gone: true}
			moving = true
		case now.Sub(s.since) < w.debounce:
			moving = true
		default:
			delete(w.seen, name)
			gone = append(gone, name)
		}
	}
	return ready, gone, moving
}

// folders lists the folders that could be apps.
func folders(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if info, err := os.Stat(path); err == nil && info.IsDir() && !ignored(e.Name()) {
			out = append(out, path)
		}
	}
	return out, nil
}
