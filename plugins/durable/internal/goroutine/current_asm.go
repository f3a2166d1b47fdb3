//go:build amd64 || arm64

package goroutine

// Current is an identity of the calling goroutine. It stays the same for as long
// as the goroutine lives and may be reused by another one afterwards. It is 0 on
// platforms where it is not known; callers then do without the check.
func Current() uintptr
