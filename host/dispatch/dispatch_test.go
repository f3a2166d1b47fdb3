package dispatch_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/durafunc/durafunc/bindings/durableclient"
	"github.com/durafunc/durafunc/host/dispatch"
	"github.com/durafunc/durafunc/plugins/protocol"
	"github.com/durafunc/durafunc/plugins/supervisor"
	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/work"
	"github.com/durafunc/durafunc/trigger"
	"github.com/durafunc/durafunc/trigger/activity"
	"github.com/durafunc/durafunc/trigger/orchestration"
)

// fakeApp keeps the frames that it takes.
type fakeApp struct {
	frames []*protocol.HostFrame
	closed bool
}

func (a *fakeApp) Send(f *protocol.HostFrame) bool {
	if a.closed {
		return false
	}
	a.frames = append(a.frames, f)
	return true
}

// ids lists the work numbers that the app got, in order.
func (a *fakeApp) ids() (out []uint64) {
	for _, f := range a.frames {
		for _, w := range f.Orchestrators {
			out = append(out, w.Work)
		}
		for _, w := range f.Activities {
			out = append(out, w.Work)
		}
	}
	return out
}

func (a *fakeApp) inputs() string {
	var out []string
	for _, f := range a.frames {
		for _, w := range f.Activities {
			out = append(out, w.Input.GetValue())
		}
	}
	return strings.Join(out, " ")
}

// clock runs timers when the test moves it.
type clock struct {
	now    time.Time
	timers map[int]timer
	next   int
}

type timer struct {
	at time.Time
	f  func()
}

func newClock() *clock { return &clock{now: time.Unix(1000, 0), timers: map[int]timer{}} }

func (c *clock) AfterFunc(d time.Duration, f func()) func() bool {
	c.next++
	id := c.next
	c.timers[id] = timer{c.now.Add(d), f}
	return func() bool { _, ok := c.timers[id]; delete(c.timers, id); return ok }
}

func (c *clock) advance(d time.Duration) {
	c.now = c.now.Add(d)
	for id, t := range c.timers {
		if !t.at.After(c.now) {
			delete(c.timers, id)
			t.f()
		}
	}
}

// sink is a partition: it keeps answers by serial and counts calls.
type sink struct {
	t     *testing.T
	calls int
	got   map[uint64]*work.Result
}

func newSink(t *testing.T) *sink { return &sink{t: t, got: map[uint64]*work.Result{}} }

func (s *sink) results(list []*work.Result) {
	s.calls++
	for _, r := range list {
		if s.got[r.Token.Serial] != nil {
			s.t.Errorf("item %d answered twice", r.Token.Serial)
		}
		s.got[r.Token.Serial] = r
	}
}

// act is an activity call whose input is its serial.
func act(serial uint64, name string) *work.Item {
	in := fmt.Sprint(serial)
	return work.NewActivity(work.Item{Token: work.Token{Serial: serial}, Name: name, Attempt: 1}, work.Activity{Input: &in})
}

func acts(from, n uint64, name string) (b work.Batch) {
	for i := range n {
		b.Items = append(b.Items, act(from+i, name))
	}
	return b
}

func run(serial uint64, name string, e work.Episode) *work.Item {
	it := work.Item{Token: work.Token{Serial: serial}, Name: name, Task: work.Task{Instance: "i", Execution: "e"}}
	return work.NewEpisode(it, e)
}

func activityOf(app dispatch.App, names ...string) (out []dispatch.Function) {
	for _, n := range names {
		out = append(out, dispatch.Function{Kind: dispatch.Activity, Name: n, App: "app", Handle: app})
	}
	return out
}

func answer(ids ...uint64) *protocol.AppFrame {
	f := &protocol.AppFrame{}
	for _, id := range ids {
		f.Activities = append(f.Activities, &protocol.ActivityResult{Work: id, Result: wrapperspb.String("ok")})
	}
	return f
}

