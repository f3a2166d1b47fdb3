package sim

import (
	"math"
	"time"

	"github.com/durafunc/durafunc/taskhub/storage/faulty"
)

// Weather is how the bucket behaves at the moment; the zero Weather is a calm one.
type Weather struct {
	// Writes and Reads are the rates of the faults of single requests.
	Writes, Reads faulty.Rates
	// Down: every request fails. Throttled: most of them do, with a 503.
	Down, Throttled bool
	// Slow stretches every latency. SlowAnswers is the share of writes that take effect and
	// are answered only seconds later, SlowRoots the same for roots alone, and SlowLists how long a page of a listing takes at most.
	Slow, SlowAnswers, SlowRoots float64
	SlowLists                    time.Duration
	// Damaged is the share of reads whose answer is damaged though the object is whole.
	Damaged float64
	// NoReads, NoWrites: permission to do so is taken away; without the former there is none
	// for writes either.
	NoReads, NoWrites bool
	// Held is the share of requests that have not left the host yet when they are
	// under way: a freeze holds them back and a crash ends them.
	Held float64
	// SignsLate lets requests that are held be signed when they leave, not when the
	// engine asked for them.
	SignsLate bool
	// Traps is the share of held commits whose host freezes at that very moment.
	Traps float64
}

// signedFor is how long a store accepts a signature, and so the latest moment at which
// a write can land: S3 refuses a request whose date is more than 15 minutes away.
const signedFor = 15 * time.Minute

// throttledRate is the share of requests that a throttled bucket refuses.
const throttledRate = 0.8

// fate is the fault of one request.
func (b *Bucket) fate(op faulty.Op) faulty.Fault {
	w := b.w
	switch {
	case b.Weather.Down:
		if w.chance(0.2) {
			return faulty.Hang
		}
		return faulty.FailBefore
	case b.Weather.Throttled && w.chance(throttledRate):
		return faulty.FailBefore
	}
	rates := b.Weather.Reads
	if op.IsWrite() {
		rates = b.Weather.Writes
	}
	if rates == (faulty.Rates{}) {
		return faulty.Pass
	}
	return faulty.Drawn(w.rng, rates)(op, "")
}

// latency draws one way of a request: a few milliseconds, with a heavy tail.
func (b *Bucket) latency() time.Duration {
	w := b.w
	ms := 2 * math.Exp(0.7*w.rng.NormFloat64())
	switch draw := w.rng.Float64(); {
	case draw < 0.001:
		ms *= 500
	case draw < 0.01:
		ms *= 30
	}
	return time.Duration(ms * (1 + b.Weather.Slow) * float64(time.Millisecond))
}

// lateness draws how long after its error a late write lands: mostly soon, and never
// after its signature has expired.
func (b *Bucket) lateness() time.Duration {
	return time.Duration(math.Pow(b.w.rng.Float64(), 4) * float64(signedFor))
}
