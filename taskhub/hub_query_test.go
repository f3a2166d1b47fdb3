package taskhub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/durafunc/durafunc/taskhub/checked"
	"github.com/durafunc/durafunc/taskhub/cluster"
	"github.com/durafunc/durafunc/taskhub/core"
	"github.com/durafunc/durafunc/taskhub/history"
	"github.com/durafunc/durafunc/taskhub/layout"
	"github.com/durafunc/durafunc/taskhub/storage"
	"github.com/durafunc/durafunc/taskhub/work"
)

// pages lists everything that matches, and checks the promises of a page.
func pages(t *testing.T, h *hubHost, q Query) (ids []string) {
	t.Helper()
	for n := 0; ; n++ {
		page, err := h.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if q.Top > 0 && len(page.Instances) > q.Top || page.Token != "" && len(page.Instances) == 0 || n > 1000 {
			t.Fatalf("page %d of at most %d: %d instances, token %q", n, q.Top, len(page.Instances), page.Token)
		}
		for _, i := range page.Instances {
			ids = append(ids, i.ID)
		}
		if q.Token = page.Token; q.Token == "" {
			return ids
		}
	}
}

func sorted(ids []string) []string { return slices.Sorted(slices.Values(ids)) }

func TestListOverPartitions(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		h := host(t, b, partitions(4), running(nothing))
		var early, late []string
		for n := range 60 {
			id := fmt.Sprintf("a%02d", n)
			h.begin(t, id)
			early = append(early, id)
		}
		time.Sleep(time.Hour)
		middle := time.Now()
		time.Sleep(time.Hour)
		for n := range 40 {
			id := fmt.Sprintf("b%02d", n)
			h.begin(t, id)
			late = append(late, id)
		}
		for n, id := range early {
			if n%3 == 0 {
				if err := h.Terminate(t.Context(), id, "x", false); err != nil {
					t.Fatal(err)
				}
			}
		}
		all := append(slices.Clone(early), late...)
		for _, tt := range []struct {
			name string
			q    Query
			want func(id string) bool
		}{
			{"everything", Query{}, func(string) bool { return true }},
			{"by prefix", Query{IDPrefix: "b1"}, func(id string) bool { return strings.HasPrefix(id, "b1") }},
			{"by status", Query{Statuses: []Status{history.Terminated}}, func(id string) bool {
				n := slices.Index(early, id)
				return n >= 0 && n%3 == 0
			}},
			{"by two statuses", Query{Statuses: []Status{history.Terminated, history.Running}}, func(string) bool { return true }},
			{"by a status that none has", Query{Statuses: []Status{history.Failed}}, func(string) bool { return false }},
			{"created from", Query{CreatedFrom: middle}, func(id string) bool { return id[0] == 'b' }},
			{"created to", Query{CreatedTo: middle}, func(id string) bool { return id[0] == 'a' }},
			{"created in between", Query{CreatedFrom: middle, CreatedTo: middle.Add(time.Minute)}, func(string) bool { return false }},
			{"all at once", Query{IDPrefix: "a0", Statuses: []Status{history.Running}, CreatedTo: middle}, func(id string) bool {
				n := slices.Index(early, id)
				return n >= 0 && n < 10 && n%3 != 0
			}},
		} {
			var want []string
			for _, id := range all {
				if tt.want(id) {
					want = append(want, id)
				}
			}
			for _, top := range []int{0, 1, 7, 40, 100, 1000} {
				tt.q.Top = top
				if got := pages(t, h, tt.q); !slices.Equal(sorted(got), sorted(want)) {
					t.Errorf("%s, %d a page: %d instances %v, want %d", tt.name, top, len(got), got, len(want))
				}
			}
		}
		// A page by default holds 100; one that is exactly full is the last.
		if page, err := h.List(t.Context(), Query{}); err != nil || len(page.Instances) != 100 || page.Token != "" {
			t.Errorf("%d instances, token %q, %v", len(page.Instances), page.Token, err)
		}
		for _, token := range []string{"x", "1", "-1.0", "4.0", "1.x", "1.-1", "99999999999999999999.0"} {
			if _, err := h.List(t.Context(), Query{Token: token}); !errors.Is(err, ErrInvalidArgument) {
				t.Errorf("token %q: %v", token, err)
			}
		}
	})
}

