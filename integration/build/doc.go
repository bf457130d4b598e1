// Package build tests docker build by the classic builder and by BuildKit, and BuildKit's
// exporters.
package build
