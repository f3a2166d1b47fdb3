package placement

import (
	"reflect"
	"testing"

	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/transport"
	"github.com/durafunc/durafunc/taskhub/work"
)

func TestItemsTravelWhole(t *testing.T) {
	in, now := "1", work.Token{Partition: 3, Epoch: 4, Serial: 5}
	it := work.Item{Token: now, Task: work.Task{Instance: "i", Execution: "e", ID: 6}, Name: "F", Version: "2", Attempt: 7}
	for _, want := range []*work.Item{
		work.NewEpisode(it, work.Episode{
			Position: 2, After: work.Token{Epoch: 1, Serial: 9}, HasHistory: true, Past: [][]byte{{1}, {2}}, New: []byte{3},
		}),
		work.NewActivity(it, work.Activity{Input: &in}),
		work.NewActivity(it, work.Activity{}),
	} {
		if got := fromItem(overTheWire(t, toItem(want), &transport.Item{})); !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	if got := fromItem(&transport.Item{Token: toToken(now)}); got != nil {
		t.Errorf("an item of an unknown kind is %+v", got)
	}
}

func TestResultsTravelWhole(t *testing.T) {
	text, was, now := "1", work.Token{Epoch: 4, Serial: 5}, work.Token{Epoch: 6, Serial: 7}
	for _, want := range []*work.Result{
		work.EpisodeDone(was, work.EpisodeResult{HistoryNeeded: true}),
		work.EpisodeDone(was, work.EpisodeResult{
			CustomStatus: &text, Rejected: map[int32]*history.TaskFailureDetails{1: {ErrorType: "No"}},
			Actions: []*history.OrchestratorAction{{Id: 1}},
		}),
		work.ActivityDone(was, work.ActivityResult{Result: &text}),
		work.ActivityDone(was, work.ActivityResult{Failure: &history.TaskFailureDetails{ErrorType: "No"}}),
	} {
		got := fromResult(overTheWire(t, toResult(now, want), &transport.Result{}))
		if got.Token != now || got.Kind != want.Kind || got.Outcome != work.Completed || got.Size() != want.Size() {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	for k := range work.Kinds {
		for _, o := range []work.Outcome{work.Abandoned, work.Died} {
			got := fromResult(overTheWire(t, toResult(now, &work.Result{Kind: k, Token: was, Outcome: o}), &transport.Result{}))
			if got.Token != now || got.Kind != k || got.Outcome != o {
				t.Errorf("kind %v that ended with %v is %+v", k, o, got)
			}
		}
	}
	if got := fromResult(&transport.Result{Token: toToken(now)}); got != nil {
		t.Errorf("a result of an unknown kind is %+v", got)
	}
}

type message interface {
	MarshalVT() ([]byte, error)
	UnmarshalVT(b []byte) error
}

func overTheWire[M message](t *testing.T, in, out M) M {
	t.Helper()
	b, err := in.MarshalVT()
	if err == nil {
		err = out.UnmarshalVT(b)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}
