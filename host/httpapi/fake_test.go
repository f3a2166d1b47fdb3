package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/durafunc/durafunc/taskhub"
	"github.com/durafunc/durafunc/taskhub/history"
)

var testTime = time.Date(2024, 5, 1, 10, 20, 30, 987654321, time.FixedZone("", 2*3600))

// fakeClient is a task hub of a map. Its methods follow taskhub.Client's contract
// as far as the API can tell; next is the error of the next call, log what was asked.
type fakeClient struct {
	mu        sync.Mutex
	instances map[string]*taskhub.Instance
	events    []*history.HistoryEvent
	next      error
	panics    bool
	log       []string
	query     taskhub.Query
	ended     chan struct{} // Wait returns when it is closed
	waiting   chan struct{} // receives when a Wait has begun; may be nil
}

func newFake(instances ...*taskhub.Instance) *fakeClient {
	f := &fakeClient{instances: map[string]*taskhub.Instance{}, ended: make(chan struct{})}
	for _, in := range instances {
		f.instances[in.ID] = in
	}
	return f
}

func instance(id string, s taskhub.Status) *taskhub.Instance {
	return &taskhub.Instance{ID: id, Name: "Order", Status: s, Created: testTime, Updated: testTime.Add(90 * time.Second)}
}

func ptr(s string) *string { return &s }

func (f *fakeClient) enter(format string, args ...any) (unlock func(), err error) {
	f.mu.Lock()
	if f.panics {
		defer f.mu.Unlock()
		panic("boom")
	}
	f.log = append(f.log, fmt.Sprintf(format, args...))
	err, f.next = f.next, nil
	return f.mu.Unlock, err
}

func show(p *string) string {
	if p == nil {
		return "nil"
	}
	return *p
}

func (f *fakeClient) Start(_ context.Context, r taskhub.StartRequest) (taskhub.StartResult, error) {
	unlock, err := f.enter("start %s id=%q version=%q input=%s tags=%v", r.Name, r.ID, r.Version, show(r.Input), r.Tags)
	defer unlock()
	if err != nil {
		return taskhub.StartResult{}, err
	}
	if r.ID == "" {
		r.ID = fmt.Sprintf("new%d", len(f.instances))
	}
	old := f.instances[r.ID]
	if old != nil && !history.IsTerminal(old.Status) {
		return taskhub.StartResult{}, fmt.Errorf("instance %q: %w", r.ID, taskhub.ErrInstanceExists)
	}
	f.instances[r.ID] = &taskhub.Instance{ID: r.ID, Name: r.Name, Input: r.Input, Status: history.Pending, Created: testTime, Updated: testTime}
	return taskhub.StartResult{ID: r.ID, Replaced: old != nil}, nil
}

func (f *fakeClient) find(id string) (*taskhub.Instance, error) {
	if in := f.instances[id]; in != nil {
		return in, nil
	}
	return nil, fmt.Errorf("instance %q: %w", id, taskhub.ErrNotFound)
}

func (f *fakeClient) Get(_ context.Context, id string, opt taskhub.GetOptions) (*taskhub.Instance, error) {
	unlock, err := f.enter("get %s", id)
	defer unlock()
	if err != nil {
		return nil, err
	}
	in, err := f.find(id)
	if err != nil {
		return nil, err
	}
	c := *in
	if !opt.Payloads {
		c.Input, c.Output = nil, nil
	}
	return &c, nil
}

func (f *fakeClient) Wait(ctx context.Context, id string, opt taskhub.GetOptions) (*taskhub.Instance, error) {
	if f.waiting != nil {
		f.waiting <- struct{}{}
	}
	select {
	case <-f.ended:
		return f.Get(ctx, id, opt)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (f *fakeClient) end(id string, s taskhub.Status, output *string) {
	f.mu.Lock()
	f.instances[id].Status, f.instances[id].Output = s, output
	f.mu.Unlock()
	close(f.ended)
}

func (f *fakeClient) History(_ context.Context, id string) ([]*history.HistoryEvent, error) {
	unlock, err := f.enter("history %s", id)
	defer unlock()
	return f.events, err
}

func (f *fakeClient) List(_ context.Context, q taskhub.Query) (taskhub.Page, error) {
	unlock, err := f.enter("list")
	defer unlock()
	f.query = q
	if err != nil {
		return taskhub.Page{}, err
	}
	var p taskhub.Page
	for _, in := range f.instances {
		p.Instances = append(p.Instances, in)
	}
	sort.Slice(p.Instances, func(i, j int) bool { return p.Instances[i].ID < p.Instances[j].ID })
	if q.Token == "" && len(p.Instances) > q.Top {
		p.Instances, p.Token = p.Instances[:q.Top], "page2"
	} else if q.Token != "" {
		p.Instances = p.Instances[min(q.Top, len(p.Instances)):]
	}
	return p, nil
}

// change is what the operations have in common.
func (f *fakeClient) change(id string, format string, args ...any) error {
	unlock, err := f.enter(format, args...)
	defer unlock()
	if err != nil {
		return err
	}
	in, err := f.find(id)
	if err == nil && history.IsTerminal(in.Status) {
		err = fmt.Errorf("instance %q: %w", id, taskhub.ErrTerminal)
	}
	return err
}

func (f *fakeClient) RaiseEvent(_ context.Context, id, name string, data *string) error {
	return f.change(id, "raise %s %s %s", id, name, show(data))
}

func (f *fakeClient) Terminate(_ context.Context, id, reason string, recursive bool) error {
	return f.change(id, "terminate %s %q %v", id, reason, recursive)
}

func (f *fakeClient) Suspend(_ context.Context, id, reason string) error {
	return f.change(id, "suspend %s %q", id, reason)
}

func (f *fakeClient) Resume(_ context.Context, id, reason string) error {
	return f.change(id, "resume %s %q", id, reason)
}

func (f *fakeClient) Purge(_ context.Context, id string) error {
	unlock, err := f.enter("purge %s", id)
	defer unlock()
	if err != nil {
		return err
	}
	in, err := f.find(id)
	if err != nil {
		return err
	}
	if !history.IsTerminal(in.Status) {
		return fmt.Errorf("instance %q is running: %w", id, taskhub.ErrInvalidState)
	}
	delete(f.instances, id)
	return nil
}

func (f *fakeClient) PurgeBy(_ context.Context, q taskhub.Query) (int, error) {
	unlock, err := f.enter("purgeBy")
	defer unlock()
	f.query = q
	n := 0
	for id, in := range f.instances {
		if history.IsTerminal(in.Status) && strings.HasPrefix(id, q.IDPrefix) {
			n++
		}
	}
	return n, err
}

// fakeHost has two functions, and the orchestrators that it is given.
type fakeHost struct {
	notReady      bool
	orchestrators []string
}

func (h fakeHost) Ready() bool { return !h.notReady }

func (h fakeHost) Status() HostStatus {
	return HostStatus{ID: "h1", State: HostRunning, InstanceID: "p1", ComputerName: "c", Started: testTime, Errors: []string{"app x: exited"}}
}

func (h fakeHost) Functions() []Function {
	return []Function{
		{Name: "Order", App: "shop", AppVersion: "1.2", Bindings: []json.RawMessage{json.RawMessage(`{"type":"orchestrationTrigger"}`), json.RawMessage(`{bad`)}},
		{Name: "Web", Language: "js", InvokePath: "/api/web/{id}", Disabled: true},
	}
}

func (h fakeHost) Orchestrators() []string { return h.orchestrators }
