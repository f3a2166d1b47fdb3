package httpapi

import (
	"fmt"
	"slices"
	"strings"
)

// textOf is what is wrong; "" if nothing is.
func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
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
