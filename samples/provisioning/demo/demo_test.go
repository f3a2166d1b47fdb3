package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/durafunc/durafunc/plugins/durable/client"
)

// fakeAPI plays a host with one parent and its children: a child completes when
// its acknowledgement arrives, the parent when all children have.
type fakeAPI struct {
	mu       sync.Mutex
	parent   string
	acks     map[string]map[string]any // by child id
	children int
	broken   string // a child whose package cannot be downloaded
}

const parentID = "demo-1"

func newFakeAPI(t *testing.T, children int) (*fakeAPI, *client.Client) {
	f := &fakeAPI{parent: parentID, acks: map[string]map[string]any{}, children: children}
	srv := httptest.NewServer(f.handler())
	t.Cleanup(srv.Close)
	return f, client.New(srv.URL, client.Options{})
}

func (f *fakeAPI) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /admin/functions", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `[{"name":%q}]`, orchestrator)
	})
	mux.HandleFunc("POST "+client.BasePath+"/orchestrators/"+orchestrator+"/{id}", f.start)
	mux.HandleFunc("GET "+client.BasePath+"/instances/{id}", f.status)
	mux.HandleFunc("GET "+client.BasePath+"/instances", f.list)
	mux.HandleFunc("POST "+client.BasePath+"/instances/{id}/raiseEvent/DownloadCompletedAck", f.raise)
	mux.HandleFunc("GET /files/{id}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("id") == f.broken {
			http.Error(w, "gone", http.StatusGone)
			return
		}
		fmt.Fprint(w, "package of ", r.PathValue("id"))
	})
	return mux
}

func (f *fakeAPI) start(w http.ResponseWriter, r *http.Request) {
	var in struct{ Devices int }
	_ = json.NewDecoder(r.Body).Decode(&in)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.parent, f.children = r.PathValue("id"), in.Devices
	w.WriteHeader(http.StatusAccepted)
}

func (f *fakeAPI) status(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := r.PathValue("id")
	if len(f.acks) < f.children {
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprintf(w, `{"instanceId":%q,"runtimeStatus":"Running"}`, id)
		return
	}
	var out report
	out.Devices = f.children
	for i := range f.children {
		out.Receipts = append(out.Receipts, receipt{Device: fmt.Sprint("device-", i+1), Provisioned: true})
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"name": orchestrator, "instanceId": id, "runtimeStatus": "Completed", "output": out,
		"historyEvents": []client.Event{{EventType: "ExecutionStarted", Timestamp: at(0)}, {EventType: "ExecutionCompleted", Timestamp: at(9)}},
	})
}