func TestListShowsNewInstancesAtOnceAndInOrder(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		h := host(t, b, running(nothing))
		ids := names("i", 30)
		for n, id := range ids {
			h.begin(t, id)
			if got := pages(t, h, Query{Top: 4}); !slices.Equal(got, ids[:n+1]) {
				t.Fatalf("after %d starts: %v", n+1, got)
			}
		}
	})
}

func TestPurgeBy(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		h := host(t, b, partitions(4), running(nothing))
		var ended, live []string
		for n := range 50 {
			id := fmt.Sprint("x", n)
			h.begin(t, id)
			if n%2 == 0 {
				if err := h.Terminate(t.Context(), id, "", false); err != nil {
					t.Fatal(err)
				}
				ended = append(ended, id)
			} else {
				live = append(live, id)
			}
		}
		if n, err := h.PurgeBy(t.Context(), Query{IDPrefix: "y"}); n != 0 || err != nil {
			t.Errorf("none matches: %d, %v", n, err)
		}
		// Only finished ones go, whatever the filter says (F§2.3 K37).
		if n, err := h.PurgeBy(t.Context(), Query{Statuses: []Status{history.Running}}); n != 0 || err != nil {
			t.Errorf("running ones: %d, %v", n, err)
		}
		some := 0
		for _, id := range ended {
			if strings.HasPrefix(id, "x1") {
				some++
			}
		}
		if n, err := h.PurgeBy(t.Context(), Query{IDPrefix: "x1"}); n != some || err != nil {
			t.Errorf("with a prefix: %d, %v; want %d", n, err, some)
		}
		if n, err := h.PurgeBy(t.Context(), Query{}); n != len(ended)-some || err != nil {
			t.Errorf("the rest: %d, %v; want %d", n, err, len(ended)-some)
		}
		if got := pages(t, h, Query{}); !slices.Equal(sorted(got), sorted(live)) {
			t.Errorf("left: %v", got)
		}
		if _, err := h.Get(t.Context(), ended[0], GetOptions{}); !errors.Is(err, ErrNotFound) {
			t.Errorf("a purged one: %v", err)
		}
	})
}

// A wait outlives the partition's move to another epoch.
func TestWaitOverAPartitionRestart(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		h := host(t, b, running(func(events []*history.HistoryEvent) []*history.OrchestratorAction {
			for _, e := range events {
				if r := e.GetEventRaised(); r != nil {
					return []*history.OrchestratorAction{completed(0, r.Input.GetValue())}
				}
			}
			return nil
		}))
		h.begin(t, "a")
		answers := make(chan *Instance, 1)
		go func() {
			i, err := h.Wait(t.Context(), "a", GetOptions{Payloads: true})
			if err != nil {
				t.Error(err)
			}
			answers <- i
		}()
		synctest.Wait()
		h.owners.Served()[0].Abandon(errors.New("a bug"))
		synctest.Wait()
		awaitState(t, h, 0, cluster.Serving)
		if e := h.Info()[0].Epoch; e != 2 {
			t.Errorf("epoch %d", e)
		}
		data := `"after"`
		if err := h.RaiseEvent(t.Context(), "a", "go", &data); err != nil {
			t.Fatal(err)
		}
		if i := <-answers; i == nil || i.Status != history.Completed || *i.Output != data {
			t.Errorf("answer %+v", i)
		}
	})
}

