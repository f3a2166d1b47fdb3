package taskhub

import (
	"time"

	"github.com/durafunc/durafunc/taskhub/transport"
)

// Instances and queries, as hosts tell them each other. A zero time travels as 0.

func clock(nanos int64) time.Time {
	if nanos == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanos).UTC()
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func fromInstance(i *transport.Instance) *Instance {
	return &Instance{
		ID: i.Id, Name: i.Name, Version: i.Version, Execution: i.Execution, Parent: i.Parent, Status: i.Status,
		Created: clock(i.Created), Updated: clock(i.Updated), Completed: clock(i.Completed),
		Input: i.Input, Output: i.Output, CustomStatus: i.CustomStatus, Failure: i.Failure, Tags: i.Tags,
	}
}

// toQuery is q for one partition: up to top instances, after the one with that number.
func toQuery(q *Query, top int, after uint64) *transport.Query {
	w := &transport.Query{
		CreatedFrom: nanos(q.CreatedFrom), CreatedTo: nanos(q.CreatedTo), IdPrefix: q.IDPrefix,
		Payloads: q.Payloads, Top: uint32(top), After: after,
	}
	for _, s := range q.Statuses {
		w.Statuses = append(w.Statuses, int32(s))
	}
	return w
}
