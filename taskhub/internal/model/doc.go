// Package model is the ownership protocol of a partition in a page: two owners, one log,
// one root, checkpoints, deletion and ambiguous writes.
package model
