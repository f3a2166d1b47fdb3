package host

import (
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/durafunc/durafunc/host/hostjson"
	"github.com/durafunc/durafunc/trigger"
)

// TestAKindOfTriggerInAHost is the seam from end to end: a whole host with one kind more, and
// a function app, a process of its own, whose functions have triggers of that kind. Nothing
// but the kind is made for it.
func TestAKindOfTriggerInAHost(t *testing.T) {
	root := t.TempDir()
	app := filepath.Join(root, "functions", "triggered")
	if out, err := exec.Command("go", "build", "-o", app, "./dispatch/testdata/triggered").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	json := `{"version": "2.0", "extensions": {"durableTask": {"storageProvider": {"type": "memory"}}}}`
	if err := os.WriteFile(filepath.Join(root, "host.json"), []byte(json), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := hostjson.Load(root, nil)
	if err != nil {
		t.Fatal(err)
	}
	kind := echoKind
	kind.Type, kind.Properties = "testTrigger", []string{"path"}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	h, err := Start(ctx, Options{Config: cfg, Address: "127.0.0.1", Log: hclog.NewNullLogger(), Kinds: []trigger.Kind{kind}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.Stop(context.Background()) }()
	for _, tt := range []struct {
		function, body string
		code           int
		want           string
	}{
		{"Greet", `{"Name": "Ada"}`, 200, `"Hello, Ada!"`},
		{"Fail", `{}`, 500, "no luck"},
		{"Refused", `{}`, 404, ""}, // its kind of trigger is none of this host
	} {
		if code, body := echoes(ctx, t, h, tt.function, tt.body, tt.code); code != tt.code || !strings.Contains(body, tt.want) {
			t.Errorf("%s: %d %q", tt.function, code, body)
		}
	}
	if err := h.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// echoes posts to a function until it is listened for: that begins beside the host's start.
func echoes(ctx context.Context, t *testing.T, h *Host, function, body string, want int) (code int, text string) {
	t.Helper()
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL()+"/echo/"+function, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusNotFound || want == http.StatusNotFound {
			return answer.StatusCode, string(b)
		}
		select {
		case <-ctx.Done():
			return answer.StatusCode, string(b)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
