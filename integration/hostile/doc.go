// Package hostile makes JSON that a decoder of some type does not expect, for every
// place in that type: it is derived from the type, so no place is forgotten.
package hostile
