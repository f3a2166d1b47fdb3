package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"github.com/hashicorp/go-plugin"

	"github.com/durafunc/durafunc/plugins/protocol"
)

// Reasons for which a file is not loaded.
var (
	// ErrNotExecutable means that the file lacks the permission to be executed.
	ErrNotExecutable = errors.New("not executable")
	// ErrNotApp means that the program ran but did not speak the plugin handshake.
	ErrNotApp = errors.New("not a function app")
	// ErrProtocol means that the app speaks another version of the contract.
	ErrProtocol = errors.New("wrong protocol version")
	// ErrChecksum means that the executable differs from its manifest's sha256.
	ErrChecksum = errors.New("checksum mismatch")
	// ErrManifest means that app.json cannot be used.
	ErrManifest = errors.New("invalid manifest")
	// ErrStartTimeout means that the app did not come up in time.
	ErrStartTimeout = errors.New("start timed out")
	// ErrExited means that the process ended while it was needed.
	ErrExited = errors.New("process exited")
)

// LoadError says why a file in the functions directory is not running, and what
// to do about it.
type LoadError struct {
	File   string
	Err    error // wraps one of the reasons above where one fits
	Advice string
}

func (e *LoadError) Error() string {
	if e.Advice == "" {
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("%s: %v; %s", e.File, e.Err, e.Advice)
}

// Unwrap gives the reason.
func (e *LoadError) Unwrap() error { return e.Err }

// worthRetrying reports whether the same file may load later without being changed.
func worthRetrying(err error) bool {
	for _, verdict := range []error{ErrNotExecutable, ErrNotApp, ErrProtocol, ErrChecksum, ErrManifest} {
		if errors.Is(err, verdict) {
			return false
		}
	}
	return true
}

// startError turns what go-plugin says about a start into a reason and advice.
// exit is how the process ended, and said the last thing that it wrote to stderr.
func startError(ctx context.Context, file string, err, exit error, said string) error {
	e := &LoadError{File: file, Err: err}
	var ended *exec.ExitError
	bySignal := errors.As(exit, &ended) && ended.ExitCode() < 0
	switch {
	case errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		e.Err = ErrStartTimeout
		e.Advice = "look for work before Serve in its main function, or raise the start timeout"
	case ctx.Err() != nil:
		e.Err = context.Cause(ctx)
	case errors.Is(err, plugin.ErrChecksumsDoNotMatch):
		e.Err = ErrChecksum
		e.Advice = "put the file's own checksum (sha256sum) into sha256 of app.json, or the right file beside it"
	case errors.Is(err, fs.ErrPermission):
		e.Err = fmt.Errorf("%w: %w", ErrNotExecutable, err)
		e.Advice = "run chmod +x on it, and see that the run directory is not mounted noexec"
	case errors.Is(err, syscall.ENOEXEC):
		e.Err = fmt.Errorf("%w: %w", ErrNotApp, err)
		e.Advice = fmt.Sprintf("build it for %s/%s or remove it from the directory", runtime.GOOS, runtime.GOARCH)
	// go-plugin has only texts for the rest. A changed text costs the advice
	// and a needless retry, nothing else.
	case strings.Contains(err.Error(), "incompatible API version"):
		e.Err = fmt.Errorf("%w: this host speaks version %d: %s", ErrProtocol, protocol.Version, firstLine(err.Error()))
		e.Advice = "rebuild it with the SDK of this host's release"
	case strings.Contains(err.Error(), "core protocol"), strings.Contains(err.Error(), "core API version"),
		strings.Contains(err.Error(), "protocol version"), strings.Contains(err.Error(), "unsupported plugin protocol"):
		e.Err = fmt.Errorf("%w: %s", ErrNotApp, firstLine(err.Error()))
		e.Advice = "build it with plugins/durable or remove it from the directory"
	case bySignal && (strings.Contains(err.Error(), "plugin exited before") ||
		strings.Contains(err.Error(), "Failed to read any lines")):
		// By a signal: of a kernel without memory, say. That tells nothing about the program.
		e.Err = exit
	case strings.Contains(err.Error(), "Unrecognized remote plugin message"),
		strings.Contains(err.Error(), "plugin exited before"):
		e.Err = ErrNotApp
		if said != "" {
			e.Err = fmt.Errorf("%w: it said %q", ErrNotApp, said)
		}
		e.Advice = "build it with plugins/durable or remove it from the directory"
	}
	return e
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return strings.TrimSpace(line)
}
