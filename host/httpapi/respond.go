package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"unicode/utf8"

	"github.com/durafunc/durafunc/taskhub"
)

// Messages that clients know (F§3.1, F§3.2).
const (
	msgArgument    = "One or more of the arguments submitted is incorrect"
	msgInternal    = "Something went wrong while processing your request"
	msgInvalidJSON = "Invalid JSON content"
	msgContentType = "Only application/json request content is supported"
	msgNoInstance  = "InstanceId does not match a valid orchestration instance."
	msgNoDate      = "Please provide value for 'createdTimeFrom' parameter."
)

// Retry-After values in seconds (F§3.2, F§3.4).
const (
	retryStarted     = 10
	retryRunning     = 5
	retryUnavailable = 1
	retryBusy        = 1
)

// errorBody is the body of an error (F§3.1 W12): PascalCase, unlike all else. There
// is never a stack trace; ExceptionType is a stable word to decide on.
type errorBody struct {
	Message          string
	ExceptionMessage string `json:",omitempty"`
	ExceptionType    string `json:",omitempty"`
}

func writeError(w http.ResponseWriter, code int, b errorBody) { writeValue(w, code, b) }

func badArgument(w http.ResponseWriter, detail string) {
	writeError(w, http.StatusBadRequest, errorBody{msgArgument, detail, "InvalidArgument"})
}

// fail turns an error of the task hub into an answer. ErrNotFound and ErrTerminal
// have an empty body, as clients expect.
func (a *api) fail(w http.ResponseWriter, r *http.Request, instance string, err error) {
	switch {
	case errors.Is(err, taskhub.ErrNotFound):
		w.WriteHeader(http.StatusNotFound)
	case errors.Is(err, taskhub.ErrTerminal):
		w.WriteHeader(http.StatusGone)
	case errors.Is(err, taskhub.ErrInstanceExists):
		writeError(w, http.StatusConflict, errorBody{"The instance already exists", err.Error(), "InstanceAlreadyExists"})
	case errors.Is(err, taskhub.ErrInvalidState):
		writeError(w, http.StatusConflict, errorBody{"The instance is in the wrong state", err.Error(), "InvalidState"})
	case errors.Is(err, taskhub.ErrInvalidArgument):
		badArgument(w, err.Error())
	case r.Context().Err() != nil:
		// The client has left; nobody reads the answer.
	case errors.Is(err, taskhub.ErrBusy):
		// Refused before anything was done, so that waiting requests do not fill the memory.
		a.Log.Debug("request refused", "instance", instance, "error", err)
		setRetryAfter(w, retryBusy)
		writeError(w, http.StatusTooManyRequests, errorBody{Message: "Too much is waiting; try again", ExceptionType: "Busy"})
	case errors.Is(err, taskhub.ErrUnavailable):
		// The request was not answered: not taken, or taken when the partition stopped.
		// It can be sent again; what was done already shows in the next answer.
		a.Log.Debug("request not answered", "instance", instance, "error", err)
		setRetryAfter(w, retryUnavailable)
		writeError(w, http.StatusServiceUnavailable, errorBody{Message: "The task hub is unavailable; try again", ExceptionType: "Unavailable"})
	default:
		// What broke is for the log: an inner error may name buckets and paths.
		a.Log.Error("request failed", "method", r.Method, "instance", instance, "error", err)
		writeError(w, http.StatusInternalServerError, errorBody{Message: msgInternal})
	}
}

var jsonContentType = []string{"application/json; charset=utf-8"}

func writeJSON(w http.ResponseWriter, code int, body []byte) {
	h := w.Header()
	h["Content-Type"] = jsonContentType
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(code)
	w.Write(body) // an error means that the client has left
}

// writeValue is writeJSON for answers that are not frequent.
func writeValue(w http.ResponseWriter, code int, v any) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // links hold '&'
	if err := enc.Encode(v); err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	writeJSON(w, code, bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

func setRetryAfter(w http.ResponseWriter, seconds int) {
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
}

// appendString appends s as a JSON string.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return appendEscaped(b, s)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

func appendEscaped(b []byte, s string) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return append(b, `""`...)
	}
	return append(b, bytes.TrimSuffix(buf.Bytes(), []byte("\n"))...)
}

// quoted is s as a JSON string, for messages.
func quoted(s string) string { return string(appendString(nil, s)) }
