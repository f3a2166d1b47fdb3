package httpapi

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxIDLength is the greatest length of an instance id, in characters (F§2.1 K3).
const maxIDLength = 256

// checkInstanceID says what is wrong with an id that a client chose (F§2.1 K3); ""
// if nothing is.
func checkInstanceID(id string) string {
	if strings.HasPrefix(id, "@") {
		return "an instance id must not begin with '@'"
	}
	for _, c := range id {
		if strings.ContainsRune(`/\#?`, c) || unicode.IsControl(c) {
			return fmt.Sprintf("an instance id must not contain %q", c)
		}
	}
	return checkText("an instance id", id)
}

// checkFunctionName is checkInstanceID for an orchestrator's name (F§1.1 O3).
func checkFunctionName(name string) string {
	if strings.HasPrefix(name, "@") {
		return "an orchestrator's name must not begin with '@'"
	}
	for _, reserved := range []string{"BuiltIn::", "BuiltIn__"} {
		if len(name) >= len(reserved) && strings.EqualFold(name[:len(reserved)], reserved) {
			return "names that begin with " + reserved + " are reserved"
		}
	}
	return checkText("a function's name", name)
}

// checkText says whether a name can be stored at all.
func checkText(what, s string) string {
	switch {
	case s == "":
		return what + " must not be empty"
	case !utf8.ValidString(s):
		return what + " must be UTF-8"
	case utf8.RuneCountInString(s) > maxIDLength:
		return fmt.Sprintf("%s must not be longer than %d characters", what, maxIDLength)
	}
	return ""
}

// unknownOrchestrator says that nobody has the orchestrator and lists those that
// are there; "" if somebody has it or nobody can tell.
func (a *api) unknownOrchestrator(name string) string {
	if !a.UnknownFunctionsAtOnce || a.Host == nil {
		return ""
	}
	known := a.Host.Orchestrators()
	switch {
	case slices.ContainsFunc(known, func(n string) bool { return strings.EqualFold(n, name) }): // F§1.1 O3
		return ""
	case len(known) == 0:
		return fmt.Sprintf("the orchestrator %s is not registered; no orchestrator is", quoted(name))
	}
	return fmt.Sprintf("the orchestrator %s is not registered; there are: %s", quoted(name), strings.Join(known, ", "))
}
