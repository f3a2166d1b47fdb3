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
	role := map[string]func(*file.Store) error{"count": count, "write": write, "number": number}[os.Getenv(roleEnv)]
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

// number takes one slot after the other, as owners of a partition would that do not know of
// each other, and prints those that it got.
func number(s *file.Store) error {
	ctx := context.Background()
	for n := 1; ; n++ {
		body := fmt.Appendf(nil, "%d %d ", n, os.Getpid())
		body = append(body, bytes.Repeat([]byte{byte(n)}, n*3001%40_000)...)
		switch _, err := s.Create(ctx, fmt.Sprintf("log/%020d", n), body); {
		case err == nil:
			if _, err := fmt.Println(n, os.Getpid()); err != nil {
				return err
			}
		case !errors.Is(err, storage.ErrConflict):
			return err
		}
	}
}

// TestKilledWritersOfNumbers kills writers that race for the slots of a log, again and again,
// while others go on: each slot has one winner, and what was acknowledged is there, whole.
func TestKilledWritersOfNumbers(t *testing.T) {
	dir := t.TempDir()
	won := map[int]int{} // pid by slot
	read := func(out *bytes.Buffer) {
		for line := range strings.Lines(out.String()) {
			var n, pid int
			if _, err := fmt.Sscanln(line, &n, &pid); err != nil || !strings.HasSuffix(line, "\n") {
				continue // cut short: the writer was killed
			}
			if won[n] != 0 {
				t.Errorf("slot %d was won by %d and by %d", n, won[n], pid)
			}
			won[n] = pid
		}
	}
	type writer struct {
		cmd *exec.Cmd
		out *bytes.Buffer
	}
	var writers []writer
	begin := func() {
		cmd, out := start(t, "number", dir)
		writers = append(writers, writer{cmd, out})
	}
	end := func() {
		w := writers[0]
		writers = writers[1:]
		w.cmd.Process.Kill()
		w.cmd.Wait()
		read(w.out)
	}
	begin()
	begin()
	for kill := range 12 {
		time.Sleep(time.Duration(20+kill*13%50) * time.Millisecond) // an arbitrary moment
		begin()
		end()
	}
	for len(writers) > 0 {
		end()
	}
	s := open(t, dir)
	last, slots := 0, 0
	for e, err := range s.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		body, _, err := s.Get(t.Context(), e.Key)
		if err != nil {
			t.Fatal(err)
		}
		var n, pid int
		if _, err := fmt.Sscanf(string(body), "%d %d ", &n, &pid); err != nil || e.Key != fmt.Sprintf("log/%020d", n) {
			t.Fatalf("%s: %.40q", e.Key, body)
		}
		head := len(fmt.Sprintf("%d %d ", n, pid))
		if len(body) != head+n*3001%40_000 || strings.Trim(string(body[head:]), string(rune(byte(n)))) != "" && n < 128 {
			t.Errorf("%s: torn, %d bytes", e.Key, len(body))
		}
		if won[n] != 0 && won[n] != pid {
			t.Errorf("slot %d was acknowledged to %d and is %d's", n, won[n], pid)
		}
		if n != last+1 {
			t.Errorf("slot %d follows %d", n, last)
		}
		last = n
		slots++
		delete(won, n)
	}
	if len(won) > 0 {
		t.Errorf("acknowledged and gone: %v", won)
	}
	t.Logf("%d slots", slots)
}