// A request that waits for its turn when the partition stops was not begun: it is asked
// again, also if that would do harm to one that was.
func TestRequestsThatWereNotBegunAreAskedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		h := host(t, b, running(nothing))
		h.begin(t, "a")
		p := h.owners.Served()[0]
		began, goOn := make(chan bool), make(chan bool)
		p.Do(func(*core.Core, int64) { began <- true; <-goOn }, func(err error) { t.Error(err) })
		<-began
		p.Abandon(errors.New("a bug"))
		raised := make(chan error, 1)
		go func() { raised <- h.RaiseEvent(t.Context(), "a", "e", nil) }()
		synctest.Wait() // it is behind the end of the partition
		close(goOn)
		if err := <-raised; err != nil {
			t.Error(err)
		}
		h.wantRaised(t, "a", 1)
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		h := host(t, b, running(nothing))
		h.begin(t, "a")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := h.Wait(ctx, "a", GetOptions{Payloads: true}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if _, err := h.Wait(t.Context(), "nobody", GetOptions{Payloads: true}); !errors.Is(err, ErrNotFound) {
			t.Errorf("got %v", err)
		}
	})
}

// A large payload is stored once and read back whole; above the limit it is refused.
func TestLargePayloads(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		var seen string
		h := host(t, b, partitions(4), func(o *Options) {
			x := newInProcess()
			x.activity = func(a *work.Item) string {
				seen = *a.Activity.Input
				return `"` + strings.Repeat("r", 200_000) + `"`
			}
			x.orchestrator = func(events []*history.HistoryEvent) []*history.OrchestratorAction {
				for _, e := range events {
					if c := e.GetTaskCompleted(); c != nil {
						return []*history.OrchestratorAction{completed(1, c.Result.GetValue())}
					}
				}
				input := events[1].GetExecutionStarted().Input
				return []*history.OrchestratorAction{{OrchestratorActionType: &history.OrchestratorAction_ScheduleTask{
					ScheduleTask: &history.ScheduleTaskAction{Name: "Big", Input: input},
				}}}
			}
			o.Exec = x
		})
		input := `"` + strings.Repeat("i", 100_000) + `"`
		if _, err := h.Start(t.Context(), StartRequest{Name: "Big", ID: "a", Input: &input}); err != nil {
			t.Fatal(err)
		}
		i, err := h.Wait(t.Context(), "a", GetOptions{Payloads: true})
		if err != nil {
			t.Fatal(err)
		}
		if i.Status != history.Completed || *i.Input != input || len(*i.Output) != 200_002 {
			t.Errorf("%s, input of %d bytes, output of %d", history.StatusName(i.Status), len(*i.Input), len(*i.Output))
		}
		if i, err := h.Wait(t.Context(), "a", GetOptions{}); err != nil || i.Status != history.Completed || i.Input != nil || i.Output != nil {
			t.Errorf("payloads that nobody asked for: %+v, %v", i, err)
		}
		if !history.IsPayloadRef(seen) {
			t.Errorf("the activity was handed %d bytes, not a reference", len(seen))
		}
		if text, err := h.Payload(t.Context(), seen); err != nil || text != input {
			t.Errorf("the reference reads as %d bytes, %v", len(text), err)
		}
		if n := b.count("payload"); n != 2 {
			t.Errorf("%d payload objects for two payloads", n)
		}
		if plain, err := h.Payload(t.Context(), "just text"); err != nil || plain != "just text" {
			t.Errorf("plain text: %q, %v", plain, err)
		}
		// A list with payloads reads them too, one without does not.
		for _, payloads := range []bool{true, false} {
			page, err := h.List(t.Context(), Query{Payloads: payloads})
			if err != nil || len(page.Instances) != 1 || (page.Instances[0].Input != nil) != payloads || payloads && *page.Instances[0].Input != input {
				t.Errorf("list with payloads %v: %v", payloads, err)
			}
		}
		// A damaged payload is an error, not another text.
		ref, err := history.ParsePayloadRef(seen)
		if err != nil {
			t.Fatal(err)
		}
		key := layout.PartitionPrefix(ref.Partition) + "payload/" + ref.Name
		b.overwrite(t, key, func(x []byte) []byte { x[5] ^= 1; return x })
		if _, err := h.Get(t.Context(), "a", GetOptions{Payloads: true}); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("damaged payload: %v", err)
		}
		if _, err := h.Get(t.Context(), "a", GetOptions{}); err != nil {
			t.Errorf("without payloads: %v", err)
		}
	})
}

