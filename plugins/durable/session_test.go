package durable

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/durafunc/durafunc/plugins/protocol"
	"github.com/durafunc/durafunc/taskhub/history"
)

// hostSide is the host's end of the connection.
type hostSide struct {
	protocol.FunctionAppClient
	broker *plugin.GRPCBroker
}

// testPlugin joins the app's end to a hostSide.
type testPlugin struct{ *appPlugin }

func (p testPlugin) GRPCClient(_ context.Context, b *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return hostSide{protocol.NewFunctionAppClient(conn), b}, nil
}

// connect serves app in this process as Serve does, and returns a host's end.
// gone hears of a broken stream.
func connect(t testing.TB, app *App) (hostSide, <-chan error) {
	t.Helper()
	gone := make(chan error, 1)
	p := testPlugin{&appPlugin{app: app, log: hclog.NewNullLogger(), maxParked: 100, gone: func(err error) { gone <- err }}}
	ctx, cancel := context.WithCancel(context.Background())
	reattach, closed := make(chan *plugin.ReattachConfig, 1), make(chan struct{})
	go plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: protocol.Handshake, Plugins: plugin.PluginSet{protocol.PluginName: p},
		GRPCServer: newGRPCServer, Logger: hclog.NewNullLogger(),
		Test: &plugin.ServeTestConfig{Context: ctx, ReattachConfigCh: reattach, CloseCh: closed},
	})
	c := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: protocol.Handshake, Plugins: plugin.PluginSet{protocol.PluginName: p}, Reattach: <-reattach,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC}, Logger: hclog.NewNullLogger(),
		GRPCDialOptions: []grpc.DialOption{grpc.WithDefaultCallOptions(grpc.ForceCodecV2(protocol.Codec{}))},
	})
	t.Cleanup(func() { c.Kill(); cancel(); <-closed })
	conn, err := c.Client()
	if err != nil {
		t.Fatal(err)
	}
	h, err := conn.Dispense(protocol.PluginName)
	if err != nil {
		t.Fatal(err)
	}
	return h.(hostSide), gone
}

// stream is a Work stream from the host's side that knows the credit it has.
type stream struct {
	t testing.TB
	protocol.FunctionApp_WorkClient
	credit      [protocol.Kinds]uint32
	episodes    []*protocol.OrchestratorResult
	results     []*protocol.ActivityResult
	invocations []*protocol.InvocationResult
}

func openWork(t testing.TB, h hostSide) *stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	w, err := h.Work(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s := &stream{t: t, FunctionApp_WorkClient: w}
	s.next()
	if s.credit != [protocol.Kinds]uint32{initialCredit, initialCredit, initialCredit} {
		t.Fatalf("the first frame grants %v", s.credit)
	}
	return s
}

func (s *stream) send(f *protocol.HostFrame) {
	s.t.Helper()
	for w := range f.Items() {
		s.credit[w.Kind()]--
	}
	if err := s.Send(f); err != nil {
		s.t.Fatal(err)
	}
}

// next receives one frame.
func (s *stream) next() {
	s.t.Helper()
	f, err := s.Recv()
	if err != nil {
		s.t.Fatal(err)
	}
	for k := range protocol.Kinds {
		s.credit[k] += f.Credit(k)
	}
	s.invocations = append(s.invocations, f.Invocations...)
	s.episodes = append(s.episodes, f.Orchestrators...)
	s.results = append(s.results, f.Activities...)
}

func (s *stream) episode() *protocol.OrchestratorResult {
	s.t.Helper()
	for len(s.episodes) == 0 {
		s.next()
	}
	r := s.episodes[0]
	s.episodes = s.episodes[1:]
	return r
}

func (s *stream) result() *protocol.ActivityResult {
	s.t.Helper()
	for len(s.results) == 0 {
		s.next()
	}
	r := s.results[0]
	s.results = s.results[1:]
	return r
}

// activityApp has one activity, named A.
func activityApp(fn func(context.Context, int) (string, error)) *App {
	app := NewApp("test", WithVersion("7"))
	Activity(app, "A", fn)
	return app
}

func call1(work uint64) *protocol.ActivityWork {
	return &protocol.ActivityWork{Work: work, Name: "A", InstanceId: "i", ExecutionId: "e", TaskId: 3, Attempt: 2,
		Version: wrapperspb.String("v"), Input: wrapperspb.String("1")}
}

func TestDescribe(t *testing.T) {
	app := activityApp(nil2)
	Orchestrator(app, "O", func(*OrchestrationContext, int) (int, error) { return 0, nil })
	h, _ := connect(t, app)
	d, err := h.Describe(t.Context(), &protocol.DescribeRequest{})
	if err != nil || d.AppName != "test" || d.AppVersion != "7" || d.Sdk == "" || len(d.Functions) != 2 {
		t.Fatalf("%v, %v", d, err)
	}
	for i, want := range []string{"A activityTrigger in", "O orchestrationTrigger in"} {
		f := d.Functions[i]
		if got := fmt.Sprint(f.Name, " ", f.Bindings[0].Type, " ", f.Bindings[0].Direction); got != want || len(f.Bindings) != 1 {
			t.Errorf("function is %q, want %q", got, want)
		}
	}
}

