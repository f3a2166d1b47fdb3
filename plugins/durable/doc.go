// Package durable is what authors of function apps link: it registers
// orchestrators and activities and speaks for them to a durafunc host.
//
//	func main() {
//		app := durable.NewApp("greetings")
//		durable.Orchestrator(app, "Hello", func(ctx *durable.OrchestrationContext, name string) (string, error) {
//			return durable.CallActivity[string](ctx, "SayHello", name).Await()
//		})
//		durable.Activity(app, "SayHello", func(ctx context.Context, name string) (string, error) {
//			return "Hello, " + name + "!", nil
//		})
//		app.Serve()
//	}
//
// # Orchestrators are replayed
//
// An orchestrator is an ordinary function on a goroutine of its own, which the
// SDK resumes when something it awaits has happened and parks at the next Await.
// When its state is lost (a restart, another host, too many parked ones) the
// function runs again from the top, and every durable call is answered from
// history. So it must ask for the same things in the same order each time: no
// wall clock (use CurrentUTCDateTime), no random values (NewGUID), no I/O
// (activities), no goroutines, and no waiting on channels, locks or sleeps
// (tasks, timers, events). Waiting on such things is not detected; an episode that
// runs for more than ten seconds is reported in the log. A replay that disagrees
// with history is reported to the host with both sides and the position.
//
// A parked orchestrator may be dropped: its deferred functions run then, and a
// durable call in one of them ends the goroutine at once. Side effects in deferred
// functions of an orchestrator are therefore as wrong as anywhere else in it.
//
// # Payloads
//
// Inputs, results and events are JSON by encoding/json; a json.RawMessage is
// passed through as it is. A missing input and null both give the zero value.
package durable
