package durable

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/durafunc/durafunc/taskhub/history"
)

// errPayloadRef: whoever reads a payload resolves it first.
var errPayloadRef = errors.New("a payload reference was not resolved")

// errTooLarge: a payload that no host takes.
var errTooLarge = errors.New("payload is too large")

// encode is v as a payload: nil for nothing (nil, struct{}, an empty
// json.RawMessage), else JSON text. The frequent small types skip reflection.
func encode(v any) (*wrapperspb.StringValue, error) {
	switch v := v.(type) {
	case nil, struct{}:
		return nil, nil
	case string:
		if plainText(v) {
			return checkSize(wrapperspb.String(`"` + v + `"`))
		}
	case int:
		return wrapperspb.String(strconv.Itoa(v)), nil
	case bool:
		return wrapperspb.String(strconv.FormatBool(v)), nil
	case json.RawMessage:
		if len(v) == 0 {
			return nil, nil
		}
		if !json.Valid(v) {
			return nil, fmt.Errorf("json.RawMessage of %d bytes is not JSON", len(v))
		}
		return checkSize(wrapperspb.String(string(v)))
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return checkSize(wrapperspb.String(string(b)))
}

func checkSize(p *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
	if len(p.Value) > maxPayload {
		return nil, fmt.Errorf("%w: %d bytes of JSON, at most %d fit into a message to the host", errTooLarge, len(p.Value), maxPayload)
	}
	return p, nil
}

// decode reads a payload into out, which stays the zero value for none and null.
func decode[T any](p *wrapperspb.StringValue, out *T) error {
	if p == nil || p.Value == "" || p.Value == "null" {
		return nil
	}
	text := p.Value
	if history.IsPayloadRef(text) {
		return errPayloadRef
	}
	switch o := any(out).(type) {
	case *struct{}:
		return nil
	case *json.RawMessage:
		*o = json.RawMessage(text)
		return nil
	case *string:
		if n := len(text); n >= 2 && text[0] == '"' && text[n-1] == '"' && plainText(text[1:n-1]) {
			*o = text[1 : n-1]
			return nil
		}
	}
	if err := json.Unmarshal([]byte(text), out); err != nil {
		return fmt.Errorf("cannot read JSON of %d bytes as %s: %w", len(text), reflect.TypeFor[T](), err)
	}
	return nil
}

// plainText reports whether s stands in JSON as it is: printable ASCII without the
// characters that encoding/json escapes.
func plainText(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c < 0x20 || c > 0x7e:
			return false
		case c == '"' || c == '\\' || c == '<' || c == '>' || c == '&':
			return false
		}
	}
	return true
}
