package main

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

func TestPercentile(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(100 - i)
	}
	tests := []struct {
		name   string
		values []float64
		p      float64
		want   float64
	}{
		{"nothing", nil, 0.5, 0},
		{"one value is every percentile", []float64{7}, 0.95, 7},
		{"nearest rank, not interpolated", []float64{4, 1, 3, 2}, 0.5, 2},
		{"p50 of 1 to 100", hundred, 0.50, 50},
		{"p95 of 1 to 100", hundred, 0.95, 95},
		{"p0 is the least", hundred, 0, 1},
		{"p100 is the greatest", hundred, 1, 100},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := slices.Clone(tt.values)
			if got := percentile(tt.values, tt.p); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			if !slices.Equal(before, tt.values) {
				t.Error("the values were changed")
			}
		})
	}
}

func TestSpread(t *testing.T) {
	tests := []struct {
		name   string
		values []float64
		want   spread
		text   string
	}{
		{"nothing", nil, spread{}, "0.000"},
		{"one", []float64{2}, spread{2, 2, 2, 1}, "2.00"},
		{"odd", []float64{30, 10, 20}, spread{20, 10, 30, 3}, "20.0 [10.0-30.0]"},
		{"even", []float64{4, 1, 3, 2}, spread{2.5, 1, 4, 4}, "2.50 [1.00-4.00]"},
		{"thousands", []float64{1000, 12345.6, 999}, spread{1000, 999, 12345.6, 3}, "1,000 [999-12,346]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := spreadOf(tt.values)
			if got != tt.want || got.String() != tt.text {
				t.Errorf("got %+v %q, want %+v %q", got, got, tt.want, tt.text)
			}
		})
	}
}

func TestTenths(t *testing.T) {
	start := time.Unix(0, 0)
	var steps []time.Time
	for i := range 100 {
		at := start.Add(time.Duration(i) * time.Millisecond)
		if i >= 90 {
			at = start.Add(90*time.Millisecond + time.Duration(i-90)*3*time.Millisecond)
		}
		steps = append(steps, at)
	}
	if first, last := tenths(steps); first != 1 || last != 3 {
		t.Errorf("got %v and %v ms a step, want 1 and 3", first, last)
	}
	if first, last := tenths(steps[:19]); first != 0 || last != 0 {
		t.Errorf("too few steps: %v, %v", first, last)
	}
}

func TestEach(t *testing.T) {
	var done [50]atomic.Int32
	if err := each(len(done), 8, func(i int) error { done[i].Add(1); return nil }); err != nil {
		t.Fatal(err)
	}
	for i := range done {
		if n := done[i].Load(); n != 1 {
			t.Errorf("%d was called %d times", i, n)
		}
	}
	failed := errors.New("failed")
	var calls atomic.Int32
	err := each(1000, 1, func(i int) error {
		calls.Add(1)
		if i == 3 {
			return failed
		}
		return nil
	})
	if !errors.Is(err, failed) || calls.Load() != 4 {
		t.Errorf("got %v after %d calls, want the failure after 4", err, calls.Load())
	}
}

func TestSummaryLeavesNoisyOut(t *testing.T) {
	rep := func(rate float64, noisy bool) result {
		return result{N: 10, Figures: map[string]float64{"per_s": rate}, Usage: usage{Noisy: noisy, Puts: 20}}
	}
	s := summarize(workload{headline: "per_s"}, "file", []result{rep(1, true), rep(5, false), rep(7, false)})
	if got := s.figure("per_s"); s.noisy || got != (spread{6, 5, 7, 2}) {
		t.Errorf("got %+v, noisy %v", got, s.noisy)
	}
	if got := s.each(func(u usage) float64 { return float64(u.Puts) }).Median; got != 2 {
		t.Errorf("%v PUTs an item, want 2", got)
	}
	s = summarize(workload{headline: "per_s"}, "file", []result{rep(1, true), rep(3, true)})
	if got := s.figure("per_s").Median; !s.noisy || got != 2 {
		t.Errorf("all disturbed: %v, noisy %v", got, s.noisy)
	}
}

func TestChoose(t *testing.T) {
	got, err := choose([]string{"W2", "w1a"})
	var ids []string
	for _, w := range got {
		ids = append(ids, w.id)
	}
	if err != nil || !slices.Equal(ids, []string{"w1a", "w2-1000", "w2-10000"}) {
		t.Errorf("got %v, %v", ids, err)
	}
	if one, err := choose([]string{"w2-1000"}); err != nil || len(one) != 1 {
		t.Errorf("a whole id chose %d workloads, %v", len(one), err)
	}
	if _, err := choose([]string{"w1a", "w9"}); err == nil {
		t.Error("an unknown workload is accepted")
	}
}

// TestReferences shows that each workload has something beside it.
func TestReferences(t *testing.T) {
	refs := references()
	for _, w := range workloads() {
		if r := refs[w.id]; r.aim["file"] == "" || r.aim["minio"] == "" {
			t.Errorf("%s has no aim", w.id)
		}
	}
}
