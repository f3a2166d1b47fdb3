package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/durafunc/durafunc/plugins/durable/client"
)

// stopTimeout bounds how long a host may take to drain after SIGTERM.
const stopTimeout = time.Minute

// host is a durafunc host process.
type host struct {
	url     string // known when it is ready
	logFile string
	cmd     *exec.Cmd
	ended   chan struct{} // closed when the process has ended
	exit    error         // how; to be read after ended
}

// announcement is what a host prints when it serves HTTP.
var announcement = regexp.MustCompile(`(?m)^durafunc \S+ on (http://\S+)$`)

// startHost starts a host on a loopback port that it chooses: one that we chose could be
// taken before it listens. Its output goes to a log file.
func startHost(binary, root string) (*host, error) {
	dir := filepath.Join(root, ".durafunc")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("log directory: %w", err)
	}
	h := &host{
		logFile: filepath.Join(dir, "demo-host.log"),
		ended:   make(chan struct{}),
	}
	log, err := os.Create(h.logFile)
	if err != nil {
		return nil, fmt.Errorf("log file: %w", err)
	}
	defer log.Close()
	h.cmd = exec.Command(binary, "start", "--root", root, "--address", "127.0.0.1", "--port", "0")
	h.cmd.Stdout, h.cmd.Stderr = log, log
	// A group of its own: on Ctrl-C we send it the one SIGTERM that it should get.
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := h.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the host (make build builds it): %w", err)
	}
	go func() {
		h.exit = h.cmd.Wait()
		close(h.ended)
	}()
	return h, nil
}

func (h *host) pid() int { return h.cmd.Process.Pid }

// ready waits until the host says where it serves and has the function loaded.
func (h *host) ready(ctx context.Context, function string) error {
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		if last = h.announced(); last == nil {
			var names []string
			if names, last = functions(ctx, client.New(h.url, client.Options{RetryFor: -1})); last == nil {
				if slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, function) }) {
					return nil
				}
				last = fmt.Errorf("function %s is not loaded (make deploy copies its app into functions/); loaded: %v", function, names)
			}
		}
		select {
		case <-h.ended:
			return fmt.Errorf("the host ended while it started: %w", exitError(h.exit))
		case <-ctx.Done():
			return fmt.Errorf("the host is not ready (does another one run on the same root?): %w", last)
		case <-tick.C:
		}
	}
}

// announced reads from the log where the host serves.
func (h *host) announced() error {
	b, err := os.ReadFile(h.logFile)
	if err != nil {
		return err
	}
	found := announcement.FindSubmatch(b)
	if found == nil {
		return errors.New("it does not serve HTTP yet")
	}
	h.url = string(found[1])
	return nil
}

// stop asks the host to drain and end, and fails unless it exits with 0. It may
// be called twice.
func (h *host) stop() error {
	select {
	case <-h.ended:
		return fmt.Errorf("the host ended by itself: %w", exitError(h.exit))
	default:
	}
	if err := h.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop the host: %w", err)
	}
	select {
	case <-h.ended:
	case <-time.After(stopTimeout):
		_ = h.cmd.Process.Kill()
		<-h.ended
		return fmt.Errorf("the host did not stop within %v of SIGTERM and was killed", stopTimeout)
	}
	if h.exit != nil {
		return fmt.Errorf("the host did not exit with 0 after SIGTERM: %w", h.exit)
	}
	return nil
}

// exitError gives a process that exited with 0 too early an error as well.
func exitError(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// logTail returns the last n lines of the host's log, indented.
func (h *host) logTail(n int) string {
	b, err := os.ReadFile(h.logFile)
	if err != nil {
		return "  " + err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return "  " + strings.Join(lines[max(0, len(lines)-n):], "\n  ")
}

// functions lists the names of the loaded functions.
func functions(ctx context.Context, c *client.Client) ([]string, error) {
	list, err := c.Functions(ctx)
	names := make([]string, len(list))
	for i, f := range list {
		names[i] = f.Name
	}
	return names, err
}
