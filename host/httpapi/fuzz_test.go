package httpapi

import (
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// FuzzRequest holds every request to what the API may answer: a known code and,
// if there is a body, JSON.
func FuzzRequest(f *testing.F) {
	f.Add("POST", "/orchestrators/Order/x", "timeout=0&pollingInterval=0", `{"a":1}`)
	f.Add("GET", "/instances/done", "showHistory=true&showInput=FALSE", "")
	f.Add("GET", "/instances/", "createdTimeFrom=2018-01-01T00:00:00+02:00&runtimeStatus=Running,1,%zz&top=-5", "")
	f.Add("DELETE", "/instances", "createdTimeFrom=2018-01-01", "")
	f.Add("POST", "/instances/run/raiseEvent/a%2Fb", "", "1 2")
	f.Add("POST", "/instances/%ff/terminate", "reason=%ff&recursive=true", "")
	f.Add("POST", "/instances/done/restart", "restartWithNewInstanceId=false", "")
	f.Fuzz(func(t *testing.T, method, path, query, body string) {
		u, err := url.ParseRequestURI(BasePath + path)
		if err != nil || len(query) > 4096 {
			return
		}
		if strings.Contains(strings.ToLower(query), "timeout") {
			query = "timeout=0" // so that no wait lasts
		}
		u.RawQuery = query
		r := httptest.NewRequest("GET", "/", strings.NewReader(body))
		r.Method, r.URL = method, u
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		c := hub()
		c.events = append(c.events, scheduled(0, 1, body, path))
		h := &api{Options: Options{Client: c, Host: fakeHost{}, TaskHub: "Hub", MaxPayloadBytes: 1000}, now: time.Now}
		h.serve(w, r) // not through New: a panic must show
		switch w.Code {
		case 200, 202, 400, 404, 409, 410, 413, 501:
		default:
			t.Fatalf("%s %s?%s: code %d", method, u, query, w.Code)
		}
		if b := w.Body.Bytes(); len(b) > 0 && !json.Valid(b) {
			t.Fatalf("%s %s?%s: body is not JSON: %s", method, u, query, b)
		}
	})
}
