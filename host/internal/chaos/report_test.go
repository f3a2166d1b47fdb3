package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestImpacts(t *testing.T) {
	second := int64(time.Second)
	steps := []step{
		{At: 10 * time.Second, Kind: "kill"}, {At: 12 * time.Second, What: "a part of it"},
		{At: 20 * time.Second, Kind: "calm"}, {At: 30 * time.Second, Kind: "kill"},
	}
	ops := []op{
		{Call: 1 * second, Return: 2 * second, Attempts: 9},
		{Call: 11 * second, Return: 12 * second, Attempts: 1},
		{Call: 13 * second, Return: 19 * second, Attempts: 3},
		{Call: 19 * second, Return: forever, Attempts: 3},
		{Call: 21 * second, Return: 21*second + 1, Attempts: 1},
		{Call: 31 * second, Return: 33 * second, Attempts: 1},
	}
	got := impacts(steps, ops)
	if want := (impact{Times: 2, Sent: 3, Retried: 1, Slowest: 6 * time.Second, Silence: 7 * time.Second}); *got["kill"] != want {
		t.Errorf("kill: %+v, want %+v", *got["kill"], want)
	}
	if want := (impact{Times: 1, Sent: 1, Slowest: 1, Silence: 12*time.Second - 1}); *got["calm"] != want {
		t.Errorf("calm: %+v, want %+v", *got["calm"], want)
	}
}

func TestReportSaysWhatWasFound(t *testing.T) {
	var out bytes.Buffer
	r := &report{Operations: latencies([]op{
		{Kind: opRead, Result: "Running", Return: 10}, {Kind: opRead, Result: "Completed", Return: 30},
		{Kind: opStart, Result: unknown, Return: forever}, {Kind: opPromise, Return: forever},
	})}
	if l := r.Operations[opRead]; l.Count != 2 || l.Median != 10 || l.Max != 30 || len(r.Operations) != 2 {
		t.Errorf("latencies %+v", r.Operations)
	}
	if err := r.print(&out); err != nil || !strings.Contains(out.String(), "nothing is lost") {
		t.Errorf("%v\n%s", err, out.String())
	}
	out.Reset()
	r.Findings, r.Kept = []finding{{Kind: "lost start", Text: "x is not there"}}, "/some/where"
	err := r.print(&out)
	for _, want := range []string{"1 FINDINGS", "lost start: x is not there", "/some/where"} {
		if err != nil || !strings.Contains(out.String(), want) || strings.Contains(out.String(), "nothing is lost") {
			t.Errorf("%v, without %q:\n%s", err, want, out.String())
		}
	}
}
