package taskhub

import (
	"github.com/durafunc/durafunc/taskhub/transport"
	"github.com/durafunc/durafunc/taskhub/work"
)

// Work items and their answers, as hosts tell them each other.

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

// itemOverhead is about what a message has in bytes beside payloads.
const itemOverhead = 200

func episodeSize(e *work.Episode) int {
	n := itemOverhead + len(e.New)
	for _, p := range e.Past {
		n += len(p)
	}
	return n
}

func activitySize(a *work.Activity) int {
	if a.Input == nil {
		return itemOverhead
	}
	return itemOverhead + len(*a.Input)
}

func episodeResultSize(e *work.EpisodeResult) int {
	n := itemOverhead
	for _, a := range e.Actions {
		n += a.SizeVT()
	}
	return n
}

func activityResultSize(a *work.ActivityResult) int {
	n := itemOverhead + a.Failure.SizeVT()
	if a.Result != nil {
		n += len(*a.Result)
	}
	return n
}

func toEpisode(e *work.Episode) *transport.Episode {
	return &transport.Episode{
		Token: toToken(e.Token), Instance: e.Instance, Execution: e.Execution, Name: e.Name, Version: e.Version,
		Position: e.Position, After: toToken(e.After), HasHistory: e.HasHistory, Past: e.Past, New: e.New,
	}
}

func fromEpisode(e *transport.Episode) *work.Episode {
	return &work.Episode{
		Token: fromToken(e.Token), Instance: e.Instance, Execution: e.Execution, Name: e.Name, Version: e.Version,
		Position: e.Position, After: fromToken(e.After), HasHistory: e.HasHistory, Past: e.Past, New: e.New,
	}
}

func toActivity(a *work.Activity) *transport.Activity {
	return &transport.Activity{
		Token: toToken(a.Token), Instance: a.Instance, Execution: a.Execution, Task: a.TaskID,
		Name: a.Name, Version: a.Version, Input: a.Input, Attempt: uint32(a.Attempt),
	}
}

func fromActivity(a *transport.Activity) *work.Activity {
	return &work.Activity{
		Token: fromToken(a.Token), Instance: a.Instance, Execution: a.Execution, TaskID: a.Task,
		Name: a.Name, Version: a.Version, Input: a.Input, Attempt: int(a.Attempt),
	}
}

// toEpisodeResult tells a result under the token that its owner knows now.
func toEpisodeResult(t work.Token, e *work.EpisodeResult) *transport.EpisodeResult {
	return &transport.EpisodeResult{
		Token: toToken(t), Abandoned: e.Abandoned, Died: e.Died, HistoryNeeded: e.HistoryNeeded,
		NonDeterminism: e.NonDeterminism, Failed: e.Failed, Actions: e.Actions, Rejected: e.Rejected, CustomStatus: e.CustomStatus,
	}
}

func fromEpisodeResult(e *transport.EpisodeResult) *work.EpisodeResult {
	return &work.EpisodeResult{
		Token: fromToken(e.Token), Abandoned: e.Abandoned, Died: e.Died, HistoryNeeded: e.HistoryNeeded,
		NonDeterminism: e.NonDeterminism, Failed: e.Failed, Actions: e.Actions, Rejected: e.Rejected, CustomStatus: e.CustomStatus,
	}
}

// toActivityResult: see toEpisodeResult.
func toActivityResult(t work.Token, a *work.ActivityResult) *transport.ActivityResult {
	return &transport.ActivityResult{Token: toToken(t), Abandoned: a.Abandoned, Died: a.Died, Result: a.Result, Failure: a.Failure}
}

// fromActivityResult copies what the partition may change.
func fromActivityResult(a *transport.ActivityResult) *work.ActivityResult {
	return &work.ActivityResult{Token: fromToken(a.Token), Abandoned: a.Abandoned, Died: a.Died, Result: a.Result, Failure: a.Failure}
}
