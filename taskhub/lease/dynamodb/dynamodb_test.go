package dynamodb_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/durafunc/durafunc/taskhub/lease"
	"github.com/durafunc/durafunc/taskhub/lease/dynamodb"
	"github.com/durafunc/durafunc/taskhub/lease/dynamodb/dynalitetest"
	"github.com/durafunc/durafunc/taskhub/lease/registertest"
	"github.com/durafunc/durafunc/taskhub/sched"
	"github.com/durafunc/durafunc/taskhub/storage"
)

func TestRegister(t *testing.T) {
	endpoint := dynalitetest.Start(t)
	registertest.Run(t, func(t *testing.T) lease.Register {
		r, err := dynamodb.Open(t.Context(), dynamodb.Config{Table: "leases", Prefix: "hub", Endpoint: endpoint})
		if err != nil {
			t.Fatal(err)
		}
		return r
	})
}

// Hosts that start together on an account without the table all come up, and hubs that
// share it do not see each other's records.
func TestTableIsCreatedOnceAndShared(t *testing.T) {
	endpoint := dynalitetest.Start(t)
	var wg sync.WaitGroup
	for _, hub := range []string{"a", "b", "c"} {
		wg.Go(func() {
			r, err := dynamodb.Open(t.Context(), dynamodb.Config{Table: "shared", Prefix: hub, Endpoint: endpoint})
			if err == nil {
				_, err = r.Create(t.Context(), "p/00/root", []byte(hub))
			}
			if err != nil {
				t.Errorf("hub %s: %v", hub, err)
			}
		})
	}
	wg.Wait()
}

// A session lives in the table as it does in objects.
func TestSession(t *testing.T) {
	r, err := dynamodb.Open(t.Context(), dynamodb.Config{Table: "leases", Endpoint: dynalitetest.Start(t)})
	if err != nil {
		t.Fatal(err)
	}
	cfg := lease.Config{Register: r, Sched: sched.Real(), Prefix: "session/", Lease: time.Hour}
	s, err := lease.Open(t.Context(), cfg, lease.Record{Host: "one"})
	if err != nil {
		t.Fatal(err)
	}
	if !s.Alive() {
		t.Error("a new session is not alive")
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	o := lease.Observer{Config: cfg}
	if rec, err := o.Gone(t.Context(), s.ID()); err != nil || rec.State != lease.Closed {
		t.Errorf("Gone: %v, %v", rec.State, err)
	}
}

func TestErrorsNameTheTable(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	_, err := dynamodb.Open(t.Context(), dynamodb.Config{Table: "leases", Endpoint: "http://127.0.0.1:1"})
	if err == nil || !strings.Contains(err.Error(), "table leases") || errors.Is(err, storage.ErrDenied) {
		t.Errorf("unreachable: %v", err)
	}
	if _, err := dynamodb.Open(t.Context(), dynamodb.Config{}); err == nil {
		t.Error("no table: no error")
	}
}

// What comes too late is not sent, whatever stands there; deleting is for probes.
func TestLateWriteAndDelete(t *testing.T) {
	r, err := dynamodb.Open(t.Context(), dynamodb.Config{Table: "leases", Endpoint: dynalitetest.Start(t)})
	if err != nil {
		t.Fatal(err)
	}
	tag, err := r.Create(storage.Until(t.Context(), time.Now().Add(time.Minute)), "k", []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	late := storage.Until(t.Context(), time.Now().Add(-time.Second))
	if _, err := r.Create(late, "k", []byte("y")); !errors.Is(err, storage.ErrExpired) {
		t.Errorf("late Create: %v", err)
	}
	if _, err := r.Replace(late, "k", tag, []byte("y")); !errors.Is(err, storage.ErrExpired) {
		t.Errorf("late Replace: %v", err)
	}
	for range 2 { // the second finds nothing
		if err := r.Delete(t.Context(), "k"); err != nil {
			t.Error(err)
		}
	}
	if _, _, err := r.Get(t.Context(), "k"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("Get after Delete: %v", err)
	}
}
