package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strconv"
)

// profiled runs f with CPU profiles of host and app, <dir>/<name>-host.pprof and
// -app.pprof; without a dir it just runs f.
func (b *bench) profiled(ctx context.Context, dir, name string, f func() error) error {
	if dir == "" {
		return f()
	}
	dir, err := filepath.Abs(dir) // the app runs elsewhere
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return fmt.Errorf("--cpuprofile: %w", err)
	}
	out, err := os.Create(filepath.Join(dir, name+"-host.pprof"))
	if err != nil {
		return fmt.Errorf("--cpuprofile: %w", err)
	}
	if err := b.switchProfile(ctx, filepath.Join(dir, name+"-app.pprof")); err != nil {
		return errors.Join(err, out.Close())
	}
	if err := pprof.StartCPUProfile(out); err != nil {
		return errors.Join(fmt.Errorf("--cpuprofile: %w", err), out.Close())
	}
	err = f()
	pprof.StopCPUProfile()
	return errors.Join(err, out.Close(), b.switchProfile(ctx, ""))
}

func (b *bench) switchProfile(ctx context.Context, file string) error {
	_, err := b.one(ctx, "Profile", b.newIDs(1)[0], strconv.Quote(file))
	return err
}
