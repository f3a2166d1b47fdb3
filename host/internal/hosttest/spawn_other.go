//go:build !linux

package hosttest

import "os/exec"

// Spawn starts cmd. Only Linux can tie its life to ours; elsewhere the test's clean-up
// has to do.
func Spawn(cmd *exec.Cmd) error { return cmd.Start() }
