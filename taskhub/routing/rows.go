package routing

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/durafunc/durafunc/taskhub/core"
	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/kv"
	"github.com/durafunc/durafunc/taskhub/partition"
	"github.com/durafunc/durafunc/taskhub/transport"
)

// MaxPageBytes bounds the payloads of a page of instances, since a page with payloads must
// not grow with what users stored. An instance that is larger stands alone in its page.
const MaxPageBytes = 16 << 20

func get(ctx context.Context, p *partition.Partition, g *transport.Get) (*transport.Response, error) {
	a := &transport.Response{}
	err := p.Read(ctx, func(r kv.Reader) error {
		v, err := core.Lookup(r, g.Instance)
		if err != nil || v == nil {
			return err
		}
		a.Instance, err = instanceOf(r, v, g.Payloads)
		return err
	})
	if err == nil && a.Instance == nil {
		err = fmt.Errorf("%q: %w", g.Instance, core.ErrNotFound)
	}
	if err != nil {
		return nil, unavailable(err)
	}
	return a, nil
}

// events reads the history of an instance.
func events(ctx context.Context, p *partition.Partition, id string) (*transport.Response, error) {
	a := &transport.Response{}
	found := false
	err := p.Read(ctx, func(r kv.Reader) error {
		v, err := core.Lookup(r, id)
		if err != nil || v == nil {
			return err
		}
		found = true
		a.Events, err = v.History(r)
		return err
	})
	if err == nil && !found {
		err = fmt.Errorf("%q: %w", id, core.ErrNotFound)
	}
	if err != nil {
		return nil, unavailable(err)
	}
	return a, nil
}

// list reads up to q.Top instances of one partition. More says that the page was full, or
// heavy.
func list(ctx context.Context, p *partition.Partition, q *transport.Query) (*transport.Response, error) {
	a := &transport.Response{After: q.After}
	bytes := 0
	err := p.Read(ctx, func(r kv.Reader) error {
		return core.Each(r, q.After, func(v *core.View) (bool, error) {
			if !matches(q, &v.Row) {
				a.After = v.Number
				return ctx.Err() == nil, ctx.Err()
			}
			if len(a.Instances) == int(q.Top) || bytes > MaxPageBytes {
				a.More = true
				return false, nil
			}
			a.After = v.Number
			i, err := instanceOf(r, v, q.Payloads)
			if err != nil {
				return false, err
			}
			bytes += PayloadBytes(i)
			a.Instances = append(a.Instances, i)
			return true, nil
		})
	})
	if err != nil {
		return nil, unavailable(err)
	}
	return a, nil
}

// instanceOf shows a row to a client. Payload references stay references.
func instanceOf(r kv.Reader, v *core.View, payloads bool) (*transport.Instance, error) {
	row := &v.Row
	i := &transport.Instance{
		Id: row.Id, Name: row.Name, Version: row.Version, Execution: row.Execution, Parent: row.Parent.GetInstance(),
		Status: row.Status, Created: row.Created, Updated: row.Updated, Completed: row.Completed,
		CustomStatus: row.CustomStatus, Failure: row.Failure, Tags: row.Tags,
	}
	if !payloads {
		return i, nil
	}
	input, err := v.Input(r)
	if err != nil {
		return nil, err
	}
	i.Input, i.Output = input, row.Output
	switch {
	case row.Failure != nil && row.Output == nil:
		i.Output = quoted(row.Failure.ErrorMessage)
	case row.Status == history.Suspended && row.Suspended != "":
		i.Output = quoted(row.Suspended) // the reason, while it lasts (F§1.14)
	}
	return i, nil
}

func quoted(text string) *string {
	b, err := json.Marshal(text)
	if err != nil {
		b = []byte(`""`) // a string always marshals
	}
	s := string(b)
	return &s
}

// PayloadBytes is what an instance's payloads weigh once they are loaded.
func PayloadBytes(i *transport.Instance) int {
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

// matches reports whether an instance is among those that q asks for.
func matches(q *transport.Query, row *core.InstanceRow) bool {
	return (len(q.Statuses) == 0 || slices.Contains(q.Statuses, int32(row.Status))) &&
		(q.CreatedFrom == 0 || row.Created >= q.CreatedFrom) &&
		(q.CreatedTo == 0 || row.Created <= q.CreatedTo) &&
		strings.HasPrefix(row.Id, q.IdPrefix)
}
