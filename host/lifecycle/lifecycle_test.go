package lifecycle_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/durafunc/durafunc/host/lifecycle"
)

var (
	errStart = errors.New("does not start")
	errStop  = errors.New("does not stop")
)

// journal is what was done, in order: "+a" started a, "-a" stopped it.
type journal []string

func (j *journal) String() string { return strings.Join(*j, " ") }

// service is one that notes what is done to it.
func (j *journal) service(name string, start, stop error) lifecycle.Service {
	return lifecycle.Funcs{
		OnStart: func(context.Context) error { *j = append(*j, "+"+name); return start },
		OnStop:  func(context.Context) error { *j = append(*j, "-"+name); return stop },
	}
}

func TestOrder(t *testing.T) {
	start := func(g *lifecycle.Group) error { return g.Start(context.Background()) }
	stop := func(g *lifecycle.Group) error { return g.Stop(context.Background()) }
	type call = func(*lifecycle.Group) error
	tests := []struct {
		name       string
		bStart     error
		bStop      error
		calls      []call
		wants      []error // of each call
		wantEvents string
	}{
		{"started in order, stopped in reverse", nil, nil, []call{start, stop}, []error{nil, nil}, "+a +b +c -c -b -a"},
		{"a failed start stops what runs", errStart, nil, []call{start}, []error{errStart}, "+a +b -a"},
		{"a stop after a failed start has nothing to do", errStart, nil, []call{start, stop}, []error{errStart, nil}, "+a +b -a"},
		{"a failed stop keeps nobody from being stopped", nil, errStop, []call{start, stop}, []error{nil, errStop}, "+a +b +c -c -b -a"},
		{"stopped twice", nil, errStop, []call{start, stop, stop}, []error{nil, errStop, errStop}, "+a +b +c -c -b -a"},
		{"stopped first", nil, nil, []call{stop, start, stop}, []error{nil, lifecycle.ErrStopped, nil}, ""},
		{"started twice", nil, nil, []call{start, start, stop}, []error{nil, lifecycle.ErrStarted, nil}, "+a +b +c -c -b -a"},
		{"started again after the stop", nil, nil, []call{start, stop, start}, []error{nil, nil, lifecycle.ErrStopped}, "+a +b +c -c -b -a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var j journal
			g := lifecycle.NewGroup(j.service("a", nil, nil), j.service("b", tt.bStart, tt.bStop), j.service("c", nil, nil))
			for i, call := range tt.calls {
				if err := call(g); !errors.Is(err, tt.wants[i]) {
					t.Errorf("call %d: got %v, want %v", i, err, tt.wants[i])
				}
			}
			if got := j.String(); got != tt.wantEvents {
				t.Errorf("got %s, want %s", got, tt.wantEvents)
			}
		})
	}
}

func TestStopCancelsAStartThatIsAtWork(t *testing.T) {
	var j journal
	hangs := make(chan struct{})
	g := lifecycle.NewGroup(
		j.service("a", nil, nil),
		lifecycle.Funcs{OnStart: func(ctx context.Context) error {
			close(hangs)
			<-ctx.Done()
			return context.Cause(ctx)
		}},
		j.service("c", nil, nil),
	)
	started := make(chan error)
	go func() { started <- g.Start(context.Background()) }()
	<-hangs
	if err := g.Stop(context.Background()); err != nil {
		t.Errorf("Stop: %v", err)
	}
	if err := <-started; !errors.Is(err, lifecycle.ErrStopped) {
		t.Errorf("Start: got %v, want %v", err, lifecycle.ErrStopped)
	}
	if got, want := j.String(), "+a -a"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestACancelledStartGoesNoFurther(t *testing.T) {
	var j journal
	ctx, cancel := context.WithCancel(context.Background())
	g := lifecycle.NewGroup(j.service("a", nil, nil),
		lifecycle.Funcs{OnStart: func(context.Context) error { cancel(); return nil }}, j.service("c", nil, nil))
	if err := g.Start(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if got, want := j.String(), "+a -a"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestTheDeadlineIsForAll: the first service that is stopped uses the time up; the others
// are stopped all the same, and see that there is none left.
func TestTheDeadlineIsForAll(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	var seen []error
	g := lifecycle.NewGroup(
		lifecycle.Funcs{OnStop: func(ctx context.Context) error { seen = append(seen, ctx.Err()); return nil }},
		lifecycle.Funcs{OnStop: func(ctx context.Context) error { cancel(); <-ctx.Done(); return ctx.Err() }},
	)
	if err := g.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := g.Stop(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if !slices.Equal(seen, []error{context.Canceled}) {
		t.Errorf("the other service saw %v", seen)
	}
}

// TestWaitingForAStop: who calls Stop while it is at work waits for it, or gives up alone.
func TestWaitingForAStop(t *testing.T) {
	begun, end := make(chan struct{}), make(chan struct{})
	g := lifecycle.NewGroup(lifecycle.Funcs{OnStop: func(context.Context) error {
		close(begun)
		<-end
		return errStop
	}})
	if err := g.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	results := make(chan error)
	go func() { results <- g.Stop(context.Background()) }()
	<-begun
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if err := g.Stop(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("without patience: got %v", err)
	}
	go func() { results <- g.Stop(context.Background()) }()
	close(end)
	for range 2 {
		if err := <-results; !errors.Is(err, errStop) {
			t.Errorf("got %v, want %v", err, errStop)
		}
	}
}
