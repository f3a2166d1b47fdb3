package file_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/durafunc/durafunc/taskhub/storage/file"
)

func TestInspection(t *testing.T) {
	dir := t.TempDir()
	s, err := file.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	times, err := s.MeasureSync(5)
	if err != nil || len(times) != 5 {
		t.Errorf("%d times, %v", len(times), err)
	}
	for _, d := range times {
		if d <= 0 {
			t.Errorf("a sync took %v", d)
		}
	}
	left, err := os.ReadDir(filepath.Join(dir, "~tmp"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if kind := s.FileSystem(); runtime.GOOS == "linux" && kind == "" {
		t.Error("the file system has no name")
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := s.MeasureSync(1); err == nil {
		t.Error("no error without a directory")
	}
}
