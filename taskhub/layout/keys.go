package layout

import "fmt"

// SessionPrefix is where the records of sessions stand, each under its id.
const SessionPrefix = "session/"

// PartitionPrefix is where everything of partition n stands.
func PartitionPrefix(n int) string { return fmt.Sprintf("p/%02d/", n) }
