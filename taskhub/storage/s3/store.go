// Package s3 is a storage.Store in a bucket of AWS S3 or of any store that speaks
// its protocol and honours If-None-Match and If-Match on PUT (E§A5.4; package probe
// finds out which do).
//
// Get, Delete and List go through the SDK's client. Create and Replace are signed
// with the SDK's signer on a plain net/http request: that saves half the CPU and
// three quarters of the allocations of the request that every commit waits for, and
// the rules of repeating are not the SDK's there. What must not take effect after a
// moment (storage.Until) goes the same way, with a signature that expires. Nothing is
// retried in this package.
package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/durafunc/durafunc/taskhub/storage"
)

// maxPrefix is the longest Config.Prefix in bytes: with a key of 900 and a '/' it
// stays below the 1,024 that S3 allows.
const maxPrefix = 120

// defaultRegion signs requests to a custom endpoint that was given no region; the
// stores that people run themselves go by it.
const defaultRegion = "us-east-1"

// Config says where the objects are. Only Bucket is always needed.
type Config struct {
	// Bucket is the name of a general-purpose bucket that exists.
	Bucket string
	// Prefix is put before every key with a '/'; it has the form of a key.
	Prefix string
	// Endpoint is the base URL of a store other than AWS, as http://127.0.0.1:9000.
	// Empty: AWS_ENDPOINT_URL(_S3) of the environment or profile, else AWS.
	Endpoint string
	// Region is that of the bucket. Empty: from the environment or profile, else
	// us-east-1 if there is an endpoint.
	Region string
	// ForcePathStyle puts the bucket into the path, not the host name. MinIO and
	// most other stores need it.
	ForcePathStyle bool

	// AccessKey and SecretKey, with SessionToken for temporary ones, are the
	// credentials. Empty: the AWS default chain (environment, profile, SSO, web
	// identity, container, instance), refreshed as they expire.
	AccessKey, SecretKey, SessionToken string

	// Transport replaces the HTTP transport of the requests to the bucket, for
	// tests; nil for one with a wide pool of kept-alive connections.
	Transport http.RoundTripper
}

// Store is a storage.Store in a bucket. Use Open.
type Store struct {
	client    *s3.Client
	transport http.RoundTripper
	clock     *storeClock
	signer    *v4.Signer
	keys      signingKeys
	creds     aws.CredentialsProvider

	base     *url.URL // of the bucket, without a '/' at the end
	endpoint string   // for messages
	bucket   string
	prefix   string // "" or ends in '/'
	region   string
	custom   bool // not AWS
}

var _ storage.Store = (*Store)(nil)

// Open returns the store that c describes. It reads the AWS configuration of the
// environment but sends no request to the bucket: probe.Quick does. The error
// joins every problem of c.
func Open(ctx context.Context, c Config) (*Store, error) {
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("s3: open bucket %q: %w", c.Bucket, err)
	}
	load := []func(*config.LoadOptions) error{config.WithHTTPClient(newHTTPClient())}
	if c.Region != "" {
		load = append(load, config.WithRegion(c.Region))
	}
	if c.AccessKey != "" {
		load = append(load, config.WithCredentialsProvider(
			credentials.NewStaticCredentialsProvider(c.AccessKey, c.SecretKey, c.SessionToken)))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, fmt.Errorf("s3: open bucket %q: %w", c.Bucket, err)
	}
	transport := c.Transport
	if sdk, ok := cfg.HTTPClient.(*awshttp.BuildableClient); ok && transport == nil {
		transport = sdk.GetTransport()
	}
	clock := &storeClock{}
	transport = &clockedTransport{RoundTripper: transport, clock: clock}
	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		// One pool of connections for both ways, and no redirects: the signature
		// is for one host, and the answer says more than a failed second request.
		o.HTTPClient = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		}}
		o.Retryer = aws.NopRetryer{}
		o.UsePathStyle = c.ForcePathStyle
		if c.Endpoint != "" {
			o.BaseEndpoint = &c.Endpoint
		}
		if o.Region == "" && o.BaseEndpoint != nil {
			o.Region = defaultRegion
		}
	})
	o := client.Options()
	if o.Region == "" {
		return nil, fmt.Errorf("s3: open bucket %q: no region: set it in the configuration, AWS_REGION or the AWS profile", c.Bucket)
	}
	base, err := bucketURL(ctx, o, c.Bucket)
	if err != nil {
		return nil, fmt.Errorf("s3: open bucket %q: %w", c.Bucket, err)
	}
	s := &Store{
		client:    client,
		transport: transport,
		clock:     clock,
		// S3 signs the path as it is sent, unlike other services.
		signer:   v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }),
		creds:    o.Credentials,
		base:     base,
		endpoint: base.Scheme + "://" + base.Host,
		bucket:   c.Bucket,
		region:   o.Region,
		custom:   o.BaseEndpoint != nil,
	}
	if c.Prefix != "" {
		s.prefix = c.Prefix + "/"
	}
	return s, nil
}

