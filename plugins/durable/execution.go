package durable

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/durafunc/durafunc/plugins/durable/internal/goroutine"
	"github.com/durafunc/durafunc/plugins/protocol"
	"github.com/durafunc/durafunc/taskhub/history"
)

// noOwner is no goroutine's identity.
const noOwner = math.MaxUint

var errGoexit = errors.New("the function called runtime.Goexit")

// settler hears how a scheduled task ended.
type settler interface {
	settle(x *execution, o outcome)
}

// pendingTask is a scheduled task; to is nil when nobody listens (any more).
type pendingTask struct {
	kind kind
	to   settler
}

// continuation is what ContinueAsNew asked for.
type continuation struct {
	input      *wrapperspb.StringValue
	version    *wrapperspb.StringValue
	dropEvents bool
}

// execution is one execution of one orchestration in this process: the parked
// function and what it waits for. The runner and the orchestrator's goroutine share
// it without locks, because one of them runs at a time. It reads no clock and
// draws no random number: history is its only input.
type execution struct {
	r          *runner
	instanceID string
	id         string // execution id as the host keys it
	older      *execution
	newer      *execution // neighbours in the cache of parked executions

	executionID string
	parentID    string
	name        string
	version     *wrapperspb.StringValue
	tags        map[string]string
	now         time.Time
	replaying   bool
	guids       int
	logger      hclog.Logger

	co        *coro
	owner     uintptr // goroutine that runs the orchestrator
	waiting   *future // what it is parked on
	unwinding bool
	started   bool
	completed bool // the function returned, or the execution was terminated

	position  uint64                        // history events up to the last episode
	after     episodeID                     // the last episode
	index     uint64                        // of the event being applied
	pending   []pendingTask                 // by task number
	actions   []*history.OrchestratorAction // not yet handed to the host; nil: confirmed by history
	confirmed int                           // actions before this one are nil
	finished  uint64

	mailboxes map[string]*mailbox
	tickets   uint64
	arrivals  uint64

	customStatus *string // to be told
	next         *continuation
	end          *history.CompleteOrchestrationAction // once completed; nil after a termination
}

// enter is called at the beginning of each durable call: it refuses foreign
// goroutines, and ends one that is being unwound.
func (x *execution) enter() error {
	if x.owner != goroutine.Current() {
		return fmt.Errorf("orchestration %s: %w", x.instanceID, ErrOutsideOrchestrator)
	}
	if x.unwinding {
		runtime.Goexit()
	}
	return nil
}

// park hands control back to the runner until f is done.
func (x *execution) park(f *future) {
	x.waiting = f
	if !x.co.yield(struct{}{}) {
		x.unwinding = true
		runtime.Goexit()
	}
	x.waiting = nil
}

// resume runs the orchestrator to its next await or its end.
func (x *execution) resume() {
	x.co.resume()
	if x.completed {
		x.r.coros.put(x.co)
		x.co = nil
	}
}

// start runs the orchestrator from its beginning.
func (x *execution) start(e *history.ExecutionStartedEvent) {
	x.started = true
	if x.name == "" {
		x.name = e.GetName()
	}
	x.version, x.tags = e.GetVersion(), e.GetTags()
	x.parentID = e.GetParentInstance().GetOrchestrationInstance().GetInstanceId()
	if id := e.GetOrchestrationInstance().GetExecutionId().GetValue(); id != "" {
		x.executionID = id
	}
	f := x.r.app.find(protocol.Orchestrator, x.name)
	if f == nil {
		x.complete(&history.CompleteOrchestrationAction{
			OrchestrationStatus: history.Failed,
			FailureDetails:      x.r.app.notFound(protocol.Orchestrator, x.name),
		})
		return
	}
	x.co = x.r.coros.get()
	input := e.GetInput()
	x.co.job = func() { x.body(f.orchestrator, input) }
	x.resume()
}

