// Package probe finds out whether a store keeps the promises on which exactly-once
// rests. A store that ignores conditions answers success to everybody, and one that
// checks and writes in two steps does so only under a race: silence is the danger,
// two hosts would own one partition (E§A5.4).
//
// Race is for the creation of a hub, Quick for each start of a host, and Diagnose is what
// "durafunc doctor" shows. They leave nothing behind unless they are killed.
package probe

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/durafunc/durafunc/taskhub/storage"
)

const (
	// rounds and racers: stores that let two of them win did so in most rounds.
	// 1,300 PUTs, two thirds of a cent, under ten seconds.
	rounds = 20
	racers = 32

	// attempts bounds how often a request without a verdict is sent again.
	attempts = 5
	// pause is before the second attempt; it doubles with each.
	pause = 50 * time.Millisecond
	// cleanupTimeout bounds the deletions after a probe whose context has ended.
	cleanupTimeout = 30 * time.Second
)

// ErrUnfit means that the store breaks its contract. The error says how, in words
// for whoever chose the store. Other errors say nothing about it: the store could
// not be reached, or refused.
var ErrUnfit = errors.New("this store cannot hold a task hub")

// Quick sends the few requests that show whether the store knows conditional
// writes at all: create, create again, replace, replace with the old tag. Keys
// begin with prefix and a '/', which has the form of a key.
func Quick(ctx context.Context, store storage.Store, prefix string) error {
	p := newProbe(store, prefix)
	key := p.key("quick")
	return p.finish(ctx, p.sequence(ctx, key), key)
}

// Race also lets 32 writers race for one key, 20 times with Create and 20 times
// with Replace, and checks reads, listings and missing keys. It takes seconds.
func Race(ctx context.Context, store storage.Store, prefix string) error {
	p := newProbe(store, prefix)
	// Sequence first: what it finds can be reported in simpler words.
	keys := []string{p.key("quick"), p.key("missing")}
	err := p.sequence(ctx, keys[0])
	if err == nil {
		err = p.missing(ctx, keys[1])
	}
	for round := 0; round < rounds && err == nil; round++ {
		key := p.key(fmt.Sprintf("race-%02d", round))
		keys = append(keys, key)
		if err = p.raceBoth(ctx, key); err == nil {
			err = p.listed(ctx, key)
		}
	}
	return p.finish(ctx, err, keys...)
}

// probe is one run on keys that nobody else uses.
type probe struct {
	store  storage.Store
	name   string
	prefix string
}

func newProbe(store storage.Store, prefix string) *probe {
	p := &probe{store: store, name: fmt.Sprintf("%T", store), prefix: prefix + "/probe-" + rand.Text()}
	if s, ok := store.(fmt.Stringer); ok {
		p.name = s.String()
	}
	return p
}

// key is in the folder of all probes, so that on files none leaves an empty one behind.
func (p *probe) key(name string) string { return p.prefix + "-" + name }

// unfit is the error about the store; what completes "the store ...".
func (p *probe) unfit(what string, args ...any) error {
	return &unfitError{name: p.name, what: fmt.Sprintf(what, args...)}
}

// unfitError is an ErrUnfit.
type unfitError struct{ name, what string }

// fitStores tells what would do.
const fitStores = "Use a store with atomic conditional writes (AWS S3, MinIO, Ceph RGW, Cloudflare R2, versitygw 1.8 or newer, or a directory)"

// Error says what the store does, what that would do, and which store to use.
func (e *unfitError) Error() string {
	return fmt.Sprintf("%v: %s %s; two hosts could own the same work. %s", ErrUnfit, e.name, e.what, fitStores)
}

// Unwrap returns ErrUnfit.
func (e *unfitError) Unwrap() error { return ErrUnfit }

func (p *probe) failed(what string, err error) error {
	return fmt.Errorf("probe of %s: %s: %w", p.name, what, err)
}

