package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"unicode/utf8"
)

var (
	errTooLarge = errors.New("request body too large")
	errNotJSON  = errors.New("request body is not JSON")
)

// readBody reads at most limit bytes, or returns errTooLarge.
func readBody(r *http.Request, limit int64) ([]byte, error) {
	if r.Body == nil || r.ContentLength == 0 {
		return nil, nil
	}
	if r.ContentLength > limit {
		return nil, errTooLarge
	}
	// A declared length is not yet a body: grow with what really arrives.
	var buf bytes.Buffer
	buf.Grow(int(min(max(r.ContentLength, 0), 64<<10)) + bytes.MinRead)
	if _, err := buf.ReadFrom(io.LimitReader(r.Body, limit+1)); err != nil {
		return nil, fmt.Errorf("reading the request body: %w", err)
	}
	if int64(buf.Len()) > limit {
		return nil, errTooLarge
	}
	return bytes.TrimPrefix(buf.Bytes(), []byte("\xef\xbb\xbf")), nil
}

// firstJSON returns the first complete JSON value of body, or errNotJSON. What
// follows it is ignored (F§3.2). The text must be UTF-8: it will stand in protobuf
// strings, which cannot hold anything else. The hub checks again that it is JSON: not
// every client comes this way, and this one cannot tell where the first value ends
// without looking at all of it.
func firstJSON(body []byte) (string, error) {
	body = bytes.TrimSpace(body)
	if !json.Valid(body) {
		var first json.RawMessage
		if err := json.NewDecoder(bytes.NewReader(body)).Decode(&first); err != nil {
			return "", errNotJSON
		}
		body = first
	}
	if !utf8.Valid(body) {
		return "", errNotJSON
	}
	return string(body), nil
}

// optionalJSON is firstJSON for a body that may be empty.
func optionalJSON(body []byte) (*string, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, nil
	}
	s, err := firstJSON(body)
	if err != nil {
		return nil, err
	}
	return &s, nil
}

// badBody answers an error of the functions above.
func (a *api) badBody(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, errTooLarge):
		writeError(w, http.StatusRequestEntityTooLarge, errorBody{
			Message:       fmt.Sprintf("The request body is larger than maxPayloadBytes, which is %d", a.MaxPayloadBytes),
			ExceptionType: "PayloadTooLarge",
		})
	case errors.Is(err, errNotJSON):
		writeError(w, http.StatusBadRequest, errorBody{Message: msgInvalidJSON})
	default:
		badArgument(w, "the request body could not be read")
	}
}
