package e2e

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/durafunc/durafunc/host/internal/hosttest"
	"github.com/durafunc/durafunc/taskhub/lease/dynamodb/dynalitetest"
)

// checkup is what durafunc doctor --json prints.
type checkup struct {
	Hub, Store, Leases string
	Failed             bool
	Findings           []struct{ Check, Level, Found, Advice string }
}

func (c checkup) level(check string) string {
	for _, f := range c.Findings {
		if f.Check == check {
			return f.Level
		}
	}
	return "missing"
}

// doctor runs durafunc doctor --json.
func doctor(t *testing.T, r *hosttest.Root, code int) checkup {
	t.Helper()
	got := r.Run(t, "doctor", "--json")
	if got.Code != code {
		t.Errorf("exit code %d, want %d\n%s%s", got.Code, code, got.Stdout, got.Stderr)
	}
	var c checkup
	if err := json.Unmarshal([]byte(got.Stdout), &c); err != nil {
		t.Fatalf("%v in\n%s\n%s", err, got.Stdout, got.Stderr)
	}
	if c.Failed != (code == 1) || c.Hub != hosttest.HubName || c.Store == "" {
		t.Errorf("%+v", c)
	}
	return c
}

func TestDoctor(t *testing.T) {
	hosttest.EachStore(t, func(t *testing.T, s hosttest.Store) {
		r := hosttest.NewRoot(t, s, nil)
		table := r.Run(t, "doctor")
		if table.Code != 0 || table.Stderr != "" {
			t.Errorf("exit code %d: %s", table.Code, table.Stderr)
		}
		for _, want := range []string{"task hub " + hosttest.HubName + " in ", "ok race of 32 writers", "expiry", "durability"} {
			if !strings.Contains(strings.Join(strings.Fields(table.Stdout), " "), want) {
				t.Errorf("stdout does not hold %q:\n%s", want, table.Stdout)
			}
		}
		c := doctor(t, r, 0)
		for _, check := range []string{"reach", "conditions", "race", "ambiguity", "list", "expiry"} {
			if c.level(check) != "ok" {
				t.Errorf("%s is %s: %+v", check, c.level(check), c)
			}
		}
		// A machine that stands still for seconds is warned of its clock, which cannot be told
		// from that.
		if clock := c.level("clock"); s.Provider["type"] == "s3" && (clock != "ok" && clock != "warn" || c.level("integrity") != "ok") {
			t.Errorf("%+v", c)
		}
		for e, err := range s.Open(t, r).List(t.Context(), "", "") {
			t.Errorf("left behind: %s, %v", e.Key, err)
		}
	})
}

// unconditional is a bucket whose server has never heard of conditions.
func unconditional(t *testing.T) hosttest.Store {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket("b"); err != nil {
		t.Fatal(err)
	}
	log := slog.NewLogLogger(slog.NewTextHandler(io.Discard, nil), slog.LevelInfo)
	fake := gofakes3.New(backend, gofakes3.WithLogger(gofakes3.StdLog(log))).Server()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("If-Match")
		r.Header.Del("If-None-Match")
		fake.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return hosttest.Store{
		Provider: map[string]any{"type": "s3", "bucket": "b", "endpoint": server.URL, "region": "us-east-1", "forcePathStyle": true},
		Env:      []string{"AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b"},
	}
}

func TestDoctorFindsAnUnfitStore(t *testing.T) {
	t.Parallel()
	r := hosttest.NewRoot(t, unconditional(t), nil)
	got := r.Run(t, "doctor")
	if got.Code != 1 || !strings.Contains(got.Stderr, "checks have failed") {
		t.Errorf("exit code %d: %s", got.Code, got.Stderr)
	}
	for _, want := range []string{"fail", "ignores the condition of a create", "what to do:", "Use a store with atomic conditional writes"} {
		if !strings.Contains(got.Stdout, want) {
			t.Errorf("stdout does not hold %q:\n%s", want, got.Stdout)
		}
	}
	if c := doctor(t, r, 1); c.level("conditions") != "fail" || c.level("race") != "missing" {
		t.Errorf("%+v", c)
	}
}

func TestDoctorWithoutAStore(t *testing.T) {
	t.Parallel()
	s := unconditional(t).With("endpoint", "http://127.0.0.1:1")
	c := doctor(t, hosttest.NewRoot(t, s, nil), 1)
	if c.level("reach") != "fail" || c.level("race") != "missing" {
		t.Errorf("%+v", c)
	}
	r := hosttest.NewRoot(t, hosttest.File(), nil)
	r.Write("host.json", "{")
	if got := r.Run(t, "doctor", "--json"); got.Code != 1 || !strings.Contains(got.Stderr, "host.json") || got.Stdout != "" {
		t.Errorf("a broken host.json: %+v", got)
	}
}

func TestDoctorProbesTheTableOfLeases(t *testing.T) {
	endpoint := dynalitetest.Start(t)
	with := func(endpoint string) *hosttest.Root {
		s := hosttest.File().With("leases", map[string]any{"type": "dynamodb", "table": "leases", "endpoint": endpoint, "region": "us-east-1"})
		for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
			s.Env = append(s.Env, name+"="+os.Getenv(name))
		}
		return hosttest.NewRoot(t, s, nil)
	}
	if c := doctor(t, with(endpoint), 0); c.level("leases") != "ok" || c.Leases == "" {
		t.Errorf("%+v", c)
	}
	if c := doctor(t, with("http://127.0.0.1:1"), 1); c.level("leases") != "fail" || c.level("race") != "ok" {
		t.Errorf("%+v", c)
	}
}

func TestHelpOfDoctorTeaches(t *testing.T) {
	t.Parallel()
	got := hosttest.NewRoot(t, hosttest.File(), nil).Run(t, "doctor", "--help")
	for _, want := range []string{"--root", "--json", "race", "expiry", "clock", "durability", "exit code", "removes what it wrote"} {
		if !strings.Contains(got.Stdout, want) {
			t.Errorf("the help does not hold %q:\n%s", want, got.Stdout)
		}
	}
}
