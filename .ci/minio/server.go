package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// server is a MinIO that answers.
type server struct {
	endpoint string // http://127.0.0.1:port
	reused   bool   // it ran before us and stays

	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	exit error         // why; to be read after done
}

// ensure returns the MinIO at the port, starting one if none answers there.
func ensure(ctx context.Context, binary, data string, port int) (*server, error) {
	if port == 0 {
		free, err := freePort()
		if err != nil {
			return nil, err
		}
		port = free
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	s := &server{endpoint: "http://" + address, done: make(chan struct{})}
	if alive(ctx, s.endpoint) {
		s.reused = true
		return s, nil
	}
	if err := os.MkdirAll(data, 0o755); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	logFile := filepath.Clean(data) + ".log"
	log, err := os.Create(logFile)
	if err != nil {
		return nil, fmt.Errorf("log file: %w", err)
	}
	defer log.Close()

	s.cmd = exec.Command(binary, "server", "--address", address, data)
	s.cmd.Env = append(os.Environ(),
		"MINIO_ROOT_USER="+user, "MINIO_ROOT_PASSWORD="+password, "MINIO_BROWSER=off", "MINIO_UPDATE=off")
	s.cmd.Stdout, s.cmd.Stderr = log, log
	// A group of its own: Ctrl-C must reach the host first, whose last commit
	// still needs the store.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start MinIO (make minio-bin builds it): %w", err)
	}
	go func() {
		s.exit = s.cmd.Wait()
		close(s.done)
	}()
	if err := s.ready(ctx); err != nil {
		s.stop()
		return nil, fmt.Errorf("MinIO at %s: %w; the end of %s:\n%s", address, err, logFile, tail(logFile, 10))
	}
	return s, nil
}

// ready polls a real process, which has no event to wait for, until it answers.
func (s *server) ready(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.done:
			return fmt.Errorf("ended while it started: %w", s.exit)
		case <-ctx.Done():
			return fmt.Errorf("did not answer: %w", ctx.Err())
		case <-tick.C:
			if alive(ctx, s.endpoint) {
				return nil
			}
		}
	}
}

// stop ends a MinIO that we started and waits for it.
func (s *server) stop() {
	if s.reused || s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	select {
	case <-s.done:
	case <-time.After(10 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.done
	}
}

// alive reports whether a MinIO answers at endpoint.
func alive(ctx context.Context, endpoint string) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+"/minio/health/live", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK && resp.Header.Get("Server") == "MinIO"
}

// freePort is a port on which nobody listens. It is below those that systems give to
// outgoing connections and to listeners that take any: hardly anybody takes it before
// MinIO does.
func freePort() (port int, err error) {
	const first, last, tries = 30000, 32000, 100
	for range tries {
		var l net.Listener
		port = first + rand.IntN(last-first)
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("find a free port: %w", err)
}

// tail returns the last n lines of a file, indented.
func tail(file string, n int) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return "  " + err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return "  " + strings.Join(lines[max(0, len(lines)-n):], "\n  ")
}
