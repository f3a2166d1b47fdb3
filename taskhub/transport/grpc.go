package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
)

// GRPCOptions say where a host listens and who may speak to it.
type GRPCOptions struct {
	// Listen is host:port; port 0 lets the system pick one, an empty host means all
	// addresses of the machine.
	Listen string
	// Advertise is what others are told: host or host:port; "": found out from Listen.
	Advertise string
	// Hub is the id of the hub, and Key its key of KeySize bytes. Hosts speak to each
	// other when both have the same.
	Hub string
	Key []byte
	Log hclog.Logger // nil: nothing is logged
}

// GRPC is the network of real hosts: mutual TLS 1.3 by the key of the hub, and one
// connection to each address, shared by calls and posts.
type GRPC struct {
	log      hclog.Logger
	listener net.Listener
	address  string
	server   *grpc.Server
	dialing  credentials.TransportCredentials
	timing   timing
	dial     func(ctx context.Context, address string) (net.Conn, error)
	handler  Handler        // set by Serve
	closing  chan struct{}  // closed when the streams of others are to end
	wg       sync.WaitGroup // whatever may call the handler, but
	calls    sync.WaitGroup // calls of others

	mu     sync.Mutex
	peers  map[string]*grpcPeer
	closed bool
}

var _ Network = (*GRPC)(nil)

// timing is fields for the sake of tests; see production.
type timing struct {
	connect    time.Duration // until a connection that is not there is given up
	ping       time.Duration // between pings
	silence    time.Duration // until a ping without an answer ends the connection
	minBackoff time.Duration // before a Post tries to connect again
	maxBackoff time.Duration
	grace      time.Duration // for what runs, or waits to be sent, at Close
}

// production notices a frozen host after 7 s at most: half of the usual lease, and long
// enough for a host that is only busy.
var production = timing{
	connect: 3 * time.Second, ping: 2 * time.Second, silence: 5 * time.Second,
	minBackoff: 100 * time.Millisecond, maxBackoff: 2 * time.Second, grace: time.Second,
}

// NewGRPC listens. Nobody is answered before Serve. An address that cannot be listened
// on, a key of another size and an Advertise that is no address are errors.
func NewGRPC(o GRPCOptions) (*GRPC, error) {
	log := o.Log
	if log == nil {
		log = hclog.NewNullLogger()
	}
	serving, dialing, err := tlsConfigs(o.Hub, o.Key)
	if err != nil {
		return nil, err
	}
	machine, err := machineAddresses()
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("listening to other hosts: %w", err)
	}
	address, err := advertised(o.Advertise, listener.Addr().(*net.TCPAddr), machine)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	g := &GRPC{
		log: log, listener: listener, address: address, dialing: newDoor(dialing, log), timing: production,
		dial: func(ctx context.Context, address string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", address)
		},
		closing: make(chan struct{}), peers: map[string]*grpcPeer{},
	}
	g.server = grpc.NewServer(
		grpc.Creds(newDoor(serving, log)),
		grpc.ForceServerCodecV2(codec{}),
		grpc.MaxRecvMsgSize(MaxMessage), grpc.MaxSendMsgSize(MaxMessage),
		grpc.ConnectionTimeout(production.connect),
		// Those who ask ping us, and see that we are there; this is for us to see that
		// they are, and to end what a frozen host has asked for.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 5 * time.Second, Timeout: 2 * time.Second}),
		grpc.WaitForHandlers(true),
	)
	return g, nil
}

// Address implements Network.
func (g *GRPC) Address() string { return g.address }

// Serve implements Network.
func (g *GRPC) Serve(h Handler) {
	g.handler = h
	RegisterPeerServer(g.server, &service{g: g})
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return
	}
	g.wg.Go(func() {
		if err := g.server.Serve(g.listener); err != nil {
			g.log.Error("other hosts are no longer answered", "error", err)
		}
	})
}

// Peer implements Network.
func (g *GRPC) Peer(address string) Peer {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.peers[address]
	if p == nil {
		p = &grpcPeer{g: g, address: address, closed: g.closed}
		if !g.closed {
			g.peers[address] = p
		}
	}
	return p
}

// enter counts one more goroutine in w, g.wg or g.calls, and reports whether it could: it
// cannot once the network is closed.
func (g *GRPC) enter(w *sync.WaitGroup) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		w.Add(1)
	}
	return !g.closed
}

// Close implements Network. Posts that wait are still sent, and calls that run may end,
// for a moment. It must not be called from the Handler.
func (g *GRPC) Close() {
	g.mu.Lock()
	first := !g.closed
	g.closed = true
	peers := g.peers
	g.peers = nil
	g.mu.Unlock()
	if first {
		for _, p := range peers {
			p.finish(g.timing.grace)
		}
		// Calls first: who is told that the stream ends gives up its calls too.
		late := time.AfterFunc(g.timing.grace, g.server.Stop)
		g.calls.Wait()
		close(g.closing)
		g.server.GracefulStop()
		late.Stop()
		g.listener.Close() // for a network that never served
	}
	g.calls.Wait()
	g.wg.Wait()
}

// connect prepares a connection; it is made when it is first used.
func (g *GRPC) connect(address string) (*grpc.ClientConn, error) {
	// The dialer knows the address: as a target it would have to be a URL, which the zone
	// of an IPv6 address is not.
	return grpc.NewClient("passthrough:///peer",
		grpc.WithTransportCredentials(g.dialing),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return g.dial(ctx, address) }),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec{}), grpc.MaxCallRecvMsgSize(MaxMessage), grpc.MaxCallSendMsgSize(MaxMessage)),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: g.timing.connect}),
		grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(), grpc.WithIdleTimeout(0),
	)
}
