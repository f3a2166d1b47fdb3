package durable

import (
	"maps"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/durafunc/durafunc/taskhub/history"
)

// fireAndForget is the tag of a child whose outcome nobody awaits (F§1.6). The host
// merges a starter's other tags under a child's own.
const fireAndForget = "FireAndForget"

// call is what one durable call, or a client's start, asks for.
type call struct {
	kind       kind
	name       string
	input      *wrapperspb.StringValue
	version    *wrapperspb.StringValue // nil: not given
	tags       map[string]string
	instanceID string
	hasID      bool
	startAt    *timestamppb.Timestamp // clients only
	retry      *RetryPolicy
}

// CallActivity runs the activity of that name, in this or another app, at least
// once, and records its result once.
func CallActivity[Out any](ctx *OrchestrationContext, name string, in any, opts ...ActivityOption) Task[Out] {
	c := call{kind: kindActivity, name: name, version: ctx.x.version}
	for _, o := range opts {
		o.applyActivity(&c)
	}
	return Task[Out]{f: ctx.x.call(c, in)}
}

// CallSubOrchestrator runs another orchestration as a child and awaits its end.
// The failure and the termination of a child are failures of the call, and so is
// an id that belongs to a live instance.
func CallSubOrchestrator[Out any](ctx *OrchestrationContext, name string, in any, opts ...SubOrchestratorOption) Task[Out] {
	c := call{kind: kindChild, name: name}
	for _, o := range opts {
		o.applySubOrchestrator(&c)
	}
	return Task[Out]{f: ctx.x.call(c, in)}
}

// StartNewOrchestration starts an instance when this episode is committed and
// returns its id at once. Its outcome is not reported; this instance shows as its parent.
func StartNewOrchestration(ctx *OrchestrationContext, name string, in any, opts ...StartOption) (string, error) {
	x := ctx.x
	c := call{kind: kindChild, name: name}
	for _, o := range opts {
		o.applyStart(&c)
	}
	if c.startAt != nil {
		return "", invalid("WithStartAt is for clients: start %q after a timer instead", name)
	}
	if err := x.prepare(&c, in); err != nil {
		return "", err
	}
	if !c.hasID {
		c.instanceID = strings.ReplaceAll(ctx.NewGUID().String(), "-", "")
	}
	tags := map[string]string{fireAndForget: "true"}
	maps.Copy(tags, c.tags)
	c.tags = tags
	x.schedule(&c, nil)
	return c.instanceID, nil
}

// call schedules c, with retries when it has a policy.
func (x *execution) call(c call, in any) *future {
	if err := x.prepare(&c, in); err != nil {
		return failedFuture(x, c.kind, c.name, err)
	}
	f := &future{x: x, kind: c.kind, name: c.name, live: true}
	if c.retry != nil {
		p, err := c.retry.normalized()
		if err != nil {
			return failedFuture(x, c.kind, c.name, err)
		}
		r := &retrier{f: f, call: c, policy: p, first: x.now, attempt: 1}
		f.id = x.schedule(&r.call, r)
		return f
	}
	f.id = x.schedule(&c, f)
	return f
}

// prepare checks a call's arguments and encodes its input.
func (x *execution) prepare(c *call, in any) error {
	if err := x.enter(); err != nil {
		return err
	}
	if c.name == "" {
		return invalid("%s without a name", c.kind)
	}
	if c.kind == kindChild {
		if strings.HasPrefix(c.name, "@") {
			return invalid("orchestrator name %q begins with '@'", c.name)
		}
		if c.hasID {
			if err := checkInstanceID(c.instanceID); err != nil {
				return err
			}
			if strings.EqualFold(c.instanceID, x.instanceID) || strings.EqualFold(c.instanceID, x.parentID) {
				return invalid("instance id %q is the caller's own or its parent's", c.instanceID)
			}
		}
	}
	var err error
	if c.input, err = encode(in); err != nil {
		return invalid("input of %s %q: %w", c.kind, c.name, err)
	}
	return nil
}

// schedule takes the next task number for c and asks the host for it. s hears of
// the end; nil: nobody does.
func (x *execution) schedule(c *call, s settler) int32 {
	a := &history.OrchestratorAction{}
	if c.kind == kindActivity {
		a.OrchestratorActionType = &history.OrchestratorAction_ScheduleTask{ScheduleTask: &history.ScheduleTaskAction{
			Name: c.name, Version: c.version, Input: c.input, Tags: c.tags,
		}}
	} else {
		a.OrchestratorActionType = &history.OrchestratorAction_CreateSubOrchestration{
			CreateSubOrchestration: &history.CreateSubOrchestrationAction{
				InstanceId: c.instanceID, Name: c.name, Version: c.version, Input: c.input, Tags: c.tags,
			}}
	}
	return x.ask(c.kind, a, s)
}

func (x *execution) sendEvent(instanceID, name string, data any) error {
	if err := x.enter(); err != nil {
		return err
	}
	if err := checkInstanceID(instanceID); err != nil { // refuses entity ids too (F§1.9 E12)
		return err
	}
	if name == "" {
		return invalid("event without a name")
	}
	p, err := encode(data)
	if err != nil {
		return invalid("data of event %q: %w", name, err)
	}
	x.ask(kindSend, &history.OrchestratorAction{OrchestratorActionType: &history.OrchestratorAction_SendEvent{
		SendEvent: &history.SendEventAction{
			Instance: &history.OrchestrationInstance{InstanceId: instanceID}, Name: name, Data: p,
		}}}, nil)
	return nil
}

// checkInstanceID refuses what no instance can be called (F§1.19).
func checkInstanceID(id string) error {
	if err := history.CheckInstanceID(id); err != nil {
		return invalid("%w", err)
	}
	return nil
}