func TestRouting(t *testing.T) {
	d := dispatch.New(dispatch.Options{})
	one, two := &fakeApp{}, &fakeApp{}
	d.SetFunctions([]dispatch.Function{
		{Kind: dispatch.Activity, Name: "Same", Handle: one},
		{Kind: dispatch.Orchestrator, Name: "Same", Handle: two},
	})
	s := newSink(t)
	result := "done"
	d.Submit(work.Batch{
		Items: []*work.Item{act(1, "SAME"), run(2, "same", work.Episode{
			Position: 4, HasHistory: true, Past: [][]byte{{1, 2}, {3}}, New: []byte{4},
		})},
		Evict: []string{"gone"},
	}, s.results)
	if len(one.frames) != 1 || len(two.frames) != 1 {
		t.Fatalf("frames %d and %d, want one each", len(one.frames), len(two.frames))
	}
	if one.frames[0].Evict != nil || !slices.Equal(two.frames[0].Evict, []string{"gone"}) {
		t.Error("evictions go to the apps that have orchestrators")
	}
	w := two.frames[0].Orchestrators[0]
	if string(w.PastEvents) != "\x01\x02\x03" || string(w.NewEvents) != "\x04" || w.Position != 4 || !w.HasHistory {
		t.Errorf("episode on the wire: %v", w)
	}
	actions := []*history.OrchestratorAction{{Id: 9}}
	d.Results(&protocol.AppFrame{Orchestrators: []*protocol.OrchestratorResult{
		{Work: w.Work, Actions: actions, CustomStatus: wrapperspb.String(result)}}})
	d.Results(answer(one.ids()...))
	e := s.got[2]
	if e == nil || e.Outcome != work.Completed || len(e.Episode.Actions) != 1 || e.Episode.CustomStatus == nil ||
		*e.Episode.CustomStatus != result {
		t.Errorf("episode result %+v", e)
	}
	if a := s.got[1]; a == nil || a.Activity.Result == nil || *a.Activity.Result != "ok" {
		t.Errorf("activity result %+v", a)
	}
}

func TestLimitIsFirstInFirstOut(t *testing.T) {
	d := dispatch.New(dispatch.Options{MaxActivities: 2})
	app := &fakeApp{}
	d.SetFunctions(activityOf(app, "A", "B"))
	s := newSink(t)
	b := acts(1, 3, "A")
	b.Items = append(b.Items, act(4, "B"))
	d.Submit(b, s.results)
	if got := app.inputs(); got != "1 2" {
		t.Fatalf("with the app: %s, want 1 2", got)
	}
	if l := d.Load(dispatch.Activity); l != (dispatch.Load{Running: 2, Queued: 2}) {
		t.Errorf("load %+v", l)
	}
	d.Results(answer(app.ids()[0]))
	if got := app.inputs(); got != "1 2 3" {
		t.Errorf("after one answer: %s, want 1 2 3", got)
	}
	d.Results(answer(app.ids()[1:]...))
	if got := app.inputs(); got != "1 2 3 4" {
		t.Errorf("after all: %s, want 1 2 3 4", got)
	}
}

func TestOneCallPerPartition(t *testing.T) {
	d := dispatch.New(dispatch.Options{})
	app := &fakeApp{}
	d.SetFunctions(activityOf(app, "A"))
	p0, p1 := newSink(t), newSink(t)
	d.Submit(acts(1, 3, "A"), p0.results)
	d.Submit(acts(4, 3, "A"), p0.results)
	b := acts(1, 2, "A")
	for _, a := range b.Items {
		a.Token.Partition = 1
	}
	d.Submit(b, p1.results)
	d.Results(answer(app.ids()...))
	if p0.calls != 1 || len(p0.got) != 6 || p1.calls != 1 || len(p1.got) != 2 {
		t.Errorf("partition 0: %d calls, %d answers; partition 1: %d, %d", p0.calls, len(p0.got), p1.calls, len(p1.got))
	}
}

