package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/durafunc/durafunc/host"
	"github.com/durafunc/durafunc/host/hostjson"
	"github.com/durafunc/durafunc/plugins/supervisor"
)

type startFlags struct {
	root, address string
	port          int
	logLevel      string
	logJSON       bool
}

func startCommand() *cobra.Command {
	var f startFlags
	cmd := &cobra.Command{
		Use:   "start",
		Short: "Run the host",
		Long: `Run the host on a function app root: a directory with host.json and functions/.

The host loads every function app in functions/ and reloads them when they change.
The first SIGTERM or Ctrl-C ends it in good order: nothing new is taken, running work
may end, the state is saved. A second one ends it at once; nothing is lost then either.`,
		Example: `  durafunc start
  durafunc start --root ./shop --port 8080
  DURAFUNC__extensions__durableTask__hubName=Test durafunc start`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return start(cmd.OutOrStdout(), cmd.ErrOrStderr(), f) },
	}
	cmd.Flags().StringVar(&f.root, "root", ".", "function app root: the directory with host.json and functions/")
	cmd.Flags().StringVar(&f.address, "address", "127.0.0.1", "address to serve HTTP on")
	cmd.Flags().IntVar(&f.port, "port", 7071, "port to serve HTTP on; 0: any free one")
	cmd.Flags().StringVar(&f.logLevel, "log-level", "", "trace, debug, info, warn or error (default: logging.logLevel of host.json)")
	cmd.Flags().BoolVar(&f.logJSON, "log-json", false, "log one JSON object a line")
	return cmd
}

// stopTimeout bounds an orderly stop; what is not done by then is done by the next host.
const stopTimeout = 30 * time.Second

func start(out, errOut io.Writer, f startFlags) error {
	cfg, notes, err := hostjson.Load(f.root, os.Environ())
	if err != nil {
		return err
	}
	level := cfg.LogLevel
	if f.logLevel != "" {
		if level = hclog.LevelFromString(f.logLevel); level == hclog.NoLevel {
			return fmt.Errorf("--log-level %q: must be trace, debug, info, warn or error", f.logLevel)
		}
	}
	log := hclog.New(&hclog.LoggerOptions{Name: "durafunc", Level: level, Output: errOut, JSONFormat: f.logJSON})
	for _, n := range notes {
		if n.Warn {
			log.Warn(n.String())
		} else {
			log.Info(n.String())
		}
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // a signal while it starts gives up the start
		if s, ok := <-signals; ok {
			signals <- s
			cancel()
		}
	}()
	h, err := host.Start(ctx, host.Options{Config: cfg, Address: f.address, Port: f.port, Version: version, Log: log})
	if err != nil {
		return err
	}
	announce(out, h)
	select {
	case s := <-signals:
		log.Info("stopping; once more ends at once", "signal", s.String())
	case err := <-h.Failed():
		log.Error("http is not served any more", "error", err)
	}
	go func() {
		<-signals
		log.Warn("ended at once; the next host picks up what was committed")
		os.Exit(1)
	}()
	stop, done := context.WithTimeout(context.Background(), stopTimeout)
	defer done()
	if err := h.Stop(stop); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	log.Info("stopped")
	return nil
}

// announce tells a person what is there and how to use it.
func announce(out io.Writer, h *host.Host) {
	fmt.Fprintf(out, "\ndurafunc %s on %s\nstore: %s\n\n", version, h.URL(), h.StoreDescription())
	apps := h.Apps()
	if len(apps) == 0 {
		fmt.Fprintln(out, "No function apps yet: copy one into the functions directory, and it is loaded.")
	}
	for _, app := range apps {
		if app.State == supervisor.Failed {
			fmt.Fprintf(out, "%s: not loaded: %v\n", app.Name, app.LastError)
			continue
		}
		for _, fn := range app.Functions {
			trigger := ""
			if len(fn.Bindings) > 0 {
				trigger = strings.TrimSuffix(fn.Bindings[0].Type, "Trigger")
			}
			fmt.Fprintf(out, "  %s/%s: %s\n", app.Name, fn.Name, trigger)
		}
	}
	fmt.Fprintf(out, "\nstart an orchestration:\n  curl -X POST %s/runtime/webhooks/durabletask/orchestrators/NAME -H 'Content-Type: application/json' -d '{}'\n\n", h.URL())
}
