package hosttest

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Root is a function app root in a temporary directory: host.json and functions/.
// Several hosts may run on one.
type Root struct {
	Dir string
	Env []string // NAME=value; beside PATH all that a host gets

	t      testing.TB
	nobody bool
}

// Unprivileged lets what runs on the root from now on run as a user who owns it and has
// no rights beyond: permissions mean nothing to the superuser.
func (r *Root) Unprivileged() {
	r.t.Helper()
	if os.Getuid() != 0 {
		return // it is so already
	}
	r.nobody = true
	err := filepath.WalkDir(r.Dir, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chown(path, nobodyID, nobodyID))
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// nobodyID is the user and group that systems keep for nobody.
const nobodyID = 65534

// NewRoot makes a root. settings are keys of extensions.durableTask; nil: none.
func NewRoot(t testing.TB, s Store, settings map[string]any) *Root {
	t.Helper()
	r := &Root{Dir: tempDir(t), t: t, Env: append([]string{"AWS_EC2_METADATA_DISABLED=true"}, s.Env...)}
	r.Configure(s, settings)
	if err := os.Mkdir(r.Functions(), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.noProcessLeft)
	return r
}

// tempDir is like t.TempDir, but its path is short: sockets of apps lie below it, and
// the path of a socket is limited to about a hundred bytes.
func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "dfroot-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = os.Chmod(dir, 0o755) // a test may have taken the right to write away, also from us
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	return dir
}

// Functions is the path of the functions directory.
func (r *Root) Functions() string { return filepath.Join(r.Dir, "functions") }

// State is the path of the directory with the embedded store and the hosts' own files.
func (r *Root) State() string { return filepath.Join(r.Dir, ".durafunc") }

// Configure writes host.json.
func (r *Root) Configure(s Store, settings map[string]any) {
	r.t.Helper()
	task := map[string]any{"hubName": HubName, "storageProvider": s.Provider}
	for k, v := range settings {
		task[k] = v
	}
	text, err := json.MarshalIndent(map[string]any{
		"version":    "2.0",
		"logging":    map[string]any{"logLevel": map[string]any{"default": "Debug"}},
		"extensions": map[string]any{"durableTask": task},
	}, "", "  ")
	if err != nil {
		r.t.Fatal(err)
	}
	r.Write("host.json", string(text))
}

// Write writes a file, whose path is relative to the root.
func (r *Root) Write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.Dir, name), []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// Deploy copies an executable into the functions directory under name, replacing what
// is there, in one step.
func (r *Root) Deploy(name, binary string) {
	r.t.Helper()
	in, err := os.Open(binary)
	if err != nil {
		r.t.Fatal(err)
	}
	defer in.Close()
	part := filepath.Join(r.Functions(), name+".part")
	out, err := os.OpenFile(part, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		r.t.Fatal(err)
	}
	_, err = io.Copy(out, in)
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(part, filepath.Join(r.Functions(), name))
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// Remove takes an app out of the functions directory.
func (r *Root) Remove(name string) {
	r.t.Helper()
	if err := os.Remove(filepath.Join(r.Functions(), name)); err != nil {
		r.t.Fatal(err)
	}
}

// noProcessLeft fails the test when an app outlives its host: apps run from copies
// below the root.
func (r *Root) noProcessLeft() {
	var left []int
	for deadline := time.Now().Add(exitTimeout); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if left = r.appProcesses(); len(left) == 0 {
			return
		}
	}
	for _, pid := range left {
		kill(pid)
	}
	r.t.Errorf("processes of apps are left after the host has ended: %v", left)
}

// appProcesses lists the processes that run an executable below the root. Without /proc
// it finds none.
func (r *Root) appProcesses() []int {
	var pids []int
	for _, pid := range processes() {
		if exe, err := os.Readlink(procFile(pid, "exe")); err == nil && strings.HasPrefix(exe, r.Dir+"/") {
			pids = append(pids, pid)
		}
	}
	return pids
}
