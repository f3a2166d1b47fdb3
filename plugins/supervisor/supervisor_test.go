package supervisor_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/durafunc/durafunc/plugins/protocol"
	"github.com/durafunc/durafunc/plugins/supervisor"
)

func TestLoadAndCall(t *testing.T) {
	f := newFixture(t)
	path := f.put("one", appConfig{Version: "1.2", Activities: []string{"Echo", "Environment", "Starter", "Log"}})
	t.Setenv("AWS_SECRET_ACCESS_KEY", "of the host")
	f.start()

	a, _ := f.app("one")
	if a.State != supervisor.Running || a.Version != "1.2" || a.File != path || a.PID == 0 || len(a.Functions) != 4 {
		t.Errorf("status %+v", a)
	}
	if got := f.echo(`"hello"`); got != `"hello"` {
		t.Errorf("echo %q", got)
	}
	env := f.wait(f.call("Environment", "")).text
	if strings.Contains(env, "AWS_") || !strings.Contains(env, "PATH") {
		t.Errorf("environment is not scrubbed: %s", env)
	}
	if !strings.Contains(env, "PLUGIN_CLIENT_CERT") {
		t.Errorf("AutoMTLS is off: %s", env)
	}
	if got := f.wait(f.call("Starter", "Orchestrate")).text; got != "started Orchestrate" {
		t.Errorf("host services: %q", got)
	}
	f.wait(f.call("Log", ""))
	poll(t, "log lines of the app", func() bool {
		log := f.log.String()
		return strings.Contains(log, "[WARN]  one: from the app: module=mine answer=42") &&
			strings.Contains(log, "[INFO]  one: plain words")
	})
}

// poll waits for what a real process does at a time of its own.
func poll(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %s", what)
		}
	}
}

func TestFolderWithManifest(t *testing.T) {
	f := newFixture(t)
	dir := filepath.Join(f.dir, "boxed")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	body := image(appConfig{Activities: []string{"Echo", "Environment"}})
	install(t, filepath.Join(dir, "boxed"), body, 0o755)
	sum := sha256.Sum256(body)
	man, _ := json.Marshal(map[string]any{"args": []string{"--fast"}, "env": map[string]string{"REGION": "here"},
		"sha256": hex.EncodeToString(sum[:])})
	install(t, filepath.Join(dir, "app.json"), man, 0o644)
	f.start()
	env := f.wait(f.call("Environment", "")).text
	if !strings.Contains(env, "REGION") || !strings.Contains(env, "--fast") {
		t.Errorf("manifest is not applied: %s", env)
	}

	// A new manifest counts as a new version, here a broken one: the old app stays.
	install(t, filepath.Join(dir, "app.json"), []byte(`{"sha256":"`+strings.Repeat("0", 64)+`"}`), 0o644)
	f.await("checksum error", func() bool {
		a, _ := f.app("boxed")
		return errors.Is(a.LastError, supervisor.ErrChecksum) && a.State == supervisor.Running
	})
	if f.echo("still") != "still" {
		t.Error("the old version is gone")
	}
}

func TestFilesThatAreNoApps(t *testing.T) {
	tests := []struct {
		name string
		body []byte
		mode os.FileMode
		man  string
		want error
	}{
		{"script", []byte("#!/bin/sh\necho I am a script\n"), 0o755, "", supervisor.ErrNotApp},
		{"silent", []byte("#!/bin/true\n"), 0o755, "", supervisor.ErrNotApp},
		{"text", []byte("just text"), 0o755, "", supervisor.ErrNotApp},
		{"plain", []byte("just text"), 0o644, "", supervisor.ErrNotExecutable},
		{"version", image(appConfig{Protocol: 99}), 0o755, "", supervisor.ErrProtocol},
		{"sum", image(appConfig{}), 0o755, `{"sha256":"` + strings.Repeat("ab", 32) + `"}`, supervisor.ErrChecksum},
		{"manifest", image(appConfig{}), 0o755, `{"arg":[]}`, supervisor.ErrManifest},
		{"forged", image(appConfig{}), 0o755, `{"env":{"PLUGIN_MIN_PORT":"1"}}`, supervisor.ErrManifest},
		{"empty", nil, 0, `{}`, supervisor.ErrNotExecutable},
	}
	f := newFixture(t)
	f.put("good", appConfig{Activities: []string{"Echo"}})
	for _, tt := range tests {
		path := filepath.Join(f.dir, tt.name)
		if tt.man != "" {
			if err := os.Mkdir(path, 0o755); err != nil {
				t.Fatal(err)
			}
			install(t, filepath.Join(path, "app.json"), []byte(tt.man), 0o644)
			path = filepath.Join(path, tt.name)
		}
		if tt.mode != 0 {
			install(t, path, tt.body, tt.mode)
		}
	}
	for _, name := range []string{".hidden", "copy.tmp", "copy.part", "edited~"} {
		install(t, filepath.Join(f.dir, name), []byte("#!/bin/sh\n"), 0o755)
	}
	f.start()
	if got := len(f.sup.Apps()); got != len(tests)+1 {
		t.Errorf("%d apps listed, want %d", got, len(tests)+1)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, _ := f.app(tt.name)
			if a.State != supervisor.Failed || !errors.Is(a.LastError, tt.want) {
				t.Fatalf("state %s, error %v; want %v", a.State, a.LastError, tt.want)
			}
			var le *supervisor.LoadError
			if !errors.As(a.LastError, &le) || !strings.HasSuffix(le.File, tt.name) || le.Advice == "" {
				t.Errorf("does not say which file and what to do: %v", a.LastError)
			}
		})
	}
	if f.echo("x") != "x" {
		t.Error("the good app does not run")
	}
}

