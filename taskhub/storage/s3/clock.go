package s3

import (
	"net/http"
	"sync"
	"time"
)

// storeClock knows by how much the store's clock is ahead of this machine's wall clock,
// within bounds, from the Date headers of its answers. An expiry must be given in the
// store's time.
type storeClock struct {
	mu        sync.Mutex
	low, high time.Duration // bounds of what the store is ahead by
	known     bool
	since     time.Time // of the oldest answer that the bounds rest on
	server    string    // how the store names itself
}

// driftAfter is for how long bounds are narrowed before they are taken from the next
// answer alone: clocks drift, and a wrong bound would never widen again.
const driftAfter = time.Minute

// slack is how far an answer may contradict the bounds without meaning that a clock was
// set: some servers write their Date once a second.
const slack = time.Second

// note takes the answer to a request that was sent and answered at these moments. Date
// has whole seconds: the store's clock was between it and a second later at some moment
// between the two.
func (c *storeClock) note(date, sent, got time.Time) {
	low, high := date.Sub(got), date.Add(time.Second).Sub(sent)
	c.mu.Lock()
	defer c.mu.Unlock()
	stale := !c.known || got.Sub(c.since) > driftAfter || got.Before(c.since)
	if stale || low > c.high+slack || high < c.low-slack {
		c.low, c.high, c.known, c.since = low, high, true, got
		return
	}
	c.low, c.high = max(c.low, low), max(min(c.high, high), c.low)
}

// behind is the lower bound of what the store's clock is ahead by: a moment of ours plus
// it is never later on the store's clock. Before the first answer the clocks are taken
// to agree.
func (c *storeClock) behind() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.low
}

// bounds are what the store's clock is ahead by; false before the first answer.
func (c *storeClock) bounds() (low, high time.Duration, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.low, c.high, c.known
}

func (c *storeClock) serverName() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.server
}

// clockedTransport tells the clock about every answer, whoever asked.
type clockedTransport struct {
	http.RoundTripper
	clock *storeClock
}

// RoundTrip implements http.RoundTripper.
func (t *clockedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	// Wall clocks on purpose, see storage.Until: no monotonic reading.
	sent := time.Now().Round(0)
	resp, err := t.RoundTripper.RoundTrip(r)
	if err != nil {
		return resp, err
	}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		t.clock.note(date, sent, time.Now().Round(0))
	}
	if name := resp.Header.Get("Server"); name != "" {
		t.clock.mu.Lock()
		t.clock.server = name
		t.clock.mu.Unlock()
	}
	return resp, nil
}

// ClockOffset is by how much the store's clock is ahead of this machine's, as its answers
// tell: between low and high. ok is false before the first answer with a date.
func (s *Store) ClockOffset() (low, high time.Duration, ok bool) { return s.clock.bounds() }

// ServerName is how the store names itself in its answers, as "MinIO"; "" before the first
// one, and if it does not.
func (s *Store) ServerName() string { return s.clock.serverName() }
