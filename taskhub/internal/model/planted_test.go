package model

import (
	"strings"
	"testing"
)

// Each mistake is found, and the shortest way to it is told. A model that finds nothing
// planted proves nothing.
func TestPlantedMistakes(t *testing.T) {
	small := Bounds{Slots: 4, Ops: 2, Epochs: 2, Files: 2, Sessions: 1, Puts: 1}
	trim := Bounds{Slots: 3, Ops: 2, Epochs: 2, Files: 2, Sessions: 1, Puts: 1}
	reset := Bounds{Slots: 4, Ops: 1, Epochs: 2, Files: 1, Sessions: 1}
	for _, tt := range []struct {
		name   string
		plant  func(r *Rules)
		bounds Bounds
		want   Invariant
		slow   bool
	}{
		{"1 an empty slot after a lost answer means never", func(r *Rules) { r.AbsentMeansNever = true }, small, AckedInView, false},
		{"2 no epoch record", func(r *Rules) { r.NoEpochRecord = true }, small, OneHistory, false},
		{"2b no epoch record, what clients see", func(r *Rules) { r.NoEpochRecord, r.Blind = true, OneHistory|NoFalseAlarm }, small, AckedInView, true},
		{"3 deletion without grace or expiry: a table", func(r *Rules) { r.Grace, r.Expiry = false, false }, small, FilesThere, true},
		{"3b deletion without grace or expiry: a slot", func(r *Rules) {
			r.Grace, r.Expiry, r.CheckAnswer, r.Blind = false, false, false, FilesThere|NoFalseAlarm
		}, trim, AckedInView, true},
		{"4 checkpoints apart from the root, collected early", func(r *Rules) { r.CheckpointApart, r.Grace, r.Expiry = true, false, false }, small, FilesThere, true},
		{"5 acknowledged before the verdict", func(r *Rules) { r.AckEarly = true }, small, AckedInView, false},
		{"6 epoch reset on release", func(r *Rules) { r.EpochReset = true }, reset, EpochGrows, false},
		{"6b epoch reset on release, what clients see", func(r *Rules) { r.EpochReset, r.Blind = true, EpochGrows|OneOwner }, reset, AckedInView, true},
		{"7 no look at root and lease after recovery", func(r *Rules) { r.NoRecheck = true }, small, ServesAll, true},
		{"8 trimmed beyond the previous checkpoint", func(r *Rules) { r.TrimToNewest = true }, small, AckedInView, false},
		{"9 root replaced whatever its tag", func(r *Rules) { r.RootWithoutTag = true }, small, EpochGrows, false},
		{"10 signed after a long freeze, the answer not checked", func(r *Rules) { r.Expiry, r.CheckAnswer = false, false }, trim, AckedInView, true},
		{"11 queries while releasing", func(r *Rules) { r.ReadsWhileReleasing = true }, small, ServesAll, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if testing.Short() && tt.slow {
				t.Skip("tens of thousands of states and more")
			}
			rules := Sound()
			tt.plant(&rules)
			r := Search(rules, tt.bounds, 3_000_000)
			if r.Wrong == nil {
				t.Fatalf("not found among %d states (all of them: %v)", r.States, r.Whole)
			}
			t.Logf("%d states, %d steps: %v\n%s", r.States, len(r.Trace), r.Wrong, strings.Join(r.Trace, "\n"))
			if r.Wrong.Invariant != tt.want {
				t.Errorf("found by invariant %#x, expected %#x", r.Wrong.Invariant, tt.want)
			}
		})
	}
}
