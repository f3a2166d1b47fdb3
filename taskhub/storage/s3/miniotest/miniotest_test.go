package miniotest_test

import (
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
	deadline := time.Now().Add(10 * time.Second)
	for {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.Endpoint, "http://"))
		if err != nil {
			return
		}
		conn.Close()
		if time.Now().After(deadline) {
			t.Fatal("the server still answers")
		}
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
