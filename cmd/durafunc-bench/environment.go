package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/durafunc/durafunc/host"
	"github.com/durafunc/durafunc/host/hostjson"
	"github.com/durafunc/durafunc/plugins/supervisor"
	"github.com/durafunc/durafunc/taskhub"
	"github.com/durafunc/durafunc/taskhub/storage/s3/miniotest"
)

// environment is one host in this process with its function app and a fresh hub.
type environment struct {
	host     *host.Host
	root     string
	logLevel string
	storePID int  // of MinIO; 0: none
	onDisk   bool // the hub is in a directory below root
}

// backend is where hubs are kept: "file", "minio" or "memory". MinIO runs for as long
// as the driver.
type backend struct {
	name  string
	dir   string
	minio *miniotest.Server
	hubs  int
}

// openBackend prepares a kind of store; dir is for its files.
func openBackend(ctx context.Context, name, dir string) (*backend, error) {
	b := &backend{name: name, dir: dir}
	if name != "minio" {
		return b, nil
	}
	old, had := os.LookupEnv("TMPDIR")
	if err := os.Setenv("TMPDIR", dir); err != nil { // where MinIO's data go
		return nil, err
	}
	server, err := miniotest.Launch(ctx)
	if had {
		err = errors.Join(err, os.Setenv("TMPDIR", old))
	} else {
		err = errors.Join(err, os.Unsetenv("TMPDIR"))
	}
	if err != nil {
		return nil, fmt.Errorf("%w (make minio-bin builds it)", err)
	}
	b.minio = server
	return b, errors.Join(os.Setenv("AWS_ACCESS_KEY_ID", server.AccessKey), os.Setenv("AWS_SECRET_ACCESS_KEY", server.SecretKey))
}

func (b *backend) close() {
	if b.minio != nil {
		b.minio.Stop()
	}
}

// storage is the section storageProvider of host.json for a new hub.
func (b *backend) storage(partitions int) map[string]any {
	s := map[string]any{"type": b.name}
	if b.minio != nil {
		b.hubs++
		s = map[string]any{
			"type": "s3", "bucket": b.minio.Bucket, "prefix": fmt.Sprintf("bench-%d", b.hubs), "endpoint": b.minio.Endpoint,
			"region": "us-east-1", "forcePathStyle": true,
		}
	}
	if partitions > 0 {
		s["partitionCount"] = partitions
	}
	return s
}

// open starts a host with the app on a new hub in a new directory.
func (b *backend) open(ctx context.Context, o *options) (*environment, error) {
	root, err := os.MkdirTemp(b.dir, "b")
	if err != nil {
		return nil, err
	}
	task := map[string]any{"hubName": "Bench", "storageProvider": b.storage(o.partitions)}
	if o.concurrency > 0 {
		task["maxConcurrentActivityFunctions"], task["maxConcurrentOrchestratorFunctions"] = o.concurrency, o.concurrency
	}
	text, err := json.Marshal(map[string]any{"version": hostjson.Version, "extensions": map[string]any{"durableTask": task}})
	if err == nil {
		err = os.WriteFile(filepath.Join(root, "host.json"), text, 0o644)
	}
	if err == nil {
		err = deploy(o.app, filepath.Join(root, hostjson.DefaultFunctionsDirectory))
	}
	e := &environment{root: root, logLevel: o.logLevel, onDisk: b.name == "file"}
	if err == nil {
		e.host, err = startHost(ctx, root, o.logLevel)
	}
	if err == nil {
		err = e.check()
	}
	if err != nil {
		return nil, errors.Join(err, e.close())
	}
	if b.minio != nil {
		e.storePID = b.minio.PID()
	}
	return e, nil
}

func startHost(ctx context.Context, root, logLevel string) (*host.Host, error) {
	cfg, _, err := hostjson.Load(root, nil)
	if err != nil {
		return nil, err
	}
	log := hclog.New(&hclog.LoggerOptions{Name: "host", Level: hclog.LevelFromString(logLevel), Output: os.Stderr})
	return host.Start(ctx, host.Options{Config: cfg, Address: "127.0.0.1", Version: "bench", Log: log})
}

// check says why the app does not run.
func (e *environment) check() error {
	apps := e.host.Apps()
	if len(apps) == 0 {
		return errors.New("the host found no function app")
	}
	if app := apps[0]; app.State != supervisor.Running {
		return fmt.Errorf("function app %s is %s: %w", app.Name, app.State, app.LastError)
	}
	return nil
}

func (e *environment) hub() *taskhub.Hub { return e.host.Hub() }

func (e *environment) appPID() int {
	for _, app := range e.host.Apps() {
		return app.PID
	}
	return 0
}

// close stops the host. Its directory stays until the store is done: on ext4 a mass
// deletion slows the creates of whatever is measured next.
func (e *environment) close() error {
	var err error
	if e.host != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		err = e.host.Stop(ctx)
	}
	return err
}

// crash ends the host as if it had been killed, as far as the hub can tell: nothing is
// committed, no checkpoint is taken, no partition released.
func (e *environment) crash() {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_ = e.host.Stop(ended) // it says that it was cut short
	e.host = nil
}

// restart starts the host again, on the same directory.
func (e *environment) restart(ctx context.Context) error {
	var err error
	if e.host, err = startHost(ctx, e.root, e.logLevel); err != nil {
		return err
	}
	return e.check()
}

// deploy copies an executable into the functions directory.
func deploy(app, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	in, err := os.Open(app)
	if err != nil {
		return fmt.Errorf("bench function app (make bench builds it): %w", err)
	}
	defer in.Close()
	out, err := os.OpenFile(filepath.Join(dir, "bench"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
