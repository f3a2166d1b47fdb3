package supervisor

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/durafunc/durafunc/plugins/protocol"
)

const (
	// window is gRPC's flow control window in bytes, above a burst of frames, so
	// that the sender never waits for an update.
	window = 8 << 20
	// shutdownGrace is how long a drained process may take to exit.
	shutdownGrace = 3 * time.Second
	// maxSocketDir leaves room for a socket's name within the 104 bytes that every
	// system allows for its path.
	maxSocketDir = 80
)

// process is one run of an app's executable. Two goroutines serve it, the
// sender and the receiver; done is closed when both and the process have ended and
// every item has been answered.
type process struct {
	bin       *binary
	desc      *protocol.DescribeResponse
	functions []FunctionStatus
	pid       int
	started   time.Time

	log     hclog.Logger
	client  *plugin.Client
	cmd     *exec.Cmd
	handle  *Handle
	stderr  *logWriter
	handler Handler
	stream  *stream
	kill    context.CancelFunc // SIGKILL to the process group
	work    grpc.BidiStreamingClient[protocol.HostFrame, protocol.AppFrame]
	hangUp  context.CancelFunc // ends work
	serving sync.WaitGroup     // HostServices

	stopping atomic.Bool // the host wants it to end
	done     chan struct{}
	exit     error // why it ended; read after done
}

// appPlugin is the host's view of the one plugin that an app serves.
type appPlugin struct {
	plugin.NetRPCUnsupportedPlugin
}

type connection struct {
	broker *plugin.GRPCBroker
	conn   *grpc.ClientConn
}

func (appPlugin) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error {
	return errors.New("the host's half of the contract serves nothing")
}

func (appPlugin) GRPCClient(_ context.Context, b *plugin.GRPCBroker, c *grpc.ClientConn) (any, error) {
	return connection{b, c}, nil
}

// launch starts b and returns when it has described itself, within the start
// timeout. Errors are LoadErrors.
func (s *Supervisor) launch(ctx context.Context, b *binary) (*process, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opt.StartTimeout)
	defer cancel()
	procCtx, kill := context.WithCancel(context.Background())
	p := &process{
		bin: b, kill: kill, started: time.Now(), done: make(chan struct{}),
		log: s.appLog(b.name), handler: s.opt.Handler,
	}
	p.handle = &Handle{p}
	p.stderr = &logWriter{log: p.log}
	p.cmd = exec.CommandContext(procCtx, b.path, b.man.Args...)
	p.cmd.Dir = b.work
	p.cmd.Env = b.man.environment()
	if len(b.dir) <= maxSocketDir {
		// Where a killed app's socket is swept away with its copy.
		p.cmd.Env = append(p.cmd.Env, plugin.EnvUnixSocketDir+"="+b.dir)
	}
	isolate(p.cmd)
	p.client = plugin.NewClient(s.clientConfig(p))

	// Nothing in go-plugin's start takes a context: killing the process ends it.
	watch := context.AfterFunc(ctx, kill)
	err := p.connect(ctx, s.opt)
	if !watch() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		p.kill()
		if p.hangUp != nil {
			p.hangUp()
		}
		exit := p.reap()
		var le *LoadError
		if !errors.As(err, &le) {
			err = startError(ctx, b.file, err, exit, p.stderr.lastWords())
		}
		return nil, err
	}
	go p.run()
	return p, nil
}

func (s *Supervisor) clientConfig(p *process) *plugin.ClientConfig {
	cfg := &plugin.ClientConfig{
		HandshakeConfig:  protocol.Handshake,
		Plugins:          plugin.PluginSet{protocol.PluginName: appPlugin{}},
		Cmd:              p.cmd,
		SkipHostEnv:      true,
		AutoMTLS:         true,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		StartTimeout:     s.opt.StartTimeout,
		Stderr:           p.stderr,
		SyncStdout:       &logWriter{log: p.log}, // what it prints after the handshake
		SyncStderr:       &logWriter{log: p.log},
		Logger:           hclog.New(&hclog.LoggerOptions{Level: hclog.Off}), // logWriter does it
		GRPCDialOptions: []grpc.DialOption{
			grpc.WithDefaultCallOptions(
				grpc.ForceCodecV2(protocol.Codec{}),
				grpc.MaxCallRecvMsgSize(protocol.MaxMessage),
				grpc.MaxCallSendMsgSize(protocol.MaxMessage)),
			grpc.WithInitialWindowSize(window),
			grpc.WithInitialConnWindowSize(2 * window),
		},
	}
	if p.bin.man.checksum != nil {
		cfg.SecureConfig = &plugin.SecureConfig{Checksum: p.bin.man.checksum, Hash: sha256.New()}
	}
	return cfg
}

