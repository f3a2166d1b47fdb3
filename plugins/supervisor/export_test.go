package supervisor

import "path/filepath"

// App is the name of the app, which is its file's.
func (h *Handle) App() string { return filepath.Base(h.p.bin.path) }
