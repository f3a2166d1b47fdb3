package goroutine

import "testing"

func TestCurrentTellsGoroutinesApart(t *testing.T) {
	here := Current()
	if here == 0 {
		t.Skip("not known on this platform")
	}
	if again := Current(); again != here {
		t.Fatalf("Current changed within one goroutine: %#x, then %#x", here, again)
	}
	other := make(chan uintptr)
	go func() { other <- Current() }()
	if o := <-other; o == here || o == 0 {
		t.Fatalf("another goroutine has identity %#x, this one %#x", o, here)
	}
}
