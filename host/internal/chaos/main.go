// Command chaos runs several real hosts on one task hub in MinIO behind fault proxies,
// with clients that never give up, and does to the hosts and their store what happens to
// them in the worst weeks: kills, freezes, restarts, cut connections, late writes. At the
// end it audits what is there against what the clients were told. Its exit code is 1
// when it has found something; then it keeps the evidence and says where.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/durafunc/durafunc/host/internal/chaos/faultproxy"
)

// options are the flags.
type options struct {
	duration, lease           time.Duration
	seed                      uint64
	hosts, partitions         int
	clients                   int
	host, app, dir, json, log string
	only                      []string
	keep                      bool
}

// errFound means that the run has found something; the report says what.
var errFound = errors.New("the run has findings")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	o := &options{}
	cmd := &cobra.Command{
		Use:           "chaos",
		Short:         "Run hosts under faults and audit what is left",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.DurationVar(&o.duration, "duration", 10*time.Minute, "how long load and disturbances last; the audit comes on top")
	f.Uint64Var(&o.seed, "seed", 0, "seed of what is done and when; 0: from the clock")
	f.IntVar(&o.hosts, "hosts", 3, "hosts, at least 2")
	f.IntVar(&o.partitions, "partitions", 4, "partitions of the hub")
	f.IntVar(&o.clients, "clients", 24, "clients, each with one scenario at a time")
	f.DurationVar(&o.lease, "lease", 3*time.Second, "leaseDuration of the hosts")
	f.StringVar(&o.host, "host-binary", "bin/durafunc", "the host")
	f.StringVar(&o.app, "app", "bin/chaos-app", "the function app of the run")
	f.StringVar(&o.dir, "dir", "", "where the run's directory is made; empty: the system's temporary directory")
	f.StringVar(&o.json, "json", "", "file for the report as JSON")
	f.StringVar(&o.log, "log-level", "Information", "logging.logLevel of the hosts")
	f.StringSliceVar(&o.only, "only", nil, "kinds of disturbance, in place of all: "+strings.Join(kindNames(), ", "))
	f.BoolVar(&o.keep, "keep", false, "keep the run's directory, whatever is found")
	return cmd
}

func kindNames() []string {
	var names []string
	for _, k := range kinds {
		names = append(names, k.name)
	}
	return names
}

func (o *options) chosen() (map[string]bool, error) {
	only := map[string]bool{}
	for _, name := range o.only {
		if !strings.Contains(","+strings.Join(kindNames(), ",")+",", ","+name+",") {
			return nil, fmt.Errorf("--only: %q is none of %s", name, strings.Join(kindNames(), ", "))
		}
		only[name] = true
	}
	return only, nil
}

func (o *options) run(ctx context.Context, out io.Writer) error {
	only, err := o.chosen()
	if err != nil {
		return err
	}
	if o.hosts < 2 {
		return fmt.Errorf("--hosts: %d must be at least 2", o.hosts)
	}
	if o.seed == 0 {
		o.seed = uint64(time.Now().UnixNano())
	}
	if o.host, err = filepath.Abs(o.host); err == nil {
		o.app, err = filepath.Abs(o.app)
	}
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(o.dir, "chaos-")
	if err != nil {
		return err
	}
	rec := newRecorder(out)
	rec.sayf("seed %d, evidence in %s", o.seed, dir)
	r := &report{Seed: o.seed, Duration: o.duration}
	err = o.all(ctx, rec, r, dir, only)
	r.Took = rec.now()
	if err != nil {
		return fmt.Errorf("%w; evidence: %s", err, dir)
	}
	if len(r.Findings) > 0 || o.keep {
		r.Kept = dir
		err = r.write(filepath.Join(dir, "report.json"))
	} else {
		err = os.RemoveAll(dir)
	}
	if o.json != "" {
		err = errors.Join(err, r.write(o.json))
	}
	err = errors.Join(err, r.print(out))
	if len(r.Findings) > 0 {
		err = errors.Join(err, errFound)
	}
	return err
}

