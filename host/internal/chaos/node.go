package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/durafunc/durafunc/host/internal/chaos/faultproxy"
	"github.com/durafunc/durafunc/host/internal/hosttest"
)

// Deadlines of a host process. They are generous: the machine may be busy.
const (
	readyTimeout = 2 * time.Minute
	exitTimeout  = 2 * time.Minute
	startAgain   = time.Second // after a start that the host gave up
)

// node is one host with its root directory, port and way to the store. Its methods are
// called by one goroutine at a time, but for url.
type node struct {
	n       int
	dir     string // the function app root
	url     string
	port    int
	binary  string
	env     []string
	proxy   *faultproxy.Proxy
	logPath string
	problem func(kind, format string, args ...any)
	refused func(err error) // a start that the host gave up

	mu  sync.Mutex
	cur *process
}

// process is one life of a host.
type process struct {
	cmd      *exec.Cmd
	ready    chan struct{}
	exited   chan struct{}
	err      error // read after exited
	expected bool  // it was told to end; guarded by node.mu
}

func (p *process) isReady() bool {
	select {
	case <-p.ready:
		return true
	default:
		return false
	}
}

// start starts the host and waits until it serves HTTP. A host that gives up because the
// store does not answer is started again, as a service manager would.
func (n *node) start(ctx context.Context) error {
	for {
		p, err := n.launch()
		if err != nil {
			return fmt.Errorf("host %d: %w", n.n, err)
		}
		late := time.NewTimer(readyTimeout)
		select {
		case <-p.ready:
			late.Stop()
			return nil
		case <-p.exited:
			n.refused(fmt.Errorf("host %d gave up its start: %w: %s", n.n, p.err, n.lastLine()))
		case <-late.C:
			n.kill()
			n.refused(fmt.Errorf("host %d was not ready after %v", n.n, readyTimeout))
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		late.Stop()
		if !pause(ctx, startAgain) {
			return context.Cause(ctx)
		}
	}
}

func (n *node) launch() (*process, error) {
	log, err := os.OpenFile(n.logPath, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &process{ready: make(chan struct{}), exited: make(chan struct{})}
	p.cmd = exec.Command(n.binary, "start", "--root", n.dir, "--port", fmt.Sprint(n.port))
	p.cmd.Dir, p.cmd.Env, p.cmd.Stderr = n.dir, n.env, log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := hosttest.Spawn(p.cmd); err != nil {
		return nil, err
	}
	fmt.Fprintf(log, "==== %s host %d is process %d\n", time.Now().Format(time.RFC3339Nano), n.n, p.cmd.Process.Pid)
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if !p.isReady() && strings.HasPrefix(lines.Text(), "durafunc ") && strings.Contains(lines.Text(), " on http://") {
				close(p.ready)
			}
		}
		p.err = p.cmd.Wait() // after its output: Wait closes the pipe
		n.mu.Lock()
		surprise := !p.expected && p.isReady()
		n.mu.Unlock()
		close(p.exited)
		if surprise {
			n.problem("host ended by itself", "host %d, process %d: %v; see %s", n.n, p.cmd.Process.Pid, p.err, filepath.Base(n.logPath))
		}
	}()
	n.mu.Lock()
	n.cur = p
	n.mu.Unlock()
	return p, nil
}

// lastLine is the last line of the host's log.
func (n *node) lastLine() string {
	b, err := os.ReadFile(n.logPath)
	if err != nil {
		return err.Error()
	}
	b = bytes.TrimSpace(b)
	return string(b[bytes.LastIndexByte(b, '\n')+1:])
}

// running is the process that has not been told to end; nil when there is none. With
// last set it is told so now.
func (n *node) running(last bool) *process {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.cur
	if p == nil || p.expected {
		return nil
	}
	p.expected = last
	return p
}

// kill ends the host with SIGKILL and waits for its end.
func (n *node) kill() {
	if p := n.running(true); p != nil {
		_ = p.cmd.Process.Signal(syscall.SIGKILL) // it may have ended
		<-p.exited
	}
}

// stop ends the host with SIGTERM. An exit code other than 0 is returned as an error; a
// host that does not end is killed.
func (n *node) stop() error {
	p := n.running(true)
	if p == nil {
		return nil
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	late := time.AfterFunc(exitTimeout, func() { _ = p.cmd.Process.Kill() })
	<-p.exited
	if !late.Stop() {
		return fmt.Errorf("host %d had not ended %v after SIGTERM", n.n, exitTimeout)
	}
	var exit *exec.ExitError
	if errors.As(p.err, &exit) {
		return fmt.Errorf("host %d after SIGTERM: %w", n.n, p.err)
	}
	return nil
}

// signal sends a signal to the host, if it runs.
func (n *node) signal(s syscall.Signal) {
	if p := n.running(false); p != nil {
		_ = p.cmd.Process.Signal(s) // it may have ended
	}
}

// pause waits for d; false: ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
