package durable

import (
	"context"
	"strconv"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/durafunc/durafunc/plugins/protocol"
	"github.com/durafunc/durafunc/taskhub/history"
)

// ActivityInfo is what an activity knows of its call.
type ActivityInfo struct {
	Name        string // as it was called
	InstanceID  string // of the orchestration that called it
	ExecutionID string
	TaskID      int32  // number of the call within the execution
	Version     string // of the instance, or given with the call
	// Attempt counts how often this call was handed to an app, from 1. The
	// attempts of a retry policy are calls of their own.
	Attempt int
}

// IdempotencyKey is "instance/execution/task": the same whenever this call runs again,
// on whatever host and whoever owns the instance by then, and different for every other
// call. The attempts of a retry policy are calls of their own.
func (i ActivityInfo) IdempotencyKey() string {
	return i.InstanceID + "/" + i.ExecutionID + "/" + strconv.Itoa(int(i.TaskID))
}

// activityContext is the context of an activity, or of a triggered function, whose info is
// zero; or what a context derived from it finds.
type activityContext struct {
	context.Context
	info   ActivityInfo
	log    hclog.Logger
	client *HostClient
}

type activityKey struct{}

func (c *activityContext) Value(key any) any {
	if _, ok := key.(activityKey); ok {
		return c
	}
	return c.Context.Value(key)
}

// Info tells an activity about its call. It is zero for a context that is not an activity's.
func Info(ctx context.Context) ActivityInfo {
	if c, ok := ctx.Value(activityKey{}).(*activityContext); ok {
		return c.info
	}
	return ActivityInfo{}
}

// Logger logs with the activity's instance and task, or with the name of the triggered
// function, into the host's log. For any other context it is hclog's default logger.
func Logger(ctx context.Context) hclog.Logger {
	c, ok := ctx.Value(activityKey{}).(*activityContext)
	if !ok {
		return hclog.Default()
	}
	if c.info == (ActivityInfo{}) {
		return c.log
	}
	return c.log.With("instance", c.info.InstanceID, "task", c.info.TaskID, "attempt", c.info.Attempt)
}

// Client is the way from an activity or a triggered function to the host's task hub and
// files. For any other context its calls fail with ErrUnavailable.
func Client(ctx context.Context) *HostClient {
	if c, ok := ctx.Value(activityKey{}).(*activityContext); ok && c.client != nil {
		return c.client
	}
	return &HostClient{}
}

// activity runs one work item into res.
func (r *runner) activity(ctx context.Context, client *HostClient, w *protocol.ActivityWork, res *protocol.ActivityResult) {
	res.Work = w.Work
	f := r.app.find(protocol.Activity, w.Name)
	if f == nil {
		res.Failure = r.app.notFound(protocol.Activity, w.Name)
		return
	}
	f.run(&activityContext{Context: ctx, log: r.log, client: client, info: ActivityInfo{
		Name: w.Name, InstanceID: w.InstanceId, ExecutionID: w.ExecutionId, TaskID: w.TaskId,
		Version: w.Version.GetValue(), Attempt: int(w.Attempt),
	}}, w.Input, &res.Result, &res.Failure)
}

// run calls the author's code and sets one of the two: also when it panics or ends the
// goroutine, which is why it returns neither.
func (f *function) run(ctx context.Context, in *wrapperspb.StringValue, result **wrapperspb.StringValue, failure **history.TaskFailureDetails) {
	returned := false
	defer func() {
		switch p := recover(); {
		case p != nil:
			*failure = failureOf(newPanicError(p))
		case !returned:
			*failure = failureOf(errGoexit)
		}
	}()
	out, err := f.call(ctx, in)
	returned = true
	if err != nil {
		*failure = failureOf(err)
		return
	}
	*result = out
}
