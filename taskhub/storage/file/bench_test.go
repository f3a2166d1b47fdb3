package file_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

func BenchmarkCreate(b *testing.B) {
	for _, size := range []int{4 << 10, 32 << 10, 256 << 10} {
		for _, unnamed := range []bool{true, false} {
			b.Run(fmt.Sprintf("%dKiB/unnamed=%v", size>>10, unnamed), func(b *testing.B) {
				s := open(b, b.TempDir())
				if !unnamed {
					s.RefuseUnnamed()
				}
				body := make([]byte, size)
				rand.NewChaCha8([32]byte{}).Read(body)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if _, err := s.Create(b.Context(), fmt.Sprintf("hub/p/00/log/%020d", i), body); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkReplace(b *testing.B) {
	s := open(b, b.TempDir())
	tag, err := s.Create(b.Context(), "hub/p/00/root", []byte("start"))
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; b.Loop(); i++ {
		if tag, err = s.Replace(b.Context(), "hub/p/00/root", tag, []byte(fmt.Sprint(i))); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkListTail lists the last 10 objects of a log of 20,000.
func BenchmarkListTail(b *testing.B) {
	const n = 20000
	s := open(b, b.TempDir())
	fill(b, s.Root(), n)
	for b.Loop() {
		got := 0
		for _, err := range s.List(b.Context(), "log/", fmt.Sprintf("log/%020d", n-11)) {
			if err != nil {
				b.Fatal(err)
			}
			got++
		}
		if got != 10 {
			b.Fatalf("listed %d objects", got)
		}
	}
}

// fill makes n empty objects without the syncs of Create.
func fill(b *testing.B, root string, n int) {
	b.Helper()
	dir := filepath.Join(root, "log")
	if err := os.Mkdir(dir, 0o750); err != nil {
		b.Fatal(err)
	}
	for i := range n {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%020d", i)), nil, 0o640); err != nil {
			b.Fatal(err)
		}
	}
}
