package model

import "fmt"

// Invariant is a set of the things that must hold.
type Invariant uint16

// The invariants.
const (
	// AckedInView: an acknowledged operation is in checkpoint and log, from the newest
	// checkpoint and from the one before it, at every later moment.
	AckedInView Invariant = 1 << iota
	// OneHistory: valid records follow each other, each operation is there at most once
	// and in the order in which they were decided.
	OneHistory
	// FilesThere: root names no file that is missing.
	FilesThere
	// EpochGrows: the root's epoch never falls.
	EpochGrows
	// OneOwner: an epoch is claimed, and written under, by one session.
	OneOwner
	// ServesAll: who answers queries has every acknowledged operation.
	ServesAll
	// SlotKept: no slot at or above the trim bound is deleted.
	SlotKept
	// NoFalseAlarm: nobody who owns the partition reports a corruption that is none.
	NoFalseAlarm
)

// action is one atomic effect in the bucket or step of a host.
type action uint8

// Violation is an invariant that does not hold, and where.
type Violation struct {
	Invariant Invariant
	Text      string
}

func (v *Violation) Error() string { return v.Text }

func violated(i Invariant, format string, args ...any) *Violation {
	return &Violation{Invariant: i, Text: fmt.Sprintf(format, args...)}
}

// step names a transition: who, what, and the slot or file it is about.
type step struct {
	host   uint8
	action action
	arg    uint8
}

func (t step) String() string {
	if t.arg == 0 {
		return fmt.Sprintf("%c %s", 'A'+t.host, actionNames[t.action])
	}
	return fmt.Sprintf("%c %s %d", 'A'+t.host, actionNames[t.action], t.arg)
}

// successor is a state that one step leads to.
type successor struct {
	step  step
	state State
	wrong *Violation
}

// machine makes the successors of states.
type machine struct {
	rules  Rules
	bounds Bounds
	out    []successor
}

// next are all states that one step leads to from s, always in the same order. They are
// valid until the next call.
func (m *machine) next(s *State) []successor {
	m.out = m.out[:0]
	for h := range s.hosts {
		m.recovery(s, h)
		m.rootWrite(s, h)
		m.appendStep(s, h)
		m.commits(s, h)
		m.checkpoints(s, h)
		m.trouble(s, h)
		m.network(s, h)
	}
	return m.out
}

func (m *machine) emit(h int, a action, arg uint8, s State) { m.emitWrong(h, a, arg, s, nil) }

func (m *machine) emitWrong(h int, a action, arg uint8, s State, wrong *Violation) {
	if wrong != nil && !m.sees(wrong.Invariant) {
		wrong = nil
	}
	m.tidy(&s)
	m.out = append(m.out, successor{step{uint8(h), a, arg}, s, wrong})
}

// tidy takes what cannot have an effect any more off the network, so that states which
// differ in nothing else are one.
func (m *machine) tidy(s *State) {
	for h := range s.cas {
		if c := s.cas[h]; c != (cas{}) && c.old != s.root && !m.rules.CheckpointApart && !m.rules.RootWithoutTag {
			s.cas[h] = cas{}
		}
		if m.bounds.Files > 0 {
			continue // a slot that is taken may become free
		}
		for i, p := range s.puts[h] {
			if p != (put{}) && s.slot(p.slot) != (record{}) {
				s.puts[h][i] = put{}
			}
		}
		sortPuts(&s.puts[h])
	}
}

// The actions. Their names are those of the functions they stand for, see the table in
// the package comment.
const (
	actClaim action = iota
	actUpdate
	actRootUnanswered
	actFenced
	actRestore
	actApply
	actAnnounce
	actStillOurs
	actSeal
	actAppendSend
	actSlotWritten
	actSlotUnanswered
	actConflict
	actAppendAgain
	actInspect
	actAppendDone
	actTake
	actPublished
	actRelease
	actRemoveFile
	actRemoveSlot
	actLost
	actAbandon
	actEvict
	actCrash
	actOpen
	actLateSlot
	actLateRoot
	actLoseSlot
	actLoseRoot
	actDamage
	actions
)

var actionNames = [actions]string{
	"claim: reads root",
	"Update: root is replaced, answered",
	"Update: root is replaced, answer lost",
	"ErrFenced, stops",
	"restore: reads file",
	"Tail, apply: reads slot",
	"writeEpochRecord: lease checked, epoch record for slot",
	"confirmOwner, serves",
	"maybeCommit: decides, lease checked, for slot",
	"Append: signs and sends slot",
	"Append: slot is written, answered: slot",
	"Append: slot is written, answer lost: slot",
	"Append: slot is taken, answered: slot",
	"Append: no answer, lease checked again, slot",
	"inspect: reads slot",
	"Append: lease checked, done: slot",
	"take: Upload file",
	"published, sweep",
	"release",
	"remove: file",
	"remove: slot",
	"ErrLost, stops",
	"Abandon",
	"is frozen for its lease, evicted",
	"crashes",
	"lease.Open: new session",
	"late: slot is written: slot",
	"late: root is replaced",
	"late: lost, slot",
	"late: lost, root",
	"bucket damages file",
}
