package e2e

import (
	"os"
	"testing"

	"github.com/durafunc/durafunc/host/internal/hosttest"
)

func TestMain(m *testing.M) { hosttest.Main(m) }

// Directories of the function apps, relative to the repository.
const (
	provisioningApp = "samples/provisioning"
	helloApp        = "samples/hello"
	testApp         = "host/internal/e2e/testdata/app"
)

// long reports whether the crash tests run in their long form, as make crash-long does.
func long() bool { return os.Getenv("DURAFUNC_CHAOS") == "long" }

// deployed is a root with one function app.
func deployed(t *testing.T, s hosttest.Store, pkg string, settings map[string]any) *hosttest.Root {
	t.Helper()
	r := hosttest.NewRoot(t, s, settings)
	r.Deploy("app", hosttest.App(t, pkg))
	return r
}

// large is a size, or an eighth of it for the race detector, which watches every byte.
func large(bytes int) int {
	if testing.Short() {
		return bytes / 8
	}
	return bytes
}
