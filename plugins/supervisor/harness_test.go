package supervisor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/durafunc/durafunc/plugins/protocol"
	"github.com/durafunc/durafunc/plugins/supervisor"
)

// patience bounds every wait of these tests; nothing waits for it to pass.
const patience = 2 * time.Minute

var appBinary []byte

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "supervisor-test")
	if err != nil {
		panic(err)
	}
	out := filepath.Join(dir, "app")
	if msg, err := exec.Command("go", "build", "-ldflags=-s -w", "-o", out, "./testdata/app").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%s\n%v\n", msg, err)
		os.Exit(1)
	}
	if appBinary, err = os.ReadFile(out); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(dir)
	if code == 0 {
		if err := leaked(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// leaked names the goroutines that are left, having given them time to end: goleak looks
// for half a second, and a machine may stand still for longer.
func leaked() (err error) {
	for end := time.Now().Add(patience); time.Now().Before(end); {
		// go-plugin's broker keeps a goroutine for five seconds after each connection that
		// it announced.
		if err = goleak.Find(goleak.IgnoreAnyFunction("github.com/hashicorp/go-plugin.(*GRPCBroker).timeoutWait")); err == nil {
			return nil
		}
	}
	return err
}

// appConfig is what testdata/app is told.
type appConfig struct {
	Version    string
	Protocol   uint
	Activities []string
	Bindings   map[string][]string
	Credit     uint32
	Hang       bool
	Needs      string
	Refuse     bool
}

// image is the executable of the test app with its configuration at its end.
func image(cfg appConfig) []byte {
	text, err := json.Marshal(cfg)
	if err != nil {
		panic(err)
	}
	return slices.Concat(appBinary, []byte("\n#CONF"+"IG#"), text)
}

// install moves a file into place at once, as a careful deployment does.
func install(t *testing.T, path string, body []byte, mode os.FileMode) {
	t.Helper()
	tmp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	if err := os.WriteFile(tmp, body, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(tmp, path); err != nil {
		t.Fatal(err)
	}
}

type answer struct {
	work           uint64
	text           string
	returned, lost bool
	died           bool
}

// fixture is a supervisor over a directory of its own, and its host.
type fixture struct {
	t       *testing.T
	dir     string
	sup     *supervisor.Supervisor
	log     *syncBuffer
	changed chan struct{}
	answers chan answer
	early   map[uint64]answer
	next    uint64
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newFixture(t *testing.T, adjust ...func(*supervisor.Options)) *fixture {
	f := &fixture{
		t: t, dir: t.TempDir(), log: &syncBuffer{},
		changed: make(chan struct{}, 1), answers: make(chan answer, 1000), early: map[uint64]answer{},
	}
	opt := supervisor.Options{
		Dir:     f.dir,
		Log:     hclog.New(&hclog.LoggerOptions{Output: f.log, Level: hclog.Debug}),
		Handler: f,
		CheckBinding: func(b *protocol.Binding) (bool, error) {
			switch b.GetType() {
			case "activityTrigger", "orchestrationTrigger":
				return true, nil
			case "durableClient":
				return false, nil
			}
			return false, fmt.Errorf("unknown type %q", b.GetType())
		},
		HostServices: hostServices{},
		RunDir:       t.TempDir(),
		Settle:       150 * time.Millisecond,
		StartTimeout: patience,
		OnChange: func() {
			select {
			case f.changed <- struct{}{}:
			default:
			}
		},
	}
	for _, a := range adjust {
		a(&opt)
	}
	f.sup = supervisor.New(opt)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := f.sup.Stop(ctx); err != nil {
			t.Errorf("Stop: %v", err)
		}
		if left, _ := filepath.Glob(filepath.Join(opt.RunDir, "*")); len(left) > 0 {
			t.Errorf("left in the run directory: %v", left)
		}
		if t.Failed() {
			t.Log(f.log.String())
		}
	})
	return f
}

type hostServices struct {
	protocol.UnimplementedHostServicesServer
}

func (hostServices) StartInstance(_ context.Context, r *protocol.StartInstanceRequest) (*protocol.StartInstanceResponse, error) {
	return &protocol.StartInstanceResponse{InstanceId: "started " + r.GetName()}, nil
}

func (f *fixture) Results(fr *protocol.AppFrame) {
	for _, r := range fr.Activities {
		f.answers <- answer{work: r.Work, text: r.Result.GetValue()}
	}
}

func (f *fixture) Returned(works []uint64) {
	for _, w := range works {
		f.answers <- answer{work: w, returned: true}
	}
}

func (f *fixture) Lost(works []uint64, died bool) {
	for _, w := range works {
		f.answers <- answer{work: w, lost: true, died: died}
	}
}

// put writes a whole app before the start, old enough to be taken at once.
func (f *fixture) put(name string, cfg appConfig) string {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	install(f.t, path, image(cfg), 0o755)
	age(f.t, path)
	return path
}

func age(t *testing.T, path string) {
	t.Helper()
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) start() {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := f.sup.Start(ctx); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) app(name string) (supervisor.AppStatus, bool) {
	for _, a := range f.sup.Apps() {
		if a.Name == name {
			return a, true
		}
	}
	return supervisor.AppStatus{}, false
}

// await waits until cond holds, looking after each change.
func (f *fixture) await(what string, cond func() bool) {
	f.t.Helper()
	limit := time.After(patience)
	for !cond() {
		select {
		case <-f.changed:
		case <-limit:
			f.t.Fatalf("no %s; apps: %+v", what, f.sup.Apps())
		}
	}
}

func (f *fixture) awaitVersion(app, version string) {
	f.t.Helper()
	f.await(app+" of version "+version, func() bool {
		a, ok := f.app(app)
		return ok && a.State == supervisor.Running && a.Version == version
	})
}

func (f *fixture) handle(function string) *supervisor.Handle {
	for _, fn := range f.sup.Functions() {
		if strings.EqualFold(fn.Name, function) {
			return fn.Handle
		}
	}
	return nil
}

// call sends one activity call and gives its number.
func (f *fixture) call(name, input string) uint64 {
	f.t.Helper()
	h := f.handle(name)
	if h == nil {
		f.t.Fatalf("nobody has %s", name)
	}
	return f.callOn(h, name, input)
}

func (f *fixture) callOn(h *supervisor.Handle, name, input string) uint64 {
	f.t.Helper()
	f.next++
	if !h.Send(&protocol.HostFrame{Activities: []*protocol.ActivityWork{
		{Work: f.next, Name: name, Input: wrapperspb.String(input)}}}) {
		f.t.Fatalf("%s was not taken", name)
	}
	return f.next
}

// wait gives the one answer to a work item.
func (f *fixture) wait(work uint64) answer {
	f.t.Helper()
	if a, ok := f.early[work]; ok {
		return a
	}
	limit := time.After(patience)
	for {
		select {
		case a := <-f.answers:
			if _, twice := f.early[a.work]; twice {
				f.t.Fatalf("item %d was answered twice", a.work)
			}
			f.early[a.work] = a
			if a.work == work {
				return a
			}
		case <-limit:
			f.t.Fatalf("item %d was not answered", work)
		}
	}
}

// awaitClosed waits until a handle takes no more work.
func (f *fixture) awaitClosed(h *supervisor.Handle) {
	f.t.Helper()
	poll(f.t, "end of intake", func() bool {
		f.next++
		return !h.Send(&protocol.HostFrame{Activities: []*protocol.ActivityWork{{Work: f.next, Name: "Echo"}}})
	})
}

func (f *fixture) echo(text string) string {
	f.t.Helper()
	return f.wait(f.call("Echo", text)).text
}

// gate is where the Gate activity waits for the test.
type gate struct {
	t    *testing.T
	l    net.Listener
	path string
}

func newGate(t *testing.T) *gate {
	dir, err := os.MkdirTemp("", "gate") // t.TempDir can be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	g := &gate{t: t, path: filepath.Join(dir, "s")}
	if g.l, err = net.Listen("unix", g.path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.l.Close() })
	return g
}

// entered waits for one activity to arrive and gives the way to let it go.
func (g *gate) entered() (open func()) {
	g.t.Helper()
	_ = g.l.(*net.UnixListener).SetDeadline(time.Now().Add(patience))
	c, err := g.l.Accept()
	if err != nil {
		g.t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { c.Close() })
	return func() { _, _ = c.Write([]byte{1}) }
}
