package hostjson

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

const testRoot = "/app"

func mustParse(t *testing.T, text string, env ...string) (*Config, []Note) {
	t.Helper()
	cfg, notes, err := parse(testRoot, []byte(text), env)
	if err != nil {
		t.Fatalf("parse: %v", err)
	}
	return cfg, notes
}

func defaults() Config {
	perHost := 100 * runtime.GOMAXPROCS(0)
	return Config{
		Root:               testRoot,
		FunctionsDirectory: "/app/functions",
		LogLevel:           hclog.Info,
		DurableTask: DurableTask{
			HubName:                            "TestHubName",
			MaxConcurrentActivityFunctions:     perHost,
			MaxConcurrentOrchestratorFunctions: perHost,
			NonDeterminism:                     NonDeterminismSuspend,
			FunctionNotFoundTimeout:            5 * time.Minute,
			MaxPayloadBytes:                    64 << 20,
			Storage: Storage{
				Type:           StoreFile,
				Path:           "/app/.durafunc",
				PartitionCount: 1,
				LeaseDuration:  15 * time.Second,
				Leases:         Leases{Type: LeasesObjects},
			},
		},
	}
}

func TestDefaults(t *testing.T) {
	cfg, notes := mustParse(t, `{"version":"2.0"}`)
	if *cfg != defaults() {
		t.Errorf("got  %+v\nwant %+v", *cfg, defaults())
	}
	if len(notes) != 0 {
		t.Errorf("notes: %v", notes)
	}
}

func TestEverySetting(t *testing.T) {
	cfg, notes := mustParse(t, `
// with comments, trailing commas, and keys in any case
{
  "Version": "2.0",
  "functionsDirectory": "/srv/functions",
  "logging": {"loglevel": {"DEFAULT": "Warning"}},
  "extensions": {
    "DurableTask": {
      "hubName": "%HUB%",
      "maxConcurrentActivityFunctions": 7,
      "maxConcurrentOrchestratorFunctions": "8",
      "overridableExistingInstanceStates": "anystate",
      "nonDeterminism": "fail",
      "functionNotFoundTimeout": "00:00:00",
      "maxPayloadBytes": 1048576,
      "storageProvider": {
        "type": "s3", "bucket": "b", "prefix": "/x/y/", "endpoint": "http://localhost:9000",
        "region": "eu-central-1", "forcePathStyle": true, "partitionCount": 32,
        "leaseDuration": "1.00:00:02.5", /* a day */
        "leases": {"type": "dynamodb", "table": "t", "endpoint": "http://localhost:8000", "region": "eu-west-1"},
      },
    },
  },
}`, "HUB=Orders")
	want := Config{
		Root:               testRoot,
		FunctionsDirectory: "/srv/functions",
		LogLevel:           hclog.Warn,
		DurableTask: DurableTask{
			HubName:                            "Orders",
			MaxConcurrentActivityFunctions:     7,
			MaxConcurrentOrchestratorFunctions: 8,
			OverrideRunning:                    true,
			NonDeterminism:                     NonDeterminismFail,
			MaxPayloadBytes:                    1 << 20,
			Storage: Storage{
				Type: StoreS3, Bucket: "b", Prefix: "x/y", Endpoint: "http://localhost:9000", Region: "eu-central-1",
				ForcePathStyle: true, PartitionCount: 32, LeaseDuration: 24*time.Hour + 2500*time.Millisecond,
				Leases: Leases{Type: LeasesDynamoDB, Table: "t", Endpoint: "http://localhost:8000", Region: "eu-west-1"},
			},
		},
	}
	if *cfg != want {
		t.Errorf("got  %+v\nwant %+v", *cfg, want)
	}
	if len(notes) != 0 {
		t.Errorf("notes: %v", notes)
	}
}

