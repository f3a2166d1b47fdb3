// Package dynalitetest runs a dynalite server (a DynamoDB in Node, npm) for tests, on a
// loopback port that the system chooses. It ends with the test, or with its process.
package dynalitetest

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Environment variables that steer where the server comes from.
const (
	// DirEnv is the directory with node_modules/dynalite; without it
	// <repository>/bin/dynalite.
	DirEnv = "DYNALITE_DIR"
	// RequireEnv, when set, makes a missing server a failure, not a skipped test.
	RequireEnv = "DURAFUNC_REQUIRE_DYNALITE"
)

// script serves until its standard input ends, so that the server cannot outlive us.
const script = `
const server = require(process.argv[1])({createTableMs: 50});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
process.stdin.on('end', () => process.exit()).resume();
`

// Start starts a server with no tables and answers its base URL. The environment gets
// credentials that it accepts.
func Start(t *testing.T) (endpoint string) {
	t.Helper()
	dir := os.Getenv(DirEnv)
	if dir == "" {
		_, file, _, _ := runtime.Caller(0)
		dir = filepath.Join(filepath.Dir(file), "..", "..", "..", "..", "bin", "dynalite")
	}
	module := filepath.Join(dir, "node_modules", "dynalite")
	if _, err := os.Stat(module); err != nil {
		if os.Getenv(RequireEnv) != "" {
			t.Fatalf("no dynalite: %v; make bin/dynalite installs it", err)
		}
		t.Skipf("no dynalite: %v; make bin/dynalite installs it", err)
	}
	cmd := exec.Command("node", "-e", script, module)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait() // it ends because we ended it
	})
	port, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("dynalite did not start: %v", err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	return "http://127.0.0.1:" + strings.TrimSpace(port)
}
