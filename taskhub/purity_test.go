package taskhub_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What the simulation runs must come to the outside world through sched and storage
// alone, or a seed would not replay it.
func TestSimulatedPackagesAreDeterministic(t *testing.T) {
	for _, dir := range []string{".", "core", "partition", "commitlog", "lease", "kv", "internal/planted", "internal/sim"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", dir, len(files), err)
		}
		for _, name := range files {
			if !strings.HasSuffix(name, "_test.go") && !strings.HasSuffix(name, ".pb.go") && !strings.HasSuffix(name, "_vtproto.pb.go") {
				checkFile(t, dir, name)
			}
		}
	}
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
