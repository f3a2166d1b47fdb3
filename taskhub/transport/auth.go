package transport

import (
	"context"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc/credentials"
)

// KeySize is the size of a hub's key in bytes.
const KeySize = 32

// The clocks of hosts may be years off, and whoever holds the key can issue himself what
// he likes. So certificates are always valid, and checked at a fixed moment.
var (
	notBefore = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	notAfter  = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	checkedAt = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
)

// tlsConfigs are those of a process that holds the hub's key: each side shows a
// certificate that the key's CA has signed, and accepts no other. See ADR 0014.
func tlsConfigs(hub string, key []byte) (server, client *tls.Config, err error) {
	if len(key) != KeySize {
		return nil, nil, fmt.Errorf("key of the hub has %d bytes, not %d", len(key), KeySize)
	}
	seed, err := hkdf.Key(sha256.New, key, nil, "durafunc hub ca", ed25519.SeedSize)
	if err != nil {
		return nil, nil, fmt.Errorf("key of the hub: %w", err)
	}
	signer := ed25519.NewKeyFromSeed(seed)
	ca, err := certify(&x509.Certificate{
		Subject: pkix.Name{CommonName: "durafunc hub " + hub}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	}, nil, signer.Public(), signer)
	if err != nil {
		return nil, nil, err
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("key of this host: %w", err)
	}
	name := "durafunc-" + hub
	leaf, err := certify(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, ca, public, signer)
	if err != nil {
		return nil, nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	both := tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Raw}, PrivateKey: private, Leaf: leaf}},
		Time:         func() time.Time { return checkedAt },
		// Hosts connect rarely and stay connected.
		SessionTicketsDisabled: true,
	}
	server, client = both.Clone(), both.Clone()
	server.ClientAuth, server.ClientCAs = tls.RequireAndVerifyClientCert, pool
	server.VerifyConnection = func(s tls.ConnectionState) error { return s.PeerCertificates[0].VerifyHostname(name) }
	client.RootCAs, client.ServerName = pool, name
	return server, client, nil
}

// certify signs a certificate for a public key; without a parent it signs itself.
func certify(template, parent *x509.Certificate, public any, signer ed25519.PrivateKey) (*x509.Certificate, error) {
	template.SerialNumber = big.NewInt(1)
	template.NotBefore, template.NotAfter = notBefore, notAfter
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		return nil, fmt.Errorf("certificate of %q: %w", template.Subject.CommonName, err)
	}
	return x509.ParseCertificate(der)
}

// told remembers to whom something was already said, so that a log is not flooded.
type told struct {
	mu    sync.Mutex
	whom  map[string]bool
	limit int
}

func (t *told) first(who string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.whom[who] || len(t.whom) >= t.limit {
		return false
	}
	if t.whom == nil {
		t.whom = map[string]bool{}
	}
	t.whom[who] = true
	return true
}

func (t *told) forget(who string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.whom, who)
}

// door is TLS as gRPC wants it, with a word in the log about who does not get in.
type door struct {
	credentials.TransportCredentials
	log  hclog.Logger
	told *told
}

func newDoor(c *tls.Config, log hclog.Logger) *door {
	return &door{credentials.NewTLS(c), log, &told{limit: 256}}
}

// Clone implements credentials.TransportCredentials.
func (d *door) Clone() credentials.TransportCredentials {
	return &door{d.TransportCredentials.Clone(), d.log, d.told}
}

// ServerHandshake implements credentials.TransportCredentials.
func (d *door) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := d.TransportCredentials.ServerHandshake(raw)
	from := raw.RemoteAddr().String()
	if host, _, splitErr := net.SplitHostPort(from); splitErr == nil {
		from = host // its ports are many
	}
	switch {
	case err == nil:
		d.told.forget(from)
	case left(err):
		// a port that is probed, or a host that died
	case d.told.first(from):
		d.log.Warn("a connection from another machine is refused: "+handshakeProblem(err), "peer", from, "error", err)
	}
	return conn, info, err
}

// ClientHandshake implements credentials.TransportCredentials. authority is the same for
// all hosts.
func (d *door) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := d.TransportCredentials.ClientHandshake(ctx, authority, raw)
	to := raw.RemoteAddr().String()
	switch {
	case err == nil:
		d.told.forget(to)
	case left(err) || ctx.Err() != nil:
		// a host that died, or stands still
	case d.told.first(to):
		d.log.Warn("a host is not connected to: "+handshakeProblem(err), "peer", to, "error", err)
	}
	return conn, info, err
}

// left reports whether the other side just went away.
func left(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// handshakeProblem is what a failed handshake means, in words.
func handshakeProblem(err error) string {
	var noTLS tls.RecordHeaderError
	if errors.As(err, &noTLS) {
		return "it does not speak TLS, so it is no host of this hub"
	}
	return "it does not hold this hub's key, so it is a host of another hub or of one that was created anew"
}
