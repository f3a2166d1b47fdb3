package client

import (
	"context"
	"encoding/json"
	"net/http"
)

// HostStatus is how a host is.
type HostStatus struct {
	ID           string         `json:"id"`    // of the host, stable across restarts
	State        string         `json:"state"` // as in "Running"
	Version      string         `json:"version"`
	InstanceID   string         `json:"instanceId"` // of its process
	ComputerName string         `json:"computerName"`
	Uptime       int64          `json:"processUptime"` // milliseconds
	Errors       []string       `json:"errors"`        // what keeps it or its function apps from running
	TaskHub      *TaskHubStatus `json:"taskHub"`       // nil: the host does not say
}

// TaskHubStatus is a host's part in its task hub.
type TaskHubStatus struct {
	Session    string            `json:"session"`
	Address    string            `json:"address"` // where other hosts reach this one
	Partitions []PartitionStatus `json:"partitions"`
	// LateAnswers counts answers of work items that came when nobody waited for them any
	// more, since the host started.
	LateAnswers uint64 `json:"lateAnswers"`
}

// PartitionStatus is one partition as a host sees it.
type PartitionStatus struct {
	Partition int    `json:"partition"`
	State     string `json:"state"` // as in "serving" and "elsewhere"
	Epoch     uint64 `json:"epoch"`
	Owner     string `json:"owner"`   // session; empty: unknown
	Address   string `json:"address"` // of the owner, if it is another host
	Detail    string `json:"detail"`
}

// Function is a function that a host has loaded.
type Function struct {
	Name       string         `json:"name"`
	Language   string         `json:"language"`
	App        string         `json:"app"` // the function app that has it
	AppVersion string         `json:"appVersion"`
	IsDisabled bool           `json:"isDisabled"`
	Config     FunctionConfig `json:"config"`
}

// FunctionConfig is what a function is bound to.
type FunctionConfig struct {
	Bindings []json.RawMessage `json:"bindings"` // JSON objects
}

// Ping returns nil if a host answers, ready or not.
func (c *Client) Ping(ctx context.Context) error {
	_, err := c.send(ctx, admin("ping the host", "/admin/host/ping"), nil)
	return err
}

// HostStatus asks a host how it is.
func (c *Client) HostStatus(ctx context.Context) (*HostStatus, error) {
	s := &HostStatus{}
	if _, err := c.send(ctx, admin("status of the host", "/admin/host/status"), s); err != nil {
		return nil, err
	}
	return s, nil
}

// Functions lists the functions that a host has loaded, by name.
func (c *Client) Functions(ctx context.Context) ([]Function, error) {
	var all []Function
	_, err := c.send(ctx, admin("list functions", "/admin/functions"), &all)
	return all, err
}

func admin(op, path string) call {
	return call{op: op, method: http.MethodGet, path: path, want: []int{http.StatusOK}}
}
