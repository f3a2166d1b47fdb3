package history

import "google.golang.org/protobuf/types/known/wrapperspb"

// The Durable Task protocol tells absent and empty text apart: a *wrapperspb.StringValue
// on the wire, a *string in Go.

// WrapText is a text on the wire; nil is absent.
func WrapText(s *string) *wrapperspb.StringValue {
	if s == nil {
		return nil
	}
	return &wrapperspb.StringValue{Value: *s}
}

// UnwrapText is a text from the wire, which it shares; nil is absent.
func UnwrapText(v *wrapperspb.StringValue) *string {
	if v == nil {
		return nil
	}
	return &v.Value
}