func TestFunctionNotFound(t *testing.T) {
	c := newClock()
	d := dispatch.New(dispatch.Options{FunctionNotFoundTimeout: time.Minute, AfterFunc: c.AfterFunc,
		Now: func() time.Time { return c.now }})
	s := newSink(t)
	b := acts(1, 1, "Missing")
	b.Items = append(b.Items, run(2, "Lost", work.Episode{}))
	d.Submit(b, s.results)
	c.advance(30 * time.Second)
	d.Submit(acts(3, 1, "missing"), s.results)
	w := d.Waiting()
	if len(w) != 2 || w[0].Name != "Lost" || w[1].Name != "Missing" || w[1].Items != 2 || w[1].App != "" ||
		!w[1].Deadline.Equal(w[1].Since.Add(time.Minute)) {
		t.Errorf("waiting %+v", w)
	}
	c.advance(30*time.Second - 1)
	if s.calls != 0 {
		t.Fatal("failed before its time")
	}
	c.advance(1)
	f := s.got[1]
	if f == nil || f.Activity.Failure.GetErrorType() != "ActivityTaskNotFound" || !f.Activity.Failure.GetIsNonRetriable() ||
		!strings.Contains(f.Activity.Failure.GetErrorMessage(), "no activity is registered") {
		t.Errorf("activity %+v", f)
	}
	if e := s.got[2]; e == nil || e.Episode.Failed.GetErrorType() != "OrchestratorTaskNotFound" {
		t.Errorf("episode %+v", e)
	}
	if s.got[3] != nil {
		t.Error("the later item failed with the earlier one")
	}
	// It appears in time.
	app := &fakeApp{}
	d.SetFunctions(activityOf(app, "Missing", "Other"))
	if app.inputs() != "3" || len(d.Waiting()) != 0 {
		t.Errorf("the app got %q", app.inputs())
	}
	c.advance(time.Hour)
	if s.got[3] != nil {
		t.Error("an item that runs failed for its old deadline")
	}
	d.Submit(acts(4, 1, "Gone"), s.results)
	c.advance(time.Minute)
	if m := s.got[4].Activity.Failure.GetErrorMessage(); !strings.Contains(m, "known are Missing, Other") {
		t.Errorf("message %q", m)
	}
}

func TestFunctionNotFoundAtOnce(t *testing.T) {
	d := dispatch.New(dispatch.Options{})
	s := newSink(t)
	d.Submit(acts(1, 1, "X"), s.results)
	if s.got[1] == nil {
		t.Fatal("not answered at once")
	}
	// An app that restarts has its functions: no failure.
	d.SetFunctions(activityOf(nil, "X"))
	d.Submit(acts(2, 1, "X"), s.results)
	if w := d.Waiting(); s.got[2] != nil || len(w) != 1 || w[0].App != "app" || !w[0].Deadline.IsZero() {
		t.Errorf("answered %v, waiting %+v", s.got[2], w)
	}
	d.SetFunctions(nil) // removed
	if s.got[2] == nil {
		t.Error("not answered when the function went")
	}
}

func TestRestartAndTimeout(t *testing.T) {
	c := newClock()
	d := dispatch.New(dispatch.Options{FunctionNotFoundTimeout: time.Minute, AfterFunc: c.AfterFunc,
		Now: func() time.Time { return c.now }})
	s := newSink(t)
	d.Submit(acts(1, 1, "X"), s.results)
	c.advance(50 * time.Second)
	d.SetFunctions(activityOf(nil, "X")) // starting: the deadline is off
	c.advance(time.Hour)
	if s.calls != 0 {
		t.Fatal("failed although an app has the function")
	}
	d.SetFunctions(nil) // gone again: a new deadline
	c.advance(time.Minute - 1)
	if s.calls != 0 {
		t.Fatal("failed by the old deadline")
	}
	c.advance(1)
	if s.got[1] == nil {
		t.Error("never failed")
	}
}

