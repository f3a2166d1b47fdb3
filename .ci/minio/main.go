// Command with-minio keeps a MinIO for development: it starts bin/minio unless one
// already answers at the address, creates the bucket, and then either stays in the
// foreground or runs a command with the environment that points a durafunc host
// at the bucket. A MinIO that it started ends with it; data stays on disk.
//
//	with-minio                       run until Ctrl-C
//	with-minio -- bin/durafunc start run a host on it
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/storage/s3"
)

// Credentials of the development server. It listens on loopback only.
const (
	user     = "durafunc"
	password = "durafunc-secret"
	region   = "us-east-1"
)

// startTimeout bounds how long MinIO may take until it answers.
const startTimeout = 2 * time.Minute

// pollEvery is how often a process that has no event to wait for is asked.
const pollEvery = 50 * time.Millisecond

func main() {
	code, err := run(os.Args[1:], os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "with-minio:", err)
	}
	os.Exit(code)
}

// run is main without the exit. With a command it returns the command's exit code.
func run(args []string, stdout, stderr io.Writer) (int, error) {
	flags := flag.NewFlagSet("with-minio", flag.ContinueOnError)
	flags.SetOutput(stderr)
	binary := flags.String("binary", "bin/minio", "the MinIO `executable`; make minio-bin builds it")
	data := flags.String("data", ".durafunc/minio", "`directory` of the objects; the log goes beside it")
	port := flags.Int("port", 9000, "`port` on 127.0.0.1; 0 picks a free one")
	bucket := flags.String("bucket", "durafunc", "`bucket` to create")
	if err := flags.Parse(args); err != nil {
		return 2, nil // flags has said why
	}

	// Caught before anything starts, so that no signal leaves MinIO behind.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)

	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	srv, err := ensure(ctx, *binary, *data, *port)
	if err != nil {
		return 1, err
	}
	defer srv.stop()
	env := environment(srv.endpoint, *bucket)
	if err := createBucket(ctx, srv.endpoint, *bucket); err != nil {
		return 1, err
	}
	if flags.NArg() > 0 {
		return runCommand(flags.Args(), env, signals, stdout, stderr)
	}

	how := "started"
	if srv.reused {
		how = "was running already"
	}
	fmt.Fprintf(stdout, "MinIO %s at %s, bucket %q, user %q, password %q\n\n", how, srv.endpoint, *bucket, user, password)
	fmt.Fprintf(stdout, "A host uses it with:\n\n  %s \\\n  bin/durafunc start\n\n", strings.Join(env, " \\\n  "))
	if srv.reused {
		return 0, nil
	}
	fmt.Fprintln(stdout, "Ctrl-C stops it; its data stays in", *data)
	select {
	case <-signals:
		return 0, nil
	case <-srv.done:
		return 1, fmt.Errorf("MinIO exited by itself: %w", srv.exit)
	}
}

// environment points a durafunc host at the bucket; it is the environment form of
// extensions.durableTask.storageProvider in host.json, which it overrides.
func environment(endpoint, bucket string) []string {
	const provider = "DURAFUNC__extensions__durableTask__storageProvider__"
	return []string{
		"AWS_ACCESS_KEY_ID=" + user,
		"AWS_SECRET_ACCESS_KEY=" + password,
		provider + "type=s3",
		provider + "bucket=" + bucket,
		provider + "endpoint=" + endpoint,
		provider + "region=" + region,
		provider + "forcePathStyle=true",
	}
}

// createBucket creates the bucket, which also shows that MinIO is really ready: its
// health checks answer some time before it takes requests.
func createBucket(ctx context.Context, endpoint, bucket string) error {
	store, err := s3.Open(ctx, s3.Config{
		Bucket: bucket, Endpoint: endpoint, Region: region, ForcePathStyle: true,
		AccessKey: user, SecretKey: password,
	})
	if err != nil {
		return fmt.Errorf("open bucket %q at %s: %w", bucket, endpoint, err)
	}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := store.CreateBucket(ctx)
		if err == nil {
			return nil
		}
		if errors.Is(err, storage.ErrDenied) {
			return fmt.Errorf("the MinIO at %s was started with other credentials, stop it first: %w", endpoint, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("create bucket %q at %s: %w", bucket, endpoint, err)
		case <-tick.C:
		}
	}
}

// runCommand runs a command until it ends. An interrupt is not passed on: the
// terminal has already sent it to the whole process group, and to a host the
// second one means "at once".
func runCommand(argv, env []string, signals <-chan os.Signal, stdout, stderr io.Writer) (int, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, stdout, stderr
	cmd.Env = append(os.Environ(), env...)
	if err := cmd.Start(); err != nil {
		return 1, fmt.Errorf("start %s: %w", argv[0], err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			if s != os.Interrupt {
				_ = cmd.Process.Signal(s) // it may have ended just now
			}
		case err := <-ended:
			var exit *exec.ExitError
			switch {
			case err == nil:
				return 0, nil
			case errors.As(err, &exit) && exit.ExitCode() >= 0:
				return exit.ExitCode(), nil
			default:
				return 1, fmt.Errorf("%s: %w", argv[0], err)
			}
		}
	}
}