func nil2(context.Context, int) (string, error) { return "", nil }

func TestWorkEndToEnd(t *testing.T) {
	app := activityApp(func(ctx context.Context, n int) (string, error) {
		i := Info(ctx)
		return fmt.Sprintf("%d %s %s %d %s", n, i.IdempotencyKey(), i.Version, i.Attempt, i.Name), nil
	})
	Orchestrator(app, "O", func(ctx *OrchestrationContext, n int) (string, error) {
		return CallActivity[string](ctx, "A", n).Await()
	})
	h, _ := connect(t, app)
	s := openWork(t, h)
	host := &testHost{t: t, id: "i", exec: "e", name: "O", now: epoch}
	news := []*history.HistoryEvent{host.started("1")}
	s.send(&protocol.HostFrame{Orchestrators: []*protocol.OrchestratorWork{{Work: 1, InstanceId: "i", ExecutionId: "e", Name: "O", NewEvents: encodeEvents(t, news)}}})
	first := s.episode()
	expect(t, first, "#0 activity A(1)")
	s.send(&protocol.HostFrame{Activities: []*protocol.ActivityWork{call1(2)}})
	res := s.result()
	if res.Work != 2 || res.Result.GetValue() != `"1 i/e/3 v 2 A"` {
		t.Fatalf("result is %v", res)
	}
	s.send(&protocol.HostFrame{Orchestrators: []*protocol.OrchestratorWork{{Work: 3, InstanceId: "i", ExecutionId: "e", Name: "O",
		Position: positionAfter(0, 1, first.Actions), NewEvents: encodeEvents(t, []*history.HistoryEvent{done(0, res.Result.Value)})}}})
	last := s.episode()
	expect(t, last, `#1 Completed "1 i/e/3 v 2 A"`)
	if last.Work != 3 || s.credit != [protocol.Kinds]uint32{initialCredit, initialCredit, initialCredit} {
		t.Errorf("work %d, credit %v after all is answered", last.Work, s.credit)
	}
}

func TestHostEvictsOverTheStream(t *testing.T) {
	h, _ := connect(t, oneActivity())
	s := openWork(t, h)
	host := &testHost{t: t, id: "i", exec: "e", name: "O", now: epoch}
	w := &protocol.OrchestratorWork{Work: 1, InstanceId: "i", ExecutionId: "e", Name: "O", NewEvents: encodeEvents(t, []*history.HistoryEvent{host.started("")})}
	s.send(&protocol.HostFrame{Orchestrators: []*protocol.OrchestratorWork{w}})
	position := positionAfter(0, 1, s.episode().Actions)
	s.send(&protocol.HostFrame{Evict: []string{"e"}, Orchestrators: []*protocol.OrchestratorWork{{Work: 2, ExecutionId: "e", Position: position}}})
	if !s.episode().HistoryNeeded {
		t.Error("an evicted execution was continued")
	}
}

func TestFailuresOfActivityCode(t *testing.T) {
	app := NewApp("test")
	Activity(app, "Panic", func(context.Context, int) (int, error) { panic("ouch") })
	Activity(app, "Goexit", func(context.Context, int) (int, error) { runtime.Goexit(); return 0, nil })
	Activity(app, "Error", func(context.Context, int) (int, error) { return 0, fmt.Errorf("outer: %w", io.EOF) })
	Activity(app, "Never", func(context.Context, int) (int, error) { return 0, NonRetriable(io.EOF) })
	Activity(app, "Result", func(context.Context, int) (func(), error) { return func() {}, nil })
	h, _ := connect(t, app)
	s := openWork(t, h)
	tests := []struct {
		name, errorType, message string
		nonRetriable, stack      bool
	}{
		{"Panic", "panic", "panic: ouch", false, true},
		{"Goexit", "*errors.errorString", "the function called runtime.Goexit", false, false},
		{"Error", "*fmt.wrapError", "outer: EOF", false, false},
		{"Never", "*errors.errorString", "EOF", true, false},
		{"Result", "*fmt.wrapError", "result: json: unsupported type: func()", true, false},
		{"Missing", "ActivityTaskNotFound", `app "test" has no activity function "Missing"; it has: Error, Goexit, Never, Panic, Result`, true, false},
	}
	for _, tt := range tests {
		w := call1(1)
		w.Name = tt.name
		s.send(&protocol.HostFrame{Activities: []*protocol.ActivityWork{w}})
		d := s.result().Failure
		if d.GetErrorType() != tt.errorType || d.GetErrorMessage() != tt.message || d.GetIsNonRetriable() != tt.nonRetriable || (d.GetStackTrace() != nil) != tt.stack {
			t.Errorf("%s: %v", tt.name, d)
		}
	}
}

