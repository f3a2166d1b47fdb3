package httpapi

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// HostState is what a host does as a whole, in the words of F§7.3.
type HostState string

// The states of a host, in their order.
const (
	HostStarting HostState = "Starting"
	HostRunning  HostState = "Running"
	HostStopping HostState = "Stopping"
	HostStopped  HostState = "Stopped"
)

// HostStatus is the answer of GET /admin/host/status.
type HostStatus struct {
	ID           string // of the host, stable across restarts
	State        HostState
	InstanceID   string // of this process
	ComputerName string
	Started      time.Time
	// Errors say what keeps the host or its function apps from running.
	Errors []string
	// TaskHub is this host's part in its task hub; nil is left out. An extension.
	TaskHub *TaskHubStatus
}

// TaskHubStatus is what a host does in its task hub.
type TaskHubStatus struct {
	Session    string            `json:"session"`
	Address    string            `json:"address,omitempty"` // where other hosts reach this one
	Partitions []PartitionStatus `json:"partitions"`
	// LateAnswers counts answers of work items that came when nobody waited for them any
	// more, since the host started.
	LateAnswers uint64 `json:"lateAnswers"`
}

// PartitionStatus is one partition as this host sees it; state is one of
// taskhub.PartitionState.
type PartitionStatus struct {
	Partition int    `json:"partition"`
	State     string `json:"state"`
	Epoch     uint64 `json:"epoch"`
	Owner     string `json:"owner,omitempty"`   // session
	Address   string `json:"address,omitempty"` // of the owner, if it is another host
	Detail    string `json:"detail,omitempty"`
}

// Function describes a loaded function.
type Function struct {
	Name       string
	Language   string // "go" if empty
	App        string // the function app that has it
	AppVersion string
	// Bindings are its bindings as function.json would hold them: JSON objects.
	Bindings []json.RawMessage
	// InvokePath is the path of an HTTP-triggered function, as in "/api/orders/{id}".
	InvokePath string
	Disabled   bool
}

func (a *api) serveAdmin(w http.ResponseWriter, r *http.Request, segs []string) {
	get := r.Method == http.MethodGet
	switch {
	case len(segs) == 2 && is(segs[0], "host") && is(segs[1], "status") && get:
		a.hostStatus(w)
	case len(segs) == 2 && is(segs[0], "host") && is(segs[1], "ping") && (get || r.Method == http.MethodPost):
		w.WriteHeader(http.StatusOK)
	case len(segs) == 1 && is(segs[0], "functions") && get:
		all := []functionJSON{} // never null
		for _, f := range a.Host.Functions() {
			all = append(all, a.describe(r, f))
		}
		writeValue(w, http.StatusOK, all)
	case len(segs) == 2 && is(segs[0], "functions") && get:
		for _, f := range a.Host.Functions() {
			if strings.EqualFold(f.Name, segs[1]) {
				writeValue(w, http.StatusOK, a.describe(r, f))
				return
			}
		}
		w.WriteHeader(http.StatusNotFound)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (a *api) hostStatus(w http.ResponseWriter) {
	s := a.Host.Status()
	writeValue(w, http.StatusOK, struct {
		ID                             string   `json:"id"`
		State                          string   `json:"state"`
		Version                        string   `json:"version"`
		VersionDetails                 string   `json:"versionDetails"`
		InstanceID                     string   `json:"instanceId"`
		ComputerName                   string   `json:"computerName"`
		ProcessUptime                  int64    `json:"processUptime"` // milliseconds
		FunctionAppContentEditingState string   `json:"functionAppContentEditingState"`
		Errors                         []string `json:"errors,omitempty"`

		TaskHub *TaskHubStatus `json:"taskHub,omitempty"`
	}{s.ID, string(s.State), a.Version, "durafunc " + a.Version, s.InstanceID, s.ComputerName,
		a.now().Sub(s.Started).Milliseconds(), "NotAllowed", s.Errors, s.TaskHub})
}

// functionJSON is the function description of F§7.3. The hrefs of files are null:
// a function is compiled into its app and has none.
type functionJSON struct {
	Name               string            `json:"name"`
	ScriptRootPathHref *string           `json:"script_root_path_href"`
	ScriptHref         *string           `json:"script_href"`
	ConfigHref         *string           `json:"config_href"`
	TestDataHref       *string           `json:"test_data_href"`
	Href               string            `json:"href"`
	InvokeURLTemplate  *string           `json:"invoke_url_template"`
	Language           string            `json:"language"`
	Config             functionConfig    `json:"config"`
	Files              map[string]string `json:"files"`
	TestData           string            `json:"test_data"`
	IsDisabled         bool              `json:"isDisabled"`
	IsDirect           bool              `json:"isDirect"`
	IsProxy            bool              `json:"isProxy"`
	App                string            `json:"app"`        // ours
	AppVersion         string            `json:"appVersion"` // ours
}

type functionConfig struct {
	Name     string            `json:"name"`
	Bindings []json.RawMessage `json:"bindings"`
}

func (a *api) describe(r *http.Request, f Function) functionJSON {
	d := functionJSON{
		Name:       f.Name,
		Href:       authority(r) + "/admin/functions/" + url.PathEscape(f.Name),
		Language:   f.Language,
		Config:     functionConfig{f.Name, []json.RawMessage{}},
		IsDisabled: f.Disabled,
		IsDirect:   true,
		App:        f.App,
		AppVersion: f.AppVersion,
	}
	if d.Language == "" {
		d.Language = "go"
	}
	for _, b := range f.Bindings {
		if json.Valid(b) { // one app's bad answer must not break the whole list
			d.Config.Bindings = append(d.Config.Bindings, b)
		}
	}
	if f.InvokePath != "" {
		u := authority(r) + "/" + strings.TrimPrefix(f.InvokePath, "/")
		d.InvokeURLTemplate = &u
	}
	return d
}

// welcome serves GET and HEAD /.
func (a *api) welcome(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	base := authority(r)
	writeValue(w, http.StatusOK, struct {
		Name    string            `json:"name"`
		Version string            `json:"version"`
		Links   map[string]string `json:"links"`
	}{"durafunc", a.Version, map[string]string{
		"functions": base + "/admin/functions",
		"instances": base + BasePath + "/instances",
		"status":    base + "/admin/host/status",
	}})
}
