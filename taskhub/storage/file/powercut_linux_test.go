package file_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/durafunc/durafunc/taskhub/storage/file"
)

// TestPowerCut copies the disk below a file system while that is mounted: what the
// kernel had not yet written is missing from the copy, as after a power cut (short of
// what a drive's own cache would lose). What was acknowledged must be on the copy.
func TestPowerCut(t *testing.T) {
	if testing.Short() {
		t.Skip("makes and mounts file systems")
	}
	if os.Getuid() != 0 {
		t.Skip("mounting an image takes root")
	}
	for _, tt := range []struct {
		name string
		mkfs []string
	}{
		{"ext4", []string{"mkfs.ext4", "-q", "-F"}},
		{"ext4 without a journal", []string{"mkfs.ext4", "-q", "-F", "-O", "^has_journal"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			disk := newDisk(t, tt.mkfs...)
			s := open(t, filepath.Join(disk.mount(t, disk.image), "s"))
			want := map[string][]byte{}
			tag, err := s.Create(t.Context(), "root", []byte("root 0"))
			if err != nil {
				t.Fatal(err)
			}
			for i := range 30 {
				key, body := fmt.Sprintf("p/%d/log/%08d", i%2, i), bytes.Repeat([]byte{byte(i + 1)}, 1+i*1000)
				if _, err := s.Create(t.Context(), key, body); err != nil {
					t.Fatal(err)
				}
				want[key] = body
				want["root"] = fmt.Appendf(nil, "root %d", i+1)
				if tag, err = s.Replace(t.Context(), "root", tag, want["root"]); err != nil {
					t.Fatal(err)
				}
			}
			after := open(t, filepath.Join(disk.mount(t, disk.cut(t)), "s"))
			for key, body := range want {
				if got, _, err := after.Get(t.Context(), key); err != nil || !bytes.Equal(got, body) {
					t.Errorf("%s after the power cut: %d bytes, %v; want %d bytes", key, len(got), err, len(body))
				}
			}
		})
	}
}

// disk is a file system in a file.
type disk struct{ dir, image string }

func newDisk(t *testing.T, mkfs ...string) *disk {
	t.Helper()
	d := &disk{dir: t.TempDir()}
	d.image = filepath.Join(d.dir, "disk")
	f, err := os.Create(d.image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(32 << 20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(mkfs[0], append(mkfs[1:], d.image)...).CombinedOutput(); err != nil {
		t.Skipf("%v: %v: %s", mkfs, err, out)
	}
	return d
}

// mount returns the path where image is mounted.
func (d *disk) mount(t *testing.T, image string) string {
	t.Helper()
	at := image + ".mount"
	if err := os.Mkdir(at, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-o", "loop", image, at).CombinedOutput(); err != nil {
		t.Skipf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", at).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return at
}

// cut returns a repaired copy of the disk as it is now.
func (d *disk) cut(t *testing.T) (image string) {
	t.Helper()
	image = filepath.Join(d.dir, "copy")
	if out, err := exec.Command("cp", "--sparse=always", d.image, image).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
	out, err := exec.Command("e2fsck", "-fy", image).CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() <= 2 { // repaired
		err = nil
	}
	if err != nil {
		t.Fatalf("e2fsck: %v: %s", err, out)
	}
	t.Logf("e2fsck:\n%s", out)
	return image
}

var _ = file.Open
