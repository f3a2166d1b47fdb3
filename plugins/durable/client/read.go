package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// GetOptions chooses what is read of an instance beside its status, custom status and
// output.
type GetOptions struct {
	Input   bool // its input, and with History those of its calls
	History bool
	Outputs bool // with History, the results of its calls
}

// Get reads an instance's committed state: ErrNotFound.
func (c *Client) Get(ctx context.Context, id string, o GetOptions) (*Instance, error) {
	in := &Instance{}
	_, err := c.send(ctx, call{
		op: "get " + id, method: http.MethodGet, path: InstancePath(id), query: o.query(),
		want: []int{http.StatusOK, http.StatusAccepted},
	}, in)
	if err != nil {
		return nil, err
	}
	return in, nil
}

func (o GetOptions) query() url.Values {
	q := url.Values{"showInput": {strconv.FormatBool(o.Input)}}
	if o.History {
		q.Set("showHistory", "true")
	}
	if o.History && o.Outputs {
		q.Set("showHistoryOutput", "true")
	}
	return q
}

// Pauses between two looks of Wait grow: a quick instance is seen at once, and a slow one
// is not asked for all the time.
const (
	leastLook = 20 * time.Millisecond
	mostLook  = time.Second
)

// Wait returns an instance when it has ended, with what o asks for: ErrNotFound, or the
// cause of ctx's end. The API tells nobody when an instance ends, so it is looked at
// again and again, at least once a second.
func (c *Client) Wait(ctx context.Context, id string, o GetOptions) (*Instance, error) {
	for pause := leastLook; ; pause = min(pause*5/4, mostLook) {
		in, err := c.Get(ctx, id, GetOptions{})
		switch {
		case err != nil:
			return nil, err
		case in.Status.Terminal() && o == (GetOptions{}):
			return in, nil
		case in.Status.Terminal():
			return c.Get(ctx, id, o)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for %s, which is %s: %w", id, in.Status, context.Cause(ctx))
		case <-time.After(pause):
		}
	}
}
