package hosttest

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// spawner is the one thread that starts processes. The death signal of a process belongs
// to the thread that started it, and the Go runtime may end any thread but one that a
// goroutine holds for ever.
var spawner = sync.OnceValue(func() chan<- func() {
	calls := make(chan func())
	go func() {
		runtime.LockOSThread()
		for call := range calls {
			call()
		}
	}()
	return calls
})

// Spawn starts cmd so that the kernel kills it when this process ends.
func Spawn(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid, cmd.SysProcAttr.Pdeathsig = true, syscall.SIGKILL
	done := make(chan error)
	spawner() <- func() { done <- cmd.Start() }
	return <-done
}
