// Package host is the life of a host process: it opens the store and the task hub,
// loads the function apps, serves HTTP, and ends all of it in the right order.
//
// It may import every package of the project but cmd and samples.
package host
