package trigger_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/durafunc/durafunc/plugins/protocol"
	"github.com/durafunc/durafunc/trigger"
)

// rig is a kind of trigger, "bell", that notes what its services do: "+F(p)" started the
// one of function F with the properties p, "-F" stopped it.
type rig struct {
	*trigger.Listeners

	mu     sync.Mutex
	events []string
	fails  map[string]error         // of Start, by function
	holds  map[string]chan struct{} // of Stop, by function: it waits for it, or its deadline
}

func newRig(t *testing.T) *rig {
	r := &rig{fails: map[string]error{}, holds: map[string]chan struct{}{}}
	bell := trigger.Kind{Type: "bell", Trigger: true, Properties: []string{"at"},
		Listen: func(_ trigger.Env, b trigger.Bound) (trigger.Service, error) { return &service{r, b}, nil }}
	silent := trigger.Kind{Type: "silent", Trigger: true}
	r.Listeners = trigger.NewListeners(trigger.NewRegistry(bell, silent), trigger.Env{Log: hclog.NewNullLogger()})
	t.Cleanup(func() { _ = r.Stop(context.Background()) })
	return r
}

type service struct {
	rig   *rig
	bound trigger.Bound
}

func (s *service) Start(context.Context) error {
	s.rig.note("+%s(%s)", s.bound.Function, s.bound.Trigger.GetProperties())
	s.rig.mu.Lock()
	defer s.rig.mu.Unlock()
	return s.rig.fails[s.bound.Function]
}

func (s *service) Stop(ctx context.Context) error {
	s.rig.note("-%s", s.bound.Function)
	s.rig.mu.Lock()
	hold := s.rig.holds[s.bound.Function]
	s.rig.mu.Unlock()
	if hold == nil {
		return nil
	}
	select {
	case <-hold:
		return nil
	case <-ctx.Done():
		s.rig.note("!%s", s.bound.Function)
		return ctx.Err()
	}
}

func (r *rig) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, fmt.Sprintf(format, args...))
}

func (r *rig) fail(function string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fails[function] = err
}

// settled is what has happened since the last call, once nothing moves any more. What
// different functions do is not in an order.
func (r *rig) settled() string {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	events := r.events
	r.events = nil
	slices.SortStableFunc(events, func(a, b string) int { return strings.Compare(a[1:2], b[1:2]) })
	return strings.Join(events, " ")
}

// bells binds each function of "F" or "F properties" to a bell.
func bells(functions ...string) []trigger.Bound {
	var list []trigger.Bound
	for _, f := range functions {
		name, properties, _ := strings.Cut(f, " ")
		list = append(list, trigger.Bound{Function: name, Trigger: &protocol.Binding{Type: "Bell", Properties: properties}})
	}
	return list
}

func TestListenersFollowTheFunctions(t *testing.T) {
	silent := trigger.Bound{Function: "S", Trigger: &protocol.Binding{Type: "silent"}}
	unknown := trigger.Bound{Function: "U", Trigger: &protocol.Binding{Type: "unknown"}}
	tests := []struct {
		name string
		sets [][]trigger.Bound
		want string // what the last of them did
	}{
		{"an app is loaded", [][]trigger.Bound{bells("A", "B")}, "+A() +B()"},
		{"it is loaded again as it was", [][]trigger.Bound{bells("A", "B"), bells("A", "B")}, ""},
		{"an app with another function is loaded", [][]trigger.Bound{bells("A"), bells("A", "B")}, "+B()"},
		{"an app is removed", [][]trigger.Bound{bells("A", "B"), bells("B")}, "-A"},
		{"a trigger has changed", [][]trigger.Bound{bells("A 1", "B"), bells("A 2", "B")}, "-A +A(2)"},
		{"a function is renamed in case", [][]trigger.Bound{bells("A"), bells("a")}, "-A +a()"},
		{"an app comes back", [][]trigger.Bound{bells("A"), nil, bells("A")}, "+A()"},
		{"a kind that does not listen", [][]trigger.Bound{{silent}}, ""},
		{"a kind that nobody knows", [][]trigger.Bound{{unknown}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				got := ""
				for _, set := range tt.sets {
					r.Set(set)
					got = r.settled()
				}
				if got != tt.want {
					t.Errorf("got %s, want %s", got, tt.want)
				}
			})
		})
	}
}

// TestOneListenerAFunction: while a listener is being stopped its successor waits, and
// only the last of several successors starts. Other functions do not wait.
func TestOneListenerAFunction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		hold := make(chan struct{})
		r.holds["A"] = hold
		r.Set(bells("A 1"))
		r.settled()
		r.Set(bells("A 2", "B"))
		r.Set(bells("B"))
		r.Set(bells("A 3", "B"))
		if got, want := r.settled(), "-A +B()"; got != want {
			t.Errorf("while it stops: got %s, want %s", got, want)
		}
		close(hold)
		if got, want := r.settled(), "+A(3)"; got != want {
			t.Errorf("afterwards: got %s, want %s", got, want)
		}
	})
}

func TestAListenerThatDoesNotStartIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.fail("A", errors.New("queue out of reach"))
		r.Set(bells("A", "B"))
		if got, want := r.settled(), "+A() +B()"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if got := r.Problems(); len(got) != 1 || got[0] != `function "A": its bell does not listen: queue out of reach` {
			t.Errorf("problems %q", got)
		}
		time.Sleep(time.Second + 2*time.Second + time.Millisecond) // the clock is the bubble's
		if got, want := r.settled(), "+A() +A()"; got != want {
			t.Errorf("after two pauses: got %s, want %s", got, want)
		}
		r.fail("A", nil)
		time.Sleep(4 * time.Second)
		if got, want := r.settled(), "+A()"; got != want {
			t.Errorf("after a third one: got %s, want %s", got, want)
		}
		if got := r.Problems(); len(got) != 0 {
			t.Errorf("problems %q", got)
		}
		time.Sleep(time.Hour)
		if got := r.settled(); got != "" {
			t.Errorf("while it listens: %s", got)
		}
	})
}

// TestWhatDoesNotStartEndsAtOnce: neither its pauses nor its problem outlast a function.
func TestWhatDoesNotStartEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.fail("A", errors.New("queue out of reach"))
		r.Set(bells("A"))
		r.settled()
		r.Set(nil)
		time.Sleep(time.Hour)
		if got := r.settled(); got != "" {
			t.Errorf("got %s", got)
		}
		if got := r.Problems(); len(got) != 0 {
			t.Errorf("problems %q", got)
		}
	})
}

func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.holds["A"] = make(chan struct{}) // never closed
		r.Set(bells("A", "B"))
		r.settled()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		begun := time.Now()
		if err := r.Stop(ctx); err != nil {
			t.Error(err)
		}
		if took := time.Since(begun); took != time.Second {
			t.Errorf("it took %s, its deadline was after 1s", took)
		}
		r.Set(bells("C"))
		if got, want := r.settled(), "-A !A -B"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if err := r.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
