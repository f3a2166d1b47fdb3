package httpapi

import (
	"net/http"
	"reflect"
	"testing"
	"time"

	"github.com/durafunc/durafunc/taskhub"
	"github.com/durafunc/durafunc/taskhub/history"
)

func TestListPages(t *testing.T) {
	in := instance("c", history.Completed)
	in.Input, in.Output = ptr("1"), ptr("2")
	h := New(Options{Client: newFake(instance("a", history.Running), instance("b", history.Failed), in)})

	w := do(h, "GET", "/instances/?top=2", "")
	want := "[" + status("a", "Order", "Running", "null", "null", "null") + "," + status("b", "Order", "Failed", "null", "null", "null") + "]"
	if w.Code != 200 || w.Body.String() != want {
		t.Errorf("first page: %d %s\nwant %s", w.Code, w.Body, want)
	}
	token := w.Header().Get("x-ms-continuation-token")
	if token != "page2" {
		t.Fatalf("token %q", token)
	}
	w = do(h, "GET", "/instances?top=2&showInput=false", "", "x-ms-continuation-token", token)
	if want := "[" + status("c", "Order", "Completed", "null", "null", "2") + "]"; w.Body.String() != want {
		t.Errorf("second page: %s\nwant %s", w.Body, want)
	}
	if _, ok := w.Header()["X-Ms-Continuation-Token"]; ok {
		t.Error("the last page has a token")
	}
	if w := do(New(Options{Client: newFake()}), "GET", "/instances", ""); w.Body.String() != "[]" {
		t.Errorf("empty: %s", w.Body)
	}
	c := newFake()
	c.next = taskhub.ErrInvalidArgument
	if w := do(New(Options{Client: c}), "GET", "/instances", "", "x-ms-continuation-token", "bogus"); w.Code != 400 {
		t.Errorf("bad token: %d", w.Code)
	}
}

func TestFilters(t *testing.T) {
	day := time.Date(2018, 3, 19, 0, 0, 0, 0, time.UTC)
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	tests := []struct {
		name, method, query string
		want                taskhub.Query
	}{
		{"none", "GET", "", taskhub.Query{Payloads: true, Top: 100}},
		{"all", "GET", "instanceIdPrefix=a%20b&CREATEDTIMEFROM=2018-03-19T09:35:00Z&createdTimeTo=2018-03-19&runtimeStatus=Running,Failed&runtimeStatus=6&top=7",
			taskhub.Query{Payloads: true, Top: 7, IDPrefix: "a b", CreatedFrom: day.Add(9*time.Hour + 35*time.Minute), CreatedTo: day,
				Statuses: []taskhub.Status{history.Running, history.Failed, history.Pending}}},
		{"nonsense is ignored", "GET", "createdTimeFrom=x&createdTimeTo=&runtimeStatus=running,9,-1&top=x", taskhub.Query{Payloads: true, Top: 100}},
		{"a page is bounded", "GET", "top=99999999", taskhub.Query{Payloads: true, Top: 1000}},
		{"and not empty", "GET", "top=-1", taskhub.Query{Payloads: true, Top: 100}},
		{"purge until now", "DELETE", "createdTimeFrom=2018-03-19%2000:00&runtimeStatus=Completed",
			taskhub.Query{CreatedFrom: day, CreatedTo: now, Statuses: []taskhub.Status{history.Completed}}},
		{"purge until then", "DELETE", "createdTimeFrom=2018-03-19&createdTimeTo=2018-03-19T12:00:00%2B02:00&instanceIdPrefix=p",
			taskhub.Query{CreatedFrom: day, CreatedTo: day.Add(10 * time.Hour), IDPrefix: "p"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := hub()
			a := &api{Options: Options{Client: c}, now: func() time.Time { return now }}
			do(http.HandlerFunc(a.serve), tt.method, "/instances?"+tt.query, "")
			if !reflect.DeepEqual(c.query, tt.want) {
				t.Errorf("got  %+v\nwant %+v", c.query, tt.want)
			}
		})
	}
}

func TestDates(t *testing.T) {
	base := time.Date(2018, 3, 19, 9, 35, 0, 0, time.UTC)
	tests := []struct {
		text string
		want time.Time
		ok   bool
	}{
		{"2018-03-19T09:35:00Z", base, true},
		{"2018-03-19T09:35:00.1234567Z", base.Add(123456700), true},
		{"2018-03-19T11:35:00%2B02:00", base, true},
		{"2018-03-19T11:35:00+02:00", base, true}, // not encoded: arrives as a space
		{"2018-03-19T09:35:00", base, true},
		{"2018-03-19T09:35Z", base, true},
		{"2018-03-19T09:35", base, true},
		{"2018-03-19+09:35:00", base, true},
		{"03/19/2018+09:35:00", base, true},
		{"3/19/2018+9:35:00+AM", base, true},
		{"Mon,+19+Mar+2018+09:35:00+GMT", base, true},
		{"2018-03-19", base.Truncate(24 * time.Hour), true},
		{"", time.Time{}, false},
		{"yesterday", time.Time{}, false},
		{"2018-13-19", time.Time{}, false},
		{"5", time.Time{}, false},
	}
	for _, tt := range tests {
		if got, ok := query("d=" + tt.text).date("D"); !got.Equal(tt.want) || ok != tt.ok {
			t.Errorf("%s: got %v, %v; want %v, %v", tt.text, got, ok, tt.want, tt.ok)
		}
	}
}
