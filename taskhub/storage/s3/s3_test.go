package s3_test

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/storage/s3"
	"github.com/durafunc/durafunc/taskhub/storage/s3/miniotest"
	"github.com/durafunc/durafunc/taskhub/storage/storagetest"
)

func TestMinIO(t *testing.T) {
	server := miniotest.Start(t)
	storagetest.Run(t, func(t *testing.T) storage.Store { return server.Open(t) })
}

// TestFake runs the suite on a store in this process, so that the package is tested
// where there is no MinIO. It does not check signatures.
func TestFake(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storage.Store {
		backend := s3mem.New()
		if err := backend.CreateBucket("b"); err != nil {
			t.Fatal(err)
		}
		log := slog.NewLogLogger(slog.NewTextHandler(io.Discard, nil), slog.LevelInfo)
		server := httptest.NewServer(gofakes3.New(backend, gofakes3.WithLogger(gofakes3.StdLog(log))).Server())
		t.Cleanup(server.Close)
		return openAt(t, server.URL, "some/prefix")
	})
}

func config(endpoint, prefix string) s3.Config {
	return s3.Config{
		Bucket: "b", Prefix: prefix, Endpoint: endpoint, Region: "us-east-1", ForcePathStyle: true,
		AccessKey: "key", SecretKey: "secret",
	}
}

func openAt(t testing.TB, endpoint, prefix string) *s3.Store {
	t.Helper()
	s, err := s3.Open(t.Context(), config(endpoint, prefix))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// everyVerb returns the error of each verb on s.
func everyVerb(ctx context.Context, s storage.Store) map[string]error {
	errs := make(map[string]error)
	_, _, errs["get"] = s.Get(ctx, "k")
	_, errs["create"] = s.Create(ctx, "k", []byte("v"))
	_, errs["replace"] = s.Replace(ctx, "k", "tag", []byte("v"))
	errs["delete"] = s.Delete(ctx, "k")
	for _, err := range s.List(ctx, "k", "") {
		errs["list"] = err
	}
	return errs
}

func isVerdict(err error) bool {
	for _, v := range []error{storage.ErrNotFound, storage.ErrConflict, storage.ErrDenied, storage.ErrInvalidKey, storage.ErrTooLarge, storage.ErrExpired, s3.ErrNoBucket} {
		if errors.Is(err, v) {
			return true
		}
	}
	return false
}

func wantText(t *testing.T, verb string, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: error %q does not say %q", verb, err, part)
		}
	}
}

func TestUnreachable(t *testing.T) {
	const endpoint = "http://127.0.0.1:1" // no port that a test or a server is ever given
	for verb, err := range everyVerb(t.Context(), openAt(t, endpoint, "p")) {
		if isVerdict(err) {
			t.Errorf("%s: a verdict from a store that was not reached: %v", verb, err)
		}
		wantText(t, verb, err, verb, "p/k", "bucket b", endpoint, "connection refused")
	}
}

func TestWrongCredentials(t *testing.T) {
	server := miniotest.Start(t)
	for code, change := range map[string]func(*s3.Config){
		"InvalidAccessKeyId":    func(c *s3.Config) { c.AccessKey = "nobody" },
		"SignatureDoesNotMatch": func(c *s3.Config) { c.SecretKey = "wrong" },
	} {
		c := server.Config("p")
		change(&c)
		s, err := s3.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		for verb, err := range everyVerb(t.Context(), s) {
			if !errors.Is(err, storage.ErrDenied) {
				t.Errorf("%s: got %v, want ErrDenied", verb, err)
			}
			wantText(t, verb, err, code, "403", server.Bucket, server.Endpoint)
		}
	}
}

