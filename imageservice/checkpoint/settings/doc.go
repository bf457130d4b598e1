// Package settings keeps, reads, judges and replaces Docker's configuration of a container
// in a checkpoint.
//
// [Describe] writes it when a checkpoint is made, and [Read] decodes it when one is
// restored. What comes from a checkpoint is hostile until a person trusts it:
// [Configuration.Asked] returns what would give the container more than an image could.
// Rules say for every field of Docker's structures what is harmless, by the path of the
// field (rules.go). A field without a rule must be zero, so one that is new in Docker is
// refused until somebody has judged it.
//
// [Replacement] is what a request for a restore says otherwise. What it replaces is taken
// out before the rest is judged.
package settings
