// Package work is what the engine hands out and gets back: episodes of
// orchestrators and activity calls, and their results. It is a leaf: it imports
// history and the standard library.
package work

import (
	"github.com/durafunc/durafunc/taskhub/history"
)

// Token identifies one attempt at one work item. A result is taken only if its
// token is the one that is out; anything else is late and dropped.
type Token struct {
	Partition int
	Epoch     uint64
	Serial    uint64 // grows with each work item handed out under this epoch
}

// Episode is one run of an orchestrator over new events to its next wait.
type Episode struct {
	Token     Token
	Instance  string
	Execution string // 32 hex digits; a new one with each continue-as-new
	Name      string // the orchestrator
	Version   string

	// Position counts the history events before New, and After is the token of the episode
	// that ended there (zero at position 0). An executor that parked the orchestrator of
	// Execution after that episode needs nothing else. One that parked it after another
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

// EpisodeResult ends an Episode. Exactly one of its groups is meant, in this order.
type EpisodeResult struct {
	Token Token

	// Abandoned: the function app died or was stopped; hand the episode out again.
	// Died says that the app crashed while it ran the item (counts towards quarantine).
	Abandoned, Died bool
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

// Activity is one call of an activity function.
type Activity struct {
	Token     Token
	Instance  string
	Execution string
	TaskID    int32
	Name      string
	Version   string
	Input     *string // JSON or a payload reference; nil: none
	Attempt   int     // dispatches of this task, from 1
}

// ActivityResult ends an Activity.
type ActivityResult struct {
	Token           Token
	Abandoned, Died bool // as for EpisodeResult
	Result          *string
	Failure         *history.TaskFailureDetails // not nil: the activity failed
}

// Batch is what leaves a partition together after one commit or one burst.
type Batch struct {
	Episodes   []*Episode
	Activities []*Activity
	// Cancels lists activities whose outcome is no longer wanted.
	Cancels []Token
	// Evict lists executions that ended: parked state can be dropped.
	Evict []string
}

// Results is what comes back together.
type Results struct {
	Episodes   []*EpisodeResult
	Activities []*ActivityResult
}

// Executor runs work items. The host implements it over function apps, tests by
// functions.
type Executor interface {
	// Submit takes a batch without blocking and answers each Episode and Activity
	// exactly once through results, in any order and grouping. results may be
	// called from any goroutine, also before Submit returns.
	Submit(batch Batch, results func(Results))
}
