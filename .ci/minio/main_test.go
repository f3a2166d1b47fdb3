package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
