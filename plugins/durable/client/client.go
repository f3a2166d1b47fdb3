package client

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// BasePath is where the management API stands below a host's URL.
const BasePath = "/runtime/webhooks/durabletask"

// Defaults of Options.
const (
	DefaultTimeout  = time.Minute
	DefaultRetryFor = 30 * time.Second
)

// Options changes what a Client does; the zero value is good for most.
type Options struct {
	// TaskHub is the hub that is meant; a host of another one answers ErrInvalidArgument.
	// Empty: whichever hub the host serves.
	TaskHub string
	// Header goes with each request; credentials belong here.
	Header http.Header
	// HTTP sends the requests; nil: one that keeps connections, shared by all clients.
	HTTP *http.Client
	// Timeout bounds each attempt, the reading of its answer included; 0: DefaultTimeout.
	Timeout time.Duration
	// RetryFor is how long after its first attempt a request may be sent again; 0:
	// DefaultRetryFor. Request ids count for ten minutes. Negative: each request is sent
	// once, and its outcome shown as it is.
	RetryFor time.Duration
}

// Client asks the host at one URL, which may stand for several hosts behind a load
// balancer. Its methods may be called concurrently.
type Client struct {
	base   string
	broken error // what is wrong with base
	opts   Options
}

// New returns a client of the host at base, as in "http://localhost:7071". It makes no
// connection yet, and costs so little that it can be made for a single call. If base is
// no such URL, every call fails with ErrInvalidArgument.
func New(base string, o Options) *Client {
	if o.HTTP == nil {
		o.HTTP = pooled
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.RetryFor == 0 {
		o.RetryFor = DefaultRetryFor
	}
	return &Client{base: strings.TrimRight(base, "/"), broken: checkBase(base), opts: o}
}

func checkBase(base string) error {
	u, err := url.Parse(base)
	if err == nil && (u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		err = errors.New(`want a URL as in "http://localhost:7071"`)
	}
	if err != nil {
		return fmt.Errorf("%w: host %q: %w", ErrInvalidArgument, base, err)
	}
	return nil
}

// pooled keeps a connection for each of many concurrent callers; http.DefaultClient
// keeps two, and makes all others anew.
var pooled = &http.Client{Transport: &http.Transport{
	Proxy:               http.ProxyFromEnvironment,
	ForceAttemptHTTP2:   true,
	MaxIdleConns:        1024,
	MaxIdleConnsPerHost: 256,
	IdleConnTimeout:     90 * time.Second,
}}
