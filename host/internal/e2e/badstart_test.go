package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/durafunc/durafunc/host/internal/hosttest"
)

// TestStartIsRefused: a host that cannot do its work says what is wrong, naming the file
// and key, the flag or the address to change, and exits with 1.
func TestStartIsRefused(t *testing.T) {
	t.Parallel()
	durable := func(keys string) string {
		return `{"version": "2.0", "extensions": {"durableTask": {` + keys + `}}}`
	}
	tests := []struct {
		name     string
		hostJSON string
		prepare  func(t *testing.T, r *hosttest.Root)
		args     []string
		mention  []string
	}{
		{
			name: "host.json is cut off", hostJSON: "{\n  \"version\": \"2.0\",\n  \"extensions\": {",
			mention: []string{"host.json:3:"},
		},
		{name: "host.json is a list", hostJSON: `[]`, mention: []string{"host.json:1:1"}},
		{name: "no version", hostJSON: `{}`, mention: []string{"host.json", "version"}},
		{
			name: "all wrong values at once", hostJSON: durable(`"hubName": "x!", "maxPayloadBytes": 1, "storageProvider": {"leaseDuration": "500ms"}`),
			mention: []string{"hubName", "maxPayloadBytes", "storageProvider.leaseDuration: 500ms must be at least 2s"},
		},
		{
			name: "a mistyped key of the store", hostJSON: durable(`"storageProvider": {"type": "s3", "buckt": "b"}`),
			mention: []string{"storageProvider.buckt", "bucket"},
		},
		{
			name: "nobody at the endpoint",
			hostJSON: durable(`"storageProvider": {"type": "s3", "bucket": "b", "endpoint": "http://127.0.0.1:1", "region": "r",
				"forcePathStyle": true}`),
			prepare: func(_ *testing.T, r *hosttest.Root) {
				r.Env = append(r.Env, "AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b")
			},
			mention: []string{"http://127.0.0.1:1", "connection refused"},
		},
		{
			name: "no credentials",
			hostJSON: durable(`"storageProvider": {"type": "s3", "bucket": "b", "endpoint": "http://127.0.0.1:1", "region": "r",
				"forcePathStyle": true}`),
			mention: []string{"bucket b", "credentials"},
		},
		{
			name: "the functions directory is a file",
			prepare: func(t *testing.T, r *hosttest.Root) {
				must(t, os.Remove(r.Functions()))
				r.Write("functions", "")
			},
			mention: []string{"functions directory", "functions: not a directory"},
		},
		{
			name: "the functions directory cannot be read",
			prepare: func(t *testing.T, r *hosttest.Root) {
				must(t, os.Chmod(r.Functions(), 0))
				r.Unprivileged()
			},
			mention: []string{"functions directory", "functions: permission denied"},
		},
		{
			name: "the store's directory is read-only",
			prepare: func(t *testing.T, r *hosttest.Root) {
				must(t, os.MkdirAll(filepath.Join(r.State(), "store"), 0o755))
				r.Unprivileged()
				must(t, os.Chmod(filepath.Join(r.State(), "store"), 0o555))
			},
			mention: []string{".durafunc/store", "permission denied"},
		},
		{
			name: "the root is read-only",
			prepare: func(t *testing.T, r *hosttest.Root) {
				r.Unprivileged()
				must(t, os.Chmod(r.Dir, 0o555))
			},
			mention: []string{".durafunc", "permission denied"},
		},
		{name: "a port that is none", args: []string{"--port", "99999"}, mention: []string{"99999", "port"}},
		{name: "a port that is no number", args: []string{"--port", "http"}, mention: []string{`"--port"`, "http"}},
		{name: "an address that is none", args: []string{"--address", "300.1.1.1"}, mention: []string{"300.1.1.1"}},
		{name: "an unknown log level", args: []string{"--log-level", "loud"}, mention: []string{"--log-level", "loud", "debug"}},
		{name: "an unknown flag", args: []string{"--prot", "1"}, mention: []string{"--prot"}},
		{name: "an argument", args: []string{"orders"}, mention: []string{"orders"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := hosttest.NewRoot(t, hosttest.File(), nil)
			if tt.hostJSON != "" {
				r.Write("host.json", tt.hostJSON)
			}
			if tt.prepare != nil {
				tt.prepare(t, r)
			}
			refused(t, r, tt.args, tt.mention...)
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused runs durafunc start and wants it to fail with exit code 1 and one message, the
// last one, that mentions all of these.
func refused(t *testing.T, r *hosttest.Root, args []string, mention ...string) {
	t.Helper()
	result := r.Run(t, append([]string{"start", "--root", r.Dir, "--port", "0"}, args...)...)
	_, message, found := strings.Cut("\n"+result.Stderr, "\ndurafunc: ")
	if result.Code != 1 || !found {
		t.Fatalf("exit code %d, want 1 and a message:\n%s", result.Code, result.Stderr)
	}
	for _, m := range mention {
		if !strings.Contains(message, m) {
			t.Errorf("the message does not mention %q: %s", m, message)
		}
	}
	for _, foreign := range []string{"panic:", "goroutine ", "*prefixed", "Usage:"} {
		if strings.Contains(result.Stderr, foreign) {
			t.Errorf("the message holds %q: %s", foreign, result.Stderr)
		}
	}
}

// TestPortInUse: a host that cannot be reached must not touch the hub.
func TestPortInUse(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	r := hosttest.NewRoot(t, hosttest.File(), nil)
	refused(t, r, []string{"--port", port}, port, "address already in use")
	if found := r.Glob(".durafunc/store/*"); len(found) > 0 {
		t.Errorf("the host that was refused left %q", found)
	}
}

func TestBucketIsRefused(t *testing.T) {
	t.Parallel()
	s := hosttest.MinIO(t)
	t.Run("missing bucket", func(t *testing.T) {
		r := hosttest.NewRoot(t, s.With("bucket", "no-such-bucket"), nil)
		refused(t, r, nil, "no-such-bucket", "does not exist")
	})
	t.Run("wrong secret", func(t *testing.T) {
		r := hosttest.NewRoot(t, s, nil)
		r.Env = append(r.Env, "AWS_SECRET_ACCESS_KEY=wrong")
		refused(t, r, nil, "access denied", "bucket ")
	})
	t.Run("unknown user", func(t *testing.T) {
		r := hosttest.NewRoot(t, s, nil)
		r.Env = append(r.Env, "AWS_ACCESS_KEY_ID=stranger")
		refused(t, r, nil, "access denied", "bucket ")
	})
}
