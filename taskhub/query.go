package taskhub

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/layout"
	"github.com/durafunc/durafunc/taskhub/partition"
	"github.com/durafunc/durafunc/taskhub/routing"
	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/transport"
)

// defaultTop is how many instances a page has if nobody says.
const defaultTop = 100

// Get implements Client.
func (h *Hub) Get(ctx context.Context, id string, opt GetOptions) (*Instance, error) {
	a, err := h.router.Ask(ctx, h.ranges.Of(id), &transport.Request{Op: &transport.Request_Get{
		Get: &transport.Get{Instance: id, Payloads: opt.Payloads},
	}})
	if err != nil {
		return nil, err
	}
	i := fromInstance(a.Instance)
	return i, h.loadPayloads(ctx, i)
}

func (h *Hub) loadPayloads(ctx context.Context, inst *Instance) error {
	for _, p := range []**string{&inst.Input, &inst.Output} {
		if *p == nil || !history.IsPayloadRef(**p) {
			continue
		}
		text, err := h.Payload(ctx, **p)
		var corrupt *partition.CorruptError
		if err != nil && !errors.Is(err, storage.ErrNotFound) && !errors.As(err, &corrupt) {
			err = fmt.Errorf("%w: %w", ErrUnavailable, err) // the store's trouble of the moment
		}
		if err != nil {
			return fmt.Errorf("%q: %w", inst.ID, err)
		}
		*p = &text
	}
	return nil
}

// Payload fetches what a payload reference stands for; other text is answered as it is.
func (h *Hub) Payload(ctx context.Context, text string) (string, error) {
	return partition.ReadPayload(ctx, h.opts.Store, layout.PartitionPrefix, text)
}

// History implements Client.
func (h *Hub) History(ctx context.Context, id string) ([]*history.HistoryEvent, error) {
	a, err := h.router.Ask(ctx, h.ranges.Of(id), &transport.Request{Op: &transport.Request_History{History: id}})
	if err != nil {
		return nil, err
	}
	return a.Events, nil
}

// List implements Client. Pages go through the partitions one after another, each in
// the order of creation.
func (h *Hub) List(ctx context.Context, q Query) (Page, error) {
	n, after, err := parseToken(q.Token, h.ranges.Len())
	if err != nil {
		return Page{}, err
	}
	top := q.Top
	if top <= 0 {
		top = defaultTop
	}
	var page Page
	bytes := 0
	for ; n < h.ranges.Len(); n, after = n+1, 0 {
		a, err := h.router.Ask(ctx, n, &transport.Request{Op: &transport.Request_List{
			List: toQuery(&q, top-len(page.Instances), after),
		}})
		if err != nil {
			return Page{}, err
		}
		for _, i := range a.Instances {
			page.Instances = append(page.Instances, fromInstance(i))
			bytes += routing.PayloadBytes(i)
		}
		// A page that is full goes on in the next partition only if there is something.
		if a.More || bytes > routing.MaxPageBytes && n+1 < h.ranges.Len() {
			page.Token = strconv.Itoa(n) + "." + strconv.FormatUint(a.After, 10)
			break
		}
	}
	for _, inst := range page.Instances {
		if err := h.loadPayloads(ctx, inst); err != nil {
			return Page{}, err
		}
	}
	return page, nil
}

// parseToken reads the token of a page: partition and the last creation number.
func parseToken(token string, partitions int) (n int, after uint64, err error) {
	if token == "" {
		return 0, 0, nil
	}
	left, right, ok := strings.Cut(token, ".")
	n, err1 := strconv.Atoi(left)
	after, err2 := strconv.ParseUint(right, 10, 64)
	if !ok || err1 != nil || err2 != nil || n < 0 || n >= partitions {
		return 0, 0, fmt.Errorf("%w: continuation token %q", ErrInvalidArgument, token)
	}
	return n, after, nil
}

// PurgeBy implements Client.
func (h *Hub) PurgeBy(ctx context.Context, q Query) (int, error) {
	purged := 0
	for n := range h.ranges.Len() {
		for after, more := uint64(0), true; more; {
			a, err := h.router.Ask(ctx, n, &transport.Request{Op: &transport.Request_PurgeSome{
				PurgeSome: &transport.Purge{Query: toQuery(&q, 0, after)},
			}})
			if err != nil {
				return purged, err
			}
			purged += int(a.Purged)
			after, more = a.After, a.More
		}
	}
	return purged, nil
}
