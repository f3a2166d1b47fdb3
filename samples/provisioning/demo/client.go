package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// api is the path of the management API.
const api = "/runtime/webhooks/durabletask"

// continuation is the header that asks for the next page of a list.
const continuation = "x-ms-continuation-token"

// client speaks the HTTP management API of a host.
type client struct {
	base string // http://host:port
}

// status is the state of an instance as the API shows it.
type status struct {
	Name          string          `json:"name"`
	InstanceID    string          `json:"instanceId"`
	RuntimeStatus string          `json:"runtimeStatus"`
	CustomStatus  json.RawMessage `json:"customStatus"`
	Output        json.RawMessage `json:"output"`
	History       []event         `json:"historyEvents"`
}

// terminal says that nothing more will happen to the instance.
func (s *status) terminal() bool {
	return slices.Contains([]string{"Completed", "Failed", "Terminated", "Canceled"}, s.RuntimeStatus)
}

// event is one history event as the API shows it: a completion carries when its
// call was scheduled.
type event struct {
	EventType     string
	Timestamp     time.Time
	ScheduledTime time.Time
	FunctionName  string
	Name          string
}

func (c client) start(ctx context.Context, name, id string, input any) error {
	path := api + "/orchestrators/" + url.PathEscape(name) + "/" + url.PathEscape(id)
	return c.call(ctx, http.MethodPost, path, input, nil, http.StatusAccepted)
}

func (c client) get(ctx context.Context, id string, history bool) (*status, error) {
	path := fmt.Sprintf("%s/instances/%s?showHistory=%t", api, url.PathEscape(id), history)
	s := &status{}
	err := c.call(ctx, http.MethodGet, path, nil, s, http.StatusOK, http.StatusAccepted)
	return s, err
}

// children lists the sub-orchestrations of an instance in the order in which it
// started them: their ids are the parent's, a colon and the task number.
func (c client) children(ctx context.Context, parent string) ([]*status, error) {
	path := api + "/instances?top=1000&showInput=false&instanceIdPrefix=" + url.QueryEscape(parent+":")
	var all []*status
	for token := ""; ; {
		var page []*status
		header, err := c.exchange(ctx, http.MethodGet, path, token, nil, &page, http.StatusOK)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		// A page may be short, one ends at each partition: only the token tells.
		if token = header.Get(continuation); token == "" {
			break
		}
	}
	task := func(s *status) (n int) {
		_, _ = fmt.Sscanf(s.InstanceID[len(parent):], ":%d", &n) // 0 if it is no number: the order is for the eye
		return n
	}
	slices.SortStableFunc(all, func(a, b *status) int { return task(a) - task(b) })
	return all, nil
}

func (c client) raise(ctx context.Context, id, name string, data any) error {
	path := api + "/instances/" + url.PathEscape(id) + "/raiseEvent/" + url.PathEscape(name)
	return c.call(ctx, http.MethodPost, path, data, nil, http.StatusAccepted)
}

// call sends one request, with body as JSON unless nil, and decodes the answer
// into result unless nil. Any status but those wanted is an error.
func (c client) call(ctx context.Context, method, path string, body, result any, want ...int) error {
	_, err := c.exchange(ctx, method, path, "", body, result, want...)
	return err
}

// exchange is call with the paging token that goes out and the header that comes back.
func (c client) exchange(ctx context.Context, method, path, token string, body, result any, want ...int) (http.Header, error) {
	var reader io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", method, path, err)
		}
		reader = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, reader)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set(continuation, token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err // names method and URL
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if !slices.Contains(want, resp.StatusCode) {
		return nil, fmt.Errorf("%s %s: %s %s", method, path, resp.Status, answer)
	}
	if result != nil {
		if err := json.Unmarshal(answer, result); err != nil {
			return nil, fmt.Errorf("%s %s: %w", method, path, err)
		}
	}
	return resp.Header, nil
}
