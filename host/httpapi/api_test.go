package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/durafunc/durafunc/taskhub"
	"github.com/durafunc/durafunc/taskhub/history"
)

const testAuthority = "http://hub.test"

// do sends a request with the path below BasePath unless it begins with "//".
func do(h http.Handler, method, path, body string, header ...string) *httptest.ResponseRecorder {
	if rest, ok := strings.CutPrefix(path, "//"); ok {
		path = "/" + rest
	} else {
		path = BasePath + path
	}
	r := httptest.NewRequest(method, testAuthority+path, strings.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// links is the check-status body of an instance.
func links(id string) string {
	u := testAuthority + BasePath + "/instances/" + id
	q := "taskHub=Hub&connection=Storage"
	return `{"id":"` + id + `","statusQueryGetUri":"` + u + `?` + q +
		`","sendEventPostUri":"` + u + `/raiseEvent/{eventName}?` + q +
		`","terminatePostUri":"` + u + `/terminate?reason={text}&` + q +
		`","rewindPostUri":"` + u + `/rewind?reason={text}&` + q +
		`","purgeHistoryDeleteUri":"` + u + `?` + q +
		`","restartPostUri":"` + u + `/restart?` + q +
		`","suspendPostUri":"` + u + `/suspend?reason={text}&` + q +
		`","resumePostUri":"` + u + `/resume?reason={text}&` + q + `"}`
}

func badArg(detail string) string {
	return `{"Message":"One or more of the arguments submitted is incorrect","ExceptionMessage":` + quoted(detail) +
		`,"ExceptionType":"InvalidArgument"}`
}

const (
	invalidJSON = `{"Message":"Invalid JSON content"}`
	onlyJSON    = `{"Message":"Only application/json request content is supported"}`
	internal    = `{"Message":"Something went wrong while processing your request"}`
	busy        = `{"Message":"Too much is waiting; try again","ExceptionType":"Busy"}`
	unavailable = `{"Message":"The task hub is unavailable; try again","ExceptionType":"Unavailable"}`
	noRewind    = `{"Message":"Rewind is not there yet","ExceptionType":"NotImplemented"}`
)

func status(id, name, status, input, custom, output string) string {
	return `{"name":"` + name + `","instanceId":"` + id + `","runtimeStatus":"` + status + `","input":` + input +
		`,"customStatus":` + custom + `,"output":` + output +
		`,"createdTime":"2024-05-01T08:20:30Z","lastUpdatedTime":"2024-05-01T08:22:00Z"}`
}

func hub() *fakeClient {
	done := instance("done", history.Completed)
	done.Input, done.Output, done.CustomStatus = ptr(`{"a": 1}`), ptr(`"ok"`), ptr(`[1]`)
	failed := instance("failed", history.Failed)
	failed.Input, failed.Output = ptr("not json"), ptr(`"it broke"`)
	return newFake(instance("run", history.Running), instance("wait", history.Pending), instance("held", history.Suspended),
		instance("again", history.ContinuedAsNew), instance("killed", history.Terminated), instance("off", history.Canceled),
		instance("a b", history.Running), instance("a+b", history.Running), instance("50%", history.Running), done, failed)
}

func TestRoutes(t *testing.T) {
	js := []string{"Content-Type", "application/json; charset=utf-8"}
	conflict := func(id string) string {
		return `{"Message":"The instance already exists","ExceptionMessage":"instance \"` + id +
			`\": instance already exists","ExceptionType":"InstanceAlreadyExists"}`
	}
	tests := []struct {
		name, method, path, body string
		header                   []string
		next                     error
		code                     int
		want                     string
		asked                    string // the last call of the client; "" is none
	}{
		// start
		{"start", "POST", "/orchestrators/Order", "", nil, nil, 202, links("new11"), `start Order id="" version="" input=nil tags=map[]`},
		{"start with id, version and input", "POST", "/Orchestrators/Order/x1/?VERSION=1.0", ` {"n":[1, 2]} rest`, nil, nil, 202, links("x1"),
			`start Order id="x1" version="1.0" input={"n":[1, 2]} tags=map[]`},
		{"start with two bytes of the JavaScript client", "POST", "/orchestrators/Order/x", `""`, js, nil, 202, links("x"),
			`start Order id="x" version="" input="" tags=map[]`},
		{"start with spaces only", "POST", "/orchestrators/Order/x", " \n", nil, nil, 202, links("x"), `start Order id="x" version="" input=nil tags=map[]`},
		{"start with a byte order mark", "POST", "/orchestrators/Order/x", "\xef\xbb\xbf1", nil, nil, 202, links("x"), `start Order id="x" version="" input=1 tags=map[]`},
		{"start over a finished one", "POST", "/orchestrators/Order/done", "", nil, nil, 202, links("done"), `start Order id="done" version="" input=nil tags=map[]`},
		{"start twice", "POST", "/orchestrators/Order/run", "", nil, nil, 409, conflict("run"), `start Order id="run" version="" input=nil tags=map[]`},
		{"start in this hub", "POST", "/orchestrators/Order/x?taskhub=hub&connection=Other&code=k", "", nil, nil, 202, links("x"), `start Order id="x" version="" input=nil tags=map[]`},
		{"start in another hub", "POST", "/orchestrators/Order/x?taskHub=Other", "", nil, nil, 400, badArg(`this host serves the task hub "Hub", not "Other"`), ""},
		{"start with bad JSON", "POST", "/orchestrators/Order", "{", nil, nil, 400, invalidJSON, ""},
		{"start with bad UTF-8", "POST", "/orchestrators/Order", "\"\xff\"", nil, nil, 400, invalidJSON, ""},
		{"start with too much", "POST", "/orchestrators/Order", `"` + strings.Repeat("x", 99) + `"`, nil, nil, 413,
			`{"Message":"The request body is larger than maxPayloadBytes, which is 100","ExceptionType":"PayloadTooLarge"}`, ""},
		{"start of an unknown function", "POST", "/orchestrators/Nope", "", nil, nil, 400, badArg(`the orchestrator "Nope" is not registered; there are: Order, Pay`), ""},
		{"start of a function in other case", "POST", "/orchestrators/ORDER/x", "", nil, nil, 202, links("x"), `start ORDER id="x" version="" input=nil tags=map[]`},
		{"start of an entity", "POST", "/orchestrators/@x", "", nil, nil, 400, badArg("an orchestrator's name must not begin with '@'"), ""},
		{"start of a built-in", "POST", "/orchestrators/builtin::x", "", nil, nil, 400, badArg("names that begin with BuiltIn:: are reserved"), ""},
		{"id with @", "POST", "/orchestrators/Order/@x", "", nil, nil, 400, badArg("an instance id must not begin with '@'"), ""},
		{"id with a slash", "POST", "/orchestrators/Order/a%2Fb", "", nil, nil, 400, badArg("an instance id must not contain '/'"), ""},
		{"id with a control character", "POST", "/orchestrators/Order/a%0Ab", "", nil, nil, 400, badArg(`an instance id must not contain '\n'`), ""},
		{"id with bad UTF-8", "POST", "/orchestrators/Order/a%FF", "", nil, nil, 400, badArg("an instance id must be UTF-8"), ""},
		{"longest id", "POST", "/orchestrators/Order/" + strings.Repeat("i", 256), "", nil, nil, 202, links(strings.Repeat("i", 256)),
			`start Order id="` + strings.Repeat("i", 256) + `" version="" input=nil tags=map[]`},
		{"longer id", "POST", "/orchestrators/Order/" + strings.Repeat("i", 257), "", nil, nil, 400, badArg("an instance id must not be longer than 256 characters"), ""},
		{"interval beyond timeout", "POST", "/orchestrators/Order?timeout=1&pollingInterval=1.5", "", nil, nil, 400, badArg("pollingInterval must not be greater than timeout"), ""},
		{"interval alone", "POST", "/orchestrators/Order/x?pollingInterval=1", "", nil, nil, 202, links("x"), `start Order id="x" version="" input=nil tags=map[]`},
		{"bad timeout", "POST", "/orchestrators/Order/x?timeout=-1&pollingInterval=zzz", "", nil, nil, 202, links("x"), `start Order id="x" version="" input=nil tags=map[]`},
		{"wait in vain", "POST", "/orchestrators/Order/x?timeout=0&pollingInterval=0", "", nil, nil, 202, links("x"), `start Order id="x" version="" input=nil tags=map[]`},
		{"hub busy", "POST", "/orchestrators/Order/x", "", nil, fmt.Errorf("p3: %w", taskhub.ErrBusy), 429, busy, `start Order id="x" version="" input=nil tags=map[]`},
		{"hub unavailable", "POST", "/orchestrators/Order/x", "", nil, fmt.Errorf("p3: %w", taskhub.ErrUnavailable), 503, unavailable, `start Order id="x" version="" input=nil tags=map[]`},
		{"outcome unknown is no invitation to retry", "POST", "/orchestrators/Order/x", "", nil, context.DeadlineExceeded, 500, internal, `start Order id="x" version="" input=nil tags=map[]`},
		{"hub refuses", "POST", "/orchestrators/Order/x", "", nil, fmt.Errorf("too long: %w", taskhub.ErrInvalidArgument), 400, badArg("too long: invalid argument"), `start Order id="x" version="" input=nil tags=map[]`},
		{"hub broken", "POST", "/orchestrators/Order/x", "", nil, errors.New("secret path"), 500, internal, `start Order id="x" version="" input=nil tags=map[]`},

		// status
		{"status of a completed one", "GET", "/instances/done", "", nil, nil, 200, status("done", "Order", "Completed", `{"a": 1}`, "[1]", `"ok"`), "get done"},
		{"status without input", "GET", "/instances/done?SHOWINPUT=False", "", nil, nil, 200, status("done", "Order", "Completed", "null", "[1]", `"ok"`), "get done"},
		{"1 and 0 are no booleans", "GET", "/instances/done?showInput=0", "", nil, nil, 200, status("done", "Order", "Completed", `{"a": 1}`, "[1]", `"ok"`), "get done"},
		{"status of a failed one", "GET", "/instances/failed", "", nil, nil, 200, status("failed", "Order", "Failed", `"not json"`, "null", `"it broke"`), "get failed"},
		{"status of a failed one as an error", "GET", "/instances/failed?returnInternalServerErrorOnFailure=true", "", nil, nil, 500, status("failed", "Order", "Failed", `"not json"`, "null", `"it broke"`), "get failed"},
		{"flag for a completed one", "GET", "/instances/done?returnInternalServerErrorOnFailure=true", "", nil, nil, 200, status("done", "Order", "Completed", `{"a": 1}`, "[1]", `"ok"`), "get done"},
		{"status of a terminated one", "GET", "/instances/killed", "", nil, nil, 200, status("killed", "Order", "Terminated", "null", "null", "null"), "get killed"},
		{"status of a canceled one", "GET", "/instances/off", "", nil, nil, 200, status("off", "Order", "Canceled", "null", "null", "null"), "get off"},
		{"status of a running one", "GET", "/instances/run", "", nil, nil, 202, status("run", "Order", "Running", "null", "null", "null"), "get run"},
		{"status of a pending one", "GET", "/instances/wait", "", nil, nil, 202, status("wait", "Order", "Pending", "null", "null", "null"), "get wait"},
		{"status of a suspended one", "GET", "/instances/held", "", nil, nil, 202, status("held", "Order", "Suspended", "null", "null", "null"), "get held"},
		{"status of a continued one", "GET", "/instances/again", "", nil, nil, 202, status("again", "Order", "ContinuedAsNew", "null", "null", "null"), "get again"},
		{"pending has no history", "GET", "/instances/wait?showHistory=true", "", nil, nil, 202, status("wait", "Order", "Pending", "null", "null", "null"), "get wait"},
		{"encoded id", "GET", "/Instances/a%20b/", "", nil, nil, 202, status("a b", "Order", "Running", "null", "null", "null"), "get a b"},
		{"raw plus in an id", "GET", "/instances/a+b", "", nil, nil, 202, status("a+b", "Order", "Running", "null", "null", "null"), "get a+b"},
		{"percent in an id", "GET", "/instances/50%25", "", nil, nil, 202, status("50%", "Order", "Running", "null", "null", "null"), "get 50%"},
		{"status of none", "GET", "/instances/none", "", nil, nil, 404, "", "get none"},
		{"status of a child path", "GET", "/instances/a%2Fb", "", nil, nil, 404, "", "get a/b"},
		{"status of bad UTF-8", "GET", "/instances/%FF", "", nil, nil, 404, "", ""},

		// purge one
		{"purge", "DELETE", "/instances/done", "", nil, nil, 200, `{"instancesDeleted":1}`, "purge done"},
		{"purge none", "DELETE", "/instances/none", "", nil, nil, 404, "", "purge none"},
		{"purge a running one", "DELETE", "/instances/run", "", nil, nil, 409,
			`{"Message":"The instance is in the wrong state","ExceptionMessage":"instance \"run\" is running: instance is in the wrong state","ExceptionType":"InvalidState"}`, "purge run"},

		// raiseEvent, in the order of its checks
		{"event", "POST", "/instances/run/RAISEEVENT/Go", `{"a":1}{"b":2}`, js, nil, 202, "", `raise run Go {"a":1}`},
		{"event with null", "POST", "/instances/held/raiseEvent/Go", `null`, js, nil, 202, "", `raise held Go null`},
		{"event to a pending one", "POST", "/instances/wait/raiseEvent/a%20b", `1`, js, nil, 202, "", `raise wait a b 1`},
		{"event to none", "POST", "/instances/none/raiseEvent/Go", `1`, js, nil, 404, "", `raise none Go 1`},
		{"malformed event to none", "POST", "/instances/none/raiseEvent/Go", `{`, nil, nil, 404, "", "get none"},
		{"event to a completed one", "POST", "/instances/done/raiseEvent/Go", `1`, js, nil, 410, "", "raise done Go 1"},
		{"malformed event to a failed one", "POST", "/instances/failed/raiseEvent/Go", ``, nil, nil, 410, "", "get failed"},
		{"event of another type", "POST", "/instances/run/raiseEvent/Go", `1`, []string{"Content-Type", "text/plain"}, nil, 400, onlyJSON, "get run"},
		{"event without a type", "POST", "/instances/run/raiseEvent/Go", `{`, nil, nil, 400, onlyJSON, "get run"},
		{"event that is not JSON", "POST", "/instances/run/raiseEvent/Go", `{`, js, nil, 400, invalidJSON, "get run"},
		{"event without a body", "POST", "/instances/run/raiseEvent/Go", ``, js, nil, 400, invalidJSON, "get run"},
		{"event too large", "POST", "/instances/run/raiseEvent/Go", strings.Repeat("1", 101), js, nil, 413,
			`{"Message":"The request body is larger than maxPayloadBytes, which is 100","ExceptionType":"PayloadTooLarge"}`, "get run"},
		{"event with a bad name", "POST", "/instances/run/raiseEvent/%FF", `1`, js, nil, 400, badArg("an event's name must be UTF-8"), "get run"},
		{"event without a name", "POST", "/instances/run/raiseEvent", `1`, js, nil, 404, "", ""},
		{"event with an empty name", "POST", "/instances/run/raiseEvent/", `1`, js, nil, 404, "", ""},

		// operations
		{"terminate", "POST", "/instances/run/TERMINATE?Reason=no%20need+any%20more", "{ignored", js, nil, 202, "", `terminate run "no need any more" false`},
		{"terminate recursively", "POST", "/instances/run/terminate?recursive=true", "", nil, nil, 202, "", `terminate run "" true`},
		{"terminate none", "POST", "/instances/none/terminate", "", nil, nil, 404, "", `terminate none "" false`},
		{"terminate a failed one", "POST", "/instances/failed/terminate", "", nil, nil, 410, "", `terminate failed "" false`},
		{"bad UTF-8 in a reason", "POST", "/instances/run/terminate?reason=%FF", "", nil, nil, 202, "", "terminate run \"\uFFFD\" false"},
		{"suspend", "POST", "/instances/run/suspend?reason=r", "", nil, nil, 202, "", `suspend run "r"`},
		{"suspend a suspended one", "POST", "/instances/held/suspend", "", nil, fmt.Errorf("held: %w", taskhub.ErrInvalidState), 409,
			`{"Message":"The instance is in the wrong state","ExceptionMessage":"held: instance is in the wrong state","ExceptionType":"InvalidState"}`, `suspend held ""`},
		{"suspend none", "POST", "/instances/none/suspend", "", nil, nil, 404, "", `suspend none ""`},
		{"suspend a completed one", "POST", "/instances/done/suspend", "", nil, nil, 410, "", `suspend done ""`},
		{"resume", "POST", "/instances/held/resume/?reason=r", "", nil, nil, 202, "", `resume held "r"`},
		{"resume none", "POST", "/instances/none/resume", "", nil, nil, 404, "", `resume none ""`},
		{"resume a completed one", "POST", "/instances/done/resume", "", nil, nil, 410, "", `resume done ""`},
		{"rewind", "POST", "/instances/failed/rewind", "", nil, nil, 501, noRewind, ""},
		{"restart", "POST", "/instances/done/restart", "", nil, nil, 202, links("new11"), `start Order id="" version="" input={"a": 1} tags=map[]`},
		{"restart in place", "POST", "/instances/done/restart?restartWithNewInstanceId=false", "", nil, nil, 202, links("done"), `start Order id="done" version="" input={"a": 1} tags=map[]`},
		{"restart a running one in place", "POST", "/instances/run/restart?restartWithNewInstanceId=false", "", nil, nil, 409, conflict("run"), `start Order id="run" version="" input=nil tags=map[]`},
		{"restart none", "POST", "/instances/none/restart", "", nil, nil, 400, `{"Message":"InstanceId does not match a valid orchestration instance."}`, "get none"},
		{"any other operation", "POST", "/instances/run/explode", "", nil, nil, 404, "", ""},
		{"operation with more behind", "POST", "/instances/run/terminate/x", "", nil, nil, 404, "", ""},

		// purge by filter
		{"purge by date", "DELETE", "/instances/?createdTimeFrom=2018-01-01", "", nil, nil, 200, `{"instancesDeleted":4}`, "purgeBy"},
		{"purge nothing", "DELETE", "/instances?createdTimeFrom=2018-01-01&instanceIdPrefix=zzz", "", nil, nil, 404, "", "purgeBy"},
		{"purge without a date", "DELETE", "/instances", "", nil, nil, 400, `"Please provide value for 'createdTimeFrom' parameter."`, ""},
		{"purge with a bad date", "DELETE", "/instances?createdTimeFrom=yesterday", "", nil, nil, 400, `"Please provide value for 'createdTimeFrom' parameter."`, ""},

		// what does not exist
		{"entities", "GET", "/entities/Counter/k", "", nil, nil, 404, "", ""},
		{"verb", "PUT", "/instances/run", "", nil, nil, 404, "", ""},
		{"verb on operation", "GET", "/instances/run/terminate", "", nil, nil, 404, "", ""},
		{"start by GET", "GET", "/orchestrators/Order", "", nil, nil, 404, "", ""},
		{"no orchestrator", "POST", "/orchestrators", "", nil, nil, 404, "", ""},
		{"empty segments", "POST", "/orchestrators//x", "", nil, nil, 404, "", ""},
		{"too long", "POST", "/orchestrators/a/b/c/d/e/f", "", nil, nil, 404, "", ""},
		{"base", "GET", "", "", nil, nil, 404, "", ""},
		{"outside", "GET", "//favicon.ico", "", nil, nil, 404, "", ""},
		{"base in other case", "GET", "//Runtime/WebHooks/DurableTask/instances/none", "", nil, nil, 404, "", "get none"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := hub()
			c.next = tt.next
			h := New(Options{Client: c, TaskHub: "Hub", MaxPayloadBytes: 100,
				Host: fakeHost{orchestrators: []string{"Order", "Pay"}}, UnknownFunctionsAtOnce: true})
			w := do(h, tt.method, tt.path, tt.body, tt.header...)
			if w.Code != tt.code {
				t.Errorf("code %d, want %d", w.Code, tt.code)
			}
			if got := w.Body.String(); got != tt.want {
				t.Errorf("body\ngot  %s\nwant %s", got, tt.want)
			}
			if tt.want != "" && w.Header().Get("Content-Type") != "application/json; charset=utf-8" {
				t.Errorf("content type %q", w.Header().Get("Content-Type"))
			}
			asked := ""
			if len(c.log) > 0 {
				asked = c.log[len(c.log)-1]
			}
			if asked != tt.asked {
				t.Errorf("asked %q, want %q", asked, tt.asked)
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	base := testAuthority + BasePath
	tests := []struct {
		name, method, path   string
		next                 error
		location, retryAfter string
	}{
		{"started", "POST", "/orchestrators/Order/x", nil, base + "/instances/x?taskHub=Hub&connection=Storage", "10"},
		{"running", "GET", "/instances/run?showInput=false&x=%20", nil, base + "/instances/run?showInput=false&x=%20", "5"},
		{"completed", "GET", "/instances/done", nil, "", ""},
		{"failed", "GET", "/instances/failed?returnInternalServerErrorOnFailure=true", nil, "", ""},
		{"unavailable", "GET", "/instances/run", taskhub.ErrUnavailable, "", "1"},
		{"busy", "POST", "/orchestrators/Order/x", taskhub.ErrBusy, "", "1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := hub()
			c.next = tt.next
			w := do(New(Options{Client: c, TaskHub: "Hub"}), tt.method, tt.path, "")
			if got := w.Header().Get("Location"); got != tt.location {
				t.Errorf("Location %q, want %q", got, tt.location)
			}
			if got := w.Header().Get("Retry-After"); got != tt.retryAfter {
				t.Errorf("Retry-After %q, want %q", got, tt.retryAfter)
			}
		})
	}
}

func TestPanicBecomes500(t *testing.T) {
	c := hub()
	c.panics = true
	h := Recover(hclog.NewNullLogger())(New(Options{Client: c}))
	if w := do(h, "GET", "/instances/run", ""); w.Code != 500 || w.Body.String() != internal {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	c.panics = false
	if w := do(h, "GET", "/instances/run", ""); w.Code != 202 {
		t.Errorf("afterwards: got %d", w.Code)
	}
}

func TestHostNotReady(t *testing.T) {
	c := hub()
	h := New(Options{Client: c, Host: fakeHost{notReady: true}})
	w := do(h, "GET", "/instances/run", "")
	if w.Code != 503 || w.Header().Get("Retry-After") != "1" || !strings.Contains(w.Body.String(), `"Message"`) {
		t.Errorf("got %d %v %s", w.Code, w.Header(), w.Body)
	}
	if !slices.Equal(c.log, nil) {
		t.Errorf("the client was asked: %v", c.log)
	}
	if w := do(h, "GET", "//admin/host/status", ""); w.Code != 200 {
		t.Errorf("host status: got %d", w.Code)
	}
}