// list serves one child a page, the last first.
func (f *fakeAPI) list(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("instanceIdPrefix") != f.parent+":" {
		http.Error(w, "wrong prefix", http.StatusBadRequest)
		return
	}
	i := f.children
	if token := r.Header.Get("x-ms-continuation-token"); token != "" {
		_, _ = fmt.Sscan(token, &i)
	}
	if i > 1 {
		w.Header().Set("x-ms-continuation-token", fmt.Sprint(i-1))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	id := fmt.Sprintf("%s:%d", f.parent, i)
	child := map[string]any{"instanceId": id, "runtimeStatus": "Running",
		"customStatus": device{ID: fmt.Sprint("device-", i), PackageURL: "http://" + r.Host + "/files/" + id}}
	if f.acks[id] != nil {
		child["runtimeStatus"] = "Completed"
	}
	_ = json.NewEncoder(w).Encode([]any{child})
}

func (f *fakeAPI) raise(w http.ResponseWriter, r *http.Request) {
	var ack map[string]any
	if err := json.NewDecoder(r.Body).Decode(&ack); err != nil || r.Header.Get("Content-Type") != "application/json" {
		http.Error(w, "not JSON", http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.acks[r.PathValue("id")] != nil {
		http.Error(w, "acknowledged twice", http.StatusGone)
		return
	}
	f.acks[r.PathValue("id")] = ack
	w.WriteHeader(http.StatusAccepted)
}

// TestMain lets the test binary be the host that the demo starts.
func TestMain(m *testing.M) {
	if os.Getenv("DEMO_FAKE_HOST") == "" {
		os.Exit(m.Run())
	}
	f := &fakeAPI{acks: map[string]map[string]any{}}
	srv := &http.Server{Handler: f.handler()}
	l, err := net.Listen("tcp", "127.0.0.1:"+os.Args[len(os.Args)-1]) // start --root . --address 127.0.0.1 --port N
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("\ndurafunc test on http://%s\n", l.Addr())
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go func() {
		<-stop
		_ = srv.Close()
	}()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func TestTheWholeDemo(t *testing.T) {
	t.Setenv("DEMO_FAKE_HOST", "1")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(t.Context(), options{hostBinary: self, root: t.TempDir(), devices: 3, timeout: 3 * time.Minute}, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"started for 3 devices", "device-3    flow Completed", `"provisioned": true`,
		"ProvisionNewDevices  ━━━", "host stopped cleanly (exit code 0)"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("output lacks %q:\n%s", want, out.String())
		}
	}
}

func TestPlayDevicesAcknowledgesEachOnce(t *testing.T) {
	f, c := newFakeAPI(t, 3)
	var out bytes.Buffer
	final, err := playDevices(t.Context(), c, parentID, newProgress(&out, false))
	if err != nil {
		t.Fatal(err)
	}
	if final.Status != client.StatusCompleted {
		t.Errorf("final status %q", final.Status)
	}
	for i := 1; i <= 3; i++ {
		id := fmt.Sprintf("%s:%d", parentID, i)
		if want := float64(len("package of " + id)); f.acks[id]["bytes"] != want {
			t.Errorf("%s acknowledged %v, want %v bytes: what it downloaded", id, f.acks[id], want)
		}
		if want := fmt.Sprintf("device-%d    flow Completed", i); !strings.Contains(out.String(), want) {
			t.Errorf("progress lacks %q:\n%s", want, out.String())
		}
	}
}

func TestChildrenComeInTheOrderOfTheirTasks(t *testing.T) {
	_, c := newFakeAPI(t, 12)
	all, err := children(t.Context(), c, parentID)
	if err != nil || len(all) != 12 {
		t.Fatalf("%d children, error %v; want 12 from 12 pages", len(all), err)
	}
	for i, child := range all {
		if want := fmt.Sprintf("%s:%d", parentID, i+1); child.ID != want {
			t.Errorf("child %d is %s, want %s", i, child.ID, want)
		}
	}
}

func TestPlayDevicesNamesTheDeviceThatFailed(t *testing.T) {
	f, c := newFakeAPI(t, 2)
	f.broken = parentID + ":2"
	_, err := playDevices(t.Context(), c, parentID, newProgress(&bytes.Buffer{}, false))
	if err == nil || !strings.Contains(err.Error(), "device-2") || !strings.Contains(err.Error(), "410") {
		t.Errorf("got %v, want an error that names device-2 and 410", err)
	}
}

func TestReportMustNameEveryDevice(t *testing.T) {
	tests := []struct {
		name         string
		status       client.RuntimeStatus
		output, want string
	}{
		{"all provisioned", "Completed", `{"devices":1,"receipts":[{"device":"d","provisioned":true}]}`, ""},
		{"receipt missing", "Completed", `{"devices":1,"receipts":[]}`, "0 receipts"},
		{"silent device", "Completed", `{"devices":1,"receipts":[{"device":"d","provisioned":false}]}`, "device d was not provisioned"},
		{"failed", "Failed", `"no inventory"`, "no inventory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := printReport(&bytes.Buffer{}, &client.Instance{Status: tt.status, Output: json.RawMessage(tt.output)}, 1)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("got %v, want no error", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestProgressOnATerminalRedraws(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out, true)
	p.set("b", "one")
	p.set("a", "two")
	p.end("b", "done")
	p.set("b", "late") // ignored
	want := "\r\x1b[K  · b           one\n" +
		"\x1b[1A\r\x1b[K  · a           two\n\r\x1b[K  · b           one\n" +
		"\x1b[2A\r\x1b[K  · a           two\n\r\x1b[K  ✓ b           done\n"
	if out.String() != want {
		t.Errorf("got %q\nwant %q", out.String(), want)
	}
}

// script writes an executable that stands in for the host.
func script(t *testing.T, text string) (binary, root string) {
	t.Helper()
	dir := t.TempDir()
	binary = filepath.Join(dir, "host")
	if err := os.WriteFile(binary, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return binary, dir
}

func TestFailureShowsTheEndOfTheLog(t *testing.T) {
	binary, root := script(t, "echo first; echo host.json:3:1: bad; exit 3\n")
	err := run(t.Context(), options{hostBinary: binary, root: root, devices: 1, timeout: 3 * time.Minute}, &bytes.Buffer{})
	for _, want := range []string{"exit status 3", "host.json:3:1: bad", "demo-host.log"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

func TestStopWantsExitCodeZero(t *testing.T) {
	for _, code := range []int{0, 4} {
		binary, root := script(t, fmt.Sprintf("trap 'exit %d' TERM\necho up\nwhile :; do sleep 0.01; done\n", code))
		h, err := startHost(binary, root)
		if err != nil {
			t.Fatal(err)
		}
		waitForLog(t, h, "up")
		if err := h.stop(); (err == nil) != (code == 0) {
			t.Errorf("host that exits with %d: stop gave %v", code, err)
		}
	}
}

// waitForLog waits until a real process has written a line.
func waitForLog(t *testing.T, h *host, line string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for !strings.Contains(h.logTail(5), line) {
		select {
		case <-ctx.Done():
			t.Fatalf("no %q in the log", line)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
