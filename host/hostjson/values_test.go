package hostjson

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	tests := []struct {
		text string
		want time.Duration
		ok   bool
	}{
		{"00:00:15", 15 * time.Second, true},
		{"1:2:3", time.Hour + 2*time.Minute + 3*time.Second, true},
		{"2.03:00:00", 51 * time.Hour, true},
		{"00:00:00.5", 500 * time.Millisecond, true},
		{"00:00:00.0000001", 100 * time.Nanosecond, true},
		{"-00:00:01", -time.Second, true},
		{"15s", 15 * time.Second, true},
		{"100000.23:59:59.999999999", 100_000*24*time.Hour + 24*time.Hour - 1, true},
		{"", 0, false},
		{"0", 0, false},
		{"5", 0, false},
		{"00:15", 0, false},
		{"24:00:00", 0, false},
		{"00:60:00", 0, false},
		{"00:00:60", 0, false},
		{"00:00:+1", 0, false},
		{"00:00:1.", 0, false},
		{"00:00:1.0123456789", 0, false},
		{".00:00:01", 0, false},
		{"100001.00:00:00", 0, false},
		{"::", 0, false},
	}
	for _, tt := range tests {
		got, err := parseDuration(tt.text)
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("parseDuration(%q) = %v, %v; want %v, %v", tt.text, got, err, tt.want, tt.ok)
		}
	}
}

func TestCheckHubName(t *testing.T) {
	for _, good := range []string{"abc", "TestHubName", "h12", "Z" + strings.Repeat("9", 44)} {
		if err := CheckHubName(good); err != nil {
			t.Errorf("CheckHubName(%q) = %v", good, err)
		}
	}
	for _, bad := range []string{"", "ab", "1ab", "a-b", "a b", "äbc", "a_b", "Z" + strings.Repeat("9", 45), "[ab", "ab\x00"} {
		if err := CheckHubName(bad); !errors.Is(err, ErrHubName) {
			t.Errorf("CheckHubName(%q) = %v", bad, err)
		}
	}
}

func TestSubstitute(t *testing.T) {
	env := []string{"hub=lower", "HUB=upper", "Empty="}
	tests := []struct {
		text, want string
		ok         bool
	}{
		{"%HUB%", "upper", true},
		{"%hub%", "lower", true},
		{"%Hub%", "lower", true},
		{"%empty%", "", true},
		{"plain", "plain", true},
		{"a%HUB%", "a%HUB%", true}, // only a whole %NAME% is one
		{"%%", "%%", true},
		{"%none%", "", false},
	}
	for _, tt := range tests {
		if got, err := substitute(tt.text, env); got != tt.want || (err == nil) != tt.ok {
			t.Errorf("substitute(%q) = %q, %v", tt.text, got, err)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"bucket", "prefix", "endpoint"}
	for key, want := range map[string]string{"buckets": "bucket", "Prefx": "prefix", "endpiont": "endpoint", "x": "", "": ""} {
		if got := nearest(key, known); got != want {
			t.Errorf("nearest(%q) = %q, want %q", key, got, want)
		}
	}
}

// Nesting as deep as the size allows must not exhaust the stack.
func TestDeepNesting(t *testing.T) {
	for _, open := range []string{"[", `{"a":`} {
		text := strings.Repeat(open, MaxFileBytes/len(open))
		if _, _, err := parse(testRoot, []byte(text), nil); err == nil {
			t.Errorf("%s...: no error", open)
		}
	}
	n := MaxFileBytes/2 - 20
	text := `{"version":"2.0","zzz":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}`
	if _, _, err := parse(testRoot, []byte(text), nil); err != nil {
		t.Errorf("closed: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`{"version":"2.0"}`, "DURAFUNC__extensions__durableTask__hubName=x")
	f.Add(`{"version":"2.0","extensions":{"durableTask":{"hubName":"%A%","storageProvider":{"leaseDuration":"1.00:00:00"}}}}`, "A=b")
	f.Add("// c\n{\"version\":2,}", "AzureFunctionsJobHost__version__x")
	f.Add(`{"extensions":[{}],"logging":null}`, "DURAFUNC__logging__logLevel__default=Debug")
	f.Fuzz(func(t *testing.T, text, env string) {
		cfg, _, err := parse(testRoot, []byte(text), []string{env})
		if (cfg == nil) != (err != nil) {
			t.Fatalf("config %v with error %v", cfg, err)
		}
		if cfg != nil && (CheckHubName(cfg.DurableTask.HubName) != nil || cfg.DurableTask.Storage.PartitionCount < 1 ||
			cfg.DurableTask.Storage.LeaseDuration < MinLeaseDuration) {
			t.Fatalf("invalid config passed: %+v", cfg)
		}
	})
}