func (c Config) validate() error {
	var errs []error
	switch {
	case c.Bucket == "" || strings.ContainsAny(c.Bucket, "/:?#% "):
		errs = append(errs, errors.New("bucket: must be a bucket name or access point alias, not empty, no path and no ARN"))
	case strings.HasSuffix(c.Bucket, "--x-s3"):
		errs = append(errs, errors.New("bucket: directory buckets (S3 Express One Zone) do not list in key order, which the log needs; use a general-purpose bucket"))
	}
	if c.Prefix != "" {
		if err := storage.CheckKey(c.Prefix); err != nil {
			errs = append(errs, fmt.Errorf("prefix: %w", err))
		} else if len(c.Prefix) > maxPrefix {
			errs = append(errs, fmt.Errorf("prefix: %d bytes, at most %d", len(c.Prefix), maxPrefix))
		}
	}
	if c.Endpoint != "" {
		if u, err := url.Parse(c.Endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			errs = append(errs, fmt.Errorf("endpoint: %q is not a URL as http://host:port", c.Endpoint))
		}
	}
	if (c.AccessKey == "") != (c.SecretKey == "") {
		errs = append(errs, errors.New("credentials: access key and secret key come together"))
	}
	return errors.Join(errs...)
}

// bucketURL asks the SDK's rules once where the bucket is: path or host style,
// partition, FIPS and dual stack are decided there.
func bucketURL(ctx context.Context, o s3.Options, bucket string) (*url.URL, error) {
	e, err := s3.NewDefaultEndpointResolverV2().ResolveEndpoint(ctx, s3.EndpointParameters{
		Bucket:         &bucket,
		Region:         &o.Region,
		Endpoint:       o.BaseEndpoint,
		ForcePathStyle: &o.UsePathStyle,
		UseFIPS:        aws.Bool(o.EndpointOptions.UseFIPSEndpoint == aws.FIPSEndpointStateEnabled),
		UseDualStack:   aws.Bool(o.EndpointOptions.UseDualStackEndpoint == aws.DualStackEndpointStateEnabled),
	})
	if err != nil {
		return nil, fmt.Errorf("endpoint: %w", err)
	}
	base := e.URI
	base.Path = strings.TrimSuffix(base.Path, "/")
	base.RawPath = ""
	return &base, nil
}

// String names the store in errors of the probe.
func (s *Store) String() string {
	return fmt.Sprintf("bucket %s at %s", s.bucket, s.endpoint)
}

// Get implements storage.Store. The caller owns the returned slice.
func (s *Store) Get(ctx context.Context, key string) ([]byte, storage.Tag, error) {
	if err := check(ctx, key, nil); err != nil {
		return nil, "", s.fail("get", key, err)
	}
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.bucket, Key: aws.String(s.prefix + key)})
	if err != nil {
		return nil, "", s.failSDK("get", key, err)
	}
	defer out.Body.Close()
	body, err := readAll(out.Body, aws.ToInt64(out.ContentLength))
	if err != nil {
		return nil, "", s.fail("get", key, err)
	}
	return body, tagOf(aws.ToString(out.ETag)), nil
}

