package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/durafunc/durafunc/bindings/durableclient"
	"github.com/durafunc/durafunc/bindings/files"
	"github.com/durafunc/durafunc/host/dispatch"
	"github.com/durafunc/durafunc/host/hostjson"
	"github.com/durafunc/durafunc/host/httpapi"
	"github.com/durafunc/durafunc/plugins/supervisor"
	"github.com/durafunc/durafunc/taskhub"
	"github.com/durafunc/durafunc/taskhub/storage/metered"
)

// Options say what to run.
type Options struct {
	Config *hostjson.Config
	// Address and Port are where HTTP is served; port 0 lets the system choose.
	Address string
	Port    int
	Version string
	Log     hclog.Logger
}

// Host is a running host process.
type Host struct {
	opts      Options
	store     *metered.Store
	monitored *monitoredStore
	place     string // where the store is, in words
	local     *localState
	hub       *taskhub.Hub
	work      *dispatch.Dispatcher
	apps      *supervisor.Supervisor
	files     *expiringFiles
	life      context.Context // ends when Stop begins
	end       context.CancelFunc
	bound     net.Listener
	http      *http.Server
	url       string
	served    chan error
	conns     pendingConns
	started   time.Time
	state     atomic.Value // httpapi.HostState
}

// Start brings the host up: port, store, hub, HTTP, function apps, in this order. It returns
// when HTTP is served and every function app has been tried; partitions may still be
// opening. On error nothing is left running.
func Start(ctx context.Context, opts Options) (*Host, error) {
	h := &Host{opts: opts, started: time.Now(), served: make(chan error, 1)}
	h.life, h.end = context.WithCancel(context.Background())
	h.state.Store(httpapi.HostStarting)
	steps := []func(context.Context) error{h.bind, h.functionsDir, h.openHub, h.serve, h.loadApps}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, h.giveUp(ctx))
		}
	}
	h.state.Store(httpapi.HostRunning)
	opts.Log.Info("host started", "url", h.url, "store", h.place, "hub", opts.Config.DurableTask.HubName,
		"elapsed", time.Since(h.started).Round(time.Millisecond))
	return h, nil
}

// giveUp stops what a failed start has started.
func (h *Host) giveUp(ctx context.Context) error {
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return h.Stop(stop)
}

// URL is where the host serves HTTP.
func (h *Host) URL() string { return h.url }

// StoreDescription says in words where the task hub is.
func (h *Host) StoreDescription() string { return h.place }

// Hub is the task hub, for those who run in the host's process.
func (h *Host) Hub() *taskhub.Hub { return h.hub }

// Requests counts the requests made to the store since the start.
func (h *Host) Requests() metered.Counts { return h.store.Counts() }

// Apps says what became of each function app.
func (h *Host) Apps() []supervisor.AppStatus { return h.apps.Apps() }

// Failed is closed, after an error, when HTTP is no longer served.
func (h *Host) Failed() <-chan error { return h.served }

// bind takes the port before anything else: a host that cannot be reached must not
// create a hub or claim its partitions. Who connects meanwhile waits to be served.
func (h *Host) bind(ctx context.Context) error {
	var cfg net.ListenConfig
	listener, err := cfg.Listen(ctx, "tcp", net.JoinHostPort(h.opts.Address, strconv.Itoa(h.opts.Port)))
	if err != nil {
		return fmt.Errorf("serve http on address %s, port %d: %w", h.opts.Address, h.opts.Port, err)
	}
	h.bound = listener
	return nil
}

// serve serves HTTP. Requests that come before the function apps are loaded are
// accepted: the work waits for its function.
func (h *Host) serve(context.Context) error {
	h.url = "http://" + h.bound.Addr().String()
	h.files = &expiringFiles{Store: files.New(files.Options{Objects: h.store, BaseURL: h.url}), host: h}
	bindings := dispatch.Bindings()
	h.apps = supervisor.New(supervisor.Options{
		Dir: h.opts.Config.FunctionsDirectory, Log: h.opts.Log.Named("plugins"), Handler: h.work, CheckBinding: bindings.Check,
		HostServices: durableclient.New(h.hub, h.files), HostVersion: h.opts.Version,
		RunDir: filepath.Join(h.local.dir, "apps"),
		OnChange: func() {
			h.work.SetFunctions(dispatch.FromApps(bindings, h.apps.Functions()))
			h.hub.Reconsider()
		},
	})
	h.http = &http.Server{Handler: h.newMux(), ReadHeaderTimeout: 10 * time.Second}
	h.conns.watch(h.http)
	go func() {
		err := h.conns.serve(h.http, h.bound)
		if h.life.Err() == nil {
			h.served <- err
		}
		close(h.served)
	}()
	return nil
}

// functionsDir makes the functions directory, or finds out that it is of no use: a host
// without its functions would start, and only its log would say why nothing runs.
func (h *Host) functionsDir(context.Context) error {
	dir := h.opts.Config.FunctionsDirectory
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("functions directory: %w", err)
	}
	if _, err := os.ReadDir(dir); err != nil {
		return fmt.Errorf("functions directory: %w", err)
	}
	return nil
}

func (h *Host) loadApps(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Join(h.local.dir, "apps"), 0o755); err != nil {
		return fmt.Errorf("working directory: %w", err)
	}
	return h.apps.Start(ctx)
}

// Stop ends the host in good order: no new requests, work that is out may come back for
// a moment, the last commit, a checkpoint, the partitions released, the apps drained.
// When ctx ends first the rest is abandoned; nothing that was acknowledged is lost.
func (h *Host) Stop(ctx context.Context) error {
	h.state.Store(httpapi.HostStopping)
	h.end()
	var errs []error
	if h.http != nil {
		h.conns.shutdown(ctx, h.http, h.bound)
	}
	if h.hub != nil {
		h.hub.Quiesce()
	}
	if h.work != nil {
		h.work.Stop() // gives back what waits for a function or a free slot
	}
	if h.hub != nil {
		errs = append(errs, h.hub.Stop(ctx))
	}
	if h.apps != nil {
		drain, cancel := context.WithTimeout(ctx, time.Second)
		errs = append(errs, h.apps.Stop(drain))
		cancel()
	}
	if h.files != nil {
		h.files.busy.Wait()
	}
	if h.local != nil {
		errs = append(errs, h.local.release())
	}
	h.state.Store(httpapi.HostStopped)
	return errors.Join(errs...)
}
