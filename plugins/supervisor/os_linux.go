package supervisor

import (
	"errors"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// beingWritten reports whether any process has the file open for writing. A slow
// copy may pause for longer than any settle time; the kernel refuses a read lease
// on a file that has a writer, which is the test that execve makes (ETXTBSY),
// without running anything.
func beingWritten(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false // loading will say why
	}
	defer f.Close()
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	if err == nil {
		_, _ = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
	}
	// Others' files and some file systems have no leases: then time alone decides.
	return errors.Is(err, unix.EAGAIN)
}

// isolate gives the app a process group of its own, so that an interrupt at the
// terminal reaches only the host, which then drains; and lets the kernel kill it
// when the host dies without a chance to do so. The death signal belongs to the
// starting thread, which a Go program ends only with a goroutine that exits
// locked to it; this host has none.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	// The whole group: a child that the app left behind would hold its pipes open.
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
