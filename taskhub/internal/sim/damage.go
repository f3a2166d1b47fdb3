package sim

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/storage/faulty"
)

// errRace is what S3 answers when another conditional request on the key is under way: no
// verdict.
var errRace = errors.New("409 conditional request conflict")

// denied says why the bucket does not let a host do op now, if it does not.
func (b *Bucket) denied(op faulty.Op) error {
	if b.Weather.NoReads || b.Weather.NoWrites && op.IsWrite() {
		return fmt.Errorf("%w: 403 forbidden", storage.ErrDenied)
	}
	return nil
}

// refusal is what a request that the bucket turns away is told.
func (b *Bucket) refusal(op faulty.Op) error {
	if op.IsWrite() && b.w.chance(0.3) {
		return errRace
	}
	return errRefused
}

// answering is how long an answer takes beyond its latency.
func (b *Bucket) answering(op faulty.Op, key string) time.Duration {
	switch {
	case op == faulty.List:
		return b.w.upTo(b.Weather.SlowLists)
	case op.IsWrite() && b.w.chance(b.Weather.SlowAnswers), strings.HasSuffix(key, "/root") && op.IsWrite() && b.w.chance(b.Weather.SlowRoots):
		return b.w.upTo(10 * time.Second)
	}
	return 0
}

// mostDamaged is how many answers about one object a process gets damaged at most: the
// object is whole, and whoever reads it often enough finds out.
const mostDamaged = 2

// spoiled damages the answer to a GET: it is cut short, or a bit of it is flipped.
func (s *hostStore) spoiled(key string, body []byte) []byte {
	w := s.b.w
	if len(body) == 0 || !w.chance(s.b.Weather.Damaged) || s.h.damaged[key] == mostDamaged {
		return body
	}
	if s.h.damaged == nil {
		s.h.damaged = map[string]int{}
	}
	s.h.damaged[key]++
	at := w.rng.IntN(len(body))
	if w.chance(0.5) {
		w.tracef("%s get %s: the answer is cut short", s.h.name, key)
		return body[:at]
	}
	w.tracef("%s get %s: a bit of the answer is flipped", s.h.name, key)
	body = bytes.Clone(body)
	body[at] ^= 1 << w.rng.IntN(8)
	return body
}

// rot flips a bit of a session where it is kept. Its tag may be a hash of its content, or a
// version that does not change with it. Sessions are the objects that a hub replaces when
// they are damaged; what it parks a partition for needs a person.
func (b *Bucket) rot() {
	var sessions []string
	for _, key := range b.keys {
		if strings.HasPrefix(key, "session/") {
			sessions = append(sessions, key)
		}
	}
	if len(sessions) == 0 {
		return
	}
	key := sessions[b.w.rng.IntN(len(sessions))]
	o := *b.objects[key]
	o.body = bytes.Clone(o.body)
	o.body[b.w.rng.IntN(len(o.body))] ^= 1 << b.w.rng.IntN(8)
	hashed := b.w.chance(0.5)
	if hashed {
		o.tag = tagOf(o.body)
	}
	b.w.tracef("a bit of %s flips where it is kept; its tag changes: %v", key, hashed)
	b.objects[key] = &o
}
