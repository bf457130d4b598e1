// Package panics makes errors of panics in operations on data that others have written,
// so that what has begun is ended.
package panics
