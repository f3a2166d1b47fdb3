package main

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// progress shows one line per device: redrawn in place on a terminal, else a line
// for each change. It may be used concurrently.
type progress struct {
	out   io.Writer
	tty   bool
	begun time.Time

	mu    sync.Mutex
	names []string // sorted
	state map[string]string
	ended map[string]bool
	drawn int // lines on the terminal
}

func newProgress(out io.Writer, tty bool) *progress {
	return &progress{out: out, tty: tty, begun: time.Now(), state: map[string]string{}, ended: map[string]bool{}}
}

// set says what a device does now. After end it is ignored: a device may learn
// that its flow has ended before it has reported its own last step.
func (p *progress) set(name, what string) { p.change(name, what, false) }

// end says how a device's flow ended.
func (p *progress) end(name, how string) { p.change(name, how, true) }

func (p *progress) change(name, what string, last bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended[name] || p.state[name] == what {
		return
	}
	if _, known := p.state[name]; !known {
		at, _ := slices.BinarySearch(p.names, name)
		p.names = slices.Insert(p.names, at, name)
	}
	p.state[name], p.ended[name] = what, last
	if !p.tty {
		fmt.Fprintf(p.out, "  %5.2f s  %-10s  %s\n", time.Since(p.begun).Seconds(), name, what)
		return
	}
	if p.drawn > 0 {
		fmt.Fprintf(p.out, "\x1b[%dA", p.drawn) // up to the first line of the block
	}
	for _, n := range p.names {
		mark := "·"
		if p.ended[n] {
			mark = "✓"
		}
		fmt.Fprintf(p.out, "\r\x1b[K  %s %-10s  %s\n", mark, n, p.state[n])
	}
	p.drawn = len(p.names)
}
