// Command durafunc-bench measures the host on the workloads of the peers' benchmark:
// docs/benchmarks.md says what each is. The host runs in this process and its clients
// too; the function app is a process of its own, as ever.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400) // as durafunc start does
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "durafunc-bench:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	o := &options{}
	cmd := &cobra.Command{
		Use:           "durafunc-bench",
		Short:         "Measure the host on the peers' workloads",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return measure(cmd.Context(), o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.stores, "store", []string{"file"}, "file, minio and memory, one after the other")
	f.StringSliceVar(&o.workloads, "workloads", []string{"w"}, "workloads by the beginnings of their names; flat fills a hub with 100,000 instances")
	f.IntVar(&o.repetitions, "repetitions", 3, "repetitions of each workload; as many again for those that were disturbed")
	f.IntVar(&o.instances, "instances", 0, "size of the workloads; 0: each one's own")
	f.IntVar(&o.clients, "clients", 0, "clients of the workloads that have several; 0: each one's own")
	f.IntVar(&o.partitions, "partitions", 0, "partitions of the hub; 0: the store's default")
	f.IntVar(&o.concurrency, "concurrency", 0, "maxConcurrentActivityFunctions and maxConcurrentOrchestratorFunctions; 0: the default")
	f.StringVar(&o.app, "app", "bin/bench-app", "the bench function app")
	f.StringVar(&o.dir, "dir", "", "where hubs and MinIO's data are kept while it runs; empty: the system's temporary directory")
	f.StringVar(&o.json, "json", "", "file to append a JSON line per repetition to")
	f.StringVar(&o.cpuProfile, "cpuprofile", "", "directory for CPU profiles of host and app")
	f.StringVar(&o.logLevel, "log-level", "error", "of the host's log")
	f.BoolVar(&o.quick, "quick", false, "smaller workloads")
	f.DurationVar(&o.quiet, "quiet", 10*time.Second, "how long to wait before a repetition for a quiet machine")
	f.DurationVar(&o.timeout, "timeout", 3*time.Minute, "limit of one repetition")
	return cmd
}

func measure(ctx context.Context, o *options, out, progress io.Writer) error {
	if o.dir != "" {
		if err := os.MkdirAll(o.dir, 0o755); err != nil {
			return fmt.Errorf("--dir: %w", err)
		}
	}
	d := &driver{o: o, out: out, progress: progress}
	if o.json != "" {
		f, err := os.OpenFile(o.json, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return fmt.Errorf("--json: %w", err)
		}
		defer f.Close()
		d.json = f
	}
	return d.run(ctx)
}
