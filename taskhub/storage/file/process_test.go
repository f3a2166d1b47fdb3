package file_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/storage/file"
)

// The test binary is its own second process: with roleEnv set it plays that role on
// the store in dirEnv and exits.
const (
	roleEnv = "DURAFUNC_FILE_TEST_ROLE"
	dirEnv  = "DURAFUNC_FILE_TEST_DIR"
)

func TestMain(m *testing.M) {
	role := map[string]func(*file.Store) error{"count": count, "write": write}[os.Getenv(roleEnv)]
	if role == nil {
		os.Exit(m.Run())
	}
	s, err := file.Open(os.Getenv(dirEnv))
	if err == nil {
		err = role(s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

const increments = 50

// patience is for what other processes do, on a disk whose syncs may be slow.
const patience = 5 * time.Minute

// count adds one to the counter, increments times.
func count(s *file.Store) error {
	ctx := context.Background()
	for n := range increments {
		for {
			body, tag, err := s.Get(ctx, "counter")
			if err != nil {
				return err
			}
			var value int
			fmt.Sscan(string(body), &value)
			next := fmt.Sprintf("%d %d-%d", value+1, os.Getpid(), n)
			if _, err = s.Replace(ctx, "counter", tag, []byte(next)); err == nil {
				break
			} else if !errors.Is(err, storage.ErrConflict) {
				return err
			}
		}
	}
	return nil
}

// write creates and replaces big objects until it is killed.
func write(s *file.Store) error {
	ctx := context.Background()
	tag, err := s.Create(ctx, "root", bytes.Repeat([]byte{0}, 300<<10))
	for i := 1; err == nil; i++ {
		body := bytes.Repeat([]byte{byte(i)}, 300<<10)
		if _, err = s.Create(ctx, fmt.Sprintf("log/%08d", i), body); err == nil {
			tag, err = s.Replace(ctx, "root", tag, body)
		}
	}
	return err
}

func start(t *testing.T, role, dir string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"="+role, dirEnv+"="+dir)
	out := new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd, out
}

func TestProcessesCountTogether(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if _, err := s.Create(t.Context(), "counter", []byte("0 start")); err != nil {
		t.Fatal(err)
	}
	const processes = 3
	for range processes {
		cmd, out := start(t, "count", dir)
		defer func() {
			if err := cmd.Wait(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		}()
	}
	deadline := time.Now().Add(patience)
	for value := 0; value != processes*increments; {
		if time.Now().After(deadline) {
			t.Fatalf("the counter is at %d, want %d", value, processes*increments)
		}
		body, _, err := s.Get(t.Context(), "counter")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Sscan(string(body), &value)
		time.Sleep(time.Millisecond) // real processes: poll
	}
}

// TestKillLeavesWholeObjects kills a writer at an arbitrary moment: whatever has a
// name is whole.
func TestKillLeavesWholeObjects(t *testing.T) {
	dir := t.TempDir()
	cmd, out := start(t, "write", dir)
	deadline := time.Now().Add(patience)
	for { // until it is well under way
		if names, _ := filepath.Glob(filepath.Join(dir, "log", "*")); len(names) >= 10 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the writer wrote nothing: %s", out)
		}
		time.Sleep(time.Millisecond) // real processes: poll
	}
	cmd.Process.Kill()
	cmd.Wait()

	s := open(t, dir)
	n := 0
	for e, err := range s.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		body, _, err := s.Get(t.Context(), e.Key)
		if err != nil {
			t.Fatal(err)
		}
		if len(body) != 300<<10 || strings.Trim(string(body), string(body[:1])) != "" {
			t.Errorf("%s: torn, %d bytes", e.Key, len(body))
		}
		n++
	}
	if n < 11 {
		t.Errorf("%d objects, want the log and the root", n)
	}
}
