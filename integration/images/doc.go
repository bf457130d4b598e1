// Package images tests how images come and go: push, pull, save, load, import, unpacking
// for a new container, mounts of images, and parts that are missing.
package images
