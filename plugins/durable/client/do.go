package client

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
)

// Request is one HTTP request to a host, for what has no method of its own.
type Request struct {
	Method string
	Path   string      // below the host's URL, escaped, with its query
	Header http.Header // beside Options.Header; nil: no more
	Body   []byte      // JSON; nil: none
}

// Answer is what a host answered, read to its end.
type Answer struct {
	Code   int
	Header http.Header
	Body   []byte
}

// Do sends a request once, as it is, and returns the answer whatever its code: there is
// no request id but one in the header, no task hub but one in the path, and no retry. An
// error means that there was no whole answer.
func (c *Client) Do(ctx context.Context, r Request) (*Answer, error) {
	if c.broken != nil {
		return nil, c.broken
	}
	ctx, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	var body io.Reader
	if r.Body != nil {
		body = bytes.NewReader(r.Body)
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, c.base+r.Path, body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidArgument, err)
	}
	maps.Copy(req.Header, c.opts.Header)
	maps.Copy(req.Header, r.Header)
	if r.Method != http.MethodGet && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.opts.HTTP.Do(req)
	if err != nil {
		return nil, err // names method and URL
	}
	defer resp.Body.Close()
	text, err := readAll(resp)
	if err != nil {
		return nil, fmt.Errorf("%s %s: read the answer: %w", r.Method, r.Path, err)
	}
	return &Answer{Code: resp.StatusCode, Header: resp.Header, Body: text}, nil
}

// mostGrown bounds what is allocated on a host's word alone.
const mostGrown = 1 << 20

func readAll(resp *http.Response) ([]byte, error) {
	if resp.ContentLength == 0 {
		return nil, nil
	}
	var buf bytes.Buffer
	buf.Grow(int(min(max(resp.ContentLength, 0), mostGrown)) + bytes.MinRead)
	_, err := buf.ReadFrom(resp.Body)
	return buf.Bytes(), err
}
