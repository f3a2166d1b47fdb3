package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/durafunc/durafunc/plugins/durable/client"
)

// row is one line of the timeline: something that took from begin to end.
type row struct {
	name       string
	depth      int // 0 the parent, 1 its calls and children, 2 the children's calls
	begin, end time.Time
	kind       rowKind
}

// rowKind chooses how a row's bar is drawn.
type rowKind rune

const (
	instanceRow rowKind = '━'
	activityRow rowKind = '█'
	waitRow     rowKind = '░'
)

// timelineOf reads the histories of an instance and of its children.
func timelineOf(ctx context.Context, c *client.Client, parent string) ([]row, error) {
	s, err := c.Get(ctx, parent, client.GetOptions{History: true})
	if err != nil {
		return nil, err
	}
	rows := rowsOf(s.Name, 0, s.History)
	all, err := children(ctx, c, parent)
	if err != nil {
		return nil, err
	}
	for _, child := range all {
		s, err := c.Get(ctx, child.ID, client.GetOptions{History: true})
		if err != nil {
			return nil, err
		}
		rows = append(rows, rowsOf(s.ID, 1, s.History)...)
	}
	return rows, nil
}

// rowsOf turns one history into a row for the instance and one for each activity
// and each event that it waited for. Children have histories of their own.
func rowsOf(name string, depth int, history []client.Event) []row {
	rows := []row{{name: name, depth: depth, kind: instanceRow}}
	var last time.Time // when the orchestrator last had something to go on with
	for _, e := range history {
		switch e.EventType {
		case "ExecutionStarted":
			rows[0].begin = e.Timestamp
		case "ExecutionCompleted":
			rows[0].end = e.Timestamp
		case "TaskCompleted", "TaskFailed":
			rows = append(rows, row{e.FunctionName, depth + 1, e.ScheduledTime, e.Timestamp, activityRow})
		case "EventRaised":
			rows = append(rows, row{"waits for " + e.Name, depth + 1, last, e.Timestamp, waitRow})
		}
		last = e.Timestamp
	}
	if rows[0].end.IsZero() {
		rows[0].end = last // it still runs
	}
	return rows
}

// renderTimeline draws the rows, the first of which spans all, with bars of at
// most width characters.
func renderTimeline(rows []row, width int) string {
	if len(rows) == 0 {
		return ""
	}
	zero, whole := rows[0].begin, rows[0].end.Sub(rows[0].begin)
	label := 0
	for _, r := range rows {
		label = max(label, 2*r.depth+len(r.name))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%-*s  %-*s  %9s %9s\n", label, "timeline", width, "", "begin ms", "took ms")
	for _, r := range rows {
		from, took := r.begin.Sub(zero), r.end.Sub(r.begin)
		left := min(scale(from, whole, width), width-1)
		bar := max(1, min(scale(from+took, whole, width), width)-left) // what took no time shows too
		fmt.Fprintf(&b, "%-*s  %s%s%s  %9.1f %9.1f\n",
			label, strings.Repeat("  ", r.depth)+r.name,
			strings.Repeat(" ", left), strings.Repeat(string(r.kind), bar), strings.Repeat(" ", width-left-bar),
			ms(from), ms(took))
	}
	return b.String()
}

// scale maps d of whole to 0..width.
func scale(d, whole time.Duration, width int) int {
	if whole <= 0 || d <= 0 {
		return 0
	}
	return int(float64(d) / float64(whole) * float64(width))
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