func TestCrash(t *testing.T) {
	d := dispatch.New(dispatch.Options{MaxActivities: 2})
	app := &fakeApp{}
	d.SetFunctions(activityOf(app, "A"))
	s := newSink(t)
	d.Submit(acts(1, 4, "A"), s.results)
	app.closed = true
	sent := app.ids()
	d.Returned(sent[1:2])  // was not sent yet
	d.Lost(sent[:1], true) // ran
	if a := s.got[1]; a == nil || a.Outcome != work.Died {
		t.Errorf("lost item: %+v", a)
	}
	if len(s.got) != 1 || len(d.Waiting()) != 1 || d.Waiting()[0].Items != 3 {
		t.Errorf("answers %d, waiting %+v", len(s.got), d.Waiting())
	}
	next := &fakeApp{}
	d.SetFunctions(activityOf(next, "A"))
	if got := next.inputs(); got != "2 3" {
		t.Errorf("the next process got %q, want 2 3", got)
	}
	d.Lost(next.ids(), false)
	if a := s.got[2]; a == nil || a.Outcome != work.Abandoned {
		t.Errorf("stopped item: %+v", a)
	}
	if got := next.inputs(); got != "2 3 4" {
		t.Errorf("then %q, want 2 3 4", got)
	}
}

func TestCancel(t *testing.T) {
	d := dispatch.New(dispatch.Options{MaxActivities: 1, FunctionNotFoundTimeout: time.Hour})
	app := &fakeApp{}
	d.SetFunctions(activityOf(app, "A"))
	s := newSink(t)
	b := acts(1, 3, "A")
	b.Items = append(b.Items, act(4, "Nowhere"))
	d.Submit(b, s.results)
	d.Submit(work.Batch{Cancels: []work.Token{{Serial: 1}, {Serial: 2}, {Serial: 4}, {Serial: 99}}}, s.results)
	if a := s.got[2]; a == nil || a.Outcome != work.Abandoned {
		t.Errorf("queued item: %+v", a)
	}
	if a := s.got[4]; a == nil || a.Outcome != work.Abandoned || len(d.Waiting()) != 0 {
		t.Errorf("waiting item: %+v", a)
	}
	if got := app.frames[len(app.frames)-1].Cancels; !slices.Equal(got, app.ids()[:1]) || s.got[1] != nil {
		t.Errorf("running item: cancels %v, answer %v", got, s.got[1])
	}
	d.Results(answer(app.ids()[0]))
	if app.inputs() != "1 3" {
		t.Errorf("the app got %q, want 1 3", app.inputs())
	}
	// Cancelled while it waits for the app's credit: not routed again.
	d.Submit(work.Batch{Cancels: []work.Token{{Serial: 3}}}, s.results)
	d.Returned(app.ids()[1:])
	if a := s.got[3]; a == nil || a.Outcome != work.Abandoned {
		t.Errorf("returned item: %+v", a)
	}
	d.Stop()
}

func TestStop(t *testing.T) {
	d := dispatch.New(dispatch.Options{MaxActivities: 1, FunctionNotFoundTimeout: time.Hour})
	app := &fakeApp{}
	d.SetFunctions(activityOf(app, "A"))
	s := newSink(t)
	d.Submit(acts(1, 2, "A"), s.results)
	d.Submit(acts(3, 1, "Nowhere"), s.results)
	d.Stop()
	for _, serial := range []uint64{2, 3} {
		if a := s.got[serial]; a == nil || a.Outcome != work.Abandoned {
			t.Errorf("item %d: %+v", serial, a)
		}
	}
	d.Submit(acts(4, 1, "A"), s.results)
	if s.got[4] == nil {
		t.Error("work after Stop is not answered")
	}
	d.Results(answer(app.ids()...))
	if a := s.got[1]; a == nil || a.Activity == nil || a.Activity.Result == nil {
		t.Errorf("what ran is not answered: %+v", a)
	}
}

