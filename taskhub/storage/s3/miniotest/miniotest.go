// Package miniotest runs a MinIO server for tests and benchmarks: one for each test
// binary, on a loopback port that the system chose, with its data in a temporary
// directory. The server and its data go when the process ends, however it ends.
package miniotest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/durafunc/durafunc/taskhub/storage/s3"
)

// Environment variables that steer where the server comes from.
const (
	// BinEnv is the path of the minio binary; without it <repository>/bin/minio.
	BinEnv = "MINIO_BIN"
	// RequireEnv, when set, makes a missing binary a failure, not a skipped test.
	RequireEnv = "DURAFUNC_REQUIRE_MINIO"
)

const (
	startTimeout = 3 * time.Minute
	startRetries = 3 // another process may take the port that we chose
	bucket       = "durafunc-test"
	user         = "durafunc"
)

// ErrNoBinary means that there is no minio binary to run.
var ErrNoBinary = errors.New("no minio binary")

// Server is a running MinIO with one bucket. Endpoint is its base URL.
type Server struct {
	Endpoint, Bucket, AccessKey, SecretKey string

	pid      int
	stop     io.Closer // the watcher's standard input
	exited   chan struct{}
	prefixes atomic.Int64
}

// shared is the server of this test binary.
var shared = sync.OnceValues(func() (*Server, error) { return Launch(context.Background()) })

// Start returns the server of this test binary, starting it at the first call.
// Without a minio binary the test is skipped, or fails if RequireEnv is set.
func Start(t testing.TB) *Server {
	t.Helper()
	s, err := shared()
	if errors.Is(err, ErrNoBinary) && os.Getenv(RequireEnv) == "" {
		t.Skipf("%v (set %s to make this a failure)", err, RequireEnv)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Config is how to open a store in the server's bucket, under prefix.
func (s *Server) Config(prefix string) s3.Config {
	return s3.Config{
		Bucket: s.Bucket, Prefix: prefix, Endpoint: s.Endpoint, Region: "us-east-1", ForcePathStyle: true,
		AccessKey: s.AccessKey, SecretKey: s.SecretKey,
	}
}

// Open returns an empty store: one with a prefix of its own.
func (s *Server) Open(t testing.TB) *s3.Store {
	t.Helper()
	store, err := s3.Open(t.Context(), s.Config(fmt.Sprintf("test-%d", s.prefixes.Add(1))))
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// PID is the process id of the server, for measurements.
func (s *Server) PID() int { return s.pid }

// Stop ends the server and removes its data. It may be called twice.
func (s *Server) Stop() {
	s.stop.Close()
	<-s.exited
}

// watcher runs the server and a reader of its own standard input, which this process
// holds open: when we stop, exit or are killed, the reader ends the server. It ends
// itself, and removes the data, when the server has ended for whatever reason. $1
// is the binary, $2 the directory, $3 the address.
const watcher = `
exec 3<&0
"$1" server --quiet --address "$3" "$2/data" >"$2/log" 2>&1 </dev/null 3<&- &
server=$!
echo $server
exec >/dev/null 2>&1
{ cat <&3; kill -9 $server; } &
wait $server
kill $!
rm -rf "$2"
`

// Launch starts a server of one's own; Stop ends it. The error is ErrNoBinary, or
// holds what the server logged.
func Launch(ctx context.Context) (*Server, error) {
	bin, err := binary()
	if err != nil {
		return nil, err
	}
	var errs []error
	for range startRetries {
		s, err := launch(ctx, bin)
		if err == nil {
			return s, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func launch(ctx context.Context, bin string) (*Server, error) {
	dir, err := os.MkdirTemp("", "miniotest-")
	if err != nil {
		return nil, err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "log")) // readable when the watcher has removed it
	if err != nil {
		return nil, err
	}
	defer log.Close()
	// Its own, so that a server of another process that took our port does not pass for it.
	password := rand.Text()
	cmd := exec.Command("sh", "-c", watcher, "miniotest", bin, dir, addr)
	cmd.Env = append(os.Environ(), "MINIO_ROOT_USER="+user, "MINIO_ROOT_PASSWORD="+password,
		"MINIO_BROWSER=off", "MINIO_UPDATE=off", "MINIO_CALLHOME_ENABLE=off")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start minio: %w", err)
	}
	s := &Server{
		Endpoint: "http://" + addr, Bucket: bucket, AccessKey: user, SecretKey: password,
		stop: stdin, exited: make(chan struct{}),
	}
	_, err = fmt.Fscan(stdout, &s.pid)
	go func() {
		_ = cmd.Wait() // its exit status is that of a killed server
		close(s.exited)
	}()
	if err == nil {
		err = s.ready(ctx)
	}
	if err != nil {
		s.Stop()
		text, _ := io.ReadAll(log)
		return nil, fmt.Errorf("start minio on %s: %w; it logged: %s", addr, err, text)
	}
	return s, nil
}

// ready waits until the server answers and creates the bucket. It polls: a real
// process has no other event.
func (s *Server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	store, err := s3.Open(ctx, s.Config(""))
	if err != nil {
		return err
	}
	for {
		err := s.alive(ctx)
		if err == nil {
			err = store.CreateBucket(ctx)
		}
		if err == nil {
			return nil
		}
		select {
		case <-time.After(25 * time.Millisecond):
		case <-s.exited:
			return fmt.Errorf("the server ended: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("not ready within %v: %w", startTimeout, err)
		}
	}
}

func (s *Server) alive(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Endpoint+"/minio/health/ready", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("health check: %s", resp.Status)
	}
	return nil
}

// binary finds minio.
func binary() (string, error) {
	if bin := os.Getenv(BinEnv); bin != "" {
		if _, err := os.Stat(bin); err != nil {
			return "", fmt.Errorf("%w: %s: %w", ErrNoBinary, BinEnv, err)
		}
		return bin, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if filepath.Dir(dir) == dir {
			return "", fmt.Errorf("%w: %s is not set and the working directory is in no repository", ErrNoBinary, BinEnv)
		}
		dir = filepath.Dir(dir)
	}
	bin := filepath.Join(dir, "bin", "minio")
	if _, err := os.Stat(bin); err != nil {
		return "", fmt.Errorf("%w: %s is not set and there is no %s", ErrNoBinary, BinEnv, bin)
	}
	return bin, nil
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
