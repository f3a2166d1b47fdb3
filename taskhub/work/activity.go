package work

import "github.com/durafunc/durafunc/taskhub/history"

// Activity is one call of an activity function.
type Activity struct {
	Input *string // JSON or a payload reference; nil: none
}

// NewActivity makes it an ActivityFunction's item with the part a, in one allocation.
func NewActivity(it Item, a Activity) *Item {
	x := &struct {
		item Item
		part Activity
	}{it, a}
	x.item.Kind, x.item.Activity = ActivityFunction, &x.part
	return &x.item
}

// ActivityResult is what an Activity returned.
type ActivityResult struct {
	Result  *string                     // JSON or a payload reference; nil: none
	Failure *history.TaskFailureDetails // not nil: the activity failed
}

// ActivityDone is the result of the call with the token t.
func ActivityDone(t Token, r ActivityResult) *Result {
	x := &struct {
		result Result
		part   ActivityResult
	}{Result{Kind: ActivityFunction, Token: t}, r}
	x.result.Activity = &x.part
	return &x.result
}

func (a *Activity) size() int {
	if a.Input == nil {
		return 0
	}
	return len(*a.Input)
}

func (a *ActivityResult) size() int {
	n := a.Failure.SizeVT()
	if a.Result != nil {
		n += len(*a.Result)
	}
	return n
}
