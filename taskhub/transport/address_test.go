package transport

import (
	"errors"
	"net"
	"strings"
	"testing"
)

func TestAdvertised(t *testing.T) {
	machine := []net.IP{net.ParseIP("fe80::1"), net.ParseIP("2001:db8::7"), net.ParseIP("10.0.0.7"), net.ParseIP("192.168.0.7")}
	tests := []struct {
		name, configured, bound string
		machine                 []net.IP
		want                    string
	}{
		{"configured", "node:1234", "127.0.0.1:7000", nil, "node:1234"},
		{"configured without a port", "node", "127.0.0.1:7000", nil, "node:7000"},
		{"configured with port 0", "node:0", "127.0.0.1:7000", nil, "node:7000"},
		{"configured IPv6 in brackets", "[2001:db8::1]", "127.0.0.1:7000", nil, "[2001:db8::1]:7000"},
		{"configured IPv6 without brackets", "2001:db8::1", "127.0.0.1:7000", nil, ""},
		{"configured without a host", ":1234", "127.0.0.1:7000", nil, ""},
		{"bound to one address", "", "192.168.0.7:7000", machine, "192.168.0.7:7000"},
		{"bound to an IPv6 address", "", "[2001:db8::7]:7000", machine, "[2001:db8::7]:7000"},
		{"bound to a zone", "", "[fe80::1%eth0]:7000", machine, "[fe80::1%eth0]:7000"},
		{"all IPv4 addresses", "", "0.0.0.0:7000", machine, "10.0.0.7:7000"},
		{"all addresses", "", "[::]:7000", machine, "[2001:db8::7]:7000"},
		{"a machine without addresses", "", "[::]:7000", machine[:1], "127.0.0.1:7000"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bound, err := net.ResolveTCPAddr("tcp", tt.bound)
			if err != nil {
				t.Fatal(err)
			}
			got, err := advertised(tt.configured, bound, tt.machine)
			if got != tt.want || (err != nil) != (tt.want == "") {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestAddress(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:0", ":0", "0.0.0.0:0"} {
		g := open(t, newHand(), func(_ *GRPC, o *GRPCOptions) { o.Listen = listen })
		if r, err := open(t, newHand()).Peer(g.Address()).Call(within(t), &Request{RequestId: "x"}); err != nil || r.Text != "x" {
			t.Errorf("%s is not reached at %s: %v", listen, g.Address(), err)
		}
	}
}

func TestNewGRPCRefuses(t *testing.T) {
	taken := open(t, newHand())
	tests := []struct {
		name string
		o    GRPCOptions
		want string
	}{
		{"a short key", GRPCOptions{Listen: "127.0.0.1:0", Key: key(1)[1:]}, "key of the hub has 31 bytes"},
		{"an address in use", GRPCOptions{Listen: taken.Address(), Key: key(1)}, "listening"},
		{"an advertised address that is none", GRPCOptions{Listen: "127.0.0.1:0", Advertise: "a:b:c", Key: key(1)}, "advertised address"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g, err := NewGRPC(tt.o)
			if err == nil {
				g.Close()
				err = errors.New("nothing is refused")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("NewGRPC: %v, want %q", err, tt.want)
			}
		})
	}
}

// A network that never served closes too.
func TestCloseWithoutServe(t *testing.T) {
	g, err := NewGRPC(GRPCOptions{Listen: "127.0.0.1:0", Key: key(1)})
	if err != nil {
		t.Fatal(err)
	}
	g.Close()
	g.Close()
}
