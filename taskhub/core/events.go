package core

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/durafunc/durafunc/taskhub/history"
)

// noTask is the eventId of events that no action caused.
const noTask = -1

// eventTag is the tag of History.events, so that framed events can be joined into
// one History by copying bytes.
const eventTag = 1<<3 | 2

// frame encodes an event once: the same bytes are stored and sent to the app.
func frame(dst []byte, e *history.HistoryEvent) []byte {
	size := e.SizeVT()
	dst = append(dst, eventTag)
	dst = binary.AppendUvarint(dst, uint64(size))
	at := len(dst)
	dst = append(dst, make([]byte, size)...)
	// The buffer has the size that SizeVT asked for; marshalling cannot fail.
	_, _ = e.MarshalToSizedBufferVT(dst[at:])
	return dst
}

// unframe is the encoded event inside a frame that frame made.
func unframe(framed []byte) []byte {
	n, w := binary.Uvarint(framed[1:])
	return framed[1+w : 1+w+int(n)]
}

func newEvent(id int32, at int64) *history.HistoryEvent {
	return &history.HistoryEvent{EventId: id, Timestamp: &timestamppb.Timestamp{Seconds: at / 1e9, Nanos: int32(at % 1e9)}}
}

// nanosOf is a time in Unix nanoseconds, or the nearest that they can say: a timer of
// the year 9999 is due in 2262.
func nanosOf(t *timestamppb.Timestamp) int64 {
	switch seconds := t.GetSeconds(); {
	case seconds >= math.MaxInt64/1_000_000_000:
		return math.MaxInt64
	case seconds <= math.MinInt64/1_000_000_000:
		return math.MinInt64
	default:
		return seconds*1e9 + int64(t.GetNanos())
	}
}

// nonEmpty wraps a string whose empty value means absent.
func nonEmpty(s string) *wrapperspb.StringValue {
	if s == "" {
		return nil
	}
	return &wrapperspb.StringValue{Value: s}
}
