package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/durafunc/durafunc/bindings/files"
	"github.com/durafunc/durafunc/host/httpapi"
	"github.com/durafunc/durafunc/host/mux"
)

// newMux routes everything that this host serves over HTTP. What has to stand before all
// of it, such as a check of keys, joins the chain; it has to let /admin/host/ping through
// without a key (F§7.3).
func (h *Host) newMux() *mux.Mux {
	log := h.opts.Log.Named("http")
	api := httpapi.New(httpapi.Options{
		Client: h.hub, Host: &admin{h}, TaskHub: h.opts.Config.DurableTask.HubName,
		UnknownFunctionsAtOnce: h.opts.Config.DurableTask.FunctionNotFoundTimeout == 0,
		MaxPayloadBytes:        h.opts.Config.DurableTask.MaxPayloadBytes, Version: h.opts.Version, Log: log,
	})
	m := mux.New(api, httpapi.Recover(log))
	m.Mount(httpapi.BasePath+"/", api)
	m.Mount(httpapi.AdminPath+"/", api)
	m.Mount(files.Path, h.files.Handler(h.opts.Log.Named("files")))
	return m
}

func (h *Host) serve(context.Context) error {
	h.web.serve(h.mux)
	return nil
}

// webServer serves HTTP on one address.
type webServer struct {
	address   string
	port      int // 0: any free one
	url       string
	accepting net.Listener
	http      *http.Server
	conns     pendingConns
	failed    chan error // closed, after an error, when nothing is served any more
}

func newWebServer(address string, port int) *webServer {
	return &webServer{address: address, port: port, failed: make(chan error, 1)}
}

// listen takes the port. Connections wait to be accepted by serve.
func (s *webServer) listen(ctx context.Context) (err error) {
	var cfg net.ListenConfig
	s.accepting, err = cfg.Listen(ctx, "tcp", net.JoinHostPort(s.address, strconv.Itoa(s.port)))
	if err != nil {
		return fmt.Errorf("serve http on address %s, port %d: %w", s.address, s.port, err)
	}
	s.url = "http://" + s.accepting.Addr().String()
	return nil
}

// close gives the port back, if shutdown has not done so.
func (s *webServer) close(context.Context) error {
	if err := s.accepting.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// serve begins to serve. It is called once, after listen.
func (s *webServer) serve(handler http.Handler) {
	s.http = &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	s.conns.watch(s.http)
	go func() {
		defer close(s.failed)
		// Only shutdown closes what it accepts from.
		if err := s.conns.serve(s.http, s.accepting); !errors.Is(err, net.ErrClosed) {
			s.failed <- err
		}
	}()
}

// shutdown answers every request that was taken and ends. Serve has been called.
func (s *webServer) shutdown(ctx context.Context) error {
	s.conns.shutdown(ctx, s.http, s.accepting)
	return nil
}
