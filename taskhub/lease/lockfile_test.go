package lease_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/durafunc/durafunc/taskhub/lease"
)

func TestLockFileProvesDeath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	lock, err := lease.HoldLock(dir, "host")
	if err != nil {
		t.Fatal(err)
	}
	if !filepath.IsAbs(lock.Path()) || filepath.Base(lock.Path()) != "host.lock" {
		t.Errorf("path %s", lock.Path())
	}
	if lease.Abandoned(lock.Path()) {
		t.Error("a lock that is held passes for abandoned")
	}
	if lease.Abandoned(lock.Path()) {
		t.Error("the first look released it")
	}
	if other, err := lease.HoldLock(dir, "host"); err == nil {
		t.Error("two hold one lock")
		_ = other.Release()
	}
	if err := lock.Release(); err != nil {
		t.Error(err)
	}
	again, err := lease.HoldLock(dir, "host")
	if err != nil {
		t.Fatalf("after a release: %v", err)
	}
	_ = again.Release()
}

// TestLockBesideLookers: hosts that start together look at each other's lock files before
// these are held.
func TestLockBesideLookers(t *testing.T) {
	dir := t.TempDir()
	var over atomic.Bool
	var lookers sync.WaitGroup
	lookers.Go(func() {
		for !over.Load() {
			paths, _ := filepath.Glob(filepath.Join(dir, "*.lock"))
			for _, path := range paths {
				lease.Abandoned(path)
			}
		}
	})
	for n := range 500 {
		lock, err := lease.HoldLock(dir, fmt.Sprint(n))
		if err != nil {
			t.Fatal(err)
		}
		if err := lock.Release(); err != nil {
			t.Error(err)
		}
	}
	over.Store(true)
	lookers.Wait()
}

// TestManyLook: two hosts that find a third one dead at the same time must both see it.
func TestManyLook(t *testing.T) {
	path := filepath.Join(t.TempDir(), "host.lock")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	var lookers sync.WaitGroup
	for range 4 {
		lookers.Go(func() {
			for range 2000 {
				if !lease.Abandoned(path) {
					t.Error("one who looks passes for a holder")
					return
				}
			}
		})
	}
	lookers.Wait()
}

func TestAFileThatNobodyHoldsIsAbandoned(t *testing.T) {
	path := filepath.Join(t.TempDir(), "host.lock")
	if lease.Abandoned(path) {
		t.Error("a file that is not there proves nothing: a container may show another disk")
	}
	// What a killed process leaves behind.
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if !lease.Abandoned(path) {
		t.Error("nobody holds it")
	}
}

func TestProvenDead(t *testing.T) {
	machine := lease.MachineID()
	if machine == "" {
		t.Skip("this system does not tell its machine id")
	}
	path := filepath.Join(t.TempDir(), "host.lock")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	held, err := lease.HoldLock(t.TempDir(), "host")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = held.Release() }()
	for _, tt := range []struct {
		name string
		rec  lease.Record
		want bool
	}{
		{"its lock is free, on this machine", lease.Record{Machine: machine, Lock: path}, true},
		{"its lock is held", lease.Record{Machine: machine, Lock: held.Path()}, false},
		{"another machine, or another boot", lease.Record{Machine: "other", Lock: path}, false},
		{"no machine is named", lease.Record{Lock: path}, false},
		{"no lock is named", lease.Record{Machine: machine}, false},
		{"the lock is not there", lease.Record{Machine: machine, Lock: path + "x"}, false},
	} {
		if got := lease.ProvenDead(tt.rec); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
