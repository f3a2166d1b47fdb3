package protocol

import "github.com/hashicorp/go-plugin"

// Version is the version of the plugin contract. It changes when a host and an
// app of different versions could misunderstand each other.
//
//	1: first version
const Version = 1

// Handshake tells a host and a function app that they are meant for each other.
// An executable that is started without the cookie is being run by a person.
var Handshake = plugin.HandshakeConfig{
	ProtocolVersion:  Version,
	MagicCookieKey:   "DURAFUNC_FUNCTION_APP",
	MagicCookieValue: "c1f9d7a2-7f0b-4a35-9a58-durafunc",
}

// PluginName is the one plugin that a function app serves.
const PluginName = "functionapp"

// MaxMessage bounds one gRPC message in bytes: the largest payload that can be
// configured plus room for its frame.
const MaxMessage = 80 << 20
