// Command demo shows the provisioning sample from start to finish: it starts a
// durafunc host, starts ProvisionNewDevices over HTTP, plays the devices (each
// downloads its package and raises DownloadCompletedAck), prints the report and a
// timeline, and stops the host. It uses nothing but the HTTP API, as any client
// would; make demo runs it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/durafunc/durafunc/plugins/durable/client"
)

// orchestrator is what the demo starts; its children play the devices' part.
const orchestrator = "ProvisionNewDevices"

// options are the flags.
type options struct {
	hostBinary string
	root       string
	devices    int
	timeout    time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.hostBinary, "host-binary", "bin/durafunc", "the durafunc `executable`")
	flag.StringVar(&o.root, "root", ".", "function app root: the `directory` with functions/")
	flag.IntVar(&o.devices, "devices", 5, "`number` of devices to provision")
	flag.DurationVar(&o.timeout, "timeout", 3*time.Minute, "give up after this `duration`")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "\ndemo failed:", err)
		os.Exit(1)
	}
}

// run is the whole demo. The host is stopped on every way out; that it stops
// cleanly is part of what is shown.
func run(ctx context.Context, o options, out io.Writer) (err error) {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	h, err := startHost(o.hostBinary, o.root)
	if err != nil {
		return err
	}
	defer func() {
		stopErr := h.stop()
		if err = errors.Join(err, stopErr); err != nil {
			err = fmt.Errorf("%w\nthe end of the host's log, %s:\n%s", err, h.logFile, h.logTail(20))
			return
		}
		fmt.Fprintln(out, "\nhost stopped cleanly (exit code 0)")
	}()

	fmt.Fprintf(out, "host started, pid %d, log in %s\n", h.pid(), h.logFile)
	if err := h.ready(ctx, orchestrator); err != nil {
		return err
	}
	fmt.Fprintf(out, "host serves on %s\n", h.url)
	c := client.New(h.url, client.Options{RetryFor: o.timeout})   // its partitions may be opening
	id := "demo-" + strconv.FormatInt(time.Now().UnixMilli(), 36) // a hub may hold earlier demos
	input := map[string]int{"devices": o.devices}
	if _, err := c.Start(ctx, client.StartRequest{Name: orchestrator, ID: id, Input: input}); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s started for %d devices, instance %s\n\n", orchestrator, o.devices, id)

	final, err := playDevices(ctx, c, id, newProgress(out, isTerminal(out)))
	if err != nil {
		return err
	}
	if err := printReport(out, final, o.devices); err != nil {
		return err
	}
	rows, err := timelineOf(ctx, c, id)
	if err != nil {
		return err
	}
	fmt.Fprintln(out)
	_, err = io.WriteString(out, renderTimeline(rows, 32))
	return err
}

// report is the part of the sample's output that the demo checks.
type report struct {
	Devices  int       `json:"devices"`
	Receipts []receipt `json:"receipts"`
}

type receipt struct {
	Device      string `json:"device"`
	Provisioned bool   `json:"provisioned"`
}

// printReport shows the output and fails unless every device was provisioned.
func printReport(out io.Writer, final *client.Instance, devices int) error {
	if final.Status != client.StatusCompleted {
		return fmt.Errorf("%s ended as %s: %s", final.ID, final.Status, final.Output)
	}
	var text any
	if err := json.Unmarshal(final.Output, &text); err != nil {
		return fmt.Errorf("output of %s: %w", final.ID, err)
	}
	pretty, err := json.MarshalIndent(text, "", "  ")
	if err != nil {
		return fmt.Errorf("output of %s: %w", final.ID, err)
	}
	fmt.Fprintf(out, "\nreport\n%s\n", pretty)

	var r report
	if err := json.Unmarshal(final.Output, &r); err != nil {
		return fmt.Errorf("output of %s: %w", final.ID, err)
	}
	if r.Devices != devices || len(r.Receipts) != devices {
		return fmt.Errorf("the report names %d devices and has %d receipts, want %d", r.Devices, len(r.Receipts), devices)
	}
	for _, got := range r.Receipts {
		if !got.Provisioned {
			return fmt.Errorf("device %s was not provisioned", got.Device)
		}
	}
	return nil
}

// isTerminal reports whether out can be redrawn.
func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