// body is what the coro runs.
func (x *execution) body(fn orchestratorFunc, input *wrapperspb.StringValue) {
	x.owner = goroutine.Current()
	returned := false
	defer func() {
		p := recover()
		x.owner = noOwner
		switch {
		case x.unwinding || returned:
		case p != nil:
			x.conclude(nil, newPanicError(p))
		default: // iter.Pull hands the Goexit on; see runner.episode
			x.conclude(nil, errGoexit)
		}
	}()
	result, err := fn(&OrchestrationContext{x}, input)
	returned = true
	x.conclude(result, err)
}

// conclude ends the execution with what its function returned.
func (x *execution) conclude(result *wrapperspb.StringValue, err error) {
	a := &history.CompleteOrchestrationAction{OrchestrationStatus: history.Completed, Result: result}
	switch {
	case err != nil:
		if x.next != nil && !x.replaying {
			x.r.log.Warn("orchestrator failed after ContinueAsNew: the instance fails", "instance", x.instanceID, "error", err)
		}
		a.OrchestrationStatus, a.Result = history.Failed, nil
		a.FailureDetails = failureOf(err)
		a.FailureDetails.ErrorMessage = orchestratorFailed + x.name + "' failed: " + a.FailureDetails.ErrorMessage
	case x.next != nil:
		a.OrchestrationStatus, a.Result, a.NewVersion = history.ContinuedAsNew, x.next.input, x.next.version
		if !x.next.dropEvents {
			a.CarryoverEvents = x.unconsumed()
		}
	}
	x.complete(a)
}

func (x *execution) complete(a *history.CompleteOrchestrationAction) {
	x.completed, x.end = true, a
	x.actions = append(x.actions, &history.OrchestratorAction{
		Id:                     int32(len(x.pending)),
		OrchestratorActionType: &history.OrchestratorAction_CompleteOrchestration{CompleteOrchestration: a},
	})
}

// ask takes the next task number for a and queues it for the host.
func (x *execution) ask(k kind, a *history.OrchestratorAction, to settler) int32 {
	a.Id = int32(len(x.pending))
	x.pending = append(x.pending, pendingTask{k, to})
	x.actions = append(x.actions, a)
	return a.Id
}

// startTimer asks for a timer.
func (x *execution) startTimer(at time.Time, to settler) int32 {
	return x.ask(kindTimer, &history.OrchestratorAction{OrchestratorActionType: &history.OrchestratorAction_CreateTimer{
		CreateTimer: &history.CreateTimerAction{FireAt: timestamppb.New(at)},
	}}, to)
}

// cancelTimer drops a timer. In replay the host has heard of it before.
func (x *execution) cancelTimer(id int32) {
	if x.pending[id].to == nil {
		return
	}
	x.pending[id].to = nil
	if x.replaying {
		return
	}
	x.actions = append(x.actions, &history.OrchestratorAction{
		Id: id, OrchestratorActionType: &history.OrchestratorAction_CancelTimer{CancelTimer: &history.CancelTimerAction{}},
	})
}

// takeActions hands out what the host has not heard of.
func (x *execution) takeActions() []*history.OrchestratorAction {
	a := x.actions[x.confirmed:]
	if x.confirmed > 0 { // only after a replay: some in between may be confirmed too
		kept := a[:0]
		for _, v := range a {
			if v != nil {
				kept = append(kept, v)
			}
		}
		a = kept
	}
	x.actions, x.confirmed = nil, 0
	return a
}

// discard ends a parked orchestrator; its deferred functions run now.
func (x *execution) discard() {
	if x.co != nil {
		x.co.unwind()
		x.co = nil
	}
}

// failedFuture is a task that failed before anything was asked for. It touches
// nothing of x, since the caller may be on a foreign goroutine.
func failedFuture(x *execution, k kind, name string, err error) *future {
	f := &future{x: x, kind: k, name: name, id: -1}
	f.reject(err)
	return f
}

func (f *future) reject(err error) { f.done, f.live, f.err = true, false, err }

func (x *execution) taskFailed(f *future, d *history.TaskFailureDetails) *TaskFailedError {
	return &TaskFailedError{TaskName: f.name, TaskID: f.id, SubOrchestration: f.kind == kindChild, Failure: fromWire(d)}
}
