package work

import "strconv"

// Kind is a kind of durable function.
type Kind int

// The kinds that the engine hands out.
const (
	Orchestrator Kind = iota
	ActivityFunction
	Kinds // how many there are
)

// String is the kind's word in messages.
func (k Kind) String() string {
	switch k {
	case Orchestrator:
		return "orchestrator"
	case ActivityFunction:
		return "activity"
	}
	return "kind " + strconv.Itoa(int(k))
}

// Function names a durable function. Names are compared without regard to case.
type Function struct {
	Kind Kind
	Name string
}

// Local is an Executor that knows what it can run: the engine hands it what it can run
// now, and the rest to other hosts that can. An Executor that is no Local is taken to
// run everything. The methods may be called concurrently, and do not call back.
type Local interface {
	Executor
	// Has says whether it has a function, be its app restarting.
	Has(f Function) bool
	// Free is how many more items of a kind it can begin at once; never negative.
	Free(k Kind) int
	// Offers lists the functions that it has, each once, sorted by kind and name.
	Offers() []Function
	// Yield answers as Abandoned what waits for functions that it has not, and that
	// elsewhere says another host has.
	Yield(elsewhere func(Function) bool)
}

// Task names one call of an activity, whatever the attempt, the host and the owner of
// the partition: it is what idempotency keys are made of.
type Task struct {
	Instance, Execution string
	ID                  int32
}

// Task is which call it is.
func (a *Activity) Task() Task {
	return Task{Instance: a.Instance, Execution: a.Execution, ID: a.TaskID}
}

// Newer says whether t was handed out after u, for the same partition.
func (t Token) Newer(u Token) bool {
	return t.Partition == u.Partition && (t.Epoch > u.Epoch || t.Epoch == u.Epoch && t.Serial > u.Serial)
}
