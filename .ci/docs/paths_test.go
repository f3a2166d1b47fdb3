package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	linkPattern     = regexp.MustCompile(`\]\(([^)\s"#:]+)(?:#[^)\s]*)?\)`)
	decisionPattern = regexp.MustCompile(`\b(?:ADR |docs/decisions/)(\d{4})\b`)
	// A path of the code in a document: `taskhub/core/keys.go`, `plugins/durable`.
	pathPattern = regexp.MustCompile("`((?:cmd|host|trigger|bindings|plugins|taskhub|samples|\\.ci)/[a-z0-9_./-]+)`")
)

// A link of a document leads to a file.
func TestLinks(t *testing.T) {
	for name, text := range sources(t) {
		if filepath.Ext(name) != ".md" {
			continue
		}
		for _, m := range linkPattern.FindAllStringSubmatch(text, -1) {
			wantFile(t, name, filepath.Join(filepath.Dir(name), m[1]))
		}
	}
}

// A decision that is cited was taken.
func TestDecisions(t *testing.T) {
	for name, text := range sources(t) {
		for _, m := range decisionPattern.FindAllStringSubmatch(text, -1) {
			if found, err := filepath.Glob(filepath.Join(root, "docs/decisions", m[1]+"-*.md")); err != nil || len(found) != 1 {
				t.Errorf("%s cites the decision %s, of which there are %d", name, m[1], len(found))
			}
		}
	}
}

// What a document names in the code is there. Decisions may name what was there when they
// were taken.
func TestPaths(t *testing.T) {
	for name, text := range sources(t) {
		if name != "README.md" && name != "CONTRIBUTING.md" && filepath.Dir(name) != "docs" {
			continue
		}
		for _, m := range pathPattern.FindAllStringSubmatch(text, -1) {
			wantFile(t, name, strings.TrimRight(m[1], "./"))
		}
	}
}

func wantFile(t *testing.T, name, path string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(root, path)); err != nil {
		t.Errorf("%s names %s: %v", name, path, err)
	}
}
