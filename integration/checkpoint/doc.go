// Package checkpoint tests checkpoints and what is restored of them: files, processes,
// and checkpoints that must be refused.
package checkpoint