func TestProblemsNameThePlace(t *testing.T) {
	const ok = `"version":"2.0"`
	durable := func(s string) string { return `{` + ok + `,"extensions":{"durableTask":{` + s + `}}}` }
	store := func(s string) string { return durable(`"storageProvider":{` + s + `}`) }
	tests := []struct {
		name, text string
		env        []string
		want       []string
	}{
		{"no version", `{}`, nil, []string{`host.json: version: is missing; add "version": "2.0"`}},
		{"null version", `{"version":null}`, nil, []string{`host.json: version: is missing; add "version": "2.0"`}},
		{"other version", `{"version":"1.0"}`, nil, []string{`host.json:1:12: version: "1.0" must be "2.0"`}},
		{"syntax", "{\n  \"version\": \"2.0\",,\n}", nil, []string{`host.json:2:20: not valid JSON: `}},
		{"empty", "", nil, []string{`host.json:1:1: not valid JSON: `}},
		{"not an object", `[1]`, nil, []string{`host.json:1:1: must be an object in braces`}},
		{"key twice", `{"version":"2.0","VERSION":"2.0"}`, nil, []string{`host.json:1:28: VERSION: is there twice (first at host.json:1:12)`}},
		{"section of another type", `{` + ok + `,"extensions":5}`, nil, []string{`host.json:1:31: extensions: must be an object in braces`}},
		{"value of another type", durable(`"hubName":{}`), nil, []string{`extensions.durableTask.hubName: must be a string`}},
		{"short lease", "{" + ok + ",\n\"extensions\":{\"durableTask\":{\"storageProvider\":{\n      \"leaseDuration\": \"500ms\"}}}}", nil,
			[]string{`host.json:3:24: extensions.durableTask.storageProvider.leaseDuration: 500ms must be at least 2s`}},
		{"bare number as duration", store(`"leaseDuration": 15`), nil, []string{`leaseDuration: "15" must be a duration such as "00:00:15"`}},
		{"zero concurrency", durable(`"maxConcurrentActivityFunctions":0`), nil, []string{`maxConcurrentActivityFunctions: 0 must be at least 1`}},
		{"negative concurrency", durable(`"maxConcurrentOrchestratorFunctions":-1`), nil, []string{`-1 must be at least 1`}},
		{"fraction", durable(`"maxPayloadBytes":1.5`), nil, []string{`maxPayloadBytes: "1.5" must be a whole number`}},
		{"payload too large", durable(`"maxPayloadBytes":67108865`), nil, []string{`67108865 must be at most 67108864`}},
		{"hub name", durable(`"hubName":"my-hub"`), nil, []string{`hubName: "my-hub": a task hub name has 3 to 45 letters and digits`}},
		{"setting not set", durable(`"hubName":"%HUB%"`), []string{"OTHER=x"}, []string{`hubName: the application setting "HUB" of "%HUB%" is not set`}},
		{"unknown store", store(`"type":"AzureStorage"`), nil, []string{`storageProvider.type: "AzureStorage" must be one of file, s3, memory`}},
		{"s3 without bucket", store(`"type":"s3"`), nil, []string{`host.json: extensions.durableTask.storageProvider.bucket: is missing; type s3 needs it`}},
		{"mistyped bucket", store(`"type":"s3","buket":"b"`), nil, []string{
			`storageProvider.buket: unknown key; did you mean bucket?`, `storageProvider.bucket: is missing`}},
		{"mistyped type", store(`"typ":"s3","bucket":"b"`), nil, []string{
			`storageProvider.typ: unknown key; did you mean type?`, `storageProvider.bucket: needs "type": "s3" beside it`}},
		{"bucket with path", store(`"type":"s3","bucket":"b/c"`), nil, []string{`bucket: "b/c" must be a bucket's name alone`}},
		{"prefix", store(`"type":"s3","bucket":"b","prefix":"a//b"`), nil, []string{`prefix: "a//b" must be '/'-separated`}},
		{"endpoint", store(`"type":"s3","bucket":"b","endpoint":"localhost:9000"`), nil, []string{`endpoint: "localhost:9000" must be a URL`}},
		{"boolean", store(`"type":"s3","bucket":"b","forcePathStyle":1`), nil, []string{`forcePathStyle: must be true or false`}},
		{"partitions", store(`"partitionCount":17`), nil, []string{`partitionCount: 17 must be 1 to 16, 32 or 64`}},
		{"empty path", store(`"path":""`), nil, []string{`storageProvider.path: must not be empty`}},
		{"log level", `{` + ok + `,"logging":{"logLevel":{"default":"Loud"}}}`, nil, []string{`logging.logLevel.default: "Loud" must be one of Trace`}},
		{"from the environment", `{` + ok + `}`, []string{"DURAFUNC__extensions__durableTask__functionNotFoundTimeout=5"}, []string{
			`environment variable DURAFUNC__extensions__durableTask__functionNotFoundTimeout: extensions.durableTask.functionNotFoundTimeout: "5" must be a duration`}},
		{"all at once", durable(`"nonDeterminism":"x","overridableExistingInstanceStates":"y"`), nil, []string{
			`nonDeterminism: "x" must be one of suspend, fail`, `"y" must be one of NonRunningStates, AnyState`}},
		{"too long", strings.Repeat(" ", MaxFileBytes+1), nil, []string{`host.json: is 262145 bytes long`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, _, err := parse(testRoot, []byte(tt.text), tt.env)
			if err == nil || cfg != nil {
				t.Fatalf("parse: got %+v, %v; want an error", cfg, err)
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error %q does not say %q", err, w)
				}
			}
			if got := strings.Count(err.Error(), "\n") + 1; got != len(tt.want) {
				t.Errorf("%d problems, want %d: %v", got, len(tt.want), err)
			}
			var e *Error
			if !errors.As(err, &e) {
				t.Errorf("%T is no *Error", err)
			}
		})
	}
}

