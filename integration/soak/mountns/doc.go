// Package mountns runs a program in a mount namespace of its own: whatever the
// program mounts is seen by nobody else and is gone when the program ends, also
// by SIGKILL.
package mountns
