package sim

import "github.com/durafunc/durafunc/taskhub/work"

// calls knows which activity was begun where. An activity may run twice when something
// fails; in a world in which nothing does it must not, wherever its partition moves.
type calls struct {
	w      *World
	strict bool
	last   map[work.Task]*begun
}

// begun is one run of an activity.
type begun struct {
	x     *executor
	token work.Token
	what  string // the function and its input
	over  bool   // it was given up
}

// begin notes that an activity begins on a host.
func (c *calls) begin(x *executor, a *work.Item) *begun {
	before, now := c.last[a.Task], &begun{x: x, token: a.Token, what: a.Name + " " + *a.Activity.Input}
	c.last[a.Task] = now
	if before != nil && before.what != now.what {
		c.w.fail("%s execution %s: activity %d is %q, and was %q before: its idempotency key is not one call's", a.Instance, a.Execution,
			a.ID, now.what, before.what)
	}
	if c.strict && before != nil && !before.over && !before.x.stopping && before.x.h.alive {
		c.w.fail("%s execution %s: activity %d is run on %s as %+v, after it was begun on %s as %+v", a.Instance, a.Execution, a.ID,
			x.h.name, a.Token, before.x.h.name, before.token)
	}
	return now
}
