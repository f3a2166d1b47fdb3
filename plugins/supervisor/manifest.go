package supervisor

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// manifestName is the optional file beside an executable in a folder of its own.
const manifestName = "app.json"

// manifest is the content of app.json. Unknown keys are errors.
type manifest struct {
	Args   []string          `json:"args"`
	Env    map[string]string `json:"env"`
	SHA256 string            `json:"sha256"` // of the executable, 64 hex digits

	checksum []byte
}

// readManifest reads and checks the manifest at path; a missing one is empty.
func readManifest(path string) (*manifest, error) {
	m := &manifest{}
	body, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(m); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrManifest, manifestName, err)
	}
	if d.More() {
		return nil, fmt.Errorf("%w: %s: text after the object", ErrManifest, manifestName)
	}
	if m.SHA256 != "" {
		if m.checksum, err = hex.DecodeString(m.SHA256); err != nil || len(m.checksum) != 32 {
			return nil, fmt.Errorf("%w: %s: sha256: must be 64 hex digits", ErrManifest, manifestName)
		}
	}
	for name := range m.Env {
		// go-plugin passes its handshake in variables; a manifest must not forge it.
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.HasPrefix(name, "PLUGIN_") {
			return nil, fmt.Errorf("%w: %s: env: %q cannot be set", ErrManifest, manifestName, name)
		}
	}
	return m, nil
}

// inherited names the variables of the host that an app sees. Everything else of
// the host's environment, credentials above all, stays with the host.
var inherited = []string{"PATH", "HOME", "TMPDIR", "LANG", "TZ"}

// environment is the scrubbed environment of an app, in a fixed order.
func (m *manifest) environment() []string {
	var env []string
	for _, name := range inherited {
		if _, own := m.Env[name]; own {
			continue
		}
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	names := make([]string, 0, len(m.Env))
	for name := range m.Env {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		env = append(env, name+"="+m.Env[name])
	}
	return env
}
