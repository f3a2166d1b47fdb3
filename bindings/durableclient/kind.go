package durableclient

import "github.com/durafunc/durafunc/trigger"

// Kind describes the binding (F§6.2). A function that has it may use Services; nothing
// is prepared for it.
var Kind = trigger.Kind{
	Type: "durableClient", Aliases: []string{"orchestrationClient"},
	Directions: []string{"in", "out"},
	Properties: []string{"taskHub", "connectionName", "externalClient", "durableRequiresGrpc"},
}
