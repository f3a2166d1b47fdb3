package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/durafunc/durafunc/plugins/durable/client"
)

// pollEvery is how often the demo looks at the instances. A real device would be
// told by SendPackageUrlToDevice; the demo reads the same from the custom status.
const pollEvery = 50 * time.Millisecond

// device is what a child orchestration publishes in its custom status.
type device struct {
	ID         string `json:"device"`
	PackageURL string `json:"packageUrl"`
}

// playDevices acts as every device of the parent until the parent has ended, and
// returns its final status.
func playDevices(ctx context.Context, c *client.Client, parent string, p *progress) (*client.Instance, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var acting sync.WaitGroup
	defer acting.Wait()
	defer cancel(nil)

	acts := map[string]bool{} // child instance ids
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		// The parent first: if it has ended, then so have the children looked at next.
		now, err := c.Get(ctx, parent, client.GetOptions{})
		if err != nil {
			return nil, orCause(ctx, err)
		}
		all, err := children(ctx, c, parent)
		if err != nil {
			return nil, orCause(ctx, err)
		}
		for i, child := range all {
			var d device
			// Until its package exists a child's custom status is null.
			if json.Unmarshal(child.CustomStatus, &d) != nil || d.PackageURL == "" {
				continue
			}
			if child.Status.Terminal() {
				p.end(d.ID, "flow "+string(child.Status))
				continue
			}
			if !acts[child.ID] {
				acts[child.ID] = true
				acting.Go(func() {
					if err := d.act(ctx, c, child.ID, i, p); err != nil {
						cancel(fmt.Errorf("device %s: %w", d.ID, err))
					}
				})
			}
		}
		if now.Status.Terminal() {
			return now, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%s is still %s: %w", parent, now.Status, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// act is one device: it downloads its package, installs it, and acknowledges.
func (d device) act(ctx context.Context, c *client.Client, instance string, nth int, p *progress) error {
	p.set(d.ID, "downloads its package")
	body, err := download(ctx, d.PackageURL)
	if err != nil {
		return err
	}
	p.set(d.ID, fmt.Sprintf("installs %d bytes", len(body)))
	// Devices differ in speed; so that one can see it, each takes a little longer.
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(time.Duration(200+150*nth) * time.Millisecond):
	}
	ack := map[string]any{"bytes": len(body), "sha256": fmt.Sprintf("%x", sha256.Sum256(body))}
	if err := c.RaiseEvent(ctx, instance, "DownloadCompletedAck", ack); err != nil {
		return err
	}
	p.set(d.ID, "raised DownloadCompletedAck")
	return nil
}

func download(ctx context.Context, from string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, fmt.Errorf("download %s: %w", from, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("download: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("download %s: %w", from, err)
	}
	if resp.StatusCode != http.StatusOK || len(body) == 0 {
		return nil, fmt.Errorf("download %s: %s, %d bytes", from, resp.Status, len(body))
	}
	return body, nil
}

// orCause prefers the reason for which ctx was cancelled to what broke thereby.
func orCause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w (%w)", context.Cause(ctx), err)
	}
	return err
}
