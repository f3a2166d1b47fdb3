package main

import (
	"bytes"
	"context"
	"crypto/rand"
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

// askAgain is the pause before a request is sent again that a host answers with 503: a
// part of the hub is just opening, or changing hands.
const askAgain = 100 * time.Millisecond

// exchange is call with the paging token that goes out and the header that comes back. A
// host that is not available is asked again until ctx ends, under the same request key,
// so that nothing is done twice.
func (c client) exchange(ctx context.Context, method, path, token string, body, result any, want ...int) (http.Header, error) {
	var text []byte
	header := http.Header{}
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return nil, fmt.Errorf("%s %s: %w", method, path, err)
		}
		header.Set("Content-Type", "application/json")
		header.Set("Idempotency-Key", rand.Text())
	}
	if token != "" {
		header.Set(continuation, token)
	}
	for {
		resp, answer, err := c.attempt(ctx, method, path, header, text)
		switch {
		case err != nil:
			return nil, err
		case slices.Contains(want, resp.StatusCode):
			if result != nil {
				if err := json.Unmarshal(answer, result); err != nil {
					return nil, fmt.Errorf("%s %s: %w", method, path, err)
				}
			}
			return resp.Header, nil
		case resp.StatusCode == http.StatusServiceUnavailable:
			select {
			case <-time.After(askAgain):
				continue
			case <-ctx.Done():
			}
		}
		return nil, fmt.Errorf("%s %s: %s %s", method, path, resp.Status, answer)
	}
}

// attempt sends a request once and reads the whole answer.
func (c client) attempt(ctx context.Context, method, path string, header http.Header, body []byte) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	req.Header = header.Clone()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, nil, err // names method and URL
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	return resp, answer, nil
}
