// Package planted holds deliberate bugs, so that the simulation can be shown to find
// them: a simulator that finds nothing planted proves nothing (E§C13). Only a build with
// the tag "planted" can turn one on, which tests alone do; in every other build Is is
// constantly false, so that the compiler leaves the bugs out. It is a leaf.
package planted

// Bug is one deliberate bug.
type Bug int32

// The bugs. None means that the engine does what it should.
const (
	None Bug = iota
	// SkipEpochRecord: a new owner serves without fencing the former one's slots.
	SkipEpochRecord
	// AnswerBeforeCommit: effects leave when a commit is sent, not when it is durable.
	AnswerBeforeCommit
	// AbsentMeansNever: a slot that is empty after a lost answer is believed to stay so.
	AbsentMeansNever
	// DedupOffByOne: the last message taken in is taken in again when it is repeated.
	DedupOffByOne
	// StaleAttempt: a result counts whatever epoch its token is of.
	StaleAttempt
	// ForgetEvents: events that nobody consumed do not survive continue-as-new.
	ForgetEvents
	// RootWithoutTag: a root that was replaced meanwhile is overwritten.
	RootWithoutTag
	// EpochReset: a partition that is released starts counting epochs anew.
	EpochReset
	// FrozenAnswers: answers that need no commit are given without a live lease.
	FrozenAnswers
	// EarlyTimer: timers fire a second before they are due.
	EarlyTimer
	// NoGrace: log slots and tables are deleted as soon as the root does not name them,
	// and the lease is not checked once more when a commit is answered.
	NoGrace
	// SingleDelivery: messages that are not acknowledged are never sent again.
	SingleDelivery
	// ForgetAnswers: what requests were answered is not written, so that one that is
	// repeated after its commit acts again.
	ForgetAnswers
	// StartsSleep: a hub that hibernates does not wake for instances that start later.
	StartsSleep
	// NoWakeAt: a partition that is released for hibernation does not say when it has to
	// be served again.
	NoWakeAt
	// InFlightIgnored: a new owner starts activities that other hosts run for the former one.
	InFlightIgnored
	// AckBeforeCommit: a host may forget the result of an activity that no commit holds.
	AckBeforeCommit
	// HeldForGood: instances that were held, since an outbox was full, are not woken again.
	HeldForGood
	// ReadsWhileReleasing: while its root is given up, and somebody else may own it already, a
	// partition goes on answering queries.
	ReadsWhileReleasing
	// BelieveDamage: the first answer that is damaged counts, though the object is whole.
	BelieveDamage
)
