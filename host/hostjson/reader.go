package hostjson

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// reader reads typed settings out of the tree. A missing one is its default; one
// that cannot be read is reported and is its default too, so that all problems
// come to light in one go.
type reader struct {
	root *node
	*report
}

// bad reports a problem with the value of path.
func (r reader) bad(path, format string, args ...any) {
	where := FileName
	if n := r.root.find(path); n != nil {
		where = n.where
	}
	r.errorf(where, path, format, args...)
}

// text reads a string. Numbers and booleans count as their text, as they do in
// .NET's configuration.
func (r reader) text(path, def string) string {
	n := r.root.find(path)
	switch {
	case n == nil:
		return def
	case n.kind == '{' || n.kind == '[' || n.kind == 0:
		r.bad(path, "must be a string")
		return def
	}
	return n.text
}

func (r reader) boolean(path string, def bool) bool {
	switch t := r.text(path, ""); {
	case r.root.find(path) == nil:
		return def
	case strings.EqualFold(t, "true"):
		return true
	case strings.EqualFold(t, "false"):
		return false
	}
	r.bad(path, "must be true or false")
	return def
}

func (r reader) integer(path string, def, least, most int64) int64 {
	if r.root.find(path) == nil {
		return def
	}
	t := r.text(path, "")
	n, err := strconv.ParseInt(strings.TrimSpace(t), 10, 64)
	switch {
	case err != nil:
		r.bad(path, "%q must be a whole number", clip(t))
	case n < least:
		r.bad(path, "%d must be at least %d", n, least)
	case n > most:
		r.bad(path, "%d must be at most %d", n, most)
	default:
		return n
	}
	return def
}

func (r reader) count(path string, def int) int {
	return int(r.integer(path, int64(def), 1, math.MaxInt32))
}

func (r reader) duration(path string, def, least time.Duration) time.Duration {
	if r.root.find(path) == nil {
		return def
	}
	t := r.text(path, "")
	d, err := parseDuration(t)
	switch {
	case err != nil:
		r.bad(path, "%q %w", clip(t), err)
	case d < least:
		r.bad(path, "%v must be at least %v", d, least)
	default:
		return d
	}
	return def
}

// choice reads one of a few words in any letter case; the first is the default.
func (r reader) choice(path string, words ...string) string {
	t := r.text(path, words[0])
	if w, ok := contains(words, t); ok {
		return w
	}
	r.bad(path, "%q must be one of %s", clip(t), strings.Join(words, ", "))
	return words[0]
}

// clip keeps a value short enough to stand in a message.
func clip(s string) string {
	if len(s) > 60 {
		return fmt.Sprintf("%.57s...", s)
	}
	return s
}
