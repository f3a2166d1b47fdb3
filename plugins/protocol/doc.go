// Package protocol is the plugin contract: the handshake, the gRPC services and
// their codec. The host's half (supervisor) and the author's half (durable) both
// import it and never each other. It imports go-plugin, gRPC and history.
package protocol
