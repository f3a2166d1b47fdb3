//go:build !planted

package planted

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// What is shipped holds no deliberate bug: the compiler leaves out what Is guards, and
// with it the switch. It is built as `make build` does, whose work is used again.
func TestTheHostHoldsNoBug(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the host")
	}
	path := filepath.Join(t.TempDir(), "durafunc")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", path, "github.com/durafunc/durafunc/cmd/durafunc")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	binary, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(binary, []byte("taskhub/partition.(*Partition).maybeCommit")) {
		t.Error("the names of functions cannot be looked for: that of the engine's own is missing")
	}
	for _, name := range append(bugNames(t), "internal/planted") {
		if bytes.Contains(binary, []byte(name)) {
			t.Errorf("the host holds %q", name)
		}
	}
}
