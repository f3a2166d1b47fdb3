package files

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

func FuzzDecode(f *testing.F) {
	f.Add(encode(File{ContentType: "text/plain", Expires: time.UnixMilli(1234), Body: []byte("body")}))
	f.Add([]byte(magic))
	f.Add([]byte("dff1\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := decode(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("decode: %v", err)
			}
			return
		}
		if again := encode(*file); !bytes.Equal(again, b) {
			t.Errorf("decoded and encoded %x, was %x", again, b)
		}
	})
}
