package client

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Query filters instances. Zero fields do not filter.
type Query struct {
	Status      []RuntimeStatus // any of these
	CreatedFrom time.Time
	CreatedTo   time.Time
	IDPrefix    string
	Input       bool // List reads inputs too
	PageSize    int  // of List, at most 1000; 0: the host's default, 100
}

// continuationHeader names the page of a list that comes next.
const continuationHeader = "x-ms-continuation-token"

// List yields the instances that match, in no order that could be relied on, and ends
// with the first error. It reads a page at a time: what is created or purged meanwhile
// may show or not.
func (c *Client) List(ctx context.Context, q Query) iter.Seq2[*Instance, error] {
	return func(yield func(*Instance, error) bool) {
		query := q.values()
		query.Set("showInput", strconv.FormatBool(q.Input))
		if q.PageSize > 0 {
			query.Set("top", strconv.Itoa(q.PageSize))
		}
		for token := ""; ; {
			r := call{op: "list instances", method: http.MethodGet, path: instancesPath, query: query, want: []int{http.StatusOK}}
			if token != "" {
				r.header = http.Header{http.CanonicalHeaderKey(continuationHeader): {token}}
			}
			var page []*Instance
			a, err := c.send(ctx, r, &page)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, in := range page {
				if !yield(in, nil) {
					return
				}
			}
			// A page may be short, one ends at each partition: only the token tells.
			if token = a.Header.Get(continuationHeader); token == "" {
				return
			}
		}
	}
}

// PurgeBy removes the finished instances that match and returns how many. CreatedFrom is
// needed, ErrInvalidArgument without it; Input and PageSize do not count. When it has to
// be sent again, what an attempt before has removed is not counted.
func (c *Client) PurgeBy(ctx context.Context, q Query) (int, error) {
	var deleted struct {
		Instances int `json:"instancesDeleted"`
	}
	r := call{op: "purge instances", method: http.MethodDelete, path: instancesPath, query: q.values(), want: []int{http.StatusOK}}
	_, err := c.send(ctx, r, &deleted)
	if errors.Is(err, ErrNotFound) {
		return 0, nil // nothing matched
	}
	return deleted.Instances, err
}

func (q *Query) values() url.Values {
	v := url.Values{}
	for _, s := range q.Status {
		v.Add("runtimeStatus", string(s))
	}
	if !q.CreatedFrom.IsZero() {
		v.Set("createdTimeFrom", q.CreatedFrom.UTC().Format(time.RFC3339Nano))
	}
	if !q.CreatedTo.IsZero() {
		v.Set("createdTimeTo", q.CreatedTo.UTC().Format(time.RFC3339Nano))
	}
	if q.IDPrefix != "" {
		v.Set("instanceIdPrefix", q.IDPrefix)
	}
	return v
}
