package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/durafunc/durafunc/bindings/durableclient"
	"github.com/durafunc/durafunc/host/dispatch"
	"github.com/durafunc/durafunc/plugins/supervisor"
)

// appsDrain is how long function apps may take to end what they run, once the task hub
// waits for none of it.
const appsDrain = time.Second

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

// openEngine opens the task hub and prepares what runs its work, the function apps, and
// who is told of them. Hub and apps are one service because neither can outlive the other:
// apps ask the hub, and the hub waits for the apps' answers when it stops.
func (h *Host) openEngine(ctx context.Context) error {
	if err := h.openHub(ctx); err != nil {
		return err
	}
	h.mux = h.newMux()
	h.triggers = h.newListeners()
	h.apps = supervisor.New(supervisor.Options{
		Dir: h.opts.Config.FunctionsDirectory, Log: h.opts.Log.Named("plugins"), Handler: h.work, CheckBinding: h.registry.Check,
		HostServices: durableclient.New(h.hub, h.files), HostVersion: h.opts.Version,
		RunDir:   filepath.Join(h.local.dir, "apps"),
		OnChange: h.appsChanged,
	})
	return nil
}

// appsChanged tells those who route work to functions, and those who start them.
func (h *Host) appsChanged() {
	functions := h.apps.Functions()
	h.work.SetFunctions(dispatch.FromApps(h.registry, functions))
	h.hub.Reconsider()
	h.triggers.Set(bound(functions))
}

func (h *Host) loadApps(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Join(h.local.dir, "apps"), 0o755); err != nil {
		return fmt.Errorf("working directory: %w", err)
	}
	return h.apps.Start(ctx)
}

func (h *Host) closeEngine(ctx context.Context) error {
	h.hub.Quiesce()
	h.work.Stop() // gives back what waits for a function or a free slot
	err := h.hub.Stop(ctx)
	drain, cancel := context.WithTimeout(ctx, appsDrain)
	defer cancel()
	return errors.Join(err, h.apps.Stop(drain))
}
