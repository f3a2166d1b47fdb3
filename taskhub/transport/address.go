package transport

import (
	"fmt"
	"net"
	"strconv"
)

// advertised is the address that others are told: what the configuration says, with the
// bound port where it names none, else where the listener is bound. A listener on all
// addresses is reached at the first global unicast address of the machine, or at the
// loopback address of a machine that has none.
func advertised(configured string, bound *net.TCPAddr, machine []net.IP) (string, error) {
	port := strconv.Itoa(bound.Port)
	if configured != "" {
		host, p, err := net.SplitHostPort(configured)
		if err != nil {
			if host, p, err = net.SplitHostPort(configured + ":" + port); err != nil {
				return "", fmt.Errorf("advertised address %q: it must be host or host:port: %w", configured, err)
			}
		}
		if host == "" {
			return "", fmt.Errorf("advertised address %q: the host is missing", configured)
		}
		if p == "0" || p == "" {
			p = port
		}
		return net.JoinHostPort(host, p), nil
	}
	if !bound.IP.IsUnspecified() {
		return net.JoinHostPort(hostOf(bound), port), nil
	}
	only4 := bound.IP.To4() != nil
	for _, ip := range machine {
		if ip.IsGlobalUnicast() && (!only4 || ip.To4() != nil) {
			return net.JoinHostPort(ip.String(), port), nil
		}
	}
	return net.JoinHostPort("127.0.0.1", port), nil
}

// hostOf is the host of an address with its zone, if it has one.
func hostOf(a *net.TCPAddr) string {
	return (&net.IPAddr{IP: a.IP, Zone: a.Zone}).String()
}

// machineAddresses are the addresses of the interfaces that are up, in the system's
// order.
func machineAddresses() ([]net.IP, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("addresses of this machine: %w", err)
	}
	var all []net.IP
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		addresses, err := i.Addrs()
		if err != nil {
			continue // it went away just now
		}
		for _, a := range addresses {
			if n, ok := a.(*net.IPNet); ok {
				all = append(all, n.IP)
			}
		}
	}
	return all, nil
}
