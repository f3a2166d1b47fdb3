package work

import "github.com/durafunc/durafunc/taskhub/history"

// Episode is one run of an orchestrator over new events to its next wait.
type Episode struct {
	// Position counts the history events before New, and After is the token of the episode
	// that ended there (zero at position 0). An executor that parked the orchestrator of
	// the execution after that episode needs nothing else. One that parked it after another
	// must not use it, though it be at the same position: the episode was not committed.
	Position uint64
	After    Token
	// HasHistory says that Past is the whole history before New (it is empty at
	// position 0). Without it, an executor that cannot continue answers
	// HistoryNeeded and is handed the same episode again with its history.
	HasHistory bool
	Past       [][]byte // encoded history.History messages, to be read as if concatenated
	New        []byte   // one encoded history.History
}

// NewEpisode makes it an Orchestrator's item with the part e, in one allocation.
func NewEpisode(it Item, e Episode) *Item {
	x := &struct {
		item Item
		part Episode
	}{it, e}
	x.item.Kind, x.item.Episode = Orchestrator, &x.part
	return &x.item
}

// EpisodeResult is what came out of an Episode. Exactly one of its groups is meant, in
// this order.
type EpisodeResult struct {
	// HistoryNeeded: see Episode.HasHistory.
	HistoryNeeded bool
	// NonDeterminism: replay disagreed with history; nothing of the episode counts.
	NonDeterminism *history.TaskFailureDetails
	// Failed: no app can run it (unknown orchestrator): the instance fails with this.
	Failed *history.TaskFailureDetails

	Actions []*history.OrchestratorAction
	// Rejected names scheduled tasks and children, by action id, that cannot be
	// carried out: they fail with these details instead.
	Rejected     map[int32]*history.TaskFailureDetails
	CustomStatus *string // JSON; nil: unchanged
}

// EpisodeDone is the result of the episode with the token t.
func EpisodeDone(t Token, r EpisodeResult) *Result {
	x := &struct {
		result Result
		part   EpisodeResult
	}{Result{Kind: Orchestrator, Token: t}, r}
	x.result.Episode = &x.part
	return &x.result
}

func (e *Episode) size() int {
	n := len(e.New)
	for _, p := range e.Past {
		n += len(p)
	}
	return n
}

func (e *EpisodeResult) size() (n int) {
	for _, a := range e.Actions {
		n += a.SizeVT()
	}
	return n
}
