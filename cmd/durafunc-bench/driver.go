package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// options are the flags.
type options struct {
	stores, workloads               []string
	repetitions, instances, clients int
	partitions, concurrency         int
	app, dir, json, cpuProfile      string
	logLevel                        string
	quick                           bool
	quiet, timeout                  time.Duration
}

// driver runs the plan and gathers results.
type driver struct {
	o        *options
	out      io.Writer // progress and tables
	json     io.Writer // a line per repetition; may be nil
	list     []summary
	progress io.Writer
}

// run measures every chosen workload on every store.
func (d *driver) run(ctx context.Context) error {
	chosen, err := choose(d.o.workloads)
	if err != nil {
		return err
	}
	for _, store := range d.o.stores {
		if err := d.store(ctx, store, chosen); err != nil {
			return err
		}
		printTable(d.out, store, d.list)
	}
	fmt.Fprintln(d.out, "\nMedian [min-max] of the repetitions; ~ where other processes used more than 20 % of the machine in all of them.")
	return nil
}

func (d *driver) store(ctx context.Context, store string, chosen []workload) error {
	dir, err := os.MkdirTemp(d.o.dir, "durafunc-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b, err := openBackend(ctx, store, dir)
	if err != nil {
		return fmt.Errorf("%s: %w", store, err)
	}
	defer b.close()
	for _, w := range chosen {
		results, err := d.group(ctx, b, w)
		if err != nil {
			return fmt.Errorf("%s on %s: %w", w.id, store, err)
		}
		d.list = append(d.list, summarize(w, store, results))
	}
	return nil
}

// warmUp gets stacks, pools and connections to the size that they have at work.
const (
	warmUpAlone    = 20
	warmUpTogether = 500
	warmUpClients  = 64
)

// group runs the repetitions of one workload on a fresh hub; disturbed ones are
// repeated, at most once each, unless it is to be quick.
func (d *driver) group(ctx context.Context, store *backend, w workload) (results []result, err error) {
	e, err := store.open(ctx, d.o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	b := &bench{environment: e}
	if _, _, err := b.sequential(ctx, warmUpAlone); err != nil {
		return nil, fmt.Errorf("warm-up: %w", err)
	}
	together := warmUpTogether
	if d.o.instances > 0 {
		together = min(together, d.o.instances)
	}
	if _, _, err := b.closedLoop(ctx, together, warmUpClients); err != nil {
		return nil, fmt.Errorf("warm-up: %w", err)
	}
	err = b.profiled(ctx, d.o.cpuProfile, store.name+"-"+w.id, func() error {
		good, attempts := 0, 2*d.repetitions(w)
		if d.o.quick {
			attempts = d.repetitions(w)
		}
		for attempt := 0; good < d.repetitions(w) && attempt < attempts; attempt++ {
			r, err := d.repetition(ctx, b, w, attempt)
			if err != nil {
				return err
			}
			r.Store = store.name
			results = append(results, r)
			if !r.Usage.Noisy {
				good++
			}
			if err := d.emit(r); err != nil {
				return err
			}
		}
		return nil
	})
	return results, err
}

// repetitions of w: flatness repeats inside, and fills a hub each time.
func (d *driver) repetitions(w workload) int {
	if w.id == "flat" {
		return 1
	}
	return d.o.repetitions
}

func (d *driver) repetition(ctx context.Context, b *bench, w workload, rep int) (result, error) {
	awaitQuiet(ctx, d.o.quiet)
	ctx, cancel := context.WithTimeout(ctx, d.o.timeout)
	defer cancel()
	n, clients := w.n, w.clients
	if d.o.quick {
		n = w.quick
	}
	if d.o.instances > 0 {
		n = d.o.instances
	}
	if d.o.clients > 0 && clients > 1 {
		clients = d.o.clients
	}
	alone := 0.0
	if b.onDisk {
		var err error
		if alone, err = createAlone(ctx, filepath.Dir(b.root)); err != nil {
			return result{}, fmt.Errorf("a Create alone: %w", err)
		}
	}
	figures, u, err := w.run(b, ctx, n, clients)
	if err != nil {
		return result{}, err
	}
	u.AloneMS = alone
	b.addMemory(&u)
	return result{Workload: w.id, Rep: rep, N: n, Clients: clients, Figures: figures, Usage: u}, nil
}

func (d *driver) emit(r result) error {
	note := ""
	if r.Usage.Noisy {
		note = fmt.Sprintf(" (noisy: others %.0f %%)", r.Usage.Others*100)
	}
	fmt.Fprintf(d.progress, "%s %s #%d: %s%s\n", r.Store, r.Workload, r.Rep+1, figuresText(r.Figures), note)
	if d.json == nil {
		return nil
	}
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = d.json.Write(append(line, '\n'))
	return err
}
