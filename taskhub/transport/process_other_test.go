//go:build !unix

package transport

func child() {}
