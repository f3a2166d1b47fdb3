// Package hosttest runs real host processes for tests: it builds bin/durafunc and
// function apps once per test binary, makes function app roots in temporary
// directories, starts, kills, freezes and stops hosts, and talks to them over HTTP.
//
// Nothing outlives the test: a host that a test leaves running is killed at its end,
// and by the kernel when the test binary dies, however it dies.
package hosttest
