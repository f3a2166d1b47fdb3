package hosttest

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// procFile is a path in the proc file system.
func procFile(pid int, name string) string {
	return "/proc/" + strconv.Itoa(pid) + "/" + name
}

// processes lists the ids of all processes; none where there is no proc file system.
func processes() []int {
	dirs, _ := filepath.Glob("/proc/[0-9]*") // the pattern is well-formed
	var pids []int
	for _, dir := range dirs {
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// parent is the process id of a process's parent; 0 when it has ended or is a zombie.
func parent(pid int) int {
	b, err := os.ReadFile(procFile(pid, "stat"))
	if err != nil {
		return 0
	}
	// pid (name) state ppid; the name may hold anything, so count from its end.
	text := string(b)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 2 || fields[0] == "Z" {
		return 0
	}
	ppid, err := strconv.Atoi(fields[1])
	if err != nil {
		return 0
	}
	return ppid
}

// kill sends SIGKILL to one process; it may have ended already.
func kill(pid int) { _ = syscall.Kill(pid, syscall.SIGKILL) }