// all is the whole run: hosts, load and disturbances, quiet, audit.
func (o *options) all(ctx context.Context, rec *recorder, r *report, dir string, only map[string]bool) error {
	rng := rand.New(rand.NewPCG(o.seed, 0))
	f, err := newFleet(ctx, fleetOptions{
		dir: dir, host: o.host, app: o.app, logLevel: o.log, hosts: o.hosts, partitions: o.partitions, lease: o.lease, rng: rng,
		problem: rec.problem, refused: func(err error) {
			rec.note("starts that a host gave up")
			rec.sayf("%v", err)
		},
	})
	if err != nil {
		return err
	}
	defer f.close()
	rec.sayf("MinIO on %s", f.server.Endpoint)
	if err := f.each(func(n *node) error { return n.start(ctx) }); err != nil {
		return err
	}
	lb := newBalancer(f)
	if r.Keyed, err = keysHonoured(ctx, rec, lb); err != nil {
		return err
	}
	rec.sayf("%d hosts serve; request keys honoured: %v", o.hosts, r.Keyed)
	if err := o.disturbed(ctx, rec, f, lb, r.Keyed, rng, only); err != nil {
		return err
	}
	instances := rec.registered()
	a := &auditor{fleet: f, rec: rec}
	if r.Read, err = a.run(ctx, instances); err != nil {
		if ctx.Err() != nil {
			return err
		}
		rec.problem("audit failed", "%v", err)
	}
	scanLogs(rec, f)
	ops := rec.all()
	rec.sayf("audit: is what clients saw linearizable? %d operations", len(ops))
	r.Checked, r.Undecided = linearizable(rec, ops, instances, dir)
	r.fill(rec, f, ops)
	return keep(dir, ops)
}

// disturbed runs clients and disturbances, and returns when both have ended: all hosts
// run, no fault is on, and clients have seen the end of what they started.
func (o *options) disturbed(ctx context.Context, rec *recorder, f *fleet, lb *balancer, keyed bool, rng *rand.Rand, only map[string]bool) error {
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for n := range o.clients {
		c := &client{n: n, rec: rec, lb: lb, keyed: keyed, hasty: true, rng: rand.New(rand.NewPCG(rng.Uint64(), 2))}
		clients.Go(func() { c.work(ctx, stop) })
	}
	for n := range watchersPerHost * len(f.nodes) {
		c := &client{n: o.clients + n, rec: rec, lb: lb, keyed: keyed, rng: rand.New(rand.NewPCG(rng.Uint64(), 4))}
		clients.Go(func() { c.watch(ctx, stop, n%len(f.nodes)) })
	}
	d := &disturber{fleet: f, rec: rec, rng: rand.New(rand.NewPCG(rng.Uint64(), 3)), lease: o.lease}
	d.back = func(n *node) error {
		began := time.Now()
		if err := n.start(ctx); err != nil {
			return err
		}
		rec.sayf("host %d serves again after %.1f s", n.n, time.Since(began).Seconds())
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, o.duration)
	err := d.run(limited, only)
	cancel()
	f.faults(faultproxy.Faults{})
	rec.sayf("no more faults; clients end what they have begun")
	close(stop)
	clients.Wait()
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return err
}

// scanLogs looks for what no host may ever write.
func scanLogs(rec *recorder, f *fleet) {
	for _, n := range f.nodes {
		text, err := os.ReadFile(n.logPath)
		if err != nil {
			rec.problem("no log", "host %d: %v", n.n, err)
			continue
		}
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSpace(line)
			for _, bad := range []string{"panic:", "fatal error:", "WARNING: DATA RACE", "this store cannot hold a task hub"} {
				if strings.Contains(line, bad) {
					rec.problem("host log", "host %d: %s", n.n, clip([]byte(line)))
				}
			}
			if strings.Contains(line, "[ERROR]") {
				rec.note("error lines in the hosts' logs")
			}
		}
	}
}
