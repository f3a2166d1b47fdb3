package main

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestFloorOf(t *testing.T) {
	for path, want := range map[string]string{
		"cmd/durafunc":            "cmd",
		"host":                    "host",
		"hostel":                  "elsewhere",
		"bindings/files":          "trigger, bindings, plugins",
		"taskhub":                 "taskhub",
		"taskhub/internal/x":      "rooms of the task hub",
		"taskhub/storage":         "storage",
		"taskhub/storage/s3":      "storage",
		"taskhub/storages":        "rooms of the task hub",
		"something/never/seen":    "elsewhere",
		"taskhub/never/seen/here": "rooms of the task hub",
	} {
		if got := floorOf(path); got != want {
			t.Errorf("%s is in %q, want %q", path, got, want)
		}
	}
}

func TestPurpose(t *testing.T) {
	for doc, want := range map[string]string{
		"Package lease decides who owns.": "decides who owns",
		"Package core is the meaning.":    "the meaning",
		"App is the benchmark's app.":     "the benchmark's app",
		"":                                "",
	} {
		if got := purpose(doc); got != want {
			t.Errorf("%q: got %q, want %q", doc, got, want)
		}
	}
}

func TestReduce(t *testing.T) {
	tests := []struct{ name, edges, want string }{
		{"a way of two", "a>b b>c a>c", "a>b b>c"},
		{"a way of three", "a>b b>c c>d a>d", "a>b b>c c>d"},
		{"two ways that meet", "a>b a>c b>d c>d", "a>b a>c b>d c>d"},
		{"a circle stays one", "a>b b>a", "a>b b>a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := edges(tt.edges)
			g.reduce()
			if got := text(g); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestNodesOf(t *testing.T) {
	names := edges("host>hub hub>hub/room host>store/s3 host>store/file store/s3>store store/file>store " +
		"store/file>store/file/journal sdk/go>sdk/go/internal/id hub/room>store").nodesOf()
	for path, want := range map[string]string{
		"hub/room":           "hub/room", // though nobody else imports it
		"store":              "store",
		"store/s3":           "store/*",
		"store/file":         "store/*",
		"store/file/journal": "store/*",
		"sdk/go/internal/id": "sdk/go",
	} {
		if names[path] != want {
			t.Errorf("%s is drawn as %q, want %q", path, names[path], want)
		}
	}
}

func TestPage(t *testing.T) {
	pkgs := []pkg{
		{path: "cmd/durafunc", purpose: "the host", imports: []string{"taskhub"}},
		{path: "host/rig", purpose: "runs tests", imports: []string{"taskhub"}},
		{path: "taskhub", purpose: "opens a|b", imports: []string{"taskhub/core"}},
		{path: "taskhub/core", purpose: "the meaning"},
	}
	got := page(pkgs)
	for _, want := range []string{
		"  cmd_durafunc --> taskhub\n  taskhub --> taskhub_core\n```",
		"## Rooms of the task hub\n\n| package | what it is | imports |\n| --- | --- | --- |\n| taskhub/core | the meaning |  |\n",
		`| taskhub | opens a\|b | core |`,
		"## Tests, measurements, samples\n\n| package | what it is | imports |\n| --- | --- | --- |\n| host/rig | runs tests | taskhub |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks\n%s\nit is\n%s", want, got)
		}
	}
	if page(pkgs) != got {
		t.Error("drawn twice, the page differs")
	}
}

// edges reads a graph from text such as "a>b b>c".
func edges(text string) graph {
	g := make(graph)
	for edge := range strings.FieldsSeq(text) {
		from, to, _ := strings.Cut(edge, ">")
		for _, n := range []string{from, to} {
			if g[n] == nil {
				g[n] = make(map[string]bool)
			}
		}
		g[from][to] = true
	}
	return g
}

func text(g graph) string {
	var all []string
	for n := range maps.Keys(g) {
		for _, next := range g.next(n) {
			all = append(all, n+">"+next)
		}
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}
