// Command app is a function app for the supervisor's tests. It speaks the plugin
// contract by hand, and what it is told by the text behind the mark at the end of
// its own executable, so that one build serves every case.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/durafunc/durafunc/plugins/protocol"
)

type config struct {
	Version    string
	Protocol   uint // 0: the right one
	Activities []string
	Bindings   map[string][]string // function -> binding types, for odd descriptions
	Credit     uint32              // 0: 100
	Hang       bool                // before the handshake
	Needs      string              // a file without which it is killed before the handshake
	Refuse     bool                // fail Describe
}

func main() {
	self, err := os.Executable()
	check(err)
	body, err := os.ReadFile(self)
	check(err)
	var cfg config
	if i := bytes.LastIndex(body, []byte("\n#CONF"+"IG#")); i >= 0 {
		check(json.Unmarshal(body[i+9:], &cfg))
	}
	if cfg.Credit == 0 {
		cfg.Credit = 100
	}
	if cfg.Hang {
		select {}
	}
	if _, err := os.Stat(cfg.Needs); cfg.Needs != "" && err != nil {
		check(syscall.Kill(os.Getpid(), syscall.SIGKILL))
	}
	hs := protocol.Handshake
	if cfg.Protocol != 0 {
		hs.ProtocolVersion = cfg.Protocol
	}
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: hs,
		Plugins:         plugin.PluginSet{protocol.PluginName: &served{app: &app{cfg: cfg}}},
		GRPCServer: func(o []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(o, grpc.ForceServerCodecV2(protocol.Codec{}))...)
		},
	})
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type served struct {
	plugin.NetRPCUnsupportedPlugin
	app *app
}

func (s *served) GRPCServer(b *plugin.GRPCBroker, g *grpc.Server) error {
	s.app.broker = b
	protocol.RegisterFunctionAppServer(g, s.app)
	return nil
}

func (*served) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("not a host")
}

type app struct {
	protocol.UnimplementedFunctionAppServer
	cfg    config
	broker *plugin.GRPCBroker
	host   protocol.HostServicesClient

	send    sync.Mutex
	mu      sync.Mutex
	running int
	most    int
	cancels map[uint64]context.CancelFunc
}

func (a *app) Describe(context.Context, *protocol.DescribeRequest) (*protocol.DescribeResponse, error) {
	if a.cfg.Refuse {
		return nil, errors.New("refused")
	}
	d := &protocol.DescribeResponse{AppName: "test", AppVersion: a.cfg.Version, Sdk: "hand", SdkVersion: "1"}
	for _, name := range a.cfg.Activities {
		d.Functions = append(d.Functions, &protocol.Function{Name: name,
			Bindings: []*protocol.Binding{{Type: "activityTrigger", Name: "input", Direction: "in"}}})
	}
	for name, types := range a.cfg.Bindings {
		f := &protocol.Function{Name: name}
		for _, t := range types {
			f.Bindings = append(f.Bindings, &protocol.Binding{Type: t, Name: t, Direction: "in"})
		}
		d.Functions = append(d.Functions, f)
	}
	return d, nil
}

func (a *app) Work(st grpc.BidiStreamingServer[protocol.HostFrame, protocol.AppFrame]) error {
	a.cancels = make(map[uint64]context.CancelFunc)
	if err := st.Send(&protocol.AppFrame{OrchestratorCredit: a.cfg.Credit, ActivityCredit: a.cfg.Credit}); err != nil {
		return err
	}
	for {
		f, err := st.Recv()
		if err != nil {
			return err
		}
		if f.HostServices != 0 {
			conn, err := a.broker.DialWithOptions(f.HostServices,
				grpc.WithDefaultCallOptions(grpc.ForceCodecV2(protocol.Codec{})))
			if err != nil {
				return err
			}
			a.host = protocol.NewHostServicesClient(conn)
		}
		for _, w := range f.Activities {
			ctx, cancel := context.WithCancel(st.Context())
			a.mu.Lock()
			a.cancels[w.Work] = cancel
			a.running++
			a.most = max(a.most, a.running)
			a.mu.Unlock()
			go func() {
				out := a.run(ctx, w)
				a.mu.Lock()
				a.running--
				a.mu.Unlock()
				a.send.Lock()
				defer a.send.Unlock()
				r := &protocol.ActivityResult{Work: w.Work, Result: wrapperspb.String(out)}
				_ = st.Send(&protocol.AppFrame{ActivityCredit: 1,
					Activities: []*protocol.ActivityResult{r, {Work: w.Work + 1<<40}}}) // and one nobody asked for
			}()
		}
		a.mu.Lock()
		for _, id := range f.Cancels {
			if c := a.cancels[id]; c != nil {
				c()
			}
		}
		a.mu.Unlock()
	}
}

func (a *app) run(ctx context.Context, w *protocol.ActivityWork) string {
	switch w.Name {
	case "Crash":
		panic("boom on purpose")
	case "Gate": // tell the test that it runs, then wait for its word
		c, err := net.Dial("unix", w.Input.GetValue())
		if err != nil {
			return err.Error()
		}
		defer c.Close()
		stop := context.AfterFunc(ctx, func() { c.Close() })
		defer stop()
		_, _ = c.Write([]byte{1})
		if _, err := c.Read(make([]byte, 1)); err != nil {
			return "cancelled"
		}
		return "version " + a.cfg.Version
	case "Environment":
		var names []string
		for _, e := range os.Environ() {
			name, _, _ := strings.Cut(e, "=")
			names = append(names, name)
		}
		return strings.Join(append(names, os.Args[1:]...), " ")
	case "Most":
		a.mu.Lock()
		defer a.mu.Unlock()
		return fmt.Sprint(a.most)
	case "Starter":
		r, err := a.host.StartInstance(ctx, &protocol.StartInstanceRequest{Name: w.Input.GetValue()})
		if err != nil {
			return err.Error()
		}
		return r.InstanceId
	case "Log":
		hclog.New(&hclog.LoggerOptions{JSONFormat: true, Output: os.NewFile(2, "stderr"), Name: "mine"}).
			Warn("from the app", "answer", 42)
		_, _ = os.NewFile(2, "stderr").WriteString("plain words\n")
		return "logged"
	}
	return w.Input.GetValue()
}
