package main

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// percentile is the value below or at which the share p (0 to 1) of the values lies,
// by the nearest rank; 0 without values.
func percentile(values []float64, p float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := int(math.Ceil(p*float64(len(sorted)))) - 1
	return sorted[min(max(rank, 0), len(sorted)-1)]
}

// median is the middle value, or the mean of the two in the middle.
func median(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

// spread is a figure over repetitions.
type spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	N      int     `json:"n"`
}

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	return spread{Median: median(values), Min: slices.Min(values), Max: slices.Max(values), N: len(values)}
}

// tenths are the milliseconds per step in the first and the last tenth of steps,
// whose moments are given in order; zeros when there are too few.
func tenths(steps []time.Time) (first, last float64) {
	d := len(steps) / 10
	if d < 2 {
		return 0, 0
	}
	per := func(from, to time.Time) float64 { return to.Sub(from).Seconds() * 1000 / float64(d-1) }
	return per(steps[0], steps[d-1]), per(steps[len(steps)-d], steps[len(steps)-1])
}

// each calls f for 0 to n-1 from clients goroutines, each taking the next number when
// it is done, and returns the first error, after which no more are begun.
func each(n, clients int, f func(i int) error) error {
	var (
		wg    sync.WaitGroup
		next  atomic.Int64
		once  sync.Once
		first error
		stop  atomic.Bool
	)
	for range min(clients, n) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && !stop.Load(); i = int(next.Add(1)) - 1 {
				if err := f(i); err != nil {
					once.Do(func() { first = err })
					stop.Store(true)
				}
			}
		})
	}
	wg.Wait()
	return first
}
