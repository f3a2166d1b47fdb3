// Package core is the meaning of a partition: what happens to its instances when a
// request, a result, a message or the clock arrives. It is a step function: no
// goroutine, no clock, no randomness, no network; time comes in as a value and
// state is read through kv.Reader. A seed therefore replays it exactly.
//
// A step changes memory at once, so that the next step sees it. Seal turns what
// changed since the last Seal into one batch of mutations and the effects that may
// leave once that batch is durable. Episodes alone leave before: TakeEpisodes hands
// them out as soon as their cause is known, because nothing of theirs can be seen
// outside before it is committed too.
//
// It imports history, work, kv and the standard library.
package core
