package hostjson

import (
	"os"
	"strings"
	"testing"
)

// Every setting that Load reads has its row in docs/host-json.md.
func TestEverySettingIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/host-json.md")
	if err != nil {
		t.Fatal(err)
	}
	for path, s := range schema {
		for _, key := range s.read {
			full := joinKey(path, key)
			if isSection(full) {
				continue
			}
			if row := "\n| `" + key + "` |"; !strings.Contains(string(text), row) && !strings.Contains(string(text), "\n| `"+full+"` |") {
				t.Errorf("docs/host-json.md has no row for %s", full)
			}
		}
	}
}
