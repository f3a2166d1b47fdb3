package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// minioBinary finds the server that make minio-bin builds.
func minioBinary(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../bin/minio")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("DURAFUNC_REQUIRE_MINIO") != "" {
			t.Fatalf("MinIO is required: %v", err)
		}
		t.Skip("bin/minio is missing; make minio-bin builds it")
	}
	return path
}

func TestCommandRunsOnItsMinIO(t *testing.T) {
	binary := minioBinary(t)
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	endpoint := fmt.Sprintf("http://127.0.0.1:%d", port)
	data := filepath.Join(t.TempDir(), "minio")

	var out, errs bytes.Buffer
	script := `echo "$DURAFUNC__extensions__durableTask__storageProvider__endpoint"; test -d "$0/made" || exit 9; exit 3`
	code, err := run([]string{
		"--binary", binary, "--data", data, "--port", fmt.Sprint(port), "--bucket", "made",
		"--", "sh", "-c", script, data,
	}, &out, &errs)
	if err != nil || code != 3 {
		t.Fatalf("code %d, error %v, stderr %q; want the command's own code 3", code, err, errs.String())
	}
	if got := strings.TrimSpace(out.String()); got != endpoint {
		t.Errorf("the command saw endpoint %q, want %q", got, endpoint)
	}
	if alive(context.Background(), endpoint) {
		t.Error("MinIO still answers after with-minio ended")
	}
}

func TestForeignCredentialsAreNamed(t *testing.T) {
	binary := minioBinary(t)
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	foreign := exec.Command(binary, "server", "--address", address, t.TempDir())
	foreign.Env = append(os.Environ(), "MINIO_ROOT_USER=somebody", "MINIO_ROOT_PASSWORD=else-entirely", "MINIO_BROWSER=off")
	if err := foreign.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = foreign.Process.Kill()
		_ = foreign.Wait()
	})
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	for !alive(ctx, "http://"+address) {
		select {
		case <-ctx.Done():
			t.Fatal("MinIO did not start")
		case <-time.After(pollEvery):
		}
	}
	code, err := run([]string{"--binary", binary, "--data", t.TempDir(), "--port", fmt.Sprint(port)}, &bytes.Buffer{}, &bytes.Buffer{})
	if code == 0 || err == nil || !strings.Contains(err.Error(), "other credentials") {
		t.Errorf("code %d, error %v; want an error about other credentials", code, err)
	}
	if !alive(ctx, "http://"+address) {
		t.Error("a MinIO that was not ours was stopped")
	}
}

func TestStartFailureShowsTheLog(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "minio")
	if err := os.WriteFile(broken, []byte("#!/bin/sh\necho no disk today\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := ensure(context.Background(), broken, filepath.Join(dir, "data"), 0)
	if err == nil || !strings.Contains(err.Error(), "no disk today") {
		t.Errorf("got %v, want an error with the end of the log", err)
	}
}

func TestMissingBinaryNamesTheTarget(t *testing.T) {
	dir := t.TempDir()
	_, err := ensure(context.Background(), filepath.Join(dir, "none"), filepath.Join(dir, "data"), 0)
	if err == nil || !strings.Contains(err.Error(), "make minio-bin") {
		t.Errorf("got %v, want an error that names make minio-bin", err)
	}
}
