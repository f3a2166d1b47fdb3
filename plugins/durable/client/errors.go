package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Errors of a Client, wrapped with what was asked for and the host's words.
var (
	// ErrNotFound: there is no such instance.
	ErrNotFound = errors.New("instance not found")
	// ErrInstanceExists: the id belongs to an instance that has not ended.
	ErrInstanceExists = errors.New("instance already exists")
	// ErrInvalidState: the instance is not in the state that this needs.
	ErrInvalidState = errors.New("instance is in the wrong state")
	// ErrTerminal: the instance has ended.
	ErrTerminal = errors.New("instance has ended")
	// ErrInvalidArgument: the request makes no sense; the message says why.
	ErrInvalidArgument = errors.New("invalid argument")
	// ErrPayloadTooLarge: an input or an event exceeds the host's maxPayloadBytes.
	ErrPayloadTooLarge = errors.New("payload too large")
	// ErrNotImplemented: this host cannot do that.
	ErrNotImplemented = errors.New("not implemented")
	// ErrUnauthorized: whoever stands before the host wants other credentials.
	ErrUnauthorized = errors.New("not authorized")
	// ErrBusy: too much is waiting. Nothing was done; try again after Error.RetryAfter.
	ErrBusy = errors.New("task hub is busy")
	// ErrUnavailable: there was no answer, and the request may have been carried out.
	// A change can be repeated under one WithRequestID.
	ErrUnavailable = errors.New("task hub is unavailable")
	// ErrInternal: something broke inside the host, whose log says what. The request may
	// have been carried out.
	ErrInternal = errors.New("the host failed")
)

// Error is an answer that is not the one wanted.
type Error struct {
	Op         string        // what was asked for, as in "terminate order-17"
	Code       int           // HTTP status
	Type       string        // the host's word for it, as in "InvalidState"; may be empty
	Message    string        // the host's words; may be empty
	RetryAfter time.Duration // when the host wants to be asked again; 0: it does not say
	Err        error         // one of the errors above, or of encoding/json; nil: nobody knows the code
}

func (e *Error) Error() string {
	what := "unexpected answer"
	if e.Err != nil {
		what = e.Err.Error()
	}
	detail := strconv.Itoa(e.Code)
	if e.Message != "" {
		detail += ": " + e.Message
	}
	return fmt.Sprintf("%s: %s (%s)", e.Op, what, detail)
}

func (e *Error) Unwrap() error { return e.Err }

// sentinel is the one place where status codes become errors.
func sentinel(code int, kind string) error {
	switch code {
	case http.StatusBadRequest:
		return ErrInvalidArgument
	case http.StatusUnauthorized, http.StatusForbidden:
		return ErrUnauthorized
	case http.StatusNotFound:
		return ErrNotFound
	case http.StatusConflict:
		if kind == "InstanceAlreadyExists" {
			return ErrInstanceExists
		}
		return ErrInvalidState
	case http.StatusGone:
		return ErrTerminal
	case http.StatusRequestEntityTooLarge:
		return ErrPayloadTooLarge
	case http.StatusTooManyRequests:
		return ErrBusy
	case http.StatusNotImplemented:
		return ErrNotImplemented
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return ErrUnavailable // a proxy cannot tell either whether it was carried out
	case http.StatusInternalServerError:
		return ErrInternal
	}
	return nil
}

// failure is an answer as an error.
func failure(op string, a *Answer) *Error {
	e := &Error{Op: op, Code: a.Code, RetryAfter: retryAfter(a.Header)}
	var body struct{ Message, ExceptionMessage, ExceptionType string }
	var text string // what a purge without a date is answered
	switch {
	case json.Unmarshal(a.Body, &body) == nil:
		e.Type, e.Message = body.ExceptionType, body.ExceptionMessage
		if e.Message == "" {
			e.Message = body.Message
		}
	case json.Unmarshal(a.Body, &text) == nil:
		e.Message = text
	default:
		e.Message = clip(a.Body)
	}
	e.Err = sentinel(e.Code, e.Type)
	return e
}

// retryAfter reads the header of that name: whole seconds. The API sends no dates.
func retryAfter(h http.Header) time.Duration {
	s, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || s < 0 {
		return 0
	}
	return time.Duration(s) * time.Second
}

// clip keeps an error readable when a proxy answers with a page.
func clip(b []byte) string {
	const most = 300
	s := strings.TrimSpace(string(b[:min(len(b), most)]))
	if len(b) > most {
		s += "..."
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
