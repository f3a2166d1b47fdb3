package work

// overhead is about what an item or a result takes in bytes beside its payloads.
const overhead = 200

// Size is about how many bytes the item takes in a message.
func (it *Item) Size() int {
	switch it.Kind {
	case Orchestrator:
		return overhead + it.Episode.size()
	case ActivityFunction:
		return overhead + it.Activity.size()
	}
	return overhead
}

// Size is about how many bytes the result takes in a message.
func (r *Result) Size() int {
	switch {
	case r.Episode != nil:
		return overhead + r.Episode.size()
	case r.Activity != nil:
		return overhead + r.Activity.size()
	}
	return overhead
}
