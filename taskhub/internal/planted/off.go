//go:build !planted

package planted

// Is says that no bug is planted.
func Is(Bug) bool { return false }
