package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/durafunc/durafunc/plugins/durable/client"
)

// mostOnAPage is the largest page of a list.
const mostOnAPage = 1000

// children lists the sub-orchestrations of an instance in the order in which it
// started them: their ids are the parent's, a colon and the task number.
func children(ctx context.Context, c *client.Client, parent string) ([]*client.Instance, error) {
	var all []*client.Instance
	for child, err := range c.List(ctx, client.Query{IDPrefix: parent + ":", PageSize: mostOnAPage}) {
		if err != nil {
			return nil, err
		}
		all = append(all, child)
	}
	task := func(in *client.Instance) (n int) {
		_, _ = fmt.Sscanf(in.ID[len(parent):], ":%d", &n) // 0 if it is no number: the order is for the eye
		return n
	}
	slices.SortStableFunc(all, func(a, b *client.Instance) int { return task(a) - task(b) })
	return all, nil
}
