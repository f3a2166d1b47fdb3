package layout

import (
	"fmt"
	"slices"
	"testing"
)

// The hash is part of the format: these places must never change.
func TestRangesArePinned(t *testing.T) {
	r := Even(16)
	var got []int
	for _, id := range []string{"", "a", "b", "order-1", "order-2", "0123456789abcdef0123456789abcdef", "日本"} {
		got = append(got, r.Of(id))
	}
	if want := []int{6, 9, 7, 11, 1, 4, 1}; !slices.Equal(got, want) {
		t.Errorf("places %v, want %v", got, want)
	}
	counts := make([]int, 4)
	for n := range 10_000 {
		counts[Even(4).Of(fmt.Sprint("device-", n))]++
	}
	for _, c := range counts {
		if c < 2200 || c > 2800 {
			t.Errorf("10,000 ids fall into 4 partitions as %v", counts)
		}
	}
}
