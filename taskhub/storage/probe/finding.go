package probe

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/durafunc/durafunc/taskhub/storage"
)

// Level says how bad a Finding is.
type Level string

// The levels. With Fail a store must not be used for a task hub, or cannot be used now;
// with Warn somebody should know.
const (
	OK   Level = "ok"
	Warn Level = "warn"
	Fail Level = "fail"
)

// Finding is what one check found out, in words for whoever runs the host.
type Finding struct {
	// Check names the check for scripts, as "race".
	Check string `json:"check"`
	Level Level  `json:"level"`
	// Found is what was seen.
	Found string `json:"found"`
	// Advice is what to do about it, if anything.
	Advice string `json:"advice,omitempty"`
}

func found(check string, level Level, advice, format string, args ...any) Finding {
	return Finding{Check: check, Level: level, Found: fmt.Sprintf(format, args...), Advice: advice}
}

// judge makes a Finding of a check that ended with err: good if it is nil.
func judge(check, good string, err error) Finding {
	var unfit *unfitError
	switch {
	case err == nil:
		return found(check, OK, "", "%s", good)
	case errors.As(err, &unfit):
		return found(check, Fail, "Do not keep a task hub there: work could be lost or done twice. "+fitStores+".", "the store %s", unfit.what)
	default:
		return found(check, Fail, adviceFor(err), "%v", err)
	}
}

// adviceFor says what may help against an error that is no fault of the store's.
func adviceFor(err error) string {
	switch {
	case errors.Is(err, storage.ErrDenied):
		return "Check the credentials, and that they may get, put, delete and list objects below the hub's prefix."
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return "The store did not answer in time: check the network to it, and run this again."
	default:
		return "Check storageProvider in host.json and that the store runs, and run this again."
	}
}

// Failed reports whether a finding is a Fail.
func Failed(findings []Finding) bool {
	for _, f := range findings {
		if f.Level == Fail {
			return true
		}
	}
	return false
}

// Register is a store of single records, such as a table: what sessions and roots need,
// and Delete to clean up.
type Register interface {
	Get(ctx context.Context, key string) ([]byte, storage.Tag, error)
	Create(ctx context.Context, key string, body []byte) (storage.Tag, error)
	Replace(ctx context.Context, key string, old storage.Tag, body []byte) (storage.Tag, error)
	Delete(ctx context.Context, key string) error
}

// registerStore lets a Register be probed like a store.
type registerStore struct{ Register }

func (registerStore) List(context.Context, string, string) iter.Seq2[storage.Entry, error] {
	return func(func(storage.Entry, error) bool) {}
}

// DiagnoseRegister lets writers race for records whose keys begin with prefix and a '/',
// and removes them. The finding is named "leases".
func DiagnoseRegister(ctx context.Context, r Register, prefix string) Finding {
	p := newProbe(registerStore{r}, prefix)
	keys := []string{p.key("quick"), p.key("race")}
	err := p.sequence(ctx, keys[0])
	for range registerRounds {
		if err == nil {
			err = p.raceBoth(ctx, keys[1])
		}
		if err == nil {
			err = r.Delete(ctx, keys[1])
		}
	}
	return judge("leases", fmt.Sprintf("of %d writers that race for a record one wins, in %d rounds", racers, 2*registerRounds), p.finish(ctx, err, keys...))
}

// registerRounds is fewer than rounds: a table is one implementation, not one of dozens.
const registerRounds = 5
