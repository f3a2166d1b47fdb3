// Package work is what the engine hands out and gets back: episodes of
// orchestrators and activity calls, and their results. It imports history and the standard
// library, and holds no lock.
package work

// Token identifies one attempt at one work item. A result is taken only if its
// token is the one that is out; anything else is late and dropped.
type Token struct {
	Partition int
	Epoch     uint64
	Serial    uint64 // grows with each work item handed out under this epoch
}

// Newer reports whether t was handed out after u, for the same partition.
func (t Token) Newer(u Token) bool {
	return t.Partition == u.Partition && (t.Epoch > u.Epoch || t.Epoch == u.Epoch && t.Serial > u.Serial)
}

// Task names what an item is for, whatever the attempt, the host and the owner of the
// partition. An activity's is one call, and is what idempotency keys are made of; the
// episodes of one execution have one between them, whose ID is 0.
type Task struct {
	Instance  string
	Execution string // 32 hex digits; a new one with each continue-as-new
	ID        int32
}

// Item is a work item: what all kinds have in common, and the part of its kind. Whoever
// only moves it looks at nothing else.
type Item struct {
	Kind  Kind
	Token Token
	Task
	Name    string // of the function
	Version string
	Attempt int // how often it was handed out, from 1; 0 for the kinds that are replayed

	Episode  *Episode  // of an Orchestrator
	Activity *Activity // of an ActivityFunction
}

// Function is what runs the item.
func (it *Item) Function() Function { return Function{Kind: it.Kind, Name: it.Name} }

// Ended makes a result without an answer: o is Abandoned or Died.
func (it *Item) Ended(o Outcome) *Result {
	return &Result{Kind: it.Kind, Token: it.Token, Outcome: o}
}

// Outcome is how a work item ended.
type Outcome int

// The outcomes.
const (
	// Completed: the part of the result that is of its kind says what came out of it.
	Completed Outcome = iota
	// Abandoned: the function app went away or never began; hand the item out again.
	Abandoned
	// Died: the same, because the app crashed while it ran the item. It counts towards
	// quarantine.
	Died
)

// Result ends an Item, whose Kind and Token it has.
type Result struct {
	Kind    Kind
	Token   Token
	Outcome Outcome

	// What is completed has the one of its kind; the others are nil.
	Episode  *EpisodeResult
	Activity *ActivityResult
}

// Clone copies the result and its part, of which the partition puts references in the
// place of large payloads; it shares what they hold.
func (r *Result) Clone() *Result {
	mine := *r
	if r.Episode != nil {
		part := *r.Episode
		mine.Episode = &part
	}
	if r.Activity != nil {
		part := *r.Activity
		mine.Activity = &part
	}
	return &mine
}

// Batch is what leaves a partition together after one commit or one burst.
type Batch struct {
	Items []*Item
	// Cancels lists items whose outcome is no longer wanted; only activities can be
	// cancelled.
	Cancels []Token
	// Evict lists executions that ended: parked state can be dropped.
	Evict []string
}

// Empty says that there is nothing in it.
func (b *Batch) Empty() bool { return len(b.Items)+len(b.Cancels)+len(b.Evict) == 0 }

// Executor runs work items. The host implements it over function apps, tests by
// functions.
type Executor interface {
	// Submit takes a batch without blocking and answers each item exactly once through
	// results, in any order and grouping. results may be called from any goroutine,
	// also before Submit returns; what it is given is the partition's.
	Submit(batch Batch, results func([]*Result))
}
