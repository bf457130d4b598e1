// Package baseimage reads the image that a container stands on.
package baseimage
