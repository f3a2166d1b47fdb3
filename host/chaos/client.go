package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"syscall"
	"time"

	"github.com/durafunc/durafunc/host/chaos/workload"
	"github.com/durafunc/durafunc/host/hosttest"
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

// keyHeader names a request, so that a repetition has no second effect.
const keyHeader = "Idempotency-Key"

// client sends requests to whichever host answers, as one behind a load balancer would.
// One goroutine uses it.
type client struct {
	n   int
	rec *recorder
	rng *rand.Rand
	lb  *balancer
	// keyed says that hosts honour keyHeader; without it a repeated request may have an
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
	code     int
	body     []byte
	header   http.Header
	host     int
	attempts int
	unclear  bool          // an earlier attempt may have been carried out
	first    time.Duration // when the first attempt was sent
	sent     time.Duration // when the one that was answered was sent
	got      time.Duration
}

// Connections are not kept: a request on a dying one could not be told from one that
// the host has seen, and net/http would repeat it unasked.
var httpClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// send sends a request until a host answers it with anything but 503 or 500, or
// opTimeout has passed.
func (c *client) send(ctx context.Context, method, path string, body any) (*reply, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	c.next++
	key := fmt.Sprintf("%d-%d-%x", c.n, c.next, c.rng.Uint64())
	headers := map[string]string{}
	if method != http.MethodGet {
		headers["Content-Type"], headers[keyHeader] = "application/json", key
	}
	r := &reply{first: c.rec.now()}
	for {
		r.attempts++
		r.host = c.lb.choose(c.rng)
		r.sent = c.rec.now()
		patience := attemptTimeout
		left := c.hasty && c.keyed && method != http.MethodGet && r.attempts == 1 && c.rng.IntN(hastyOnceIn) == 0
		if left {
			patience = c.between(leastHaste, mostHaste)
		}
		trial, done := context.WithTimeout(ctx, patience)
		err := r.attempt(trial, method, c.lb.url(r.host)+path, text, headers)
		done()
		r.got = c.rec.now()
		if err == nil && r.code == http.StatusInternalServerError {
			c.rec.note(fmt.Sprintf("500 to %s %s", method, path[:min(len(path), 44)]))
		}
		if err == nil && r.code != http.StatusServiceUnavailable && r.code != http.StatusInternalServerError {
			c.lb.answers(r.host)
			return r, nil
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			r.unclear = true
		}
		if !left { // else it is not the host's fault
			c.lb.fails(r.host, c.rec.began.Add(r.sent))
		}
		if !pause(ctx, retryPause) {
			return r, fmt.Errorf("%s %s: no answer in %d attempts: %w; last: %d %s %w", method, path, r.attempts, context.Cause(ctx), r.code, clip(r.body), orNone(err))
		}
	}
}

func orNone(err error) error {
	if err == nil {
		return errors.New("(no error)")
	}
	return err
}

func (r *reply) attempt(ctx context.Context, method, url string, body []byte, headers map[string]string) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	var reader io.Reader
	if method != http.MethodGet {
		reader = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, reader)
	if err != nil {
		return err
	}
	for k, v := range headers {
		if v != "" {
			req.Header.Set(k, v)
		}
	}
	r.code, r.body = 0, nil
	resp, err := httpClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if r.body, err = io.ReadAll(resp.Body); err != nil {
		return err
	}
	r.code, r.header = resp.StatusCode, resp.Header
	return nil
}

func clip(b []byte) string {
	const most = 300
	if len(b) > most {
		return string(b[:most]) + "..."
	}
	return string(b)
}

// record adds an operation that changes something. A refusal after an attempt that may
// have been carried out tells nothing when keys are not honoured.
func (c *client) record(o op, r *reply, err error, refusals map[int]string) string {
	o.Client, o.Host, o.Count, o.Attempts = c.n, r.host, -1, r.attempts
	o.Call, o.Return, o.Result = int64(r.first), int64(r.got), refusals[r.code]
	if o.Weight > 0 && !c.keyed {
		o.Weight *= r.attempts
	}
	switch {
	case err != nil:
		o.Return, o.Result = forever, unknown
		c.rec.note("requests that were never answered")
	case r.code == http.StatusAccepted:
		o.Result = accepted
	case o.Result == "":
		o.Return, o.Result = forever, unknown
		c.rec.problem("unexpected answer", "%s of %s: %d %s", o.Kind, o.ID, r.code, clip(r.body))
	case r.unclear && !c.keyed:
		o.Return, o.Result = forever, unknown
	}
	c.rec.add(o)
	return o.Result
}

// start starts an orchestration and says what came of it: accepted or unknown.
func (c *client) start(ctx context.Context, i *instance, input any) string {
	c.rec.register(i)
	r, err := c.send(ctx, http.MethodPost, hosttest.StartPath(i.Name, i.ID), input)
	refusals := map[int]string{}
	if r.unclear && !c.keyed {
		refusals[http.StatusConflict] = unknown // our own earlier attempt
	}
	result := c.record(op{Kind: opStart, ID: i.ID}, r, err, refusals)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.acked = result == accepted || err == nil && r.code == http.StatusConflict
	i.again = !c.keyed && r.attempts > 1
	return result
}

// raise raises an event. ends says that it lets the instance complete, weight how many
// messages it adds to a counter.
func (c *client) raise(ctx context.Context, id, event string, data any, ends bool, weight int) (result string, attempts int) {
	r, err := c.send(ctx, http.MethodPost, hosttest.InstancePath(id, "raiseEvent", event), data)
	refusals := map[int]string{http.StatusGone: gone, http.StatusNotFound: absent}
	return c.record(op{Kind: opRaise, ID: id, Ends: ends, Weight: weight}, r, err, refusals), r.attempts
}

// terminate terminates an instance.
func (c *client) terminate(ctx context.Context, id string) string {
	r, err := c.send(ctx, http.MethodPost, hosttest.InstancePath(id, "terminate")+"?reason=chaos", nil)
	refusals := map[int]string{http.StatusGone: gone, http.StatusNotFound: absent}
	return c.record(op{Kind: opTerminate, ID: id}, r, err, refusals)
}

// read reads an instance; nil when there is none or no host answers.
func (c *client) read(ctx context.Context, id string) *hosttest.Status {
	r, err := c.send(ctx, http.MethodGet, readPath(id), nil)
	if err != nil {
		c.rec.note("reads that were never answered")
		return nil // it has seen nothing
	}
	return c.saw(id, r)
}

func readPath(id string) string { return hosttest.InstancePath(id) + "?showInput=false" }

// saw records what the answer to a read of an instance shows; nil: there is none.
func (c *client) saw(id string, r *reply) *hosttest.Status {
	o := op{Client: c.n, Host: r.host, Kind: opRead, ID: id, Call: int64(r.sent), Return: int64(r.got), Count: -1, Attempts: r.attempts}
	s := &hosttest.Status{}
	switch {
	case r.code == http.StatusNotFound:
		o.Result, s = absent, nil
	case r.code != http.StatusOK && r.code != http.StatusAccepted:
		c.rec.problem("unexpected answer", "read of %s: %d %s", id, r.code, clip(r.body))
		return nil
	default:
		if err := json.Unmarshal(r.body, s); err != nil {
			c.rec.problem("unexpected answer", "read of %s: %v: %s", id, err, clip(r.body))
			return nil
		}
		o.Result = s.RuntimeStatus
		var shown *workload.Shown
		if err := json.Unmarshal(s.CustomStatus, &shown); err == nil && shown != nil {
			o.Count, o.Digest = shown.Count, shown.Digest
		}
	}
	c.rec.add(o)
	return s
}
