package taskhub

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/durafunc/durafunc/taskhub/partition"
)

// jam lets writes of the log take so long from now on.
func (b *bucket) jam(each time.Duration) {
	b.mu.Lock()
	b.slow = each
	b.mu.Unlock()
}

// jamPayloads lets writes of payloads take so long from now on.
func (b *bucket) jamPayloads(each time.Duration) {
	b.mu.Lock()
	b.stuck = each
	b.mu.Unlock()
}

// crowd starts so many instances at once and counts what becomes of them.
type crowd struct {
	accepted, refused, other atomic.Int64
	err                      atomic.Value // one of the others
}

func (c *crowd) starts(ctx context.Context, h *hubHost, prefix string, n int, input *string) {
	for k := range n {
		go func() {
			_, err := h.Start(ctx, StartRequest{Name: "Hello", ID: fmt.Sprint(prefix, k), Input: input})
			switch {
			case err == nil:
				c.accepted.Add(1)
			case errors.Is(err, ErrBusy):
				c.refused.Add(1)
			default:
				c.other.Add(1)
				c.err.Store(err)
			}
		}()
	}
}

func (c *crowd) want(t *testing.T, what string, accepted, refused int64) {
	t.Helper()
	if c.accepted.Load() != accepted || c.refused.Load() != refused || c.other.Load() > 0 {
		t.Errorf("%s: %d accepted, %d refused, %d else (%v); want %d, %d, 0", what,
			c.accepted.Load(), c.refused.Load(), c.other.Load(), c.err.Load(), accepted, refused)
	}
}

// A store that hangs under steady starts costs refusals: what the partition keeps is
// bounded, and those that it took are answered when the store goes on.
func TestStartsAreRefusedWhileTheStoreHangs(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		h := host(t, b, running(nothing))
		input := `"` + strings.Repeat("x", 50_000) + `"`
		h.begin(t, "first")
		b.jam(10 * time.Minute)
		var c crowd
		for second := range 300 {
			c.starts(t.Context(), h, fmt.Sprint("s", second, "-"), 10, &input)
			time.Sleep(time.Second)
		}
		// Of 3,000 starts, 16 MiB are taken: an instance needs its input and its first event.
		refused := c.refused.Load()
		if taken := 3000 - refused; taken < 100 || taken > 400 {
			t.Errorf("%d starts of %d KB wait for a store that hangs", taken, len(input)/1000)
		}
		c.want(t, "while the store hangs", 0, refused)
		if _, err := h.Get(t.Context(), "first", GetOptions{}); err != nil {
			t.Errorf("a query meanwhile: %v", err)
		}
		b.jam(0)
		time.Sleep(30 * time.Minute)
		c.want(t, "when it goes on", 3000-refused, refused)
		h.begin(t, "last")
	})
}

// Payloads that are on their way into the store count before anything else does.
func TestLargePayloadsAreRefusedWhileTheStoreHangs(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		h := host(t, b, running(nothing), func(o *Options) { o.Limits.IntakeBytes = 1 << 20 })
		input := `"` + strings.Repeat("x", 300_000) + `"`
		h.begin(t, "first")
		b.jamPayloads(5 * time.Second)
		var c crowd
		c.starts(t.Context(), h, "s", 10, &input)
		synctest.Wait()
		c.want(t, "while payloads are stored", 0, 7)
		time.Sleep(2 * time.Minute)
		c.want(t, "afterwards", 3, 7)
	})
}

// Answers count too. The refusal keeps its meaning on the way over another host, and so
// does the promise that nothing was done.
func TestBusyIsToldByTheOwner(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		h := host(t, b, running(nothing), func(o *Options) { o.Limits = partition.Limits{IntakeReplies: 3} })
		h.begin(t, "first")
		b.jam(time.Minute)
		var c crowd
		c.starts(t.Context(), h, "s", 20, nil)
		synctest.Wait()
		c.want(t, "while a commit is under way", 0, 16)
		err := h.Terminate(t.Context(), "s0", "", false)
		if !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "partition 0") {
			t.Errorf("got %v", err)
		}
		b.jam(0)
		time.Sleep(5 * time.Minute)
		c.want(t, "afterwards", 4, 16)
		page, err := h.List(t.Context(), Query{})
		if err != nil || len(page.Instances) != 5 {
			t.Errorf("%d instances, %v; those that were refused must not be there", len(page.Instances), err)
		}
	})
}
