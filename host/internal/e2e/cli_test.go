package e2e

import (
	"strings"
	"testing"

	"github.com/durafunc/durafunc/host/internal/hosttest"
)

// TestCommandLine: what durafunc says to a person who asks.
func TestCommandLine(t *testing.T) {
	t.Parallel()
	r := hosttest.NewRoot(t, hosttest.File(), nil)
	tests := []struct {
		name    string
		args    []string
		code    int
		stdout  []string
		message []string // on stderr
	}{
		{"no arguments show the help", nil, 0, []string{"durafunc start", "Available Commands"}, nil},
		{"help", []string{"--help"}, 0, []string{"start", "version", "host.json"}, nil},
		{"help of start", []string{"start", "--help"}, 0, []string{"--root", "--port", "--address", "SIGTERM"}, nil},
		{"help of version", []string{"version", "--help"}, 0, []string{"durafunc version"}, nil},
		{"version", []string{"version"}, 0, []string{"durafunc dev"}, nil},
		{"version takes no argument", []string{"version", "1"}, 1, nil, []string{"durafunc: ", `"1"`}},
		{"unknown command", []string{"strat"}, 1, nil, []string{"durafunc: unknown command", "strat"}},
		{"unknown flag", []string{"--verbose"}, 1, nil, []string{"durafunc: unknown flag: --verbose"}},
		{"a root that is not there", []string{"start", "--root", "nowhere"}, 1, nil, []string{"function app root", "nowhere"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := r.Run(t, tt.args...)
			if got.Code != tt.code {
				t.Errorf("exit code %d, want %d\n%s", got.Code, tt.code, got.Stderr)
			}
			for _, want := range tt.stdout {
				if !strings.Contains(got.Stdout, want) {
					t.Errorf("stdout does not hold %q:\n%s", want, got.Stdout)
				}
			}
			for _, want := range tt.message {
				if !strings.Contains(got.Stderr, want) {
					t.Errorf("stderr does not hold %q:\n%s", want, got.Stderr)
				}
			}
			if tt.code == 0 && got.Stderr != "" {
				t.Errorf("stderr is not empty: %s", got.Stderr)
			}
		})
	}
}
