package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/durafunc/durafunc/host/internal/hosttest"
	"github.com/durafunc/durafunc/plugins/durable/client"
)

// appVersion is the version of the app that serves a function; "" if none does.
func appVersion(t *testing.T, h *hosttest.Host, function string) string {
	t.Helper()
	for _, f := range h.Functions(t) {
		if f.Name == function {
			return f.AppVersion
		}
	}
	return ""
}

func has(t *testing.T, h *hosttest.Host, function string) bool {
	t.Helper()
	return slices.ContainsFunc(h.Functions(t), func(f client.Function) bool { return f.Name == function })
}

func TestReplaceAnAppWhileInstancesRun(t *testing.T) {
	t.Parallel()
	root := deployed(t, hosttest.File(), testApp, nil)
	second := hosttest.App(t, testApp, "main.version=2") // takes its time: the chains shall run meanwhile
	h := root.Start(t)
	h.StartInstance(t, "Versions", "waiting", "null")
	hosttest.Until(t, "the first activity has run", func() bool {
		return string(h.Instance(t, "waiting").CustomStatus) == `{"before":"1"}`
	})
	const chains, steps = 10, 300
	for n := range chains {
		h.StartInstance(t, "Chain", fmt.Sprint("chain-", n), steps)
	}
	root.Deploy("app", second)
	hosttest.Until(t, "version 2 serves", func() bool { return appVersion(t, h, "Versions") == "2" })
	h.Raise(t, "waiting", "Go", nil)
	var versions []string
	if h.Output(t, "waiting", &versions); !slices.Equal(versions, []string{"1", "2"}) {
		t.Errorf("the activity ran in versions %q, want 1 before and 2 after", versions)
	}
	for n := range chains {
		var sum int
		if h.Output(t, fmt.Sprint("chain-", n), &sum); sum != steps {
			t.Errorf("chain %d ends with %d, want %d", n, sum, steps)
		}
	}
	hosttest.Until(t, "the old process has ended", func() bool { return len(h.AppPIDs()) == 1 })
	hosttest.Until(t, "the host is content after the swap", func() bool { return len(h.HostErrors(t)) == 0 })
	h.Stop(t)
}

// TestAppThatComesLater: an orchestration may be started before its app is there. It
// waits, and the host can name what it waits for.
func TestAppThatComesLater(t *testing.T) {
	t.Parallel()
	root := hosttest.NewRoot(t, hosttest.File(), nil)
	h := root.Start(t)
	h.StartInstance(t, "Hello", "early", `"Ada"`)
	if s := h.Instance(t, "early"); s.Status.Terminal() {
		t.Fatalf("it is %s before its app is there", s.Status)
	}
	hosttest.Until(t, "the host names the function that is missing", func() bool {
		return slices.ContainsFunc(h.HostErrors(t), func(e string) bool { return strings.Contains(e, "Hello") })
	})
	root.Deploy("hello", hosttest.App(t, helloApp))
	var out string
	if h.Output(t, "early", &out); out != "Hello, Ada!" {
		t.Errorf("output is %q", out)
	}
	hosttest.Until(t, "the host is content with the app there", func() bool { return len(h.HostErrors(t)) == 0 })
	h.Stop(t)
}

func TestUnknownFunctionFailsAfterItsTimeout(t *testing.T) {
	t.Parallel()
	h := deployed(t, hosttest.File(), helloApp, map[string]any{"functionNotFoundTimeout": "1s"}).Start(t)
	h.StartInstance(t, "Nobody", "unknown", "null")
	s := h.UntilStatus(t, "unknown", "Failed")
	for _, want := range []string{"Nobody", "Hello"} {
		if !strings.Contains(string(s.Output), want) {
			t.Errorf("the failure does not mention %s: %s", want, s.Output)
		}
	}
}

func TestUnknownFunctionIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	h := deployed(t, hosttest.File(), helloApp, map[string]any{"functionNotFoundTimeout": "00:00:00"}).Start(t)
	a := h.Expect(t, http.StatusBadRequest, http.MethodPost, client.StartPath("Nobody", ""), "null")
	if !strings.Contains(string(a.Body), "Nobody") || !strings.Contains(string(a.Body), "Hello") {
		t.Errorf("the answer names neither what is missing nor what is there: %s", a.Body)
	}
}

func TestRemoveAnApp(t *testing.T) {
	t.Parallel()
	root := deployed(t, hosttest.File(), testApp, nil)
	root.Deploy("hello", hosttest.App(t, helloApp))
	h := root.Start(t)
	root.Remove("hello")
	hosttest.Until(t, "hello is unloaded", func() bool { return !has(t, h, "Hello") && len(h.AppPIDs()) == 1 })
	h.StartInstance(t, "Hello", "orphan", `"Ada"`)
	h.StartInstance(t, "Chain", "other", "3")
	h.UntilStatus(t, "other", "Completed")
	root.Deploy("hello", hosttest.App(t, helloApp))
	h.UntilStatus(t, "orphan", "Completed")
	h.Stop(t)
}

// TestAppThatIsNone: files that are no function apps are reported by name, and the
// others load.
func TestAppThatIsNone(t *testing.T) {
	t.Parallel()
	root := deployed(t, hosttest.File(), helloApp, nil)
	root.Deploy("liar", "/bin/true")
	root.Write("functions/notes.txt", "not an executable")
	h := root.Start(t)
	for _, name := range []string{"liar", "notes.txt"} {
		if !slices.ContainsFunc(h.HostErrors(t), func(e string) bool { return strings.Contains(e, name) }) {
			t.Errorf("the host does not name %s: %q", name, h.HostErrors(t))
		}
	}
	wantOutput(t, h, "Hello", `"Ada"`, "Hello, Ada!")

	// A bad version of a good app: the good one stays and goes on.
	root.Deploy("app", "/bin/true")
	hosttest.Until(t, "the bad version is reported", func() bool {
		return slices.ContainsFunc(h.HostErrors(t), func(e string) bool { return strings.HasPrefix(e, "app: ") })
	})
	h.StartInstance(t, "Hello", "again", `"Bob"`)
	h.UntilStatus(t, "again", "Completed")
	h.Stop(t)
}
