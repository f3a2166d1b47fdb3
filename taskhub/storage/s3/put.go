package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"github.com/durafunc/durafunc/taskhub/storage"
)

// maxDrain is how much of an answer is read so that its connection can be used
// again; answers to a PUT are a few hundred bytes.
const maxDrain = 64 << 10

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// newHTTPClient returns the SDK's client with a transport for many small requests:
// HTTP/1.1 with a pool wide enough that 128 commits at once need no new connection.
// It sets no time limit on a request, contexts do, but gives up on a host that does
// not take a connection. It is the SDK's type because that alone can be given the
// certificates of AWS_CA_BUNDLE.
func newHTTPClient() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.DialContext = (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext
		t.TLSHandshakeTimeout = 10 * time.Second
		t.MaxIdleConns = 256
		t.MaxIdleConnsPerHost = 128
		t.IdleConnTimeout = 50 * time.Second // S3 closes idle connections after about a minute
		t.DisableCompression = true
		t.WriteBufferSize, t.ReadBufferSize = 64<<10, 64<<10
		t.ForceAttemptHTTP2 = false
		t.Protocols = new(http.Protocols)
		t.Protocols.SetHTTP1(true)
	})
}

// Names of headers, in the form that net/http keeps them.
const (
	ifMatch        = "If-Match"
	ifNoneMatch    = "If-None-Match"
	checksumHeader = "X-Amz-Checksum-Crc32c"
)

// Create implements storage.Store.
func (s *Store) Create(ctx context.Context, key string, body []byte) (storage.Tag, error) {
	return s.put(ctx, "create", key, ifNoneMatch, "*", body)
}

// Replace implements storage.Store.
func (s *Store) Replace(ctx context.Context, key string, old storage.Tag, body []byte) (storage.Tag, error) {
	return s.put(ctx, "replace", key, ifMatch, `"`+string(old)+`"`, body)
}

// put sends one conditional PUT, once.
func (s *Store) put(ctx context.Context, verb, key, condition, value string, body []byte) (storage.Tag, error) {
	if err := check(ctx, key, body); err != nil {
		return "", s.fail(verb, key, err)
	}
	if value == `""` {
		// No object has an empty tag, and some stores take an empty If-Match for none.
		return "", s.fail(verb, key, storage.ErrConflict)
	}
	var v validity
	var req *http.Request
	var err error
	if at, ok := storage.Deadline(ctx); ok {
		if v, err = validUntil(time.Now().Round(0), at, s.clock.behind()); err == nil {
			req, err = s.presignedPut(ctx, key, condition, value, body, v)
		}
	} else {
		req, err = s.signedPut(ctx, key, condition, value, body)
	}
	if err != nil {
		return "", s.fail(verb, key, err)
	}
	return s.send(verb, key, req, v)
}

// send sends a PUT and reads the answer. v is for how long its signature is good, zero if
// that has no end.
func (s *Store) send(verb, key string, req *http.Request, v validity) (storage.Tag, error) {
	// Not http.Client: a redirect would need another signature.
	resp, err := s.transport.RoundTrip(req)
	if err != nil {
		return "", s.fail(verb, key, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", s.failResponse(verb, key, resp, v)
	}
	if err := drain(resp); err != nil {
		return "", s.fail(verb, key, err)
	}
	tag := tagOf(resp.Header.Get("ETag"))
	if tag == "" {
		return "", s.fail(verb, key, errors.New("the answer has no ETag"))
	}
	return tag, nil
}

// drain reads an answer to its end, where its connection becomes free.
func drain(resp *http.Response) error {
	_, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxDrain))
	return err
}

// newPut builds the request but for its signature. The CRC-32C of the body is kept by the
// store, which verifies it on arrival and gives it back to Get.
func (s *Store) newPut(ctx context.Context, key, condition, value string, body []byte) *http.Request {
	crc := binary.BigEndian.AppendUint32(make([]byte, 0, 4), crc32.Checksum(body, castagnoli))
	req := (&http.Request{
		Method: http.MethodPut,
		URL:    s.objectURL(key),
		Host:   s.base.Host,
		Proto:  "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		ContentLength: int64(len(body)),
		Header: http.Header{
			condition:      {value},
			"Content-Type": {"application/octet-stream"},
			checksumHeader: {base64.StdEncoding.EncodeToString(crc)},
		},
	}).WithContext(ctx)
	if len(body) > 0 {
		req.Body = io.NopCloser(bytes.NewReader(body))
		// The transport asks for it only when a kept-alive connection turned out
		// to be closed before a single byte went out: no second attempt.
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	} else {
		req.Body = http.NoBody
	}
	return req
}

// signedPut builds a request with a signature in its header. The body is signed, so that
// no proxy or gateway can store other bytes than ours.
func (s *Store) signedPut(ctx context.Context, key, condition, value string, body []byte) (*http.Request, error) {
	creds, err := s.creds.Retrieve(ctx)
	if err != nil {
		return nil, &credentialsError{err}
	}
	sum := sha256.Sum256(body)
	payloadHash := hex.EncodeToString(sum[:])
	req := s.newPut(ctx, key, condition, value, body)
	req.Header["X-Amz-Content-Sha256"] = []string{payloadHash}
	if err := s.signer.SignHTTP(ctx, creds, req, payloadHash, "s3", s.region, time.Now()); err != nil {
		return nil, err
	}
	return req, nil
}

// objectURL is base with the key. Of the bytes that a key may hold only '=' is
// escaped in S3's canonical form, which the signature covers.
func (s *Store) objectURL(key string) *url.URL {
	u := *s.base
	u.Path += "/" + s.prefix + key
	u.RawPath = strings.ReplaceAll(u.EscapedPath(), "=", "%3D")
	return &u
}
