package probe

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/durafunc/durafunc/taskhub/storage"
)

const (
	// samples is how many objects are put and got for a median.
	samples = 20
	// slowPut is a median from which a person will notice: every step of an
	// orchestration waits for one PUT at least.
	slowPut = 250 * time.Millisecond
	// cutOff is how many creates are broken off midway.
	cutOff = 10
	// sampleBytes is the size of a commit under little load.
	sampleBytes = 4 << 10
)

// Diagnose tries out everything that a task hub needs of a store, and what its operator
// should know about it. It takes some seconds. Keys begin with prefix and a '/'; all of
// them are gone afterwards. After a store that cannot be reached, or that is unfit, it
// leaves out what would say no more.
func Diagnose(ctx context.Context, store storage.Store, prefix string) []Finding {
	d := &doctor{probe: newProbe(store, prefix)}
	d.run(ctx)
	if err := d.finish(ctx, nil, d.keys...); err != nil {
		d.note(found("cleanup", Warn, "Delete what begins with "+d.prefix+".", "%v", err))
	}
	return d.findings
}

// doctor is one run of Diagnose.
type doctor struct {
	*probe
	keys     []string
	findings []Finding
}

func (d *doctor) note(f Finding) { d.findings = append(d.findings, f) }

// use is a key that is deleted in the end.
func (d *doctor) use(name string) string {
	key := d.key(name)
	d.keys = append(d.keys, key)
	return key
}

func (d *doctor) run(ctx context.Context) {
	reach := judge("reach", d.name+" can be read, written and listed", d.reach(ctx))
	d.note(reach)
	if reach.Level == OK {
		d.note(d.latency(ctx))
		d.note(judge("conditions", "conditional writes are honoured", d.conditions(ctx)))
		if !Failed(d.findings) {
			d.note(judge("race", fmt.Sprintf("of %d writers that race for a key one wins, in %d rounds of creates and %d of replaces", racers, rounds, rounds), d.races(ctx)))
			d.note(judge("ambiguity", "the same bytes sent again are told from another's", d.ambiguity(ctx)))
			d.note(judge("list", "listings are in key order and show what was just written", d.list(ctx)))
			d.note(d.expiry(ctx))
			if f, ok := d.integrity(ctx); ok {
				d.note(f)
			}
		}
	}
	if f, ok := d.clock(); ok {
		d.note(f)
	}
	d.note(d.durability())
}

func (d *doctor) reach(ctx context.Context) error {
	key := d.use("reach")
	if _, err := d.settle(ctx, key, "reach", d.store.Create); err != nil {
		return err
	}
	if _, _, err := d.store.Get(ctx, key); err != nil {
		return err
	}
	if err := d.listed(ctx, key); err != nil {
		return err
	}
	return d.store.Delete(ctx, key)
}

// latency measures one request at a time, with nothing beside it.
func (d *doctor) latency(ctx context.Context) Finding {
	puts, gets := make([]time.Duration, 0, samples), make([]time.Duration, 0, samples)
	body := make([]byte, sampleBytes)
	for n := range samples {
		key := d.use(fmt.Sprintf("latency-%02d", n))
		copy(body, d.body(key))
		start := time.Now()
		if _, err := d.store.Create(ctx, key, body); err != nil {
			return judge("latency", "", err)
		}
		puts = append(puts, time.Since(start))
		start = time.Now()
		if _, _, err := d.store.Get(ctx, key); err != nil {
			return judge("latency", "", err)
		}
		gets = append(gets, time.Since(start))
	}
	put, get := median(puts), median(gets)
	level, advice := OK, ""
	if put > slowPut {
		level, advice = Warn, "Each step of an orchestration waits for a PUT. Use a store that is nearer, or expect slow orchestrations."
	}
	return found("latency", level, advice, "PUT %s, GET %s (median of %d, 4 KiB)", brief(put), brief(get), samples)
}

func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}

// brief is a duration with three digits or so.
func brief(d time.Duration) string {
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	default:
		return d.Round(time.Microsecond).String()
	}
}

func (d *doctor) conditions(ctx context.Context) error {
	if err := d.sequence(ctx, d.use("conditions")); err != nil {
		return err
	}
	return d.missing(ctx, d.use("missing"))
}

func (d *doctor) races(ctx context.Context) error {
	for round := range rounds {
		if err := d.raceBoth(ctx, d.use(fmt.Sprintf("race-%02d", round))); err != nil {
			return err
		}
	}
	return nil
}

// ambiguity checks the way in which a lost answer is resolved: the same bytes again are
// refused if they are there, whoever put them there, and then they can be read.
func (d *doctor) ambiguity(ctx context.Context) error {
	key := d.use("twice")
	body := d.body("twice")
	if _, err := d.settle(ctx, key, "twice", d.store.Create); err != nil {
		return err
	}
	switch _, err := d.store.Create(ctx, key, body); {
	case err == nil:
		return d.unfit("lets the same bytes be created twice: an answer that was lost cannot be told from another's write")
	case !errors.Is(err, storage.ErrConflict):
		return err
	}
	for n := range cutOff {
		name := fmt.Sprintf("cut-off-%02d", n)
		if err := d.broken(ctx, d.use(name), name); err != nil {
			return err
		}
	}
	return nil
}

// broken breaks a create off at a moment that differs from time to time, and settles it.
func (d *doctor) broken(ctx context.Context, key, content string) error {
	short, cancel := context.WithTimeout(ctx, time.Duration(rand.Int64N(int64(5*time.Millisecond))))
	_, err := d.store.Create(short, key, d.body(content))
	cancel()
	if err == nil || isVerdict(err) {
		return err
	}
	for range attempts {
		if _, err = d.store.Create(ctx, key, d.body(content)); err == nil || isVerdict(err) {
			break
		}
	}
	if err != nil && !errors.Is(err, storage.ErrConflict) {
		return err
	}
	got, _, err := d.store.Get(ctx, key)
	if err != nil {
		return err
	}
	if string(got) != string(d.body(content)) {
		return d.unfit("stores other bytes than it was sent after a create was broken off")
	}
	return nil
}

// list checks the order, with names that file systems and hash tables get wrong.
func (d *doctor) list(ctx context.Context) error {
	var want []string
	for _, name := range []string{"list/a0", "list/a/b", "list/a-b", "list/b", "list/a.b", "list/a_"} {
		key := d.use(name)
		want = append(want, key)
		if _, err := d.settle(ctx, key, name, d.store.Create); err != nil {
			return err
		}
		if err := d.listed(ctx, key); err != nil {
			return err
		}
	}
	slices.Sort(want)
	var got []string
	for e, err := range d.store.List(ctx, d.key("list/"), "") {
		if err != nil {
			return err
		}
		got = append(got, e.Key)
	}
	if !slices.Equal(got, want) {
		return d.unfit("lists %d of %d objects, or not in the order of their keys; recovery would miss records", len(got), len(want))
	}
	return nil
}
