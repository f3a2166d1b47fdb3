package host

import (
	"context"
	"sync"
	"time"

	"github.com/durafunc/durafunc/bindings/files"
)

// sweepEvery is how often expired files are looked for at most. Only putting a file
// triggers it: a host without work makes no requests.
const sweepEvery = time.Hour

// expiringFiles is the file store with its expired files removed now and then.
type expiringFiles struct {
	*files.Store
	host *Host

	mu   sync.Mutex
	last time.Time
	busy sync.WaitGroup
}

// Put implements durableclient.Files.
func (f *expiringFiles) Put(ctx context.Context, name, contentType string, body []byte) (string, error) {
	f.mu.Lock()
	due := time.Since(f.last) >= sweepEvery
	if due {
		f.last = time.Now()
		f.busy.Add(1)
	}
	f.mu.Unlock()
	if due {
		go f.sweep()
	}
	return f.Store.Put(ctx, name, contentType, body)
}

func (f *expiringFiles) sweep() {
	defer f.busy.Done()
	ctx, cancel := context.WithTimeout(f.host.life, time.Minute)
	defer cancel()
	removed, err := f.Sweep(ctx, files.DefaultTTL)
	switch {
	case err != nil && f.host.life.Err() == nil:
		f.host.opts.Log.Warn("expired files are not swept", "error", err)
	case removed > 0:
		f.host.opts.Log.Info("expired files removed", "count", removed)
	}
}