func TestMissingBucket(t *testing.T) {
	server := miniotest.Start(t)
	c := server.Config("p")
	c.Bucket = "not-created-yet-" + strings.ToLower(rand.Text()) // nor by the run before
	s, err := s3.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for verb, err := range everyVerb(t.Context(), s) {
		if !errors.Is(err, s3.ErrNoBucket) || errors.Is(err, storage.ErrConflict) || errors.Is(err, storage.ErrNotFound) {
			t.Errorf("%s: got %v, want ErrNoBucket", verb, err)
		}
		wantText(t, verb, err, c.Bucket, server.Endpoint, "NoSuchBucket")
	}
	for range 2 { // the second time it is ours already
		if err := s.CreateBucket(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Create(t.Context(), "k", []byte("v")); err != nil {
		t.Errorf("in the new bucket: %v", err)
	}
}

// TestAnswers is the table of what an answer to a conditional PUT means.
func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		code   string
		create error // nil: no verdict, the outcome is unknown
		other  error // of Replace
	}{
		{"precondition failed", 412, "PreconditionFailed", storage.ErrConflict, storage.ErrConflict},
		{"no such key", 404, "NoSuchKey", nil, storage.ErrConflict},
		{"no such key, no body", 404, "", nil, storage.ErrConflict},
		{"no such bucket", 404, "NoSuchBucket", s3.ErrNoBucket, s3.ErrNoBucket},
		{"access denied", 403, "AccessDenied", storage.ErrDenied, storage.ErrDenied},
		{"clock", 403, "RequestTimeTooSkewed", storage.ErrDenied, storage.ErrDenied},
		{"unauthorized, no body", 401, "", storage.ErrDenied, storage.ErrDenied},
		{"expired token", 400, "ExpiredToken", storage.ErrDenied, storage.ErrDenied},
		{"too large", 400, "EntityTooLarge", storage.ErrTooLarge, storage.ErrTooLarge},
		{"concurrent request", 409, "ConditionalRequestConflict", nil, nil},
		{"slow down", 503, "SlowDown", nil, nil},
		{"internal error", 500, "InternalError", nil, nil},
		{"gateway timeout in HTML", 504, "", nil, nil},
		{"bad request", 400, "BadDigest", nil, nil},
		{"other region", 301, "PermanentRedirect", nil, nil},
		{"moved for now", 307, "TemporaryRedirect", nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var requests atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				w.Header().Set("X-Amz-Bucket-Region", "eu-west-7")
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(tt.status)
				if tt.code != "" {
					io.WriteString(w, "<?xml version=\"1.0\"?><Error><Code>"+tt.code+"</Code><Message>words</Message></Error>")
				} else {
					io.WriteString(w, "<html>not XML of S3")
				}
			}))
			defer server.Close()
			s := openAt(t, server.URL, "")
			_, createErr := s.Create(t.Context(), "k", []byte("v"))
			_, replaceErr := s.Replace(t.Context(), "k", "tag", []byte("v"))
			for _, c := range []struct {
				verb      string
				got, want error
			}{{"create", createErr, tt.create}, {"replace", replaceErr, tt.other}} {
				if c.want == nil && isVerdict(c.got) || !errors.Is(c.got, c.want) && c.want != nil {
					t.Errorf("%s: got %v, want %v", c.verb, c.got, c.want)
				}
				wantText(t, c.verb, c.got, tt.code, "bucket b", server.URL)
				var e *s3.Error
				if !errors.As(c.got, &e) || e.Status != tt.status {
					t.Errorf("%s: %#v does not carry status %d", c.verb, c.got, tt.status)
				}
			}
			if n := requests.Swap(0); n != 2 {
				t.Errorf("%d requests for two calls: something retries or follows", n)
			}
			everyVerb(t.Context(), s)
			if n := requests.Load(); n != 5 {
				t.Errorf("%d requests for five calls: something retries or follows", n)
			}
		})
	}
}

func TestAnswerWithoutETagIsNoSuccess(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	if _, err := openAt(t, server.URL, "").Create(t.Context(), "k", nil); err == nil || isVerdict(err) {
		t.Errorf("got %v, want an error that is no verdict", err)
	}
}

