package activity_test

import (
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/durafunc/durafunc/plugins/protocol"
	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/work"
	"github.com/durafunc/durafunc/trigger/activity"
)

func TestWork(t *testing.T) {
	in := "1"
	w := activity.Work(7, work.NewActivity(work.Item{
		Name: "A", Task: work.Task{Instance: "i", Execution: "e", ID: 3}, Version: "2", Attempt: 4,
	}, work.Activity{Input: &in}))
	if w.Work != 7 || w.Name != "A" || w.InstanceId != "i" || w.ExecutionId != "e" || w.TaskId != 3 ||
		w.Version.GetValue() != "2" || w.Input.GetValue() != "1" || w.Attempt != 4 {
		t.Errorf("work %v", w)
	}
	if w := activity.Work(1, work.NewActivity(work.Item{}, work.Activity{})); w.Input != nil || w.Version != nil {
		t.Errorf("absent is not empty: %v", w)
	}
}

func TestResult(t *testing.T) {
	tests := []struct {
		name    string
		in      *protocol.ActivityResult
		result  bool
		failure bool
	}{
		{"result", &protocol.ActivityResult{Result: wrapperspb.String("1")}, true, false},
		{"nothing returned", &protocol.ActivityResult{}, false, false},
		{"failure", &protocol.ActivityResult{Failure: &history.TaskFailureDetails{}}, false, true},
		{"a failure has no result", &protocol.ActivityResult{Result: wrapperspb.String("1"), Failure: &history.TaskFailureDetails{}}, false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out work.ActivityResult
			activity.Result(&out, tt.in)
			if (out.Result != nil) != tt.result || (out.Failure != nil) != tt.failure {
				t.Errorf("result %+v", out)
			}
		})
	}
}
