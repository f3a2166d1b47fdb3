package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestTinyRun runs every kind of workload in a tiny form with a real function app, and looks
// at what the report and the lines say.
func TestTinyRun(t *testing.T) {
	dir := t.TempDir()
	app := filepath.Join(dir, "app")
	if out, err := exec.Command("go", "build", "-o", app, "./app").CombinedOutput(); err != nil {
		t.Fatalf("build the app: %v\n%s", err, out)
	}
	lines := filepath.Join(dir, "lines.jsonl")
	tiny := []string{"w1a", "w1b", "w2-1000", "w3-100", "w4", "w5", "flat"}
	o := &options{
		stores: []string{"file"}, workloads: tiny, repetitions: 1, instances: 30, clients: 4,
		app: app, dir: dir, json: lines, cpuProfile: filepath.Join(dir, "profiles"), logLevel: "error", timeout: 5 * time.Minute,
	}
	var out, progress bytes.Buffer
	if err := measure(t.Context(), o, &out, &progress); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"### Store: file", "**w1a**", "| 8.5 (DBOS) |", "kB for one waiting instance", "first tenth"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report has no %q:\n%s", want, &out)
		}
	}
	text, err := os.ReadFile(lines)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		var r result
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		seen[r.Workload] = true
		if r.N != 30 || r.Usage.Puts == 0 || r.Usage.Wall <= 0 || r.Usage.Allocations == 0 {
			t.Errorf("%s", line)
		}
		if r.Workload == "w1a" && (r.Usage.Puts < 4*30 || r.Figures["p95_ms"] < r.Figures["p50_ms"]) {
			t.Errorf("w1a: an acknowledged step is not durable, or p95 is below p50: %s", line)
		}
	}
	if len(seen) != len(tiny) {
		t.Errorf("workloads in the lines are %v, want %v", seen, tiny)
	}
	for _, name := range []string{"file-w1a-host.pprof", "file-w1a-app.pprof"} {
		if info, err := os.Stat(filepath.Join(dir, "profiles", name)); err != nil || info.Size() == 0 {
			t.Errorf("profile %s: %v", name, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "durafunc-bench-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestRefusals(t *testing.T) {
	o := &options{stores: []string{"memory"}, workloads: []string{"w1a"}, repetitions: 1, app: filepath.Join(t.TempDir(), "none"), logLevel: "off"}
	var out bytes.Buffer
	if err := measure(t.Context(), o, &out, &out); err == nil || !strings.Contains(err.Error(), "make bench builds it") {
		t.Errorf("no app: %v", err)
	}
}
