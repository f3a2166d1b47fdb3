// Package disktest makes small file systems for tests that cut the power: a copy of the disk
// below a mounted file system lacks what the kernel had not yet written (and holds what a
// drive's own cache would lose).
package disktest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Skip skips a test that cannot mount here, or is to be short.
func Skip(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("makes and mounts file systems")
	}
	if os.Getuid() != 0 {
		t.Skip("mounting an image takes root")
	}
}

// Disk is a file system in a file.
type Disk struct {
	Image string
	dir   string
}

// New makes a file system of 32 MiB, or skips the test where that is not possible.
func New(t *testing.T, mkfs ...string) *Disk {
	t.Helper()
	d := &Disk{dir: t.TempDir()}
	d.Image = filepath.Join(d.dir, "disk")
	f, err := os.Create(d.Image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(32 << 20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(mkfs[0], append(mkfs[1:], d.Image)...).CombinedOutput(); err != nil {
		t.Skipf("%v: %v: %s", mkfs, err, out)
	}
	return d
}

// Mount returns the path where image is mounted.
func (d *Disk) Mount(t *testing.T, image string) string {
	t.Helper()
	at := image + ".mount"
	if err := os.Mkdir(at, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-o", "loop", image, at).CombinedOutput(); err != nil {
		t.Skipf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() { // of a store, a spare file may still be closing
		if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
			t.Errorf("umount: %v", err)
		}
	})
	return at
}

// Cut returns a repaired copy of the disk as it is now.
func (d *Disk) Cut(t *testing.T) (image string) {
	t.Helper()
	image = filepath.Join(d.dir, "copy")
	if out, err := exec.Command("cp", "--sparse=always", d.Image, image).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
	// By hand, because a file system without a journal does not do it by itself.
	out, err := exec.Command("e2fsck", "-fy", image).CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() <= 2 { // repaired
		err = nil
	}
	if err != nil {
		t.Fatalf("e2fsck: %v: %s", err, out)
	}
	return image
}
