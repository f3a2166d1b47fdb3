// Package samples_test holds what every sample promises to the author who copies
// it: it is small, and it links the SDK and not the engine.
package samples_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// maxAppBytes is what a function app of the size of a sample may weigh, stripped.
const maxAppBytes = 20 << 20

// apps lists the directories of the sample function apps.
func apps(t *testing.T) []string {
	t.Helper()
	mains, err := filepath.Glob("*/main.go")
	if err != nil || len(mains) == 0 {
		t.Fatalf("no samples found: %v", err)
	}
	dirs := make([]string, len(mains))
	for i, m := range mains {
		dirs[i] = filepath.Dir(m)
	}
	return dirs
}

func goTool(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestSamplesLinkOnlyTheSDK(t *testing.T) {
	const module = "github.com/durafunc/durafunc/"
	ours := []string{module + "plugins/durable", module + "plugins/protocol", module + "taskhub/history", module + "samples/"}
	for _, app := range apps(t) {
		for dep := range strings.Lines(goTool(t, "list", "-deps", "./"+app)) {
			dep = strings.TrimSpace(dep)
			if strings.HasPrefix(dep, "github.com/aws/") || strings.HasPrefix(dep, "github.com/cockroachdb/pebble") {
				t.Errorf("%s links %s", app, dep)
			}
			if strings.HasPrefix(dep, module) && !hasAnyPrefix(dep, ours) {
				t.Errorf("%s links %s of the engine or the host", app, dep)
			}
		}
	}
}

func TestSamplesAreSmallAndExplainThemselves(t *testing.T) {
	dir := t.TempDir()
	for _, app := range apps(t) {
		binary := filepath.Join(dir, app)
		goTool(t, "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, "./"+app)
		info, err := os.Stat(binary)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() >= maxAppBytes {
			t.Errorf("%s is %d bytes, want fewer than %d", app, info.Size(), maxAppBytes)
		}
		// Run by a person it says what it is and where it belongs.
		cmd := exec.Command(binary)
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Errorf("%s run by hand exits with 0, want an error", app)
		}
		for _, want := range []string{app, "functions/"} {
			if !strings.Contains(string(out), want) {
				t.Errorf("%s run by hand does not mention %q:\n%s", app, want, out)
			}
		}
	}
}

func hasAnyPrefix(s string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}