// TestLostAnswer: the store hangs up, or does not answer in time. One request, no
// verdict.
func TestLostAnswer(t *testing.T) {
	var requests atomic.Int64
	reached, release := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		io.Copy(io.Discard, r.Body)
		if strings.HasSuffix(r.URL.Path, "/hang") {
			close(reached)
			<-release
		}
		panic(http.ErrAbortHandler) // closes the connection
	}))
	defer server.Close()
	defer close(release)
	s := openAt(t, server.URL, "")
	if _, err := s.Create(t.Context(), "drop", []byte("v")); err == nil || isVerdict(err) {
		t.Errorf("dropped connection: got %v, want an error that is no verdict", err)
	}
	ctx := ending{t.Context(), reached} // not before it is under way
	if _, err := s.Create(ctx, "hang", []byte("v")); !errors.Is(err, context.DeadlineExceeded) || isVerdict(err) {
		t.Errorf("no answer: got %v, want the deadline and no verdict", err)
	}
	if n := requests.Load(); n != 2 {
		t.Errorf("%d requests, want 2: something retries", n)
	}
}

// ending is a context whose deadline is when its channel is closed.
type ending struct {
	context.Context
	done <-chan struct{}
}

func (e ending) Done() <-chan struct{} { return e.done }

func (e ending) Err() error {
	select {
	case <-e.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

func TestConfigIsChecked(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*s3.Config)
		want   string
	}{
		"no bucket":         {func(c *s3.Config) { c.Bucket = "" }, "bucket:"},
		"bucket with path":  {func(c *s3.Config) { c.Bucket = "b/p" }, "bucket:"},
		"directory bucket":  {func(c *s3.Config) { c.Bucket = "b--use1-az4--x-s3" }, "directory buckets"},
		"prefix with slash": {func(c *s3.Config) { c.Prefix = "p/" }, "prefix:"},
		"long prefix":       {func(c *s3.Config) { c.Prefix = strings.Repeat("p", 121) }, "prefix: 121 bytes"},
		"endpoint":          {func(c *s3.Config) { c.Endpoint = "localhost:9000" }, "endpoint:"},
		"half a key":        {func(c *s3.Config) { c.SecretKey = "" }, "credentials:"},
	} {
		c := config("http://127.0.0.1:1", "")
		tt.change(&c)
		_, err := s3.Open(t.Context(), c)
		wantText(t, name, err, tt.want)
	}
}

// TestHostStyle checks where requests go when the bucket is part of the host name,
// and that the signed path is the sent one.
func TestHostStyle(t *testing.T) {
	var got []string
	c := config("", "p=1")
	c.ForcePathStyle = false
	c.Region = "eu-central-1"
	c.Bucket = "my-bucket"
	c.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		got = append(got, r.Method+" "+r.URL.Scheme+"://"+r.URL.Host+r.URL.EscapedPath())
		if !strings.Contains(r.Header.Get("Authorization"), "/eu-central-1/s3/aws4_request") {
			t.Errorf("signed for another region: %s", r.Header.Get("Authorization"))
		}
		return &http.Response{StatusCode: 503, Body: http.NoBody, Header: http.Header{}, Request: r}, nil
	})
	t.Setenv("AWS_ENDPOINT_URL", "")
	s, err := s3.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	s.Create(t.Context(), "a/b=c", nil)
	s.Get(t.Context(), "a/b=c")
	const url = "https://my-bucket.s3.eu-central-1.amazonaws.com/p%3D1/a/b%3Dc"
	if len(got) != 2 || got[0] != "PUT "+url || got[1] != "GET "+url {
		t.Errorf("requests %q, want PUT and GET of %s", got, url)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func BenchmarkCreate(b *testing.B) {
	s := miniotest.Start(b).Open(b)
	body := make([]byte, 4<<10)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := s.Create(b.Context(), "log/"+strings.Repeat("0", i%3)+time.Now().Format("150405.000000000"), body); err != nil {
			b.Fatal(err)
		}
	}
}
