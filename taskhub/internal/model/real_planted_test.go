//go:build planted

package model

import (
	"strings"
	"testing"

	"github.com/durafunc/durafunc/taskhub/internal/planted"
)

// A search that finds nothing planted proves nothing.
func TestTheRealLogWithAPlantedBug(t *testing.T) {
	defer planted.Plant(planted.AbsentMeansNever)()
	r := explore(2, 1)
	if r.wrong == nil {
		t.Fatalf("not found in %d states", r.states)
	}
	t.Logf("%d runs: %v\n%s", r.runs, r.wrong, strings.Join(r.trace, "\n"))
}
