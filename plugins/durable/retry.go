package durable

import (
	"math"
	"time"

	"github.com/durafunc/durafunc/taskhub/history"
)

// MaxRetryDelay is the longest delay between two attempts (F§1.4).
const MaxRetryDelay = 6 * 24 * time.Hour

// RetryPolicy says when a failed activity or sub-orchestration is called again.
// The delays are durable timers. The last attempt's failure is what the caller sees.
type RetryPolicy struct {
	// FirstRetryInterval is the delay before the second attempt; more than 0 and
	// at most MaxRetryDelay.
	FirstRetryInterval time.Duration
	// MaxNumberOfAttempts counts all attempts, the first included; at least 1.
	MaxNumberOfAttempts int
	// BackoffCoefficient multiplies the delay after each attempt; at least 1, 0 means 1.
	BackoffCoefficient float64
	// MaxRetryInterval caps one delay; 0 means MaxRetryDelay, which is also its limit.
	MaxRetryInterval time.Duration
	// RetryTimeout stops retrying this long after the first attempt began; 0: never.
	RetryTimeout time.Duration
	// Handle decides by the failure whether to go on; nil: always. It must be a
	// function of its argument alone and may make no durable calls. A panic in it
	// means no.
	Handle func(*TaskFailedError) bool
}

// normalized checks p and fills in its defaults.
func (p RetryPolicy) normalized() (RetryPolicy, error) {
	if p.BackoffCoefficient == 0 {
		p.BackoffCoefficient = 1
	}
	if p.MaxRetryInterval == 0 {
		p.MaxRetryInterval = MaxRetryDelay
	}
	switch {
	case p.MaxNumberOfAttempts < 1:
		return p, invalid("RetryPolicy.MaxNumberOfAttempts is %d, it must be at least 1", p.MaxNumberOfAttempts)
	case p.FirstRetryInterval <= 0 || p.FirstRetryInterval > MaxRetryDelay:
		return p, invalid("RetryPolicy.FirstRetryInterval is %s, it must be more than 0 and at most %s", p.FirstRetryInterval, MaxRetryDelay)
	case !(p.BackoffCoefficient >= 1): // refuses NaN too
		return p, invalid("RetryPolicy.BackoffCoefficient is %v, it must be at least 1", p.BackoffCoefficient)
	case p.MaxRetryInterval < 0 || p.MaxRetryInterval > MaxRetryDelay:
		return p, invalid("RetryPolicy.MaxRetryInterval is %s, it must be more than 0 and at most %s", p.MaxRetryInterval, MaxRetryDelay)
	case p.RetryTimeout < 0:
		return p, invalid("RetryPolicy.RetryTimeout is %s, it must not be negative", p.RetryTimeout)
	}
	return p, nil
}

// delay is the pause after the given attempt, counted from 1 (F§1.4 R1).
func (p *RetryPolicy) delay(attempt int) time.Duration {
	d := float64(p.FirstRetryInterval) * math.Pow(p.BackoffCoefficient, float64(attempt-1))
	if d >= float64(p.MaxRetryInterval) { // also +Inf
		return p.MaxRetryInterval
	}
	return time.Duration(d)
}

// wants asks Handle, whose panic means no (F§1.4 R3).
func (p *RetryPolicy) wants(err *TaskFailedError) (again bool) {
	if p.Handle == nil {
		return true
	}
	defer func() {
		if recover() != nil {
			again = false
		}
	}()
	return p.Handle(err)
}

// retrier hears of the end of each attempt of a call with a policy.
type retrier struct {
	f       *future
	call    call
	policy  RetryPolicy
	first   time.Time // when the first attempt was asked for
	attempt int       // the present one, from 1
}

func (r *retrier) settle(x *execution, o outcome) {
	if o.failure == nil {
		r.f.finish(o.payload, nil)
		return
	}
	failed := x.taskFailed(r.f, o.failure)
	if !r.again(x, o.failure, failed) {
		r.f.finish(nil, failed)
		return
	}
	x.startTimer(x.now.Add(r.policy.delay(r.attempt)), (*retryDelay)(r))
}

func (r *retrier) again(x *execution, d *history.TaskFailureDetails, failed *TaskFailedError) bool {
	p := &r.policy
	return !d.IsNonRetriable && r.attempt < p.MaxNumberOfAttempts &&
		(p.RetryTimeout == 0 || x.now.Before(r.first.Add(p.RetryTimeout))) &&
		p.wants(failed)
}

// retryDelay is a retrier that waits for its timer.
type retryDelay retrier

func (r *retryDelay) settle(x *execution, _ outcome) {
	r.attempt++
	r.f.id = x.schedule(&r.call, (*retrier)(r))
}
