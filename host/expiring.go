package host

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/durafunc/durafunc/bindings/files"
)

const (
	// sweepEvery is how often expired files are looked for at most. Only putting a file
	// triggers it: a host without work makes no requests.
	sweepEvery = time.Hour
	// sweepTime bounds one sweep, so that there is one at a time.
	sweepTime = time.Minute
)

// expiringFiles is the file store with its expired files removed now and then.
type expiringFiles struct {
	*files.Store
	log  hclog.Logger
	life context.Context // of a sweep; ends when Stop begins
	end  context.CancelFunc

	mu    sync.Mutex
	last  time.Time
	swept chan struct{} // closed when the last sweep is done
}

func newExpiringFiles(store *files.Store, log hclog.Logger) *expiringFiles {
	f := &expiringFiles{Store: store, log: log, swept: make(chan struct{})}
	close(f.swept)
	f.life, f.end = context.WithCancel(context.Background())
	return f
}

// Put implements durableclient.Files.
func (f *expiringFiles) Put(ctx context.Context, name, contentType string, body []byte) (string, error) {
	f.sweepIfDue()
	return f.Store.Put(ctx, name, contentType, body)
}

func (f *expiringFiles) sweepIfDue() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.life.Err() != nil || time.Since(f.last) < sweepEvery {
		return
	}
	f.last = time.Now()
	done := make(chan struct{})
	f.swept = done
	go func() {
		defer close(done)
		f.sweep()
	}()
}

func (f *expiringFiles) sweep() {
	ctx, cancel := context.WithTimeout(f.life, sweepTime)
	defer cancel()
	removed, err := f.Sweep(ctx, files.DefaultTTL)
	switch {
	case err != nil && f.life.Err() == nil:
		f.log.Warn("expired files are not swept", "error", err)
	case removed > 0:
		f.log.Info("expired files removed", "count", removed)
	}
}

// stop ends a sweep that is at work and begins none any more.
func (f *expiringFiles) stop(ctx context.Context) error {
	f.mu.Lock()
	f.end()
	done := f.swept
	f.mu.Unlock()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (h *Host) openFiles(context.Context) error {
	h.files = newExpiringFiles(files.New(files.Options{Objects: h.store, BaseURL: h.web.url}), h.opts.Log)
	return nil
}

func (h *Host) closeFiles(ctx context.Context) error { return h.files.stop(ctx) }