func TestPayloadsAboveTheLimit(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		h := host(t, b, func(o *Options) {
			o.MaxPayload = 200_000
			x := newInProcess()
			x.activity = func(*work.Item) string { return `"` + strings.Repeat("r", 200_000) + `"` }
			x.orchestrator = func(events []*history.HistoryEvent) []*history.OrchestratorAction {
				for _, e := range events {
					if f := e.GetTaskFailed(); f != nil {
						return []*history.OrchestratorAction{completed(1, `"`+f.FailureDetails.ErrorType+`"`)}
					}
				}
				return []*history.OrchestratorAction{{OrchestratorActionType: &history.OrchestratorAction_ScheduleTask{
					ScheduleTask: &history.ScheduleTaskAction{Name: "Big"},
				}}}
			}
			o.Exec = x
		})
		input := `"` + strings.Repeat("i", 200_000) + `"`
		if _, err := h.Start(t.Context(), StartRequest{Name: "Big", ID: "a", Input: &input}); !errors.Is(err, ErrPayloadTooLarge) {
			t.Errorf("start: %v", err)
		}
		if _, err := h.Start(t.Context(), StartRequest{Name: "Big", ID: "a"}); err != nil {
			t.Fatal(err)
		}
		i, err := h.Wait(t.Context(), "a", GetOptions{Payloads: true})
		if err != nil || i.Status != history.Completed || *i.Output != `"PayloadTooLarge"` {
			t.Errorf("a result above the limit must fail the call, for good: %+v, %v", i, err)
		}
		h.begin(t, "b")
		if err := h.RaiseEvent(t.Context(), "b", "e", &input); !errors.Is(err, ErrPayloadTooLarge) {
			t.Errorf("event: %v", err)
		}
		if n := b.count("payload"); n != 0 {
			t.Errorf("%d payloads were stored for nothing", n)
		}
	})
}

func TestRequestsThatAreWrong(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		h := host(t, b, running(nothing))
		bad := "{"
		h.begin(t, "a")
		for name, err := range map[string]error{
			"bad id":         func() error { _, err := h.Start(t.Context(), StartRequest{Name: "x", ID: "a/b"}); return err }(),
			"no name":        func() error { _, err := h.Start(t.Context(), StartRequest{ID: "b"}); return err }(),
			"input no JSON":  func() error { _, err := h.Start(t.Context(), StartRequest{Name: "x", Input: &bad}); return err }(),
			"event no JSON":  h.RaiseEvent(t.Context(), "a", "e", &bad),
			"event unnamed":  h.RaiseEvent(t.Context(), "a", "", nil),
			"a forged token": func() error { _, err := h.List(t.Context(), Query{Token: "0"}); return err }(),
		} {
			if !errors.Is(err, ErrInvalidArgument) {
				t.Errorf("%s: %v", name, err)
			}
		}
		r, err := h.Start(t.Context(), StartRequest{Name: "x"})
		if err != nil || len(r.ID) != 32 || r.Replaced {
			t.Errorf("start without an id: %+v, %v", r, err)
		}
		if _, err := h.Start(t.Context(), StartRequest{Name: "x", ID: "a"}); !errors.Is(err, ErrInstanceExists) {
			t.Errorf("a live id: %v", err)
		}
		if err := h.Terminate(t.Context(), "a", `why "so"`, true); err != nil {
			t.Fatal(err)
		}
		i, err := h.Get(t.Context(), "a", GetOptions{Payloads: true})
		if err != nil || *i.Output != `"why \"so\""` || i.Completed.IsZero() {
			t.Errorf("%+v, %v", i, err)
		}
		if r, err := h.Start(t.Context(), StartRequest{Name: "x", ID: "a"}); err != nil || !r.Replaced {
			t.Errorf("a finished id: %+v, %v", r, err)
		}
	})
}

