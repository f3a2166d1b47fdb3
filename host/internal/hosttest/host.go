package hosttest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Deadlines. They are generous: the machine may be busy with other tests.
const (
	readyTimeout = 2 * time.Minute
	exitTimeout  = 2 * time.Minute
)

// Host is a host process.
type Host struct {
	Client
	root *Root

	cmd     *exec.Cmd
	log     string        // path of what it writes to stderr
	ready   chan struct{} // closed when it has announced its URL
	url     string        // read after ready
	exited  chan struct{} // closed when it has ended
	exit    error         // read after exited
	started time.Time
}

var announcement = regexp.MustCompile(`^durafunc \S+ on (http://\S+)$`)

// Launch starts a host on a port that no other host of this test binary has, before or
// after, and does not wait for it; args are added to those of durafunc start. The test's end
// kills it, and shows the end of its log if the test has failed.
func (r *Root) Launch(t testing.TB, args ...string) *Host {
	t.Helper()
	log, err := os.CreateTemp(r.Dir, "host-*.log")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	h := &Host{root: r, log: log.Name(), ready: make(chan struct{}), exited: make(chan struct{}), started: time.Now()}
	h.cmd = exec.Command(Binary(t), append([]string{"start", "--root", r.Dir, "--port", strconv.Itoa(port)}, args...)...)
	h.cmd.Env, h.cmd.SysProcAttr = r.environment(), r.user()
	h.cmd.Stderr = log
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := Spawn(h.cmd); err != nil {
		t.Fatal(err)
	}
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if m := announcement.FindStringSubmatch(lines.Text()); m != nil && h.url == "" {
				h.url = m[1]
				close(h.ready)
			}
		}
		h.exit = h.cmd.Wait() // after its output: Wait closes the pipe
		close(h.exited)
	}()
	h.Client = Client{Base: func() string { return h.url }}
	t.Cleanup(func() {
		h.Kill()
		if t.Failed() {
			t.Logf("the end of the log of host %d:\n%s", h.PID(), h.Tail(60))
		}
		if races := h.races(); races != "" {
			t.Errorf("host %d has data races:\n%s", h.PID(), races)
		}
	})
	return h
}

// Start is Launch and waits until the host serves HTTP and has tried its function apps;
// its partitions may still be opening.
func (r *Root) Start(t testing.TB, args ...string) *Host {
	t.Helper()
	h := r.Launch(t, args...)
	h.UntilReady(t)
	return h
}

// UntilReady waits for what Start waits for.
func (h *Host) UntilReady(t testing.TB) {
	t.Helper()
	select {
	case <-h.ready:
	case <-h.exited:
		t.Fatalf("host ended while it started: %v\n%s", h.exit, h.Tail(40))
	case <-time.After(readyTimeout):
		t.Fatalf("host is not ready after %v\n%s", readyTimeout, h.Tail(40))
	}
}

// environment is all that a host sees of ours: settings that a developer has in the
// shell must not steer a test.
func (r *Root) environment() []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + r.Dir, "TMPDIR=" + os.TempDir()}
	return append(env, r.Env...)
}

func (r *Root) user() *syscall.SysProcAttr {
	if !r.nobody {
		return nil
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobodyID, Gid: nobodyID}}
}

// Ready is closed when the host has announced where it serves HTTP.
func (h *Host) Ready() <-chan struct{} { return h.ready }

// Exited is closed when the process has ended.
func (h *Host) Exited() <-chan struct{} { return h.exited }

// URL is where the host serves HTTP. Only after Ready.
func (h *Host) URL() string { return h.url }

// PID is the process id.
func (h *Host) PID() int { return h.cmd.Process.Pid }

// Log is all that the host has logged.
func (h *Host) Log() string {
	b, err := os.ReadFile(h.log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Tail is the last n lines of the log.
func (h *Host) Tail(n int) string {
	lines := strings.Split(strings.TrimRight(h.Log(), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

func (h *Host) races() string {
	if i := strings.Index(h.Log(), "WARNING: DATA RACE"); i >= 0 {
		return h.Log()[i:]
	}
	return ""
}

// Kill ends the host with SIGKILL, if it still runs, and waits for its end.
func (h *Host) Kill() {
	h.Signal(syscall.SIGKILL)
	<-h.exited
}

// Signal sends a signal; a host that has ended does not mind.
func (h *Host) Signal(s os.Signal) { _ = h.cmd.Process.Signal(s) }

// Wait waits for the end of the process and returns its exit code; -1 if a signal ended it.
func (h *Host) Wait(t testing.TB) int {
	t.Helper()
	select {
	case <-h.exited:
	case <-time.After(exitTimeout):
		t.Fatalf("host %d has not ended after %v", h.PID(), exitTimeout)
	}
	return h.cmd.ProcessState.ExitCode()
}

// Stop ends the host with SIGTERM and fails the test unless it exits with 0.
func (h *Host) Stop(t testing.TB) {
	t.Helper()
	h.Signal(syscall.SIGTERM)
	if code := h.Wait(t); code != 0 {
		t.Fatalf("host exits with %d after SIGTERM, want 0\n%s", code, h.Tail(40))
	}
}

// AppPIDs lists the processes of the host's function apps.
func (h *Host) AppPIDs() []int {
	var pids []int
	for _, pid := range processes() {
		if parent(pid) == h.PID() {
			pids = append(pids, pid)
		}
	}
	return pids
}

// KillApp ends one process of a function app with SIGKILL.
func (h *Host) KillApp(pid int) { kill(pid) }

// Result is how a command ended.
type Result struct {
	Code           int
	Stdout, Stderr string
}

// Run runs durafunc with args to its end, as for a start that has to fail. It fails the
// test when that takes too long.
func (r *Root) Run(t testing.TB, args ...string) Result {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd := exec.Command(Binary(t), args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = r.Dir, r.environment(), &out, &errOut, r.user()
	if err := Spawn(cmd); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(exitTimeout, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	if !late.Stop() {
		t.Fatalf("durafunc %s has not ended after %v\n%s", strings.Join(args, " "), exitTimeout, errOut.String())
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(fmt.Errorf("durafunc %s: %w", strings.Join(args, " "), err))
	}
	return Result{Code: cmd.ProcessState.ExitCode(), Stdout: out.String(), Stderr: errOut.String()}
}

// Glob lists the files below the root that match, sorted.
func (r *Root) Glob(pattern string) []string {
	found, err := filepath.Glob(filepath.Join(r.Dir, pattern))
	if err != nil {
		r.t.Fatal(err)
	}
	return found
}
