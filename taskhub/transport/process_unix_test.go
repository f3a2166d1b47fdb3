//go:build unix

package transport

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

const childVariable = "DURAFUNC_TRANSPORT_CHILD"

// child turns this process into a host that answers until its input ends, if a test
// asked for one.
func child() {
	if os.Getenv(childVariable) == "" {
		return
	}
	g, err := NewGRPC(GRPCOptions{Listen: "127.0.0.1:0", Hub: "0123abcd", Key: key(1)})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	g.Serve(newHand())
	fmt.Println(g.Address())
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

// spawn starts another process that is a host, and returns its address.
func spawn(t *testing.T) (*exec.Cmd, string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"=1")
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the other process says nothing: %v", err)
	}
	return cmd, strings.TrimSpace(address)
}

// The end of its connection tells that a host was killed; no ping has to go unanswered.
func TestKilledPeerIsLostAtOnce(t *testing.T) {
	ha := newHand()
	a := open(t, ha, func(g *GRPC, _ *GRPCOptions) {
		if g != nil {
			g.timing.ping, g.timing.silence = time.Hour, time.Hour
		}
	})
	cmd, address := spawn(t)
	if _, err := a.Peer(address).Call(within(t), &Request{}); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	next(t, "Lost", ha.lost)
	t.Logf("Lost after %v", time.Since(began)) // 100 ms are promised on a machine that has time
}

func TestFrozenPeerIsLost(t *testing.T) {
	ha := newHand()
	a := open(t, ha, func(g *GRPC, _ *GRPCOptions) {
		if g != nil {
			g.timing.ping, g.timing.silence, g.timing.connect = 50*time.Millisecond, 300*time.Millisecond, time.Second
		}
	})
	cmd, address := spawn(t)
	peer := a.Peer(address)
	answers(t, peer)
	freeze(t, cmd.Process)
	failed := make(chan error)
	go func() {
		_, err := peer.Call(context.Background(), &Request{})
		failed <- err
	}()
	next(t, "Lost", ha.lost)
	// A call that asked on the connection that is lost, and one that makes a new one.
	if err := next(t, "the call's error", failed); !errors.Is(err, ErrUnreachable) {
		t.Errorf("Call: %v", err)
	}
	if _, err := peer.Call(within(t), &Request{}); !errors.Is(err, ErrUnreachable) {
		t.Errorf("Call: %v", err)
	}
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	answers(t, peer)
}

// freeze returns when the process has stopped, which is some time after the signal.
func freeze(t *testing.T, p *os.Process) {
	t.Helper()
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for {
		var status syscall.WaitStatus
		_, err := syscall.Wait4(p.Pid, &status, syscall.WUNTRACED, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || !status.Stopped() {
			t.Fatalf("it does not freeze: %#x, %v", status, err)
		}
		return
	}
}

// answers waits until a host answers. With times as short as a test needs, a machine that
// is busy can look like a host that is frozen.
func answers(t *testing.T, peer Peer) {
	t.Helper()
	ctx := within(t)
	for {
		_, err := peer.Call(ctx, &Request{})
		if err == nil {
			return
		}
		if !errors.Is(err, ErrUnreachable) {
			t.Fatal(err)
		}
	}
}
