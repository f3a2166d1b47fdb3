package supervisor

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// State says what an app is doing.
type State string

// States of an app. One that failed to load a new version but runs an older one is
// Running, with LastError set.
const (
	Starting   State = "starting"
	Running    State = "running"
	Restarting State = "restarting" // it ended by itself and is about to be started again
	Failed     State = "failed"     // its file cannot be loaded; LastError says why
	Stopped    State = "stopped"    // the host is ending
)

// AppStatus is what is known of the app of one file.
type AppStatus struct {
	Name string // of the file or the folder
	File string // path of the executable
	PID  int    // 0 while nothing runs
	// AppName, Version, SDK and SDKVersion are the app's own words.
	AppName, Version, SDK, SDKVersion string
	State                             State
	Started                           time.Time // of the present process
	Functions                         []FunctionStatus
	LastError                         error // of the last load or crash; nil: none
	Restarts                          int   // after crashes, since it was found
	Draining                          int   // older versions that still finish work
}

// Function is one served function and where it runs.
type Function struct {
	FunctionStatus
	App    string  // name of the app
	Handle *Handle // nil while the app restarts: its work is to wait
}

// Apps lists all apps of the directory, sorted by name, failed ones included.
func (s *Supervisor) Apps() []AppStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]AppStatus, 0, len(s.slots))
	for _, sl := range s.slots {
		st := sl.status
		st.Functions = s.judgedLocked(sl)
		for p := range s.retiring {
			if p.bin.name == sl.name {
				st.Draining++
			}
		}
		out = append(out, st)
	}
	slices.SortFunc(out, func(a, b AppStatus) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Functions lists the functions that are served, sorted by name. Names are unique
// without regard to case.
func (s *Supervisor) Functions() []Function {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Function
	for _, sl := range s.slots {
		for _, f := range sl.status.Functions {
			if f.Err != nil || s.owners[functionKey(f.Name)] != sl {
				continue
			}
			fn := Function{FunctionStatus: f, App: sl.name}
			if sl.proc != nil {
				fn.Handle = sl.proc.handle
			}
			out = append(out, fn)
		}
	}
	slices.SortFunc(out, func(a, b Function) int { return strings.Compare(functionKey(a.Name), functionKey(b.Name)) })
	return out
}

// assignLocked decides who serves each function: whoever has served it for as long
// as he offers it, else the app that was loaded first.
func (s *Supervisor) assignLocked() {
	claims := make(map[string]*slot)
	for _, sl := range s.slots {
		for _, f := range sl.status.Functions {
			if f.Err != nil {
				continue
			}
			key := functionKey(f.Name)
			best, held := claims[key], s.owners[key]
			// While the first apps come up, in any order, the one that sorts first wins.
			keeps := s.started && sl == held
			if best == nil || keeps || (!s.started || best != held) && sl.order < best.order {
				claims[key] = sl
			}
		}
	}
	s.owners = claims
}

// judgedLocked is the functions of sl, with those that another app serves marked.
func (s *Supervisor) judgedLocked(sl *slot) []FunctionStatus {
	fns := slices.Clone(sl.status.Functions)
	for i, f := range fns {
		if owner := s.owners[functionKey(f.Name)]; f.Err == nil && owner != nil && owner != sl {
			fns[i].Err = fmt.Errorf("%w by app %s", ErrConflict, owner.name)
		}
	}
	return fns
}
