package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/durafunc/durafunc/taskhub/storage/file"
)

// How a Create alone is measured: the pause lets processors fall idle as they do between
// the steps of a sequence, which doubles the time on some virtual machines.
const (
	aloneCreates = 30
	alonePause   = time.Millisecond
	aloneBytes   = 1 << 10
)

// createAlone is the median time of one Create on the disk of dir with nothing else to do,
// in milliseconds. Latencies of durable steps are multiples of it, and a virtual disk's
// changes from hour to hour: a figure says little without it.
func createAlone(ctx context.Context, dir string) (float64, error) {
	root, err := os.MkdirTemp(dir, "alone")
	if err != nil {
		return 0, err
	}
	store, err := file.Open(filepath.Join(root, "store"))
	if err != nil {
		return 0, err
	}
	body := make([]byte, aloneBytes)
	took := make([]float64, aloneCreates)
	for n := range took {
		time.Sleep(alonePause)
		start := time.Now()
		if _, err := store.Create(ctx, fmt.Sprintf("log/%020d", n), body); err != nil {
			return 0, err
		}
		took[n] = time.Since(start).Seconds() * 1000
	}
	slices.Sort(took)
	return took[len(took)/2], store.Close()
}
