package host

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/durafunc/durafunc/host/dispatch"
	"github.com/durafunc/durafunc/host/hostjson"
	"github.com/durafunc/durafunc/host/httpapi"
	"github.com/durafunc/durafunc/host/lifecycle"
	"github.com/durafunc/durafunc/host/mux"
	"github.com/durafunc/durafunc/plugins/supervisor"
	"github.com/durafunc/durafunc/taskhub"
	"github.com/durafunc/durafunc/taskhub/storage/metered"
	"github.com/durafunc/durafunc/trigger"
)

// Options say what to run.
type Options struct {
	Config *hostjson.Config
	// Address and Port are where HTTP is served; port 0 lets the system choose.
	Address string
	Port    int
	Version string
	Log     hclog.Logger
	// Kinds are kinds of triggers and bindings beside those that every host serves.
	Kinds []trigger.Kind
}

// Host is a running host process.
type Host struct {
	opts     Options
	started  time.Time
	state    atomic.Value // httpapi.HostState
	services *lifecycle.Group
	registry *trigger.Registry

	web       *webServer
	store     *metered.Store
	monitored *monitoredStore
	place     string // where the store is, in words
	local     *localState
	files     *expiringFiles
	hub       *taskhub.Hub
	work      *dispatch.Dispatcher
	apps      *supervisor.Supervisor
	mux       *mux.Mux
	triggers  *trigger.Listeners
}

// Start brings the host up. It returns when HTTP is served and every function app has
// been tried; partitions may still be opening. On error nothing is left running.
func Start(ctx context.Context, opts Options) (*Host, error) {
	h := &Host{
		opts: opts, started: time.Now(), registry: newRegistry(opts.Kinds...),
		web: newWebServer(opts.Address, opts.Port),
	}
	h.state.Store(httpapi.HostStarting)
	h.services = lifecycle.NewGroup(h.order()...)
	if err := h.services.Start(ctx); err != nil {
		return nil, err
	}
	h.state.Store(httpapi.HostRunning)
	opts.Log.Info("host started", "url", h.web.url, "store", h.place, "hub", opts.Config.DurableTask.HubName,
		"elapsed", time.Since(h.started).Round(time.Millisecond))
	return h, nil
}

// order is what the host consists of, in the order in which it is started. It is stopped
// in the reverse one: no new requests, no triggers, work that is out may come back for a moment, the
// last commit, a checkpoint, the partitions released, the apps drained.
func (h *Host) order() []lifecycle.Service {
	return []lifecycle.Service{
		// The port comes before anything else: a host that cannot be reached must not
		// create a hub or claim its partitions. Who connects meanwhile waits to be served.
		lifecycle.Funcs{OnStart: h.web.listen, OnStop: h.web.close},
		lifecycle.Funcs{OnStart: h.functionsDir},
		lifecycle.Funcs{OnStart: h.openStore},
		lifecycle.Funcs{OnStart: h.openLocal, OnStop: h.releaseLocal},
		lifecycle.Funcs{OnStart: h.openFiles, OnStop: h.closeFiles},
		lifecycle.Funcs{OnStart: h.openEngine, OnStop: h.closeEngine},
		lifecycle.Funcs{OnStop: h.closeTriggers}, // begin when function apps are loaded
		// Requests that come before the function apps are loaded are accepted: the work
		// waits for its function.
		lifecycle.Funcs{OnStart: h.serve, OnStop: h.web.shutdown},
		lifecycle.Funcs{OnStart: h.loadApps}, // the engine ends them, when it needs them no more
	}
}

// Stop ends the host in good order. When ctx ends first the rest is abandoned; nothing
// that was acknowledged is lost. It may be called twice.
func (h *Host) Stop(ctx context.Context) error {
	h.state.Store(httpapi.HostStopping)
	defer h.state.Store(httpapi.HostStopped)
	return h.services.Stop(ctx)
}

// URL is where the host serves HTTP.
func (h *Host) URL() string { return h.web.url }

// StoreDescription says in words where the task hub is.
func (h *Host) StoreDescription() string { return h.place }

// Hub is the task hub, for those who run in the host's process.
func (h *Host) Hub() *taskhub.Hub { return h.hub }

// Requests counts the requests made to the store since the start.
func (h *Host) Requests() metered.Counts { return h.store.Counts() }

// Apps says what became of each function app.
func (h *Host) Apps() []supervisor.AppStatus { return h.apps.Apps() }

// Failed is closed, after an error, when HTTP is no longer served.
func (h *Host) Failed() <-chan error { return h.web.failed }
