// Package history is the one model of what happened and what is asked for:
// history events and orchestrator actions, wire-compatible with the Durable Task
// protocol, and the references that stand for large payloads.
//
// It is a light leaf that the engine, the plugin contract and the authors' SDK
// share. It imports protobuf and the standard library and nothing else.
package history
