// Package goroutine tells goroutines apart at the price of one instruction, so
// that a durable call from the wrong goroutine is refused instead of corrupting
// an orchestration. The SDK's hand-over (iter.Pull) ends the whole process when a
// foreign goroutine parks it; reading the number out of runtime.Stack would cost
// microseconds per await.
package goroutine
