package hosttest

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// builds are the binaries of this test binary by package and flags, made at first use.
var builds struct {
	sync.Mutex
	dir   string
	paths map[string]func() (string, error)
}

// parallel is how many tests run beside each other unless -parallel says otherwise: hosts
// wait for leases, disks and each other for most of the time.
const parallel = "4"

// Main runs the tests of a package that uses this one, and removes what was built. Call
// it from TestMain.
func Main(m *testing.M) {
	if err := flag.Set("test.parallel", parallel); err != nil { // m.Run reads the command line after that
		panic(err)
	}
	code := m.Run()
	if builds.dir != "" {
		_ = os.RemoveAll(builds.dir) // a leftover in the temporary directory does no harm
	}
	os.Exit(code)
}

// Binary is the path of the durafunc binary, built from the working tree. Under the race
// detector it is built with it, and a race it finds fails the test that ran the host.
func Binary(t testing.TB) string {
	t.Helper()
	if raceEnabled {
		return build(t, "cmd/durafunc", "-race")
	}
	return build(t, "cmd/durafunc", plain...)
}

// App is the path of a function app's binary. pkg is its directory, relative to the
// repository. Each variable, as in "main.version=2", gives the app another content, and
// so makes another version of it.
func App(t testing.TB, pkg string, variables ...string) string {
	t.Helper()
	ld := "-s -w"
	for _, v := range variables {
		ld += " -X " + v
	}
	return build(t, pkg, append(plain[:len(plain):len(plain)], "-ldflags="+ld)...)
}

// plain is how the Makefile builds, so that the build cache serves both. With the race
// detector it is the packages that the go command has compiled for the tests that serve.
var plain = []string{"-trimpath"}

func build(t testing.TB, pkg string, flags ...string) string {
	t.Helper()
	builds.Lock()
	once := builds.paths[pkg+strings.Join(flags, " ")]
	if once == nil {
		if builds.paths == nil {
			builds.paths = map[string]func() (string, error){}
		}
		n := len(builds.paths)
		once = sync.OnceValues(func() (string, error) { return goBuild(n, pkg, flags) })
		builds.paths[pkg+strings.Join(flags, " ")] = once
	}
	builds.Unlock()
	path, err := once()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func goBuild(n int, pkg string, flags []string) (string, error) {
	root, err := repository()
	if err != nil {
		return "", err
	}
	builds.Lock()
	if builds.dir == "" {
		if builds.dir, err = os.MkdirTemp("", "hosttest-"); err == nil {
			err = os.Chmod(builds.dir, 0o755) // other users run what is in it, see Unprivileged
		}
	}
	dir := builds.dir
	builds.Unlock()
	if err != nil {
		return "", err
	}
	if err := noteSources(root); err != nil {
		return "", err
	}
	path := filepath.Join(dir, fmt.Sprint(n), filepath.Base(pkg))
	args := append([]string{"build", "-buildvcs=false", "-o", path}, flags...)
	cmd := exec.Command("go", append(args, "./"+filepath.ToSlash(pkg))...)
	cmd.Dir = root
	if !slices.Contains(flags, "-race") { // which needs cgo
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err = Spawn(cmd); err == nil { // it ends with us
		err = cmd.Wait()
	}
	if err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", pkg, err, out.String())
	}
	return path, nil
}

// noteSources looks at every source file. The go command caches the results of tests and
// knows nothing of the binaries that they build; it does know which files they looked at.
func noteSources(root string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil //nolint:nilerr // gone while we look: others work in the tree
		case d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "bin"):
			return filepath.SkipDir
		case strings.HasSuffix(path, ".go"):
			_, _ = os.Stat(path)
		}
		return nil
	})
}

// repository is the directory of go.mod.
func repository() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if filepath.Dir(dir) == dir {
			return "", fmt.Errorf("%s is in no repository", start)
		}
	}
}
