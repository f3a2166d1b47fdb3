package durable

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/durafunc/durafunc/plugins/protocol"
)

const (
	// DefaultMaxParked is how many orchestrators stay parked between episodes
	// (about 4 KiB each); the environment variable DURAFUNC_MAX_PARKED changes it.
	DefaultMaxParked = 20_000

	maxParkedVariable = "DURAFUNC_MAX_PARKED"
	gcPercent         = 400 // the heap is small and short-lived: 11 % more throughput
	windowBytes       = 16 << 20
	// A host opens the Work stream as soon as it has the description. Without one
	// for this long the host died on the way, and nobody else would end us.
	firstStreamTimeout = 2 * time.Minute
)

// Serve speaks to the host that started this process and returns when the host
// is done with it. Started by hand it explains itself and exits with status 1;
// with --describe it prints what it registers as JSON and exits with status 0.
// Mistakes in registration end the process with status 1 and their names.
func (a *App) Serve() {
	if len(a.problems) > 0 {
		fmt.Fprintf(os.Stderr, "function app %q cannot start: %v\n", a.name, errors.Join(a.problems...))
		os.Exit(1)
	}
	if len(os.Args) == 2 && os.Args[1] == "--describe" {
		if err := a.printDescription(os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if os.Getenv(protocol.Handshake.MagicCookieKey) != protocol.Handshake.MagicCookieValue {
		a.explain(os.Stderr, filepath.Base(os.Args[0]))
		os.Exit(1)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	// Made before go-plugin puts pipes in the place of os.Stderr: the host reads
	// log lines from the process's own stderr.
	log := hclog.New(&hclog.LoggerOptions{
		Name: a.name, Level: hclog.LevelFromString(os.Getenv("DURAFUNC_LOG_LEVEL")), Output: os.Stderr, JSONFormat: true,
	})
	maxParked, err := maxParkedFrom(os.Getenv(maxParkedVariable))
	if err != nil {
		log.Error("setting ignored", "error", err)
	}
	p := &appPlugin{app: a, log: log, maxParked: maxParked, gone: func(err error) {
		log.Info("host is gone: this process ends", "error", err)
		os.Exit(0)
	}}
	time.AfterFunc(firstStreamTimeout, func() {
		if !p.opened.Load() {
			log.Error("the host opened no work stream: this process ends", "elapsed", firstStreamTimeout)
			os.Exit(1)
		}
	})
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: protocol.Handshake,
		Plugins:         plugin.PluginSet{protocol.PluginName: p},
		GRPCServer:      newGRPCServer,
		Logger:          log,
	})
}

// newGRPCServer is a server as the plugin contract wants it. The windows are big
// because the other end is on this machine.
func newGRPCServer(opts []grpc.ServerOption) *grpc.Server {
	return grpc.NewServer(append(opts,
		grpc.ForceServerCodecV2(protocol.Codec{}),
		grpc.MaxRecvMsgSize(protocol.MaxMessage),
		grpc.MaxSendMsgSize(protocol.MaxMessage),
		grpc.InitialWindowSize(windowBytes),
		grpc.InitialConnWindowSize(windowBytes),
	)...)
}

func maxParkedFrom(text string) (int, error) {
	if text == "" {
		return DefaultMaxParked, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > math.MaxInt32 {
		return DefaultMaxParked, fmt.Errorf("%s: %q is not a count; using %d", maxParkedVariable, text, DefaultMaxParked)
	}
	return n, nil
}

// appPlugin is the app as go-plugin serves it.
type appPlugin struct {
	plugin.NetRPCUnsupportedPlugin
	protocol.UnimplementedFunctionAppServer
	app       *App
	log       hclog.Logger
	maxParked int
	gone      func(error) // the work stream broke
	broker    *plugin.GRPCBroker
	opened    atomic.Bool // a work stream was opened
	busy      atomic.Bool // one is open
}

// GRPCServer registers the app's service.
func (p *appPlugin) GRPCServer(broker *plugin.GRPCBroker, s *grpc.Server) error {
	p.broker = broker
	protocol.RegisterFunctionAppServer(s, p)
	return nil
}

// GRPCClient is for hosts, which have their own half.
func (p *appPlugin) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return protocol.NewFunctionAppClient(conn), nil
}

// Describe tells what the app registers.
func (p *appPlugin) Describe(context.Context, *protocol.DescribeRequest) (*protocol.DescribeResponse, error) {
	return p.app.describe(), nil
}

// Work is the stream on which work flows.
func (p *appPlugin) Work(stream protocol.FunctionApp_WorkServer) error {
	p.opened.Store(true)
	if !p.busy.CompareAndSwap(false, true) {
		return status.Error(codes.FailedPrecondition, "this app has a work stream already")
	}
	defer p.busy.Store(false)
	r := newRunner(p.app, p.log, p.maxParked)
	defer r.close()
	err := newSession(r, func(id uint32) (*grpc.ClientConn, error) {
		return p.broker.DialWithOptions(id, grpc.WithDefaultCallOptions(
			grpc.ForceCodecV2(protocol.Codec{}),
			grpc.MaxCallRecvMsgSize(protocol.MaxMessage), grpc.MaxCallSendMsgSize(protocol.MaxMessage)))
	}).serve(stream)
	if err != nil {
		p.gone(err)
	}
	return err
}

// printDescription writes what Describe answers, in the names of the contract.
func (a *App) printDescription(w io.Writer) error {
	type binding struct {
		Type       string          `json:"type"`
		Name       string          `json:"name"`
		Direction  string          `json:"direction"`
		Properties json.RawMessage `json:"properties,omitempty"`
	}
	type function struct {
		Name     string    `json:"name"`
		Bindings []binding `json:"bindings"`
	}
	d := a.describe()
	out := struct {
		AppName    string     `json:"appName"`
		AppVersion string     `json:"appVersion,omitempty"`
		SDK        string     `json:"sdk"`
		SDKVersion string     `json:"sdkVersion"`
		Functions  []function `json:"functions"`
	}{d.AppName, d.AppVersion, d.Sdk, d.SdkVersion, []function{}}
	for _, f := range d.Functions {
		g := function{Name: f.Name}
		for _, b := range f.Bindings {
			g.Bindings = append(g.Bindings, binding{b.Type, b.Name, b.Direction, json.RawMessage(b.Properties)})
		}
		out.Functions = append(out.Functions, g)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(out)
}

// explain tells a person what this executable is.
func (a *App) explain(w io.Writer, executable string) {
	fmt.Fprintf(w, "This is %q, a function app for durafunc. A durafunc host runs it; it does nothing by itself.\n\n", a.name)
	if len(a.functions) == 0 {
		fmt.Fprint(w, "It registers no functions.\n")
	} else {
		fmt.Fprint(w, "Its functions:\n")
	}
	for _, f := range a.sorted() {
		what := f.kind.String()
		if f.kind == protocol.Triggered {
			what = f.binding.Type
		}
		fmt.Fprintf(w, "  %-13s %s\n", what, f.name)
	}
	fmt.Fprintf(w, "\nTo deploy it, copy it into the functions/ directory of a host, running or not:\n  cp %s functions/\n", executable)
	fmt.Fprintf(w, "To see what it registers as JSON:\n  %s --describe\n", executable)
}