func TestCancelsReachTheActivity(t *testing.T) {
	began := make(chan struct{})
	h, _ := connect(t, activityApp(func(ctx context.Context, _ int) (string, error) {
		close(began)
		<-ctx.Done()
		return "", fmt.Errorf("%w because %w", ctx.Err(), context.Cause(ctx))
	}))
	s := openWork(t, h)
	s.send(&protocol.HostFrame{Activities: []*protocol.ActivityWork{call1(5)}})
	<-began
	s.send(&protocol.HostFrame{Cancels: []uint64{5, 6}})
	if got := s.result().Failure.GetErrorMessage(); got != "context canceled because the host no longer wants the result" {
		t.Error(got)
	}
}

func TestCancelBeforeTheActivityBegins(t *testing.T) {
	r := newRunner(activityApp(func(ctx context.Context, _ int) (string, error) { return "", context.Cause(ctx) }), hclog.NewNullLogger(), 0)
	s := newSession(r, nil)
	s.running[5] = nil // as take notes it
	s.cancelItem(5)
	s.runActivity(0, call1(5))
	if got := s.out.queue[0].(*protocol.ActivityResult).Failure.GetErrorMessage(); got != errUnwanted.Error() {
		t.Errorf("got %q", got)
	}
}

func TestDrainFinishesWhatRuns(t *testing.T) {
	finish := make(chan struct{})
	h, gone := connect(t, activityApp(func(context.Context, int) (string, error) { <-finish; return "done", nil }))
	s := openWork(t, h)
	s.send(&protocol.HostFrame{Activities: []*protocol.ActivityWork{call1(1), call1(2)}, Drain: true})
	close(finish)
	s.result()
	s.result()
	if _, err := s.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("after a drain the stream ends with %v", err)
	}
	select {
	case err := <-gone:
		t.Errorf("a drained stream counts as broken: %v", err)
	default:
	}
	again := openWork(t, h) // idle: a drain ends it at once
	again.send(&protocol.HostFrame{Drain: true})
	if _, err := again.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("an idle stream ends with %v", err)
	}
}

func TestHostGone(t *testing.T) {
	began, ended := make(chan struct{}), make(chan error, 1)
	h, gone := connect(t, activityApp(func(ctx context.Context, _ int) (string, error) {
		close(began)
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return "", nil
	}))
	ctx, cancel := context.WithCancel(t.Context())
	w, err := h.Work(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Send(&protocol.HostFrame{Activities: []*protocol.ActivityWork{call1(1)}}); err != nil {
		t.Fatal(err)
	}
	<-began
	if _, err := openSecond(t, h); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("a second stream: %v", err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, errHostGone) {
		t.Errorf("the activity was cancelled because: %v", err)
	}
	if err := <-gone; err == nil {
		t.Error("a broken stream counts as drained")
	}
}

func openSecond(t *testing.T, h hostSide) (*protocol.AppFrame, error) {
	w, err := h.Work(t.Context())
	if err != nil {
		return nil, err
	}
	return w.Recv()
}

func TestWatchdogNamesTheInstance(t *testing.T) {
	var log strings.Builder
	block, began := make(chan struct{}), make(chan struct{})
	app := orchestration(func(*OrchestrationContext, int) (int, error) { close(began); <-block; return 0, nil })
	s := newSession(newRunner(app, hclog.New(&hclog.LoggerOptions{Output: &log}), 0), nil)
	host := &testHost{t: t, id: "stuck-1", exec: "e", name: "O", now: epoch}
	s.take(&protocol.HostFrame{Orchestrators: []*protocol.OrchestratorWork{{
		Work: 1, InstanceId: "stuck-1", ExecutionId: "e", Name: "O", NewEvents: encodeEvents(t, []*history.HistoryEvent{host.started("")})}}})
	<-began
	s.watch(time.Now())
	if log.Len() > 0 {
		t.Errorf("reported at once: %s", &log)
	}
	s.watch(time.Now().Add(episodeWarning + time.Second))
	s.watch(time.Now().Add(episodeWarning + 2*time.Second))
	if got := log.String(); strings.Count(got, "stuck-1") != 1 {
		t.Errorf("log is:\n%s", got)
	}
	close(block)
	s.closePools()
	s.pools[protocol.Orchestrator].ended.Wait()
}

// Whoever needs the host only after a while would come too late to dial it.
func TestTheHostIsDialledBeforeAnybodyNeedsIt(t *testing.T) {
	dialled := make(chan uint32, 1)
	s := newSession(newRunner(NewApp("early"), hclog.NewNullLogger(), 0), func(id uint32) (*grpc.ClientConn, error) {
		dialled <- id
		return nil, errors.New("nobody is there")
	})
	s.take(&protocol.HostFrame{HostServices: 7})
	if id := <-dialled; id != 7 {
		t.Errorf("service %d is dialled, want 7", id)
	}
	s.dialing.Wait()
}
