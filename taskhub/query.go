package taskhub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/durafunc/durafunc/taskhub/core"
	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/kv"
	"github.com/durafunc/durafunc/taskhub/layout"
	"github.com/durafunc/durafunc/taskhub/partition"
	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/transport"
)

// Limits of a page: instances, and bytes of their payloads, since a page with payloads
// must not grow with what users stored.
const (
	defaultTop   = 100
	maxPageBytes = 16 << 20
)

// Get implements Client.
func (h *Hub) Get(ctx context.Context, id string, opt GetOptions) (*Instance, error) {
	a, err := h.ask(ctx, h.ranges.Of(id), &transport.Request{Op: &transport.Request_Get{
		Get: &transport.Get{Instance: id, Payloads: opt.Payloads},
	}})
	if err != nil {
		return nil, err
	}
	return a.instance, h.loadPayloads(ctx, a.instance)
}

// instanceOf shows a row to a client. Payload references stay references.
func instanceOf(r kv.Reader, v *core.View, payloads bool) (*Instance, error) {
	row := &v.Row
	inst := &Instance{
		ID: row.Id, Name: row.Name, Version: row.Version, Execution: row.Execution, Parent: row.Parent.GetInstance(),
		Status: row.Status, Created: clock(row.Created), Updated: clock(row.Updated), Completed: clock(row.Completed),
		CustomStatus: row.CustomStatus, Failure: row.Failure, Tags: row.Tags,
	}
	if !payloads {
		return inst, nil
	}
	input, err := v.Input(r)
	if err != nil {
		return nil, err
	}
	inst.Input, inst.Output = input, row.Output
	switch {
	case row.Failure != nil && row.Output == nil:
		inst.Output = quoted(row.Failure.ErrorMessage)
	case row.Status == history.Suspended && row.Suspended != "":
		inst.Output = quoted(row.Suspended) // the reason, while it lasts (F§1.14)
	}
	return inst, nil
}

func clock(nanos int64) time.Time {
	if nanos == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanos).UTC()
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func quoted(text string) *string {
	b, err := json.Marshal(text)
	if err != nil {
		b = []byte(`""`) // a string always marshals
	}
	s := string(b)
	return &s
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
	a, err := h.ask(ctx, h.ranges.Of(id), &transport.Request{Op: &transport.Request_History{History: id}})
	if err != nil {
		return nil, err
	}
	return a.events, nil
}

// List implements Client. Pages go through the partitions one after another, each in
// the order of creation.
func (h *Hub) List(ctx context.Context, q Query) (Page, error) {
	n, after, err := parseToken(q.Token, len(h.parts))
	if err != nil {
		return Page{}, err
	}
	top := q.Top
	if top <= 0 {
		top = defaultTop
	}
	var page Page
	bytes := 0
	for ; n < len(h.parts); n, after = n+1, 0 {
		a, err := h.ask(ctx, n, &transport.Request{Op: &transport.Request_List{
			List: toQuery(&q, top-len(page.Instances), after),
		}})
		if err != nil {
			return Page{}, err
		}
		page.Instances = append(page.Instances, a.instances...)
		for _, inst := range a.instances {
			bytes += payloadBytes(inst)
		}
		// A page that is full goes on in the next partition only if there is something.
		if a.more || bytes > maxPageBytes && n+1 < len(h.parts) {
			page.Token = strconv.Itoa(n) + "." + strconv.FormatUint(a.after, 10)
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

// payloadBytes is what an instance's payloads weigh once they are loaded.
func payloadBytes(i *Instance) int {
	n := 0
	for _, p := range []*string{i.Input, i.Output, i.CustomStatus} {
		if p == nil {
			continue
		}
		n += len(*p)
		if ref, err := history.ParsePayloadRef(*p); err == nil {
			n += int(ref.Bytes)
		}
	}
	return n
}

func (q *Query) matches(row *core.InstanceRow) bool {
	created := clock(row.Created)
	return (len(q.Statuses) == 0 || slices.Contains(q.Statuses, row.Status)) &&
		(q.CreatedFrom.IsZero() || !created.Before(q.CreatedFrom)) &&
		(q.CreatedTo.IsZero() || !created.After(q.CreatedTo)) &&
		strings.HasPrefix(row.Id, q.IDPrefix)
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
	for n := range h.parts {
		for after, more := uint64(0), true; more; {
			a, err := h.ask(ctx, n, &transport.Request{Op: &transport.Request_PurgeSome{
				PurgeSome: &transport.Purge{Query: toQuery(&q, 0, after)},
			}})
			if err != nil {
				return purged, err
			}
			purged += a.purged
			after, more = a.after, a.more
		}
	}
	return purged, nil
}
