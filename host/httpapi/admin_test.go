package httpapi

import (
	"net/http"
	"testing"
	"time"
)

func TestAdmin(t *testing.T) {
	const order = `{"name":"Order","script_root_path_href":null,"script_href":null,"config_href":null,"test_data_href":null,` +
		`"href":"http://hub.test/admin/functions/Order","invoke_url_template":null,"language":"go",` +
		`"config":{"name":"Order","bindings":[{"type":"orchestrationTrigger"}]},"files":null,"test_data":"",` +
		`"isDisabled":false,"isDirect":true,"isProxy":false,"app":"shop","appVersion":"1.2"}`
	const web = `{"name":"Web","script_root_path_href":null,"script_href":null,"config_href":null,"test_data_href":null,` +
		`"href":"http://hub.test/admin/functions/Web","invoke_url_template":"http://hub.test/api/web/{id}","language":"js",` +
		`"config":{"name":"Web","bindings":[]},"files":null,"test_data":"",` +
		`"isDisabled":true,"isDirect":true,"isProxy":false,"app":"","appVersion":""}`
	const hostStatus = `{"id":"h1","state":"Running","version":"1.0","versionDetails":"durafunc 1.0","instanceId":"p1","computerName":"c",` +
		`"processUptime":90500,"functionAppContentEditingState":"NotAllowed","errors":["app x: exited"]}`
	const welcome = `{"name":"durafunc","version":"1.0","links":{"functions":"http://hub.test/admin/functions",` +
		`"instances":"http://hub.test/runtime/webhooks/durabletask/instances","status":"http://hub.test/admin/host/status"}}`
	tests := []struct {
		method, path string
		code         int
		want         string
	}{
		{"GET", "//admin/host/status", 200, hostStatus},
		{"GET", "//Admin/Host/Status/", 200, hostStatus},
		{"POST", "//admin/host/status", 404, ""},
		{"GET", "//admin/host/ping", 200, ""},
		{"POST", "//admin/host/ping", 200, ""},
		{"DELETE", "//admin/host/ping", 404, ""},
		{"GET", "//admin/host", 404, ""},
		{"GET", "//admin/functions", 200, "[" + order + "," + web + "]"},
		{"GET", "//admin/functions/order", 200, order},
		{"GET", "//admin/functions/Web", 200, web},
		{"GET", "//admin/functions/none", 404, ""},
		{"DELETE", "//admin/functions/Web", 404, ""},
		{"GET", "//admin", 404, ""},
		{"GET", "//", 200, welcome},
		{"POST", "//", 404, ""},
	}
	a := &api{Options: Options{Client: newFake(), Host: fakeHost{}, Version: "1.0"},
		now: func() time.Time { return testTime.Add(90*time.Second + 500*time.Millisecond) }}
	for _, tt := range tests {
		w := do(http.HandlerFunc(a.serve), tt.method, tt.path, "")
		if w.Code != tt.code || w.Body.String() != tt.want {
			t.Errorf("%s %s: got %d %s\nwant %d %s", tt.method, tt.path, w.Code, w.Body, tt.code, tt.want)
		}
	}
	if w := do(New(Options{Client: newFake()}), "GET", "//admin/host/status", ""); w.Code != 404 {
		t.Errorf("without a host: got %d", w.Code)
	}
}
