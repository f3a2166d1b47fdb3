package core

// Held is how many instances wait until another partition has received messages.
func (c *Core) Held() int { return len(c.held) }