func TestAppThatDoesNotSpeak(t *testing.T) {
	f := newFixture(t, func(o *supervisor.Options) { o.StartTimeout = 500 * time.Millisecond })
	f.put("hang", appConfig{Hang: true})
	f.start()
	a, _ := f.app("hang")
	if a.State != supervisor.Failed || !errors.Is(a.LastError, supervisor.ErrStartTimeout) {
		t.Errorf("state %s, error %v; want %v", a.State, a.LastError, supervisor.ErrStartTimeout)
	}
	var le *supervisor.LoadError
	if !errors.As(a.LastError, &le) || !strings.HasSuffix(le.File, "hang") || le.Advice == "" {
		t.Errorf("does not say which file and what to do: %v", a.LastError)
	}
}

// TestStartThatIsKilled: what says nothing about the program is tried again, with another
// version at work or with none.
func TestStartThatIsKilled(t *testing.T) {
	f := newFixture(t)
	needs := filepath.Join(t.TempDir(), "needs")
	echo := []string{"Echo"}
	f.put("alone", appConfig{Needs: needs})
	f.put("one", appConfig{Version: "1", Activities: echo})
	f.start()
	a, _ := f.app("alone")
	if a.State != supervisor.Failed || !errors.Is(a.LastError, supervisor.ErrExited) {
		t.Errorf("state %s, error %v; want %v", a.State, a.LastError, supervisor.ErrExited)
	}
	f.put("one", appConfig{Version: "2", Activities: echo, Needs: needs})
	f.await("the start of version 2 is killed", func() bool {
		a, _ := f.app("one")
		return errors.Is(a.LastError, supervisor.ErrExited)
	})
	if a, _ := f.app("one"); a.Version != "1" || a.State != supervisor.Running || f.echo("still") != "still" {
		t.Errorf("version %s is %s, want 1 at work", a.Version, a.State)
	}
	install(t, needs, nil, 0o600)
	f.awaitVersion("one", "2")
	f.await("the lone app runs", func() bool { a, _ := f.app("alone"); return a.State == supervisor.Running && a.LastError == nil })
}

// TestMissedVersionIsReplaced: the directory decides what is tried again.
func TestMissedVersionIsReplaced(t *testing.T) {
	f := newFixture(t)
	f.put("one", appConfig{Needs: filepath.Join(t.TempDir(), "never")})
	f.start()
	f.put("one", appConfig{Version: "2"})
	f.awaitVersion("one", "2")
	f.put("one", appConfig{Needs: filepath.Join(t.TempDir(), "never")})
	f.await("the start of version 3 is killed", func() bool {
		a, _ := f.app("one")
		return errors.Is(a.LastError, supervisor.ErrExited)
	})
	if err := os.Remove(filepath.Join(f.dir, "one")); err != nil {
		t.Fatal(err)
	}
	f.await("it is gone", func() bool { _, ok := f.app("one"); return !ok })
}

