package host

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/durafunc/durafunc/host/hostjson"
	"github.com/durafunc/durafunc/taskhub/lease"
)

// localState is what a process keeps on the local disk: nothing that it could not lose.
// Each process has a directory and a lock file of its own; a later one on the same
// machine that can lock the file knows that this one is dead and need not wait for its
// lease.
type localState struct {
	dir  string
	lock *lease.LockFile
}

// lockFilesKept is how long lock files of dead processes stay: as long as a session
// that names one may still have to be judged.
const lockFilesKept = 24 * time.Hour

func (h *Host) openLocal(context.Context) (err error) {
	h.local, err = openLocal(h.opts.Config)
	return err
}

func (h *Host) releaseLocal(context.Context) error { return h.local.release() }

func openLocal(cfg *hostjson.Config) (*localState, error) {
	base := filepath.Join(cfg.Root, hostjson.DefaultStorePath, "host")
	var id [6]byte
	_, _ = rand.Read(id[:]) // never fails
	name := hex.EncodeToString(id[:])
	lock, err := lease.HoldLock(base, name)
	if err != nil {
		return nil, fmt.Errorf("working directory: %w", err)
	}
	l := &localState{dir: filepath.Join(base, name), lock: lock}
	if err := os.MkdirAll(l.dir, 0o755); err != nil {
		return nil, fmt.Errorf("working directory: %w", err)
	}
	l.sweep(base)
	return l, nil
}

func (l *localState) state() string { return filepath.Join(l.dir, "state") }

// sweep removes what dead processes left behind.
func (l *localState) sweep(base string) {
	entries, err := os.ReadDir(base)
	if err != nil {
		return // what cannot be read cannot be swept; it costs disk space only
	}
	for _, e := range entries {
		name, isLock := strings.CutSuffix(e.Name(), ".lock")
		path := filepath.Join(base, e.Name())
		if !isLock || path == l.lock.Path() || !lease.Abandoned(path) {
			continue
		}
		_ = os.RemoveAll(filepath.Join(base, name))
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > lockFilesKept {
			_ = os.Remove(path)
		}
	}
}

// release gives the directory and the lock file back.
func (l *localState) release() error {
	if err := os.RemoveAll(l.dir); err != nil {
		return fmt.Errorf("working directory: %w", err)
	}
	return l.lock.Release()
}
