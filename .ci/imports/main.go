// Command imports draws docs/imports.md from the code: who imports whom among the packages of
// this module, floor by floor, and what each of them is for. It writes to standard output,
// the same bytes for the same code.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

func main() {
	pkgs, err := list()
	if err == nil {
		err = checkProducts(pkgs)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "imports:", err)
		os.Exit(1)
	}
	fmt.Print(page(pkgs))
}

// A pkg is one package of the module. Paths are relative to the module's, which itself is ".".
type pkg struct {
	path    string
	purpose string   // the first sentence of its comment; empty if it has only tests
	imports []string // packages of the module, in order; those of its tests do not count
}

// list asks the go tool for the packages below the current directory, in order of their paths.
func list() ([]pkg, error) {
	// What is built for another system may import something else, so that the picture
	// would depend on where it was drawn.
	cmd := exec.Command("go", "list", "-json=ImportPath,Doc,Imports,Module", "./...")
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0", "GOFLAGS=")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var pkgs []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath, Doc string
			Imports         []string
			Module          struct{ Path string }
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		next := pkg{path: relative(p.ImportPath, p.Module.Path), purpose: purpose(p.Doc)}
		for _, i := range p.Imports {
			if i == p.Module.Path || strings.HasPrefix(i, p.Module.Path+"/") {
				next.imports = append(next.imports, relative(i, p.Module.Path))
			}
		}
		pkgs = append(pkgs, next)
	}
}

// checkProducts keeps the picture from losing what hangs from a product that has moved.
func checkProducts(pkgs []pkg) error {
	for _, path := range products {
		if !slices.ContainsFunc(pkgs, func(p pkg) bool { return p.path == path }) {
			return fmt.Errorf("there is no package %s; see products in floor.go", path)
		}
	}
	return nil
}

func relative(path, module string) string {
	if path == module {
		return "."
	}
	return strings.TrimPrefix(path, module+"/")
}

// purpose is the sentence without what the table says anyway: "Package lease decides who
// owns" becomes "decides who owns", "Package core is the meaning" "the meaning".
func purpose(doc string) string {
	first, rest, _ := strings.Cut(doc, " ")
	if first == "Package" || first == "Command" {
		_, rest, _ = strings.Cut(rest, " ")
	}
	return strings.TrimSuffix(strings.TrimPrefix(rest, "is "), ".")
}
