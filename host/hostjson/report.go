package hostjson

import (
	"errors"
	"fmt"
)

// Error is one problem of the configuration and the place to edit.
type Error struct {
	// Where is "host.json:12:7" or "environment variable NAME", with host.json
	// alone for something that is missing.
	Where string
	// Key is the dotted path, as in extensions.durableTask.hubName; it may be empty.
	Key string
	Err error
}

func (e *Error) Error() string {
	if e.Key == "" {
		return fmt.Sprintf("%s: %v", e.Where, e.Err)
	}
	return fmt.Sprintf("%s: %s: %v", e.Where, e.Key, e.Err)
}

// Unwrap returns the problem without its place.
func (e *Error) Unwrap() error { return e.Err }

// Note is something that does not keep the host from starting and that it should
// log: a default assumed, a key that has no effect.
type Note struct {
	Where string // as in Error
	Key   string // as in Error
	Text  string
	// Warn says that it is probably a mistake, such as a mistyped key.
	Warn bool
}

func (n Note) String() string {
	if n.Key == "" {
		return n.Where + ": " + n.Text
	}
	return n.Where + ": " + n.Key + ": " + n.Text
}

// report gathers what Load finds, in the order of finding.
type report struct {
	notes []Note
	errs  []error
}

func (r *report) errorf(where, key, format string, args ...any) {
	r.errs = append(r.errs, &Error{where, key, fmt.Errorf(format, args...)})
}

func (r *report) note(where, key, format string, args ...any) {
	r.notes = append(r.notes, Note{Where: where, Key: key, Text: fmt.Sprintf(format, args...)})
}

func (r *report) warn(where, key, format string, args ...any) {
	r.notes = append(r.notes, Note{where, key, fmt.Sprintf(format, args...), true})
}

func (r *report) err() error { return errors.Join(r.errs...) }