// connect performs the handshake, asks for the description and opens the stream.
func (p *process) connect(ctx context.Context, opt Options) error {
	if _, err := p.client.Start(); err != nil {
		return err
	}
	p.pid = p.cmd.Process.Pid
	rpc, err := p.client.Client()
	if err != nil {
		return err
	}
	raw, err := rpc.Dispense(protocol.PluginName)
	if err != nil {
		return err
	}
	c, ok := raw.(connection)
	if !ok {
		return fmt.Errorf("plugin is a %T", raw)
	}
	app := protocol.NewFunctionAppClient(c.conn)
	if p.desc, err = app.Describe(ctx, &protocol.DescribeRequest{HostVersion: opt.HostVersion}); err != nil {
		return &LoadError{File: p.bin.file, Err: fmt.Errorf("describe: %w", err),
			Advice: "see its log lines"}
	}
	p.functions = checkFunctions(p.desc, opt.CheckBinding)

	var id uint32
	if opt.HostServices != nil {
		id = c.broker.NextId()
		p.serving.Go(func() { c.broker.AcceptAndServe(id, hostServer(opt.HostServices)) })
	}
	p.stream = newStream(opt.Handler, id)
	workCtx, hangUp := context.WithCancel(context.Background())
	p.hangUp = hangUp
	if p.work, err = app.Work(workCtx); err != nil {
		hangUp()
		return &LoadError{File: p.bin.file, Err: fmt.Errorf("work stream: %w", err)}
	}
	return nil
}

func hostServer(hs protocol.HostServicesServer) func([]grpc.ServerOption) *grpc.Server {
	return func(o []grpc.ServerOption) *grpc.Server {
		g := grpc.NewServer(append(o,
			grpc.ForceServerCodecV2(protocol.Codec{}),
			grpc.MaxRecvMsgSize(protocol.MaxMessage),
			grpc.MaxSendMsgSize(protocol.MaxMessage))...)
		protocol.RegisterHostServicesServer(g, hs)
		return g
	}
}

// run receives until the stream ends, reaps the process and gives its items
// back. It is the only one that does.
func (p *process) run() {
	defer close(p.done)
	var sender sync.WaitGroup
	sender.Go(func() { p.stream.sendAll(p.work.Send, p.work.Context().Done()) })
	var err error
	for {
		var f *protocol.AppFrame
		if f, err = p.work.Recv(); err != nil {
			break
		}
		if n := p.stream.received(f); n > 0 {
			p.log.Warn("answers to unknown work items dropped", "count", n)
		}
	}
	unsent, lost := p.stream.close()
	p.hangUp()
	sender.Wait()
	asked := p.stopping.Load()
	if asked {
		stop := time.AfterFunc(shutdownGrace, p.kill)
		defer stop.Stop()
	} else {
		// Before its items are handed out again: it must not run on beside them.
		p.kill()
	}
	p.exit = p.reap()
	if p.exit == nil {
		p.exit = fmt.Errorf("%w: work stream ended: %w", ErrExited, err)
	}
	if len(unsent) > 0 {
		p.handler.Returned(unsent)
	}
	if len(lost) > 0 {
		p.handler.Lost(lost, !asked)
	}
}

// reap waits for the process and go-plugin's goroutines. A process that has not
// been killed before is asked to exit. It returns how the process ended.
func (p *process) reap() error {
	reaped := make(chan struct{})
	go func() {
		defer close(reaped)
		p.client.Kill()
		p.kill()
		p.serving.Wait()
	}()
	select {
	case <-reaped:
	case <-time.After(2 * shutdownGrace):
		// A child of the app that left the group holds its pipes. Its items must not wait.
		p.kill()
		p.log.Warn("a child process of the app is still running", "pid", p.pid)
		return fmt.Errorf("%w and left a child process", ErrExited)
	}
	if p.cmd.ProcessState == nil {
		return nil
	}
	ended := &exec.ExitError{ProcessState: p.cmd.ProcessState}
	if said := p.stderr.lastWords(); said != "" && !ended.Success() {
		return fmt.Errorf("%w: %w: %s", ErrExited, ended, said)
	}
	return fmt.Errorf("%w: %w", ErrExited, ended)
}

// stop lets the app finish what it runs, until ctx ends, and stops it. It
// returns when the process has ended and may be called more than once.
func (p *process) stop(ctx context.Context) {
	p.stream.startDrain()
	select {
	case <-p.stream.drained:
		p.stopping.Store(true)
		p.hangUp()
	case <-p.done:
	case <-ctx.Done():
		p.log.Warn("app stopped before it had finished", "pid", p.pid, "error", context.Cause(ctx))
		p.stopping.Store(true)
		p.kill()
		p.hangUp()
	}
	<-p.done
}

// Handle is one running version of an app.
type Handle struct {
	p *process
}

// Send gives work to the app without blocking: all of f, or nothing and false when
// it takes no more because it ends or is being replaced; Functions will show
// another Handle then. The slices of f are copied, the messages kept. Work numbers
// must be unique among all items that are out; cancels name them.
func (h *Handle) Send(f *protocol.HostFrame) bool { return h.p.stream.send(f) }
