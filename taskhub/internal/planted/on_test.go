//go:build planted

package planted

import (
	"fmt"
	"slices"
	"testing"
)

// A bug without a name would never be played.
func TestEveryPlantedBugIsNamed(t *testing.T) {
	var all []string
	for _, b := range All() {
		all = append(all, fmt.Sprint(b))
	}
	if want := bugNames(t); !slices.Equal(all, want) {
		t.Errorf("All lists %v, declared are %v", all, want)
	}
}
