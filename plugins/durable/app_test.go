package durable

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestRegistrationProblems(t *testing.T) {
	ok := func(context.Context, int) (int, error) { return 0, nil }
	app := NewApp("")
	for _, name := range []string{"good", "GOOD", "", "1x", "a b", "Host", "BuiltIn__Http", strings.Repeat("x", 129)} {
		Activity(app, name, ok)
	}
	Activity[int, int](app, "NilActivity", nil)
	Orchestrator[int, int](app, "NilOrchestrator", nil)
	Orchestrator(app, "Good", func(*OrchestrationContext, int) (int, error) { return 0, nil })
	text := errors.Join(app.problems...).Error()
	for _, want := range []string{`the app has no name`, `"GOOD": registered twice (before as "good")`, `function "": a name is`, `"1x": a name`,
		`"a b": a name`, `"Host": this name is reserved`, "BuiltIn__ are reserved", `xxx": a name`, `"NilActivity": the function is nil`,
		`"NilOrchestrator": the function is nil`, `"Good": registered twice`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in:\n%s", want, text)
		}
	}
	if len(app.problems) != 11 || len(app.functions) != 1 {
		t.Errorf("%d problems, %d functions", len(app.problems), len(app.functions))
	}
}
