package supervisor

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
)

// runPrefix begins the names of the directories of private copies.
const runPrefix = "durafunc-apps-"

// runDir holds the private copies of one supervisor. Its lock file stays locked
// for as long as the supervisor lives, so that another one can tell a directory
// that a killed host left behind.
type runDir struct {
	path string
	lock *os.File
	next atomic.Int64
}

func newRunDir(parent string) (*runDir, error) {
	if parent == "" {
		parent = os.TempDir()
	}
	sweepRunDirs(parent)
	path, err := os.MkdirTemp(parent, runPrefix)
	if err != nil {
		return nil, fmt.Errorf("run directory: %w", err)
	}
	lock, err := lockFile(filepath.Join(path, "lock"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("run directory: %w", err), os.RemoveAll(path))
	}
	return &runDir{path: path, lock: lock}, nil
}

func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// sweepRunDirs removes what killed hosts left. A failure costs disk space only.
func sweepRunDirs(parent string) {
	old, _ := filepath.Glob(filepath.Join(parent, runPrefix+"*"))
	for _, dir := range old {
		path := filepath.Join(dir, "lock")
		if _, err := os.Stat(path); err != nil {
			continue // just being made
		}
		if f, err := lockFile(path); err == nil {
			_ = os.RemoveAll(dir)
			_ = f.Close()
		}
	}
}

func (d *runDir) remove() error {
	return errors.Join(os.RemoveAll(d.path), d.lock.Close())
}

// binary is a private copy of an app's executable with its manifest.
type binary struct {
	name string
	file string // the original, for messages
	dir  string // its own directory in the run directory
	path string // the copy
	work string // working directory of the process
	sum  [sha256.Size]byte
	man  *manifest
}

func (b *binary) discard() { _ = os.RemoveAll(b.dir) }

// same reports whether both would run the same program in the same way.
func (b *binary) same(o *binary) bool {
	return b.sum == o.sum && fmt.Sprint(b.man.Args, b.man.environment(), b.man.SHA256) ==
		fmt.Sprint(o.man.Args, o.man.environment(), o.man.SHA256)
}

// prepare copies the candidate. The copy, not a link: writing over the original in
// place would be refused (ETXTBSY) while a link to it runs.
func (d *runDir) prepare(c candidate) (*binary, error) {
	b := &binary{name: c.name, file: c.file, work: c.dir, man: &manifest{}}
	if path := c.manifestPath(); path != "" {
		man, err := readManifest(path)
		if err != nil {
			return nil, &LoadError{File: c.file, Err: err, Advice: "correct app.json"}
		}
		b.man = man
	}
	info, err := os.Stat(c.file)
	switch {
	case err != nil:
		return nil, &LoadError{File: c.file, Err: fmt.Errorf("%w: %w", ErrNotExecutable, err),
			Advice: "put an executable with the folder's name beside app.json"}
	case info.Mode()&0o111 == 0:
		return nil, &LoadError{File: c.file, Err: ErrNotExecutable,
			Advice: "run chmod +x on it, or remove it from the directory"}
	}
	b.dir = filepath.Join(d.path, strconv.FormatInt(d.next.Add(1), 10))
	b.path = filepath.Join(b.dir, c.name)
	if err := b.copyFrom(c.file); err != nil {
		b.discard()
		return nil, &LoadError{File: c.file, Err: err}
	}
	return b, nil
}

func (b *binary) copyFrom(file string) error {
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.Mkdir(b.dir, 0o700); err != nil {
		return err
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, in); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	hash.Sum(b.sum[:0])
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return err
	}

	// A process that is forked while we write inherits the descriptor up to its
	// exec, and starting the copy then fails with ETXTBSY: no fork meanwhile.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	out, err := os.OpenFile(b.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o700)
	if err != nil {
		return err
	}
	_, err = out.ReadFrom(in) // copy_file_range: shares the blocks where it can
	return errors.Join(err, out.Close())
}
