package checked_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"github.com/durafunc/durafunc/taskhub/checked"
)

type object struct {
	Format int               `json:"format"`
	Name   string            `json:"name"`
	Parts  map[string]uint64 `json:"parts,omitempty"`
}

var example = object{1, "a \"sum\" of <things>", map[string]uint64{"p": 1 << 63}}

func TestGoldenBytes(t *testing.T) {
	const want = `{
  "format": 1,
  "name": "x",
  "sum": "sha256:9899d3d532f69f7b99e72accc955a4d448fd1d99f6de9b4dc97975feda11ac32"
}
`
	if b := checked.Marshal(object{Format: 1, Name: "x"}); string(b) != want {
		t.Errorf("got\n%s", b)
	}
	if err := checked.Check([]byte(want)); err != nil {
		t.Error(err)
	}
}

func TestRoundTrip(t *testing.T) {
	b := checked.Marshal(example)
	if !json.Valid(b) {
		t.Errorf("no JSON:\n%s", b)
	}
	var got object
	if err := checked.Unmarshal(b, &got); err != nil || !reflect.DeepEqual(got, example) {
		t.Errorf("%+v, %v", got, err)
	}
}

// refused reports whether b is refused as damaged, and v is left alone.
func refused(b []byte) bool {
	var got object
	err := checked.Unmarshal(b, &got)
	return errors.Is(err, checked.ErrDamaged) && strings.Contains(err.Error(), "put back the object") && reflect.DeepEqual(got, object{})
}

func TestEveryFlippedBitIsRefused(t *testing.T) {
	good := checked.Marshal(example)
	for at := range good {
		for bit := range 8 {
			b := bytes.Clone(good)
			b[at] ^= 1 << bit
			if !refused(b) {
				t.Errorf("byte %d, bit %d: %q is believed", at, bit, b)
			}
		}
	}
}

func TestEveryCutIsRefused(t *testing.T) {
	good := checked.Marshal(example)
	for at := range good {
		if !refused(good[:at]) {
			t.Errorf("the first %d bytes are believed", at)
		}
		if at > 0 && !refused(good[at:]) {
			t.Errorf("what follows the first %d bytes is believed", at)
		}
	}
}

func TestOtherBytesAreRefused(t *testing.T) {
	good := string(checked.Marshal(example))
	for name, b := range map[string]string{
		"no checksum":              `{"format":1,"name":"x"}`,
		"no JSON":                  "hello",
		"something follows":        good + "\n",
		"written twice":            good + good,
		"letters of the sum":       strings.Replace(good, "sha256:", "SHA256:", 1),
		"lines as on Windows":      strings.ReplaceAll(good, "\n", "\r\n"),
		"the same value, reformed": strings.ReplaceAll(good, "  ", "\t"),
	} {
		if !refused([]byte(b)) {
			t.Errorf("%s: %q is believed", name, b)
		}
	}
	if err := checked.Check([]byte(`{"format":1}`)); err == nil || !strings.Contains(err.Error(), "begin a new hub") {
		t.Errorf("an object from before there were checksums: %v", err)
	}
}

// What has no members cannot carry a checksum.
func TestMarshalPanicsForWhatIsNoObject(t *testing.T) {
	for _, v := range []any{1, []int{1}, struct{}{}, func() {}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%T: no panic", v)
				}
			}()
			checked.Marshal(v)
		}()
	}
}

// The package's comment says how a person finds the checksum.
func TestChecksumByHand(t *testing.T) {
	cmd := exec.Command("sh", "-c", "head -n -2 | sha256sum")
	b := checked.Marshal(example)
	cmd.Stdin = bytes.NewReader(b)
	out, err := cmd.Output()
	sum, _, ok := strings.Cut(string(out), " ")
	if err != nil || !ok {
		t.Skipf("this system has not head and sha256sum of GNU: %v", err)
	}
	if !bytes.Contains(b, []byte(`"sum": "sha256:`+sum+`"`)) {
		t.Errorf("by hand it is %s:\n%s", sum, b)
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add(checked.Marshal(example))
	f.Add([]byte(`{"format":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var v map[string]any
		if err := checked.Unmarshal(b, &v); err == nil && !json.Valid(b) {
			t.Errorf("%q passes", b)
		}
	})
}