// A request waits a little for its partition; a longer wait is an error that says why.
func TestRequestsWhileOpening(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		first := host(t, b, running(nothing))
		first.begin(t, "a")
		first.crash()
		second := host(t, b, running(nothing))
		since := time.Now()
		_, err := second.Get(t.Context(), "a", GetOptions{})
		if took := time.Since(since); !errors.Is(err, ErrUnavailable) || took < 4*time.Second || took > 6*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
		time.Sleep(8 * time.Second) // the lease ends at 15 s
		if _, err := second.Get(t.Context(), "a", GetOptions{}); err != nil {
			t.Errorf("a request shortly before the partition opens: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := second.Start(ctx, StartRequest{Name: "x"}); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

func TestHubFormats(t *testing.T) {
	for name, body := range map[string]string{
		"a newer format":     `{"format":2,"id":"x","hash":"fnv1a64-golden","starts":["00000000"]}`,
		"another hash":       `{"format":1,"id":"x","hash":"md5","starts":["00000000"]}`,
		"no partitions":      `{"format":1,"id":"x","hash":"fnv1a64-golden","starts":[]}`,
		"ranges not in turn": `{"format":1,"id":"x","hash":"fnv1a64-golden","starts":["00000000","80000000","40000000"]}`,
		"a gap at the start": `{"format":1,"id":"x","hash":"fnv1a64-golden","starts":["00000001"]}`,
	} {
		inBubble(t, func(t *testing.T, b *bucket) {
			if _, err := b.Store.Create(t.Context(), "hub.json", checked.Marshal(json.RawMessage(body))); err != nil {
				t.Fatal(err)
			}
			if _, err := tryOpen(t, b); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "hub.json") {
				t.Errorf("%s: %v", name, err)
			}
			if keys := b.keys(t, ""); !slices.Equal(keys, []string{"hub.json"}) {
				t.Errorf("%s: a hub that is not understood was written to: %v", name, keys)
			}
		})
	}
}

// A hub keeps the number of partitions that it was created with (F§10.3).
func TestPartitionsAreFixedAtCreation(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		h := host(t, b, partitions(4))
		h.begin(t, "a")
		h.wantDone(t, "a")
		if err := h.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		next := host(t, b, partitions(2))
		if next.Partitions() != 4 {
			t.Errorf("%d partitions", next.Partitions())
		}
		next.wantDone(t, "a")
		body, _, err := b.Get(t.Context(), "hub.json")
		m := layout.Manifest{}
		if err == nil {
			err = json.Unmarshal(body, &m)
		}
		if err != nil || m.Format != 1 || len(m.ID) != 32 || m.Name != "Test" || m.Hash != "fnv1a64-golden" ||
			!slices.Equal(m.Starts, []string{"00000000", "40000000", "80000000", "c0000000"}) {
			t.Errorf("hub.json %+v, %v", m, err)
		}
	})
}

func TestANewHubIsPreparedFirst(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bucket) {
		unfit := errors.New("the store ignores conditions")
		if _, err := tryOpen(t, b, func(o *Options) { o.Prepare = func() error { return unfit } }); !errors.Is(err, unfit) {
			t.Errorf("got %v", err)
		}
		if keys := b.keys(t, ""); len(keys) > 0 {
			t.Errorf("a refused store holds %v", keys)
		}
		h := host(t, b)
		if err := h.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		host(t, b, func(o *Options) {
			o.Prepare = func() error { t.Error("an existing hub was prepared again"); return nil }
		})
		if _, _, err := b.Get(t.Context(), "hub.json"); errors.Is(err, storage.ErrNotFound) {
			t.Error("no hub.json")
		}
	})
}