func TestNotes(t *testing.T) {
	tests := []struct {
		name, text string
		env        []string
		want       Note
	}{
		{"mistyped root key", `{"version":"2.0","functionsDirectry":1}`, nil,
			Note{"host.json:1:38", "functionsDirectry", "unknown key, ignored; did you mean functionsDirectory?", true}},
		{"function timeout", `{"version":"2.0","functionTimeout":"-1"}`, nil,
			Note{"host.json:1:36", "functionTimeout", "not used by durafunc yet", false}},
		{"route prefix", `{"version":"2.0","extensions":{"http":{"routePrefix":"api"}}}`, nil,
			Note{"host.json:1:54", "extensions.http.routePrefix", "not used by durafunc yet", false}},
		{"unlike anything", `{"version":"2.0","zzz":1}`, nil, Note{"host.json:1:24", "zzz", "unknown key, ignored", true}},
		{"Azure's root key", `{"version":"2.0","healthMonitor":{}}`, nil,
			Note{"host.json:1:34", "healthMonitor", "not used by durafunc yet", false}},
		{"Azure's durable key", `{"version":"2.0","extensions":{"durableTask":{"tracing":{}}}}`, nil,
			Note{"host.json:1:57", "extensions.durableTask.tracing", "not used by durafunc yet", false}},
		{"Azure's storage key", `{"version":"2.0","extensions":{"durableTask":{"storageProvider":{"connectionName":"S"}}}}`, nil,
			Note{"host.json:1:83", "extensions.durableTask.storageProvider.connectionName", "not used by durafunc yet", false}},
		{"mistyped extension", `{"version":"2.0","extensions":{"durabelTask":{}}}`, nil,
			Note{"host.json:1:46", "extensions.durabelTask", "unknown key, ignored; did you mean durableTask?", true}},
		{"a category's level", `{"version":"2.0","logging":{"logLevel":{"My.Category":"Debug"}}}`, nil,
			Note{"host.json:1:55", "logging.logLevel.My.Category", "not used by durafunc yet", false}},
		{"mistyped override", `{"version":"2.0"}`, []string{"AzureFunctionsJobHost__extensions__durableTask__hubNam=x"},
			Note{"environment variable AzureFunctionsJobHost__extensions__durableTask__hubNam", "extensions.durableTask.hubNam",
				"unknown key, ignored; did you mean hubName?", true}},
		{"s3 key of an explicit file store", `{"version":"2.0","extensions":{"durableTask":{"storageProvider":{"type":"file","bucket":"b"}}}}`, nil,
			Note{"host.json:1:89", "extensions.durableTask.storageProvider.bucket", "has no effect with type file", false}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, notes := mustParse(t, tt.text, tt.env...); !slices.Equal(notes, []Note{tt.want}) {
				t.Errorf("got %+v, want %+v", notes, tt.want)
			}
		})
	}
}

func TestEnvironmentOverrides(t *testing.T) {
	text := `{"version":"2.0","extensions":{"durableTask":{"maxConcurrentActivityFunctions":3,"storageProvider":{"type":"s3","bucket":"b"}}}}`
	cfg, _ := mustParse(t, text,
		"AzureFunctionsJobHost__extensions__durableTask__maxConcurrentActivityFunctions=5",
		"AZUREFUNCTIONSJOBHOST__EXTENSIONS__DURABLETASK__HUBNAME=FromAzure",
		"DURAFUNC__extensions__durableTask__hubName=FromOurs",
		"DURAFUNC__extensions__durableTask__storageProvider__type=memory",
		"DURAFUNC__=x", "NOVALUE")
	d := cfg.DurableTask
	if d.MaxConcurrentActivityFunctions != 5 || d.HubName != "FromOurs" || d.Storage.Type != StoreMemory {
		t.Errorf("got %+v", d)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	cfg, notes, err := Load(dir, nil)
	if err != nil || cfg.File != "" || cfg.Root != dir {
		t.Fatalf("missing file: %+v, %v", cfg, err)
	}
	if len(notes) != 1 || !strings.Contains(notes[0].String(), "host.json: not found in "+dir) {
		t.Errorf("missing file: notes %v", notes)
	}

	file := filepath.Join(dir, "host.json")
	if err := os.WriteFile(file, []byte("\xef\xbb\xbf{\"version\":\"2.0\"}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if cfg, _, err := Load(dir, nil); err != nil || cfg.File != file {
		t.Errorf("with a byte order mark: %+v, %v", cfg, err)
	}
	if _, _, err := Load(file, nil); err == nil {
		t.Error("a file as root: no error")
	}
	if _, _, err := Load(filepath.Join(dir, "none"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no root: %v", err)
	}
}

// The repository is a function app root; its host.json shows the defaults.
func TestRepositoryFile(t *testing.T) {
	text, err := os.ReadFile("../../host.json")
	if err != nil {
		t.Fatal(err)
	}
	cfg, notes := mustParse(t, string(text))
	if *cfg != defaults() || len(notes) != 0 {
		t.Errorf("got %+v, notes %v", *cfg, notes)
	}
}
