package work

// Local is an Executor that knows what it can run: the engine hands it what it can run
// now, and the rest to other hosts that can. An Executor that is no Local is taken to
// run everything. The methods may be called concurrently, and do not call back.
type Local interface {
	Executor
	// Has reports whether it has a function, be its app restarting.
	Has(f Function) bool
	// Free is how many more items of a kind it can begin at once; never negative.
	Free(k Kind) int
	// Offers lists the functions that it has, each once, sorted by kind and name.
	Offers() []Function
	// Yield answers as Abandoned what waits for functions that it has not, and that
	// elsewhere says another host has. elsewhere is called under the executor's lock: it
	// must not block or call the executor.
	Yield(elsewhere func(Function) bool)
}
