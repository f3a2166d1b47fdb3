package journal

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/durafunc/durafunc/taskhub/storage/file/internal/disktest"
)

// diskFolder is a Folder whose names are durable.
type diskFolder struct{ plainFolder }

func (diskFolder) Sync(dir string) error {
	for _, path := range []string{dir, filepath.Dir(dir)} {
		d, err := os.Open(path)
		if err != nil {
			return err
		}
		if err := errors.Join(d.Sync(), d.Close()); err != nil {
			return err
		}
	}
	return nil
}

func (f diskFolder) Make(path string, body []byte) error {
	if err := f.plainFolder.Make(path, body); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// TestPowerCut: what was acknowledged is on the disk, what was not is there as a whole or not
// at all, and the journal goes on.
func TestPowerCut(t *testing.T) {
	disktest.Skip(t)
	for name, mkfs := range map[string][]string{
		"ext4":                 {"mkfs.ext4", "-q", "-F"},
		"ext4 without journal": {"mkfs.ext4", "-q", "-F", "-O", "^has_journal"},
	} {
		t.Run(name, func(t *testing.T) {
			disk := disktest.New(t, mkfs...)
			dir := filepath.Join(disk.Mount(t, disk.Image), "log")
			j := New(dir, diskFolder{})
			defer j.Close()
			careless := New(dir, diskFolder{}) // appends, and dies before its sync
			defer careless.Close()
			careless.sync = func(*os.File) error { return errors.New("not synced") }
			body := func(n uint64) []byte { return bytes.Repeat([]byte{byte(n)}, 1+int(n%50)*1500) }
			j.full = firstFrame + 600<<10
			for n := range uint64(60) {
				mustCreate(t, j, n, string(body(n)))
			}
			for n := uint64(100); n < 130; n++ {
				if err := careless.Create(n, body(n), digest(body(n)), ready); err == nil {
					t.Fatal("a write was acknowledged without its sync")
				}
			}

			after := New(filepath.Join(disk.Mount(t, disk.Cut(t)), "log"), diskFolder{})
			defer after.Close()
			for n := range uint64(60) {
				if b, err := after.Get(n); err != nil || !bytes.Equal(b, body(n)) {
					t.Errorf("%d after the power cut: %d bytes, %v; want %d", n, len(b), err, len(body(n)))
				}
			}
			lost := 0
			for n := uint64(100); n < 130; n++ {
				b, err := after.Get(n)
				if errors.Is(err, fs.ErrNotExist) {
					lost++
					mustCreate(t, after, n, "again")
					b, err = after.Get(n)
					if string(b) == "again" {
						continue
					}
				}
				if err != nil || !bytes.Equal(b, body(n)) {
					t.Errorf("%d, never acknowledged: %d bytes, %v; want all or nothing", n, len(b), err)
				}
			}
			t.Logf("%d of 30 writes that were not acknowledged are gone", lost)
			mustCreate(t, after, 1000, "goes on")
		})
	}
}