// sequence is the probe without races.
func (p *probe) sequence(ctx context.Context, key string) error {
	first, err := p.settle(ctx, key, "first", p.store.Create)
	if err != nil {
		return p.failed("create", err)
	}
	switch err := p.refused(ctx, key, "second", p.store.Create); {
	case err == nil:
		return p.unfit("ignores the condition of a create (If-None-Match: *): it overwrote an object that existed")
	case !errors.Is(err, storage.ErrConflict):
		return p.failed("create of an existing key", err)
	}
	replace := func(tag storage.Tag) func(context.Context, string, []byte) (storage.Tag, error) {
		return func(ctx context.Context, key string, body []byte) (storage.Tag, error) {
			return p.store.Replace(ctx, key, tag, body)
		}
	}
	second, err := p.settle(ctx, key, "second", replace(first))
	if errors.Is(err, storage.ErrConflict) {
		return p.unfit("refuses a replace that names the current version (If-Match): its tags cannot be used")
	}
	if err != nil {
		return p.failed("replace", err)
	}
	if second == first {
		return p.unfit("gives two versions of an object one tag (%s)", first)
	}
	switch err := p.refused(ctx, key, "third", replace(first)); {
	case err == nil:
		return p.unfit("ignores the condition of a replace (If-Match): it overwrote a newer version")
	case !errors.Is(err, storage.ErrConflict):
		return p.failed("replace with an old tag", err)
	}
	return nil
}

// settle sends one write until there is a verdict. A conflict after an attempt
// without one may be with ourselves: then the object holds our body.
func (p *probe) settle(ctx context.Context, key, content string, write func(context.Context, string, []byte) (storage.Tag, error)) (storage.Tag, error) {
	body := p.body(content)
	var err error
	for attempt := range attempts {
		var tag storage.Tag
		if tag, err = write(ctx, key, body); err == nil {
			return tag, nil
		}
		if errors.Is(err, storage.ErrConflict) && attempt > 0 {
			got, tag, getErr := p.store.Get(ctx, key)
			switch {
			case getErr == nil && string(got) == string(body):
				return tag, nil
			case getErr != nil: // whose write it was is still open
				err = getErr
			}
		}
		// MinIO also denies a write whose directory goes at the same moment with the last
		// object in it, as when hosts that start together clean up their probes.
		if isVerdict(err) && !errors.Is(err, storage.ErrDenied) || !p.again(ctx, attempt) {
			break
		}
	}
	return "", err
}

// refused sends one write that has to be refused until there is a verdict.
func (p *probe) refused(ctx context.Context, key, content string, write func(context.Context, string, []byte) (storage.Tag, error)) error {
	var err error
	for attempt := range attempts {
		if _, err = write(ctx, key, p.body(content)); err == nil || isVerdict(err) || !p.again(ctx, attempt) {
			break
		}
	}
	return err
}

// again pauses before the next attempt, and reports whether there is one.
func (p *probe) again(ctx context.Context, attempt int) bool {
	if attempt == attempts-1 {
		return false
	}
	select {
	case <-time.After(pause << attempt):
		return true
	case <-ctx.Done():
		return false
	}
}

// body makes content unique to this probe, so that no tag comes back.
func (p *probe) body(content string) []byte { return []byte(p.prefix + " " + content) }

// missing checks what a store says about keys that do not exist.
func (p *probe) missing(ctx context.Context, key string) error {
	if _, _, err := p.store.Get(ctx, key); !errors.Is(err, storage.ErrNotFound) {
		return p.failed("get of a missing key", errOr(err, "it has content"))
	}
	switch _, err := p.store.Replace(ctx, key, "00000000000000000000000000000000", p.body("x")); {
	case err == nil:
		return p.unfit("creates an object that a replace (If-Match) wanted to exist")
	case !errors.Is(err, storage.ErrConflict):
		return p.failed("replace of a missing key", err)
	}
	if err := p.store.Delete(ctx, key); err != nil {
		return p.failed("delete of a missing key", err)
	}
	return nil
}

