package file

import (
	"os"
	"path/filepath"
	"time"
)

// MeasureSync writes a small file n times and returns how long each sync of it took: what
// the disk does of what a commit waits for. It leaves nothing behind.
func (s *Store) MeasureSync(n int) ([]time.Duration, error) {
	f, err := os.CreateTemp(filepath.Join(s.root, tmpDir), "sync-")
	if err != nil {
		return nil, verdict(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	block := make([]byte, 4<<10)
	times := make([]time.Duration, 0, n)
	for range n {
		if _, err := f.Write(block); err != nil {
			return nil, verdict(err)
		}
		start := time.Now()
		if err := syncData(f); err != nil {
			return nil, verdict(err)
		}
		times = append(times, time.Since(start))
	}
	return times, nil
}
