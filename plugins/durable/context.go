package durable

import (
	"strconv"
	"time"
	"unicode/utf16"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"
)

// MaxCustomStatusBytes is the largest custom status: bytes of its JSON text in
// UTF-16 (F§1.8).
const MaxCustomStatusBytes = 16 << 10

// guidNamespace is the namespace of NewGUID, the same as in the isolated .NET and
// the JavaScript SDKs (F§1.2).
var guidNamespace = uuid.MustParse("9e952958-5e33-4daf-827f-2fa12937b875")

// guidTime is .NET's round-trip format in UTC.
const guidTime = "2006-01-02T15:04:05.0000000Z"

// OrchestrationContext is what an orchestrator knows of itself and asks its host
// through. It is valid on the orchestrator's goroutine until it returns.
type OrchestrationContext struct{ x *execution }

// InstanceID is the id that the instance was started with.
func (c *OrchestrationContext) InstanceID() string { return c.x.instanceID }

// ExecutionID names this execution of the instance; each continue-as-new makes a new one.
func (c *OrchestrationContext) ExecutionID() string { return c.x.executionID }

// ParentInstanceID is the instance that started this one, or empty.
func (c *OrchestrationContext) ParentInstanceID() string { return c.x.parentID }

// Name is the orchestrator's name as the instance was started with.
func (c *OrchestrationContext) Name() string { return c.x.name }

// Version is the instance's version, empty for an unversioned one.
func (c *OrchestrationContext) Version() string { return c.x.version.GetValue() }

// Tags are the instance's tags. The map is shared: do not change it.
func (c *OrchestrationContext) Tags() map[string]string { return c.x.tags }

// CurrentUTCDateTime is the time of the present episode, from history: the same
// on each replay, constant until the next await that parks, and never going back.
func (c *OrchestrationContext) CurrentUTCDateTime() time.Time { return c.x.now }

// IsReplaying reports whether the code runs over history that it has run over before.
func (c *OrchestrationContext) IsReplaying() bool { return c.x.replaying }

// NewGUID returns a UUID of version 5 that is the same on each replay and
// differs from call to call, instance to instance and over time (F§1.2).
func (c *OrchestrationContext) NewGUID() uuid.UUID {
	x := c.x
	name := x.instanceID + "_" + x.now.Format(guidTime) + "_" + strconv.Itoa(x.guids)
	x.guids++
	return uuid.NewSHA1(guidNamespace, []byte(name))
}

// Logger logs with the instance's id, and is silent during replay.
func (c *OrchestrationContext) Logger() hclog.Logger {
	if c.x.logger == nil {
		c.x.logger = replaySafe(c.x)
	}
	return c.x.logger
}

// SetCustomStatus shows v, as JSON, with the instance's status from the end of
// this episode on; nil clears it. It fails with ErrInvalidArgument above
// MaxCustomStatusBytes.
func (c *OrchestrationContext) SetCustomStatus(v any) error {
	if err := c.x.enter(); err != nil {
		return err
	}
	p, err := encode(v)
	if err != nil {
		return invalid("custom status: %w", err)
	}
	text := "null"
	if p != nil {
		text = p.Value
	}
	if n := utf16Bytes(text); n > MaxCustomStatusBytes {
		return invalid("custom status has %d bytes in UTF-16, %d are allowed", n, MaxCustomStatusBytes)
	}
	// Statuses set in replay reached the host when the episode first ran.
	if !c.x.replaying {
		c.x.customStatus = &text
	}
	return nil
}

// SendEvent raises an event at another instance when this episode is committed.
// Nothing tells whether that instance exists.
func (c *OrchestrationContext) SendEvent(instanceID, name string, data any) error {
	return c.x.sendEvent(instanceID, name, data)
}

// ContinueAsNew makes the instance start over with a new input and an empty
// history once the orchestrator returns without an error; call it last. Events
// that were received and not awaited are carried over. Use it as
//
//	return out, ctx.ContinueAsNew(next)
func (c *OrchestrationContext) ContinueAsNew(input any, opts ...ContinueOption) error {
	if err := c.x.enter(); err != nil {
		return err
	}
	p, err := encode(input)
	if err != nil {
		return invalid("input of continue-as-new: %w", err)
	}
	next := &continuation{input: p}
	for _, o := range opts {
		o.applyContinue(next)
	}
	c.x.next = next
	return nil
}

// CreateTimer ends at a point in time, or in the next episode when it has passed.
// Precision is not below a second. Cancel it when it is no longer wanted.
func (c *OrchestrationContext) CreateTimer(at time.Time) Task[struct{}] {
	x := c.x
	if err := x.enter(); err != nil {
		return Task[struct{}]{f: failedFuture(x, kindTimer, "", err)}
	}
	f := &future{x: x, kind: kindTimer, live: true}
	f.id = x.startTimer(at, f)
	return Task[struct{}]{f: f}
}

// CreateTimer is a timer that ends d after the present episode's time.
func CreateTimer(ctx *OrchestrationContext, d time.Duration) Task[struct{}] {
	return ctx.CreateTimer(ctx.x.now.Add(d))
}

func utf16Bytes(s string) int {
	units := 0
	for _, r := range s {
		units += max(1, utf16.RuneLen(r)) // -1: an invalid rune becomes one unit
	}
	return 2 * units
}
