package history

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxName is the longest name of anything, in characters: an instance id, an
// orchestrator, an event (F§14 D15).
const MaxName = 256

// CheckInstanceID returns what keeps id from naming an instance (F§2.1 K3): it must have
// 1 to MaxName characters of UTF-8, none of them '/', '\', '#', '?' or a control
// character, and not begin with '@', which is for entities.
func CheckInstanceID(id string) error {
	if strings.HasPrefix(id, "@") {
		return errors.New("an instance id must not begin with '@'")
	}
	for _, c := range id {
		if strings.ContainsRune(`/\#?`, c) || unicode.IsControl(c) {
			return fmt.Errorf("an instance id must not contain %q", c)
		}
	}
	return CheckText("an instance id", id)
}

// CheckText returns what keeps s from being stored as the name of something: it must have
// 1 to MaxName characters of UTF-8. what begins the error's text.
func CheckText(what, s string) error {
	switch {
	case s == "":
		return errors.New(what + " must not be empty")
	case !utf8.ValidString(s):
		return errors.New(what + " must be UTF-8")
	case utf8.RuneCountInString(s) > MaxName:
		return fmt.Errorf("%s must not be longer than %d characters", what, MaxName)
	}
	return nil
}

// functionName is the rule of F§6.1. It keeps '@', which marks entities, out.
var functionName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,127}$`)

// CheckFunctionName returns what keeps an app from registering a function by this name
// (F§6.1).
func CheckFunctionName(name string) error {
	switch {
	case !functionName.MatchString(name):
		return errors.New("a name is a letter and up to 127 letters, digits, '-' or '_'")
	case strings.EqualFold(name, "host"): // taken by the administration API
		return errors.New("this name is reserved")
	}
	return checkReserved(name)
}

// CheckOrchestratorName returns what keeps a client from starting an orchestrator by this
// name (F§1.1 O3). It is laxer than CheckFunctionName: a trigger may give its orchestrator
// another name than the function's.
func CheckOrchestratorName(name string) error {
	if strings.HasPrefix(name, "@") {
		return errors.New("an orchestrator's name must not begin with '@'")
	}
	if err := checkReserved(name); err != nil {
		return err
	}
	return CheckText("a function's name", name)
}

// checkReserved keeps the names of what hosts may bring along free.
func checkReserved(name string) error {
	for _, prefix := range []string{"BuiltIn::", "BuiltIn__"} {
		if len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) {
			return errors.New("names that begin with " + prefix + " are reserved")
		}
	}
	return nil
}
