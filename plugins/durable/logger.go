package durable

import (
	"io"
	"log"

	"github.com/hashicorp/go-hclog"
)

// replayLogger drops what is logged in replay: it was logged when the episode
// first ran.
type replayLogger struct {
	hclog.Logger
	x *execution
}

func replaySafe(x *execution) hclog.Logger {
	return &replayLogger{x.r.log.With("instance", x.instanceID), x}
}

func (l *replayLogger) Log(level hclog.Level, msg string, args ...any) {
	if !l.x.replaying {
		l.Logger.Log(level, msg, args...)
	}
}

func (l *replayLogger) Trace(msg string, args ...any) { l.Log(hclog.Trace, msg, args...) }
func (l *replayLogger) Debug(msg string, args ...any) { l.Log(hclog.Debug, msg, args...) }
func (l *replayLogger) Info(msg string, args ...any)  { l.Log(hclog.Info, msg, args...) }
func (l *replayLogger) Warn(msg string, args ...any)  { l.Log(hclog.Warn, msg, args...) }
func (l *replayLogger) Error(msg string, args ...any) { l.Log(hclog.Error, msg, args...) }

func (l *replayLogger) With(args ...any) hclog.Logger {
	return &replayLogger{l.Logger.With(args...), l.x}
}

func (l *replayLogger) Named(name string) hclog.Logger {
	return &replayLogger{l.Logger.Named(name), l.x}
}

func (l *replayLogger) ResetNamed(name string) hclog.Logger {
	return &replayLogger{l.Logger.ResetNamed(name), l.x}
}

func (l *replayLogger) StandardLogger(o *hclog.StandardLoggerOptions) *log.Logger {
	return log.New(l.StandardWriter(o), "", 0)
}

func (l *replayLogger) StandardWriter(o *hclog.StandardLoggerOptions) io.Writer {
	return &replayWriter{l.Logger.StandardWriter(o), l.x}
}

type replayWriter struct {
	io.Writer
	x *execution
}

func (w *replayWriter) Write(p []byte) (int, error) {
	if w.x.replaying {
		return len(p), nil
	}
	return w.Writer.Write(p)
}
