package hosttest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// Hosts get ports below those that systems choose for listeners on port 0 and for outgoing
// connections: while a host is down, and clients still ask for it, nobody else may answer
// there.
const (
	firstPort = 10000
	lastPort  = 19999
	portTries = 100
)

// ports are those that hosts of this test binary have had. Other processes begin elsewhere.
var ports = struct {
	sync.Mutex
	next int
}{next: rand.IntN(lastPort - firstPort + 1)}

// freePort is a port on which nobody listens; each call gives another one.
func freePort() (int, error) {
	ports.Lock()
	defer ports.Unlock()
	for range portTries {
		port := firstPort + ports.next%(lastPort-firstPort+1)
		ports.next++
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("no free port between %d and %d in %d tries", firstPort, lastPort, portTries)
}
