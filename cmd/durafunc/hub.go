package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/durafunc/durafunc/host"
	"github.com/durafunc/durafunc/host/hostjson"
	"github.com/durafunc/durafunc/taskhub/checkpoint"
	"github.com/durafunc/durafunc/taskhub/inspect"
	"github.com/durafunc/durafunc/taskhub/layout"
	"github.com/durafunc/durafunc/taskhub/partition"
)

// hubFlags are common to the commands that look into a hub's bucket.
type hubFlags struct {
	root string
	json bool
}

func hubCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "hub",
		Short: "Look into a task hub's bucket, with or without a running host",
	}
	cmd.AddCommand(hubStatusCommand(), hubVerifyCommand())
	return cmd
}

func (f *hubFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.root, "root", ".", "function app root: the directory whose host.json names the hub")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
}

// open finds the hub that host.json names.
func (f *hubFlags) open(ctx context.Context) (*inspect.Inspector, error) {
	cfg, _, err := hostjson.Load(f.root, os.Environ())
	if err != nil {
		return nil, err
	}
	store, place, err := host.OpenStore(ctx, cfg)
	if err != nil {
		return nil, err
	}
	register, leases, err := host.OpenRegister(ctx, cfg)
	if err != nil {
		return nil, err
	}
	i, err := inspect.Open(ctx, inspect.Options{Name: cfg.DurableTask.HubName, Store: store, Register: register, Leases: leases})
	if errors.Is(err, layout.ErrNoHub) {
		return nil, fmt.Errorf("%w: %s; durafunc start creates one", err, place)
	}
	return i, err
}

func interruptible() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
}

func hubStatusCommand() *cobra.Command {
	var f hubFlags
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show hosts and partitions as the bucket tells them",
		Long:  "Show the sessions of hosts, and for each partition its epoch, owner, checkpoint and log. Reads only.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := interruptible()
			defer cancel()
			i, err := f.open(ctx)
			if err != nil {
				return err
			}
			s, err := i.Status(ctx)
			if err != nil {
				return err
			}
			if f.json {
				return printJSON(cmd.OutOrStdout(), s)
			}
			return printStatus(cmd.OutOrStdout(), s)
		},
	}
	f.add(cmd)
	return cmd
}

func printStatus(out io.Writer, s *inspect.Status) error {
	fmt.Fprintf(out, "task hub %s (%s), created %s\n\n", s.Name, s.ID, s.Created.Format(time.RFC3339))
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "session\tstate\thost\tpid\tstarted\trenewed")
	for _, x := range s.Sessions {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\n", short(x.ID), x.State, x.Host, x.PID, x.Started.Format(time.RFC3339), x.Renewed.UTC().Format(time.RFC3339))
	}
	fmt.Fprintln(w, "\npartition\tepoch\towner\tcheckpoint\tlog\trecords\twakes")
	for _, p := range s.Partitions {
		owner := short(p.Owner)
		switch {
		case owner == "" && p.Problem != "":
			owner = "(unknown)"
		case owner == "":
			owner = "(none)"
		}
		wakes := "" // it is served, or until it is asked for something
		if p.WakeAt != nil {
			wakes = p.WakeAt.Format(time.RFC3339)
		}
		fmt.Fprintf(w, "%d\t%d\t%s\t%d\t%d-%d\t%d\t%s\n", p.Partition, p.Epoch, owner, p.Checkpoint, p.LogFirst, p.LogLast, p.LogRecords, wakes)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, x := range s.Sessions {
		if x.Problem != "" {
			fmt.Fprintln(out, x.Problem)
		}
	}
	for _, p := range s.Partitions {
		if p.Problem != "" {
			fmt.Fprintf(out, "partition %d: %s\n", p.Partition, p.Problem)
		}
	}
	return nil
}

// short is enough of a session id to tell it from others.
func short(id string) string { return id[:min(8, len(id))] }

func hubVerifyCommand() *cobra.Command {
	var f hubFlags
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check every object of a hub: digests, references, sequence, histories",
		Long: `Read every partition as a recovery would and check what is there: the chain of record
digests, checksums of hub.json, sessions, roots and checkpoints, references, and that
instances agree with their histories. It changes nothing. Exit code 1 when something is
wrong.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := interruptible()
			defer cancel()
			return f.verify(ctx, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f.add(cmd)
	return cmd
}

func (f *hubFlags) verify(ctx context.Context, out, progress io.Writer) error {
	i, err := f.open(ctx)
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "durafunc-verify-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	opener, err := checkpoint.NewPebble(scratch, 32<<20)
	if err != nil {
		return err
	}
	var found findings
	if found.Sessions, err = i.VerifySessions(ctx); err != nil {
		return err
	}
	problems := len(found.Sessions)
	for n := range i.Partitions() {
		fmt.Fprintf(progress, "partition %d of %d …\n", n, i.Partitions())
		r, err := i.Verify(ctx, n, opener)
		if err != nil {
			return fmt.Errorf("partition %d: %w", n, err)
		}
		found.Partitions = append(found.Partitions, r)
		problems += len(r.Problems)
	}
	if f.json {
		err = printJSON(out, found)
	} else {
		err = printFindings(out, found)
	}
	if err == nil && problems > 0 {
		err = fmt.Errorf("%d problems found", problems)
	}
	return err
}

// findings are what hub verify found out.
type findings struct {
	Sessions   []string            `json:"sessions"` // problems
	Partitions []*partition.Report `json:"partitions"`
}

func printFindings(out io.Writer, found findings) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "partition\tepoch\tcheckpoint\ttail\tinstances\tlive\tevents\tpayloads\tproblems")
	for _, r := range found.Partitions {
		fmt.Fprintf(w, "%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", r.Partition, r.Epoch, r.Checkpoint, r.Tail, r.Instances, r.Live, r.Events, r.Payloads, len(r.Problems))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, p := range found.Sessions {
		fmt.Fprintln(out, p)
	}
	for _, r := range found.Partitions {
		for _, p := range r.Problems {
			fmt.Fprintf(out, "partition %d: %s\n", r.Partition, p)
		}
	}
	return nil
}

func printJSON(out io.Writer, v any) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
