package supervisor

import (
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/durafunc/durafunc/plugins/protocol"
)

// Defaults of Options.
const (
	// DefaultStartTimeout bounds the start of one app up to its description.
	DefaultStartTimeout = 10 * time.Second
	// DefaultDrainTimeout bounds how long a replaced or removed app may finish.
	DefaultDrainTimeout = 5 * time.Minute
	// DefaultSettle is how long a file must be unchanged before it is loaded.
	DefaultSettle = 300 * time.Millisecond
)

// Handler takes what apps answer. Its methods are called from the apps'
// goroutines, concurrently for different apps, and must not block. Each work
// item that a Handle took is reported exactly once, by one of the three.
type Handler interface {
	// Results takes the answers of one frame, in the order of their arrival. They
	// belong to items that were out; repeated and unknown ones were dropped.
	Results(f *protocol.AppFrame)
	// Returned gives back items that were never sent to the app.
	Returned(works []uint64)
	// Lost gives back items whose app ended without answering them. died says that
	// it ended by itself, not because the host stopped it.
	Lost(works []uint64, died bool)
}

// Options configures a Supervisor. Dir, Log, Handler and CheckBinding are required.
type Options struct {
	Dir     string // the functions directory; it must exist
	Log     hclog.Logger
	Handler Handler

	// CheckBinding judges one binding of a described function and reports whether it
	// is a trigger.
	CheckBinding func(*protocol.Binding) (trigger bool, err error)

	// HostServices is what apps may call; nil: nothing is served.
	HostServices protocol.HostServicesServer
	HostVersion  string

	// OnChange is called after Apps or Functions changed, by one goroutine at a
	// time. A Handle that Functions no longer shows takes no work.
	OnChange func()

	StartTimeout time.Duration // 0: DefaultStartTimeout
	DrainTimeout time.Duration // 0: DefaultDrainTimeout
	Settle       time.Duration // 0: DefaultSettle

	// RunDir is where private copies of the executables are kept, in a directory
	// that is removed on Stop; empty: the system's temporary directory. It must not
	// be mounted noexec.
	RunDir string
}

func (o Options) withDefaults() Options {
	if o.StartTimeout <= 0 {
		o.StartTimeout = DefaultStartTimeout
	}
	if o.DrainTimeout <= 0 {
		o.DrainTimeout = DefaultDrainTimeout
	}
	if o.Settle <= 0 {
		o.Settle = DefaultSettle
	}
	if o.OnChange == nil {
		o.OnChange = func() {}
	}
	return o
}
