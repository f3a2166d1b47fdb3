package planted

import (
	"go/ast"
	"go/parser"
	"go/token"
	"testing"
)

// bugNames are those of the constants: without the tag nothing else knows them.
func bugNames(t *testing.T) (names []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "planted.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && v.Names[0].IsExported() && v.Names[0].Name != "None" {
			names = append(names, v.Names[0].Name)
		}
		return true
	})
	if len(names) < 20 {
		t.Fatalf("found the bugs %v", names)
	}
	return names
}
