package supervisor

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"
)

// maxLogLine bounds one line of an app's stderr in bytes; the rest of it is cut.
const maxLogLine = 64 << 10

// logWriter takes an app's stderr and writes it to the host's log: hclog's JSON
// lines with their level and fields, other text as it is. go-plugin would write
// plain text at debug level, where an author's fmt.Fprintln is not seen.
type logWriter struct {
	log  hclog.Logger
	line []byte

	mu      sync.Mutex
	last    string // the last line that was not JSON
	panicky bool   // inside the text of a panic
}

// Write takes any part of the text. It never fails: a log must not stop an app.
func (w *logWriter) Write(p []byte) (int, error) {
	n := len(p)
	for {
		i := bytes.IndexByte(p, '\n')
		part := p
		if i >= 0 {
			part = p[:i]
		}
		if room := maxLogLine - len(w.line); room > 0 {
			w.line = append(w.line, part[:min(room, len(part))]...)
		}
		if i < 0 {
			return n, nil
		}
		w.emit(w.line)
		w.line = w.line[:0]
		p = p[i+1:]
	}
}

func (w *logWriter) emit(line []byte) {
	line = bytes.TrimRight(line, "\r \t")
	if len(line) == 0 {
		return
	}
	if line[0] == '{' && w.emitJSON(line) {
		return
	}
	text := string(line)
	w.mu.Lock()
	switch {
	case strings.HasPrefix(text, "panic: "), strings.HasPrefix(text, "fatal error: "):
		w.panicky, w.last = true, text
	case !w.panicky:
		w.last = text
	}
	level := hclog.Info
	if w.panicky {
		level = hclog.Error
	}
	w.mu.Unlock()
	w.log.Log(level, text)
}

// emitJSON writes a line of hclog's JSON format; false: it is none.
func (w *logWriter) emitJSON(line []byte) bool {
	var fields map[string]any
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	if d.Decode(&fields) != nil {
		return false
	}
	msg, ok := fields["@message"].(string)
	if !ok {
		return false
	}
	name, _ := fields["@level"].(string)
	level := hclog.LevelFromString(name)
	if level == hclog.NoLevel {
		level = hclog.Info
	}
	keys := make([]string, 0, len(fields))
	for k := range fields {
		if !strings.HasPrefix(k, "@") || k == "@module" {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	kv := make([]any, 0, 2*len(keys))
	for _, k := range keys {
		kv = append(kv, strings.TrimPrefix(k, "@"), fields[k])
	}
	w.log.Log(level, msg, kv...)
	return true
}

// lastWords is the beginning of a panic, or the last plain line.
func (w *logWriter) lastWords() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	const most = 300
	if len(w.last) > most {
		return w.last[:most] + "…"
	}
	return w.last
}
