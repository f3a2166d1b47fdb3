package httpapi

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/durafunc/durafunc/taskhub"
	"github.com/durafunc/durafunc/taskhub/history"
)

// appendStatus appends the status object (F§3.6). events is the reshaped history;
// nil leaves it out. It is sent under two keys: "historyEvents" is the
// documented one, and the JavaScript client reads "history".
func appendStatus(b []byte, in *taskhub.Instance, showInput bool, events []byte) []byte {
	b = appendString(append(b, `{"name":`...), in.Name)
	b = appendString(append(b, `,"instanceId":`...), in.ID)
	b = appendString(append(b, `,"runtimeStatus":`...), history.StatusName(in.Status))
	b = append(b, `,"input":`...)
	if showInput {
		b = appendPayload(b, in.Input)
	} else {
		b = append(b, "null"...)
	}
	b = appendPayload(append(b, `,"customStatus":`...), in.CustomStatus)
	b = appendPayload(append(b, `,"output":`...), in.Output)
	b = appendSeconds(append(b, `,"createdTime":`...), in.Created)
	b = appendSeconds(append(b, `,"lastUpdatedTime":`...), in.Updated)
	if events != nil {
		b = append(append(b, `,"historyEvents":`...), events...)
		b = append(append(b, `,"history":`...), events...)
	}
	return append(b, '}')
}

// appendPayload appends a payload as the JSON it is, or as a string if it is none
// (F§3.6).
func appendPayload(b []byte, p *string) []byte {
	switch {
	case p == nil:
		return append(b, "null"...)
	case history.IsPayloadRef(*p):
		return appendString(b, describeRef(*p))
	case !json.Valid([]byte(*p)):
		return appendString(b, *p)
	}
	return append(b, *p...)
}

// describeRef stands for a payload that is stored apart from the history.
func describeRef(text string) string {
	ref, err := history.ParsePayloadRef(text)
	if err != nil {
		return "(stored payload)"
	}
	return fmt.Sprintf("(stored payload of %d bytes)", ref.Bytes)
}

// appendSeconds appends a time in UTC with whole seconds (F§3.6).
func appendSeconds(b []byte, t time.Time) []byte {
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, "2006-01-02T15:04:05Z")
	return append(b, '"')
}
