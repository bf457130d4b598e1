package changes

import "slices"

// Split tells the changes of each upper by itself, the lowest first. Each counts
// against all that lies below it, so that each is a layer of its own: one that
// takes away what a lower upper has made says so. Applied on the image in that
// order they give what the container sees, as the changes of all at once do.
//
// Nothing of the init layer is a change, as in a walk of the whole. But what one
// upper changed there, and another made what it had been, is told by both.
func (c *Container) Split() []*Container {
	layers := slices.Concat(c.Uppers, c.Lowers)
	parts := make([]*Container, len(c.Uppers))
	for i := range c.Uppers {
		part := *c
		part.Uppers, part.Lowers = layers[i:i+1:i+1], layers[i+1:]
		part.Sealed = c.Sealed + len(c.Uppers) - 1 - i
		part.Mapped = max(0, c.Mapped-i)
		parts[len(parts)-1-i] = &part
	}
	return parts
}