// raceBoth lets writers race to create key and then to replace it.
func (p *probe) raceBoth(ctx context.Context, key string) error {
	tag, err := p.race(ctx, key, "create", "a key that must be absent (If-None-Match: *)", p.store.Create)
	if err != nil {
		return err
	}
	_, err = p.race(ctx, key, "replace", "one version (If-Match)", func(ctx context.Context, key string, body []byte) (storage.Tag, error) {
		return p.store.Replace(ctx, key, tag, body)
	})
	return err
}

// race lets all racers write at once and returns the winner's tag.
func (p *probe) race(ctx context.Context, key, verb, condition string, write func(context.Context, string, []byte) (storage.Tag, error)) (storage.Tag, error) {
	errs := make([]error, racers)
	body := func(i int) string { return string(p.body(fmt.Sprintf("%s %d", verb, i))) }
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range racers {
		wg.Go(func() {
			<-start
			_, errs[i] = write(ctx, key, []byte(body(i)))
		})
	}
	close(start)
	wg.Wait()

	// An answer without a verdict (CoreWeave's losers get 409) may have been
	// applied. Such a racer sends the same again after the race: it is now a
	// conflict, if anybody has won.
	unknown := make(map[string]bool)
	wins := 0
	var winner string
	for i := range racers {
		if errs[i] != nil && !isVerdict(errs[i]) {
			unknown[body(i)] = true
			for n := 0; n < attempts && errs[i] != nil && !isVerdict(errs[i]) && ctx.Err() == nil; n++ {
				_, errs[i] = write(ctx, key, []byte(body(i)))
			}
		}
		switch {
		case errs[i] == nil:
			wins++
			winner = body(i)
		case !errors.Is(errs[i], storage.ErrConflict):
			return "", p.failed(fmt.Sprintf("race to %s", verb), errs[i])
		}
	}
	if wins > 1 {
		return "", p.unfit("let %d of %d racing writers win a %s of %s", wins, racers, verb, condition)
	}
	got, tag, err := p.store.Get(ctx, key)
	if err != nil {
		return "", p.failed(fmt.Sprintf("get after a race to %s", verb), err)
	}
	switch {
	case wins == 1 && string(got) != winner:
		return "", p.unfit("told one writer that its %s succeeded and stored that of another", verb)
	case wins == 0 && !unknown[string(got)]:
		return "", p.unfit("let none of %d racing writers win a %s of %s", racers, verb, condition)
	}
	return tag, nil
}

// listed checks that a listing shows a write that returned before.
func (p *probe) listed(ctx context.Context, key string) error {
	for e, err := range p.store.List(ctx, key, "") {
		if err != nil {
			return p.failed("list", err)
		}
		if e.Key == key {
			return nil
		}
	}
	return p.unfit("does not list an object right after it was written")
}

// finish deletes keys, also when the probe failed or its context has ended. A
// deletion that fails is reported only if nothing else is wrong.
func (p *probe) finish(ctx context.Context, found error, keys ...string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	for _, key := range keys {
		err := p.store.Delete(ctx, key)
		for attempt := 0; err != nil && found == nil && !isVerdict(err) && p.again(ctx, attempt); attempt++ {
			err = p.store.Delete(ctx, key)
		}
		if err != nil {
			if found == nil {
				found = p.failed("clean up", err)
			}
			break // the store is not well; do not wait for it once a key
		}
	}
	return found
}

func isVerdict(err error) bool {
	for _, v := range []error{storage.ErrNotFound, storage.ErrConflict, storage.ErrDenied, storage.ErrInvalidKey, storage.ErrTooLarge} {
		if errors.Is(err, v) {
			return true
		}
	}
	return false
}

func errOr(err error, text string) error {
	if err != nil {
		return err
	}
	return errors.New(text)
}
