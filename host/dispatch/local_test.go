package dispatch_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/durafunc/durafunc/host/dispatch"
	"github.com/durafunc/durafunc/taskhub/work"
)

func TestLocalTellsWhatItCanRun(t *testing.T) {
	d := dispatch.New(dispatch.Options{MaxActivities: 3, FunctionNotFoundTimeout: time.Minute})
	app := &fakeApp{}
	d.SetFunctions([]dispatch.Function{
		{Kind: dispatch.Activity, Name: "B", Handle: app},
		{Kind: dispatch.Activity, Name: "a"},
		{Kind: dispatch.Orchestrator, Name: "Z", Handle: app},
	})
	want := []work.Function{{Kind: work.Orchestrator, Name: "Z"}, {Kind: work.ActivityFunction, Name: "B"}, {Kind: work.ActivityFunction, Name: "a"}}
	if got := d.Offers(); !slices.Equal(got, want) {
		t.Errorf("offers %v, want %v", got, want)
	}
	for _, tt := range []struct {
		name string
		f    work.Function
		want bool
	}{
		{"whatever the case", work.Function{Kind: work.ActivityFunction, Name: "b"}, true},
		{"its app restarts", work.Function{Kind: work.ActivityFunction, Name: "A"}, true},
		{"of another kind", work.Function{Kind: work.Orchestrator, Name: "B"}, false},
		{"unknown", work.Function{Kind: work.ActivityFunction, Name: "C"}, false},
	} {
		if d.Has(tt.f) != tt.want {
			t.Errorf("%s: has %v is %v", tt.name, tt.f, !tt.want)
		}
	}
	if n := d.Free(work.Orchestrator); n != math.MaxInt {
		t.Errorf("room for %d orchestrators, there is no limit", n)
	}
	s := newSink(t)
	for n, want := range []int{2, 1, 0, 0} {
		d.Submit(acts(uint64(n+1), 1, "B"), s.results)
		if got := d.Free(work.ActivityFunction); got != want {
			t.Errorf("room for %d after %d activities, want %d", got, n+1, want)
		}
	}
	d.Results(answer(app.ids()[0])) // the fourth takes its place
	if got := d.Free(work.ActivityFunction); got != 0 {
		t.Errorf("room for %d, the queued one has taken it", got)
	}
	d.Stop()
	if d.Has(want[0]) || d.Free(work.Orchestrator) != 0 || d.Offers() != nil {
		t.Error("after Stop it still offers to run something")
	}
}

func TestYieldGivesBackWhatOthersHave(t *testing.T) {
	d := dispatch.New(dispatch.Options{FunctionNotFoundTimeout: time.Minute})
	d.SetFunctions(activityOf(nil, "Mine"))
	s := newSink(t)
	b := acts(1, 2, "Theirs")
	b.Items = append(b.Items, act(3, "Nobodys"), act(4, "Mine"), run(5, "Theirs", work.Episode{}))
	d.Submit(b, s.results)
	d.Yield(func(f work.Function) bool { return f.Name == "Theirs" || f.Name == "Mine" })
	if len(s.got) != 3 || s.got[1].Outcome != work.Abandoned || s.got[2].Outcome != work.Abandoned || s.got[5].Outcome != work.Abandoned {
		t.Errorf("given back: %v", s.got)
	}
	app := &fakeApp{}
	d.SetFunctions(activityOf(app, "Theirs", "Nobodys", "Mine"))
	if got := app.inputs(); got != "3 4" {
		t.Errorf("the app got %q: what is given back is not run here as well", got)
	}
}
