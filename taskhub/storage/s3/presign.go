package s3

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/durafunc/durafunc/taskhub/storage"
)

// A request that must not take effect after a moment (storage.Until) carries its signature
// in the query, with the time for which it is good: the store refuses it afterwards, also
// if it was on its way or in a frozen host's buffers all the while (E§C3). The layout is
// that of AWS, "Authenticating Requests: Using Query Parameters (SigV4)". It is written
// out here because the SDK's presigner would move the checksum into the query, where
// MinIO does not look for it.
//
// The body is not part of such a signature (UNSIGNED-PAYLOAD); its CRC-32C is, as a signed
// header, and the store compares it with what arrives.

const (
	amzDate     = "20060102T150405Z"
	maxValidity = 7 * 24 * time.Hour // that S3 allows
	unsigned    = "UNSIGNED-PAYLOAD"
)

// validity is for how long a signature is good, on the store's clock.
type validity struct {
	from  time.Time // X-Amz-Date
	whole int       // X-Amz-Expires, seconds
}

func (v validity) end() time.Time { return v.from.Add(time.Duration(v.whole) * time.Second) }

// validUntil is the validity of a request that is signed now and expires no later than at,
// both on our clock; ahead is the least that the store's is ahead by. Rounding goes to the
// safe side: the moment of signing and the seconds that are left are both cut off.
func validUntil(now, at time.Time, ahead time.Duration) (validity, error) {
	from := now.Add(ahead).UTC().Truncate(time.Second)
	left := min(at.Add(ahead).Sub(from), maxValidity)
	if left < time.Second || !now.Before(at) {
		return validity{}, fmt.Errorf("%w: less than a second is left, which no signature can tell; nothing was sent", storage.ErrExpired)
	}
	return validity{from: from, whole: int(left / time.Second)}, nil
}

// presign puts the signature into the query of r. names are the headers that are signed,
// in lower case and sorted, "host" among them.
func (s *Store) presign(ctx context.Context, r *http.Request, names []string, v validity) error {
	creds, err := s.creds.Retrieve(ctx)
	if err != nil {
		return &credentialsError{err}
	}
	date := v.from.Format(amzDate)
	scope := date[:8] + "/" + s.region + "/s3/aws4_request"

	query := make([]byte, 0, 512)
	query = append(query, "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential="...)
	query = append(query, url.QueryEscape(creds.AccessKeyID+"/"+scope)...)
	query = append(append(query, "&X-Amz-Date="...), date...)
	query = strconv.AppendInt(append(query, "&X-Amz-Expires="...), int64(v.whole), 10)
	if creds.SessionToken != "" {
		query = append(append(query, "&X-Amz-Security-Token="...), url.QueryEscape(creds.SessionToken)...)
	}
	query = append(query, "&X-Amz-SignedHeaders="...)
	for n, name := range names {
		if n > 0 {
			query = append(query, "%3B"...)
		}
		query = append(query, name...)
	}

	canonical := make([]byte, 0, 1024)
	canonical = append(append(canonical, r.Method...), '\n')
	canonical = append(append(canonical, r.URL.EscapedPath()...), '\n')
	canonical = append(append(canonical, query...), '\n')
	for _, name := range names {
		value := r.Host
		if name != "host" {
			value = r.Header.Get(name)
		}
		canonical = append(append(append(append(canonical, name...), ':'), value...), '\n')
	}
	canonical = append(canonical, '\n')
	for n, name := range names {
		if n > 0 {
			canonical = append(canonical, ';')
		}
		canonical = append(canonical, name...)
	}
	canonical = append(append(canonical, '\n'), unsigned...)

	sum := sha256.Sum256(canonical)
	text := make([]byte, 0, 256)
	text = append(append(append(text, "AWS4-HMAC-SHA256\n"...), date...), '\n')
	text = append(append(text, scope...), '\n')
	text = hex.AppendEncode(text, sum[:])
	mac := hmac.New(sha256.New, s.keys.get(creds, date[:8], s.region))
	mac.Write(text)
	query = append(query, "&X-Amz-Signature="...)
	r.URL.RawQuery = string(hex.AppendEncode(query, mac.Sum(nil)))
	return nil
}

