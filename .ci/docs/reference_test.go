package docs

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	root      = "../.."
	reference = "docs/reference.md"
)

func TestMarks(t *testing.T) {
	for text, want := range map[string][]string{
		"nothing":                         nil,
		"a section (F§1.10).":             {"F§1.10"},
		"an item (F§1.9 E5)":              {"F§1.9", "F§1.9 E5"},
		"two (F§3.1 W5, W6), and more":    {"F§3.1", "F§3.1 W5", "F§3.1 W6"},
		"sections (E§A6, E§C3, rule 3)":   {"E§A6", "E§C3"},
		"of two kinds (F§14 D2 and 1.15)": {"F§14", "F§14 D2", "F§14 1.15"},
		"a range (E§C12, 14 to 16)":       {"E§C12", "E§C12 14", "E§C12 15", "E§C12 16"},
		"E§C12, 25: n activities, 2 PUTs": {"E§C12", "E§C12 25"},
	} {
		if got := marks(text); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

func TestDefined(t *testing.T) {
	got := defined("# Reference\n\n### F§1.9 External events\n\n- **E5** A timeout.\n- *no* item\n\n## E§C3 Ownership\n\n- **1** First.\n")
	for _, want := range []string{"F§1.9", "F§1.9 E5", "E§C3", "E§C3 1"} {
		if !got[want] {
			t.Errorf("%s is not defined", want)
		}
	}
	if len(got) != 4 {
		t.Errorf("defined are %q", slices.Sorted(maps.Keys(got)))
	}
}

// Every mark is explained, and every explanation is wanted.
func TestReferenceIsComplete(t *testing.T) {
	have := defined(read(t, filepath.Join(root, reference)))
	cited := make(map[string]bool)
	for name, text := range sources(t) {
		for _, mark := range marks(text) {
			cited[mark] = true
			if !have[mark] {
				t.Errorf("%s cites %s, which %s does not explain", name, mark, reference)
			}
		}
	}
	for _, mark := range slices.Sorted(maps.Keys(have)) {
		if !cited[mark] {
			t.Errorf("%s explains %s, which nothing cites", reference, mark)
		}
	}
}

// What a reader cannot open explains nothing to him: say the rule in place.
func TestNothingElsewhereIsCited(t *testing.T) {
	for name, text := range sources(t) {
		number := 0
		for line := range strings.Lines(text) {
			number++
			if word := elsewherePattern.FindString(line); word != "" {
				t.Errorf("%s:%d: %q is not in this repository", name, number, word)
			}
		}
	}
}

// sources returns the Go files, protos and documents of the repository by their path, but
// not the reference, nor this package, whose examples are none.
func sources(t *testing.T) map[string]string {
	t.Helper()
	texts := make(map[string]string)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if built := name == "bin" || name == "functions"; built || hidden(entry.Name()) || name == ".ci/docs" {
				return fs.SkipDir
			}
			return nil
		}
		if slices.Contains([]string{".go", ".proto", ".md"}, filepath.Ext(name)) && name != reference {
			texts[name] = read(t, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(texts) < 100 {
		t.Fatalf("only %d files were found below %s", len(texts), root)
	}
	return texts
}

// hidden is what the go tool leaves out as well, but for .ci.
func hidden(name string) bool {
	return strings.HasPrefix(name, ".") && name != ".." && name != ".ci"
}

func read(t *testing.T, path string) string {
	t.Helper()
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
