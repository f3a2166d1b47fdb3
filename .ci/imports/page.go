package main

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

const head = `# Who imports whom

Drawn from the code by ` + "`make imports`" + `; ` + "`make check`" + ` fails when it is not up to date. Do not edit.

What is shipped: the host and what authors link. Imports point down. An arrow that follows from
others is left out; what implements a contract is drawn as one, and a package that only the one
above it uses is drawn as part of that. The tables have every import, but those of tests.

`

// page is the whole document.
func page(pkgs []pkg) string {
	var b strings.Builder
	b.WriteString(head)
	shipped := graphOf(pkgs).from(products)
	picture(&b, shipped)
	for _, f := range floors {
		table(&b, f.name, pkgs, func(p pkg) bool { return shipped[p.path] != nil && floorOf(p.path) == f.name })
	}
	table(&b, "tests, measurements, samples", pkgs, func(p pkg) bool { return shipped[p.path] == nil })
	return b.String()
}

// picture draws the shipped packages in Mermaid, which GitHub shows.
func picture(b *strings.Builder, shipped graph) {
	names := shipped.nodesOf()
	g := shipped.fold(names)
	g.reduce()
	b.WriteString("```mermaid\nflowchart TD\n")
	for i, f := range floors {
		rooms := slices.DeleteFunc(g.nodes(), func(n string) bool { return floorOf(n) != f.name })
		if len(rooms) == 0 {
			continue
		}
		fmt.Fprintf(b, "  subgraph floor%d[\"%s\"]\n", i, f.name)
		for _, n := range rooms {
			fmt.Fprintf(b, "    %s[\"%s\"]\n", id(n), label(n, names))
		}
		b.WriteString("  end\n")
	}
	for _, n := range g.nodes() {
		if next := g.next(n); len(next) > 0 {
			for i := range next {
				next[i] = id(next[i])
			}
			fmt.Fprintf(b, "  %s --> %s\n", id(n), strings.Join(next, " & "))
		}
	}
	b.WriteString("```\n")
}

// id is a node's name as Mermaid allows it.
func id(node string) string {
	return strings.NewReplacer("/", "_", "*", "kinds", "-", "_", ".", "_").Replace(node)
}

// label is the node's path; of one that stands for several packages it names each.
func label(node string, names map[string]string) string {
	door, several := strings.CutSuffix(node, "/*")
	if !several {
		return short(node)
	}
	var kinds []string
	for p, n := range names {
		if n == node && path.Dir(p) == door {
			kinds = append(kinds, path.Base(p))
		}
	}
	slices.Sort(kinds)
	return short(door) + "/{" + strings.Join(kinds, ", ") + "}"
}

// table lists the packages that are wanted, unless there are none.
func table(b *strings.Builder, title string, pkgs []pkg, wanted func(pkg) bool) {
	begun := false
	for _, p := range pkgs {
		if !wanted(p) {
			continue
		}
		if !begun {
			fmt.Fprintf(b, "\n## %s\n\n| package | what it is | imports |\n| --- | --- | --- |\n", strings.ToUpper(title[:1])+title[1:])
			begun = true
		}
		imports := make([]string, len(p.imports))
		for i, path := range p.imports {
			imports[i] = short(path)
		}
		purpose := p.purpose
		if purpose == "" {
			purpose = "tests only"
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", p.path, strings.ReplaceAll(purpose, "|", `\|`), strings.Join(imports, " "))
	}
}
