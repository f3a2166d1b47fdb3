package durable

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/durafunc/durafunc/plugins/protocol"
)

var helloDir string

func TestMain(m *testing.M) {
	code := m.Run()
	if helloDir != "" {
		os.RemoveAll(helloDir)
	}
	os.Exit(code)
}

// hello builds testdata/hello once, as an author would.
var hello = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "durable-test-")
	if err != nil {
		return "", err
	}
	helloDir = dir
	path := filepath.Join(dir, "hello")
	if out, err := exec.Command("go", "build", "-ldflags=-s -w", "-o", path, "./testdata/hello").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
})

func helloBinary(t *testing.T) string {
	t.Helper()
	path, err := hello()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestStartedByHandItExplainsItself(t *testing.T) {
	var stderr bytes.Buffer
	cmd := exec.Command(helloBinary(t))
	cmd.Stderr = &stderr
	err := cmd.Run()
	if cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("exit: %v", err)
	}
	for _, want := range []string{`"hello", a function app`, "orchestrator  Hello", "activity      SayHello", "cp hello functions/", "--describe"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, &stderr)
		}
	}
}

func TestDescribeFlag(t *testing.T) {
	out, err := exec.Command(helloBinary(t), "--describe").Output()
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		AppName, AppVersion string
		Functions           []struct {
			Name     string
			Bindings []struct{ Type string }
		}
	}
	if err := json.Unmarshal(out, &d); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(d); got != "{hello 1.2 [{Hello [{orchestrationTrigger}]} {SayHello [{activityTrigger}]}]}" {
		t.Error(got)
	}
}

func TestAnAppIsSmall(t *testing.T) {
	info, err := os.Stat(helloBinary(t))
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() >= 20<<20 {
		t.Errorf("a trivial app has %d bytes", info.Size())
	}
}

// What authors link stays light: see the package list in docs and the house style.
func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	const module = "github.com/durafunc/durafunc/"
	own := map[string]bool{"plugins/durable": true, "plugins/durable/internal/goroutine": true, "plugins/protocol": true, "plugins/protocol/fifo": true,
		"taskhub/history": true}
	for _, p := range strings.Fields(string(out)) {
		if strings.HasPrefix(p, "github.com/aws/") || strings.Contains(p, "pebble") {
			t.Errorf("imports %s", p)
		}
		if rest, ok := strings.CutPrefix(p, module); ok && !own[rest] {
			t.Errorf("imports %s", p)
		}
	}
}

// startHello runs the app as a host does: a process, mutual TLS, logs on stderr.
func startHello(t *testing.T, env ...string) (hostSide, *exec.Cmd, *plugin.Client) {
	t.Helper()
	cmd := exec.Command(helloBinary(t))
	cmd.Env = env
	c := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: protocol.Handshake, Plugins: plugin.PluginSet{protocol.PluginName: testPlugin{&appPlugin{}}},
		Cmd: cmd, SkipHostEnv: true, AutoMTLS: true, AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC}, Logger: hclog.NewNullLogger(),
		GRPCDialOptions: []grpc.DialOption{grpc.WithDefaultCallOptions(grpc.ForceCodecV2(protocol.Codec{}))},
	})
	t.Cleanup(c.Kill)
	conn, err := c.Client()
	if err != nil {
		t.Fatal(err)
	}
	h, err := conn.Dispense(protocol.PluginName)
	if err != nil {
		t.Fatal(err)
	}
	return h.(hostSide), cmd, c
}

func TestServeAsAProcess(t *testing.T) {
	h, _, c := startHello(t)
	s := openWork(t, h)
	w := call1(1)
	w.Name, w.Input.Value = "SayHello", `"Ada"`
	s.send(&protocol.HostFrame{Activities: []*protocol.ActivityWork{w}})
	if got := s.result().Result.GetValue(); got != `"Hello, Ada!"` {
		t.Errorf("result is %s", got)
	}
	s.send(&protocol.HostFrame{Drain: true})
	if _, err := s.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("after the drain: %v", err)
	}
	if c.Exited() {
		t.Error("a drained process waits for its host")
	}
	c.Kill()
	if !c.Exited() {
		t.Error("Kill left the process")
	}
}

func TestProcessEndsWithoutItsHost(t *testing.T) {
	h, _, c := startHello(t)
	ctx, cancel := context.WithCancel(t.Context())
	w, err := h.Work(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Recv(); err != nil {
		t.Fatal(err)
	}
	cancel() // what a host that dies looks like
	for deadline := time.Now().Add(2 * time.Minute); !c.Exited(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the process outlives its host")
		}
	}
}

func TestMaxParkedSetting(t *testing.T) {
	for text, want := range map[string]int{"": DefaultMaxParked, "7": 7, "0": 0} {
		if n, err := maxParkedFrom(text); n != want || err != nil {
			t.Errorf("%q: %d, %v", text, n, err)
		}
	}
	for _, text := range []string{"x", "-1", "99999999999"} {
		if n, err := maxParkedFrom(text); n != DefaultMaxParked || err == nil || !strings.Contains(err.Error(), maxParkedVariable) {
			t.Errorf("%q: %d, %v", text, n, err)
		}
	}
}
