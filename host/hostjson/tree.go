package hostjson

import (
	"bytes"
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/tailscale/hujson"
)

// node is a value of the merged configuration: the file, overlaid by the
// environment. An environment variable's value is a string, whatever its type.
type node struct {
	key   string // as written
	where string
	kind  hujson.Kind // '{' for a section; 0 for one that only has children
	text  string      // of a string (unescaped) or another literal (raw)
	items []*node     // of a section, in order; of an array, its elements
}

// child finds a member by name in any letter case; keys are unique in that sense.
func (n *node) child(key string) *node {
	if n == nil {
		return nil
	}
	for _, c := range n.items {
		if strings.EqualFold(c.key, key) {
			return c
		}
	}
	return nil
}

// find follows a dotted path; nil if something of it is missing or null.
func (n *node) find(path string) *node {
	for key := range strings.SplitSeq(path, ".") {
		n = n.child(key)
	}
	if n == nil || n.kind == 'n' {
		return nil
	}
	return n
}

// parseFile reads host.json's text. Its only errors are about syntax and
// repeated keys; they carry a position.
func parseFile(name string, text []byte, r *report) *node {
	root := &node{where: name, kind: '{'}
	if len(text) > MaxFileBytes {
		r.errorf(name, "", "is %d bytes long, more than %d", len(text), MaxFileBytes)
		return root
	}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	v, err := hujson.Parse(text)
	if err != nil {
		r.errs = append(r.errs, syntaxError(name, err))
		return root
	}
	p := filePositions{name: name, text: text}
	n := p.node("", v, "", r)
	if n.kind != '{' {
		r.errorf(n.where, "", "must be an object in braces")
		return root
	}
	n.where = name
	return n
}

// syntaxError rewrites "hujson: line 3, column 5: …" in the form of all others.
func syntaxError(name string, err error) error {
	var line, col int
	if _, scanErr := fmt.Sscanf(err.Error(), "hujson: line %d, column %d:", &line, &col); scanErr == nil {
		if inner := errors.Unwrap(err); inner != nil {
			return &Error{Where: fmt.Sprintf("%s:%d:%d", name, line, col), Err: fmt.Errorf("not valid JSON: %w", inner)}
		}
	}
	return &Error{Where: name, Err: fmt.Errorf("not valid JSON: %w", err)}
}

// filePositions turns the offsets of one file into lines and columns. Nodes come
// in file order, so that it counts each byte once.
type filePositions struct {
	name            string
	text            []byte
	offset, line, i int // i is the start of the line; line counts from 0
}

func (p *filePositions) where(offset int) string {
	for ; p.offset < offset && p.offset < len(p.text); p.offset++ {
		if p.text[p.offset] == '\n' {
			p.line++
			p.i = p.offset + 1
		}
	}
	return fmt.Sprintf("%s:%d:%d", p.name, p.line+1, p.offset-p.i+1)
}

func (p *filePositions) node(key string, v hujson.Value, path string, r *report) *node {
	n := &node{key: key, where: p.where(v.StartOffset), kind: v.Value.Kind()}
	switch t := v.Value.(type) {
	case hujson.Literal:
		n.text = t.String()
	case *hujson.Array:
		for _, e := range t.Elements {
			n.items = append(n.items, p.node("", e, path, r))
		}
	case *hujson.Object:
		for _, m := range t.Members {
			name := ""
			if lit, ok := m.Name.Value.(hujson.Literal); ok {
				name = lit.String()
			}
			memberPath := joinKey(path, name)
			c := p.node(name, m.Value, memberPath, r)
			if first := n.child(name); first != nil {
				r.errorf(c.where, memberPath, "is there twice (first at %s); keys differ in more than letter case", first.where)
				continue
			}
			n.items = append(n.items, c)
		}
	}
	return n
}

// Prefixes of environment variables that override host.json; a double underscore
// in the rest is one level down. The later one wins.
var envPrefixes = []string{"AzureFunctionsJobHost__", "DURAFUNC__"}

// overlay applies the environment ("NAME=value") to the tree.
func (n *node) overlay(env []string) {
	env = append([]string(nil), env...)
	sort.Strings(env) // what two spellings of one name do must not depend on chance
	for _, prefix := range envPrefixes {
		for _, kv := range env {
			name, value, _ := strings.Cut(kv, "=")
			if len(name) <= len(prefix) || !strings.EqualFold(name[:len(prefix)], prefix) {
				continue
			}
			n.set(strings.Split(name[len(prefix):], "__"), value, "environment variable "+name)
		}
	}
}

func (n *node) set(path []string, value, where string) {
	for _, key := range path {
		c := n.child(key)
		if c == nil {
			c = &node{key: key, where: where}
			n.items = append(n.items, c)
		}
		if n.kind == 0 || n.kind == 'n' {
			n.kind = '{' // a section that only the environment knows
		}
		n = c
	}
	*n = node{key: n.key, where: where, kind: '"', text: value}
}

func joinKey(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
