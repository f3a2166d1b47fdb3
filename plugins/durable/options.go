package durable

import (
	"maps"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"
)

// AppOption changes an App.
type AppOption interface{ applyApp(*App) }

// ActivityOption changes one call of an activity.
type ActivityOption interface{ applyActivity(*call) }

// SubOrchestratorOption changes one call of a sub-orchestrator.
type SubOrchestratorOption interface{ applySubOrchestrator(*call) }

// StartOption changes the start of an instance, from an orchestrator or a client.
type StartOption interface{ applyStart(*call) }

// WaitOption changes a wait for an external event.
type WaitOption interface{ applyWait(*future) }

// ContinueOption changes a continue-as-new.
type ContinueOption interface{ applyContinue(*continuation) }

// VersionOption is what WithVersion returns.
type VersionOption string

// WithVersion gives an app, a new instance or the next execution its version. An
// activity has the version of the instance that calls it unless it is given one.
func WithVersion(version string) VersionOption { return VersionOption(version) }

func (o VersionOption) applyApp(a *App)               { a.version = string(o) }
func (o VersionOption) applyActivity(c *call)         { c.version = wrapperspb.String(string(o)) }
func (o VersionOption) applySubOrchestrator(c *call)  { c.version = wrapperspb.String(string(o)) }
func (o VersionOption) applyStart(c *call)            { c.version = wrapperspb.String(string(o)) }
func (o VersionOption) applyContinue(c *continuation) { c.version = wrapperspb.String(string(o)) }

// InstanceIDOption is what WithInstanceID returns.
type InstanceIDOption string

// WithInstanceID gives the new instance its id: 1 to 256 characters without
// '/', '\', '#', '?', control characters and a leading '@'. Without it the host
// derives one.
func WithInstanceID(id string) InstanceIDOption { return InstanceIDOption(id) }

func (o InstanceIDOption) applySubOrchestrator(c *call) { c.instanceID, c.hasID = string(o), true }
func (o InstanceIDOption) applyStart(c *call)           { c.instanceID, c.hasID = string(o), true }

// RetryOption is what WithRetry returns.
type RetryOption struct{ policy RetryPolicy }

// WithRetry calls again when the call failed.
func WithRetry(p RetryPolicy) RetryOption { return RetryOption{p} }

func (o RetryOption) applyActivity(c *call)        { c.retry = &o.policy }
func (o RetryOption) applySubOrchestrator(c *call) { c.retry = &o.policy }

// TagsOption is what WithTags returns.
type TagsOption map[string]string

// WithTags adds tags. A new instance inherits its starter's tags; these win.
func WithTags(tags map[string]string) TagsOption { return TagsOption(tags) }

func (o TagsOption) applyActivity(c *call)        { c.tags = maps.Clone(map[string]string(o)) }
func (o TagsOption) applySubOrchestrator(c *call) { c.tags = maps.Clone(map[string]string(o)) }
func (o TagsOption) applyStart(c *call)           { c.tags = maps.Clone(map[string]string(o)) }

// TimeoutOption is what WithTimeout returns.
type TimeoutOption time.Duration

// WithTimeout bounds a wait: it ends with ErrTimeout. Zero takes only an event
// that has already arrived; a negative duration waits for ever.
func WithTimeout(d time.Duration) TimeoutOption { return TimeoutOption(d) }

func (o TimeoutOption) applyWait(f *future) { f.limit = time.Duration(o) }

// DropEventsOption is what WithDroppedEvents returns.
type DropEventsOption struct{}

// WithDroppedEvents makes continue-as-new forget the events that were received
// and not awaited.
func WithDroppedEvents() DropEventsOption { return DropEventsOption{} }

func (DropEventsOption) applyContinue(c *continuation) { c.dropEvents = true }
