package files

import (
	"encoding/binary"
	"errors"
	"time"
)

// A file object, integers big-endian:
//
//	0   4  "dff1": format 1
//	4   8  expiry, milliseconds since 1970
//	12  2  length n of the content type
//	14  n  content type
//	14+n   the body, to the end
const magic = "dff1"

const (
	fixedHeader = 14
	maxType     = 200
	maxHeader   = fixedHeader + maxType
)

// ErrCorrupt means that an object is not a file of a known format.
var ErrCorrupt = errors.New("file object is corrupt")

func encode(f File) []byte {
	b := make([]byte, 0, fixedHeader+len(f.ContentType)+len(f.Body))
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint64(b, uint64(f.Expires.UnixMilli()))
	b = binary.BigEndian.AppendUint16(b, uint16(len(f.ContentType)))
	b = append(b, f.ContentType...)
	return append(b, f.Body...)
}

// decode shares b.
func decode(b []byte) (*File, error) {
	if len(b) < fixedHeader || string(b[:len(magic)]) != magic {
		return nil, ErrCorrupt
	}
	n := int(binary.BigEndian.Uint16(b[12:]))
	if n > maxType || len(b) < fixedHeader+n {
		return nil, ErrCorrupt
	}
	return &File{
		ContentType: string(b[fixedHeader : fixedHeader+n]),
		Expires:     time.UnixMilli(int64(binary.BigEndian.Uint64(b[4:]))),
		Body:        b[fixedHeader+n:],
	}, nil
}
