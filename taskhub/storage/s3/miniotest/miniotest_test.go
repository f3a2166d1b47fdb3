package miniotest_test

import (
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/durafunc/durafunc/taskhub/storage/s3/miniotest"
)

func TestStartIsOneServer(t *testing.T) {
	a, b := miniotest.Start(t), miniotest.Start(t)
	if a != b {
		t.Errorf("two servers: %s and %s", a.Endpoint, b.Endpoint)
	}
	for range 2 { // two stores of one server see nothing of each other
		if _, err := a.Open(t).Create(t.Context(), "k", []byte("v")); err != nil {
			t.Error(err)
		}
	}
}

func TestStopEndsTheServer(t *testing.T) {
	miniotest.Start(t) // skips without a binary
	s, err := miniotest.Launch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.Stop()
	s.Stop()
	// Its parent has waited for it: the number is free.
	if err := syscall.Kill(s.PID(), 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d is still there: %v", s.PID(), err)
	}
}

func TestBinaryIsMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "minio")
	t.Setenv(miniotest.BinEnv, path)
	if _, err := miniotest.Launch(t.Context()); !errors.Is(err, miniotest.ErrNoBinary) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want ErrNoBinary with the path", err)
	}
}

func TestServerThatEndsAtOnceIsReported(t *testing.T) {
	t.Setenv(miniotest.BinEnv, "/bin/false")
	if _, err := miniotest.Launch(t.Context()); err == nil || !strings.Contains(err.Error(), "the server ended") {
		t.Errorf("got %v, want that the server ended", err)
	}
}
