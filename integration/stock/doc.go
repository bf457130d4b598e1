// Package stock tests the way from stock dockerd to the fork and back, with other storage
// drivers and with Docker's plugins.
package stock
