package placement

import (
	"github.com/durafunc/durafunc/taskhub/transport"
	"github.com/durafunc/durafunc/taskhub/work"
)

// Work items and their answers, as hosts tell them each other. A further kind needs a case
// in each of the four functions, and a part in wire.proto.

func toToken(t work.Token) *transport.Token {
	return &transport.Token{Partition: uint32(t.Partition), Epoch: t.Epoch, Serial: t.Serial}
}

func fromToken(t *transport.Token) work.Token {
	return work.Token{Partition: int(t.GetPartition()), Epoch: t.GetEpoch(), Serial: t.GetSerial()}
}

func toTokens(list []work.Token) []*transport.Token {
	out := make([]*transport.Token, len(list))
	for n, t := range list {
		out[n] = toToken(t)
	}
	return out
}

func toItem(it *work.Item) *transport.Item {
	w := &transport.Item{
		Token: toToken(it.Token), Instance: it.Instance, Execution: it.Execution, Task: it.ID,
		Name: it.Name, Version: it.Version, Attempt: uint32(it.Attempt),
	}
	switch it.Kind {
	case work.Orchestrator:
		e := it.Episode
		w.Part = &transport.Item_Episode{Episode: &transport.Episode{
			Position: e.Position, After: toToken(e.After), HasHistory: e.HasHistory, Past: e.Past, New: e.New,
		}}
	case work.ActivityFunction:
		w.Part = &transport.Item_Activity{Activity: &transport.Activity{Input: it.Activity.Input}}
	}
	return w
}

// fromItem answers nil for a kind that this host does not know.
func fromItem(w *transport.Item) *work.Item {
	it := work.Item{
		Token: fromToken(w.GetToken()), Task: work.Task{Instance: w.GetInstance(), Execution: w.GetExecution(), ID: w.GetTask()},
		Name: w.GetName(), Version: w.GetVersion(), Attempt: int(w.GetAttempt()),
	}
	switch part := w.GetPart().(type) {
	case *transport.Item_Episode:
		e := part.Episode
		return work.NewEpisode(it, work.Episode{
			Position: e.GetPosition(), After: fromToken(e.GetAfter()), HasHistory: e.GetHasHistory(), Past: e.GetPast(), New: e.GetNew(),
		})
	case *transport.Item_Activity:
		return work.NewActivity(it, work.Activity{Input: part.Activity.Input})
	}
	return nil
}

// toResult tells a result under the token that its owner knows now.
func toResult(t work.Token, r *work.Result) *transport.Result {
	w := &transport.Result{Token: toToken(t), Outcome: transport.Outcome(r.Outcome)}
	switch r.Kind {
	case work.Orchestrator:
		part := &transport.EpisodeResult{}
		if e := r.Episode; e != nil {
			part.HistoryNeeded, part.NonDeterminism, part.Failed = e.HistoryNeeded, e.NonDeterminism, e.Failed
			part.Actions, part.Rejected, part.CustomStatus = e.Actions, e.Rejected, e.CustomStatus
		}
		w.Part = &transport.Result_Episode{Episode: part}
	case work.ActivityFunction:
		part := &transport.ActivityResult{}
		if a := r.Activity; a != nil {
			part.Result, part.Failure = a.Result, a.Failure
		}
		w.Part = &transport.Result_Activity{Activity: part}
	}
	return w
}

// fromResult answers nil for a kind that this host does not know. It copies what the
// partition may change.
func fromResult(w *transport.Result) (r *work.Result) {
	t := fromToken(w.GetToken())
	switch part := w.GetPart().(type) {
	case *transport.Result_Episode:
		e := part.Episode
		r = work.EpisodeDone(t, work.EpisodeResult{
			HistoryNeeded: e.HistoryNeeded, NonDeterminism: e.NonDeterminism, Failed: e.Failed,
			Actions: e.Actions, Rejected: e.Rejected, CustomStatus: e.CustomStatus,
		})
	case *transport.Result_Activity:
		r = work.ActivityDone(t, work.ActivityResult{Result: part.Activity.Result, Failure: part.Activity.Failure})
	default:
		return nil
	}
	r.Outcome = work.Outcome(w.GetOutcome())
	return r
}
