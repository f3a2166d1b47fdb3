package model

// Rules are what the protocol does. Sound and its fields say what the engine does; the
// rest are deliberate mistakes.
type Rules struct {
	// Grace: nothing is deleted while a request may land that was sent before it
	// became needless. A signature is good for 15 minutes, the grace is 20.
	Grace bool
	// Expiry: the store refuses requests whose signature has ended with the lease.
	Expiry bool
	// CheckAnswer: an answered PUT counts under a lease that is still alive only.
	CheckAnswer bool

	// AbsentMeansNever: a slot that is empty after a lost answer stays so; the batch
	// grows and is sent anew, and a record of the own epoch found there is taken for it.
	AbsentMeansNever bool
	// NoEpochRecord: a new owner serves without one.
	NoEpochRecord bool
	// CheckpointApart: a checkpoint is published by an object of its own, create-only,
	// and a new owner collects at once what none names.
	CheckpointApart bool
	// AckEarly: the client is told when the PUT is sent.
	AckEarly bool
	// EpochReset: releasing sets the epoch to zero.
	EpochReset bool
	// NoRecheck: recovery ends without looking at lease and root again, and what is
	// asked then is answered without a look at the lease.
	NoRecheck bool
	// TrimToNewest: the log is trimmed up to the newest checkpoint.
	TrimToNewest bool
	// RootWithoutTag: the root is replaced whatever stands there.
	RootWithoutTag bool
	// ReadsWhileReleasing: queries are answered until the answer to the release is here.
	ReadsWhileReleasing bool

	// Blind leaves some invariants out, to see what else a mistake leads to.
	Blind Invariant
}

// Bounds are how large the world is. Within them the search is exhaustive.
type Bounds struct {
	Slots    uint8 // of the log
	Ops      uint8 // that clients ask for
	Epochs   uint8 // claims, less those that EpochReset makes room for
	Files    uint8 // checkpoints that are taken
	Sessions uint8 // per host
	Puts     uint8 // different PUTs of one host under way
	Damage   uint8 // files that are damaged while they are needed
}

// Sound are the rules of the engine: grace and, once requests are signed so, expiry.
func Sound() Rules { return Rules{Grace: true, Expiry: true, CheckAnswer: true} }
