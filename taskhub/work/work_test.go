package work_test

import (
	"testing"

	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/work"
)

func TestClonesHavePartsOfTheirOwn(t *testing.T) {
	text, reference := "large", "reference"
	a := work.ActivityDone(work.Token{Serial: 1}, work.ActivityResult{Result: &text})
	c := a.Clone()
	a.Activity.Result = &reference
	if c.Token != a.Token || c.Kind != work.ActivityFunction || *c.Activity.Result != text {
		t.Errorf("activity: %+v", c)
	}
	e := work.EpisodeDone(work.Token{Serial: 2}, work.EpisodeResult{CustomStatus: &text})
	c = e.Clone()
	e.Episode.Rejected = map[int32]*history.TaskFailureDetails{1: {}}
	if c.Kind != work.Orchestrator || c.Episode.Rejected != nil || *c.Episode.CustomStatus != text {
		t.Errorf("episode: %+v", c)
	}
	lost := (&work.Item{Kind: work.ActivityFunction, Token: work.Token{Serial: 3}}).Ended(work.Died).Clone()
	if lost.Outcome != work.Died || lost.Token.Serial != 3 || lost.Activity != nil {
		t.Errorf("without an answer: %+v", lost)
	}
}

func TestSizesFollowThePayloads(t *testing.T) {
	text := string(make([]byte, 1000))
	for name, sizes := range map[string][2]int{
		"episode": {
			work.NewEpisode(work.Item{}, work.Episode{}).Size(),
			work.NewEpisode(work.Item{}, work.Episode{Past: [][]byte{make([]byte, 300), make([]byte, 300)}, New: make([]byte, 400)}).Size(),
		},
		"activity": {
			work.NewActivity(work.Item{}, work.Activity{}).Size(),
			work.NewActivity(work.Item{}, work.Activity{Input: &text}).Size(),
		},
		"activity's result": {
			(&work.Result{Kind: work.ActivityFunction, Outcome: work.Abandoned}).Size(),
			work.ActivityDone(work.Token{}, work.ActivityResult{Result: &text}).Size(),
		},
	} {
		if more := sizes[1] - sizes[0]; more != 1000 {
			t.Errorf("%s: 1000 bytes more add %d", name, more)
		}
	}
}

func TestNewer(t *testing.T) {
	u := work.Token{Partition: 1, Epoch: 2, Serial: 3}
	tests := []struct {
		name string
		t    work.Token
		want bool
	}{
		{"itself", u, false},
		{"a later item", work.Token{Partition: 1, Epoch: 2, Serial: 4}, true},
		{"an earlier item", work.Token{Partition: 1, Epoch: 2, Serial: 2}, false},
		{"of a later owner", work.Token{Partition: 1, Epoch: 3, Serial: 1}, true},
		{"of an earlier owner", work.Token{Partition: 1, Epoch: 1, Serial: 9}, false},
		{"of another partition", work.Token{Partition: 2, Epoch: 3, Serial: 9}, false},
	}
	for _, tt := range tests {
		if got := tt.t.Newer(u); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
