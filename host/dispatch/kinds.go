package dispatch

import (
	"github.com/durafunc/durafunc/plugins/protocol"
	"github.com/durafunc/durafunc/taskhub/work"
	"github.com/durafunc/durafunc/trigger/activity"
	"github.com/durafunc/durafunc/trigger/orchestration"
)

// Kind is a kind of function. The engine hands out items of the first two; the third are
// called by Invoke.
type Kind = protocol.Kind

// The kinds.
const (
	Orchestrator = protocol.Orchestrator
	Activity     = protocol.Activity
	Triggered    = protocol.Triggered
	kinds        = protocol.Kinds
)

// What is below is all that looks inside an item: a further kind of the engine's needs a
// line in each table and a case in each function.

// engineKinds are the engine's kinds as kinds of functions.
var engineKinds = [work.Kinds]Kind{
	work.Orchestrator:     Orchestrator,
	work.ActivityFunction: Activity,
}

// notFoundTypes are the error types of calls that no function serves (F§1.1 O4).
var notFoundTypes = [kinds]string{
	Orchestrator: "OrchestratorTaskNotFound",
	Activity:     "ActivityTaskNotFound",
	Triggered:    "FunctionNotFound",
}

// toWire is an item of the engine's as an app gets it, numbered id.
func toWire(id uint64, it *work.Item) protocol.Work {
	if it.Kind == work.Orchestrator {
		return orchestration.Work(id, it)
	}
	return activity.Work(id, it)
}

// made is memory for the results of one frame, allocated at once.
type made struct {
	results    []work.Result
	episodes   []work.EpisodeResult
	activities []work.ActivityResult
}

func makeFor(f *protocol.AppFrame) made {
	return made{
		results:    make([]work.Result, len(f.Orchestrators)+len(f.Activities)),
		episodes:   make([]work.EpisodeResult, len(f.Orchestrators)),
		activities: make([]work.ActivityResult, len(f.Activities)),
	}
}

// next takes one value of what was allocated, or allocates one.
func next[T any](list *[]T) *T {
	if len(*list) == 0 {
		return new(T)
	}
	v := &(*list)[0]
	*list = (*list)[1:]
	return v
}

// result tells the engine how its item ended.
func (m *made) result(it *item, e ending) *work.Result {
	r := next(&m.results)
	r.Kind, r.Token, r.Outcome = it.asked.kind, it.asked.token, e.outcome
	switch {
	case e.outcome != work.Completed:
	case r.Kind == work.Orchestrator:
		r.Episode = next(&m.episodes)
		if e.refused != nil {
			r.Episode.Failed = e.refused.details
		} else {
			orchestration.Result(r.Episode, e.answer.(*protocol.OrchestratorResult))
		}
	default:
		r.Activity = next(&m.activities)
		if e.refused != nil {
			r.Activity.Failure = e.refused.details
		} else {
			activity.Result(r.Activity, e.answer.(*protocol.ActivityResult))
		}
	}
	return r
}
