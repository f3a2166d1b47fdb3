package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/durafunc/durafunc/host/internal/hosttest"
	"github.com/durafunc/durafunc/plugins/durable/client"
)

// smallDisk mounts a file system of a few MiB.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=16m"); err != nil {
		t.Skipf("a small file system cannot be mounted (it needs a privileged user): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// fill writes a file until the disk is full.
func fill(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	must(t, err)
	defer f.Close()
	for size := 1 << 20; size > 0; { // down to the last byte
		_, err := f.Write(make([]byte, size))
		if errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else {
			must(t, err)
		}
	}
}

// loseReserve gives back what the logs have allocated beyond their ends, with which a host
// goes on for a while on a full disk, and fills their last pages with what a write that was
// cut short might leave.
func loseReserve(t *testing.T, disk string) {
	t.Helper()
	segments, err := filepath.Glob(filepath.Join(disk, "store", "*", "p", "*", "log", "~*"))
	must(t, err)
	if len(segments) == 0 {
		t.Fatal("no log was found")
	}
	for _, path := range segments {
		info, err := os.Stat(path)
		must(t, err)
		must(t, os.Truncate(path, info.Size()))
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		must(t, err)
		page := int64(os.Getpagesize())
		_, err = f.Write(make([]byte, page-info.Size()%page))
		must(t, errors.Join(err, f.Close()))
	}
}

// TestFullDisk: while there is no space nothing is acknowledged, and the host says why;
// when there is space again it goes on by itself.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t)
	r := deployed(t, hosttest.File().With("path", disk), testApp, nil)
	h := r.Start(t)
	startChildren(t, h, "a")

	filler := filepath.Join(disk, "filler")
	fill(t, filler)
	// What the host was about to replace when the disk filled up makes room for a last commit.
	var clients sync.WaitGroup
	start := func(id string) {
		c := h.Client
		c.Header = http.Header{"Idempotency-Key": {id}} // sent twice
		a, _, err := c.Persist(t.Context(), http.MethodPost, client.StartPath("Chain", id), "3")
		if err != nil || a.Code != http.StatusAccepted {
			t.Errorf("start of %s: %v %v", id, a, err)
		}
	}
	clients.Go(func() { start("last") })
	untilFull := func() {
		t.Helper()
		hosttest.Until(t, "the host says that there is no space", func() bool {
			return slices.ContainsFunc(h.HostErrors(t), func(e string) bool { return strings.Contains(e, "no space left") })
		})
	}
	untilFull()
	loseReserve(t, disk)
	fill(t, filler+"2")

	const count = 10
	var tried sync.WaitGroup
	for n := range count {
		id := fmt.Sprint("full-", n)
		tried.Go(func() {
			c := h.Client
			c.Header = http.Header{"Idempotency-Key": {id}}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if a, err := c.Do(ctx, http.MethodPost, client.StartPath("Chain", id), "3"); err == nil && a.Code == http.StatusAccepted {
				t.Errorf("the start of %s is acknowledged on a full disk", id)
			}
		})
	}
	tried.Wait()
	untilFull()
	if !strings.Contains(h.Log(), "no space left") {
		t.Errorf("the log does not say why commits stand still:\n%s", h.Tail(20))
	}
	for n := range count {
		clients.Go(func() { start(fmt.Sprint("full-", n)) })
	}
	must(t, os.Remove(filler))
	must(t, os.Remove(filler+"2"))
	clients.Wait()
	for n := range count {
		h.UntilStatus(t, fmt.Sprint("full-", n), "Completed")
	}
	endChildren(t, h, "a")
	hosttest.Until(t, "the host is content again", func() bool { return len(h.HostErrors(t)) == 0 })
	h.Stop(t)
}
