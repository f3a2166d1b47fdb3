package transport

import (
	"context"
	"errors"
)

// ErrUnreachable means that a host could not be asked, or that its answer did not come.
// What was asked for may have happened or not.
var ErrUnreachable = errors.New("host cannot be reached")

// MaxMessage is the largest message in bytes: it has to hold a payload of the largest
// size that host.json allows, and what is around it.
const MaxMessage = 160 << 20

// Network is how the hosts of one hub reach each other. It loses what it cannot deliver.
type Network interface {
	// Address is where others reach this host.
	Address() string
	// Serve hands what comes in to h until Close. It is called once, before Peer.
	Serve(h Handler)
	// Peer is the way to the host at an address. It does not wait and never fails: what is
	// asked of it may. The same address gives the same Peer until that is closed.
	Peer(address string) Peer
	// Close ends all connections and returns when no call of the Handler is running.
	Close()
}

// Peer is another host.
type Peer interface {
	// Call asks the host and waits for its answer: ErrUnreachable or ctx's error when none
	// comes.
	Call(ctx context.Context, r *Request) (*Response, error)
	// Post sends without waiting, in order. When too much waits to be sent it is dropped.
	// The Post must not be changed afterwards.
	Post(p *Post)
	// Close ends the connection; nothing more is sent.
	Close()
}

// Handler is the host as the others see it. Its methods are called from any goroutine.
type Handler interface {
	// Call answers a request. ctx ends when the asking host has gone or given up.
	Call(ctx context.Context, r *Request) *Response
	// Post takes what another host has sent. It must not block for long: the posts of one
	// host are taken one after another.
	Post(p *Post)
	// Disconnected reports that the connection to an address broke or could not be made. It may be
	// called more than once for one break.
	Disconnected(address string)
}