// readAll reads a body of the announced size, which is 0 if it is unknown. An
// object that is none of ours must not take all memory.
func readAll(r io.Reader, size int64) ([]byte, error) {
	if size > storage.MaxObject {
		return nil, fmt.Errorf("the stored object has %d bytes, at most %d are expected", size, storage.MaxObject)
	}
	if size > 0 {
		body := make([]byte, size)
		if _, err := io.ReadFull(r, body); err != nil {
			return nil, fmt.Errorf("read body: %w", err)
		}
		// To the end, where the SDK compares the checksum and the connection
		// becomes free for the next request.
		if n, err := io.Copy(io.Discard, r); err != nil || n > 0 {
			return nil, fmt.Errorf("read body: %d bytes too many: %w", n, errors.Join(err))
		}
		return body, nil
	}
	body, err := io.ReadAll(io.LimitReader(r, storage.MaxObject+1))
	if err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	if len(body) > storage.MaxObject {
		return nil, fmt.Errorf("the stored object has more than the %d bytes expected", storage.MaxObject)
	}
	return body, nil
}

// Delete implements storage.Store. It is never conditional: MinIO ignores the
// condition and deletes (E§A5.2).
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := check(ctx, key, nil); err != nil {
		return s.fail("delete", key, err)
	}
	if at, ok := storage.Deadline(ctx); ok {
		return s.presignedDelete(ctx, key, at)
	}
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: aws.String(s.prefix + key)})
	if err = s.failSDK("delete", key, err); errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	return err
}

// List implements storage.Store, with one request for each 1,000 entries. Objects
// under the prefix whose keys no Store can have, such as the "folders" that web
// consoles make, are left out.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Entry, error] {
	return func(yield func(storage.Entry, error) bool) {
		if !storage.PossiblePrefix(prefix) {
			return
		}
		asked := s.prefix + prefix
		slash := strings.LastIndexByte(asked, '/') + 1
		if last := asked[slash:]; last == "." || last == ".." {
			asked = asked[:slash] // MinIO answers 400, but ".a" is a good key
		}
		in := &s3.ListObjectsV2Input{Bucket: &s.bucket, Prefix: &asked}
		if after != "" {
			in.StartAfter = aws.String(s.prefix + after)
		}
		for {
			if err := ctx.Err(); err != nil {
				yield(storage.Entry{}, s.fail("list", prefix, err))
				return
			}
			out, err := s.client.ListObjectsV2(ctx, in)
			if err != nil {
				yield(storage.Entry{}, s.failSDK("list", prefix, err))
				return
			}
			for _, o := range out.Contents {
				key, ok := strings.CutPrefix(aws.ToString(o.Key), s.prefix)
				if !ok || !strings.HasPrefix(key, prefix) || storage.CheckKey(key) != nil {
					continue
				}
				e := storage.Entry{Key: key, Size: aws.ToInt64(o.Size), Tag: tagOf(aws.ToString(o.ETag)), Modified: aws.ToTime(o.LastModified)}
				if !yield(e, nil) {
					return
				}
			}
			if !aws.ToBool(out.IsTruncated) {
				return
			}
			if aws.ToString(out.NextContinuationToken) == "" {
				yield(storage.Entry{}, s.fail("list", prefix, errors.New("the store says there is more but not where")))
				return
			}
			in.ContinuationToken = out.NextContinuationToken
		}
	}
}

// tagOf takes the quotes off an ETag: stores differ in where they put them.
func tagOf(etag string) storage.Tag { return storage.Tag(strings.Trim(etag, `"`)) }

// check holds what every verb refuses before anything is sent.
func check(ctx context.Context, key string, body []byte) error {
	if err := storage.CheckKey(key); err != nil {
		return err
	}
	if len(body) > storage.MaxObject {
		return fmt.Errorf("%w: %d bytes, at most %d", storage.ErrTooLarge, len(body), storage.MaxObject)
	}
	return ctx.Err()
}
