package durable

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/durafunc/durafunc/plugins/protocol"
	"github.com/durafunc/durafunc/taskhub/history"
)

// runner runs episodes. Methods may be called concurrently; an execution is in
// the hands of one call at a time, because a call takes it out of the cache.
type runner struct {
	app    *App
	log    hclog.Logger
	coros  coroPool
	parked parkedCache
	// session is the stream that episodes came from last: the way to the host.
	session atomic.Pointer[session]
}

// resolve reads a payload that the host keeps apart because of its size.
func (x *execution) resolve(p *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
	if p == nil || !history.IsPayloadRef(p.Value) {
		return p, nil
	}
	if s := x.r.session.Load(); s != nil {
		return s.client.resolve(s.ctx, p)
	}
	return (&HostClient{}).resolve(context.Background(), p)
}

func newRunner(app *App, log hclog.Logger, maxParked int) *runner {
	return &runner{app: app, log: log, parked: parkedCache{limit: maxParked}}
}

// close ends every parked orchestrator.
func (r *runner) close() {
	r.parked.setLimit(0)
	r.coros.close()
}

// episode runs one work item into res.
func (r *runner) episode(w *protocol.OrchestratorWork, res *protocol.OrchestratorResult) {
	res.Work = w.Work
	var news history.History
	if err := news.UnmarshalVT(w.NewEvents); err != nil {
		res.NonDeterminism = (&replayError{typeCorruptHistory, fmt.Sprintf("new events of instance %q: %v", w.InstanceId, err)}).details()
		return
	}
	x, err := r.executionFor(w, news.Events)
	if err != nil {
		res.NonDeterminism = err.details()
		return
	}
	if x == nil {
		res.HistoryNeeded = true
		return
	}
	// A runtime.Goexit in the orchestrator ends this goroutine too. The execution
	// has concluded as failed then, and the answer is the same.
	defer func() {
		if res.NonDeterminism == nil {
			r.settleEpisode(x, episodeID{w.Epoch, w.Serial}, len(news.Events), res)
		}
	}()
	if err := x.applyAll(news.Events, false); err != nil {
		res.NonDeterminism = err.details()
		x.discard()
	}
}

// settleEpisode collects an episode's answer and parks or drops the execution.
func (r *runner) settleEpisode(x *execution, ran episodeID, newEvents int, res *protocol.OrchestratorResult) {
	res.Actions = x.takeActions()
	if x.customStatus != nil {
		res.CustomStatus = wrapperspb.String(*x.customStatus)
		x.customStatus = nil
	}
	if x.completed {
		x.discard() // only after a termination, or a Goexit, is there anything
		return
	}
	x.after = ran
	x.position = positionAfter(x.position, newEvents, res.Actions)
	x.index = x.position
	r.parked.put(x)
}

// episodeID names an episode; see protocol.OrchestratorWork.
type episodeID struct{ epoch, serial uint64 }

// executionFor finds or builds the execution that w continues; nil without an
// error: it needs history for that.
func (r *runner) executionFor(w *protocol.OrchestratorWork, news []*history.HistoryEvent) (*execution, *replayError) {
	x := r.parked.take(w.ExecutionId)
	if x != nil && x.position == w.Position && x.after == (episodeID{w.AfterEpoch, w.AfterSerial}) {
		return x, nil
	}
	if x != nil {
		x.discard()
	}
	if !w.HasHistory && (w.Position != 0 || !hasStart(news)) {
		return nil, nil
	}
	x = &execution{
		r: r, id: w.ExecutionId, instanceID: w.InstanceId, executionID: w.ExecutionId, name: w.Name,
		owner: noOwner, position: w.Position,
	}
	if !w.HasHistory {
		return x, nil
	}
	var past history.History
	if err := past.UnmarshalVT(w.PastEvents); err != nil {
		return nil, &replayError{typeCorruptHistory, fmt.Sprintf("history of instance %q: %v", w.InstanceId, err)}
	}
	if n := uint64(len(past.Events)); n != w.Position {
		return nil, &replayError{typeCorruptHistory,
			fmt.Sprintf("history of instance %q has %d events, its position says %d", w.InstanceId, n, w.Position)}
	}
	if err := x.applyAll(past.Events, true); err != nil {
		x.discard()
		return nil, err
	}
	return x, nil
}

func hasStart(events []*history.HistoryEvent) bool {
	for _, e := range events {
		if e.GetExecutionStarted() != nil {
			return true
		}
	}
	return false
}
