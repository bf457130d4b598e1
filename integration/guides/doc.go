// Package guides runs the commands of README.md and docs/containerd.md, as a reader of
// them would, and tests what they have set up.
package guides
