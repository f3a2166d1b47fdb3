package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/durafunc/durafunc/host/internal/chaos/faultproxy"
	"github.com/durafunc/durafunc/taskhub/storage/s3/miniotest"
)

// hubName is the hub of the run.
const hubName = "Chaos"

// fleet is the hosts, the store behind their proxies, and the directory of it all.
type fleet struct {
	dir    string
	server *miniotest.Server
	nodes  []*node
}

// fleetOptions is what a fleet is made from. rng is used while it is made only; each
// proxy gets a generator of its own from it.
type fleetOptions struct {
	dir, host, app, logLevel string
	hosts, partitions        int
	lease                    time.Duration
	rng                      *rand.Rand
	problem                  func(kind, format string, args ...any)
	refused                  func(err error)
}

// newFleet starts MinIO and the proxies, and makes a root for each host. No host runs.
func newFleet(ctx context.Context, o fleetOptions) (_ *fleet, err error) {
	f := &fleet{dir: o.dir}
	if f.server, err = miniotest.Launch(ctx); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	for n := range o.hosts {
		node := &node{n: n, dir: filepath.Join(o.dir, fmt.Sprint("host-", n)), binary: o.host, problem: o.problem, refused: o.refused}
		node.logPath = filepath.Join(o.dir, fmt.Sprintf("host-%d.log", n))
		if node.port, err = freePort(o.rng); err != nil {
			return nil, err
		}
		node.url = fmt.Sprintf("http://127.0.0.1:%d", node.port)
		if node.proxy, err = faultproxy.Start(f.server.Endpoint, rand.New(rand.NewPCG(o.rng.Uint64(), 0))); err != nil {
			return nil, err
		}
		f.nodes = append(f.nodes, node)
		// All that a host sees of our environment: settings in the shell must not steer it.
		node.env = []string{
			"PATH=" + os.Getenv("PATH"), "HOME=" + node.dir, "TMPDIR=" + os.TempDir(), "AWS_EC2_METADATA_DISABLED=true",
			"AWS_ACCESS_KEY_ID=" + f.server.AccessKey, "AWS_SECRET_ACCESS_KEY=" + f.server.SecretKey,
		}
		if err = f.root(node, o); err != nil {
			return nil, fmt.Errorf("host %d: %w", n, err)
		}
	}
	return f, nil
}

// root makes the function app root of a host.
func (f *fleet) root(n *node, o fleetOptions) error {
	text, err := json.MarshalIndent(map[string]any{
		"version": "2.0",
		"logging": map[string]any{"logLevel": map[string]any{"default": o.logLevel}},
		"extensions": map[string]any{"durableTask": map[string]any{
			"hubName": hubName,
			"storageProvider": map[string]any{
				"type": "s3", "bucket": f.server.Bucket, "endpoint": n.proxy.URL(), "region": "us-east-1", "forcePathStyle": true,
				"leaseDuration": o.lease.String(), "partitionCount": o.partitions,
			},
		}},
	}, "", "  ")
	functions := filepath.Join(n.dir, "functions")
	if err == nil {
		err = os.MkdirAll(functions, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(n.dir, "host.json"), append(text, '\n'), 0o644)
	}
	if err == nil {
		err = copyFile(filepath.Join(functions, "chaos"), o.app)
	}
	return err
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// Ports of hosts are fixed over their lives, and below those that systems give to
// outgoing connections: nobody else takes one while its host is down.
const (
	firstPort = 20000
	lastPort  = 29999
	portTries = 100
)

func freePort(rng *rand.Rand) (int, error) {
	for range portTries {
		port := firstPort + rng.IntN(lastPort-firstPort+1)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("no free port between %d and %d in %d tries", firstPort, lastPort, portTries)
}

// faults sets the faults of all proxies.
func (f *fleet) faults(v faultproxy.Faults) {
	for _, n := range f.nodes {
		n.proxy.Set(v)
	}
}

// each runs do for every host at the same time.
func (f *fleet) each(do func(n *node) error) error {
	errs := make([]error, len(f.nodes))
	var all sync.WaitGroup
	for i, n := range f.nodes {
		all.Go(func() { errs[i] = do(n) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// verify runs durafunc hub verify, which needs no host.
func (f *fleet) verify(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	n := f.nodes[0]
	cmd := exec.CommandContext(ctx, n.binary, "hub", "verify", "--root", n.dir)
	cmd.Env = n.env
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("durafunc hub verify: %w\n%s", err, out.String())
	}
	return nil
}

// close ends everything, the store last.
func (f *fleet) close() {
	_ = f.each(func(n *node) error { // fails never
		n.kill()
		return nil
	})
	for _, n := range f.nodes {
		if n.proxy != nil {
			_ = n.proxy.Close() // nobody uses it any more
		}
	}
	f.server.Stop()
}
