package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"syscall"
	"time"

	"github.com/durafunc/durafunc/host/internal/chaos/workload"
	api "github.com/durafunc/durafunc/plugins/durable/client"
)

// A client's patience. A frozen host does not answer: an attempt ends early, and the
// next one goes to another host under the same key.
const (
	attemptTimeout = 7 * time.Second
	opTimeout      = 90 * time.Second
	retryPause     = 50 * time.Millisecond

	hastyOnceIn = 8 // requests of a hasty client
	leastHaste  = 3 // milliseconds
	mostHaste   = 80
)

// client sends requests to whichever host answers, as one behind a load balancer would.
// One goroutine uses it.
type client struct {
	n   int
	rec *recorder
	rng *rand.Rand
	lb  *balancer
	// keyed says that hosts honour request ids; without it a repeated request may have an
	// effect for each attempt.
	keyed bool
	// hasty clients give up some requests before they can be answered, and repeat them
	// while the first one is still at work.
	hasty bool
	next  int // number of the next key
}

// fork is another client with its own generator, for a goroutine beside c's.
func (c *client) fork() *client {
	d := *c
	d.rng = rand.New(rand.NewPCG(c.rng.Uint64(), 1))
	return &d
}

// reply is the answer to a request and how it came.
type reply struct {
	err      error // nil: it was done; else what the host refuses, an *api.Error
	host     int
	attempts int
	unclear  bool          // an earlier attempt may have been carried out
	first    time.Duration // when the first attempt was sent
	sent     time.Duration // when the one that was answered was sent
	got      time.Duration
}

// apiOf asks one host, each time once. Connections are not kept: a request on a dying one
// could not be told from one that the host has seen, and net/http would repeat it unasked.
func apiOf(url string) *api.Client {
	return api.New(url, api.Options{HTTP: httpClient, Timeout: attemptTimeout, RetryFor: -1})
}

var httpClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// request is something to ask of a host.
type request struct {
	what    string // for people
	changes bool   // it has a request id
	do      func(context.Context, *api.Client) error
}

// send sends a request until a host answers it with anything but 503 or 500, or
// opTimeout has passed; the error means the latter.
func (c *client) send(ctx context.Context, q request) (*reply, error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	c.next++
	if key := fmt.Sprintf("%d-%d-%x", c.n, c.next, c.rng.Uint64()); q.changes {
		ctx = api.WithRequestID(ctx, key)
	}
	r := &reply{first: c.rec.now()}
	for {
		r.attempts++
		r.host = c.lb.choose(c.rng)
		r.sent = c.rec.now()
		patience := attemptTimeout
		left := c.hasty && c.keyed && q.changes && r.attempts == 1 && c.rng.IntN(hastyOnceIn) == 0
		if left {
			patience = c.between(leastHaste, mostHaste)
		}
		trial, done := context.WithTimeout(ctx, patience)
		r.err = q.do(trial, c.lb.api(r.host))
		done()
		r.got = c.rec.now()
		if errors.Is(r.err, api.ErrInternal) {
			c.rec.note("500 to " + q.what)
		}
		if tells(r.err) {
			c.lb.answers(r.host)
			return r, nil
		}
		if !errors.Is(r.err, syscall.ECONNREFUSED) {
			r.unclear = true
		}
		if !left { // else it is not the host's fault
			c.lb.fails(r.host, c.rec.began.Add(r.sent))
		}
		if !pause(ctx, retryPause) {
			return r, fmt.Errorf("%s: no answer in %d attempts: %w; last: %w", q.what, r.attempts, context.Cause(ctx), r.err)
		}
	}
}

// tells reports whether the outcome of an attempt is a host's answer that says what came
// of it: there is one, and it is neither 503 nor 500.
func tells(err error) bool {
	var answer *api.Error
	if err != nil && !errors.As(err, &answer) {
		return false
	}
	return !errors.Is(err, api.ErrUnavailable) && !errors.Is(err, api.ErrInternal)
}

func clip(b []byte) string {
	const most = 300
	if len(b) > most {
		return string(b[:most]) + "..."
	}
	return string(b)
}

// refusals are answers that are no acknowledgement and yet tell something.
type refusals map[error]string

// endedOrAbsent are those to what is sent to an instance.
var endedOrAbsent = refusals{api.ErrTerminal: gone, api.ErrNotFound: absent}

