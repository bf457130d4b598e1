// Package blobtest has what tests that read hostile blobs share: a content store in
// memory, and a check of the errors.
package blobtest
