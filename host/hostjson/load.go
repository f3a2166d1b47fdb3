package hostjson

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/hashicorp/go-hclog"
)

// Load reads root/host.json, applies env ("NAME=value" as of os.Environ) and
// validates. A missing file means defaults and a note. The error joins one *Error
// for each problem; the notes are complete in that case too.
func Load(root string, env []string) (*Config, []Note, error) {
	abs, err := filepath.Abs(root)
	if err != nil {
		return nil, nil, fmt.Errorf("function app root %s: %w", root, err)
	}
	if info, err := os.Stat(abs); err != nil {
		return nil, nil, fmt.Errorf("function app root: %w", err)
	} else if !info.IsDir() {
		return nil, nil, fmt.Errorf("function app root %s: is not a directory", abs)
	}
	file := filepath.Join(abs, FileName)
	text, err := readBounded(file)
	if errors.Is(err, fs.ErrNotExist) {
		r := &report{}
		r.note(FileName, "", "not found in %s; defaults are used", abs)
		cfg, err := build(abs, &node{where: FileName, kind: '{'}, env, r, true)
		return cfg, r.notes, err
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", FileName, err)
	}
	cfg, notes, err := parse(abs, text, env)
	if cfg != nil {
		cfg.File = file
	}
	return cfg, notes, err
}

// readBounded reads one byte more than parseFile accepts, at most.
func readBounded(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, MaxFileBytes+1))
}

func parse(root string, text []byte, env []string) (*Config, []Note, error) {
	r := &report{}
	tree := parseFile(FileName, text, r)
	if r.err() != nil {
		return nil, r.notes, r.err() // what else is wrong cannot be told from a broken file
	}
	cfg, err := build(root, tree, env, r, false)
	return cfg, r.notes, err
}

// build validates the tree once and fills in the defaults.
func build(root string, tree *node, env []string, rep *report, fileMissing bool) (*Config, error) {
	tree.overlay(env)
	checkKeys(tree, "", rep)
	r := reader{tree, rep}

	if v := tree.find("version"); v == nil && !fileMissing {
		r.bad("version", `is missing; add "version": %q`, Version)
	} else if v != nil && r.text("version", Version) != Version {
		r.bad("version", "%q must be %q", clip(v.text), Version)
	}

	cfg := &Config{
		Root:               root,
		FunctionsDirectory: under(root, r.text("functionsDirectory", DefaultFunctionsDirectory)),
		LogLevel:           r.logLevel("logging.logLevel.default"),
		DurableTask:        r.durableTask(root, env),
	}
	if err := rep.err(); err != nil {
		return nil, err
	}
	return cfg, nil
}

func (r reader) durableTask(root string, env []string) DurableTask {
	const p = pathDurable + "."
	perHost := DefaultConcurrencyPerCPU * runtime.GOMAXPROCS(0)
	return DurableTask{
		HubName:                            r.hubName(p+"hubName", env),
		MaxConcurrentActivityFunctions:     r.count(p+"maxConcurrentActivityFunctions", perHost),
		MaxConcurrentOrchestratorFunctions: r.count(p+"maxConcurrentOrchestratorFunctions", perHost),
		OverrideRunning:                    r.choice(p+"overridableExistingInstanceStates", "NonRunningStates", "AnyState") == "AnyState",
		NonDeterminism: NonDeterminism(r.choice(p+"nonDeterminism",
			string(NonDeterminismSuspend), string(NonDeterminismFail))),
		FunctionNotFoundTimeout: r.duration(p+"functionNotFoundTimeout", DefaultFunctionNotFoundTimeout, 0),
		MaxPayloadBytes:         r.integer(p+"maxPayloadBytes", DefaultMaxPayloadBytes, MinPayloadBytes, MaxPayloadBytes),
		AdvertiseAddress:        r.text(p+"advertiseAddress", ""),
		PeerPort:                int(r.integer(p+"peerPort", 0, 0, 65535)),
		Storage:                 r.storage(root),
	}
}

func (r reader) hubName(path string, env []string) string {
	name, err := substitute(r.text(path, DefaultHubName), env)
	if err == nil {
		err = CheckHubName(name)
	}
	if err != nil {
		r.bad(path, "%w", err)
	}
	return name
}

// logLevels has Azure's words first, then hclog's.
var logLevels = map[string]hclog.Level{
	"trace": hclog.Trace, "debug": hclog.Debug, "information": hclog.Info, "warning": hclog.Warn,
	"error": hclog.Error, "critical": hclog.Error, "none": hclog.Off,
	"info": hclog.Info, "warn": hclog.Warn, "off": hclog.Off,
}

func (r reader) logLevel(path string) hclog.Level {
	t := r.text(path, "")
	if r.root.find(path) == nil {
		return DefaultLogLevel
	}
	level, ok := logLevels[strings.ToLower(t)]
	if !ok {
		r.bad(path, "%q must be one of Trace, Debug, Information, Warning, Error, Critical, None", clip(t))
	}
	return level
}

// under resolves a path of the configuration against the function app root.
func under(root, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(root, path)
}