func (f refusals) of(err error) string {
	for refusal, result := range f {
		if errors.Is(err, refusal) {
			return result
		}
	}
	return ""
}

// record adds an operation that changes something. A refusal after an attempt that may
// have been carried out tells nothing when keys are not honoured.
func (c *client) record(o op, r *reply, err error, f refusals) string {
	o.Client, o.Host, o.Count, o.Attempts = c.n, r.host, -1, r.attempts
	o.Call, o.Return, o.Result = int64(r.first), int64(r.got), f.of(r.err)
	if o.Weight > 0 && !c.keyed {
		o.Weight *= r.attempts
	}
	switch {
	case err != nil:
		o.Return, o.Result = forever, unknown
		c.rec.note("requests that were never answered")
	case r.err == nil:
		o.Result = accepted
	case o.Result == "":
		o.Return, o.Result = forever, unknown
		c.rec.problem("unexpected answer", "%s of %s: %v", o.Kind, o.ID, r.err)
	case r.unclear && !c.keyed:
		o.Return, o.Result = forever, unknown
	}
	c.rec.add(o)
	return o.Result
}

// start starts an orchestration and says what came of it: accepted or unknown.
func (c *client) start(ctx context.Context, i *instance, input any) string {
	c.rec.register(i)
	r, err := c.send(ctx, startOf(i, input))
	f := refusals{}
	if r.unclear && !c.keyed {
		f[api.ErrInstanceExists] = unknown // our own earlier attempt
	}
	result := c.record(op{Kind: opStart, ID: i.ID}, r, err, f)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.acked = result == accepted || err == nil && errors.Is(r.err, api.ErrInstanceExists)
	i.again = !c.keyed && r.attempts > 1
	return result
}

func startOf(i *instance, input any) request {
	return request{"start " + i.Name, true, func(ctx context.Context, a *api.Client) error {
		_, err := a.Start(ctx, api.StartRequest{Name: i.Name, ID: i.ID, Input: input})
		return err
	}}
}

// raise raises an event. ends says that it lets the instance complete, weight how many
// messages it adds to a counter.
func (c *client) raise(ctx context.Context, id, event string, data any, ends bool, weight int) (result string, attempts int) {
	r, err := c.send(ctx, request{"raise " + event, true, func(ctx context.Context, a *api.Client) error {
		return a.RaiseEvent(ctx, id, event, data)
	}})
	return c.record(op{Kind: opRaise, ID: id, Ends: ends, Weight: weight}, r, err, endedOrAbsent), r.attempts
}

// terminate terminates an instance.
func (c *client) terminate(ctx context.Context, id string) string {
	r, err := c.send(ctx, request{"terminate", true, func(ctx context.Context, a *api.Client) error {
		return a.Terminate(ctx, id, "chaos", false)
	}})
	return c.record(op{Kind: opTerminate, ID: id}, r, err, endedOrAbsent)
}

// read reads an instance; nil when there is none or no host answers.
func (c *client) read(ctx context.Context, id string) *api.Instance {
	var in *api.Instance
	r, err := c.send(ctx, request{"read", false, func(ctx context.Context, a *api.Client) (err error) {
		in, err = a.Get(ctx, id, api.GetOptions{})
		return err
	}})
	if err != nil {
		c.rec.note("reads that were never answered")
		return nil // it has seen nothing
	}
	return c.saw(id, in, r)
}

// saw records what the answer to a read of an instance shows; nil: there is none.
func (c *client) saw(id string, in *api.Instance, r *reply) *api.Instance {
	o := op{Client: c.n, Host: r.host, Kind: opRead, ID: id, Call: int64(r.sent), Return: int64(r.got), Count: -1, Attempts: r.attempts}
	switch {
	case errors.Is(r.err, api.ErrNotFound):
		o.Result = absent
	case r.err != nil:
		c.rec.problem("unexpected answer", "read of %s: %v", id, r.err)
		return nil
	default:
		o.Result = string(in.Status)
		var shown *workload.Shown
		if err := json.Unmarshal(in.CustomStatus, &shown); err == nil && shown != nil {
			o.Count, o.Digest = shown.Count, shown.Digest
		}
	}
	c.rec.add(o)
	return in
}
