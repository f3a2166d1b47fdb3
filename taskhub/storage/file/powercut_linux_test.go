package file_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/storage/file"
	"github.com/durafunc/durafunc/taskhub/storage/file/internal/disktest"
)

// TestPowerCut copies the disk below a file system while that is mounted: what the
// kernel had not yet written is missing from the copy, as after a power cut (short of
// what a drive's own cache would lose). What was acknowledged or read must be on the
// copy, and what is torn must not be seen.
func TestPowerCut(t *testing.T) {
	disktest.Skip(t)
	for _, tt := range []struct {
		name string
		mkfs []string
		less func(*file.Store) // turns off what the file system can
		torn bool              // an unsynced file gets its name from the commit of others
	}{
		{"ext4", []string{"mkfs.ext4", "-q", "-F"}, nil, true},
		{"ext4 without marks", []string{"mkfs.ext4", "-q", "-F"}, (*file.Store).RefuseMarks, true},
		{"ext4 without journal", []string{"mkfs.ext4", "-q", "-F", "-O", "^has_journal"}, nil, false},
		{"ext4 without journal and marks", []string{"mkfs.ext4", "-q", "-F", "-O", "^has_journal"}, (*file.Store).RefuseMarks, false},
		{"ext4 without journal, taken for unknown", []string{"mkfs.ext4", "-q", "-F", "-O", "^has_journal"}, (*file.Store).KnowNothing, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			disk := disktest.New(t, tt.mkfs...)
			s := open(t, filepath.Join(disk.Mount(t, disk.Image), "s"))
			if kind := file.FileSystem(t, s.Root()); kind != "ext4" || !s.OneSync() {
				t.Fatalf("the file system is %q, one sync: %v", kind, s.OneSync())
			}
			if tt.less != nil {
				tt.less(s)
			}
			ctx, want := t.Context(), map[string][]byte{}
			tag, err := s.Create(ctx, "root", []byte("root 0"))
			if err != nil {
				t.Fatal(err)
			}
			whole := bytes.Repeat([]byte("w"), 20000)
			for _, key := range []string{"p/0/log/torn", "p/0/log/read", "p/1/log/conflict"} {
				s.LinkUnsynced(t, key, whole, whole)
				want[key] = whole
			}
			delete(want, "p/0/log/torn")
			for i := range 30 {
				key, body := fmt.Sprintf("p/%d/log/%08d", i%2, i), bytes.Repeat([]byte{byte(i + 1)}, 1+i*1000)
				if _, err := s.Create(ctx, key, body); err != nil {
					t.Fatal(err)
				}
				want[key] = body
				key = fmt.Sprintf("p/2/log/%020d", i)
				if _, err := s.Create(ctx, key, body); err != nil {
					t.Fatal(err)
				}
				want[key] = body
				want["root"] = fmt.Appendf(nil, "root %d", i+1)
				if tag, err = s.Replace(ctx, "root", tag, want["root"]); err != nil {
					t.Fatal(err)
				}
			}
			if _, _, err := s.Get(ctx, "p/0/log/read"); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Create(ctx, "p/1/log/conflict", whole); !errors.Is(err, storage.ErrConflict) {
				t.Fatalf("Create of an unsynced object: %v, want ErrConflict", err)
			}

			after := open(t, filepath.Join(disk.Mount(t, disk.Cut(t)), "s"))
			if _, err := os.Stat(filepath.Join(after.Root(), "p/0/log/torn")); tt.torn && err != nil {
				t.Errorf("nothing was torn by the power cut: %v", err)
			}
			for key, body := range want {
				if got, _, err := after.Get(ctx, key); err != nil || !bytes.Equal(got, body) {
					t.Errorf("%s after the power cut: %d bytes, %v; want %d bytes", key, len(got), err, len(body))
				}
			}
			if got, _, err := after.Get(ctx, "p/0/log/torn"); err == nil && bytes.Equal(got, whole) {
				t.Log("somebody called sync(2): nothing is torn")
				return
			} else if !errors.Is(err, storage.ErrNotFound) {
				t.Errorf("Get of what was torn: %d bytes, %v; want ErrNotFound", len(got), err)
			}
			if got := keys(t, after); len(got) != len(want) {
				t.Errorf("listed %q", got)
			}
			if _, err := after.Create(ctx, "p/0/log/torn", []byte("again")); err != nil {
				t.Errorf("Create in the place of what was torn: %v", err)
			}
		})
	}
}
