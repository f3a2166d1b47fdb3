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

// Items is the word for items of the kind, in the plural.
func (k Kind) Items() string {
	if k == Orchestrator {
		return "episodes"
	}
	return "activities"
}

// Replayed reports whether an item of the kind can run twice without harm, because it does
// nothing but compute what follows from history. The others have effects in the world:
// they are begun again only when nobody runs them.
func (k Kind) Replayed() bool { return k == Orchestrator }

// Parked reports whether an executor keeps the state of an execution between items of the
// kind (see Episode.Position), so that the next one is best handed to the same executor.
func (k Kind) Parked() bool { return k == Orchestrator }

// Function names a durable function. Names are compared without regard to case.
type Function struct {
	Kind Kind
	Name string
}
