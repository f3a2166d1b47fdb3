package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/durafunc/durafunc/host"
	"github.com/durafunc/durafunc/host/hostjson"
	"github.com/durafunc/durafunc/taskhub/storage/probe"
)

type doctorFlags struct {
	root string
	json bool
}

func doctorCommand() *cobra.Command {
	var f doctorFlags
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Try out the store that host.json names",
		Long: `Try out the store that host.json names: whether it keeps the promises on which a task
hub rests, and what its operator should know. It can run beside hosts, takes some seconds,
writes below the hub's prefix and removes what it wrote.

  reach        the store can be read, written and listed
  latency      what a PUT and a GET take; each step of an orchestration waits for a PUT
  conditions   a create of what exists, and a replace of what has changed, are refused
  race         of 32 writers at once exactly one wins
  ambiguity    an answer that was lost can be found out by sending the same bytes again
  list         listings are in order and show what was just written
  expiry       a write whose signature has expired is refused
  integrity    a body that was damaged on its way is refused
  clock        the store's clock and this machine's agree
  durability   what is known of what survives a power cut
  leases       the same race in the table of sessions, if there is one

ok: as it should be. warn: it works, and somebody should know. fail: do not run a host on
it. The exit code is 1 if anything fails. --json prints the same for scripts.`,
		Example: `  durafunc doctor
  durafunc doctor --root ./shop
  durafunc doctor --json | jq '.findings[] | select(.level != "ok")'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := interruptible()
			defer cancel()
			return f.run(ctx, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&f.root, "root", ".", "function app root: the directory whose host.json names the store")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
	return cmd
}

// diagnosis is what the doctor prints as JSON.
type diagnosis struct {
	Hub      string          `json:"hub"`
	Store    string          `json:"store"`
	Leases   string          `json:"leases,omitempty"` // where sessions are, if not in the store
	Failed   bool            `json:"failed"`
	Findings []probe.Finding `json:"findings"`
}

const (
	// doctorPrefix is where the probes are, beside the hub's own objects.
	doctorPrefix = "doctor"
	// doctorTimeout bounds all of it; a store that hangs is a finding.
	doctorTimeout = 3 * time.Minute
	// shortLease is a lease of which a signature, which tells whole seconds, leaves too
	// little between two renewals.
	shortLease = 6 * time.Second
)

func (f *doctorFlags) run(ctx context.Context, out io.Writer) error {
	cfg, _, err := hostjson.Load(f.root, os.Environ())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, doctorTimeout)
	defer cancel()
	store, place, err := host.OpenStore(ctx, cfg)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	d := diagnosis{Hub: cfg.DurableTask.HubName, Store: place}
	d.Findings = probe.Diagnose(ctx, store, doctorPrefix)
	d.leases(ctx, cfg)
	d.Failed = probe.Failed(d.Findings)
	if f.json {
		err = printJSON(out, d)
	} else {
		err = d.print(out)
	}
	if err == nil && d.Failed {
		err = errors.New("do not run a host on this: checks have failed")
	}
	return err
}

// leases adds what concerns the sessions of hosts.
func (d *diagnosis) leases(ctx context.Context, cfg *hostjson.Config) {
	c := cfg.DurableTask.Storage
	if c.Type == hostjson.StoreS3 && c.LeaseDuration < shortLease {
		d.Findings = append(d.Findings, probe.Finding{
			Check: "lease", Level: probe.Warn, Found: fmt.Sprintf("leaseDuration is %v", c.LeaseDuration),
			Advice: fmt.Sprintf("Signatures end at whole seconds: below %v writes will wait for renewals of the lease.", shortLease),
		})
	}
	register, where, err := host.OpenRegister(ctx, cfg)
	if register == nil && err == nil {
		return
	}
	d.Leases = where
	if err != nil {
		d.Findings = append(d.Findings, probe.Finding{
			Check: "leases", Level: probe.Fail, Found: err.Error(), Advice: "Check storageProvider.leases in host.json and the credentials.",
		})
		return
	}
	if table, ok := register.(probe.Register); ok {
		d.Findings = append(d.Findings, probe.DiagnoseRegister(ctx, table, doctorPrefix))
	}
}

func (d *diagnosis) print(out io.Writer) error {
	fmt.Fprintf(out, "task hub %s in %s\n", d.Hub, d.Store)
	if d.Leases != "" {
		fmt.Fprintf(out, "sessions in %s\n", d.Leases)
	}
	fmt.Fprintln(out)
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	for _, f := range d.Findings {
		fmt.Fprintf(w, "%s\t%s\t%s\n", f.Level, f.Check, f.Found)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	first := true
	for _, f := range d.Findings {
		if f.Advice == "" {
			continue
		}
		if first {
			fmt.Fprintln(out, "\nwhat to do:")
			first = false
		}
		fmt.Fprintf(out, "  %s: %s\n", f.Check, f.Advice)
	}
	return nil
}