func TestTooLarge(t *testing.T) {
	d := dispatch.New(dispatch.Options{})
	app := &fakeApp{}
	d.SetFunctions([]dispatch.Function{{Kind: dispatch.Orchestrator, Name: "O", Handle: app}})
	s := newSink(t)
	d.Submit(work.Batch{Items: []*work.Item{run(1, "O", work.Episode{New: make([]byte, protocol.MaxMessage)})}}, s.results)
	if e := s.got[1]; e == nil || e.Episode.Failed.GetErrorType() != "WorkItemTooLarge" || len(app.frames) != 0 {
		t.Errorf("result %+v, %d frames", e, len(app.frames))
	}
}

func TestWrongAnswers(t *testing.T) {
	d := dispatch.New(dispatch.Options{})
	app := &fakeApp{}
	d.SetFunctions(activityOf(app, "A"))
	s := newSink(t)
	d.Submit(acts(1, 1, "A"), s.results)
	id := app.ids()[0]
	d.Results(&protocol.AppFrame{Orchestrators: []*protocol.OrchestratorResult{{Work: id}, {Work: 77}}})
	if s.calls != 0 {
		t.Error("an activity was answered as an orchestrator")
	}
	d.Results(answer(id, id))
	if len(s.got) != 1 {
		t.Error("not answered")
	}
}

func TestFromApps(t *testing.T) {
	r := trigger.NewRegistry(orchestration.Kind, activity.Kind, durableclient.Kind)
	binding := func(typ, props string) *protocol.Binding {
		return &protocol.Binding{Type: typ, Direction: "in", Properties: props}
	}
	fn := func(name string, b *protocol.Binding) supervisor.Function {
		return supervisor.Function{App: "a", FunctionStatus: supervisor.FunctionStatus{Name: name, Trigger: b}}
	}
	got := dispatch.FromApps(r, []supervisor.Function{
		fn("O", binding("OrchestrationTrigger", "")),
		fn("F", binding("activityTrigger", `{"activity":"Renamed"}`)),
	})
	if len(got) != 2 || got[0].Kind != dispatch.Orchestrator || got[0].Name != "O" || got[0].Handle != nil ||
		got[1].Kind != dispatch.Activity || got[1].Name != "Renamed" || got[1].Function != "F" {
		t.Errorf("functions %+v", got)
	}
	tests := []struct {
		name      string
		b         *protocol.Binding
		isTrigger bool
		want      error
	}{
		{"orchestration", binding("orchestrationTrigger", ""), true, nil},
		{"case does not matter", binding("ACTIVITYTRIGGER", ""), true, nil},
		{"the client is no trigger", binding("durableClient", ""), false, nil},
		{"old name of the client", binding("orchestrationClient", `{"taskHub":"x"}`), false, nil},
		{"unknown type", binding("queueTrigger", ""), false, trigger.ErrUnknownType},
		{"unknown property", binding("activityTrigger", `{"queue":"x"}`), true, trigger.ErrBinding},
		{"property of a wrong type", binding("activityTrigger", `{"activity":7}`), true, trigger.ErrBinding},
		{"properties are no object", binding("activityTrigger", `[]`), true, trigger.ErrBinding},
		{"direction", &protocol.Binding{Type: "activityTrigger", Direction: "out"}, true, trigger.ErrBinding},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if is, err := r.Check(tt.b); is != tt.isTrigger || !errors.Is(err, tt.want) {
				t.Errorf("Check: %v, %v", is, err)
			}
		})
	}
}

// BenchmarkRoundTrip is what the dispatcher adds to one activity.
func BenchmarkRoundTrip(b *testing.B) {
	d := dispatch.New(dispatch.Options{MaxActivities: 1000})
	app := &echoApp{d: d}
	d.SetFunctions(activityOf(app, "Activity"))
	batch := acts(1, 16, "Activity")
	b.ReportAllocs()
	for b.Loop() {
		app.ids = app.ids[:0]
		d.Submit(batch, func([]*work.Result) {})
		d.Results(answer(app.ids...))
	}
}

type echoApp struct {
	d   *dispatch.Dispatcher
	ids []uint64
}

func (a *echoApp) Send(f *protocol.HostFrame) bool {
	for _, w := range f.Activities {
		a.ids = append(a.ids, w.Work)
	}
	return true
}
