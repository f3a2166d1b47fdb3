package s3

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/durafunc/durafunc/taskhub/storage"
)

// ErrNoBucket means that the bucket does not exist (or not at this endpoint). It is
// none of the verdicts of storage.Store: somebody has to create the bucket.
var ErrNoBucket = errors.New("the bucket does not exist")

// Error is a failed request: what was asked, and what the store answered if it
// did. Unwrap gives ErrNoBucket, one of the verdicts of package storage, or the
// cause; without any of them the outcome of a write is unknown.
type Error struct {
	Verb     string // get, create, replace, delete, list, create bucket
	Bucket   string
	Key      string // with the prefix; of List the prefix
	Endpoint string

	Status    int    // HTTP status, 0 if there was no answer
	Code      string // of the store, as SlowDown
	Message   string // of the store
	RequestID string // of the store, for its operator

	Err error // nil if the answer is no verdict
}

// Error names verb, key, bucket and endpoint, then the answer and its meaning.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "s3: %s %s in bucket %s at %s", e.Verb, e.Key, e.Bucket, e.Endpoint)
	if e.Key == "" {
		b.Reset()
		fmt.Fprintf(&b, "s3: %s, bucket %s at %s", e.Verb, e.Bucket, e.Endpoint)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	if e.Status != 0 {
		fmt.Fprintf(&b, ": status %d", e.Status)
		if e.Code != "" {
			b.WriteString(" " + e.Code)
		}
		if e.Message != "" {
			b.WriteString(": " + e.Message)
		}
		if e.RequestID != "" {
			b.WriteString(" (request " + e.RequestID + ")")
		}
	}
	return b.String()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// credentialsError is not ErrDenied: nothing was refused yet, and the next attempt
// to get credentials may succeed.
type credentialsError struct{ err error }

func (e *credentialsError) Error() string { return "no credentials: " + e.err.Error() }
func (e *credentialsError) Unwrap() error { return e.err }

func (s *Store) newError(verb, key string) *Error {
	return &Error{Verb: verb, Bucket: s.bucket, Key: s.prefix + key, Endpoint: s.endpoint}
}

// fail reports a request that got no answer.
func (s *Store) fail(verb, key string, err error) error {
	e := s.newError(verb, key)
	e.Err = err
	return e
}

// failResponse reads the answer to a request of our own, whose signature was good for v.
func (s *Store) failResponse(verb, key string, resp *http.Response, v validity) error {
	e := s.newError(verb, key)
	e.Status = resp.StatusCode
	e.RequestID = resp.Header.Get("X-Amz-Request-Id")
	var answer struct {
		Code, Message string
	}
	// Proxies answer in HTML and some gateways with nothing; the status stands.
	if body, err := io.ReadAll(io.LimitReader(resp.Body, maxDrain)); err == nil && xml.Unmarshal(body, &answer) == nil {
		e.Code, e.Message = answer.Code, answer.Message
	}
	if region := resp.Header.Get("X-Amz-Bucket-Region"); region != "" && region != s.region {
		e.Message = strings.TrimSpace(e.Message + " the bucket is in region " + region)
	}
	e.Err = e.verdict()
	if v.whole > 0 && errors.Is(e.Err, storage.ErrDenied) && expired(resp, v) {
		e.Err = storage.ErrExpired
	}
	return e
}

// expired reports whether a refusal is for the age of the signature. Stores have no code of
// their own for it (MinIO and AWS say AccessDenied), but they date their refusal: whatever
// else may be wrong shows at the next attempt, which has a fresh signature.
func expired(resp *http.Response, v validity) bool {
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		date = time.Now()
	}
	return !date.Before(v.end())
}

// failSDK translates an error of the SDK's client; nil stays nil.
func (s *Store) failSDK(verb, key string, err error) error {
	if err == nil {
		return nil
	}
	e := s.newError(verb, key)
	var resp *awshttp.ResponseError
	if !errors.As(err, &resp) || resp.HTTPStatusCode() == 0 || resp.HTTPStatusCode() == http.StatusOK {
		e.Err = err
		return e
	}
	e.Status, e.RequestID = resp.HTTPStatusCode(), resp.ServiceRequestID()
	var api smithy.APIError
	if errors.As(err, &api) {
		e.Code, e.Message = api.ErrorCode(), api.ErrorMessage()
	}
	if e.Err = e.verdict(); e.Err == nil && e.Code == "" {
		e.Err = err // the answer says too little
	}
	return e
}

// deniedCodes are refusals that come with a status other than 401 and 403.
var deniedCodes = []string{"ExpiredToken", "InvalidToken", "TokenRefreshRequired"}

// verdict is the one place that decides what an answer means. A 409 is none: a
// concurrent request interfered and nothing is known (E§A5.2), nor is a 5xx, which
// may come after the write.
func (e *Error) verdict() error {
	switch {
	case e.Code == "NoSuchBucket":
		return ErrNoBucket
	case e.Status == http.StatusPreconditionFailed:
		return storage.ErrConflict
	case e.Status == http.StatusNotFound && e.Verb == "replace":
		return storage.ErrConflict
	case e.Status == http.StatusNotFound && (e.Verb == "get" || e.Verb == "delete"):
		return storage.ErrNotFound
	case e.Code == "RequestTimeTooSkewed":
		return fmt.Errorf("%w: the clocks of this machine and the store are more than 15 minutes apart", storage.ErrDenied)
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden, slices.Contains(deniedCodes, e.Code):
		return storage.ErrDenied
	case e.Status == http.StatusRequestEntityTooLarge, e.Code == "EntityTooLarge":
		return storage.ErrTooLarge
	default:
		return nil
	}
}
