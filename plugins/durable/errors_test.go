package durable

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/durafunc/durafunc/taskhub/history"
)

type nilError struct{ s string }

func (e *nilError) Error() string { return e.s }

func TestErrorsCrossTheWire(t *testing.T) {
	loop := &history.TaskFailureDetails{ErrorType: "x"}
	deep := io.EOF
	for range 100 {
		deep = fmt.Errorf("d: %w", deep)
	}
	for name, tt := range map[string]struct {
		err  error
		want string // types, outer first
	}{
		"chain":         {fmt.Errorf("a: %w", &fs.PathError{Op: "open", Path: "p", Err: io.EOF}), "*fmt.wrapError *fs.PathError *errors.errorString"},
		"joined":        {errors.Join(nil, io.EOF, fs.ErrExist), "*errors.joinError *errors.errorString"},
		"marked":        {NonRetriable(fmt.Errorf("a: %w", NonRetriable(io.EOF))), "*fmt.wrapError *errors.errorString!"},
		"task failed":   {&TaskFailedError{TaskName: "A", Failure: fromWire(loop)}, "*durable.TaskFailedError x"},
		"bad error":     {(*nilError)(nil), "*durable.nilError"},
		"endless chain": {deep, strings.TrimSpace(strings.Repeat("*fmt.wrapError ", maxInner+1))},
	} {
		var types []string
		d := failureOf(tt.err)
		marked := d.IsNonRetriable
		for f := fromWire(d); f != nil; f = f.Inner {
			types = append(types, f.Type)
		}
		got := strings.Join(types, " ")
		if marked {
			got += "!"
		}
		if got != tt.want {
			t.Errorf("%s: got %s, want %s", name, got, tt.want)
		}
	}
	if NonRetriable(nil) != nil {
		t.Error("NonRetriable(nil) is an error")
	}
}

func TestIsCausedBy(t *testing.T) {
	here := fmt.Errorf("x: %w", &fs.PathError{Err: io.EOF})
	there := fmt.Errorf("y: %w", &TaskFailedError{TaskName: "A", Failure: fromWire(failureOf(here))})
	for name, err := range map[string]error{"here": here, "there": there} {
		if !IsCausedBy[*fs.PathError](err) || IsCausedBy[*nilError](err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	child := &TaskFailedError{TaskName: "C", SubOrchestration: true, Failure: &FailureDetails{Message: "Orchestrator function 'C' failed: x"}}
	if got := child.Error(); got != "Orchestrator function 'C' failed: x" {
		t.Errorf("a child's failure says it twice: %s", got)
	}
	f, ok := errors.AsType[*FailureDetails](there)
	if !ok || f.Type != "*fmt.wrapError" || errors.Unwrap(f.Inner.Inner) != nil {
		t.Errorf("failure is %+v", f)
	}
	f.Stack, f.NonRetriable = "s", true
	if again := fromWire(toWire(f)); again.Stack != "s" || !again.NonRetriable || again.Inner.Type != "*fs.PathError" {
		t.Errorf("a failure changes on its way: %+v", again)
	}
}

func TestJSON(t *testing.T) {
	for _, s := range []string{"", "plain", `quo"te`, `back\slash`, "<&>", "ümlaut", "\x00\n", "\xff"} {
		p, err := encode(s)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := json.Marshal(s)
		if p.Value != string(want) {
			t.Errorf("encode(%q) = %s, want %s", s, p.Value, want)
		}
		var back, std string
		if err := decode(p, &back); err != nil {
			t.Errorf("%q: %v", s, err)
		}
		if err := json.Unmarshal(want, &std); err != nil || back != std {
			t.Errorf("%q comes back as %q", s, back)
		}
	}
	for _, v := range []any{nil, struct{}{}, json.RawMessage(nil)} {
		if p, err := encode(v); p != nil || err != nil {
			t.Errorf("encode(%#v) = %v, %v", v, p, err)
		}
	}
	for _, v := range []any{-7, true, 1.5, []string{"a"}, map[string]int{"b": 1}} {
		p, _ := encode(v)
		if want, _ := json.Marshal(v); p.GetValue() != string(want) {
			t.Errorf("encode(%v) = %v", v, p)
		}
	}
	var n int
	for _, bad := range []string{"x", `"1"`, "1 2", (history.PayloadRef{Name: "1-2"}).String()} {
		if err := decode(wrapperspb.String(bad), &n); err == nil {
			t.Errorf("%q was read as int", bad)
		}
	}
}

func FuzzDecodeString(f *testing.F) {
	f.Add(`"a"`)
	f.Add(`"\u0041"`)
	f.Add(`"`)
	f.Fuzz(func(t *testing.T, text string) {
		if text == "" || text == "null" || history.IsPayloadRef(text) {
			return
		}
		var got, want string
		err := decode(wrapperspb.String(text), &got)
		stdErr := json.Unmarshal([]byte(text), &want)
		if (err == nil) != (stdErr == nil) || got != want {
			t.Errorf("decode(%q) = %q, %v; encoding/json: %q, %v", text, got, err, want, stdErr)
		}
	})
}

func TestUTF16Bytes(t *testing.T) {
	for s, want := range map[string]int{"": 0, "ab": 4, "ü": 2, "😀": 4, "\xff": 2} {
		if got := utf16Bytes(s); got != want {
			t.Errorf("%q has %d bytes, want %d", s, got, want)
		}
	}
}
