package partition

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/durafunc/durafunc/taskhub/checked"
	"github.com/durafunc/durafunc/taskhub/checkpoint"
)

var fullRoot = Root{
	Format: rootFormat, Hub: "hub", Partition: 3, Epoch: 7, Owner: "owner-15000", WakeAt: 1, Nonce: "nonce",
	Checkpoint: &checkpoint.Manifest{Seq: 200, Bundle: checkpoint.Table{Name: "7-2", SHA256: "00"}},
	Previous:   &checkpoint.Manifest{Seq: 100}, TrimBelow: 50,
}

func TestEveryFlippedBitOfARootIsRefused(t *testing.T) {
	const key = "p/03/root"
	good := fullRoot.encode()
	if r, err := decodeRoot(key, good); err != nil || !reflect.DeepEqual(*r, fullRoot) {
		t.Fatalf("%+v, %v", r, err)
	}
	for at := range good {
		for bit := range 8 {
			b := bytes.Clone(good)
			b[at] ^= 1 << bit
			_, err := decodeRoot(key, b)
			var corrupt *CorruptError
			if !errors.As(err, &corrupt) || corrupt.Key != key || !errors.Is(err, checked.ErrDamaged) {
				t.Errorf("byte %d, bit %d: %v", at, bit, err)
			}
		}
	}
}

// A root of a newer version is not damaged, and one that is whole but not understood is not
// taken for a free partition.
func TestRootsThatAreNotUnderstood(t *testing.T) {
	newer := fullRoot
	newer.Format = 99
	_, err := decodeRoot("p/03/root", newer.encode())
	var corrupt *CorruptError
	if err == nil || errors.As(err, &corrupt) || !strings.Contains(fmt.Sprint(err), "p/03/root: format 99") {
		t.Errorf("a newer format: %v", err)
	}
	for name, b := range map[string][]byte{
		"no checksum": []byte(`{"format":1,"hub":"hub","partition":3,"epoch":7}`), "empty": nil, "no JSON": []byte("x"),
	} {
		if _, err := decodeRoot("p/03/root", b); !errors.As(err, &corrupt) || !strings.Contains(err.Error(), "p/03/root") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