// signingKeys keeps the key of the day, which takes four HMACs to make.
type signingKeys struct {
	mu          sync.Mutex
	secret, day string
	key         []byte
}

func (k *signingKeys) get(creds aws.Credentials, day, region string) []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.key == nil || k.secret != creds.SecretAccessKey || k.day != day {
		key := []byte("AWS4" + creds.SecretAccessKey)
		for _, part := range []string{day, region, "s3", "aws4_request"} {
			mac := hmac.New(sha256.New, key)
			mac.Write([]byte(part))
			key = mac.Sum(nil)
		}
		k.key, k.secret, k.day = key, creds.SecretAccessKey, day
	}
	return k.key
}

// Headers that an expiring request signs, sorted as the signature wants them.
var (
	createSigned  = []string{"content-type", "host", "if-none-match", "x-amz-checksum-crc32c"}
	replaceSigned = []string{"content-type", "host", "if-match", "x-amz-checksum-crc32c"}
	deleteSigned  = []string{"host"}
)

// presignedPut builds a conditional PUT whose signature expires.
func (s *Store) presignedPut(ctx context.Context, key, condition, value string, body []byte, v validity) (*http.Request, error) {
	r := s.newPut(ctx, key, condition, value, body)
	names := createSigned
	if condition == ifMatch {
		names = replaceSigned
	}
	return r, s.presign(ctx, r, names, v)
}

// presignedDelete sends a DELETE whose signature expires.
func (s *Store) presignedDelete(ctx context.Context, key string, at time.Time) error {
	v, err := validUntil(time.Now().Round(0), at, s.clock.behind())
	if err != nil {
		return s.fail("delete", key, err)
	}
	r := (&http.Request{
		Method: http.MethodDelete, URL: s.objectURL(key), Host: s.base.Host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Body: http.NoBody,
	}).WithContext(ctx)
	if err := s.presign(ctx, r, deleteSigned, v); err != nil {
		return s.fail("delete", key, err)
	}
	resp, err := s.transport.RoundTrip(r)
	if err != nil {
		return s.fail("delete", key, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusOK {
		return drain(resp)
	}
	return s.failResponse("delete", key, resp, v)
}

// SendExpired sends a Create with a signature that expired some seconds ago, as a host
// that was frozen between signing and sending would, and returns what the store says:
// ErrExpired if it enforces expiry, nil if it does not and the object is there now. It is
// for probes.
func (s *Store) SendExpired(ctx context.Context, key string, body []byte) error {
	if err := check(ctx, key, body); err != nil {
		return s.fail("create", key, err)
	}
	low, high, _ := s.clock.bounds()
	v := validity{from: time.Now().UTC().Add((low + high) / 2).Add(-10 * time.Second).Truncate(time.Second), whole: 5}
	r, err := s.presignedPut(ctx, key, ifNoneMatch, "*", body, v)
	if err != nil {
		return s.fail("create", key, err)
	}
	_, err = s.send("create", key, r, v)
	return err
}

// SendDamaged sends a Create whose body is not the one that its checksum was made from,
// as damage on the way would, and returns nil if the store took it. Any error means that
// it is not stored. It is for probes.
func (s *Store) SendDamaged(ctx context.Context, key string, body []byte) error {
	if err := check(ctx, key, body); err != nil {
		return s.fail("create", key, err)
	}
	v, err := validUntil(time.Now().Round(0), time.Now().Add(time.Minute), s.clock.behind())
	if err != nil {
		return s.fail("create", key, err)
	}
	r := s.newPut(ctx, key, ifNoneMatch, "*", body)
	r.Header.Set(checksumHeader, base64.StdEncoding.EncodeToString([]byte{1, 2, 3, 4}))
	if err := s.presign(ctx, r, createSigned, v); err != nil {
		return s.fail("create", key, err)
	}
	_, err = s.send("create", key, r, v)
	return err
}
