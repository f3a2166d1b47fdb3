package taskhub_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What the simulation runs must come to the outside world through sched and storage
// alone, or a seed would not replay it.
func TestSimulatedPackagesAreDeterministic(t *testing.T) {
	for _, dir := range []string{
		".", "cluster", "ownership", "placement", "routing", "layout",
		"core", "partition", "commitlog", "lease", "kv", "internal/planted", "internal/sim",
	} {
		for _, name := range sources(t, dir) {
			checkFile(t, dir, name)
		}
	}
}

// What a host believes and plans is computed from values alone. A package that is not listed
// here does I/O, locks, starts something, or is not the standard library's.
func TestClusterIsPure(t *testing.T) {
	values := []string{"cmp", "errors", "fmt", "iter", "maps", "math", "slices", "sort", "strconv", "strings", "time"}
	for _, name := range sources(t, "cluster") {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			if path := strings.Trim(i.Path.Value, `"`); !slices.Contains(values, path) {
				t.Errorf("%s imports %s: it is pure", name, path)
			}
		}
	}
}

// sources are the Go files of a package that are neither tests nor generated.
func sources(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	files = slices.DeleteFunc(files, func(name string) bool {
		return strings.HasSuffix(name, "_test.go") || strings.HasSuffix(name, ".pb.go")
	})
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %d files, %v", dir, len(files), err)
	}
	return files
}

// notHere are the functions of the standard library that wait, tell the time or start
// something by themselves.
var notHere = map[string][]string{
	"time":    {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"},
	"context": {"WithTimeout", "WithTimeoutCause", "WithDeadline", "WithDeadlineCause", "AfterFunc"},
	"runtime": {"Gosched"},
}

func checkFile(t *testing.T, dir, name string) {
	t.Helper()
	src, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, name, src, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range f.Imports {
		path := strings.Trim(i.Path.Value, `"`)
		if strings.HasPrefix(path, "math/rand") && dir != "internal/sim" || path == "crypto/rand" {
			t.Errorf("%s imports %s: randomness comes from sched", set.Position(i.Pos()), path)
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			t.Errorf("%s: go statement; use sched.Scheduler.Go", set.Position(n.Pos()))
		case *ast.SelectStmt:
			t.Errorf("%s: select; use sched.Signal", set.Position(n.Pos()))
		case *ast.SelectorExpr:
			if pkg, ok := n.X.(*ast.Ident); ok {
				for _, f := range notHere[pkg.Name] {
					if n.Sel.Name == f {
						t.Errorf("%s: %s.%s; use sched", set.Position(n.Pos()), pkg.Name, f)
					}
				}
			}
		}
		return true
	})
}
