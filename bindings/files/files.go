// Package files keeps files that function apps publish: objects in the task hub's
// store that anybody who knows their random URL can fetch until they expire.
package files

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"mime"
	"strings"
	"time"

	"github.com/durafunc/durafunc/taskhub"
	"github.com/durafunc/durafunc/taskhub/storage"
)

// Prefix begins the keys of all files: file/<32 hex digits>/<name>.
const Prefix = "file/"

// Path begins the path of all URLs: /files/<32 hex digits>/<name>.
const Path = "/files/"

// DefaultTTL is how long a file can be fetched.
const DefaultTTL = 24 * time.Hour

// MaxBody is the largest file in bytes: what fits an object with its header.
const MaxBody = storage.MaxObject - maxHeader

const idBytes = 16

// Errors of Store.
var (
	// ErrInvalid means that the name, the content type or the size cannot be taken;
	// it is a taskhub.ErrInvalidArgument.
	ErrInvalid = fmt.Errorf("invalid file: %w", taskhub.ErrInvalidArgument)
	// ErrNotFound means that there is no such file.
	ErrNotFound = errors.New("file not found")
	// ErrExpired means that the file was there and its time is over.
	ErrExpired = errors.New("file has expired")
)

// Options configures a Store. Objects and BaseURL are required.
type Options struct {
	Objects storage.Store
	BaseURL string           // of the host, without a path: https://host:7071
	TTL     time.Duration    // 0: DefaultTTL
	Now     func() time.Time // nil: the system's clock
}

// Store puts and gets files. Its methods may be called concurrently.
type Store struct {
	opt Options
}

// New makes a Store.
func New(opt Options) *Store {
	if opt.TTL <= 0 {
		opt.TTL = DefaultTTL
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	opt.BaseURL = strings.TrimRight(opt.BaseURL, "/")
	return &Store{opt: opt}
}

// File is a stored file.
type File struct {
	Name        string
	ContentType string
	Expires     time.Time
	Body        []byte
}

// Put stores a file under a new random id and returns its URL. An empty
// contentType is guessed from the name's ending.
func (s *Store) Put(ctx context.Context, name, contentType string, body []byte) (string, error) {
	if contentType == "" {
		contentType = guessType(name)
	}
	if err := check(name, contentType, len(body)); err != nil {
		return "", err
	}
	var id [idBytes]byte
	if _, err := rand.Read(id[:]); err != nil {
		return "", fmt.Errorf("put file %s: %w", name, err)
	}
	path := hex.EncodeToString(id[:]) + "/" + name
	object := encode(File{ContentType: contentType, Expires: s.opt.Now().Add(s.opt.TTL), Body: body})
	if err := s.create(ctx, Prefix+path, object); err != nil {
		return "", fmt.Errorf("put file %s: %w", name, err)
	}
	return s.opt.BaseURL + Path + path, nil
}

// create writes an object whose random key nobody else has. The same bytes are
// sent again after an unclear answer, so a conflict is our own earlier attempt.
func (s *Store) create(ctx context.Context, key string, object []byte) error {
	const attempts = 3
	var err error
	for i := range attempts {
		_, err = s.opt.Objects.Create(ctx, key, object)
		switch {
		case err == nil, i > 0 && errors.Is(err, storage.ErrConflict):
			return nil
		case ctx.Err() != nil, errors.Is(err, storage.ErrConflict), errors.Is(err, storage.ErrDenied),
			errors.Is(err, storage.ErrInvalidKey), errors.Is(err, storage.ErrTooLarge):
			return err
		}
	}
	return err
}

// Get reads a file: ErrNotFound, ErrExpired.
func (s *Store) Get(ctx context.Context, id, name string) (*File, error) {
	if raw, err := hex.DecodeString(id); err != nil || len(raw) != idBytes || strings.ToLower(id) != id {
		return nil, fmt.Errorf("%w: %s/%s", ErrNotFound, id, name)
	}
	if err := checkName(name); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	object, _, err := s.opt.Objects.Get(ctx, Prefix+id+"/"+name)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, fmt.Errorf("%w: %s/%s", ErrNotFound, id, name)
	}
	if err != nil {
		return nil, fmt.Errorf("get file %s: %w", name, err)
	}
	f, err := decode(object)
	if err != nil {
		return nil, fmt.Errorf("get file %s: %w", name, err)
	}
	f.Name = name
	if !s.opt.Now().Before(f.Expires) {
		return nil, fmt.Errorf("%w: %s/%s", ErrExpired, id, name)
	}
	return f, nil
}

// Sweep removes the files that expired at least grace ago and returns how many; until
// then they are answered as expired. Age counts from the store's own time of
// writing, so nothing is read.
func (s *Store) Sweep(ctx context.Context, grace time.Duration) (removed int, err error) {
	before := s.opt.Now().Add(-s.opt.TTL - grace)
	for e, err := range s.opt.Objects.List(ctx, Prefix, "") {
		if err != nil {
			return removed, fmt.Errorf("sweep files: %w", err)
		}
		if e.Modified.After(before) {
			continue
		}
		if err := s.opt.Objects.Delete(ctx, e.Key); err != nil {
			return removed, fmt.Errorf("sweep files: %w", err)
		}
		removed++
	}
	return removed, nil
}

func check(name, contentType string, size int) error {
	if err := checkName(name); err != nil {
		return err
	}
	// ParseMediaType also takes dispositions, which have no slash.
	if t, _, err := mime.ParseMediaType(contentType); err != nil || !strings.Contains(t, "/") || len(contentType) > maxType {
		return fmt.Errorf("%w: content type %q", ErrInvalid, contentType)
	}
	if size > MaxBody {
		return fmt.Errorf("%w: %s: %d bytes, at most %d", ErrInvalid, name, size, MaxBody)
	}
	return nil
}

// checkName allows what is a key segment in every store, less what hides or
// confuses a path.
func checkName(name string) error {
	if strings.ContainsAny(name, "/=") || strings.HasPrefix(name, ".") || storage.CheckKey(name) != nil {
		return fmt.Errorf("%w: name %q: 1 to 200 letters, digits, '.', '-' and '_', not beginning with '.'",
			ErrInvalid, name)
	}
	return nil
}

func guessType(name string) string {
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		if t := mime.TypeByExtension(name[i:]); t != "" {
			return t
		}
	}
	return "application/octet-stream"
}
