//go:build planted

package planted

import "sync/atomic"

var present atomic.Int32

// Is reports whether the bug is planted.
func Is(b Bug) bool { return Bug(present.Load()) == b }

// Plant turns one bug on, in the whole process, until uproot is called.
func Plant(b Bug) (uproot func()) {
	present.Store(int32(b))
	return func() { present.Store(int32(None)) }
}

// names are those of the constants, None first.
var names = [...]string{
	"None", "SkipEpochRecord", "AnswerBeforeCommit", "AbsentMeansNever", "DedupOffByOne", "StaleAttempt",
	"ForgetEvents", "RootWithoutTag", "EpochReset", "FrozenAnswers", "EarlyTimer", "NoGrace", "SingleDelivery", "ForgetAnswers",
	"StartsSleep", "NoWakeAt", "InFlightIgnored", "AckBeforeCommit", "HeldForGood", "ReadsWhileReleasing", "BelieveDamage",
}

// All lists the bugs.
func All() []Bug {
	var all []Bug
	for n := range names[1:] {
		all = append(all, None+1+Bug(n))
	}
	return all
}

// String names the bug.
func (b Bug) String() string { return names[b] }