func TestCrashAndRestart(t *testing.T) {
	f := newFixture(t)
	f.put("one", appConfig{Activities: []string{"Echo", "Crash", "Gate"}})
	f.start()
	g := newGate(t)
	before, _ := f.app("one")
	held := f.call("Gate", g.path)
	g.entered()
	crash := f.call("Crash", "")
	for _, id := range []uint64{held, crash} {
		if a := f.wait(id); !a.lost || !a.died {
			t.Errorf("item %d: %+v, want lost and died", id, a)
		}
	}
	f.await("restart", func() bool { a, _ := f.app("one"); return a.State == supervisor.Running && a.Restarts == 1 })
	a, _ := f.app("one")
	if a.PID == before.PID || !errors.Is(a.LastError, supervisor.ErrExited) || !strings.Contains(a.LastError.Error(), "boom on purpose") {
		t.Errorf("status %+v", a)
	}
	if f.echo("again") != "again" {
		t.Error("the restarted app does not work")
	}

	// Killed from outside, twice as quick a death.
	if err := syscall.Kill(a.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	f.await("second restart", func() bool { a, _ := f.app("one"); return a.State == supervisor.Running && a.Restarts == 2 })
}

func TestReplaceWhileRunning(t *testing.T) {
	f := newFixture(t)
	path := f.put("one", appConfig{Version: "1", Activities: []string{"Echo", "Gate", "Old"}})
	f.start()
	g := newGate(t)
	held := f.call("Gate", g.path)
	open := g.entered()
	old := f.handle("Gate")

	install(t, path, image(appConfig{Version: "2", Activities: []string{"Echo", "Gate", "New"}}), 0o755)
	f.awaitVersion("one", "2")
	if f.handle("New") == nil || f.handle("Old") != nil || f.handle("Gate") == old {
		t.Error("functions were not swapped")
	}
	poll(t, "one that drains", func() bool { a, _ := f.app("one"); return a.Draining == 1 }) // a moment after the swap
	f.awaitClosed(old)
	if f.echo("new") != "new" {
		t.Error("the new version does not work")
	}
	open()
	if a := f.wait(held); a.text != "version 1" {
		t.Errorf("the old version did not finish: %+v", a)
	}
	f.await("end of the old version", func() bool { a, _ := f.app("one"); return a.Draining == 0 })

	// In place, which a running executable would refuse (ETXTBSY).
	if err := os.WriteFile(path, image(appConfig{Version: "3", Activities: []string{"Echo"}}), 0o755); err != nil {
		t.Fatal(err)
	}
	f.awaitVersion("one", "3")

	// One that cannot describe itself changes nothing but the last error.
	install(t, path, image(appConfig{Version: "4", Refuse: true}), 0o755)
	f.await("failure of the new version", func() bool { a, _ := f.app("one"); return a.LastError != nil })
	a, _ := f.app("one")
	if a.State != supervisor.Running || a.Version != "3" || f.echo("x") != "x" {
		t.Errorf("the old version is gone: %+v", a)
	}
	// After a crash the old binary is started, not the broken file.
	if err := syscall.Kill(a.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	f.await("restart of the old version", func() bool {
		a, _ := f.app("one")
		return a.State == supervisor.Running && a.Version == "3" && a.Restarts == 1
	})
}

func TestAddAndRemove(t *testing.T) {
	f := newFixture(t)
	f.start()
	path := f.put("late", appConfig{Version: "1", Activities: []string{"Echo"}})
	f.awaitVersion("late", "1")
	a, _ := f.app("late")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	f.await("unloading", func() bool { _, there := f.app("late"); return !there && f.handle("Echo") == nil })
	poll(t, "end of the process", func() bool { return errors.Is(syscall.Kill(a.PID, 0), syscall.ESRCH) })

	dir := filepath.Join(f.dir, "folder")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	install(t, filepath.Join(dir, "folder"), image(appConfig{Version: "5", Activities: []string{"Echo"}}), 0o755)
	f.awaitVersion("folder", "5")
	install(t, filepath.Join(dir, "folder"), image(appConfig{Version: "6", Activities: []string{"Echo"}}), 0o755)
	f.awaitVersion("folder", "6")
}

func TestHalfCopiedFile(t *testing.T) {
	f := newFixture(t)
	f.start()
	<-f.changed // that it has started
	body := image(appConfig{Version: "1", Activities: []string{"Echo"}})
	out, err := os.OpenFile(filepath.Join(f.dir, "slow"), os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.Write(body[:len(body)/2]); err != nil {
		t.Fatal(err)
	}
	// Much longer than a file needs to come to rest, with the writer still there. It
	// is something not happening that is tested here, which only time can show.
	select {
	case <-f.changed:
		t.Errorf("a file that is being written was touched: %+v", f.sup.Apps())
	case <-time.After(800 * time.Millisecond):
	}
	if _, err := out.Write(body[len(body)/2:]); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	f.awaitVersion("slow", "1")
	if strings.Contains(f.log.String(), "[ERROR]") {
		t.Error("an attempt was made before")
	}
}

func TestCreditAndCancel(t *testing.T) {
	f := newFixture(t)
	f.put("one", appConfig{Credit: 2, Activities: []string{"Echo", "Gate", "Most"}})
	f.start()
	g := newGate(t)
	var held []uint64
	other := newGate(t) // of the fourth, to tell it from the third
	for _, at := range []*gate{g, g, g, other, g} {
		held = append(held, f.call("Gate", at.path))
	}
	open1, open2 := g.entered(), g.entered()
	h := f.handle("Gate")
	h.Send(&protocol.HostFrame{Cancels: []uint64{held[4]}}) // waits for credit: never sent
	if a := f.wait(held[4]); !a.returned {
		t.Errorf("cancelled before it was sent: %+v", a)
	}
	open1()
	open2()
	open3 := g.entered()
	other.entered()
	open3()
	for _, id := range held[:3] {
		if a := f.wait(id); a.text != "version " {
			t.Errorf("item %d: %+v", id, a)
		}
	}
	h.Send(&protocol.HostFrame{Cancels: []uint64{held[3]}}) // runs: its context ends
	if a := f.wait(held[3]); a.text != "cancelled" {
		t.Errorf("cancelled while it ran: %+v", a)
	}
	if got := f.wait(f.call("Most", "")).text; got != "2" {
		t.Errorf("%s items were with the app at once, credit was 2", got)
	}
}

func TestFunctionRules(t *testing.T) {
	f := newFixture(t)
	f.put("a", appConfig{Activities: []string{"Shared", "Twice", "twice", "9bad", "host"},
		Bindings: map[string][]string{
			"None": {"durableClient"}, "Two": {"activityTrigger", "orchestrationTrigger"}, "Odd": {"teapot"}}})
	f.put("b", appConfig{Activities: []string{"SHARED", "Own"}})
	f.start()
	errs := func(app string) map[string]error {
		a, _ := f.app(app)
		out := map[string]error{}
		for _, fn := range a.Functions {
			out[fn.Name] = fn.Err
		}
		return out
	}
	a, b := errs("a"), errs("b")
	for _, name := range []string{"twice", "9bad", "host", "None", "Two", "Odd"} {
		if !errors.Is(a[name], supervisor.ErrFunction) {
			t.Errorf("function %s: %v, want ErrFunction", name, a[name])
		}
	}
	if a["Shared"] != nil || a["Twice"] != nil || b["Own"] != nil {
		t.Errorf("good functions have errors: %v %v", a, b)
	}
	if !errors.Is(b["SHARED"], supervisor.ErrConflict) || !strings.Contains(b["SHARED"].Error(), "app a") {
		t.Errorf("conflict: %v", b["SHARED"])
	}
	if h := f.handle("shared"); h == nil || h.App() != "a" {
		t.Errorf("the first app does not serve the shared function: %v", h)
	}
	// When the first one goes, the other takes over.
	if err := os.Remove(filepath.Join(f.dir, "a")); err != nil {
		t.Fatal(err)
	}
	f.await("takeover", func() bool { h := f.handle("Shared"); return h != nil && h.App() == "b" })
}

func TestStop(t *testing.T) {
	f := newFixture(t)
	f.put("one", appConfig{Version: "1", Activities: []string{"Gate"}})
	f.start()
	g := newGate(t)
	finished, stuck := f.call("Gate", g.path), uint64(0)
	open := g.entered()
	stuck = f.call("Gate", g.path)
	g.entered()
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	h := f.handle("Gate")
	go func() { stopped <- f.sup.Stop(ctx) }()
	f.awaitClosed(h)
	open()
	if a := f.wait(finished); a.text != "version 1" {
		t.Errorf("did not finish while draining: %+v", a)
	}
	cancel()
	if a := f.wait(stuck); !a.lost || a.died {
		t.Errorf("stopped by the host: %+v, want lost and not died", a)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if err := f.sup.Stop(context.Background()); err != nil {
		t.Errorf("second Stop: %v", err)
	}
	if err := f.sup.Start(context.Background()); err == nil {
		t.Error("Start after Stop succeeded")
	}
}

func TestStopBeforeStart(t *testing.T) {
	f := newFixture(t)
	if err := f.sup.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestStartWithoutDirectory(t *testing.T) {
	f := newFixture(t, func(o *supervisor.Options) { o.Dir = filepath.Join(o.Dir, "missing") })
	if err := f.sup.Start(context.Background()); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "missing") {
		t.Errorf("Start: %v", err)
	}
}
