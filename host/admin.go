package host

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/durafunc/durafunc/host/dispatch"
	"github.com/durafunc/durafunc/host/httpapi"
	"github.com/durafunc/durafunc/plugins/protocol"
	"github.com/durafunc/durafunc/plugins/supervisor"
	"github.com/durafunc/durafunc/taskhub"
	"github.com/durafunc/durafunc/taskhub/work"
)

// admin answers the HTTP API's questions about this host.
type admin struct{ h *Host }

var _ httpapi.Host = (*admin)(nil)

// Ready implements httpapi.Host.
func (a *admin) Ready() bool {
	// A host that stops still answers the requests that it has accepted.
	return a.h.state.Load() != httpapi.HostStopped
}

// Status implements httpapi.Host.
func (a *admin) Status() httpapi.HostStatus {
	name, err := os.Hostname()
	if err != nil {
		name = "unknown"
	}
	state, _ := a.h.state.Load().(httpapi.HostState)
	s := httpapi.HostStatus{
		ID: a.h.opts.Config.DurableTask.HubName, State: state, InstanceID: fmt.Sprint(os.Getpid()), ComputerName: name, Started: a.h.started,
	}
	for _, app := range a.h.apps.Apps() {
		if app.LastError != nil {
			s.Errors = append(s.Errors, fmt.Sprintf("%s: %v", app.Name, app.LastError))
		}
	}
	for _, p := range a.h.hub.Info() {
		if p.State == taskhub.Parked || p.State == taskhub.Waiting || p.Detail != "" {
			s.Errors = append(s.Errors, fmt.Sprintf("partition %d is %s: %s", p.Partition, p.State, p.Detail))
		}
	}
	s.TaskHub = taskHubStatus(a.h.hub)
	s.Errors = append(s.Errors, a.h.monitored.problems()...)
	s.Errors = append(s.Errors, a.h.triggers.Problems()...)
	for _, w := range a.h.work.Waiting() {
		s.Errors = append(s.Errors, missing(w))
	}
	return s
}

func taskHubStatus(hub *taskhub.Hub) *httpapi.TaskHubStatus {
	s := &httpapi.TaskHubStatus{Session: hub.Session(), Address: hub.Address(), LateAnswers: hub.Late()}
	for _, p := range hub.Info() {
		s.Partitions = append(s.Partitions, httpapi.PartitionStatus{
			Partition: p.Partition, State: string(p.State), Epoch: p.Epoch, Owner: p.Owner, Address: p.Address, Detail: p.Detail,
		})
	}
	return s
}

// missing says what waits for a function that no app serves.
func missing(w dispatch.Waiting) string {
	if w.App != "" {
		return fmt.Sprintf("%s %q: its app %s is restarting; %d work items wait", w.Kind, w.Name, w.App, w.Items)
	}
	until := ""
	if !w.Deadline.IsZero() {
		until = " until " + w.Deadline.UTC().Format(time.RFC3339) + ", then they fail"
	}
	return fmt.Sprintf("%s %q: no function app has it; %d work items wait%s", w.Kind, w.Name, w.Items, until)
}

// Functions implements httpapi.Host.
func (a *admin) Functions() []httpapi.Function {
	versions := map[string]string{}
	for _, app := range a.h.apps.Apps() {
		versions[app.Name] = app.Version
	}
	var list []httpapi.Function
	for _, f := range a.h.apps.Functions() {
		list = append(list, httpapi.Function{
			Name: f.Name, App: f.App, AppVersion: versions[f.App], Bindings: bindingsOf(f),
		})
	}
	return list
}

func bindingsOf(f supervisor.Function) []json.RawMessage {
	var list []json.RawMessage
	for _, b := range f.Bindings {
		list = append(list, bindingJSON(b))
	}
	return list
}

// bindingJSON is a binding as function.json would hold it.
func bindingJSON(b *protocol.Binding) json.RawMessage {
	fields := map[string]any{}
	if b.Properties != "" {
		_ = json.Unmarshal([]byte(b.Properties), &fields) // the supervisor has checked it
	}
	fields["type"], fields["name"], fields["direction"] = b.Type, b.Name, b.Direction
	text, err := json.Marshal(fields)
	if err != nil {
		return json.RawMessage(`{}`) // what came from JSON goes back to it
	}
	return text
}

// Orchestrators implements httpapi.Host: those of this host's function apps, and then
// those that only other hosts have.
func (a *admin) Orchestrators() []string {
	var names []string
	for _, f := range append(a.h.work.Offers(), a.h.hub.Elsewhere()...) {
		known := slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, f.Name) })
		if f.Kind == work.Orchestrator && !known {
			names = append(names, f.Name)
		}
	}
	return names
}
