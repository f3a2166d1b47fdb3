// Package supervisor owns the function apps of one directory: it finds them,
// starts each as a go-plugin process, restarts what crashes, swaps what changes
// and unloads what is removed. It carries work items and answers as the wire
// types of package protocol and knows nothing of the engine or of trigger kinds.
//
// Life of an app: a file that has come to rest is copied into a private
// directory and run from there, so that replacing the original neither disturbs
// the process nor changes what a restart runs. A new version is started beside
// the old one; once it has described itself it takes over in one step, and the old
// one finishes what it runs.
package supervisor
